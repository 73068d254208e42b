//! Manifests to verdicts, as admission would reach them.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    fixes,
    manifests::{Manifest, Seen},
    order::InOrder,
    releases::{self, Beside, Objects, ReleaseArgs},
    set::{Part, Places, Set},
    surroundings::Surroundings,
};
use crate::{
    decision::{self, Created, Judged as Found, Outcome},
    model::Change,
    plan::{Member, Release},
    policy::{Exception, ExceptionSet, Place, PolicySet},
    render::{self, Checked, Counts, Entry, Excerpt, InputError, Located, Report},
    source::{Document, Position, Span},
};

/// Findings of this rule are about the text itself, so the text is not shown.
const CREDENTIALS: &str = "inline-credentials";

/// The policies and the exceptions that count for a set.
pub(super) struct Terms {
    /// With the exceptions of the set beside those that were loaded with the policies.
    pub(super) policies: PolicySet,
    /// Exceptions from rules that no policy has.
    unknown: Vec<InputError>,
}

/// The objects of a set as they were judged.
#[derive(Debug)]
pub(super) struct Judged {
    /// Each part of a file by the place of the file, or why that could not be read.
    pub(super) parts: Vec<(usize, Result<JudgedPart, InputError>)>,
    pub(super) files: usize,
    /// The first file that could be read, and its place.
    pub(super) first: Option<(usize, String)>,
    /// There was nothing to read in the files.
    pub(super) is_empty: bool,
}

/// The objects of a part of a file. Their numbers are their places in it.
#[derive(Debug, Default)]
pub(super) struct JudgedPart {
    pub(super) entries: Vec<Entry>,
    pub(super) counts: Counts,
    /// How many objects there are, judged or not.
    pub(super) objects: usize,
}

impl Terms {
    /// Adds the exceptions of a set to those that were loaded with the policies.
    pub(super) fn of(policies: &PolicySet, around: &Surroundings, default_namespace: &str) -> Self {
        let (policies, unknown) = with_exceptions(policies, around, default_namespace);
        Self { policies, unknown }
    }

    /// Judges every object of the set, alone and beside the others of its release.
    pub(super) fn judge_alone(
        &self,
        set: &Set<'_>,
        release: ReleaseArgs,
        fixes: bool,
        now: Timestamp,
    ) -> Judged {
        let objects = Objects::read(set);
        let releases = objects.releases(set, &self.policies, release);
        let beside = Beside::judge(&self.policies, &releases, &[], now);
        // They take much memory, and cost less to be found out again.
        let releases = if set.is_small { releases } else { Vec::new() };
        self.judge(set, &releases, &beside, fixes, now)
    }

    /// Judges every object of the set, on every core. What is known of members of `releases` is not
    /// found out again.
    pub(super) fn judge(
        &self,
        set: &Set<'_>,
        releases: &[Release<'_>],
        beside: &Beside,
        fixes: bool,
        now: Timestamp,
    ) -> Judged {
        let members = releases::by_number(releases);
        let judge = Judge { policies: &self.policies, set, members, beside, fixes, now };
        let parts = set.map(|part, seen| judge.part(part, seen));
        Judged {
            parts: set.places().zip(parts).collect(),
            files: set.files,
            first: set.first.clone(),
            is_empty: set.is_empty(),
        }
    }

    /// Everything that was judged of a set that is judged as a whole.
    ///
    /// # Errors
    ///
    /// None, since nothing is written.
    pub(super) fn report(&self, judged: Judged, now: Timestamp) -> anyhow::Result<Report> {
        let mut report = Report::default();
        let last = judged.parts.last().map_or(0, |(place, _)| *place);
        let places: Vec<usize> = (0..=last).collect();
        let mut keep = |entry| {
            report.add(entry);
            Ok(())
        };
        let mut order = InOrder::new(self, now);
        order.add(judged, &places, &mut keep)?;
        let (counts, remarks) = order.finish(&mut keep)?;
        report.totals.counts = counts;
        report.totals.remarks = remarks;
        Ok(report)
    }

    /// What is wrong with the exceptions of the set.
    pub(super) fn unknown(&self) -> &[InputError] {
        &self.unknown
    }
}
/// The policies with the exceptions of the set beside those that were loaded with them, and what
/// is wrong with those of the set.
pub(super) fn with_exceptions(
    policies: &PolicySet,
    around: &Surroundings,
    default_namespace: &str,
) -> (PolicySet, Vec<InputError>) {
    let loaded = policies.exceptions().iter();
    let mut exceptions: Vec<Exception> = loaded
        .map(|(home, exception)| Exception {
            namespace: Some(home.to_owned()),
            ..Exception::clone(exception)
        })
        .collect();
    let own = around.exceptions();
    let unknown: Vec<InputError> = own
        .iter()
        .flat_map(|exception| policies.unknown_rules(exception))
        .map(|(place, message)| remark_error(place, message))
        .collect();
    exceptions.extend(own.iter().cloned());
    let exceptions = ExceptionSet::new(exceptions, default_namespace);
    (policies.with_exceptions(exceptions), unknown)
}

fn remark_error(place: &Place, message: String) -> InputError {
    let position = Position { line: place.line, column: place.column, offset: 0 };
    InputError { file: place.file.to_string(), position: Some(position), message }
}

struct Judge<'c> {
    policies: &'c PolicySet,
    set: &'c Set<'c>,
    /// By number: what is known of objects because of their releases.
    members: BTreeMap<usize, &'c Member<'c>>,
    beside: &'c Beside,
    /// Findings are to tell how their file would have to change.
    fixes: bool,
    now: Timestamp,
}

impl Judge<'_> {
    fn part(&self, part: &Part<'_>, seen: &[Seen]) -> JudgedPart {
        let JudgedPart { mut entries, mut counts, mut objects } = JudgedPart::default();
        let places = Places::new(part);
        let mut judged = Vec::new();
        for seen in seen {
            let count = match seen {
                Seen::Manifest(manifest) => {
                    let number = objects;
                    objects = objects.saturating_add(1);
                    match self.manifest(&places, manifest, number) {
                        Ok(checked) => match checked.outcome {
                            Outcome::NotJudged => &mut counts.not_judged,
                            Outcome::NoPolicy => &mut counts.no_policy,
                            _ => {
                                judged.push(manifest);
                                entries.push(Entry::Object(Box::new(checked)));
                                &mut counts.checked
                            }
                        },
                        Err(error) => {
                            entries.push(Entry::Error(error));
                            continue;
                        }
                    }
                }
                Seen::Exception(_) | Seen::Own => &mut counts.own,
                Seen::Foreign => &mut counts.foreign,
                Seen::Broken(error) => {
                    entries.push(Entry::Error(part.error(error.position, &error.message)));
                    continue;
                }
            };
            *count = count.saturating_add(1);
        }
        if self.fixes {
            let objects = entries.iter_mut().filter_map(|entry| match entry {
                Entry::Object(object) => Some(&mut **object),
                Entry::Error(_) => None,
            });
            let mut objects: Vec<_> = judged.into_iter().zip(objects).collect();
            fixes::add(&places, &mut objects);
        }
        JudgedPart { entries, counts, objects }
    }

    /// `place` is that of the object in its part.
    fn manifest(
        &self,
        places: &Places<'_>,
        manifest: &Manifest,
        place: usize,
    ) -> Result<Checked, InputError> {
        let part = places.part;
        let number = part.objects_before.saturating_add(place);
        let namespace = self.set.namespace(manifest);
        let mut facts = self.set.facts(part, manifest);
        self.beside.add_to(number, &mut facts);
        // A fault of ours in one object must not lose the verdict on the others.
        let decide = || {
            let change = Change::create(namespace, &manifest.name, &manifest.json);
            let member = self.members.get(&number).copied();
            decision::create(self.policies, &change, &facts, self.now, member)
        };
        let decided = catch_unwind(AssertUnwindSafe(decide));
        let Created { mut verdict, filled_in } = decided.map_err(|_panic| {
            part.error(manifest.position, "tidegate failed on this object: a fault of tidegate's")
        })?;
        if let Some(beside) = self.beside.verdict(number) {
            verdict.add(beside.clone());
        }
        let findings = if verdict.findings.is_empty() {
            Vec::new()
        } else {
            Locator::new(places, manifest).locate(verdict.findings)
        };
        Ok(Checked {
            number: place,
            file: Arc::clone(&places.file),
            position: manifest.position,
            origin: manifest.origin.as_deref().map(Box::from),
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
}

/// Finds the places of findings in a file.
struct Locator<'l> {
    text: &'l str,
    manifest: &'l Manifest,
    document: Option<&'l Document>,
    /// Literals of the document, in order.
    literals: &'l [Span],
    /// What a finding calls a credential.
    credentials: Vec<Span>,
}

impl<'l> Locator<'l> {
    fn new(places: &'l Places<'_>, manifest: &'l Manifest) -> Self {
        let document = places.positions(manifest);
        let literals = places.literals(manifest);
        let text = &places.part.file.text;
        Self { text, manifest, document, literals, credentials: Vec::new() }
    }

    fn locate(mut self, findings: Vec<Found>) -> Vec<Located> {
        // What one finding calls a credential no other finding may show.
        for judged in findings.iter().filter(|judged| judged.rule == CREDENTIALS) {
            let path = self.manifest.path(&judged.at);
            self.credentials.extend(self.document.map(|document| document.locate(&path)));
        }
        findings.into_iter().map(|judged| self.one(judged)).collect()
    }

    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let hidden = [render::near(self.literals, span), &self.credentials].concat();
        render::excerpt(self.text, span, &hidden)
    }

    fn one(&self, judged: Found) -> Located {
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
            what: judged.what,
            mend: judged.mend,
            message: judged.line,
            undecided: judged.undecided,
            excuse: judged.excuse,
            place: self.document.map_or_else(
                || judged.at.clone(),
                |document| document.by_name(&self.manifest.prefix, &judged.at),
            ),
            evidence: judged.evidence,
            repair: judged.repair,
            fix: None,
            excerpt: if secret { None } else { self.excerpt(span) },
            path,
            span,
        }
    }
}
