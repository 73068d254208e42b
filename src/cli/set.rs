//! The manifests of one run, and what they tell of each other.

use super::{
    input::{self, Input, Source},
    manifests::{self, Manifest, Seen},
    parallel,
    progress::Progress,
    rendered::RenderArgs,
    surroundings::Surroundings,
};
use crate::{
    model::{Facts, Labels},
    render::InputError,
    source::{self, Chunk, Document, Position, SourceError, Span},
};
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where Kubernetes puts an object that names no namespace.
const DEFAULT_NAMESPACE: &str = "default";
/// How many bytes of text a set may have of which everything is kept that was read and found out:
/// that takes many times as much memory. Of a larger one it is found out again where it is needed.
const SMALL: usize = 2 << 20;

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
    pub(super) namespace_labels: Option<Pairs>,
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
        input::read_all(self.inputs())
    }

    /// The same, of which the files are still to be read.
    pub(super) fn inputs(&self) -> Vec<Input> {
        let mut inputs = input::list(&self.paths);
        let rendered = self.render.sources(self.namespace.as_deref());
        inputs.extend(rendered.into_iter().map(Box::new).map(Input::Read));
        inputs
    }

    /// True when each of them is a file.
    pub(super) fn are_files(&self) -> bool {
        !self.render.is_any() && !self.paths.iter().any(|path| input::is_stdin(path))
    }

    /// The namespace of objects that name none.
    pub(super) fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    /// Namespace that an object would be created in; empty for a cluster-scoped kind.
    pub(super) fn namespace_of<'m>(&'m self, manifest: &'m Manifest) -> &'m str {
        if manifest.is_cluster_scoped() {
            return "";
        }
        manifest.namespace.as_deref().unwrap_or_else(|| self.default_namespace())
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
    /// Its documents as they were read first, without their values, where they are kept.
    kept: Option<Vec<Result<Document, SourceError>>>,
}

impl Part<'_> {
    pub(super) fn error(&self, position: Position, message: &str) -> InputError {
        let message = message.to_owned();
        InputError { file: self.file.name.clone(), position: Some(position), message }
    }
}

/// The documents of a part. They are read again when the first of them is needed and is not kept.
pub(super) struct Places<'p> {
    pub(super) part: &'p Part<'p>,
    /// The name of its file, for all that is said of it.
    pub(super) file: Arc<str>,
    documents: OnceCell<Vec<Result<Document, SourceError>>>,
    literals: OnceCell<Vec<Vec<Span>>>,
}

impl<'p> Places<'p> {
    pub(super) fn new(part: &'p Part<'p>) -> Self {
        let file = part.file.name.as_str().into();
        Self { part, file, documents: OnceCell::new(), literals: OnceCell::new() }
    }

    /// The document of a manifest, with its value.
    pub(super) fn document(&self, manifest: &Manifest) -> Option<&Document> {
        self.documents().get(manifest.document)?.as_ref().ok()
    }

    /// The document of a manifest, for the sake of positions in it.
    pub(super) fn positions(&self, manifest: &Manifest) -> Option<&Document> {
        self.any().get(manifest.document)?.as_ref().ok()
    }

    /// Where literals stand that may be secrets, in the whole document of a manifest.
    pub(super) fn literals(&self, manifest: &Manifest) -> &[Span] {
        let literals = self.literals.get_or_init(|| {
            let documents = self.any().iter();
            documents.map(|it| it.as_ref().map(Document::literals).unwrap_or_default()).collect()
        });
        literals.get(manifest.document).map(Vec::as_slice).unwrap_or_default()
    }

    fn any(&self) -> &[Result<Document, SourceError>] {
        self.part.kept.as_deref().unwrap_or_else(|| self.documents())
    }

    fn documents(&self) -> &[Result<Document, SourceError>] {
        self.documents.get_or_init(|| self.part.chunk.documents())
    }
}

/// Nothing at all is what is left when the program before us in a pipe failed: it is not clean.
pub(super) fn nothing(file: &str) -> InputError {
    let message = "there is no document in the input".to_owned();
    InputError { file: file.to_owned(), position: None, message }
}

/// A part of a source and what stands in it.
type Read<'s> = (Part<'s>, Vec<Seen>);
/// The place of a source that could not be read, and why.
type Unread<'s> = (usize, &'s InputError);

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Set<'s> {
    /// Each part of a source, in order, or the source where it could not be read.
    parts: Vec<Result<Read<'s>, Unread<'s>>>,
    /// The first file, of those that could be read, and its place.
    pub(super) first: Option<(usize, String)>,
    /// How many files could be read.
    pub(super) files: usize,
    /// What was read and found out may be kept.
    pub(super) is_small: bool,
    args: &'s SetArgs,
    around: Arc<Surroundings>,
    progress: Option<Progress>,
}

impl<'s> Set<'s> {
    /// Reads every object of the sources, on every core.
    ///
    /// Namespaces and ConfigMaps can stand anywhere in a set, so everything is read before anything
    /// is looked at.
    pub(super) fn read(args: &'s SetArgs, sources: &'s [Result<Source, InputError>]) -> Self {
        let mut set = Self::parse(args, sources.iter().enumerate(), true);
        let parts = set.parts.iter_mut().flatten();
        let documents = parts.flat_map(|(part, seen)| {
            let file = part.number;
            seen.iter_mut().map(move |seen| (file, seen))
        });
        set.around = Arc::new(Surroundings::of(args, documents));
        set
    }

    /// Reads every object of some sources of a larger set, which come with their places in it.
    pub(super) fn share(
        args: &'s SetArgs,
        sources: impl Iterator<Item = (usize, &'s Result<Source, InputError>)>,
        around: &Arc<Surroundings>,
    ) -> Self {
        Self { around: Arc::clone(around), ..Self::parse(args, sources, false) }
    }

    fn parse(
        args: &'s SetArgs,
        sources: impl Iterator<Item = (usize, &'s Result<Source, InputError>)>,
        tells: bool,
    ) -> Self {
        let sources: Vec<_> = sources.collect();
        let files =
            || sources.iter().filter_map(|(number, source)| Some((*number, source.as_ref().ok()?)));
        let parts: Vec<Result<Part<'s>, Unread<'s>>> = sources
            .iter()
            .flat_map(|(number, source)| match source {
                Ok(file) => source::chunks(&file.text)
                    .into_iter()
                    .map(|chunk| {
                        Ok(Part { file, number: *number, objects_before: 0, chunk, kept: None })
                    })
                    .collect(),
                Err(error) => vec![Err((*number, error))],
            })
            .collect();
        let is_small = files().map(|(_, file)| file.text.len()).sum::<usize>() <= SMALL;
        // Everything is read, and then looked at.
        let progress = tells.then(|| Progress::new(parts.len().saturating_mul(2)));
        let read = parallel::map(&parts, |part| {
            let read = match part {
                Ok(Part { chunk, file, .. }) => {
                    let (seen, documents) = manifests::read_marked(chunk, &file.name);
                    (seen, is_small.then_some(documents))
                }
                Err(_) => (Vec::new(), None),
            };
            progress.iter().for_each(Progress::step);
            read
        });
        let mut objects: usize = 0;
        let parts = parts.into_iter().zip(read).map(|(part, (seen, documents))| {
            let mut part = part?;
            part.objects_before = objects;
            let own = seen.iter().filter(|seen| matches!(seen, Seen::Manifest(_))).count();
            objects = objects.saturating_add(own);
            part.kept = documents;
            Ok((part, seen))
        });
        Self {
            parts: parts.collect(),
            first: files().next().map(|(number, file)| (number, file.name.clone())),
            files: files().count(),
            is_small,
            args,
            around: Arc::default(),
            progress,
        }
    }

    /// `f` of every part, on every core, in order; the errors of sources stand where they would.
    pub(super) fn map<R: Send>(
        &self,
        f: impl Fn(&Part<'s>, &[Seen]) -> R + Sync,
    ) -> Vec<Result<R, InputError>> {
        let results = parallel::map(&self.parts, |part| {
            let result = match part {
                Ok((part, seen)) => Ok(f(part, seen)),
                Err((_, error)) => Err((*error).clone()),
            };
            self.progress.iter().for_each(Progress::step);
            result
        });
        self.progress.iter().for_each(Progress::end);
        results
    }

    /// The place among the sources of what [`map`](Self::map) gives a result for.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|part| match part {
            Ok((part, _)) => part.number,
            Err((number, _)) => *number,
        })
    }

    /// True when there is neither a document nor an error.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.as_ref().is_ok_and(|(_, seen)| seen.is_empty()))
    }

    /// What is wrong with a set that is empty.
    pub(super) fn nothing(&self) -> Option<InputError> {
        let first = || self.first.as_ref().map_or("", |(_, file)| file);
        self.is_empty().then(|| nothing(first()))
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

    /// What the objects tell of each other.
    pub(super) fn around(&self) -> &Surroundings {
        &self.around
    }

    /// The namespace of objects that name none.
    pub(super) fn default_namespace(&self) -> &str {
        self.args.default_namespace()
    }

    /// Namespace that the object would be created in; empty for a cluster-scoped kind.
    pub(super) fn namespace<'m>(&'m self, manifest: &'m Manifest) -> &'m str {
        self.args.namespace_of(manifest)
    }

    /// The namespace that the object or the user names; none where neither does.
    pub(super) fn stated_namespace<'m>(&'m self, manifest: &'m Manifest) -> Option<&'m str> {
        manifest.namespace.as_deref().or(self.args.namespace.as_deref())
    }

    /// What the set tells about an object of a part.
    pub(super) fn facts<'m>(&'m self, part: &Part<'_>, manifest: &'m Manifest) -> Facts<'m> {
        let namespace = self.namespace(manifest);
        Facts {
            config_maps: self.around.config_maps(namespace, part.number),
            ..Facts::new(self.around.labels(namespace))
        }
    }
}
