//! The digest that an approval covers: what a Job will do, and nothing else.
//!
//! It is SHA-256 over a canonical JSON text of, in order: the object's kind and name, the database
//! it names, and for every container its list, image, command, args, working directory, variables
//! and references, and the ConfigMaps, Secrets and volumes it mounts.
//!
//! What the API server defaults, what [mutation](crate::decision::mutate) adds and what Argo CD or
//! Helm label is left out, so that the digest of the file in Git is the digest of the admitted
//! object. A generated name counts as its `generateName` prefix. The namespace is left out because
//! Git leaves it out: Argo CD and Helm supply it.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::{
    Container, EnvVar, MountedSource, Object, PodTemplate, Text, Volume, annotation,
};

/// First line of the hashed text. A change of the canonical form changes this line.
const VERSION: &str = "tidegate.dev/digest/v1\n";

/// SHA-256 of the canonical form, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub(super) [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Serialize)]
struct Canonical<'c> {
    kind: &'c str,
    name: &'c str,
    generated: bool,
    database: Option<&'c str>,
    containers: Vec<CanonicalContainer<'c>>,
}

#[derive(Serialize)]
struct CanonicalContainer<'c> {
    list: String,
    image: &'c str,
    command: Vec<&'c str>,
    args: Vec<&'c str>,
    source: Option<&'c str>,
    post_start: Vec<&'c str>,
    working_dir: Option<&'c str>,
    env: Vec<(&'c str, CanonicalValue<'c>)>,
    env_from: Vec<(&'c str, &'static str, &'c str)>,
    mounts: Vec<Mount<'c>>,
}

/// Where it is mounted, which part, and what it shows.
type Mount<'c> = (&'c str, Option<&'c str>, Vec<(&'static str, &'c str)>);

#[derive(Serialize)]
enum CanonicalValue<'c> {
    Literal(&'c str),
    Secret(&'c str, &'c str),
    ConfigMap(&'c str, &'c str),
    Field(&'c str),
    Resource(&'c str),
}

/// The digest of what `object` will do.
pub fn digest(object: &Object<'_>) -> Digest {
    let generated = !object.metadata.generate_name.is_empty();
    let canonical = Canonical {
        kind: &object.kind,
        name: if generated { &object.metadata.generate_name } else { &object.metadata.name },
        generated,
        database: object.metadata.annotation(annotation::DATABASE),
        containers: object
            .templates
            .iter()
            .flat_map(|template| {
                template.containers.iter().map(move |container| canonical(template, container))
            })
            .collect(),
    };
    let mut hash = Sha256::new();
    hash.update(VERSION);
    // Serialising strings and numbers to memory cannot fail; the empty text would match nothing.
    hash.update(serde_json::to_vec(&canonical).unwrap_or_default());
    Digest(hash.finalize().into())
}

fn canonical<'c>(
    template: &'c PodTemplate<'c>,
    container: &'c Container<'c>,
) -> CanonicalContainer<'c> {
    let texts = |texts: &'c [Text<'c>]| texts.iter().map(Text::as_str).collect::<Vec<_>>();
    CanonicalContainer {
        list: format!("{:?}", container.list),
        image: &container.image,
        command: texts(&container.command),
        args: texts(&container.args),
        source: container.source.as_deref(),
        post_start: container.post_start().map(texts).unwrap_or_default(),
        working_dir: container.working_dir.as_deref(),
        env: container.env.iter().map(|var| (var.name.as_str(), value(var))).collect(),
        env_from: container
            .env_from
            .iter()
            .filter_map(|from| {
                let (kind, name) = reference(from.source()?);
                Some((from.prefix.as_deref().unwrap_or_default(), kind, name))
            })
            .collect(),
        mounts: mounts(template, container),
    }
}

fn value<'c>(var: &'c EnvVar<'c>) -> CanonicalValue<'c> {
    let from = var.value_from.as_ref();
    if let Some(key) = from.and_then(|from| from.secret_key_ref.as_ref()) {
        return CanonicalValue::Secret(&key.name, &key.key);
    }
    if let Some(key) = from.and_then(|from| from.config_map_key_ref.as_ref()) {
        return CanonicalValue::ConfigMap(&key.name, &key.key);
    }
    if let Some(field) = from.and_then(|from| from.field_ref.as_ref()) {
        return CanonicalValue::Field(&field.field_path);
    }
    if let Some(resource) = from.and_then(|from| from.resource_field_ref.as_ref()) {
        return CanonicalValue::Resource(&resource.resource);
    }
    CanonicalValue::Literal(var.value.as_deref().unwrap_or_default())
}

/// Mounts that show an object's content. Others, such as an `emptyDir` or the token volume that
/// the API server adds, show nothing that was there before.
fn mounts<'c>(template: &'c PodTemplate<'c>, container: &'c Container<'c>) -> Vec<Mount<'c>> {
    let mut mounts = Vec::new();
    for mount in &container.volume_mounts {
        let sources: Vec<_> = template
            .spec
            .volumes
            .iter()
            .filter(|volume| volume.name == mount.name)
            .flat_map(Volume::sources)
            .map(reference)
            .collect();
        if !sources.is_empty() {
            let sub_path = mount.sub_path.as_deref().filter(|path| !path.is_empty());
            mounts.push((mount.mount_path.as_str(), sub_path, sources));
        }
    }
    mounts
}

fn reference(source: MountedSource<'_>) -> (&'static str, &str) {
    match source {
        MountedSource::ConfigMap(name) => ("ConfigMap", name),
        MountedSource::Secret(name) => ("Secret", name),
        MountedSource::PersistentVolumeClaim(name) => ("PersistentVolumeClaim", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> String {
        digest(&Object::parse(json).unwrap()).to_string()
    }

    fn job(container: &str) -> String {
        format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"m"}},
                "spec":{{"template":{{"spec":{{"containers":[{container}],
                "volumes":[{{"name":"sql","configMap":{{"name":"sql-v1"}}}}]}}}}}}}}"#
        )
    }

    #[test]
    fn every_change_of_what_runs_changes_the_digest() {
        let base = r#"{"name":"c","image":"i:1","command":["psql"],"args":["-c"],
            "env":[{"name":"A","value":"1"}],
            "volumeMounts":[{"name":"sql","mountPath":"/sql"}]}"#;
        let mut seen = vec![of(&job(base))];
        for (from, to) in [
            ("i:1", "i:2"),
            ("\"psql\"", "\"psql\",\"-X\""),
            ("\"-c\"", "\"-f\""),
            ("\"value\":\"1\"", "\"value\":\"2\""),
            ("\"value\":\"1\"", r#""valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}"#),
            ("\"value\":\"1\"", r#""valueFrom":{"configMapKeyRef":{"name":"s","key":"k"}}"#),
            ("\"/sql\"", "\"/other\""),
            ("\"image\"", "\"workingDir\":\"/x\",\"image\""),
            ("\"image\"", r#""envFrom":[{"secretRef":{"name":"s"}}],"image""#),
            ("\"image\"", r#""lifecycle":{"postStart":{"exec":{"command":["x"]}}},"image""#),
        ] {
            let changed = base.replacen(from, to, 1);
            assert_ne!(changed, base);
            let digest = of(&job(&changed));
            assert!(!seen.contains(&digest), "{from} -> {to}");
            seen.push(digest);
        }
        let other_map = job(base).replace("sql-v1", "sql-v2");
        assert!(!seen.contains(&of(&other_map)));
        let other_job = job(base).replace(r#""name":"m""#, r#""name":"n""#);
        assert!(!seen.contains(&of(&other_job)));
    }

    #[test]
    fn moving_words_between_command_and_args_changes_the_digest() {
        let one = of(&job(r#"{"command":["a","b"],"args":[]}"#));
        let other = of(&job(r#"{"command":["a"],"args":["b"]}"#));
        assert_ne!(one, other);
    }
}
