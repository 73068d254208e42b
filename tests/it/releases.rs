//! What `tidegate check` counts as one release.

use std::{fs, process::Command};

use serde_json::Value;

const HOOK: &str = "argocd.argoproj.io/hook";

fn job(annotations: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate, annotations: {annotations}}}\n\
         spec: {{template: {{spec: {{containers: [{{name: a, image: a, command: [rails, 'db:migrate']}}]}}}}}}\n"
    )
}

fn deployment(annotations: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, annotations: {annotations}}}\n\
         spec: {{template: {{spec: {{containers: [{{name: a, image: a}}]}}}}}}\n"
    )
}

fn application(name: &str, path: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\n\
         spec: {{source: {{path: {path}}}, destination: {{namespace: shop}}}}\n"
    )
}

/// The files in which a migration comes too late for an application beside it.
fn late(files: &[(&str, String)], args: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "--format=json"])
        .args(args)
        .args([".", "--fail-on=never"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = json["results"].as_array().unwrap().iter();
    let late = results.filter(|result| {
        let findings = result["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["rule"] == "migration-after-rollout")
    });
    late.map(|result| result["file"].as_str().unwrap().trim_start_matches("./").to_owned())
        .collect()
}

#[test]
fn a_folder_is_a_release() {
    let files = [("a/job.yaml", job("{}")), ("b/web.yaml", deployment("{}"))];
    assert_eq!(late(&files, &[]), [""; 0]);
    assert_eq!(late(&files, &["--split=none"]), ["a/job.yaml"]);
    let files = [("a/job.yaml", job("{}")), ("a/web.yaml", deployment("{}"))];
    assert_eq!(late(&files, &[]), ["a/job.yaml"]);
    assert_eq!(late(&files, &["--split=file"]), [""; 0]);
}

#[test]
fn environments_side_by_side_are_releases_of_their_own() {
    let early = format!("{{{HOOK}: PreSync}}");
    let files = [
        ("staging.yaml", job("{}") + "---\n" + &deployment("{}")),
        ("production.yaml", job(&early) + "---\n" + &deployment("{}")),
    ];
    assert_eq!(late(&files, &[]), ["staging.yaml"]);
    // One in common is a slip in one release.
    let files =
        [("job.yaml", job("{}")), ("job-again.yaml", job("{}")), ("web.yaml", deployment("{}"))];
    assert_eq!(late(&files, &[]), ["job-again.yaml", "job.yaml"]);
}

#[test]
fn tracked_objects_belong_to_their_application() {
    let tracked =
        |app: &str| format!("{{argocd.argoproj.io/tracking-id: '{app}:apps/Deployment:shop/x'}}");
    let two = job(&tracked("one")) + "---\n" + &deployment(&tracked("other"));
    assert_eq!(late(&[("all.yaml", two)], &[]), [""; 0]);
    let one = [("a/job.yaml", job(&tracked("one"))), ("b/web.yaml", deployment(&tracked("one")))];
    assert_eq!(late(&one, &[]), ["a/job.yaml"]);
}

#[test]
fn an_application_has_what_its_path_holds() {
    let files = |path: &str| {
        [
            ("apps/shop.yaml", application("shop", path)),
            ("deploy/shop/jobs/job.yaml", job("{}")),
            ("deploy/shop/web.yaml", deployment("{}")),
        ]
    };
    assert_eq!(late(&files("deploy/shop"), &[]), ["deploy/shop/jobs/job.yaml"]);
    assert_eq!(late(&files("deploy/sho"), &[]), [""; 0]);
    assert_eq!(late(&files("."), &[]), [""; 0]);
}

#[test]
fn helm_runs_hooks_where_argo_cd_has_none() {
    let hook = |extra: &str| format!("{{helm.sh/hook: post-upgrade{extra}}}");
    let files = [("all.yaml", job(&hook("")) + "---\n" + &deployment("{}"))];
    assert_eq!(late(&files, &[]), ["all.yaml"]);
    assert_eq!(late(&files, &["--engine=argocd"]), ["all.yaml"]);
    let weighted = hook(&format!(", {HOOK}: PreSync"));
    let files = [("all.yaml", job(&weighted) + "---\n" + &deployment("{}"))];
    assert_eq!(late(&files, &[]), [""; 0]);
    assert_eq!(late(&files, &["--engine=helm"]), ["all.yaml"]);
}
