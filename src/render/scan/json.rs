//! For machines: one JSON document. `docs/scan.md` describes it.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use crate::{
    decision::Effect,
    policy::Excuse,
    rules::Level,
    scan::{Found, Scan, Scanned},
};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;

/// What `tidegate scan --format json` writes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Output<'s> {
    /// `1`.
    version: u32,
    /// Numbers of the whole scan.
    summary: Summary,
    /// The names of the namespaces that could enforce now and do not yet.
    safe_to_enforce: Vec<&'s str>,
    /// Every namespace; the empty name stands for cluster-scoped objects.
    namespaces: Vec<NamespaceOut<'s>>,
    /// Every rule that found something.
    rules: Vec<RuleOut<'s>>,
    /// Every team whose objects something was found in.
    teams: Vec<TeamOut<'s>>,
    /// Every object in which something was found.
    objects: Vec<ObjectOut<'s>>,
    /// Exceptions that excuse nothing.
    exceptions: Vec<ExceptionNoteOut<'s>>,
    /// Kinds that the cluster does not have.
    absent: &'s [String],
    /// What could not be looked at, and why.
    errors: &'s [String],
}

/// Numbers of the whole scan.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// Namespaces.
    namespaces: usize,
    /// Objects that were judged.
    judged: usize,
    /// Objects whose owner was judged.
    children: usize,
    /// Objects of kinds that run nothing and are no hooks.
    not_judged: usize,
    /// Objects in namespaces that no policy is for.
    no_policy: usize,
    /// Jobs among the judged that have finished.
    finished: usize,
    /// Objects that would be refused if they were created now.
    refused: usize,
    /// Objects that would be refused if every policy enforced.
    would_be_refused: usize,
    /// Findings that are counted here and not listed, because there are too many.
    left_out: usize,
    /// True when only a part of the objects was asked for (`--selector`).
    partial: bool,
}

/// A namespace.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NamespaceOut<'s> {
    /// Its name.
    name: &'s str,
    /// The policy that applies, or null.
    policy: Option<&'s str>,
    /// True when that policy refuses already.
    enforces: bool,
    /// True when nothing in it would be refused and nothing is undecided.
    safe: bool,
    /// Objects that were judged.
    judged: usize,
    /// Objects that would be refused now.
    refused: usize,
    /// Objects that would be refused if the policy enforced.
    would_be_refused: usize,
    /// Findings that would refuse.
    denials: usize,
    /// Findings that would warn.
    warnings: usize,
    /// Findings that would be reported only.
    notes: usize,
    /// Findings that an exception excuses.
    excepted: usize,
    /// Findings that could not be decided.
    undecided: usize,
}

/// A rule.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RuleOut<'s> {
    /// Its id.
    rule: &'s str,
    /// Findings that refuse now.
    refuses: usize,
    /// Findings that would refuse if every policy enforced.
    denials: usize,
    /// Findings that would warn.
    warnings: usize,
    /// Findings that would be reported only.
    notes: usize,
    /// Findings that an exception excuses.
    excepted: usize,
    /// Findings that could not be decided.
    undecided: usize,
    /// How many namespaces they are in.
    namespaces: usize,
}

/// A team.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TeamOut<'s> {
    /// The value of the label, or null for what has none.
    team: Option<&'s str>,
    /// Objects that would be refused now.
    refused: usize,
    /// Objects that would be refused if every policy enforced.
    would_be_refused: usize,
    /// Findings in them, of any kind.
    findings: usize,
    /// The namespaces that they are in.
    namespaces: Vec<&'s str>,
}

/// An object.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ObjectOut<'s> {
    api_version: &'s str,
    kind: &'s str,
    /// Null for a cluster-scoped object.
    namespace: Option<&'s str>,
    name: &'s str,
    uid: &'s str,
    /// Who it belongs to, or null.
    team: Option<&'s str>,
    /// The policy that applies.
    policy: &'s str,
    /// `admitted` or `refused`, if it were created now.
    outcome: &'s str,
    /// `succeeded` or `failed` for a Job that has finished, else null.
    finished: Option<&'s str>,
    /// What was found, the most severe first.
    findings: Vec<FindingOut<'s>>,
}

/// A finding.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FindingOut<'s> {
    /// The rule.
    rule: &'s str,
    /// Its level when the policy enforces.
    #[schemars(with = "String")]
    level: Level,
    /// What it does now: `deny`, `warn`, `audit`, `excepted`, or null where the policy is off.
    effect: Option<&'s str>,
    /// What it would do if the policy enforced.
    enforced: &'s str,
    /// The field.
    path: &'s str,
    /// What is wrong.
    what: &'s str,
    /// How to mend it.
    mend: &'s str,
    /// True when a fact was missing and `onUndecided` settled it.
    undecided: bool,
    /// The exception that covers it and what that comes to, or null.
    exception: Option<String>,
}

/// An exception that excuses nothing.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ExceptionNoteOut<'s> {
    namespace: &'s str,
    name: &'s str,
    /// True when somebody should act.
    warns: bool,
    /// What there is to know.
    message: &'s str,
}

/// A scan for machines, with a line break at its end.
pub fn json(scan: &Scan) -> String {
    let output = Output {
        version: VERSION,
        summary: summary(scan),
        safe_to_enforce: scan.safe_to_enforce().collect(),
        namespaces: namespaces(scan),
        rules: rules(scan),
        teams: teams(scan),
        objects: scan.objects.iter().map(object).collect(),
        exceptions: scan
            .exceptions
            .iter()
            .map(|note| ExceptionNoteOut {
                namespace: &note.namespace,
                name: &note.name,
                warns: note.warns,
                message: &note.message,
            })
            .collect(),
        absent: &scan.absent,
        errors: &scan.errors,
    };
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&output).unwrap_or_default();
    text.push('\n');
    text
}

/// The JSON Schema of the document.
pub fn json_schema() -> Schema {
    schema_for!(Output<'static>)
}

fn summary(scan: &Scan) -> Summary {
    let counts = scan.counts;
    Summary {
        namespaces: counts.namespaces,
        judged: counts.judged,
        children: counts.children,
        not_judged: counts.not_judged,
        no_policy: counts.no_policy,
        finished: counts.finished,
        refused: scan.refused(),
        would_be_refused: scan.would_be_refused(),
        left_out: counts.left_out,
        partial: scan.partial,
    }
}

fn namespaces(scan: &Scan) -> Vec<NamespaceOut<'_>> {
    let all = scan.namespaces.iter().map(|(name, tally)| NamespaceOut {
        name,
        policy: tally.policy.as_deref(),
        enforces: tally.enforces,
        safe: scan.is_safe(tally),
        judged: tally.judged,
        refused: tally.refused,
        would_be_refused: tally.would_be_refused,
        denials: tally.denials,
        warnings: tally.warnings,
        notes: tally.notes,
        excepted: tally.excepted,
        undecided: tally.undecided,
    });
    all.collect()
}

fn rules(scan: &Scan) -> Vec<RuleOut<'_>> {
    let all = scan.rules.iter().map(|(rule, tally)| RuleOut {
        rule,
        refuses: tally.refuses,
        denials: tally.denials,
        warnings: tally.warnings,
        notes: tally.notes,
        excepted: tally.excepted,
        undecided: tally.undecided,
        namespaces: tally.namespaces.len(),
    });
    all.collect()
}

fn teams(scan: &Scan) -> Vec<TeamOut<'_>> {
    let all = scan.teams.iter().map(|(team, tally)| TeamOut {
        team: team.as_deref(),
        refused: tally.refused,
        would_be_refused: tally.would_be_refused,
        findings: tally.findings,
        namespaces: tally.namespaces.iter().map(AsRef::as_ref).collect(),
    });
    all.collect()
}

fn object(object: &Scanned) -> ObjectOut<'_> {
    ObjectOut {
        api_version: &object.api_version,
        kind: &object.kind,
        namespace: Some(&*object.namespace).filter(|namespace| !namespace.is_empty()),
        name: &object.name,
        uid: &object.uid,
        team: object.team.as_deref(),
        policy: &object.policy,
        outcome: object.outcome.as_str(),
        finished: object.finished,
        findings: object.findings.iter().map(finding).collect(),
    }
}

fn finding(found: &Found) -> FindingOut<'_> {
    FindingOut {
        rule: found.rule,
        level: found.level,
        effect: found.effect.map(Effect::as_str),
        enforced: found.enforced.as_str(),
        path: &found.at,
        what: &found.what,
        mend: &found.mend,
        undecided: found.undecided,
        exception: found.excuse.as_ref().map(Excuse::text),
    }
}
