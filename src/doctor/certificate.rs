//! The certificate of the servers, held against what the API server trusts, as the API server does it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

use super::{Grade, Installation, Symptom, authority, registration::Registered};
use crate::pki;

const CHECK: &str = "certificate";

/// Reads the Secret; of its content only the certificates.
pub(super) async fn look(
    client: &Client,
    Installation { namespace, .. }: &Installation,
    secret: &str,
    registered: &[Registered],
    now: Timestamp,
    seen: &mut Vec<Symptom>,
) {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let what = format!("Secret {namespace}/{secret}");
    let found = match api.get_opt(secret).await {
        Err(error) => return seen.push(Symptom::unread(CHECK, &what, &error)),
        Ok(found) => found,
    };
    let Some(found) = found else {
        let says = format!("there is no {what}: no server can start");
        let mend = "see who makes it: certs/README.md";
        return seen.push(Symptom::new(CHECK, Grade::Failure, says, mend));
    };
    let data = found.data.unwrap_or_default();
    let chain = data.get("tls.crt").map(|bytes| String::from_utf8_lossy(&bytes.0));
    let chain = chain.unwrap_or_default();
    let before = seen.len();
    for hook in registered {
        let Some(service) = &hook.client_config.service else { continue };
        let host = format!("{}.{}.svc", service.name, service.namespace);
        if let Err(error) = verify(&chain, &authority::bundle(&hook.client_config), &host, now) {
            let (says, mend) = words(&error, &hook.name, &host);
            let symptom =
                Symptom::new(CHECK, Grade::Failure, format!("{says} ({what}): {error}"), mend);
            seen.push(symptom);
        }
    }
    if seen.len() == before {
        let ends = pki::ends(&chain).map(|end| end.to_string()).unwrap_or_default();
        seen.push(Symptom::ok(CHECK, format!("{what} is trusted until {ends}")));
    }
}

/// What the API server does with a certificate that it is shown.
fn verify(chain: &str, bundle: &str, host: &str, now: Timestamp) -> Result<(), Error> {
    let read = |text: &str| -> Result<Vec<CertificateDer<'static>>, Error> {
        let all = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
        all.map_err(|_error| Error::InvalidCertificate(CertificateError::BadEncoding))
    };
    let chain = read(chain)?;
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(Error::NoCertificatesPresented);
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read(bundle)?);
    let leaf = ParsedCertificate::try_from(leaf)?;
    let provider = rustls::crypto::ring::default_provider();
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    verify_server_cert_signed_by_trust_anchor(
        &leaf,
        &roots,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        provider.signature_verification_algorithms.all,
    )?;
    let host = ServerName::try_from(host);
    let host =
        host.map_err(|_error| Error::InvalidCertificate(CertificateError::NotValidForName))?;
    verify_server_name(&leaf, &host)
}

/// What it means, and what to do.
fn words(error: &Error, hook: &str, host: &str) -> (String, &'static str) {
    match error {
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => ("the certificate has ended".to_owned(), "renew it: certs/README.md"),
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => (
            format!("`{hook}` trusts another authority than that of the certificate"),
            "put the authority into caBundle: certs/README.md",
        ),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            (format!("the certificate does not name {host}"), "issue it for SERVICE.NAMESPACE.svc")
        }
        _ => ("the certificate cannot be used".to_owned(), "make a new one: certs/README.md"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::pki::{Kept, Lifetimes};

    const HOST: &str = "tidegate.tidegate.svc";

    fn pair(names: &[&str], now: Timestamp) -> pki::Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Kept::new(&names, &Lifetimes::default(), now).unwrap().pair()
    }

    #[test]
    fn a_certificate_is_judged_as_the_api_server_judges_it() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let good = pair(&[HOST], now);
        assert_eq!(verify(&good.chain, &good.bundle, HOST, now), Ok(()));
        let other = pair(&[HOST], now);
        let both = format!("{}{}", other.bundle, good.bundle);
        assert_eq!(verify(&good.chain, &both, HOST, now), Ok(()), "while the authority changes");
        let later = now.checked_add(SignedDuration::from_hours(91 * 24)).unwrap();
        for (chain, bundle, at, says) in [
            (good.chain.as_str(), good.bundle.as_str(), later, "the certificate has ended"),
            (&good.chain, &other.bundle, now, "`hook` trusts another authority"),
            (&good.chain, "", now, "`hook` trusts another authority"),
            (&pair(&["other.svc"], now).chain, "", now, "`hook` trusts another authority"),
            ("", &good.bundle, now, "the certificate cannot be used"),
        ] {
            let error = verify(chain, bundle, HOST, at).unwrap_err();
            let (said, mend) = words(&error, "hook", HOST);
            assert!(said.starts_with(says) && !mend.is_empty(), "{said}: {error}");
        }
        let elsewhere = pair(&["other.svc"], now);
        let error = verify(&elsewhere.chain, &elsewhere.bundle, HOST, now).unwrap_err();
        assert!(words(&error, "hook", HOST).0.contains("does not name tidegate.tidegate.svc"));
    }
}
