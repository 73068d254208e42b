//! Approvals: a statement by a named person that covers one exact migration until one moment.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::digest::digest;
use crate::{
    model::{Object, annotation},
    rules::Approval,
};

/// What an approval needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Requirements {
    /// Fields that must be there and not empty. Default: `[approved-by, ticket]`.
    pub require: Vec<ApprovalField>,
    /// Whether the approval must name the digest of exactly what will run. Default: true.
    pub bind_to_digest: bool,
    /// The longest time from now until an approval ends, such as `72h` or `30m`: an approval that
    /// ends later is refused, so that none is given for ever. Default: `72h`.
    #[schemars(with = "String")]
    pub max_age: MaxAge,
}

impl Default for Requirements {
    fn default() -> Self {
        Self {
            require: vec![ApprovalField::ApprovedBy, ApprovalField::Ticket],
            bind_to_digest: true,
            max_age: MaxAge(SignedDuration::from_hours(72)),
        }
    }
}

/// A field of an approval that a policy may require.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalField {
    /// `tidegate.dev/approved-by`.
    ApprovedBy,
    /// `tidegate.dev/approval-ticket`.
    Ticket,
    /// `tidegate.dev/approval-reason`.
    Reason,
}

impl ApprovalField {
    /// The annotation that holds it.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::ApprovedBy => annotation::APPROVED_BY,
            Self::Ticket => annotation::TICKET,
            Self::Reason => annotation::REASON,
        }
    }
}

/// The longest time that an approval may hold.
///
/// **Unit:** written with a unit, as `72h`, `30m` or `1h30m`; never a bare number.
///
/// **Range:** above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaxAge(pub SignedDuration);

impl TryFrom<String> for MaxAge {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let duration: SignedDuration =
            text.parse().map_err(|_error| "is not a duration such as `72h` or `30m`".to_owned())?;
        if duration.is_positive() { Ok(Self(duration)) } else { Err("must be above zero".into()) }
    }
}

impl From<MaxAge> for String {
    fn from(age: MaxAge) -> Self {
        age.to_string()
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// Whether an approval covers what `object` will do at `now`.
pub fn assess(requirements: &Requirements, object: &Object<'_>, now: Timestamp) -> Approval {
    let digest = digest(object).to_string();
    let ask = ask(requirements, &digest);
    let read = |key: &str| object.metadata.annotation(key).map(str::trim);
    let any = [annotation::APPROVED_BY, annotation::TICKET, annotation::DIGEST, annotation::UNTIL]
        .iter()
        .any(|key| read(key).is_some());
    if !any {
        return Approval::Missing { ask };
    }
    let mut reasons = Vec::new();
    for field in &requirements.require {
        if read(field.annotation()).is_none_or(str::is_empty) {
            reasons.push(format!("`{}` is missing or empty", field.annotation()));
        }
    }
    if requirements.bind_to_digest {
        match read(annotation::DIGEST) {
            None => reasons.push(format!("`{}` is missing", annotation::DIGEST)),
            Some(text) if text != digest => reasons
                .push(format!("`{}` is for something else than what will run", annotation::DIGEST)),
            Some(_) => {}
        }
    }
    reasons.extend(read_until(requirements, read(annotation::UNTIL), now).err());
    if reasons.is_empty() { Approval::Valid } else { Approval::Invalid { reasons, ask } }
}

fn read_until(
    requirements: &Requirements,
    text: Option<&str>,
    now: Timestamp,
) -> Result<(), String> {
    let key = annotation::UNTIL;
    let text = text.ok_or_else(|| format!("`{key}` is missing"))?;
    let until: Timestamp = text
        .parse()
        .map_err(|_error| format!("`{key}` is no RFC 3339 time such as 2026-01-31T18:00:00Z"))?;
    if until <= now {
        return Err(format!("it ended at {until}"));
    }
    let max_age = requirements.max_age;
    if until.duration_since(now) > max_age.0 {
        return Err(format!("`{key}` is further away than the {max_age} that the policy allows"));
    }
    Ok(())
}

/// What to ask for, in a form that can be pasted.
fn ask(requirements: &Requirements, digest: &str) -> String {
    let mut keys: Vec<&str> = requirements.require.iter().map(|field| field.annotation()).collect();
    keys.push(annotation::UNTIL);
    let keys = keys.join(", ");
    if requirements.bind_to_digest {
        format!("have it approved: annotate it with {keys} and {}={digest}", annotation::DIGEST)
    } else {
        format!("have it approved: annotate it with {keys}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-01T12:00:00Z";

    fn job(annotations: &str) -> String {
        format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job",
                "metadata":{{"name":"drop","annotations":{{{annotations}}}}},
                "spec":{{"template":{{"spec":{{"containers":[
                {{"name":"sql","image":"postgres:16","args":["psql","-c","DROP TABLE a"]}}]}}}}}}}}"#
        )
    }

    fn assess_at(annotations: &str) -> Approval {
        let json = job(annotations);
        let object = Object::parse(&json).unwrap();
        assess(&Requirements::default(), &object, NOW.parse().unwrap())
    }

    fn digest_of_it() -> String {
        digest(&Object::parse(&job("")).unwrap()).to_string()
    }

    fn approved(until: &str, digest: &str) -> String {
        format!(
            r#""tidegate.dev/approved-by":"alice@example.com","tidegate.dev/approval-ticket":"DB-1",
               "tidegate.dev/approved-until":"{until}","tidegate.dev/approved-digest":"{digest}""#
        )
    }

    fn reasons(annotations: &str) -> Vec<String> {
        match assess_at(annotations) {
            Approval::Invalid { reasons, .. } => reasons,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_approval_holds() {
        let annotations = approved("2026-06-02T12:00:00Z", &digest_of_it());
        assert_eq!(assess_at(&annotations), Approval::Valid);
    }

    #[test]
    fn without_one_the_text_says_what_to_annotate() {
        let Approval::Missing { ask } = assess_at("") else { panic!() };
        assert!(ask.contains(&digest_of_it()), "{ask}");
        assert!(ask.contains("tidegate.dev/approved-by"), "{ask}");
    }

    #[test]
    fn expired_far_off_and_unreadable_times_do_not_hold() {
        for (until, reason) in [
            ("2026-06-01T12:00:00Z", "it ended at 2026-06-01T12:00:00Z"),
            ("2020-01-01T00:00:00Z", "it ended at 2020-01-01T00:00:00Z"),
            ("2099-01-01T00:00:00Z", "further away than the 72h"),
            ("tomorrow", "no RFC 3339 time"),
            ("2026-06-02", "no RFC 3339 time"),
        ] {
            let reasons = reasons(&approved(until, &digest_of_it()));
            assert!(reasons.len() == 1 && reasons[0].contains(reason), "{until}: {reasons:?}");
        }
    }

    #[test]
    fn another_digest_or_an_empty_field_does_not_hold() {
        let other = reasons(&approved("2026-06-02T12:00:00Z", "sha256:00"));
        assert_eq!(
            other,
            ["`tidegate.dev/approved-digest` is for something else than what will run"]
        );
        let annotations =
            approved("2026-06-02T12:00:00Z", &digest_of_it()).replace("alice@example.com", "  ");
        assert_eq!(reasons(&annotations), ["`tidegate.dev/approved-by` is missing or empty"]);
    }

    #[test]
    fn an_approval_may_end_exactly_at_the_maximum_age() {
        let digest = digest_of_it();
        assert_eq!(assess_at(&approved("2026-06-04T12:00:00Z", &digest)), Approval::Valid);
        assert_eq!(assess_at(&approved("2026-06-01T12:00:01Z", &digest)), Approval::Valid);
        let late = reasons(&approved("2026-06-04T12:00:01Z", &digest));
        assert!(late.len() == 1 && late[0].contains("further away than the 72h"), "{late:?}");
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        assert_eq!(
            reasons(r#""tidegate.dev/approved-by":"alice@example.com""#),
            [
                "`tidegate.dev/approval-ticket` is missing or empty",
                "`tidegate.dev/approved-digest` is missing",
                "`tidegate.dev/approved-until` is missing",
            ]
        );
    }

    #[test]
    fn a_policy_says_what_is_required_and_whether_the_digest_is() {
        let requirements = Requirements {
            require: vec![ApprovalField::Reason],
            bind_to_digest: false,
            ..Requirements::default()
        };
        let assess = |annotations: &str| {
            let json = job(annotations);
            assess(&requirements, &Object::parse(&json).unwrap(), NOW.parse().unwrap())
        };
        let until = r#""tidegate.dev/approved-until":"2026-06-02T12:00:00Z""#;
        let reason = r#""tidegate.dev/approval-reason":"unused""#;
        assert_eq!(assess(&format!("{until},{reason}")), Approval::Valid);
        let Approval::Invalid { reasons, ask } = assess(until) else { panic!() };
        assert_eq!(reasons, ["`tidegate.dev/approval-reason` is missing or empty"]);
        assert_eq!(
            ask,
            "have it approved: annotate it with tidegate.dev/approval-reason, \
             tidegate.dev/approved-until"
        );
    }

    #[test]
    fn a_maximum_age_is_written_as_it_is_read() {
        let written = serde_json::to_value(Requirements::default()).unwrap();
        assert_eq!(written["maxAge"], "72h");
        assert_eq!(
            serde_json::from_value::<Requirements>(written).unwrap(),
            Requirements::default()
        );
    }

    #[test]
    fn a_maximum_age_needs_a_unit() {
        assert!(MaxAge::try_from("72".to_owned()).is_err());
        assert!(MaxAge::try_from("-1h".to_owned()).is_err());
        assert_eq!(MaxAge::try_from("1h30m".to_owned()).unwrap().to_string(), "1h 30m");
    }
}
