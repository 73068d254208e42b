//! Every recorded review gets the verdict that it should.

use tidegate::decision::Outcome;

use super::support::{judge_review, mutate_review, path, refusals, review};

/// The rules that refuse each recorded call of the validating webhook; in the recordings nothing
/// had been filled in.
const VALIDATE: [(&str, Outcome, &[&str]); 20] = [
    ("create-cronjob-backfill", Outcome::Admitted, &[]),
    ("create-deployment-clean", Outcome::Admitted, &[]),
    (
        "create-deployment-migration-init-container",
        Outcome::Refused,
        &["migration-in-init-container"],
    ),
    ("create-job-argocd-backup", Outcome::Admitted, &[]),
    (
        "create-job-argocd-migration",
        Outcome::Refused,
        &["root-migration", "unbounded-migration-job", "unlimited-migration"],
    ),
    (
        "create-job-generate-name-drop-column",
        Outcome::Refused,
        &[
            "destructive-without-backup",
            "root-migration",
            "unapproved-destructive-migration",
            "unbounded-migration-job",
            "unlimited-migration",
        ],
    ),
    (
        "create-job-helm-hook",
        Outcome::Refused,
        &["root-migration", "unbounded-migration-job", "unlimited-migration"],
    ),
    ("create-job-manual-from-cronjob", Outcome::Admitted, &[]),
    (
        "create-pod-bare-migration",
        Outcome::Refused,
        &["inline-credentials", "root-migration", "unlimited-migration"],
    ),
    ("create-pod-by-replicaset-controller", Outcome::ControllerChild, &[]),
    ("create-replicaset-by-deployment-controller", Outcome::ControllerChild, &[]),
    ("delete-job", Outcome::NotJudged, &[]),
    ("update-deployment-annotate-existing-violation", Outcome::Unchanged, &[]),
    ("update-deployment-rollout-restart-existing-violation", Outcome::Admitted, &[]),
    ("update-deployment-scale-subresource", Outcome::NotJudged, &[]),
    ("update-job-status-by-job-controller", Outcome::NotJudged, &[]),
    ("update-job-suspend", Outcome::Admitted, &[]),
    (
        "update-pod-ephemeral-container",
        Outcome::Refused,
        &[
            "destructive-without-backup",
            "migration-in-ephemeral-container",
            "unapproved-destructive-migration",
        ],
    ),
    ("update-pod-finalizer-by-job-controller", Outcome::Unchanged, &[]),
    ("update-replicaset-by-deployment-controller", Outcome::ControllerChild, &[]),
];

#[test]
fn every_recorded_validation_gets_its_verdict() {
    for (name, outcome, rules) in VALIDATE {
        let verdict = judge_review(&review(&format!("validate-{name}")));
        assert_eq!(verdict.outcome, outcome, "{name}: {verdict:#?}");
        assert_eq!(refusals(&verdict), rules, "{name}");
        assert_eq!(verdict.allowed(), rules.is_empty(), "{name}");
    }
}

#[test]
fn no_recording_is_left_out() {
    let count = |prefix: &str| {
        std::fs::read_dir(path("tests/reviews"))
            .unwrap()
            .filter(|entry| {
                entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(prefix)
            })
            .count()
    };
    assert_eq!(count("validate-"), VALIDATE.len());
    assert_eq!(count("mutate-"), MUTATE.len());
}

/// Which recorded calls of the mutating webhook get a patch.
const MUTATE: [(&str, bool); 9] = [
    ("create-cronjob-backfill", false),
    ("create-deployment-migration-init-container", false),
    ("create-job-argocd-backup", true),
    ("create-job-argocd-migration", true),
    ("create-job-argocd-verification", true),
    ("create-job-generate-name-drop-column", true),
    ("create-job-helm-hook", true),
    ("create-job-helm-hook-dry-run", true),
    ("create-pod-by-job-controller", false),
];

#[test]
fn only_hook_jobs_are_patched_and_twice_is_once() {
    for (name, patched) in MUTATE {
        let mut review = review(&format!("mutate-{name}"));
        let mutation = mutate_review(&review);
        assert_eq!(!mutation.is_empty(), patched, "{name}: {mutation:#?}");
        let object = &mut review["request"]["object"];
        json_patch::patch(object, &mutation.patch).unwrap();
        assert!(mutate_review(&review).is_empty(), "{name}: patched twice");
    }
}

#[test]
fn after_mutation_only_what_people_must_say_is_left() {
    for (name, rules) in [
        ("create-job-argocd-backup", &[][..]),
        ("create-job-argocd-migration", &[]),
        ("create-job-argocd-verification", &[]),
        ("create-job-helm-hook", &[]),
        (
            "create-job-generate-name-drop-column",
            &["destructive-without-backup", "unapproved-destructive-migration"],
        ),
    ] {
        let mut review = review(&format!("mutate-{name}"));
        let mutation = mutate_review(&review);
        json_patch::patch(&mut review["request"]["object"], &mutation.patch).unwrap();
        let verdict = judge_review(&review);
        assert_eq!(refusals(&verdict), rules, "{name}: {verdict:#?}");
    }
}
