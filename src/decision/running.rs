//! What runs does to a database: a Job, or a workload while it rolls out.

use crate::{
    detect::{Detector, Operation},
    model::{ConfigMaps, Database, Fact, Facts, Labels, Object, WorkloadKind},
    policy::PolicySet,
    rules,
};

/// The kind of what migrates and is no workload that rolls out.
pub const JOB: &str = "Job";

/// The id that stands for every tool that a policy brings along.
const CUSTOM_TOOL: &str = "custom";

/// A migration that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Id of a tool of the built-in catalogue; `custom` for one that a policy brings along.
    pub tool: &'static str,
    /// The worst that it does.
    pub operation: Operation,
    /// What it works on, where that is known and it changes the schema.
    pub database: Option<Database>,
}

/// What the Job in `json` does, if it migrates: found by the same policy that judges its namespace.
///
/// Total: what cannot be read does not migrate as far as anybody can tell.
pub fn running(
    policies: &PolicySet,
    namespace: &str,
    labels: Option<&Labels>,
    json: &str,
) -> Option<Running> {
    let object = Object::parse(json).ok()?;
    if object.workload != WorkloadKind::Job {
        return None;
    }
    let detections = detector(policies, namespace, labels).detect(&object, ConfigMaps::NONE);
    let migrations = rules::run_by_job(&detections);
    let worst = migrations.max_by_key(|migration| migration.operation())?;
    let built_in = Detector::built_in().tool_id(worst.main.tool);
    Some(Running {
        tool: built_in.unwrap_or(CUSTOM_TOOL),
        operation: worst.operation(),
        database: rules::migrated_database(&object, namespace, &detections),
    })
}

/// The database whose schema the Deployment, StatefulSet or DaemonSet in `json` changes whenever a Pod
/// of it starts, where that is known: before it serves, in an initContainer or in a hook of a
/// container.
pub fn migrated_at_start(
    policies: &PolicySet,
    namespace: &str,
    labels: Option<&Labels>,
    json: &str,
) -> Option<Database> {
    let object = Object::parse(json).ok()?;
    let rolls_out = [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet];
    if !rolls_out.contains(&object.workload) {
        return None;
    }
    let detections = detector(policies, namespace, labels).detect(&object, ConfigMaps::NONE);
    let schema =
        || detections.iter().filter(|it| it.is_migration() && it.operation().is_schema_change());
    schema().next()?;
    Database::of(&object, namespace, schema().map(|migration| migration.container))
}

/// What finds migrations in a namespace.
fn detector<'p>(policies: &'p PolicySet, namespace: &str, labels: Option<&Labels>) -> &'p Detector {
    let unknown = || Fact::Unknown("the namespace is not known".into());
    let facts = Facts::new(labels.map_or_else(unknown, Fact::Known));
    let policy = policies.select(namespace, &facts).policy;
    policy.map_or(Detector::built_in().as_ref(), |policy| policy.detector.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::built_in;

    fn job(command: &str) -> Option<Running> {
        let json = format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a","annotations":
            {{"tidegate.dev/database":"orders"}}}},"spec":{{"template":{{"spec":{{"containers":[
            {{"name":"a","image":"registry.example.com/a:1","command":{command}}}]}}}}}}}}"#
        );
        running(&PolicySet::new(vec![built_in()]), "shop", None, &json)
    }

    #[test]
    fn a_job_that_migrates_is_known_by_tool_operation_and_database() {
        let upgrade = job(r#"["alembic","upgrade","head"]"#).unwrap();
        assert_eq!((upgrade.tool, upgrade.operation), ("alembic", Operation::Apply));
        assert_eq!(upgrade.database, Some(Database::declared("orders")));
        let down = job(r#"["alembic","downgrade","-1"]"#).unwrap();
        assert_eq!(down.operation, Operation::Rollback);
        assert_eq!(job(r#"["./serve"]"#), None);
        assert_eq!(job(r#"["pg_dump","-f","/x"]"#), None);
    }

    #[test]
    fn a_workload_that_migrates_before_it_serves_does_so_at_every_start() {
        let database = |kind: &str, init: &str, main: &str| {
            let json = format!(
                r#"{{"apiVersion":"apps/v1","kind":"{kind}","metadata":{{"name":"a","annotations":
                {{"tidegate.dev/database":"orders"}}}},"spec":{{"template":{{"spec":{{
                "initContainers":[{{"name":"i","image":"registry.example.com/a:1","command":{init}}}],
                "containers":[{{"name":"a","image":"registry.example.com/a:1","command":{main}}}]}}}}}}}}"#
            );
            migrated_at_start(&PolicySet::new(vec![built_in()]), "shop", None, &json)
        };
        let (migrates, serves) = (r#"["alembic","upgrade","head"]"#, r#"["gunicorn","a"]"#);
        let orders = Some(Database::declared("orders"));
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            assert_eq!(database(kind, migrates, serves), orders, "{kind}");
            let both = r#"["sh","-c","alembic upgrade head && gunicorn a"]"#;
            assert_eq!(database(kind, r#"["true"]"#, both), orders, "{kind}");
            assert_eq!(database(kind, r#"["alembic","current"]"#, serves), None, "{kind}");
            let seeds = r#"["rails","db:seed"]"#;
            assert_eq!(database(kind, seeds, serves), None, "{kind}: only data");
        }
        assert_eq!(database("ReplicaSet", migrates, serves), None, "its Deployment is told of");
    }
}
