//! Plans of real charts, as they were reviewed against what Argo CD and Helm do.
//!
//! The charts are others' and are not kept here: a snapshot has only the place, the role, the
//! kind, the name and the operation of each step. Where there is no corpus, the tests say that they
//! did not run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of a test"
)]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::Value;

/// The charts, each with why its plan is worth keeping.
const CHARTS: &[(&str, &str)] = &[
    ("argocd-example-helm-hooks", "hooks of an installation alone"),
    ("argocd-example-hooks", "hooks of three phases, and in waves of the sync"),
    ("bitnami-airflow", "a migration after the rollout"),
    ("bitnami-superset", "a Job that is no hook, of which only a name tells"),
    ("chatwoot", "a waiting initContainer says nothing about the Job; a test"),
    ("flagsmith", "an initContainer that migrates, and a Job of the same beside it"),
    ("gatekeeper", "an installation and an upgrade that differ"),
    ("hoppscotch-she", "a migration on installation alone"),
    ("hyperswitch-app", "two migrations of one weight, one after another"),
    ("konflux-misc", "several namespaces"),
    ("kyverno", "tests of Helm and hooks of a deletion in an Argo CD set"),
    ("openmetadata", "an initContainer, and schedules that are no part of the rollout"),
    ("osh-nova", "seven waves after the sync"),
    ("raw-cqox-rollout-alembic", "a Rollout"),
    ("raw-eks-liquibase-rollback", "a rollback that nobody approved"),
    ("raw-toxindex-flyway-repair", "history alone"),
    ("sentry", "hooks that are Deployments, which nobody waits for"),
    ("signoz", "one Job that migrates in three steps"),
    ("zitadel", "two migrations in waves before the sync"),
];

fn main() {
    let trials = match corpus() {
        Some(folder) => CHARTS
            .iter()
            .map(|(name, _)| {
                let file = folder.join(name).with_extension("yaml");
                Trial::test(*name, move || {
                    let summary = summary(&plan(&file));
                    insta::with_settings!({
                        snapshot_path => "plans", prepend_module_to_snapshot => false, omit_expression => true,
                    }, {
                        insta::assert_snapshot!(*name, summary);
                    });
                    Ok(())
                })
            })
            .collect(),
        None => vec![Trial::ignorable_test("real_charts", || {
            Ok(Completion::ignored_with("there is no corpus; TIDEGATE_CORPUS may name its folder"))
        })],
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/visible");
    let named = std::env::var_os("TIDEGATE_CORPUS").map(PathBuf::from);
    named.into_iter().chain([beside]).find(|folder| folder.is_dir())
}

fn plan(file: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.args(["plan", "--format", "json"]).arg(file).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// What is reviewed of a plan: one line a step.
fn summary(plan: &Value) -> String {
    let mut text = String::new();
    for release in array(&plan["releases"]) {
        let risk = release["risk"]["operation"].as_str().unwrap_or("none");
        let _ = writeln!(text, "{}, risk {risk}", release["engine"].as_str().unwrap());
        for run in array(&release["runs"]) {
            let rollouts: Vec<&str> =
                array(&run["rollouts"]).iter().map(|rollout| rollout.as_str().unwrap()).collect();
            let _ = writeln!(text, "{}", rollouts.join(" and "));
            for wave in array(&run["waves"]) {
                self::wave(wave, &mut text);
            }
            for own in array(&run["leftOut"]) {
                let why = own["why"].as_str().unwrap();
                let _ = writeln!(text, "  never ({why}): {}", object(&own["object"]));
            }
        }
        let open: Vec<&str> = array(&release["checklist"])
            .iter()
            .filter(|own| own["ticked"] == false)
            .map(|own| own["id"].as_str().unwrap())
            .collect();
        let _ = writeln!(text, "open: {}", open.join(", "));
    }
    text
}

fn wave(wave: &Value, text: &mut String) {
    let number = wave["wave"].as_i64().map(|wave| format!(" {wave}")).unwrap_or_default();
    let after = match wave["after"].as_u64() {
        Some(number) => format!(" after {number}"),
        None => String::new(),
    };
    let title = wave["title"].as_str().unwrap();
    let _ = writeln!(text, "  {} {title}{number}{after}", wave["number"]);
    for step in array(&wave["steps"]) {
        let word = |field: &str| step[field].as_str().unwrap();
        let _ = write!(
            text,
            "    {} {}, waits for {}",
            word("role"),
            object(&step["object"]),
            word("awaited")
        );
        if let Some(operation) = step["risk"]["operation"].as_str() {
            let approval = step["approval"]["state"].as_str().unwrap();
            let backup = step["backup"]["kind"].as_str().unwrap_or("-");
            let _ = write!(text, ": {operation}, approval {approval}, backup {backup}");
        }
        if let Some(deadline) = step["limits"]["deadline"]["kind"].as_str() {
            let runs = &step["limits"]["runs"];
            let _ = write!(text, "; deadline {deadline}, runs {runs}");
        }
        text.push('\n');
    }
}

fn object(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap(), object["name"].as_str().unwrap())
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}
