//! The answer as the API server reads it.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::engine::{Defaulted, Judgement, Noted};

/// Most causes in an answer. The message has every finding; causes are for machines.
const CAUSES: usize = 20;

/// An `AdmissionReview` with a response.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<&'a BTreeMap<&'static str, String>>,
}

/// A `metav1.Status`. 403 `Forbidden` is the one code that no client and no controller reads as
/// something else: 404 and 409 have meanings of their own, 422 makes `kubectl apply --force` delete
/// the live object, 429 and 5xx are retried.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the wire")]
struct Status<'a> {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Debug, Serialize)]
struct Details<'a> {
    causes: Vec<Cause<'a>>,
}

#[derive(Debug, Serialize)]
struct Cause<'a> {
    reason: &'a str,
    message: &'a str,
    field: &'a str,
}

impl<'a> Answer<'a> {
    fn new(version: &'a str, response: Response<'a>) -> Self {
        Self { api_version: version, kind: "AdmissionReview", response }
    }

    /// The answer of `/validate`. Never carries a patch.
    pub(super) fn judged(version: &'a str, uid: &'a str, judgement: &'a Judgement) -> Self {
        let Judgement { allowed, message, warnings, audit, findings, .. } = judgement;
        let status = (!allowed).then(|| Status::forbidden(message, causes(findings)));
        let audit_annotations = (!audit.is_empty()).then_some(audit);
        Self::new(
            version,
            Response {
                uid,
                allowed: *allowed,
                status,
                warnings,
                audit_annotations,
                ..Default::default()
            },
        )
    }

    /// A refusal without findings: nothing was judged.
    pub(super) fn refused(version: &'a str, uid: &'a str, message: &'a str) -> Self {
        let status = Some(Status::forbidden(message, Vec::new()));
        Self::new(version, Response { uid, allowed: false, status, ..Default::default() })
    }

    /// The answer of `/mutate`. Never refuses.
    pub(super) fn defaulted(version: &'a str, uid: &'a str, defaulted: Option<&Defaulted>) -> Self {
        let patch = defaulted.and_then(|defaulted| defaulted.patch.as_ref());
        let patch = patch.map(|patch| BASE64_STANDARD.encode(patch));
        let patch_type = patch.as_ref().map(|_| "JSONPatch");
        Self::new(version, Response { uid, allowed: true, patch, patch_type, ..Default::default() })
    }

    /// As JSON. Empty only if serialising strings could fail.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl<'a> Status<'a> {
    fn forbidden(message: &'a str, causes: Vec<Cause<'a>>) -> Self {
        let details = (!causes.is_empty()).then_some(Details { causes });
        Self { status: "Failure", code: 403, reason: "Forbidden", message, details }
    }
}

fn causes(findings: &[Noted]) -> Vec<Cause<'_>> {
    findings
        .iter()
        .filter(|noted| noted.refuses)
        .take(CAUSES)
        .map(|noted| Cause { reason: noted.rule, message: &noted.line, field: &noted.at })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn value(answer: &Answer<'_>) -> Value {
        serde_json::from_slice(&answer.encode()).unwrap()
    }

    #[test]
    fn a_refusal_has_code_reason_message_and_causes() {
        let noted = |rule, refuses| Noted {
            undecided: false,
            rule,
            effect: if refuses { "deny" } else { "audit" },
            refuses,
            at: "spec".to_owned(),
            line: "line".to_owned(),
        };
        let judgement = Judgement {
            message: "root-migration: no".to_owned(),
            warnings: vec!["w".to_owned()],
            audit: [("policy", "default".to_owned())].into(),
            findings: vec![noted("root-migration", true), noted("other", false)],
            ..Judgement::default()
        };
        let answer = value(&Answer::judged("admission.k8s.io/v1", "u", &judgement));
        assert_eq!(
            answer,
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
                "uid": "u", "allowed": false, "warnings": ["w"],
                "auditAnnotations": {"policy": "default"},
                "status": {"status": "Failure", "code": 403, "reason": "Forbidden",
                    "message": "root-migration: no", "details": {"causes": [
                        {"reason": "root-migration", "message": "line", "field": "spec"}]}}}})
        );
    }

    #[test]
    fn patch_and_type_are_both_there_or_neither() {
        let patch = Defaulted { outcome: "patched", patch: Some(b"[]".to_vec()) };
        let answer = value(&Answer::defaulted("v", "u", Some(&patch)));
        assert_eq!(
            answer["response"],
            json!({"uid": "u", "allowed": true, "patch": "W10=", "patchType": "JSONPatch"})
        );
        let answer = value(&Answer::defaulted("v", "u", None));
        assert_eq!(answer["response"], json!({"uid": "u", "allowed": true}));
    }
}
