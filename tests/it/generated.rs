//! Pages that are made from the code. `UPDATE_GENERATED=1 cargo test` writes them; `cargo test`
//! compares.

use std::{collections::BTreeSet, env, fs, path::Path};

use tidegate::{
    detect::sql::HAZARDS,
    policy, policy_test,
    render::rule_page::{codes, index, page},
    rules,
};

const PAGES: &str = "docs/rules";

#[test]
fn rule_pages_are_current() {
    for rule in rules::ALL {
        assert_current(&Path::new(PAGES).join(format!("{}.md", rule.id)), &page(rule));
    }
    assert_current(&Path::new(PAGES).join("README.md"), &index(rules::ALL));
    assert_current(Path::new("docs/sql-codes.md"), &codes(HAZARDS));
}

#[test]
fn the_policy_schema_is_current() {
    let schema = serde_json::to_string_pretty(&policy::json_schema()).unwrap();
    assert_current(Path::new("docs/policy-schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_exception_schema_is_current() {
    let schema = serde_json::to_string_pretty(&policy::exception_schema()).unwrap();
    assert_current(Path::new("docs/exception-schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_approval_schema_is_current() {
    let schema = serde_json::to_string_pretty(&policy::approval_schema()).unwrap();
    assert_current(Path::new("docs/approval-schema.json"), &format!("{schema}\n"));
}

/// What `docs/plan.md` shows is what `plan` prints.
#[test]
fn the_page_about_plans_shows_real_output() {
    let page = fs::read_to_string("docs/plan.md").unwrap();
    let set = [
        "tests/manifests/app-deployment.yaml",
        "tests/manifests/argocd-backup-job.yaml",
        "tests/manifests/argocd-migration-job.yaml",
        "tests/manifests/argocd-verification-job.yaml",
    ];
    let diff = ["--diff", "tests/plans/shop/before", "tests/plans/shop/after"];
    for args in [&set[..], &diff[..]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = command.arg("plan").args(args).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(page.contains(printed.trim_end()), "docs/plan.md does not show this:\n{printed}");
    }
}

#[test]
fn the_schema_of_the_decision_log_is_current() {
    let schema = serde_json::to_string_pretty(&tidegate::webhook::decision_schema()).unwrap();
    assert_current(Path::new("docs/decision-log-schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_schema_of_plans_is_current() {
    let schema = serde_json::to_string_pretty(&tidegate::render::plan::json_schema()).unwrap();
    assert_current(Path::new("docs/plan-schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_schema_of_scans_is_current() {
    let schema = serde_json::to_string_pretty(&tidegate::render::scan::json_schema()).unwrap();
    assert_current(Path::new("docs/scan-schema.json"), &format!("{schema}\n"));
}

#[test]
fn the_custom_resource_definitions_are_current() {
    let text = tidegate::cli::policy::crd().unwrap();
    assert_eq!(tidegate::source::documents(&text).len(), 3);
    assert_current(Path::new("deploy/helm/tidegate/files/crds.yaml"), &text);
}

#[test]
fn the_schema_of_policy_tests_is_current() {
    let schema = serde_json::to_string_pretty(&policy_test::json_schema()).unwrap();
    assert_current(Path::new("docs/policy-test-schema.json"), &format!("{schema}\n"));
}

/// What the README shows of `check` is what it prints.
#[test]
fn the_readme_shows_real_output() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "tests/rules/migration-in-init-container/fail-example.yaml"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let readme = fs::read_to_string("README.md").unwrap();
    assert!(readme.contains(printed.trim_end()), "README.md does not show this:\n{printed}");
    assert_eq!(output.status.code(), Some(1));
}

/// Every policy that the repository offers loads.
#[test]
fn offered_policies_load() {
    let folders = |folder: &str| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir() && !path.ends_with("examples")).collect::<Vec<_>>()
    };
    let folders = [folders("policies"), folders("policies/examples")].concat();
    assert!(folders.len() >= 9, "{folders:?}");
    let index = fs::read_to_string("policies/README.md").unwrap();
    for folder in folders {
        let file = folder.join("policy.yaml");
        let text = fs::read_to_string(&file).unwrap();
        policy::parse(&text, &file.display().to_string()).unwrap();
        assert!(folder.join("README.md").is_file(), "{} has no README.md", folder.display());
        let name = folder.strip_prefix("policies").unwrap().display().to_string();
        assert!(
            index.contains(&format!("]({name}/README.md)")),
            "policies/README.md does not name {name}"
        );
    }
    let text = fs::read_to_string("policies/examples/exceptions/exception.yaml").unwrap();
    assert_eq!(policy::read(&text, "exception.yaml").unwrap().exceptions.len(), 1);
}

#[test]
fn there_is_no_page_of_a_rule_that_is_gone() {
    let known: BTreeSet<String> = rules::ALL.iter().map(|rule| format!("{}.md", rule.id)).collect();
    for entry in fs::read_dir(PAGES).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || known.contains(&name), "{PAGES}/{name}: no such rule");
    }
}

pub fn assert_current(path: &Path, want: &str) {
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(path, want).unwrap();
    }
    let have = fs::read_to_string(path).unwrap_or_default();
    assert!(have == want, "{} is stale: run `UPDATE_GENERATED=1 cargo test`", path.display());
}
