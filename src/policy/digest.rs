//! The digest that an approval covers: what a Job will do, and nothing else.
//!
//! It is SHA-256 over a canonical JSON text of, in order: the object's kind and name, the database
//! it names; for every Pod template how often it runs, its service account and how it resolves
//! names; and for every container its list, image, command, args, working directory, variables and
//! references, the commands of its hooks and probes, and what it mounts.
//!
//! What the API server defaults, what [mutation](crate::decision::mutate) adds and what Argo CD or
//! Helm label is left out, so that the digest of the file in Git is the digest of the admitted
//! object. A generated name counts as its `generateName` prefix. The namespace is left out because
//! Git leaves it out: Argo CD and Helm supply it, and `tidegate.dev/approved-namespace` binds to it.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::{
    Container, EnvVar, Job, MountedSource, Object, PodTemplate, Text, VolumeMount, annotation,
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
    templates: Vec<CanonicalTemplate<'c>>,
}

#[derive(Serialize)]
struct CanonicalTemplate<'c> {
    runs: Option<(i64, Option<i64>)>,
    service_account: &'c str,
    host_network: bool,
    host_aliases: &'c Value,
    dns: &'c Value,
    containers: Vec<CanonicalContainer<'c>>,
}

#[derive(Serialize)]
struct CanonicalContainer<'c> {
    list: String,
    image: &'c str,
    command: Vec<&'c str>,
    args: Vec<&'c str>,
    source: Option<&'c str>,
    hooks: Vec<&'c Value>,
    working_dir: Option<&'c str>,
    env: Vec<(&'c str, CanonicalValue<'c>)>,
    env_from: Vec<(&'c str, &'static str, &'c str)>,
    mounts: Vec<Mount<'c>>,
}

/// Where it is mounted, which part, with variables in it or not, and a hash of what it shows.
type Mount<'c> = (&'c str, Option<&'c str>, Option<&'c str>, Option<String>);

#[derive(Serialize)]
enum CanonicalValue<'c> {
    Literal(&'c str),
    Secret(&'c str, &'c str),
    ConfigMap(&'c str, &'c str),
    Field(&'c str),
    Resource(&'c str),
    Other(&'c Value),
}

/// Commands that run beside a container's own, and where they stand in it.
const HOOKS: [&str; 5] = [
    "/lifecycle/postStart/exec/command",
    "/lifecycle/preStop/exec/command",
    "/startupProbe/exec/command",
    "/readinessProbe/exec/command",
    "/livenessProbe/exec/command",
];

/// Where the API server mounts the token of a Pod's service account.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the API server fills in on volumes.
const VOLUME_DEFAULTS: [(&str, Defaulted); 12] = [
    ("defaultMode", Defaulted::Number(420)),
    ("apiVersion", Defaulted::Text("v1")),
    ("expirationSeconds", Defaulted::Number(3_600)),
    ("type", Defaulted::Text("")),
    ("volumeMode", Defaulted::Text("Filesystem")),
    ("pullPolicy", Defaulted::Text("IfNotPresent")),
    ("pullPolicy", Defaulted::Text("Always")),
    ("iscsiInterface", Defaulted::Text("default")),
    ("cachingMode", Defaulted::Text("ReadWrite")),
    ("fsType", Defaulted::Text("ext4")),
    ("readOnly", Defaulted::False),
    ("optional", Defaulted::False),
];

enum Defaulted {
    Number(i64),
    Text(&'static str),
    False,
}

impl Defaulted {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Number(number) => value.as_i64() == Some(*number),
            Self::Text(text) => value.as_str() == Some(text),
            Self::False => *value == Value::Bool(false),
        }
    }
}

static NOTHING: Value = Value::Null;

/// The digest of what `object` will do.
pub fn digest(object: &Object<'_>) -> Digest {
    let generated = !object.metadata.generate_name.is_empty();
    // A text that is nested too deeply for a value stands for itself.
    let spec = serde_json::from_str(object.spec)
        .unwrap_or_else(|_error| Value::String(object.spec.to_owned()));
    let canonical = Canonical {
        kind: &object.kind,
        name: if generated { &object.metadata.generate_name } else { &object.metadata.name },
        generated,
        database: object.metadata.annotation(annotation::DATABASE),
        templates: object.templates.iter().map(|template| of_template(template, &spec)).collect(),
    };
    let mut hash = Sha256::new();
    hash.update(VERSION);
    if let Value::String(text) = &spec {
        hash.update(text);
    }
    // Serialising strings and numbers to memory cannot fail; the empty text would match nothing.
    hash.update(serde_json::to_vec(&canonical).unwrap_or_default());
    Digest(hash.finalize().into())
}

fn of_template<'c>(template: &'c PodTemplate<'c>, spec: &'c Value) -> CanonicalTemplate<'c> {
    let pod = find(spec, &template.spec_path);
    let volumes = Volumes::of(template, pod);
    let account = template.spec.service_account_name.as_ref().map_or("", |name| name.as_str());
    CanonicalTemplate {
        runs: template.job.as_ref().map(runs),
        service_account: if account == "default" { "" } else { account },
        host_network: template.spec.host_network,
        host_aliases: pod.get("hostAliases").unwrap_or(&NOTHING),
        dns: pod.get("dnsConfig").unwrap_or(&NOTHING),
        containers: template
            .containers
            .iter()
            .map(|container| of_container(container, &volumes, spec))
            .collect(),
    }
}

/// `parallelism` and `completions`, with the API server's defaults.
fn runs(job: &Job) -> (i64, Option<i64>) {
    let one_run = if job.parallelism.is_none() { Some(1) } else { None };
    (job.parallelism.unwrap_or(1), job.completions.or(one_run))
}

fn of_container<'c>(
    container: &'c Container<'c>,
    volumes: &Volumes<'_>,
    spec: &'c Value,
) -> CanonicalContainer<'c> {
    let texts = |texts: &'c [Text<'c>]| texts.iter().map(Text::as_str).collect::<Vec<_>>();
    let written = find(spec, &container.path.to_string());
    CanonicalContainer {
        list: format!("{:?}", container.list),
        image: &container.image,
        command: texts(&container.command),
        args: texts(&container.args),
        source: container.source.as_deref(),
        hooks: HOOKS.iter().map(|hook| written.pointer(hook).unwrap_or(&NOTHING)).collect(),
        working_dir: container.working_dir.as_deref().filter(|folder| !folder.is_empty()),
        env: container
            .env
            .iter()
            .enumerate()
            .map(|(index, var)| (var.name.as_str(), value(var, index, written)))
            .collect(),
        env_from: container
            .env_from
            .iter()
            .filter_map(|from| {
                let (kind, name) = reference(from.source()?);
                Some((from.prefix.as_deref().unwrap_or_default(), kind, name))
            })
            .collect(),
        mounts: container.volume_mounts.iter().filter_map(|mount| volumes.mount(mount)).collect(),
    }
}

/// What stands at a path of the object; `spec` is what stands at its first key.
fn find<'v>(spec: &'v Value, path: &str) -> &'v Value {
    let mut here = spec;
    for segment in path.split('.').skip(1) {
        let (key, indices) = segment.split_once('[').unwrap_or((segment, ""));
        let Some(mut next) = here.get(key) else { return &NOTHING };
        for index in indices.split(['[', ']']).filter(|index| !index.is_empty()) {
            let item = index.parse::<usize>().ok().and_then(|index| next.get(index));
            let Some(item) = item else { return &NOTHING };
            next = item;
        }
        here = next;
    }
    here
}

fn value<'c>(var: &'c EnvVar<'c>, index: usize, container: &'c Value) -> CanonicalValue<'c> {
    let Some(from) = &var.value_from else {
        return CanonicalValue::Literal(var.value.as_deref().unwrap_or_default());
    };
    if let Some(key) = &from.secret_key_ref {
        return CanonicalValue::Secret(&key.name, &key.key);
    }
    if let Some(key) = &from.config_map_key_ref {
        return CanonicalValue::ConfigMap(&key.name, &key.key);
    }
    if let Some(field) = &from.field_ref {
        return CanonicalValue::Field(&field.field_path);
    }
    if let Some(resource) = &from.resource_field_ref {
        return CanonicalValue::Resource(&resource.resource);
    }
    let other = container.pointer(&format!("/env/{index}/valueFrom"));
    CanonicalValue::Other(other.unwrap_or(&NOTHING))
}

/// What the volumes of a Pod show, by name. A Pod may be as large as whoever writes it likes, so
/// that each volume is looked at once.
struct Volumes<'v> {
    shown: BTreeMap<&'v str, String>,
    token: Option<&'v str>,
}

impl<'v> Volumes<'v> {
    fn of(template: &'v PodTemplate<'_>, pod: &'v Value) -> Self {
        let mut hashes: BTreeMap<&str, Sha256> = BTreeMap::new();
        for volume in pod.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = volume.get("name").and_then(Value::as_str) {
                let hash = hashes.entry(name).or_default();
                hash.update(without_defaults(volume).to_string());
            }
        }
        let shown = hashes.into_iter();
        let shown = shown.map(|(name, hash)| (name, Digest(hash.finalize().into()).to_string()));
        let token = template
            .spec
            .volumes
            .iter()
            .find(|volume| volume.has_service_account_token() && volume.sources().is_empty());
        Self { shown: shown.collect(), token: token.map(|volume| volume.name.as_str()) }
    }

    /// None for the mount of the token that the API server adds to Pods.
    fn mount<'c>(&self, mount: &'c VolumeMount<'c>) -> Option<Mount<'c>> {
        let path = mount.mount_path.as_str();
        let name = mount.name.as_str();
        if path == TOKEN_PATH && self.token == Some(name) {
            return None;
        }
        let filled = |text: &'c Option<Text<'c>>| text.as_deref().filter(|text| !text.is_empty());
        let shown = self.shown.get(name).cloned();
        Some((path, filled(&mount.sub_path), filled(&mount.sub_path_expr), shown))
    }
}

/// A volume without what the API server fills in. It is nested at most as deep as the parser reads,
/// which is 128 levels.
fn without_defaults(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| {
                let filled_in =
                    |(name, default): &(&str, Defaulted)| *name == *key && default.is(value);
                !value.is_null() && !VOLUME_DEFAULTS.iter().any(filled_in)
            })
            .map(|(key, value)| (key.clone(), without_defaults(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_defaults).collect(),
        other => other.clone(),
    }
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

    const BASE: &str = r#"{"name":"c","image":"i:1","command":["psql"],"args":["-c"],
        "env":[{"name":"A","value":"1"}],
        "volumeMounts":[{"name":"sql","mountPath":"/sql"}]}"#;

    /// The job with one part of its text replaced.
    fn with(from: &str, to: &str) -> String {
        let base = job(BASE);
        assert!(base.contains(from), "{from}");
        base.replacen(from, to, 1)
    }

    #[test]
    fn every_change_of_what_runs_changes_the_digest() {
        let mut seen = vec![of(&job(BASE))];
        for (from, to) in [
            (r#""name":"m""#, r#""name":"n""#),
            (r#""name":"m""#, r#""generateName":"m""#),
            (r#""name":"m""#, r#""name":"m","annotations":{"tidegate.dev/database":"a"}"#),
            (r#""template""#, r#""parallelism":2,"template""#),
            (r#""template""#, r#""completions":2,"template""#),
            // Without `completions`, one Pod that succeeds is enough for all of them.
            (r#""template""#, r#""parallelism":1,"template""#),
            (r#""containers""#, r#""serviceAccountName":"a","containers""#),
            (r#""containers""#, r#""hostNetwork":true,"containers""#),
            (r#""containers""#, r#""hostAliases":[{"ip":"10.0.0.1"}],"containers""#),
            (r#""containers""#, r#""dnsConfig":{"nameservers":["10.0.0.1"]},"containers""#),
            (r#""containers""#, r#""initContainers""#),
            ("i:1", "i:2"),
            (r#""psql""#, r#""psql","-X""#),
            (r#""-c""#, r#""-f""#),
            (r#""A""#, r#""B""#),
            (r#""value":"1""#, r#""value":"2""#),
            (r#""value":"1""#, r#""valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"secretKeyRef":{"name":"s","key":"l"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"configMapKeyRef":{"name":"s","key":"k"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"configMapKeyRef":{"name":"t","key":"k"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"fileKeyRef":{"volumeName":"v","key":"k"}}"#),
            (r#""value":"1""#, r#""valueFrom":{"fileKeyRef":{"volumeName":"v","key":"l"}}"#),
            (r#""image""#, r#""workingDir":"/x","image""#),
            (r#""image""#, r#""envFrom":[{"secretRef":{"name":"s"}}],"image""#),
            (r#""image""#, r#""envFrom":[{"configMapRef":{"name":"s"}}],"image""#),
            (r#""image""#, r#""envFrom":[{"configMapRef":{"name":"t"}}],"image""#),
            (r#""image""#, r#""envFrom":[{"prefix":"P","configMapRef":{"name":"t"}}],"image""#),
            (r#""image""#, r#""lifecycle":{"postStart":{"exec":{"command":["x"]}}},"image""#),
            (r#""image""#, r#""lifecycle":{"preStop":{"exec":{"command":["x"]}}},"image""#),
            (r#""image""#, r#""startupProbe":{"exec":{"command":["x"]}},"image""#),
            (r#""image""#, r#""readinessProbe":{"exec":{"command":["x"]}},"image""#),
            (r#""image""#, r#""livenessProbe":{"exec":{"command":["x"]}},"image""#),
            (r#""/sql""#, r#""/other""#),
            (r#""/sql""#, r#""/sql","subPath":"a""#),
            (r#""/sql""#, r#""/sql","subPathExpr":"a""#),
            // A mount of its own where the API server mounts the token.
            (r#""/sql""#, r#""/var/run/secrets/kubernetes.io/serviceaccount""#),
            ("sql-v1", "sql-v2"),
            (r#""sql-v1""#, r#""sql-v1","defaultMode":493"#),
            (r#""sql-v1""#, r#""sql-v1","optional":true"#),
            (r#""sql-v1""#, r#""sql-v1","items":[{"key":"a","path":"b"}]"#),
            // A default of one field is none of another.
            (r#""sql-v1""#, r#""sql-v1","another":420"#),
            (r#""configMap""#, r#""secret""#),
        ] {
            let digest = of(&with(from, to));
            assert!(!seen.contains(&digest), "{from} -> {to}");
            seen.push(digest);
        }
    }

    #[test]
    fn what_kubernetes_fills_in_leaves_the_digest_as_it_is() {
        for (from, to) in [
            (r#""template""#, r#""parallelism":1,"completions":1,"template""#),
            (r#""template""#, r#""completions":1,"template""#),
            (r#""containers""#, r#""serviceAccountName":"default","containers""#),
            (r#""image""#, r#""workingDir":"","image""#),
            (r#""/sql""#, r#""/sql","subPath":"","subPathExpr":"""#),
            (r#""sql-v1""#, r#""sql-v1","defaultMode":420,"optional":false,"items":null"#),
        ] {
            assert_eq!(of(&with(from, to)), of(&job(BASE)), "{from} -> {to}");
        }
        let items = |more: &str| {
            let items = format!(r#""sql-v1","items":[{{"key":"a","path":"b"{more}}}]"#);
            of(&with(r#""sql-v1""#, &items))
        };
        assert_eq!(items(r#","mode":null"#), items(""), "inside a list, too");
        assert_ne!(items(r#","mode":420"#), items(""));
        let path = |more: &str| {
            let path = format!(r#""hostPath":{{"path":"/a"{more}}}"#);
            of(&with(r#""configMap":{"name":"sql-v1"}"#, &path))
        };
        assert_eq!(path(r#","type":"""#), path(""));
        assert_ne!(path(r#","type":"Directory""#), path(""));
    }

    #[test]
    fn only_the_token_of_the_service_account_is_left_out() {
        let token = |path: &str, sources: &str| {
            let mount = format!(r#""/sql"}},{{"name":"token","mountPath":"{path}""#);
            let volume = format!(
                r#""volumes":[{{"name":"token","projected":{{"sources":[
                    {{"serviceAccountToken":{{"path":"token"}}}}{sources}]}}}},"#
            );
            of(&with(r#""/sql""#, &mount).replace(r#""volumes":["#, &volume))
        };
        let root = r#",{"configMap":{"name":"kube-root-ca.crt"}}"#;
        assert_eq!(token(TOKEN_PATH, root), of(&job(BASE)), "as the API server adds it");
        assert_ne!(token("/elsewhere", root), of(&job(BASE)));
        let script = r#",{"configMap":{"name":"script"}}"#;
        assert_ne!(token(TOKEN_PATH, script), of(&job(BASE)), "something beside the token");
    }

    #[test]
    fn a_text_that_is_nested_too_deeply_stands_for_itself() {
        let deep = |depth: usize, what: &str| {
            let nested = format!("{}{what}{}", "[".repeat(depth), "]".repeat(depth));
            of(&with(r#""sql-v1""#, &format!(r#""sql-v1","x":{nested}"#)))
        };
        for depth in [100, 10_000] {
            assert_ne!(deep(depth, "1"), deep(depth, "2"), "{depth}");
        }
        let digest = digest(&Object::parse(&job(BASE)).unwrap());
        assert_eq!(format!("{digest:?}"), digest.to_string());
    }

    #[test]
    fn moving_words_between_command_and_args_changes_the_digest() {
        let one = of(&job(r#"{"command":["a","b"],"args":[]}"#));
        let other = of(&job(r#"{"command":["a"],"args":["b"]}"#));
        assert_ne!(one, other);
    }
}
