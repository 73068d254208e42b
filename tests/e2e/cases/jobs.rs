//! What may be changed on a Job that is there.

use serde_json::{Value, json};

use crate::e2e::{manifests, world::World};

fn suspend(to: bool) -> Value {
    json!({"spec": {"suspend": to}})
}

pub(super) fn suspend_and_resume(world: &World) {
    let namespace = world.namespace("suspend-and-resume");
    namespace.make(&manifests::migration_job("migrate")).done();
    for to in [true, false] {
        namespace.patch("job/migrate", &suspend(to)).done();
        assert_eq!(namespace.get("job/migrate")["spec"]["suspend"], to);
    }
}

pub(super) fn resume_unapproved(world: &World) {
    let namespace = world.watched_namespace("resume-unapproved");
    let mut job = manifests::sql_job("drop", "DROP TABLE orders");
    job["spec"]["suspend"] = true.into();
    namespace.make(&job).warned(&[]);
    namespace.enforce();
    namespace.patch("job/drop", &suspend(false)).refused(&["unapproved-destructive-migration"]);
    assert_eq!(namespace.get("job/drop")["spec"]["suspend"], true);
}

pub(super) fn deadline(world: &World) {
    let namespace = world.namespace("deadline");
    namespace.make(&manifests::migration_job("migrate")).done();
    let raise = |to: u32| json!({"spec": {"activeDeadlineSeconds": to}});
    namespace.patch("job/migrate", &raise(86_400)).refused(&["unbounded-migration-job"]);
    assert_eq!(namespace.get("job/migrate")["spec"]["activeDeadlineSeconds"], 1_800);
    namespace.patch("job/migrate", &raise(3_600)).done();
    assert_eq!(namespace.get("job/migrate")["spec"]["activeDeadlineSeconds"], 3_600);
}
