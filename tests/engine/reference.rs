//! The reference manifests: the recommended layout is admitted and filled in, and a digest made
//! from the file holds for the object that the API server shows.

use serde_json::Value;
use tidegate::{model::Object, policy::digest};

use super::support::{
    default_policies, filled_in, judge, manifest, mutate_review, refusals, review,
};

const LAYOUT: [(&str, bool); 5] = [
    ("argocd-backup-job", true),
    ("argocd-migration-job", true),
    ("app-deployment", false),
    ("argocd-verification-job", true),
    ("helm-hook-job", true),
];

#[test]
fn the_recommended_layout_is_admitted_and_filled_in() {
    for (name, patched) in LAYOUT {
        let object = manifest(&format!("tests/manifests/{name}.yaml"));
        let (object, mutation) = filled_in(&object);
        assert_eq!(!mutation.is_empty(), patched, "{name}");
        let verdict = judge(&default_policies(), &object);
        assert_eq!(refusals(&verdict), [""; 0], "{name}: {verdict:#?}");
    }
}

#[test]
fn what_is_filled_in_is_recorded_and_reads_well() {
    let (object, mutation) = filled_in(&manifest("tests/manifests/argocd-migration-job.yaml"));
    insta::assert_snapshot!(mutation.added.join("\n"));
    insta::assert_json_snapshot!(object["metadata"]);
}

fn digest_of(object: &Value) -> String {
    digest(&Object::parse(&object.to_string()).unwrap()).to_string()
}

#[test]
fn the_digest_of_the_file_is_the_digest_of_the_admitted_object() {
    for (file, recording) in [
        ("argocd-backup-job", "mutate-create-job-argocd-backup"),
        ("argocd-backup-job", "validate-create-job-argocd-backup"),
        ("argocd-backup-job", "validate-update-job-suspend"),
        ("argocd-migration-job", "mutate-create-job-argocd-migration"),
        ("argocd-migration-job", "validate-create-job-argocd-migration"),
        ("argocd-verification-job", "mutate-create-job-argocd-verification"),
        ("helm-hook-job", "mutate-create-job-helm-hook"),
        ("helm-hook-job", "validate-create-job-helm-hook"),
    ] {
        let file = manifest(&format!("tests/manifests/{file}.yaml"));
        let recorded = review(recording);
        let wanted = digest_of(&file);
        assert_eq!(digest_of(&recorded["request"]["object"]), wanted, "{recording}");
        assert_eq!(digest_of(&filled_in(&file).0), wanted, "{recording}: after mutation");
    }
}

#[test]
fn a_generated_name_keeps_its_digest() {
    let mut before = review("mutate-create-job-generate-name-drop-column");
    let after = review("validate-create-job-generate-name-drop-column");
    let wanted = digest_of(&after["request"]["object"]);
    assert_eq!(digest_of(&before["request"]["object"]), wanted);
    let mutation = mutate_review(&before);
    json_patch::patch(&mut before["request"]["object"], &mutation.patch).unwrap();
    assert_eq!(digest_of(&before["request"]["object"]), wanted);
}

/// What the API server would refuse must not be filled in.
#[test]
fn nothing_is_filled_in_that_could_not_be_admitted() {
    let job = manifest("tests/manifests/argocd-migration-job.yaml");
    let with = |field: &str, value: Value| {
        let mut job = job.clone();
        job["spec"]["template"]["spec"][field] = value;
        filled_in(&job).1.added.join("\n")
    };
    let windows = with("os", serde_json::json!({"name": "windows"}));
    for linux_only in ["seccompProfile", "capabilities", "allowPrivilegeEscalation", "runAsUser"] {
        assert!(!windows.contains(linux_only), "{windows}");
    }
    assert!(windows.contains("runAsNonRoot=true"), "{windows}");
    let bounded = with("resources", serde_json::json!({"limits": {"memory": "256Mi"}}));
    assert!(!bounded.contains("resources"), "{bounded}");
}
