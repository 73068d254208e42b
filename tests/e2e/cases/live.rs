//! What follows the cluster while it changes: policies, exceptions, migrations that run, Events, and an API
//! server that goes away.

use std::time::Duration;

use serde_json::{Value, json};

use crate::e2e::{
    cluster::Answer, manifests, namespace::Namespace, process::poll, tidegate::Tidegate,
    world::World,
};

/// How long the server may take to hear of a change.
const LIMIT: Duration = Duration::from_mins(1);

/// A policy for one namespace, chosen by the label that the API server writes itself.
fn policy(name: &str, namespace: &str, level: &str) -> Value {
    json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
        "metadata": {"name": name},
        "spec": {"level": level, "match": {"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": namespace}}}},
    })
}

fn apply(world: &World, object: &Value) {
    world.cluster.kubectl_with(&["apply", "-f", "-"], &object.to_string()).done();
}

/// A hook Job that runs as root, and is all right otherwise.
fn root_job(name: &str) -> Value {
    let mut job = manifests::migration_job(name);
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 0});
    job
}

/// Tries until the answer is as it should be.
#[track_caller]
fn until(what: &str, namespace: &Namespace<'_>, fits: impl Fn(&Answer) -> bool) -> Answer {
    let tried = poll(what, LIMIT, || {
        let answer = namespace.dry_run(&root_job("root"));
        if fits(&answer) { Ok(answer) } else { Err(answer.to_string()) }
    });
    tried.unwrap()
}

fn is_refused(answer: &Answer) -> bool {
    !answer.success && answer.stderr.contains("root-migration: ")
}

fn is_warned(answer: &Answer) -> bool {
    answer.success && answer.stderr.contains("Warning: root-migration: ")
}

fn is_silent(answer: &Answer) -> bool {
    answer.success && !answer.stderr.contains("Warning: ")
}

/// A namespace goes from `Audit` over `Warn` to `Deny`, gets an exception, and loses its policy.
pub(super) fn levels_and_exceptions(world: &World) {
    let namespace = world.namespace("live-levels");
    let name = "live-levels";
    until("the policy of the files", &namespace, is_refused);
    apply(world, &policy(name, name, "Audit"));
    until("Audit", &namespace, is_silent);
    let ready = poll("a status", LIMIT, || {
        let object = world.cluster.kubectl(&["get", "mpol", name, "-o", "json"]).json();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.first().cloned().ok_or_else(|| object.to_string())
    });
    let ready = ready.unwrap();
    assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("True")), "{ready}");
    assert_eq!(ready["observedGeneration"], 1);
    let shown = world.cluster.kubectl(&["get", "mpol", name]).done().stdout;
    assert!(shown.contains("LEVEL") && shown.contains("Audit"), "{shown}");

    apply(world, &policy(name, name, "Warn"));
    until("Warn", &namespace, is_warned);
    apply(world, &policy(name, name, "Deny"));
    until("Deny", &namespace, is_refused);

    let exception = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationException",
        "metadata": {"name": "root", "namespace": name},
        "spec": {"rules": ["root-migration"], "match": {"names": ["root"]}, "reason": "an old image",
            "ticket": "SHOP-1", "expires": in_seconds(3_600)},
    });
    apply(world, &exception);
    until("the exception", &namespace, is_silent);
    let mut ended = exception;
    ended["spec"]["expires"] = in_seconds(-1).into();
    apply(world, &ended);
    until("the exception has expired", &namespace, is_refused);

    apply(world, &policy(name, name, "Audit"));
    until("Audit again", &namespace, is_silent);
    world.cluster.kubectl(&["delete", "mpol", name]).done();
    until("the policy of the files again", &namespace, is_refused);
}

fn in_seconds(seconds: i64) -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    then.round(jiff::Unit::Second).unwrap().to_string()
}

/// Two Jobs of one database: the second waits its turn.
pub(super) fn concurrent(world: &World) {
    let (one, other) = (world.namespace("live-one"), world.namespace("live-other"));
    let job = |name: &str, database: &str| {
        let mut job = manifests::migration_job(name);
        job["metadata"]["annotations"]["tidegate.dev/database"] = database.into();
        job
    };
    one.make(&job("first", "live-orders")).done();
    // At once, before the watch can have told of the first.
    let said = other.make(&job("second", "live-orders")).refused(&["concurrent-migration"]);
    assert!(said.contains("live-one/first"), "{said}");
    other.make(&job("users", "live-users")).done();
    one.kubectl(&["delete", "job/first", "--cascade=background"]).done();
    let turn = poll("its turn comes", LIMIT, || {
        let answer = other.make(&job("second", "live-orders"));
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    });
    turn.unwrap();
}

/// A Deployment that is only watched migrates while it rolls out: a Job of its database waits.
pub(super) fn rollout(world: &World) {
    let (old, new) = (world.watched_namespace("live-rollout"), world.namespace("live-rollout-new"));
    let mut shop = manifests::deployment(&[manifests::migrating("migrate")]);
    shop["metadata"]["annotations"] = json!({"tidegate.dev/database": "live-rollout"});
    old.make(&shop).done();
    let mut job = manifests::migration_job("next");
    job["metadata"]["annotations"]["tidegate.dev/database"] = "live-rollout".into();
    let refused = poll("the watch tells of it", LIMIT, || {
        let answer = new.dry_run(&job);
        if answer.success { Err(answer.to_string()) } else { Ok(answer) }
    });
    let said = refused.unwrap().refused(&["concurrent-migration"]);
    assert!(said.contains("beside Deployment live-rollout/shop"), "{said}");
    // No Pod of it is to run any more.
    old.kubectl(&["scale", "deployment/shop", "--replicas=0"]).done();
    let turn = poll("its turn comes", LIMIT, || {
        let answer = new.dry_run(&job);
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    });
    turn.unwrap();
}

/// Who did not see the answer finds an Event.
pub(super) fn events(world: &World) {
    let namespace = world.namespace("live-events");
    namespace.dry_run(&root_job("dry")).refused(&["root-migration"]);
    namespace.make(&root_job("root")).refused(&["root-migration"]);
    let events = poll("an Event", LIMIT, || {
        let list = namespace.kubectl(&["get", "events", "-o", "json"]).json();
        let ours = list["items"].as_array().unwrap().iter();
        let ours: Vec<_> = ours.filter(|it| it["reason"] == "MigrationRefused").cloned().collect();
        if ours.is_empty() { Err(list.to_string()) } else { Ok(ours) }
    });
    let events = events.unwrap();
    assert_eq!(events.len(), 1, "a dry run leaves none: {events:?}");
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.starts_with("root-migration: Job/root "), "{message}");
    assert_eq!(events[0]["involvedObject"]["kind"], "Namespace");
}

/// The API server is restarted: decisions go on, and what changes afterwards is heard of.
pub(super) fn restart(world: &World, _tidegate: &mut Tidegate) {
    let namespace = world.namespace("live-restart");
    apply(world, &policy("live-restart", "live-restart", "Audit"));
    until("Audit", &namespace, is_silent);
    world.cluster.restart_apiserver();
    let decided = poll("a verdict after the restart", LIMIT, || {
        let answer = namespace.dry_run(&root_job("root"));
        if is_silent(&answer) { Ok(()) } else { Err(answer.to_string()) }
    });
    decided.unwrap();
    apply(world, &policy("live-restart", "live-restart", "Deny"));
    until("what changed after the restart", &namespace, is_refused);
    world.cluster.kubectl(&["delete", "mpol", "live-restart"]).done();
}
