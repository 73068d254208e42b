//! Approvals of what destroys.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::e2e::{manifests, namespace::Namespace, world::World};

const RULE: &str = "unapproved-destructive-migration";
const DROP_NOTE: &str = "ALTER TABLE orders DROP COLUMN note";
const DROP_NAME: &str = "ALTER TABLE users DROP COLUMN name";

/// The digest that the refusal of `job` asks for.
fn digest(namespace: &Namespace<'_>, job: &Value) -> String {
    let text = namespace.make(job).refused(&[RULE]);
    let (_, rest) =
        text.split_once("tidegate.dev/approved-digest=").expect("a digest is asked for");
    let digest = rest.split_whitespace().next().unwrap().to_owned();
    assert!(digest.starts_with("sha256:"), "{text}");
    digest
}

/// `job` with an approval for `digest` in its namespace that ends `hours` from now.
fn approved(namespace: &Namespace<'_>, mut job: Value, digest: &str, hours: i64) -> Value {
    let until = Timestamp::now() + SignedDuration::from_hours(hours);
    let annotations = job["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.extend([
        ("tidegate.dev/approved-by".to_owned(), json!("alice@example.com")),
        ("tidegate.dev/approval-ticket".to_owned(), json!("DB-1")),
        ("tidegate.dev/approved-namespace".to_owned(), json!(namespace.name())),
        ("tidegate.dev/approved-until".to_owned(), json!(until.to_string())),
        ("tidegate.dev/approved-digest".to_owned(), json!(digest)),
    ]);
    job
}

pub(super) fn exact(world: &World) {
    let namespace = world.namespace("approval-exact");
    let job = manifests::sql_job("drop", DROP_NOTE);
    let digest = digest(&namespace, &job);
    namespace.has_no("job/drop");

    let other = approved(&namespace, manifests::sql_job("drop", DROP_NAME), &digest, 1);
    let text = namespace.make(&other).refused(&[RULE]);
    assert!(text.contains("for something else than what will run"), "{text}");
    namespace.has_no("job/drop");

    let job = approved(&namespace, job, &digest, 1).to_string();
    namespace.apply(&job).done();
    // As the next sync does.
    namespace.apply(&job).done();
    let live = namespace.get("job/drop");
    let command = &live["spec"]["template"]["spec"]["containers"][0]["command"];
    assert_eq!(*command, json!(["psql", "-c", DROP_NOTE]));
}

pub(super) fn ended(world: &World) {
    let namespace = world.namespace("approval-ended");
    let job = manifests::sql_job("drop", DROP_NOTE);
    let digest = digest(&namespace, &job);
    for (hours, reason) in [(-1, "it ended at"), (24 * 30, "further away than")] {
        let text =
            namespace.make(&approved(&namespace, job.clone(), &digest, hours)).refused(&[RULE]);
        assert!(text.contains(reason), "{text}");
    }
    namespace.has_no("job/drop");
}

pub(super) fn taken_away(world: &World) {
    let namespace = world.namespace("approval-taken-away");
    let job = manifests::sql_job("drop", DROP_NOTE);
    let digest = digest(&namespace, &job);
    namespace.make(&approved(&namespace, job, &digest, 1)).done();
    namespace.kubectl(&["annotate", "job/drop", "tidegate.dev/approved-digest-"]).refused(&[RULE]);
    namespace.kubectl(&["annotate", "job/drop", "example.com/note=kept"]).done();
}
