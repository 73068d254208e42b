//! Kubernetes objects out of documents.

use serde_json::Value;

use crate::{
    model::{ConfigMap, Labels},
    policy::{self, Exception},
    source::{Chunk, Document, Position, SourceError},
};

/// The API group of tidegate's own documents.
const OWN_GROUP: &str = "tidegate.dev/";

/// What one document, or one item of a list, turned out to be.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every document is the large one")]
pub(super) enum Seen {
    /// An object to judge.
    Manifest(Manifest),
    /// An exception from rules.
    Exception(Box<Exception>),
    /// A policy or another document for tidegate itself.
    Own,
    /// YAML that is no Kubernetes object, such as the values of a chart.
    Foreign,
    /// It could not be read.
    Broken(SourceError),
}

/// A Kubernetes object as it stands in a file.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// Which document of the chunk it is in.
    pub(super) document: usize,
    /// Where in the document: empty, or such as `items[2]`.
    pub(super) prefix: String,
    pub(super) position: Position,
    pub(super) origin: Option<String>,
    pub(super) api_version: String,
    pub(super) kind: String,
    /// `metadata.namespace`, if it says.
    pub(super) namespace: Option<String>,
    /// `metadata.name`, or the prefix that a name is generated from.
    pub(super) name: String,
    /// Of a Namespace: the labels that objects in it are selected by.
    pub(super) namespace_labels: Option<Labels>,
    /// Of a ConfigMap: what it holds, until it is moved to where it is looked up.
    pub(super) config_map: Option<ConfigMap>,
    pub(super) json: String,
}

/// Every object of a chunk, in order.
/// `file` is the name of the file in errors.
pub(super) fn read(chunk: &Chunk<'_>, file: &str) -> Vec<Seen> {
    read_marked(chunk, file).0
}

/// The same, with the documents of the chunk: without their values, for the sake of positions.
pub(super) fn read_marked(
    chunk: &Chunk<'_>,
    file: &str,
) -> (Vec<Seen>, Vec<Result<Document, SourceError>>) {
    let mut seen = Vec::new();
    let mut documents = chunk.documents();
    for (index, document) in documents.iter_mut().enumerate() {
        match document {
            Ok(document) => {
                // What is meant by them is not for us to guess, but the API server reads on.
                seen.extend(document.repeated().iter().cloned().map(Seen::Broken));
                let value = document.take_value();
                let reader = Reader { document, index, file };
                reader.object(value, String::new(), None, &mut seen);
            }
            Err(error) => seen.push(Seen::Broken(explained(error.clone(), chunk))),
        }
    }
    (seen, documents)
}

/// A template that nobody rendered is the most common YAML that is none.
fn explained(mut error: SourceError, chunk: &Chunk<'_>) -> SourceError {
    let has_line = |start: &str| chunk.text.lines().any(|line| line.starts_with(start));
    if chunk.text.contains("{{") || chunk.text.contains("{%") {
        error.message.push_str(
            " (it looks like a template: render it first, for example with --helm-chart)",
        );
    } else if has_line("<<<<<<< ") && has_line(">>>>>>> ") {
        error.message.push_str(" (it holds a merge conflict that nobody resolved)");
    }
    error
}

struct Reader<'d> {
    document: &'d Document,
    index: usize,
    file: &'d str,
}

impl Reader<'_> {
    /// `of` is the apiVersion and kind that the items of a typed list leave out.
    fn object(
        &self,
        mut value: Value,
        prefix: String,
        of: Option<(&str, &str)>,
        seen: &mut Vec<Seen>,
    ) {
        if let (Value::Object(map), Some((api_version, kind))) = (&mut value, of) {
            map.entry("apiVersion").or_insert_with(|| api_version.into());
            map.entry("kind").or_insert_with(|| kind.into());
        }
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return seen.push(self.no_object(&value, &prefix));
        };
        if api_version.starts_with(OWN_GROUP) {
            return self.own(&value, &prefix, seen);
        }
        if api_version == "v1"
            && kind == "List"
            && value.get("items").is_some_and(|items| !items.is_array() && !items.is_null())
        {
            return seen
                .push(self.broken(&prefix, "the `items` of a List must be a list".to_owned()));
        }
        if kind.ends_with("List")
            && let Some(items) = value.get_mut("items").filter(|items| items.is_array())
        {
            let items = items.take();
            return self.items(items, &prefix, (&api_version, &kind), seen);
        }
        seen.push(self.manifest(&value, prefix, api_version, kind));
    }

    fn own(&self, value: &Value, prefix: &str, seen: &mut Vec<Seen>) {
        if !policy::is_exception(value) {
            return seen.push(Seen::Own);
        }
        match policy::exception(value, self.document, prefix, self.file) {
            Ok(exception) => seen.push(Seen::Exception(Box::new(exception))),
            Err(errors) => seen.extend(errors.into_iter().map(|error| {
                let position = Position { line: error.line, column: error.column, offset: 0 };
                let dot = if error.field.is_empty() { "" } else { ": " };
                let message = format!("{}{dot}{}", error.field, error.message);
                Seen::Broken(SourceError { position, message })
            })),
        }
    }

    fn items(
        &self,
        items: Value,
        prefix: &str,
        (api_version, kind): (&str, &str),
        seen: &mut Vec<Seen>,
    ) {
        let Value::Array(items) = items else { return };
        let of = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
        let dot = if prefix.is_empty() { "" } else { "." };
        for (number, item) in items.into_iter().enumerate() {
            let prefix = format!("{prefix}{dot}items[{number}]");
            self.object(item, prefix, of.map(|kind| (api_version, kind)), seen);
        }
    }

    /// A file that has nothing of an object is somebody else's; one that has half of it is an
    /// object that Kubernetes would refuse.
    fn no_object(&self, value: &Value, prefix: &str) -> Seen {
        if prefix.is_empty() && !value.is_object() {
            return self.no_mapping(value);
        }
        let has = |field: &str| value.get(field).is_some();
        let is_chart = has("name") && has("version") && !has("metadata");
        let (missing, there) = match (has("apiVersion"), has("kind")) {
            (true, true) => ("", ""),
            (true, false) if is_chart => return Seen::Foreign,
            (true, false) => ("kind", "apiVersion"),
            (false, true) => ("apiVersion", "kind"),
            (false, false) if prefix.is_empty() => return Seen::Foreign,
            (false, false) => {
                return self.broken(prefix, "an item without `apiVersion` and `kind`".to_owned());
            }
        };
        if missing.is_empty() {
            return self.broken(prefix, "`apiVersion` and `kind` must be strings".to_owned());
        }
        self.broken(prefix, format!("an object with `{there}` and without `{missing}`"))
    }

    /// A list can be somebody else's, such as a patch, but not one of objects. A text is what is left
    /// of a program that failed.
    fn no_mapping(&self, value: &Value) -> Seen {
        let is_object =
            |item: &Value| item.get("apiVersion").is_some() && item.get("kind").is_some();
        match value {
            Value::Array(items) if items.iter().any(is_object) => {
                let message =
                    "objects in a plain list: put `---` between them, or make it a `kind: List`";
                self.broken("", message.to_owned())
            }
            Value::Array(_) => Seen::Foreign,
            _ => self.broken("", "a text that is neither a mapping nor a list".to_owned()),
        }
    }

    fn broken(&self, prefix: &str, message: String) -> Seen {
        Seen::Broken(SourceError { position: self.document.locate(prefix).start, message })
    }

    fn manifest(&self, value: &Value, prefix: String, api_version: String, kind: String) -> Seen {
        let text = |field: &str| {
            let value = value.get("metadata")?.get(field)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let is = |wanted: &str| api_version == "v1" && kind == wanted;
        let namespace_labels = is("Namespace").then(|| labels(value));
        // Nothing of a value can fail to be written.
        let json = serde_json::to_string(value).unwrap_or_default();
        let config_map = is("ConfigMap").then(|| ConfigMap::parse(&json)).flatten();
        Seen::Manifest(Manifest {
            document: self.index,
            position: self.document.locate(&prefix).start,
            prefix,
            origin: self.document.origin().map(str::to_owned),
            api_version,
            kind,
            namespace: text("namespace"),
            name: text("name").or_else(|| text("generateName")).unwrap_or_default(),
            namespace_labels,
            config_map,
            json,
        })
    }
}

fn labels(namespace: &Value) -> Labels {
    let labels = namespace.pointer("/metadata/labels").and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Kinds outside any namespace that could run something or that a release brings along.
const CLUSTER_SCOPED: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "*"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("argoproj.io", "ClusterAnalysisTemplate"),
    ("argoproj.io", "ClusterWorkflowTemplate"),
    ("cert-manager.io", "ClusterIssuer"),
    ("certificates.k8s.io", "*"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "StorageClass"),
];

/// True for a kind that has no namespace. A kind that nobody knows is taken to have one.
pub(super) fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    CLUSTER_SCOPED.iter().any(|(known, of)| *known == group && (*of == "*" || *of == kind))
}

impl Manifest {
    /// True for a kind that has no namespace. A kind that nobody knows is taken to have one.
    pub(super) fn is_cluster_scoped(&self) -> bool {
        is_cluster_scoped(&self.api_version, &self.kind)
    }

    /// `path` of the object as a path of the document.
    pub(super) fn path(&self, path: &str) -> String {
        match (self.prefix.as_str(), path.trim_matches('.')) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        }
    }
}
