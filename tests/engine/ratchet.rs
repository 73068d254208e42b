//! UPDATE: what was there before does not refuse, what is new does, and what Kubernetes' own
//! controllers must do is never refused.

use serde_json::{Value, json};
use tidegate::{
    decision::{Effect, Outcome, validate},
    model::{Change, ChangeOperation, Fact, Facts, Labels},
    policy::{PolicySet, digest},
};

use super::support::{default_policies, judge, judge_update, now, policy, refusals, review};

fn deployment(init: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"replicas": 3, "template": {"spec": {
            "initContainers": init,
            "containers": [{"name": "web", "image": "shop:1"}],
        }}},
    })
}

fn migrating(name: &str, image: &str) -> Value {
    json!({"name": name, "image": image, "command": ["bundle", "exec", "rails", "db:migrate"]})
}

fn drop_job(suspend: bool, sql: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "drop", "annotations": {}},
        "spec": {
            "suspend": suspend, "activeDeadlineSeconds": 60, "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true},
                "containers": [{
                    "name": "sql", "image": "postgres:16", "command": ["psql", "-c", sql],
                    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                }],
            }},
        },
    })
}

#[test]
fn an_old_violation_does_not_refuse_even_when_the_list_shifts() {
    let old = deployment(&json!([migrating("migrate", "shop:1")]));
    let new =
        deployment(&json!([{"name": "wait", "image": "busybox"}, migrating("migrate", "shop:2")]));
    let verdict = judge_update(&default_policies(), &old, &new);
    assert_eq!(verdict.outcome, Outcome::Admitted);
    assert_eq!(verdict.findings[0].effect, Effect::Ratcheted);
    assert_eq!(verdict.findings[0].at, "spec.template.spec.initContainers[1]");
}

#[test]
fn a_new_violation_refuses_beside_an_old_one() {
    let old = deployment(&json!([migrating("migrate", "shop:1")]));
    let new = deployment(&json!([migrating("migrate", "shop:1"), migrating("again", "shop:1")]));
    let verdict = judge_update(&default_policies(), &old, &new);
    assert_eq!(refusals(&verdict), ["migration-in-init-container"]);
    assert_eq!(verdict.message().lines().count(), 1, "{}", verdict.message());
}

#[test]
fn metadata_alone_is_let_through() {
    let old = deployment(&json!([migrating("migrate", "shop:1")]));
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    new["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "other"});
    new["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let verdict = judge_update(&default_policies(), &old, &new);
    assert_eq!(verdict.outcome, Outcome::Unchanged);
}

#[test]
fn a_deletion_timestamp_excuses_nothing() {
    let old = deployment(&json!([]));
    let mut new = deployment(&json!([migrating("migrate", "shop:1")]));
    new["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let verdict = judge_update(&default_policies(), &old, &new);
    assert_eq!(refusals(&verdict), ["migration-in-init-container"]);
}

#[test]
fn other_sql_is_another_finding() {
    let verdict = judge_update(
        &default_policies(),
        &drop_job(false, "DROP TABLE a"),
        &drop_job(false, "DROP TABLE b"),
    );
    assert_eq!(
        refusals(&verdict),
        ["destructive-without-backup", "unapproved-destructive-migration"]
    );
}

/// A CronJob can be changed at any time, and `$(SQL)` puts the statement into a variable.
#[test]
fn other_sql_in_a_variable_is_another_finding() {
    let cron_job = |sql: &str| {
        let mut job = drop_job(false, "$(SQL)");
        job["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "SQL", "value": sql}]);
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "drop"},
            "spec": {"schedule": "@daily", "jobTemplate": {"spec": job["spec"]}},
        })
    };
    let policies = default_policies();
    let old = cron_job("DROP TABLE a");
    let verdict = judge_update(&policies, &old, &cron_job("DROP TABLE b"));
    assert_eq!(
        refusals(&verdict),
        ["destructive-without-backup", "unapproved-destructive-migration"]
    );
    let mut rescheduled = old.clone();
    rescheduled["spec"]["schedule"] = json!("@weekly");
    let verdict = judge_update(&policies, &old, &rescheduled);
    assert_eq!(verdict.outcome, Outcome::Admitted, "{verdict:#?}");
}

#[test]
fn resuming_a_suspended_job_is_judged_like_its_creation() {
    let policies = default_policies();
    let suspended = drop_job(true, "DROP TABLE a");
    let running = drop_job(false, "DROP TABLE a");
    let verdict = judge_update(&policies, &suspended, &running);
    assert_eq!(
        refusals(&verdict),
        ["destructive-without-backup", "unapproved-destructive-migration"]
    );
    let suspending = judge_update(&policies, &running, &suspended);
    assert_eq!(suspending.outcome, Outcome::Admitted, "{suspending:#?}");
}

#[test]
fn a_longer_deadline_is_refused_on_update_too() {
    let old = drop_job(true, "select 1");
    let mut new = drop_job(true, "select 1");
    old["spec"].as_object().unwrap();
    new["spec"]["activeDeadlineSeconds"] = json!(86_400);
    // `select 1` migrates nothing; a real migration does.
    let with = |mut job: Value| {
        job["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["flyway", "migrate"]);
        job
    };
    assert_eq!(judge_update(&default_policies(), &old, &new).outcome, Outcome::Admitted);
    let verdict = judge_update(&default_policies(), &with(old), &with(new));
    assert_eq!(refusals(&verdict), ["unbounded-migration-job"]);
}

#[test]
fn an_approval_holds_for_what_it_names_and_for_nothing_else() {
    let approve = |mut job: Value, digest: &str| {
        job["metadata"]["annotations"] = json!({
            "tidegate.dev/approved-by": "alice@example.com",
            "tidegate.dev/approval-ticket": "DB-1",
            "tidegate.dev/approved-namespace": "shop",
            "tidegate.dev/approved-until": "2026-11-23T12:00:00Z",
            "tidegate.dev/approved-digest": digest,
            "tidegate.dev/backup": "snapshot of the night",
        });
        job
    };
    let job = drop_job(false, "DROP TABLE a");
    let text = job.to_string();
    let digest = digest(&tidegate::model::Object::parse(&text).unwrap()).to_string();
    let policies = default_policies();
    assert_eq!(judge(&policies, &approve(job.clone(), &digest)).outcome, Outcome::Admitted);
    let other = judge(&policies, &approve(drop_job(false, "DROP TABLE b"), &digest));
    assert_eq!(refusals(&other), ["unapproved-destructive-migration"]);
    let removed = judge_update(&policies, &approve(job.clone(), &digest), &job);
    assert_eq!(
        refusals(&removed),
        ["destructive-without-backup", "unapproved-destructive-migration"]
    );
}

#[test]
fn an_owner_reference_alone_makes_nobody_a_controller() {
    let recorded = review("validate-create-replicaset-by-deployment-controller");
    let object = recorded["request"]["object"].to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    for (user, outcome) in [
        ("system:serviceaccount:kube-system:deployment-controller", Outcome::ControllerChild),
        ("system:kube-controller-manager", Outcome::ControllerChild),
        ("system:serviceaccount:shop:deployment-controller", Outcome::Refused),
        ("system:serviceaccount:kube-system:job-controller", Outcome::Refused),
        ("alice@example.com", Outcome::Refused),
    ] {
        let change = Change { user, ..Change::create("shop", "x", &object) };
        let verdict = validate(&default_policies(), &change, &facts, now());
        assert_eq!(verdict.outcome, outcome, "{user}");
    }
}

#[test]
fn a_configured_controller_is_one() {
    let mut object =
        review("validate-create-replicaset-by-deployment-controller")["request"]["object"].clone();
    object["metadata"]["ownerReferences"][0]["apiVersion"] = json!("argoproj.io/v1alpha1");
    object["metadata"]["ownerReferences"][0]["kind"] = json!("Rollout");
    let user = "system:serviceaccount:argo-rollouts:argo-rollouts";
    let spec = format!(
        "{{controllers: [{{user: '{user}', owner: argoproj.io/Rollout, creates: apps/ReplicaSet}}]}}"
    );
    let json = object.to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change { user, ..Change::create("shop", "x", &json) };
    let without = validate(&default_policies(), &change, &facts, now());
    assert_eq!(refusals(&without), ["migration-in-init-container"]);
    let set = PolicySet::new(vec![policy(&spec)]);
    assert_eq!(validate(&set, &change, &facts, now()).outcome, Outcome::ControllerChild);
}

#[test]
fn levels_are_capped_and_unknown_facts_are_settled_by_the_policy() {
    let object = deployment(&json!([migrating("migrate", "shop:1")]));
    for (spec, effect) in [
        ("{level: Warn}", Effect::Warns),
        ("{level: Audit}", Effect::Audits),
        ("{rules: {migration-in-init-container: {level: Audit}}}", Effect::Audits),
    ] {
        let set = PolicySet::new(vec![policy(spec)]);
        let verdict = judge(&set, &object);
        assert_eq!(verdict.findings[0].effect, effect, "{spec}");
        assert!(verdict.allowed());
    }
    let json = object.to_string();
    let facts = Facts::new(Fact::Unknown("nobody asked".into()));
    for (on_undecided, effect) in
        [("Audit", Effect::Audits), ("Warn", Effect::Warns), ("Deny", Effect::Refuses)]
    {
        let spec = format!(
            "{{match: {{namespaceSelector: {{matchLabels: {{env: live}}}}}}, onUndecided: {on_undecided}}}"
        );
        let set = PolicySet::new(vec![policy(&spec)]);
        let verdict = validate(&set, &Change::create("shop", "x", &json), &facts, now());
        assert_eq!(verdict.findings[0].effect, effect, "{on_undecided}");
        assert!(verdict.findings[0].undecided);
    }
}

#[test]
fn what_cannot_be_read_is_refused_where_kubernetes_defines_the_shape() {
    let broken = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": 1}});
    assert_eq!(refusals(&judge(&default_policies(), &broken)), ["unreadable-object"]);
    let custom = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
                        "spec": {"template": 1}});
    let verdict = judge(&default_policies(), &custom);
    assert_eq!(verdict.findings[0].effect, Effect::Warns);
    let json = broken.to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let delete =
        Change { operation: ChangeOperation::Delete, ..Change::create("shop", "x", &json) };
    assert!(validate(&default_policies(), &delete, &facts, now()).allowed());
}
