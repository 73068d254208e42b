//! Exceptions: they excuse exactly what they name, and not for ever.

use serde_json::{Value, json};
use tidegate::{
    decision::{Effect, Outcome, Verdict, validate},
    model::{Change, Fact, Facts, Labels},
    policy::{ExceptionSet, PolicySet, read},
};

use super::support::{judge_update, now, policy, refusals};

/// Later than the present of the tests, and within 90 days of it.
const SOON: &str = "2026-12-31T00:00:00Z";

fn exception(spec: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationException\n\
         metadata: {{name: legacy, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

fn policies(spec: &str, exceptions: &str) -> PolicySet {
    let exceptions = read(exceptions, "exceptions.yaml").unwrap().exceptions;
    PolicySet::new(vec![policy(spec)]).with_exceptions(ExceptionSet::new(exceptions, "default"))
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "shop-web", "namespace": "shop", "labels": {"team": "shop"}},
        "spec": {"replicas": 3, "template": {"spec": {
            "initContainers": [
                {"name": "migrate", "image": "shop:1", "command": ["rails", "db:migrate"]},
            ],
            "containers": [{"name": "web", "image": "shop:1"}],
        }}},
    })
}

fn judge_in(policies: &PolicySet, namespace: &str, object: &Value) -> Verdict {
    let (json, labels) = (object.to_string(), Labels::new());
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let facts = Facts::new(Fact::Known(&labels));
    validate(policies, &Change::create(namespace, name, &json), &facts, now())
}

fn with(fields: &str) -> String {
    exception(&format!(
        "{{rules: [migration-in-init-container], reason: old, ticket: SHOP-1, expires: '{SOON}', {fields}}}"
    ))
}

#[test]
fn an_exception_excuses_and_says_so() {
    let verdict =
        judge_in(&policies("{}", &with("match: {kinds: [Deployment]}")), "shop", &deployment());
    assert_eq!(verdict.outcome, Outcome::Admitted);
    assert_eq!(verdict.findings[0].effect, Effect::Excepted);
    assert!(verdict.warnings().is_empty());
    let line = &verdict.findings[0].line;
    let says = "(excused by exception `legacy` (SHOP-1) until 2026-12-31T00:00:00Z)";
    assert!(line.starts_with("migration-in-init-container: ") && line.ends_with(says), "{line}");
    assert_eq!(verdict.audit_annotations()["excepted-rules"], "migration-in-init-container");
}

#[test]
fn everything_that_is_given_must_match() {
    for (matches, namespace, excused) in [
        ("{names: ['*']}", "shop", true),
        ("{names: ['*']}", "other", false),
        ("{names: ['*']}", "", false),
        ("{names: [shop-*]}", "shop", true),
        ("{names: [shop]}", "shop", false),
        ("{kinds: [apps/Deployment]}", "shop", true),
        ("{kinds: [batch/Deployment]}", "shop", false),
        ("{kinds: [StatefulSet, Deployment]}", "shop", true),
        ("{kinds: [Deployment], names: [other]}", "shop", false),
        ("{selector: {matchLabels: {team: shop}}}", "shop", true),
        ("{selector: {matchLabels: {team: other}}}", "shop", false),
        ("{selector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}", "shop", false),
    ] {
        let policies = policies("{}", &with(&format!("match: {matches}")));
        let verdict = judge_in(&policies, namespace, &deployment());
        assert_eq!(verdict.allowed(), excused, "{matches} in `{namespace}`");
    }
    let other = with("match: {names: ['*']}").replace("migration-in-init-container", "other-rule");
    assert!(!judge_in(&policies("{}", &other), "shop", &deployment()).allowed());
}

#[test]
fn what_does_not_hold_excuses_nothing_and_the_refusal_says_why() {
    let whole = with("match: {names: ['*']}");
    for (spec, text, why) in [
        ("{}", whole.replace(SOON, "2026-01-01T00:00:00Z"), "it expired at 2026-01-01T00:00:00Z"),
        ("{}", whole.replace(SOON, "2030-01-01T00:00:00Z"), "further away than the 2160h"),
        ("{}", whole.replace("ticket: SHOP-1, ", ""), "the policy demands a ticket"),
        ("{exceptions: {maxAge: 24h}}", whole.clone(), "further away than the 24h"),
        ("{exceptions: {allow: false}}", whole.clone(), "the policy honours no exceptions"),
    ] {
        let verdict = judge_in(&policies(spec, &text), "shop", &deployment());
        assert_eq!(refusals(&verdict), ["migration-in-init-container"], "{spec}");
        assert!(verdict.message().contains(why), "{why}: {}", verdict.message());
    }
    let no_ticket = whole.replace("ticket: SHOP-1, ", "");
    let verdict =
        judge_in(&policies("{exceptions: {require: []}}", &no_ticket), "shop", &deployment());
    assert!(verdict.allowed());
}

/// The moment of the expiry is already too late.
#[test]
fn an_exception_ends_with_its_last_moment() {
    let at = |expires: String| {
        let text = with("match: {names: ['*']}").replace(SOON, &expires);
        judge_in(&policies("{}", &text), "shop", &deployment()).allowed()
    };
    assert!(!at(now().to_string()));
    assert!(at((now() + jiff::SignedDuration::from_secs(1)).to_string()));
}

#[test]
fn one_that_holds_counts_before_one_that_does_not() {
    let holds = with("match: {names: ['*']}").replace("name: legacy", "name: z-holds");
    let expired = with("match: {names: ['*']}").replace(SOON, "2026-01-01T00:00:00Z");
    let verdict = judge_in(&policies("{}", &format!("{expired}{holds}")), "shop", &deployment());
    assert!(verdict.allowed());
    assert!(verdict.findings[0].line.contains("z-holds"), "{}", verdict.findings[0].line);
}

#[test]
fn a_destructive_operation_needs_an_approval_unless_the_policy_lists_the_rule() {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "drop", "namespace": "shop"},
        "spec": {"activeDeadlineSeconds": 60, "backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "securityContext": {"runAsNonRoot": true},
            "containers": [{
                "name": "sql", "image": "postgres:16", "command": ["psql", "-c", "DROP TABLE a"],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            }],
        }}},
    });
    let text = with("match: {names: [drop]}")
        .replace("migration-in-init-container", "unapproved-destructive-migration");
    let refused = judge_in(&policies("{}", &text), "shop", &job);
    assert_eq!(
        refusals(&refused),
        ["destructive-without-backup", "unapproved-destructive-migration"]
    );
    assert!(refused.message().contains("no exception stand in for an approval"), "{refused:?}");
    let spec = "{exceptions: {also: [unapproved-destructive-migration]}, \
                rules: {destructive-without-backup: {level: Off}}}";
    assert!(judge_in(&policies(spec, &text), "shop", &job).allowed());
}

#[test]
fn what_cannot_be_read_is_never_excused() {
    let broken = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
                        "spec": {"template": 1}});
    let all = with("match: {names: ['*']}");
    assert_eq!(refusals(&judge_in(&policies("{}", &all), "shop", &broken)), ["unreadable-object"]);
    let named = all.replace("migration-in-init-container", "unreadable-object");
    let error = read(&named, "e.yaml").unwrap_err()[0].to_string();
    assert!(error.contains("what cannot be read is never excused"), "{error}");
}

/// What only reports stays what it is, and the exception still counts as needed.
#[test]
fn a_report_and_an_old_finding_need_no_excuse() {
    let text = with("match: {names: ['*']}");
    let verdict = judge_in(&policies("{level: Audit}", &text), "shop", &deployment());
    assert_eq!(verdict.findings[0].effect, Effect::Audits);
    assert!(verdict.findings[0].excuse.is_some());
    let mut newer = deployment();
    newer["spec"]["replicas"] = json!(4);
    let verdict = judge_update(&policies("{}", &text), &deployment(), &newer);
    assert_eq!(verdict.findings[0].effect, Effect::Ratcheted);
}
