//! Certificates: making them, and checking them before they are served.

use std::{net::IpAddr, str::FromStr as _, sync::Arc};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _, prelude::X509Certificate};

/// A certificate that cannot be served, and why.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM, or nothing in it.
    #[error("{file} holds no {what} in PEM")]
    Empty {
        /// Name of the file.
        file: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// The key belongs to another certificate, or is of a kind that cannot be used.
    #[error("tls.key does not fit tls.crt")]
    Key(#[source] rustls::Error),
    /// Not a certificate.
    #[error("{file} cannot be read as a certificate")]
    Malformed {
        /// Name of the file.
        file: &'static str,
    },
    /// Its time is over, or has not come.
    #[error("tls.crt is valid from {from} until {until}, and it is {now}")]
    Expired {
        /// Start of validity.
        from: Timestamp,
        /// End of validity.
        until: Timestamp,
        /// The present.
        now: Timestamp,
    },
    /// It names nobody; the API server does not look at the common name.
    #[error("tls.crt has no subject alternative name")]
    Nameless,
    /// It could not be made.
    #[error("a certificate for the names of --tls-self-signed cannot be made")]
    Make(#[from] rcgen::Error),
}

/// A pair that was checked, and when it ends.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) key: Arc<CertifiedKey>,
    /// End of validity of the leaf.
    pub(super) leaf_until: Timestamp,
    /// End of validity of the authority, if it is known.
    pub(super) ca_until: Option<Timestamp>,
    /// False when the authority beside it did not issue it.
    pub(super) chained: bool,
}

/// A certificate that was made in memory.
#[derive(Debug)]
pub struct Issued {
    /// Leaf and authority, in PEM.
    pub chain: String,
    /// The leaf's key, in PEM.
    pub key: String,
    /// The authority, in PEM: what a client needs.
    pub ca: String,
}

impl Issued {
    /// Makes an authority and a certificate for `names`, DNS names or IP addresses.
    ///
    /// Both are valid for ten years: they live in the memory of one process, and none should die of
    /// age. The authority's key is forgotten at once.
    ///
    /// # Errors
    ///
    /// When a name is neither a DNS name nor an IP address.
    pub fn new(names: &[String], now: Timestamp) -> Result<Self, CertificateError> {
        let year = i32::from(now.to_zoned(jiff::tz::TimeZone::UTC).year());
        let params = |names: &[String]| -> Result<CertificateParams, rcgen::Error> {
            let mut params = CertificateParams::new(names)?;
            // The first of January, so that clocks that differ a little agree that it is valid.
            params.not_before = rcgen::date_time_ymd(year.saturating_sub(1), 1, 1);
            params.not_after = rcgen::date_time_ymd(year.saturating_add(10), 1, 1);
            Ok(params)
        };
        let mut ca = params(&[])?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, "tidegate in-memory authority");
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;

        let mut leaf = params(names)?;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.distinguished_name.push(DnType::CommonName, "tidegate");
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key))?;
        Ok(Self {
            chain: leaf.pem() + &ca_certificate.pem(),
            key: leaf_key.serialize_pem(),
            ca: ca_certificate.pem(),
        })
    }
}

/// Reads and checks a pair, and the authority beside it if there is one.
///
/// # Errors
///
/// When the pair could not be served, or no API server would accept it at `now`.
pub(super) fn check(
    chain: &[u8],
    key: &[u8],
    ca: Option<&[u8]>,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Checked, CertificateError> {
    let chain = certificates(chain, "tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_error| CertificateError::Empty { file: "tls.key", what: "private key" })?;
    let authorities = ca.map(|ca| certificates(ca, "ca.crt")).transpose()?.unwrap_or_default();
    let leaf = chain.first().ok_or(CertificateError::Malformed { file: "tls.crt" })?;
    let parsed = parse(leaf, "tls.crt")?;
    let (from, until) =
        (timestamp(parsed.validity.not_before), timestamp(parsed.validity.not_after));
    if now < from || now > until {
        return Err(CertificateError::Expired { from, until, now });
    }
    if !has_name(&parsed) {
        return Err(CertificateError::Nameless);
    }
    let last = chain.last().unwrap_or(leaf);
    // Without a file the chain may end in its authority.
    let known = if authorities.is_empty() { std::slice::from_ref(last) } else { &authorities[..] };
    let issuer = parse(last, "tls.crt")?.issuer.clone();
    let mut ca_until = None;
    for authority in known {
        let authority = parse(authority, "ca.crt")?;
        // A bundle may hold an old authority beside the new one; only the issuer's end matters.
        if authority.is_ca() && *authority.subject() == issuer {
            ca_until = ca_until.max(Some(timestamp(authority.validity.not_after)));
        }
    }
    let chained = authorities.is_empty() || issued_by(&chain, &authorities, provider, now);
    let key = CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Key)?;
    Ok(Checked { key: Arc::new(key), leaf_until: until, ca_until, chained })
}

/// The certificates of a PEM file; at least one.
pub(super) fn certificates(
    pem: &[u8],
    file: &'static str,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|read| !read.is_empty())
        .ok_or(CertificateError::Empty { file, what: "certificate" })
}

/// End of validity of the certificate that ends first.
pub(super) fn first_end(certificates: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let end = |der| parse(der, "client CA").ok().map(|c| timestamp(c.validity.not_after));
    certificates.iter().filter_map(end).min()
}

fn parse<'c>(
    der: &'c CertificateDer<'_>,
    file: &'static str,
) -> Result<X509Certificate<'c>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok((_rest, certificate)) => Ok(certificate),
        Err(_error) => Err(CertificateError::Malformed { file }),
    }
}

fn timestamp(time: x509_parser::time::ASN1Time) -> Timestamp {
    // The type holds the years 1950 to 9999, and so does ours.
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

fn has_name(certificate: &X509Certificate<'_>) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
    })
}

fn issued_by(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'static>],
    provider: &CryptoProvider,
    now: Timestamp,
) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let since_1970 = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(since_1970));
    let algorithms = provider.signature_verification_algorithms.all;
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| {
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms)
            .is_ok()
    })
}

/// True when `name` can stand in a certificate: an IP address or a DNS name.
pub(super) fn is_name(name: &str) -> bool {
    IpAddr::from_str(name).is_ok() || rustls::pki_types::DnsName::try_from(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
    }

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn check_at(issued: &Issued, ca: &str, now: Timestamp) -> Result<Checked, CertificateError> {
        let provider = rustls::crypto::ring::default_provider();
        let (chain, key) = (issued.chain.as_bytes(), issued.key.as_bytes());
        check(chain, key, Some(ca.as_bytes()), &provider, now)
    }

    #[test]
    fn what_we_make_passes_our_own_check() {
        let issued = Issued::new(&names(), now()).unwrap();
        let checked = check_at(&issued, &issued.ca, now()).unwrap();
        assert!(checked.chained);
        assert_eq!(checked.leaf_until.to_string(), "2036-01-01T00:00:00Z");
        assert_eq!(checked.ca_until, Some(checked.leaf_until));
    }

    #[test]
    fn bad_pairs_are_refused() {
        let issued = Issued::new(&names(), now()).unwrap();
        let other = Issued::new(&names(), now()).unwrap();
        let mixed = Issued { chain: issued.chain.clone(), key: other.key, ca: String::new() };
        assert!(matches!(check_at(&mixed, &other.ca, now()), Err(CertificateError::Key(_))));
        let late = "2036-01-02T00:00:00Z".parse().unwrap();
        assert!(matches!(
            check_at(&issued, &issued.ca, late),
            Err(CertificateError::Expired { .. })
        ));
        let nameless = Issued::new(&[], now()).unwrap();
        assert!(matches!(
            check_at(&nameless, &nameless.ca, now()),
            Err(CertificateError::Nameless)
        ));
        let half: String = issued.chain.chars().take(200).collect();
        let half = Issued { chain: half, key: issued.key.clone(), ca: issued.ca.clone() };
        assert!(matches!(check_at(&half, &issued.ca, now()), Err(CertificateError::Empty { .. })));
        assert!(!check_at(&issued, &other.ca, now()).unwrap().chained);
    }
}
