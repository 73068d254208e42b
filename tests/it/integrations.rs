//! What other systems run tidegate with: the files are well formed, and what they call is there.

#![cfg(unix)]

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tidegate::source::documents;

use crate::command::{Folder, Output};

/// `unknown-hook`, which is refused.
const JOB: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: shop
  annotations: {argocd.argoproj.io/hook: Presync}
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
";

fn yaml(file: &str) -> Value {
    let text = fs::read_to_string(file).unwrap();
    documents(&text).remove(0).unwrap_or_else(|error| panic!("{file}: {error}")).value().clone()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A program of this name in `bin`, which keeps its arguments, one a line.
fn program(folder: &Folder, name: &str, script: &str) {
    let bin = folder.0.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" '' >> \"{}/{name}.args\"\n{script}\n",
        bin.display()
    );
    fs::write(bin.join(name), text).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a script of `deploy/` in the folder, with the programs of `bin` before all others.
fn script(folder: &Folder, script: &str, args: &[&str], vars: &[(&str, &str)]) -> Output {
    let path = format!("{}:{}", folder.0.join("bin").display(), env::var("PATH").unwrap());
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .args(args)
        .current_dir(&folder.0)
        .env("PATH", path)
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A `tidegate` that plans by itself and is the real one for the rest.
fn planner(folder: &Folder, plan: &str) {
    let real = env!("CARGO_BIN_EXE_tidegate");
    program(
        folder,
        "tidegate",
        &format!("if [ \"$1\" = plan ]; then {plan}; else exec {real} \"$@\"; fi"),
    );
}

#[test]
fn the_script_of_ci_plans_and_checks() {
    let folder = Folder::new("ci", "run").with("deploy/job.yaml", JOB).with("a b.yaml", JOB);
    planner(&folder, "echo '# the plan'");
    let vars = [
        ("TIDEGATE_PATHS", "deploy\n\na b.yaml\r\n"),
        ("TIDEGATE_NAMESPACE", "shop; touch owned"),
        ("TIDEGATE_NAMESPACE_LABELS", "a=b,c=$(touch owned)"),
        ("TIDEGATE_FAIL_ON", "deny"),
        ("TIDEGATE_FORMAT", "github"),
    ];
    let output = script(&folder, "deploy/ci/run", &[], &vars);
    assert_eq!(output.code, 1, "{}", output.err);
    assert!(output.out.contains("::error "), "{}", output.out);
    assert_eq!(folder.text(".tidegate/plan.md"), "# the plan\n");
    let sarif: Value = serde_json::from_str(&folder.text(".tidegate/tidegate.sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 2);
    assert!(folder.text(".tidegate/code-quality.json").starts_with('['));
    assert!(!folder.0.join("owned").exists());
    let plan = "plan\n--namespace=shop; touch owned\n--namespace-labels=a=b,c=$(touch owned)\n\
                --fail-on=deny\n--format=markdown\n--\ndeploy\na b.yaml\n";
    assert!(folder.text("bin/tidegate.args").starts_with(plan));
}

#[test]
fn the_script_of_ci_shows_what_a_change_does_and_ends_as_check_does() {
    let folder = Folder::new("ci", "base").with("new/job.yaml", JOB.replace("Presync", "PreSync"));
    planner(&folder, "echo plan");
    let vars = [("TIDEGATE_PATHS", "new"), ("TIDEGATE_BASE", "old"), ("TIDEGATE_OUT", "out")];
    assert_eq!(script(&folder, "deploy/ci/run", &[], &vars).code, 0);
    let args = folder.text("bin/tidegate.args");
    assert!(args.starts_with("plan\n--format=markdown\n--diff\nold\nnew\n"), "{args}");
    planner(&folder, "exit 2");
    assert_eq!(script(&folder, "deploy/ci/run", &[], &vars).code, 2, "no plan is not clean");
    assert!(folder.0.join("out/tidegate.sarif").exists(), "it is checked all the same");
    planner(&folder, "echo plan");
    let vars = [("TIDEGATE_PATHS", "gone"), ("TIDEGATE_OUT", "out")];
    assert_eq!(script(&folder, "deploy/ci/run", &[], &vars).code, 2);
}

#[test]
fn a_plan_is_posted_once_and_then_updated() {
    let folder = Folder::new("ci", "comment").with("plan.md", "# plan `$(touch owned)`\n");
    let vars = [("GITHUB_REPOSITORY", "shop/shop")];
    let gh = |ids: &str| {
        let keep =
            "for a in \"$@\"; do case $a in body=@*) cp \"${a#body=@}\" body.md;; esac; done";
        program(
            &folder,
            "gh",
            &format!("case \"$*\" in *--paginate*) printf '{ids}';; esac; {keep}"),
        );
        let _gone = fs::remove_file(folder.0.join("bin/gh.args"));
        let output =
            script(&folder, "deploy/ci/github-comment", &["plan.md", "7", "pro\"d"], &vars);
        assert_eq!((output.code, output.err.as_str()), (0, ""));
        folder.text("bin/gh.args")
    };
    let posted = gh("");
    assert!(posted.contains("POST\nrepos/shop/shop/issues/7/comments\n"), "{posted}");
    assert!(posted.contains("startswith(\"<!-- tidegate plan: pro-d -->\")"), "{posted}");
    let body = folder.text("body.md");
    assert_eq!(body, "<!-- tidegate plan: pro-d -->\n# plan `$(touch owned)`\n");
    let updated = gh("11\\n12\\n");
    assert!(updated.contains("PATCH\nrepos/shop/shop/issues/comments/11\n"), "{updated}");
    fs::write(folder.0.join("plan.md"), "ä line of the plan\n".repeat(9_000)).unwrap();
    gh("");
    let body = folder.text("body.md");
    assert!(
        body.len() < 65_536 && body.ends_with("see the job for all of it._\n"),
        "{}",
        body.len()
    );
}

#[test]
fn the_action_calls_what_is_there_and_reads_no_input_as_a_command() {
    let action = yaml("action.yml");
    let inputs = keys(&action["inputs"]);
    let text = fs::read_to_string("action.yml").unwrap();
    for name in text.split("inputs.").skip(1) {
        let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
        assert!(inputs.contains(&name), "there is no input `{name}`");
    }
    for input in inputs {
        assert!(text.contains(&format!("inputs.{input}")), "the input `{input}` is never used");
    }
    let steps = action["runs"]["steps"].as_array().unwrap();
    let ids: Vec<&str> = steps.iter().filter_map(|step| step["id"].as_str()).collect();
    for step in text.split("steps.").skip(1) {
        let id = step.split('.').next().unwrap();
        assert!(ids.contains(&id), "there is no step `{id}`");
    }
    for step in steps {
        let run = step["run"].as_str().unwrap_or_default();
        assert!(!run.contains("${{"), "an expression in a script: {run}");
        assert_eq!(step["run"].is_string(), step["shell"].is_string());
        for path in run.split("$ACTION/").skip(1) {
            let path = path.split('"').next().unwrap();
            assert!(Path::new(path).is_file(), "{path}");
        }
    }
    let script = fs::read_to_string("deploy/ci/run").unwrap();
    let run = steps.iter().find(|step| step["id"] == "run").unwrap();
    for variable in keys(&run["env"]).iter().filter(|name| name.starts_with("TIDEGATE_")) {
        assert!(
            script.contains(&format!("${{{variable}:-")),
            "the script does not read {variable}"
        );
    }
}

#[test]
fn the_other_templates_call_what_is_there() {
    let image = fs::read_to_string("deploy/docker/ci.Dockerfile").unwrap();
    let gitlab = yaml("deploy/ci/gitlab.yml");
    let script = gitlab[".tidegate"]["script"].to_string();
    for name in script.split("/usr/local/lib/tidegate/").skip(1) {
        let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
        assert!(Path::new("deploy/ci").join(name).is_file(), "{name}");
        assert!(image.contains(&format!("/src/deploy/ci/{name} ")), "{name} is not in the image");
    }
    let hooks = yaml(".pre-commit-hooks.yaml");
    for hook in hooks.as_array().unwrap() {
        let entry = hook["entry"].as_str().unwrap();
        let folder = Folder::new("ci", hook["id"].as_str().unwrap()).with("job.yaml", JOB);
        let args: Vec<&str> = entry.split(' ').skip(1).chain(["job.yaml"]).collect();
        let output = folder.run(&args);
        assert!(entry.starts_with("tidegate ") && output.code < 2, "{entry}: {}", output.err);
    }
}

#[test]
fn a_krew_manifest_is_made_of_archives() {
    let folder = Folder::new("ci", "krew")
        .with("tidegate-linux-amd64.tar.gz", "one")
        .with("out/tidegate-darwin-arm64.tar.gz", "two")
        .with("windows.zip", "three");
    let args = [
        "1.2.3",
        "https://example.com/v1.2.3/",
        "tidegate-linux-amd64.tar.gz",
        "out/tidegate-darwin-arm64.tar.gz",
    ];
    let output = script(&folder, "deploy/krew/render", &args, &[]);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    assert!(!output.out.contains('@'), "{}", output.out);
    let manifest = documents(&output.out).remove(0).unwrap().value().clone();
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["spec"]["version"], "v1.2.3");
    // krew-index takes 50 characters.
    assert!(manifest["spec"]["shortDescription"].as_str().unwrap().len() <= 50);
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    assert_eq!(platforms[1]["uri"], "https://example.com/v1.2.3/tidegate-darwin-arm64.tar.gz");
    assert_eq!(platforms[1]["selector"]["matchLabels"]["arch"], "arm64");
    // The sum of "one", as sha256sum has it.
    let sum = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(platforms[0]["sha256"], sum);
    assert_eq!(
        script(&folder, "deploy/krew/render", &["1", "https://e", "windows.zip"], &[]).code,
        2
    );
}

#[test]
fn as_a_plugin_of_kubectl_it_is_called_like_one() {
    let folder = Folder::new("ci", "plugin");
    let plugin: PathBuf = folder.0.join("kubectl-tidegate");
    symlink(env!("CARGO_BIN_EXE_tidegate"), &plugin).unwrap();
    let help = |args: &[&str]| {
        let output = Command::new(&plugin).args(args).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(
        help(&["--help"]).contains("Usage: kubectl tidegate <COMMAND>"),
        "{}",
        help(&["--help"])
    );
    assert!(help(&["check", "-h"]).contains("Usage: kubectl tidegate check "));
    assert!(help(&["check"]).contains("Usage: kubectl tidegate check "));
    let own = folder.run(&["check", "-h"]).out;
    assert!(own.contains("Usage: tidegate check "), "{own}");
}
