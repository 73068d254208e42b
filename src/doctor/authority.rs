//! What the API server trusts the servers by.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;

use super::{Grade, Symptom, registration::Registered};
use crate::pki;

const CHECK: &str = "authority";
/// How long before its end an authority is worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) fn look(registered: &[Registered], now: Timestamp, seen: &mut Vec<Symptom>) {
    for Registered { name, client_config: client, .. } in registered {
        let text = bundle(client);
        let ends: Vec<_> = pki::split(&text).iter().filter_map(|pem| pki::ends(pem)).collect();
        let symptom = match ends.iter().max() {
            None => Symptom::new(
                CHECK,
                Grade::Failure,
                format!(
                    "`{name}` has no caBundle with a certificate: the API server trusts no server"
                ),
                "see certs/README.md: cert-manager's injector, `certificates.caBundle`, or `selfManaged`",
            ),
            Some(last) if *last <= now => Symptom::new(
                CHECK,
                Grade::Failure,
                format!("the authority of `{name}` ended at {last}"),
                "renew it, and put the new one into caBundle before the certificate is of it",
            ),
            Some(last) if last.duration_since(now) < SOON => Symptom::new(
                CHECK,
                Grade::Warning,
                format!("the authority of `{name}` ends at {last}"),
                "renew it, and put the new one into caBundle before the certificate is of it",
            ),
            Some(last) => {
                Symptom::ok(CHECK, format!("`{name}` trusts {} until {last}", count(ends.len())))
            }
        };
        seen.push(symptom);
    }
}

/// What the API server trusts, in PEM; empty where nothing is said.
pub(super) fn bundle(client: &WebhookClientConfig) -> Cow<'_, str> {
    let bundle = client.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice());
    String::from_utf8_lossy(bundle.unwrap_or_default())
}

fn count(number: usize) -> String {
    if number == 1 { "an authority".to_owned() } else { format!("{number} authorities") }
}
