//! `tidegate plan`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::Timestamp;

use super::{
    check::FailOn,
    color::Color,
    exit::Exit,
    judge::Terms,
    manifests::Manifest,
    output::OutputArgs,
    parallel, policies,
    releases::{Beside, Objects, ReleaseArgs},
    set::{Set, SetArgs},
};
use crate::{
    decision,
    plan::{
        Release,
        report::{Assessed, Noted, Plan, PlanDiff},
    },
    policy::PolicySet,
    render::{
        self, Entry, Report,
        plan::{Human, PlanReport},
    },
};

const EXAMPLES: &str = "\
Examples:
  # What Argo CD will do with a chart in production, step by step
  helm template shop ./chart | tidegate plan - --namespace shop \\
    --namespace-labels environment=production

  # What Helm itself will do
  helm template shop ./chart | tidegate plan - --engine helm

  # What a pull request changes in the rollout, as a comment for it
  tidegate plan --diff main/deploy deploy --format markdown > comment.md

  # For people on the terminal, for others in files
  tidegate plan deploy/ --output markdown=plan.md --output json=plan.json

Exit code: 0 nothing at or above --fail-on; 1 something; 2 something could not be read, although
everything else is still in the plan.";

/// Show the rollout as it will happen, by phase and wave.
///
/// Puts the objects of each application into the order in which Argo CD or Helm applies them, and
/// says of every step what it does, whether it is approved and backed up, how long it may take and
/// how often it may run. What rules find is shown at its step.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
// Where two sets are compared there is no other.
#[command(mut_arg("paths", |paths| paths.required_unless_present("diff")))]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// What a change does to the rollout: manifests as they are, and as they will be
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["paths", "helm_chart", "kustomize"])]
    diff: Vec<PathBuf>,

    /// File, or folder of files, with exceptions that are kept elsewhere than among the manifests.
    /// Repeatable
    #[arg(long, value_name = "PATH")]
    exceptions: Vec<PathBuf>,

    #[command(flatten)]
    release: ReleaseArgs,

    #[command(flatten)]
    output: OutputArgs<Format>,

    /// The least severe finding that makes the exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Deny, value_name = "LEVEL")]
    fail_on: FailOn,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// How to write the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// Markdown with a diagram, for a comment on a pull request
    Markdown,
    /// One page for browsers, with a picture of the waves
    Html,
}

/// Plans and writes the result to standard output and to files.
///
/// # Errors
///
/// A policy is wrong, or an output cannot be written. What cannot be read of the manifests is in the
/// result and in the exit code.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let outputs = args.output.resolve(Format::Human)?;
    let paths: Vec<PathBuf> = args.set.policy.iter().chain(&args.exceptions).cloned().collect();
    let policies = policies::load_all(&paths, Some(args.set.default_namespace()))?;
    let (plan, report) = plan(args, &policies, Timestamp::now())?;
    outputs.write(|format, to_stdout| {
        let color = to_stdout && args.color.is_on();
        Ok(match format {
            Format::Human => render::plan::human(&plan, Human { color }),
            Format::Json => render::plan::json(&plan),
            Format::Markdown => render::plan::markdown(&plan),
            Format::Html => render::plan::html(&plan)?,
        })
    })?;
    Ok(args.fail_on.exit(&report.totals))
}

/// The plan of every release; and everything that was found, with what could not be read.
fn plan(args: &Args, policies: &PolicySet, now: Timestamp) -> anyhow::Result<(PlanReport, Report)> {
    let (old, new) = match args.diff.as_slice() {
        [old, new] => (vec![old.clone()], args.set.with_paths(vec![new.clone()])),
        _ => (Vec::new(), args.set.clone()),
    };
    let old = args.set.with_paths(old);
    let old_sources = if args.diff.is_empty() { Vec::new() } else { old.sources() };
    let new_sources = new.sources();
    let (old_set, new_set) = (Set::read(&old, &old_sources), Set::read(&new, &new_sources));
    let (old_objects, new_objects) = (Objects::read(&old_set), Objects::read(&new_set));
    let terms_of = |set: &Set<'_>| Terms::of(policies, set.around(), args.set.default_namespace());
    let (old_terms, terms) = (terms_of(&old_set), terms_of(&new_set));
    let before = old_objects.releases(&old_set, &old_terms.policies, args.release);
    let releases = new_objects.releases(&new_set, &terms.policies, args.release);

    let beside = Beside::judge(&terms.policies, &releases, &before, now);
    let known = assess(&terms.policies, &new_set, &releases, now);
    let judged = terms.judge(&new_set, &releases, &beside, false, now);
    let mut report = terms.report(judged, now)?;
    let findings = findings(&report);
    let mut plans: Vec<Plan> = releases
        .iter()
        .zip(known)
        .map(|(release, known)| Plan::of(release, &with_findings(release, known, &findings)))
        .collect();

    let mut diffs = None;
    if !args.diff.is_empty() {
        let known = assess(&old_terms.policies, &old_set, &before, now);
        let was: Vec<Plan> =
            before.iter().zip(&known).map(|(release, known)| Plan::of(release, known)).collect();
        diffs = Some(compare(&was, &mut plans));
        let judged = old_terms.judge(&old_set, &before, &Beside::default(), false, now);
        let old_report = old_terms.report(judged, now)?;
        let errors = old_report.entries.into_iter().filter(|it| matches!(it, Entry::Error(_)));
        errors.for_each(|error| report.add(error));
    }
    let errors = report.errors().cloned().collect();
    Ok((PlanReport { plans, diffs, errors, tally: report.totals.tally }, report))
}

/// What is known about each member of each release.
fn assess(
    policies: &PolicySet,
    set: &Set<'_>,
    releases: &[Release<'_>],
    now: Timestamp,
) -> Vec<Vec<Assessed>> {
    let manifests: Vec<&Manifest> = set.manifests().map(|(_, manifest)| manifest).collect();
    let members: Vec<_> = releases.iter().flat_map(|release| &release.members).collect();
    let known = parallel::map(&members, |member| {
        let json = manifests.get(member.number).map_or("", |manifest| &manifest.json);
        decision::assess_member(policies, member, json, now)
    });
    let mut known = known.into_iter();
    releases.iter().map(|release| known.by_ref().take(release.members.len()).collect()).collect()
}

/// What was found in each object, by its number.
fn findings(report: &Report) -> BTreeMap<usize, Vec<Noted>> {
    let objects = report.entries.iter().filter_map(|entry| match entry {
        Entry::Object(object) => Some(object),
        Entry::Error(_) => None,
    });
    let noted = objects.map(|object| {
        let findings = object.findings.iter().map(|found| Noted {
            rule: found.rule,
            effect: found.effect.as_str(),
            what: found.what.clone().into_owned(),
            mend: found.mend.clone().into_owned(),
        });
        (object.number, findings.collect())
    });
    noted.collect()
}

fn with_findings(
    release: &Release<'_>,
    mut known: Vec<Assessed>,
    findings: &BTreeMap<usize, Vec<Noted>>,
) -> Vec<Assessed> {
    for (member, assessed) in release.members.iter().zip(&mut known) {
        assessed.findings = findings.get(&member.number).cloned().unwrap_or_default();
    }
    known
}

/// What changes in each release; the boxes of its checklist are looked at again.
fn compare(before: &[Plan], plans: &mut [Plan]) -> Vec<PlanDiff> {
    let alone = plans.len() == 1;
    let by_name: BTreeMap<_, _> = before.iter().map(|was| (was.name.as_deref(), was)).collect();
    let mut diffs = Vec::new();
    let mut there = BTreeSet::new();
    for plan in plans {
        let was = match before {
            [only] if alone => Some(only),
            _ => by_name.get(&plan.name.as_deref()).copied(),
        };
        there.extend(was.map(|was| was.name.as_deref()));
        let diff = PlanDiff::between(was, Some(plan));
        plan.check_against(&diff);
        diffs.push(diff);
    }
    let is_gone = |was: &&Plan| !there.contains(&was.name.as_deref());
    diffs.extend(before.iter().filter(is_gone).map(|was| PlanDiff::between(Some(was), None)));
    diffs
}
