//! What is just judged, and what just is not.

use serde_json::{Value, json};
use tidegate::{
    decision::{Effect, Outcome, Verdict, Work, validate},
    model::{Change, ChangeOperation, Fact, Facts, Labels, Object},
    policy::{PolicySet, digest},
};

use super::support::{default_policies, judge, judge_update, now, policy, refusals};

fn migrating() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"},
        "spec": {"replicas": 3, "template": {"spec": {
            "initContainers": [{"name": "m", "image": "shop:1", "command": ["rails", "db:migrate"]}],
            "containers": [{"name": "web", "image": "shop:1"}],
        }}},
    })
}

fn judged(operation: ChangeOperation, subresource: &str, object: &Value) -> Verdict {
    let json = object.to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change { operation, subresource, ..Change::create("shop", "x", &json) };
    validate(&default_policies(), &change, &facts, now())
}

#[test]
fn creations_updates_and_ephemeral_containers_are_judged() {
    use ChangeOperation as O;
    for (operation, subresource, expected) in [
        (O::Create, "", Outcome::Refused),
        (O::Update, "", Outcome::Refused),
        (O::Update, "ephemeralcontainers", Outcome::Refused),
        (O::Update, "status", Outcome::NotJudged),
        (O::Update, "scale", Outcome::NotJudged),
        (O::Create, "eviction", Outcome::NotJudged),
        (O::Delete, "", Outcome::NotJudged),
        (O::Connect, "", Outcome::NotJudged),
        (O::Connect, "ephemeralcontainers", Outcome::NotJudged),
    ] {
        let verdict = judged(operation, subresource, &migrating());
        assert_eq!(verdict.outcome, expected, "{operation:?} {subresource}");
    }
}

#[test]
fn what_runs_nothing_is_judged_only_as_a_hook() {
    let config_map = |annotations: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": "a", "annotations": annotations}})
    };
    for (annotations, expected) in [
        (json!({}), Outcome::NotJudged),
        (json!({"a": "b"}), Outcome::NotJudged),
        (json!({"argocd.argoproj.io/hook": "PreSync"}), Outcome::Admitted),
        (json!({"argocd.argoproj.io/hook": "Presync"}), Outcome::Refused),
    ] {
        let verdict = judge(&default_policies(), &config_map(annotations.clone()));
        assert_eq!(verdict.outcome, expected, "{annotations}");
    }
}

/// Kubernetes' own kinds have a shape that is known; others belong to their authors.
#[test]
fn what_cannot_be_read_is_refused_for_every_kind_of_kubernetes() {
    let broken = |object: Value| judge(&default_policies(), &object);
    for object in [
        json!({"apiVersion": "v1", "kind": "Pod", "spec": 7}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": 7}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "spec": 7}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": 7}),
        json!({"kind": "Job", "metadata": 7}),
        json!({"apiVersion": 7, "kind": "Job"}),
        json!(7),
    ] {
        let verdict = broken(object.clone());
        assert_eq!(refusals(&verdict), ["unreadable-object"], "{object}");
        assert!(
            verdict.message().starts_with("unreadable-object: object "),
            "{}",
            verdict.message()
        );
    }
    for object in [
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": 7}),
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": 7}),
    ] {
        let verdict = broken(object.clone());
        assert_eq!(verdict.outcome, Outcome::Admitted, "{object}");
        assert_eq!(verdict.findings[0].effect, Effect::Warns, "{object}");
    }
}

#[test]
fn the_policy_caps_what_cannot_be_read_too() {
    let object = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": 7});
    for (spec, expected) in [
        ("{level: Deny}", Some(Effect::Refuses)),
        ("{level: Warn}", Some(Effect::Warns)),
        ("{level: Audit}", Some(Effect::Audits)),
        ("{level: 'Off'}", None),
    ] {
        let verdict = judge(&PolicySet::new(vec![policy(spec)]), &object);
        assert_eq!(verdict.findings.first().map(|finding| finding.effect), expected, "{spec}");
        assert_eq!(verdict.allowed(), expected != Some(Effect::Refuses), "{spec}");
    }
}

/// Whoever cannot be read already can still be given a finalizer; nobody becomes unreadable.
#[test]
fn an_update_of_what_could_not_be_read_before_is_let_through() {
    let broken = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": 7});
    let policies = default_policies();
    assert_eq!(judge_update(&policies, &broken, &broken).outcome, Outcome::Unchanged);
    assert_eq!(refusals(&judge_update(&policies, &migrating(), &broken)), ["unreadable-object"]);
    let mended = judge_update(&policies, &broken, &migrating());
    assert_eq!(refusals(&mended), ["migration-in-init-container"], "nothing was there before");
}

/// A creation has no older self, whatever stands in the request.
#[test]
fn an_old_object_counts_on_update_only() {
    let (json, old) = (migrating().to_string(), migrating().to_string());
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change { old_object: Some(&old), ..Change::create("shop", "x", &json) };
    assert_eq!(validate(&default_policies(), &change, &facts, now()).outcome, Outcome::Refused);
}

#[test]
fn every_rule_has_the_level_that_its_policy_gives_it() {
    let object = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
        "spec": {"template": {"spec": {
            "restartPolicy": "OnFailure",
            "containers": [{"name": "a", "image": "flyway/flyway:11", "args": ["migrate"]}],
        }}},
    });
    let levels = "{rules: {root-migration: {level: Audit}, unlimited-migration: {level: Warn}, \
                  unbounded-migration-job: {level: Deny}, retried-migration: {level: 'Off'}}}";
    let verdict = judge(&PolicySet::new(vec![policy(levels)]), &object);
    let found: Vec<_> = verdict.findings.iter().map(|found| (found.effect, found.rule)).collect();
    assert_eq!(
        found,
        [
            (Effect::Refuses, "unbounded-migration-job"),
            (Effect::Warns, "migration-outside-hook"),
            (Effect::Warns, "mounted-service-account-token"),
            (Effect::Warns, "unlimited-migration"),
            (Effect::Audits, "root-migration"),
        ],
        "the most severe first"
    );
}

/// What is known of a Job's work where there is a cluster, or none.
fn work(args: &Value, in_cluster: bool) -> Work {
    let object = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "a", "annotations": {
            "tidegate.dev/database": "orders", "tidegate.dev/backup": "job/nightly",
        }},
        "spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "flyway/flyway:11", "args": args},
        ]}}},
    });
    let json = object.to_string();
    let labels = Labels::new();
    let mut facts = Facts::new(Fact::Known(&labels));
    if in_cluster {
        facts.active_migrations = Fact::Known(&[]);
    }
    let change = Change::create("shop", "a", &json);
    let work = validate(&default_policies(), &change, &facts, now()).work;
    let wanted = digest(&Object::parse(&json).unwrap()).to_string();
    assert!(work.wanted_digest.as_ref().is_none_or(|digest| *digest == wanted));
    work
}

#[test]
fn only_a_cluster_is_asked_for_what_the_rules_make_use_of() {
    let (migrate, clean, info) = (json!(["migrate"]), json!(["clean"]), json!(["info"]));
    let applies = work(&migrate, true);
    assert!(applies.database.is_some() && applies.wanted_digest.is_none());
    assert!(applies.wants.backup.is_none(), "what destroys nothing needs no backup");
    let destroys = work(&clean, true);
    assert!(destroys.database.is_some() && destroys.wants.backup.is_some());
    assert!(destroys.wanted_digest.is_some(), "for whoever is to approve it");
    for (args, in_cluster) in [(&migrate, false), (&clean, false), (&info, true)] {
        let work = work(args, in_cluster);
        assert_eq!(work.database, None, "{args} {in_cluster}");
        assert!(work.wants.is_empty(), "{args} {in_cluster}");
    }
}
