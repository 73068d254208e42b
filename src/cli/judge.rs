//! Manifests to verdicts, as admission would reach them.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use jiff::Timestamp;

use super::{
    fixes,
    manifests::{Manifest, Seen},
    releases::{Beside, Objects, ReleaseArgs},
    set::{Part, Places, Set},
};
use crate::{
    decision::{self, Judged, Outcome, Verdict},
    model::{Change, Facts},
    policy::{Exception, ExceptionSet, Place, PolicySet},
    render::{self, Checked, Counts, Entry, Excerpt, InputError, Located, Remark, Report},
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

impl Terms {
    /// Adds the exceptions of a set to those that were loaded with the policies.
    pub(super) fn of(policies: &PolicySet, set: &Set<'_>) -> Self {
        let (policies, unknown) = with_exceptions(policies, set);
        Self { policies, unknown }
    }

    /// Judges every object of the set, on every core.
    pub(super) fn judge(
        &self,
        set: &Set<'_>,
        beside: &Beside,
        fixes: bool,
        now: Timestamp,
    ) -> Report {
        let judge = Judge { policies: &self.policies, set, beside, fixes, now };
        let mut report = Report::default();
        report.counts.files = set.files;
        for judged in set.map(|part, seen| judge.part(part, seen)) {
            match judged {
                Ok((entries, counts)) => {
                    report.entries.extend(entries);
                    report.counts.add(counts);
                }
                Err(error) => report.entries.push(Entry::Error(error)),
            }
        }
        report.remarks = remarks(&self.policies, &report, now);
        report.entries.extend(self.unknown.iter().cloned().map(Entry::Error));
        report.entries.extend(set.nothing().map(Entry::Error));
        report
    }
}

/// Judges every object of a set, alone and beside the others of its release.
pub(super) fn judge(
    policies: &PolicySet,
    set: &Set<'_>,
    release: ReleaseArgs,
    fixes: bool,
    now: Timestamp,
) -> Report {
    let terms = Terms::of(policies, set);
    let objects = Objects::read(set);
    let releases = objects.releases(set, &terms.policies, release);
    let beside = Beside::judge(&terms.policies, &releases, &[], now);
    // They take much memory and are not needed any more.
    drop(releases);
    terms.judge(set, &beside, fixes, now)
}

/// The policies with the exceptions of the set beside those that were loaded with them, and what
/// is wrong with those of the set.
pub(super) fn with_exceptions(policies: &PolicySet, set: &Set<'_>) -> (PolicySet, Vec<InputError>) {
    let loaded = policies.exceptions().iter();
    let mut exceptions: Vec<Exception> = loaded
        .map(|(home, exception)| Exception {
            namespace: Some(home.to_owned()),
            ..Exception::clone(exception)
        })
        .collect();
    let own = set.exceptions();
    let unknown: Vec<InputError> = own
        .iter()
        .flat_map(|exception| policies.unknown_rules(exception))
        .map(|(place, message)| remark_error(place, message))
        .collect();
    exceptions.extend(own);
    let exceptions = ExceptionSet::new(exceptions, set.default_namespace());
    (policies.with_exceptions(exceptions), unknown)
}

fn remark_error(place: &Place, message: String) -> InputError {
    let position = Position { line: place.line, column: place.column, offset: 0 };
    InputError { file: place.file.to_string(), position: Some(position), message }
}

/// The exceptions that excuse nothing: they can go, or somebody counts on them in vain.
fn remarks(policies: &PolicySet, report: &Report, now: Timestamp) -> Vec<Remark> {
    let found = report.findings().filter_map(|finding| finding.excuse.as_ref());
    let found: Vec<_> = found.collect();
    let mut remarks = Vec::new();
    for (_, exception) in policies.exceptions().iter() {
        let place = &exception.place;
        let excuses: Vec<_> = found.iter().filter(|one| one.exception == *exception).collect();
        let fails = excuses.iter().find_map(|excuse| excuse.fails.as_ref());
        let title = exception.title();
        let (warns, message) = if let Some(why) = fails {
            (true, format!("{title} does not hold, because {why}"))
        } else if exception.expires <= now {
            (
                true,
                format!(
                    "{title} expired at {}: mend what it excused, or delete it",
                    exception.expires
                ),
            )
        } else if excuses.is_empty() {
            (false, format!("{title} excuses nothing of what was checked"))
        } else {
            continue;
        };
        let (file, line, column) = (place.file.to_string(), place.line, place.column);
        remarks.push(Remark { file, line, column, warns, message });
    }
    remarks
}

struct Judge<'c> {
    policies: &'c PolicySet,
    set: &'c Set<'c>,
    beside: &'c Beside,
    /// Findings are to tell how their file would have to change.
    fixes: bool,
    now: Timestamp,
}

impl Judge<'_> {
    fn part(&self, part: &Part<'_>, seen: &[Seen]) -> (Vec<Entry>, Counts) {
        let mut entries = Vec::new();
        let mut counts = Counts::default();
        let places = Places::new(part);
        let mut judged = Vec::new();
        let mut numbers = part.objects_before..;
        for seen in seen {
            let count = match seen {
                Seen::Manifest(manifest) => {
                    match self.manifest(&places, manifest, numbers.next().unwrap_or_default()) {
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
        (entries, counts)
    }

    fn manifest(
        &self,
        places: &Places<'_>,
        manifest: &Manifest,
        number: usize,
    ) -> Result<Checked, InputError> {
        let part = places.part;
        let namespace = self.set.namespace(manifest);
        let mut facts = self.set.facts(part, manifest);
        self.beside.add_to(number, &mut facts);
        // A fault of ours in one object must not lose the verdict on the others.
        let decided = catch_unwind(AssertUnwindSafe(|| self.decide(manifest, namespace, &facts)));
        let (mut verdict, filled_in) = decided.map_err(|_panic| {
            part.error(manifest.position, "tidegate failed on this object: a fault of tidegate's")
        })?;
        if let Some(beside) = self.beside.verdict(number) {
            verdict.add(beside.clone());
        }
        let findings = if verdict.findings.is_empty() {
            Vec::new()
        } else {
            Locator::new(places, manifest).locate(&verdict)
        };
        Ok(Checked {
            number,
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
    fn decide(
        &self,
        manifest: &Manifest,
        namespace: &str,
        facts: &Facts<'_>,
    ) -> (Verdict, Vec<String>) {
        let change = Change::create(namespace, &manifest.name, &manifest.json);
        let mutation = decision::mutate(self.policies, &change, facts);
        let patched = mutation.applied(&manifest.json);
        let change = Change { object: Some(&patched), ..change };
        let verdict = decision::validate(self.policies, &change, facts, self.now);
        let added = if matches!(patched, Cow::Owned(_)) { mutation.added } else { Vec::new() };
        (verdict, added)
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
        let document = places.document(manifest);
        let literals = places.literals(manifest);
        let text = &places.part.file.text;
        Self { text, manifest, document, literals, credentials: Vec::new() }
    }

    fn locate(mut self, verdict: &Verdict) -> Vec<Located> {
        // What one finding calls a credential no other finding may show.
        for judged in verdict.findings.iter().filter(|judged| judged.rule == CREDENTIALS) {
            let path = self.manifest.path(&judged.at);
            self.credentials.extend(self.document.map(|document| document.locate(&path)));
        }
        verdict.findings.iter().map(|judged| self.one(judged)).collect()
    }

    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let hidden = [render::near(self.literals, span), &self.credentials].concat();
        render::excerpt(self.text, span, &hidden)
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
            excuse: judged.excuse.clone(),
            place: self.document.map_or_else(
                || judged.at.clone(),
                |document| document.by_name(&self.manifest.prefix, &judged.at),
            ),
            evidence: judged.evidence.clone(),
            repair: judged.repair.clone(),
            fix: None,
            excerpt: if secret { None } else { self.excerpt(span) },
            path,
            span,
        }
    }
}
