//! Charts and overlays, rendered by programs that the tests write, and by real ones where they are.

#![cfg(unix)]

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use crate::command::{Folder, Output};

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.0.0\n";
const OVERLAY: &str = "resources: [job.yaml]\n";
/// Argo CD drops it silently.
const JOB: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: shop
  annotations: {argocd.argoproj.io/hook: Presync}
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
";

fn folder(name: &str) -> Folder {
    Folder::new("rendered", name)
        .with("chart/Chart.yaml", CHART)
        .with("overlay/kustomization.yaml", OVERLAY)
        .with("overlay/job.yaml", JOB)
        .with("job.yaml", JOB)
}

/// A program of this name that does what the script says. It keeps its arguments.
fn program(folder: &Folder, name: &str, script: &str) {
    let path = folder.0.join("bin").join(name);
    fs::create_dir_all(folder.0.join("bin")).unwrap();
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$(dirname \"$0\")/{name}.args\"\n{script}\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs with nothing on the `PATH` but the programs of the folder and those of a plain system.
fn run(folder: &Folder, args: &[&str]) -> Output {
    let bin = folder.0.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for tool in ["cat", "dirname", "sleep", "head"] {
        let real = ["/bin", "/usr/bin"].map(|it| std::path::Path::new(it).join(tool));
        let real = real.iter().find(|real| real.exists()).unwrap();
        let _there = std::os::unix::fs::symlink(real, bin.join(tool));
    }
    folder.run_with(args, "", &[("PATH", bin.to_str().unwrap())])
}

fn args(folder: &Folder, name: &str) -> Vec<String> {
    folder.text(&format!("bin/{name}.args")).lines().map(str::to_owned).collect()
}

#[test]
fn a_chart_is_read_as_helm_renders_it() {
    let folder = folder("helm");
    program(&folder, "helm", "echo 'walk.go: found symbolic link' >&2\ncat job.yaml");
    let output = run(
        &folder,
        &[
            "check",
            "--helm-chart",
            "chart",
            "-f",
            "a b.yaml",
            "--values",
            "c.yaml",
            "--set",
            "x=$(touch owned);y",
            "--namespace",
            "shop",
            "--helm-release=mine",
            "--format=json",
        ],
    );
    assert_eq!(output.code, 1, "{}", output.err);
    assert!(output.out.contains("\"file\": \"helm template chart\""), "{}", output.out);
    assert!(output.out.contains("unknown-hook"));
    assert_eq!(output.err, "helm: walk.go: found symbolic link\n");
    assert_eq!(
        args(&folder, "helm"),
        [
            "template",
            "--namespace=shop",
            "--values=a b.yaml",
            "--values=c.yaml",
            "--set=x=$(touch owned);y",
            "--",
            "mine",
            "./chart",
        ]
    );
    assert!(!folder.0.join("owned").exists(), "no shell is involved");
}

#[test]
fn an_overlay_is_built_by_kustomize_or_by_kubectl() {
    let folder = folder("kustomize");
    program(&folder, "kubectl", "cat overlay/job.yaml");
    let output = run(&folder, &["check", "--kustomize", "overlay"]);
    assert_eq!((output.code, output.err.as_str()), (1, ""));
    assert_eq!(args(&folder, "kubectl"), ["kustomize", "--", "./overlay"]);
    program(&folder, "kustomize", "cat overlay/job.yaml");
    let output = run(&folder, &["check", "--kustomize", "overlay", "job.yaml"]);
    assert!(output.out.contains("2 objects checked in 2 files"), "{}", output.out);
    assert_eq!(args(&folder, "kustomize"), ["build", "--", "./overlay"]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = folder("missing");
    let output = run(&folder, &["check", "--helm-chart=chart", "--kustomize=overlay", "job.yaml"]);
    assert_eq!(output.code, 2);
    for want in [
        "`helm` is not installed",
        "--> helm template chart",
        "neither `kustomize` nor `kubectl` is installed",
        "--> kustomize build overlay",
        "1 object checked",
    ] {
        assert!(output.out.contains(want), "{want}: {}", output.out);
    }
}

#[test]
fn what_is_no_chart_is_never_downloaded() {
    let folder = folder("no-chart");
    program(&folder, "helm", "cat job.yaml");
    program(&folder, "kustomize", "cat job.yaml");
    for (option, want) in [
        ("--helm-chart=bitnami/postgresql", "there is no Chart.yaml in it"),
        ("--kustomize=https://example.com/base", "there is no kustomization.yaml in it"),
    ] {
        let output = run(&folder, &["check", option]);
        assert_eq!(output.code, 2);
        assert!(output.out.contains(want), "{}", output.out);
    }
    assert!(
        !folder.0.join("bin/helm.args").exists() && !folder.0.join("bin/kustomize.args").exists()
    );
}

#[test]
fn what_the_program_says_is_shown() {
    let folder = folder("fails");
    program(
        &folder,
        "helm",
        "echo 'coalesce.go: warning' >&2; echo 'Error: no template \"x\"' >&2; exit 3",
    );
    let output = run(&folder, &["check", "--helm-chart=chart"]);
    assert_eq!(output.code, 2);
    assert!(
        output.out.contains("error: `helm` failed (exit status: 3): Error: no template \"x\"\n"),
        "{}",
        output.out
    );
    assert_eq!(output.err, "helm: coalesce.go: warning\nError: no template \"x\"\n");
    program(&folder, "helm", "exit 0");
    let output = run(&folder, &["check", "--helm-chart=chart"]);
    assert_eq!(output.code, 2, "nothing rendered is not clean");
    program(&folder, "helm", "printf 'a: \\377\\n'");
    let output = run(&folder, &["check", "--helm-chart=chart"]);
    assert!(output.out.contains("--> helm template chart:1:4"), "{}", output.out);
    fs::set_permissions(folder.0.join("bin/helm"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = run(&folder, &["check", "--helm-chart=chart"]);
    assert_eq!(output.code, 2);
    assert!(output.out.contains("`helm` cannot be run"), "{}", output.out);
}

#[test]
fn much_output_on_both_streams_blocks_nobody() {
    let folder = folder("much");
    program(
        &folder,
        "helm",
        "head -c 400000 /dev/zero >&2\necho 'a: |'\necho '  x'\nhead -c 300000 /dev/zero\ncat job.yaml",
    );
    let output = run(&folder, &["check", "--helm-chart=chart"]);
    assert_eq!(output.code, 2, "zeros are no YAML");
    assert!(output.err.len() > 400_000);
}

#[test]
fn a_program_that_does_not_end_is_stopped() {
    let folder = folder("late");
    program(&folder, "helm", "exec sleep 600");
    let start = Instant::now();
    let output = run(&folder, &["check", "--helm-chart=chart", "--render-timeout=1"]);
    assert_eq!(output.code, 2);
    assert!(output.out.contains("`helm` took longer than 1 s and was stopped"), "{}", output.out);
    assert!(start.elapsed() < Duration::from_mins(1));
}

#[test]
fn what_is_rendered_cannot_be_written() {
    let folder = folder("write");
    program(&folder, "helm", "cat job.yaml");
    let output = run(&folder, &["fix", "--helm-chart=chart"]);
    assert_eq!(output.code, 1);
    assert!(output.out.starts_with("--- a/helm template chart\t\n"), "{}", output.out);
    let output = run(&folder, &["fix", "--helm-chart=chart", "--write"]);
    assert_eq!(output.code, 2);
    assert!(output.err.contains("only files can be changed"), "{}", output.err);
}

#[test]
fn options_of_a_chart_need_one() {
    let folder = folder("needs");
    for option in ["--set=a=b", "--values=a.yaml", "--helm-release=a"] {
        let output = run(&folder, &["check", "job.yaml", option]);
        assert_eq!(output.code, 2);
        assert!(output.err.contains("--helm-chart"), "{}", output.err);
    }
    assert_eq!(run(&folder, &["check"]).code, 2);
}

/// The real programs, where they are installed.
#[test]
fn real_programs_render_what_is_checked() {
    let template = JOB.replace("Presync", "{{ .Values.hook }}");
    let folder = folder("real").with("chart/templates/job.yaml", template);
    let path = env::var("PATH").unwrap();
    let there = |program: &str, arg: &str| {
        let found = Command::new(program).arg(arg).output().is_ok();
        if !found {
            writeln!(std::io::stderr(), "skipped: there is no {program}").unwrap();
        }
        found
    };
    if there("helm", "version") {
        let args = ["check", "--helm-chart=chart", "--set=hook=Presync", "--format=json"];
        let output = folder.run_with(&args, "", &[("PATH", &path)]);
        assert_eq!(output.code, 1, "{}", output.err);
        assert!(output.out.contains("\"origin\": \"shop/templates/job.yaml\""), "{}", output.out);
    }
    if there("kubectl", "help") || there("kustomize", "version") {
        let output = folder.run_with(&["check", "--kustomize=overlay"], "", &[("PATH", &path)]);
        assert_eq!(output.code, 1, "{}{}", output.out, output.err);
        assert!(output.out.contains("unknown-hook"), "{}", output.out);
    }
}
