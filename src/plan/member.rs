//! One object of a release.

use serde::Deserialize;

use crate::{
    detect::{Confidence, Detection, Detector, Operation},
    model::{
        Database, Facts, ImageReference, Lifetime, MigrationResource, Object, PodTemplate,
        WorkloadKind, annotation,
    },
    source::mapping,
};

use super::{Referenced, backup::is_backup_kind, provided};

/// Last parts of the names of images that keep data. What runs them is no application that a
/// migration is for.
const DATA_STORES: &[&str] = &[
    "cassandra",
    "clickhouse",
    "cockroach",
    "couchdb",
    "elasticsearch",
    "etcd",
    "kafka",
    "keydb",
    "mariadb",
    "memcached",
    "minio",
    "mongo",
    "mongodb",
    "mssql",
    "mysql",
    "nats",
    "neo4j",
    "opensearch",
    "percona",
    "pgbouncer",
    "pgpool",
    "pgvector",
    "postgis",
    "postgres",
    "postgresql",
    "rabbitmq",
    "redis",
    "scylla",
    "timescaledb",
    "valkey",
    "zookeeper",
];

/// One object of a release, with what is known of it.
#[derive(Debug)]
pub struct Member<'m> {
    /// The number by which the adapter knows the object.
    pub number: usize,
    /// The object.
    pub object: &'m Object<'m>,
    /// The namespace that it is applied to; empty for a cluster-scoped kind.
    pub namespace: &'m str,
    /// What is known around it.
    pub facts: Facts<'m>,
    /// What its containers do.
    pub detections: Vec<Detection<'m>>,
    /// Of a `CustomResourceDefinition`: the group and kind that it defines.
    pub defines: Option<(String, String)>,
    /// What exists under a name that Pods may refer to, once the object is applied.
    pub provides: Option<(Referenced, String)>,
    /// The database that it works on, as far as the manifest tells: that of the containers that
    /// migrate or save data, or of all of them where none does.
    pub database: Option<Database>,
}

impl<'m> Member<'m> {
    /// Looks at an object.
    pub fn new(
        number: usize,
        object: &'m Object<'m>,
        namespace: &'m str,
        detector: &'m Detector,
        facts: Facts<'m>,
    ) -> Self {
        let detections = detector.detect(object, facts.config_maps);
        Self {
            number,
            object,
            namespace,
            database: database(object, namespace, &detections),
            detections,
            facts,
            defines: defines(object),
            provides: provided(object),
        }
    }

    /// `Kind/name`.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.object.kind, self.object.metadata.display_name())
    }

    /// True for a batch Job.
    pub fn is_job(&self) -> bool {
        self.object.workload == WorkloadKind::Job
    }

    /// What tells it from every other object of a release: group, kind, namespace and name.
    pub fn identity(&self) -> (&'m str, &'m str, &'m str, &'m str) {
        let gvk = self.object.gvk();
        (gvk.group, gvk.kind, self.namespace, self.object.metadata.display_name())
    }

    /// True when one of its containers works with a database or with a tool that does, as far as
    /// more than a name tells.
    pub fn is_ours(&self) -> bool {
        self.detections.iter().any(|it| it.main.confidence > Confidence::Name)
    }

    /// True when either engine runs it as a hook.
    pub fn is_hook(&self) -> bool {
        self.object.hooks.is_hook()
    }

    /// The containers that migrate, as far as more than a name tells.
    pub fn migrations(&self) -> impl Iterator<Item = &Detection<'m>> {
        self.detections.iter().filter(|detection| detection.is_migration())
    }

    /// What an operator does to a database on behalf of this resource.
    pub fn asks_operator_for(&self) -> Option<Operation> {
        match self.object.resource.as_ref()? {
            MigrationResource::AtlasSchema(_) => Some(Operation::Declarative),
            MigrationResource::AtlasMigration(_) | MigrationResource::FlywayMigration(_) => {
                Some(Operation::Apply)
            }
            MigrationResource::SchemaHeroDatabase { .. } => None,
        }
    }

    /// The most telling thing that it does to a database; none when it does not migrate.
    pub fn migrates(&self) -> Option<Operation> {
        self.migrations().map(Detection::operation).max().or_else(|| self.asks_operator_for())
    }

    /// What it declares itself to do to a database (`tidegate.dev/risk`).
    pub fn declares(&self) -> Option<Operation> {
        Operation::from_declared(self.object.metadata.annotation(annotation::RISK)?)
    }

    /// True for a Job, Pod or operator's resource that migrates and is done then: a step of its own
    /// in a rollout. What migrates inside of an application is no step.
    pub fn is_migration_step(&self) -> bool {
        self.migrates().is_some() && self.runs_to_completion()
    }

    /// True for what ends by itself: a Job, a Pod, an operator's resource.
    pub fn runs_to_completion(&self) -> bool {
        match self.object.workload {
            WorkloadKind::Pod => true,
            WorkloadKind::Other => self.asks_operator_for().is_some(),
            kind => kind.lifetime() == Lifetime::Once,
        }
    }

    /// True for a step that saves data, and for a resource that asks an operator to.
    pub fn is_backup(&self) -> bool {
        let saves = self.detections.iter().any(|detection| {
            detection.operation() == Operation::Backup
                && detection.main.confidence > Confidence::Name
        });
        (saves && self.runs_to_completion()) || is_backup_kind(&self.object.gvk())
    }

    /// True for a workload that keeps running and is no database itself.
    pub fn is_application(&self) -> bool {
        let runs = self.object.workload.lifetime() == Lifetime::LongRunning;
        runs && self.object.replicas != Some(0)
            && self.images().next().is_some_and(|image| !is_data_store(image))
    }

    /// True for a workload that keeps data, as far as its image tells.
    pub fn is_data_store(&self) -> bool {
        let runs = self.object.workload.lifetime() == Lifetime::LongRunning;
        runs && self.images().next().is_some_and(is_data_store)
    }

    /// The images of its main containers, in order.
    pub fn images(&self) -> impl Iterator<Item = &'m str> + use<'m> {
        let templates: &'m [PodTemplate<'m>] = &self.object.templates;
        templates
            .iter()
            .flat_map(PodTemplate::main_containers)
            .map(|container| container.image.as_str())
    }

    /// The images of the containers that migrate.
    pub fn migrating_images(&self) -> impl Iterator<Item = &'m str> {
        self.migrations().map(|migration| migration.container.image.as_str())
    }
}

fn database<'m>(
    object: &'m Object<'m>,
    namespace: &str,
    detections: &[Detection<'m>],
) -> Option<Database> {
    let works = |it: &&Detection<'m>| it.is_migration() || it.operation() == Operation::Backup;
    let mut working = detections.iter().filter(works).map(|it| it.container).peekable();
    if working.peek().is_some() {
        return Database::of(object, namespace, working);
    }
    let all = object.templates.iter().flat_map(|template| &template.containers);
    Database::of(object, namespace, all)
}

pub(crate) fn is_data_store(image: &str) -> bool {
    let repository = ImageReference::parse(image).repository;
    let last = repository.rsplit('/').next().unwrap_or(repository).to_ascii_lowercase();
    // `postgresql-repmgr` and `redis-sentinel` keep data, `redis-exporter` does not.
    let mut words = last.split(['-', '_']);
    words.next().is_some_and(|first| DATA_STORES.contains(&first))
        && !words.any(|word| {
            matches!(word, "exporter" | "operator" | "backup" | "migrations" | "migrate" | "proxy")
        })
}

/// The group and kind that a `CustomResourceDefinition` defines.
fn defines(object: &Object<'_>) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Spec {
        group: String,
        names: Names,
    }
    #[derive(Deserialize)]
    struct Names {
        kind: String,
    }
    let gvk = object.gvk();
    if (gvk.group, gvk.kind) != ("apiextensions.k8s.io", "CustomResourceDefinition") {
        return None;
    }
    let spec: Spec = mapping::from_str(object.spec).ok()?;
    Some((spec.group, spec.names.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_told_from_what_stands_beside_them() {
        for (image, is) in [
            ("postgres:17", true),
            ("docker.io/bitnami/postgresql-repmgr:16", true),
            ("example.com/shop:1", false),
            ("oliver006/redis_exporter:v1", false),
            ("example.com/postgres-migrations:1", false),
            ("", false),
        ] {
            assert_eq!(is_data_store(image), is, "{image}");
        }
    }
}
