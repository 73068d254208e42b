//! The manifests of one run, and what they tell of each other.

use super::{
    input::{self, Source},
    manifests::{self, Manifest, Seen},
    parallel,
    progress::Progress,
    rendered::RenderArgs,
};
use crate::{
    model::{ConfigMapSet, Fact, Facts, Labels},
    policy::Exception,
    render::InputError,
    source::{self, Chunk, Document, Position, SourceError, Span},
};
use std::{
    cell::OnceCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The label that the API server itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Where Kubernetes puts an object that names no namespace.
const DEFAULT_NAMESPACE: &str = "default";
/// Of a cluster-scoped object.
static NO_LABELS: Labels = Labels::new();

/// What to read, and where it would be installed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SetArgs {
    /// Files, folders (*.yaml, *.yml, *.json, recursively) or - for standard input
    #[arg(required_unless_present_any = ["helm_chart", "kustomize"], value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    render: RenderArgs,

    /// Policy file, or folder of them (*.yaml, *.yml, *.json). Repeatable. [default: built-in]
    #[arg(long, value_name = "PATH")]
    pub(super) policy: Vec<PathBuf>,

    /// Namespace of objects that name none [default: default]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Labels of that namespace. A Namespace object among the manifests gives those of its own
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = parse_labels)]
    namespace_labels: Option<Pairs>,
}

/// Labels as they are typed.
#[derive(Clone, Debug)]
pub(super) struct Pairs(pub(super) Labels);

pub(super) fn parse_labels(text: &str) -> Result<Pairs, String> {
    let mut labels = Labels::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{pair}` is no KEY=VALUE; several are separated by commas"))?;
        if key.trim().is_empty() {
            return Err(format!("`{pair}` has no key"));
        }
        labels.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(Pairs(labels))
}

impl SetArgs {
    /// The one path, where nothing else is to be read.
    pub(super) fn only_path(&self) -> Option<&Path> {
        match self.paths.as_slice() {
            [path] if !self.render.is_any() => Some(path),
            _ => None,
        }
    }

    /// The namespace that the user names.
    pub(super) fn named_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The same for other files.
    pub(super) fn with_paths(&self, paths: Vec<PathBuf>) -> Self {
        Self { paths, ..self.clone() }
    }

    /// The texts that are meant.
    pub(super) fn sources(&self) -> Vec<Result<Source, InputError>> {
        let mut sources = input::read(&self.paths);
        sources.extend(self.render.sources(self.namespace.as_deref()));
        sources
    }

    /// True when each of them is a file.
    pub(super) fn are_files(&self) -> bool {
        !self.render.is_any() && !self.paths.iter().any(|path| input::is_stdin(path))
    }

    /// The namespace of objects that name none.
    pub(super) fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }
}

/// A part of a file.
#[derive(Debug)]
pub(super) struct Part<'s> {
    pub(super) file: &'s Source,
    /// The place of the file among the sources.
    pub(super) number: usize,
    /// How many objects stand in the parts before it.
    pub(super) objects_before: usize,
    pub(super) chunk: Chunk<'s>,
}

impl Part<'_> {
    pub(super) fn error(&self, position: Position, message: &str) -> InputError {
        let message = message.to_owned();
        InputError { file: self.file.name.clone(), position: Some(position), message }
    }
}

/// The documents of a part. They are read again when the first position in one is needed: few
/// objects need any, and to keep all documents takes many times the memory of their text.
pub(super) struct Places<'p> {
    pub(super) part: &'p Part<'p>,
    documents: OnceCell<Vec<Result<Document, SourceError>>>,
    literals: OnceCell<Vec<Vec<Span>>>,
}

impl<'p> Places<'p> {
    pub(super) fn new(part: &'p Part<'p>) -> Self {
        Self { part, documents: OnceCell::new(), literals: OnceCell::new() }
    }

    pub(super) fn document(&self, manifest: &Manifest) -> Option<&Document> {
        self.documents().get(manifest.document)?.as_ref().ok()
    }

    /// Where literals stand that may be secrets, in the whole document of a manifest.
    pub(super) fn literals(&self, manifest: &Manifest) -> &[Span] {
        let literals = self.literals.get_or_init(|| {
            let documents = self.documents().iter();
            documents.map(|it| it.as_ref().map(Document::literals).unwrap_or_default()).collect()
        });
        literals.get(manifest.document).map(Vec::as_slice).unwrap_or_default()
    }

    fn documents(&self) -> &[Result<Document, SourceError>] {
        self.documents.get_or_init(|| self.part.chunk.documents())
    }
}

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Set<'s> {
    /// Each part of a source and what stands in it, in order; of a source that could not be read,
    /// why.
    parts: Vec<Result<(Part<'s>, Vec<Seen>), &'s InputError>>,
    /// The first file, of those that could be read.
    first: Option<String>,
    /// How many files could be read.
    pub(super) files: usize,
    args: &'s SetArgs,
    namespaces: BTreeMap<String, Labels>,
    config_maps: ConfigMapSet,
    progress: Progress,
}

impl<'s> Set<'s> {
    /// Reads every object of the sources, on every core.
    ///
    /// Namespaces and ConfigMaps can stand anywhere in a set, so everything is read before anything
    /// is looked at.
    pub(super) fn read(args: &'s SetArgs, sources: &'s [Result<Source, InputError>]) -> Self {
        let parts: Vec<Result<Part<'s>, &InputError>> = sources
            .iter()
            .enumerate()
            .flat_map(|(number, source)| match source {
                Ok(file) => source::chunks(&file.text)
                    .into_iter()
                    .map(|chunk| Ok(Part { file, number, objects_before: 0, chunk }))
                    .collect(),
                Err(error) => vec![Err(error)],
            })
            .collect();
        // Everything is read, and then looked at.
        let progress = Progress::new(parts.len().saturating_mul(2));
        let seen: Vec<Vec<Seen>> = parallel::map(&parts, |part| {
            let seen = match part {
                Ok(part) => manifests::read(&part.chunk, &part.file.name),
                Err(_) => Vec::new(),
            };
            progress.step();
            seen
        });
        let mut set = Self {
            parts: parts.into_iter().zip(seen).map(|(part, seen)| Ok((part?, seen))).collect(),
            first: sources.iter().flatten().next().map(|source| source.name.clone()),
            files: sources.iter().flatten().count(),
            args,
            namespaces: BTreeMap::new(),
            config_maps: ConfigMapSet::default(),
            progress,
        };
        set.count();
        set.namespaces = set.all_namespaces();
        set.config_maps = set.take_config_maps();
        set
    }

    /// `f` of every part, on every core, in order; the errors of sources stand where they would.
    pub(super) fn map<R: Send>(
        &self,
        f: impl Fn(&Part<'s>, &[Seen]) -> R + Sync,
    ) -> Vec<Result<R, InputError>> {
        let results = parallel::map(&self.parts, |part| {
            let result = match part {
                Ok((part, seen)) => Ok(f(part, seen)),
                Err(error) => Err((*error).clone()),
            };
            self.progress.step();
            result
        });
        self.progress.end();
        results
    }

    /// Nothing at all is what is left when the program before us in a pipe failed: it is not clean.
    pub(super) fn nothing(&self) -> Option<InputError> {
        let is_empty = |part: &Result<(Part<'s>, Vec<Seen>), &InputError>| {
            part.as_ref().is_ok_and(|(_, seen)| seen.is_empty())
        };
        self.parts.iter().all(is_empty).then(|| InputError {
            file: self.first.clone().unwrap_or_default(),
            position: None,
            message: "there is no document in the input".to_owned(),
        })
    }

    /// Numbers the objects.
    fn count(&mut self) {
        let mut objects: usize = 0;
        for (part, seen) in self.parts.iter_mut().flatten() {
            part.objects_before = objects;
            let own = seen.iter().filter(|seen| matches!(seen, Seen::Manifest(_))).count();
            objects = objects.saturating_add(own);
        }
    }

    /// Every object, in order: its place is its number.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (&Part<'s>, &Manifest)> {
        self.parts.iter().flatten().flat_map(|(part, seen)| {
            seen.iter().filter_map(move |seen| match seen {
                Seen::Manifest(manifest) => Some((part, manifest)),
                Seen::Exception(_) | Seen::Own | Seen::Foreign | Seen::Broken(_) => None,
            })
        })
    }

    /// The exceptions of the set, each with its namespace.
    pub(super) fn exceptions(&self) -> Vec<Exception> {
        let seen = self.parts.iter().flatten().flat_map(|(_, seen)| seen);
        let exceptions = seen.filter_map(|seen| match seen {
            Seen::Exception(exception) => Some(Exception::clone(exception)),
            Seen::Manifest(_) | Seen::Own | Seen::Foreign | Seen::Broken(_) => None,
        });
        exceptions
            .map(|exception| Exception {
                namespace: exception
                    .namespace
                    .or_else(|| Some(self.default_namespace().to_owned())),
                ..exception
            })
            .collect()
    }

    /// The namespace of objects that name none.
    pub(super) fn default_namespace(&self) -> &str {
        self.args.default_namespace()
    }

    /// The labels of every namespace that the user or the set itself describes.
    fn all_namespaces(&self) -> BTreeMap<String, Labels> {
        let mut namespaces = BTreeMap::new();
        for (_, manifest) in self.manifests() {
            if let Some(labels) = &manifest.namespace_labels {
                namespaces.insert(manifest.name.clone(), labels.clone());
            }
        }
        if let Some(Pairs(labels)) = &self.args.namespace_labels {
            let namespace = self.args.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
            namespaces.insert(namespace.to_owned(), labels.clone());
        }
        for (name, labels) in &mut namespaces {
            labels.insert(NAME_LABEL.to_owned(), name.clone());
        }
        namespaces
    }

    /// Moves what ConfigMaps hold to where it is looked up.
    fn take_config_maps(&mut self) -> ConfigMapSet {
        let mut set = ConfigMapSet::default();
        for (part, seen) in self.parts.iter_mut().flatten() {
            for manifest in seen {
                if let Seen::Manifest(manifest) = manifest
                    && let Some(map) = manifest.config_map.take()
                {
                    let namespace = namespace(self.args, manifest);
                    set.add(namespace, &manifest.name, part.number, map);
                }
            }
        }
        set
    }

    /// Namespace that the object would be created in; empty for a cluster-scoped kind.
    pub(super) fn namespace<'m>(&'m self, manifest: &'m Manifest) -> &'m str {
        namespace(self.args, manifest)
    }

    /// The namespace that the object or the user names; none where neither does.
    pub(super) fn stated_namespace<'m>(&'m self, manifest: &'m Manifest) -> Option<&'m str> {
        manifest.namespace.as_deref().or(self.args.namespace.as_deref())
    }

    /// What the set tells about an object of a part.
    pub(super) fn facts<'m>(&'m self, part: &Part<'_>, manifest: &'m Manifest) -> Facts<'m> {
        let namespace = self.namespace(manifest);
        Facts {
            config_maps: self.config_maps.seen_from(namespace, part.number),
            ..Facts::new(self.labels(namespace))
        }
    }

    fn labels(&self, namespace: &str) -> Fact<&Labels> {
        if namespace.is_empty() {
            return Fact::Known(&NO_LABELS);
        }
        match self.namespaces.get(namespace) {
            Some(labels) => Fact::Known(labels),
            // Neither the set nor `--namespace-labels` says, and there is no cluster to ask.
            None => Fact::NotAsked,
        }
    }
}

fn namespace<'m>(args: &'m SetArgs, manifest: &'m Manifest) -> &'m str {
    if manifest.is_cluster_scoped() {
        return "";
    }
    let own = manifest.namespace.as_deref();
    own.or(args.namespace.as_deref()).unwrap_or(DEFAULT_NAMESPACE)
}
