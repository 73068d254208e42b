//! Manifests to verdicts, as admission would reach them.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    input::Source,
    manifests::{self, Manifest, Seen},
    parallel,
};
use crate::{
    decision::{self, Judged, Outcome, Verdict},
    model::{Change, ConfigMapSet, Fact, Facts, Labels},
    policy::PolicySet,
    render::{self, Checked, Counts, Entry, InputError, Located, Report},
    source::{self, Chunk, Document, Position, SourceError, Span},
};

/// The label that the API server itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Where Kubernetes puts an object that names no namespace.
const DEFAULT_NAMESPACE: &str = "default";
/// Findings of this rule are about the text itself, so the text is not shown.
const CREDENTIALS: &str = "inline-credentials";

/// What manifests are judged by.
#[derive(Debug)]
pub(super) struct Court<'c> {
    pub(super) policies: &'c PolicySet,
    /// Namespace of objects that name none.
    pub(super) namespace: Option<&'c str>,
    /// Labels of that namespace, if the user gave them.
    pub(super) labels: Option<&'c Labels>,
    pub(super) now: Timestamp,
}

/// A part of a file.
struct Part<'s> {
    file: &'s Source,
    /// The place of the file among the sources.
    number: usize,
    chunk: Chunk<'s>,
}

impl Part<'_> {
    fn error(&self, position: Position, message: &str) -> InputError {
        let message = message.to_owned();
        InputError { file: self.file.name.clone(), position: Some(position), message }
    }
}

/// Reads and judges every object of the sources, on every core.
pub(super) fn judge(court: &Court<'_>, sources: &[Result<Source, InputError>]) -> Report {
    // One entry for each source that could not be read, or for each part of one that could.
    let parts: Vec<Result<Part<'_>, &InputError>> = sources
        .iter()
        .enumerate()
        .flat_map(|(number, source)| match source {
            Ok(file) => source::chunks(&file.text)
                .into_iter()
                .map(|chunk| Ok(Part { file, number, chunk }))
                .collect(),
            Err(error) => vec![Err(error)],
        })
        .collect();
    // Namespaces and ConfigMaps can stand anywhere in the set, so everything is read before
    // anything is judged.
    let seen: Vec<Vec<Seen>> = parallel::map(&parts, |part| match part {
        Ok(part) => manifests::read(&part.chunk),
        Err(_) => Vec::new(),
    });
    let namespaces = court.namespaces(seen.iter().flatten());
    let judge = Judge { court, namespaces, config_maps: court.config_maps(&parts, &seen) };
    let work: Vec<(&Result<Part<'_>, &InputError>, &Vec<Seen>)> = parts.iter().zip(&seen).collect();
    let mut report = Report::default();
    report.counts.files = sources.iter().flatten().count();
    for (entries, counts) in parallel::map(&work, |(part, seen)| match part {
        Ok(part) => judge.part(part, seen),
        Err(error) => (vec![Entry::Error((*error).clone())], Counts::default()),
    }) {
        report.entries.extend(entries);
        report.counts.add(counts);
    }
    report.entries.extend(nothing(sources, &seen).map(Entry::Error));
    report
}

/// Nothing at all is what is left when the program before us in a pipe failed: it is not clean.
fn nothing(sources: &[Result<Source, InputError>], seen: &[Vec<Seen>]) -> Option<InputError> {
    let readable = sources.iter().all(Result::is_ok);
    let file = sources.first()?.as_ref().ok()?.name.clone();
    let message = "there is no document in the input".to_owned();
    (readable && seen.iter().all(Vec::is_empty)).then_some(InputError {
        file,
        position: None,
        message,
    })
}

impl Court<'_> {
    /// The labels of every namespace that the user or the set itself describes.
    fn namespaces<'m>(&self, seen: impl Iterator<Item = &'m Seen>) -> BTreeMap<String, Labels> {
        let mut namespaces = BTreeMap::new();
        for manifest in seen {
            let Seen::Manifest(manifest) = manifest else { continue };
            if let Some(labels) = &manifest.namespace_labels {
                namespaces.insert(manifest.name.clone(), labels.clone());
            }
        }
        if let Some(labels) = self.labels {
            let namespace = self.namespace.unwrap_or(DEFAULT_NAMESPACE);
            namespaces.insert(namespace.to_owned(), labels.clone());
        }
        for (name, labels) in &mut namespaces {
            labels.insert(NAME_LABEL.to_owned(), name.clone());
        }
        namespaces
    }

    /// The ConfigMaps of the set.
    fn config_maps(
        &self,
        parts: &[Result<Part<'_>, &InputError>],
        seen: &[Vec<Seen>],
    ) -> ConfigMapSet {
        let mut set = ConfigMapSet::default();
        for (part, seen) in parts.iter().zip(seen) {
            let Ok(part) = part else { continue };
            for manifest in seen {
                if let Seen::Manifest(manifest) = manifest
                    && let Some(map) = &manifest.config_map
                {
                    let namespace = self.namespace(manifest);
                    set.add(namespace, &manifest.name, part.number, map.clone());
                }
            }
        }
        set
    }

    /// Namespace that the object would be created in; empty for a cluster-scoped kind.
    fn namespace<'m>(&'m self, manifest: &'m Manifest) -> &'m str {
        if manifest.is_cluster_scoped() {
            return "";
        }
        let own = manifest.namespace.as_deref();
        own.or(self.namespace).unwrap_or(DEFAULT_NAMESPACE)
    }
}

struct Judge<'c> {
    court: &'c Court<'c>,
    namespaces: BTreeMap<String, Labels>,
    config_maps: ConfigMapSet,
}

impl Judge<'_> {
    fn part(&self, part: &Part<'_>, seen: &[Seen]) -> (Vec<Entry>, Counts) {
        let mut entries = Vec::new();
        let mut counts = Counts::default();
        let places = Places { part, documents: OnceCell::new() };
        for seen in seen {
            let count = match seen {
                Seen::Manifest(manifest) => match self.manifest(&places, manifest) {
                    Ok(checked) => match checked.outcome {
                        Outcome::NotJudged => &mut counts.not_judged,
                        Outcome::NoPolicy => &mut counts.no_policy,
                        _ => {
                            entries.push(Entry::Object(Box::new(checked)));
                            &mut counts.checked
                        }
                    },
                    Err(error) => {
                        entries.push(Entry::Error(error));
                        continue;
                    }
                },
                Seen::Own => &mut counts.own,
                Seen::Foreign => &mut counts.foreign,
                Seen::Broken(error) => {
                    entries.push(Entry::Error(part.error(error.position, &error.message)));
                    continue;
                }
            };
            *count = count.saturating_add(1);
        }
        (entries, counts)
    }

    fn manifest(&self, places: &Places<'_>, manifest: &Manifest) -> Result<Checked, InputError> {
        let part = places.part;
        let namespace = self.court.namespace(manifest);
        // A fault of ours in one object must not lose the verdict on the others.
        let decided =
            catch_unwind(AssertUnwindSafe(|| self.decide(manifest, namespace, part.number)));
        let (verdict, filled_in) = decided.map_err(|_panic| {
            part.error(manifest.position, "tidegate failed on this object: a fault of tidegate's")
        })?;
        let findings = if verdict.findings.is_empty() {
            Vec::new()
        } else {
            Locator::new(places, manifest).locate(&verdict)
        };
        Ok(Checked {
            file: part.file.name.clone(),
            position: manifest.position,
            origin: manifest.origin.clone(),
            api_version: manifest.api_version.clone(),
            kind: manifest.kind.clone(),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            name: manifest.name.clone(),
            policy: verdict.policy,
            outcome: verdict.outcome,
            filled_in,
            findings,
        })
    }

    /// What admission does: first the mutating side fills in, then the result is judged.
    fn decide(&self, manifest: &Manifest, namespace: &str, file: usize) -> (Verdict, Vec<String>) {
        let none = Labels::new();
        let facts = Facts {
            namespace_labels: self.labels(namespace, &none),
            config_maps: self.config_maps.seen_from(namespace, file),
        };
        let policies = self.court.policies;
        let change = Change::create(namespace, &manifest.name, &manifest.json);
        let mutation = decision::mutate(policies, &change, &facts);
        let patched = patched(&manifest.json, &mutation);
        let change = Change { object: Some(&patched), ..change };
        let verdict = decision::validate(policies, &change, &facts, self.court.now);
        let added = if matches!(patched, Cow::Owned(_)) { mutation.added } else { Vec::new() };
        (verdict, added)
    }

    fn labels<'l>(&'l self, namespace: &str, none: &'l Labels) -> Fact<&'l Labels> {
        if namespace.is_empty() {
            return Fact::Known(none);
        }
        match self.namespaces.get(namespace) {
            Some(labels) => Fact::Known(labels),
            None => Fact::Unknown(
                format!("no --namespace-labels were given for namespace `{namespace}`").into(),
            ),
        }
    }
}

/// The object with everything filled in; as it was when the patch does not fit, which it always
/// does.
fn patched<'j>(json: &'j str, mutation: &decision::Mutation) -> Cow<'j, str> {
    if mutation.is_empty() {
        return Cow::Borrowed(json);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(json) else { return Cow::Borrowed(json) };
    match json_patch::patch(&mut value, &mutation.patch) {
        Ok(()) => Cow::Owned(value.to_string()),
        Err(_) => Cow::Borrowed(json),
    }
}

/// The documents of a part. They are read again when the first finding needs a position: few
/// objects have any, and to keep all documents takes many times the memory of their text.
struct Places<'p> {
    part: &'p Part<'p>,
    documents: OnceCell<Vec<Result<Document, SourceError>>>,
}

impl Places<'_> {
    fn document(&self, manifest: &Manifest) -> Option<&Document> {
        let documents = self.documents.get_or_init(|| self.part.chunk.documents());
        documents.get(manifest.document)?.as_ref().ok()
    }
}

/// Finds the places of findings in a file.
struct Locator<'l> {
    text: &'l str,
    manifest: &'l Manifest,
    document: Option<&'l Document>,
    hidden: Vec<Span>,
}

impl<'l> Locator<'l> {
    fn new(places: &'l Places<'_>, manifest: &'l Manifest) -> Self {
        let document = places.document(manifest);
        let hidden = document.map(Document::literals).unwrap_or_default();
        Self { text: &places.part.file.text, manifest, document, hidden }
    }

    fn locate(mut self, verdict: &Verdict) -> Vec<Located> {
        // What one finding calls a credential no other finding may show.
        for judged in verdict.findings.iter().filter(|judged| judged.rule == CREDENTIALS) {
            let path = self.manifest.path(&judged.at);
            self.hidden.extend(self.document.map(|document| document.locate(&path)));
        }
        verdict.findings.iter().map(|judged| self.one(judged)).collect()
    }

    fn one(&self, judged: &Judged) -> Located {
        let path = self.manifest.path(&judged.at);
        let start = Span::at(self.manifest.position);
        let secret = judged.rule == CREDENTIALS;
        let span = self.document.map_or(start, |document| {
            if secret { Span::at(document.locate_key(&path).start) } else { document.focus(&path) }
        });
        Located {
            rule: judged.rule,
            level: judged.level,
            effect: judged.effect,
            what: judged.what.clone().into_owned(),
            mend: judged.mend.clone().into_owned(),
            message: judged.line.clone(),
            undecided: judged.undecided,
            excerpt: if secret { None } else { render::excerpt(self.text, span, &self.hidden) },
            path,
            span,
        }
    }
}
