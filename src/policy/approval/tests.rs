use super::*;
use crate::policy::digest;
use crate::rules::{BackupWaiver, Standing};
use crate::{
    detect::Detector,
    model::{ConfigMaps, Fact, Labels},
};

const NOW: &str = "2026-06-01T12:00:00Z";

fn job(annotations: &str) -> String {
    format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job",
            "metadata":{{"name":"drop","annotations":{{{annotations}}}}},
            "spec":{{"template":{{"spec":{{"containers":[
            {{"name":"sql","image":"postgres:16","args":["psql","-c","DROP TABLE a"]}}]}}}}}}}}"#
    )
}

fn assess_at(annotations: &str) -> Standing {
    let json = job(annotations);
    let object = Object::parse(&json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let subject = Subject {
        object: &object,
        detections: &detections,
        facts: &facts,
        namespace: "shop",
        requester: "",
        now: NOW.parse().unwrap(),
    };
    assess(&Requirements::default(), &subject).standing(Operation::Destructive).clone()
}

fn digest_of_it() -> String {
    digest(&Object::parse(&job("")).unwrap()).to_string()
}

fn approved(until: &str, digest: &str) -> String {
    format!(
        r#""tidegate.dev/approved-by":"alice@example.com","tidegate.dev/approval-ticket":"DB-1",
           "tidegate.dev/approved-namespace":"shop","tidegate.dev/approved-until":"{until}","tidegate.dev/approved-digest":"{digest}""#
    )
}

fn reasons(annotations: &str) -> Vec<String> {
    match assess_at(annotations) {
        Standing::Invalid { reasons, .. } => reasons,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_approval_holds() {
    let annotations = approved("2026-06-02T12:00:00Z", &digest_of_it());
    assert_eq!(assess_at(&annotations), Standing::Valid);
}

#[test]
fn without_one_the_text_says_what_to_annotate() {
    let Standing::Missing { ask } = assess_at("") else { panic!() };
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
    assert_eq!(other, ["`tidegate.dev/approved-digest` is for something else than what will run"]);
    let annotations =
        approved("2026-06-02T12:00:00Z", &digest_of_it()).replace("alice@example.com", "  ");
    assert_eq!(reasons(&annotations), ["`tidegate.dev/approved-by` is missing or empty"]);
}

/// What the rule about backups is told.
#[test]
fn a_backup_waiver_counts_only_inside_an_approval_that_holds() {
    let assess = |annotations: &str, separate| {
        let json = job(annotations);
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
        let labels = Labels::new();
        let facts = Facts::new(Fact::Known(&labels));
        let now = NOW.parse().unwrap();
        let (object, detections, facts) = (&object, detections.as_slice(), &facts);
        let subject = Subject { object, detections, facts, namespace: "shop", requester: "", now };
        let requirements =
            Requirements { separation_of_duties: Some(separate), ..Requirements::default() };
        assess(&requirements, &subject)
    };
    let good = approved("2026-06-02T12:00:00Z", &digest_of_it());
    let ended = approved("2026-05-02T12:00:00Z", &digest_of_it());
    let waiver = r#","tidegate.dev/backup-waiver":"never written""#;
    let of = |annotations: &str| {
        let approval = assess(annotations, false);
        format!("{:?}", approval.backup_waiver(Operation::Destructive))
    };
    assert_eq!(of(&good), "Absent");
    assert_eq!(of(&format!("{good}{waiver}")), r#"Holds { reason: "never written" }"#);
    assert_eq!(of(&format!("{ended}{waiver}")), "DoesNotHold");
    assert_eq!(of(waiver.trim_start_matches(',')), "DoesNotHold");
    assert_eq!(of(&format!("{good}{}", waiver.replace("never written", " "))), "Absent");
    let approval = assess(&format!("{good}{waiver}"), true);
    let undecided = approval.backup_waiver(Operation::Destructive);
    assert!(matches!(undecided, BackupWaiver::Undecided { why } if why.contains("not known here")));
    let backed = assess(r#""tidegate.dev/backup":" s3-1 ""#, false);
    assert_eq!(backed.backup(), Some("s3-1"));
}
