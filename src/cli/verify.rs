//! `tidegate verify`

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use jiff::Timestamp;

use super::{
    approval::{self, Migrating},
    color::Color,
    exit::Exit,
    policies,
    set::{Set, SetArgs},
};
use crate::{
    detect::{Confidence, Operation},
    model::annotation,
    policy::{self, signer},
    render::detected::painted,
    rules::{Approval, Standing},
};

const EXAMPLES: &str = "\
Examples:
  # Does the approval in this file hold in production?
  tidegate verify drop.yaml --namespace shop --policy policies/

  # Would it still hold when the change window opens, for whoever will sync it?
  tidegate verify drop.yaml --namespace shop --at 2026-02-01T22:00:00Z \\
    --requester system:serviceaccount:argocd:argocd-application-controller

Exit code: 0 every approval that is needed holds; 1 one does not, or that cannot be told; 2 something
could not be read.";

/// Say what an approval covers, and whether it holds.
///
/// Shows every object that needs an approval under its policy: what is approved, until when, by
/// whom, signed by which key, and everything that speaks against it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// The moment to judge at, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,

    /// The user who will ask the API server, for policies that separate duties
    #[arg(long, value_name = "USER", default_value = "", hide_default_value = true)]
    requester: String,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// Writes what it found to standard output.
///
/// # Errors
///
/// A policy is wrong, or an output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let policies = policies::load(&args.set.policy)?;
    let sources = args.set.sources();
    let set = Set::read(&args.set, &sources);
    let now = args.at.unwrap_or_else(Timestamp::now);
    let color = args.color.is_on();
    let (objects, errors) = approval::each(&policies, &set, |migrating| {
        let approval = migrating.assess(&args.requester, now);
        let needed = approval.standings().next().is_some();
        needed.then(|| report(migrating, &approval, color))
    });
    let objects: Vec<(String, bool)> = objects.into_iter().flatten().collect();
    let mut stdout = io::stdout().lock();
    for (text, _) in &objects {
        stdout.write_all(text.as_bytes())?;
    }
    if objects.is_empty() && errors.is_empty() {
        writeln!(stdout, "nothing in the input needs an approval")?;
    }
    stdout.flush()?;
    let mut stderr = io::stderr().lock();
    for error in &errors {
        writeln!(stderr, "error: {error}")?;
    }
    Ok(if !errors.is_empty() {
        Exit::CouldNotRun
    } else if objects.iter().all(|(_, holds)| *holds) {
        Exit::Clean
    } else {
        Exit::Findings
    })
}

/// One object, and whether everything in it that needs an approval has one.
fn report(migrating: &Migrating<'_>, approval: &Approval, color: bool) -> (String, bool) {
    let manifest = migrating.manifest;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11} {}", printable(value));
    };
    line("digest", &policy::digest(migrating.object).to_string());
    for (name, key) in [
        ("namespace", annotation::NAMESPACE),
        ("content", annotation::CONTENT),
        ("by", annotation::APPROVED_BY),
        ("ticket", annotation::TICKET),
        ("reason", annotation::REASON),
        ("until", annotation::UNTIL),
        ("backup", annotation::BACKUP),
        ("no backup", annotation::BACKUP_WAIVER),
        ("risk", annotation::RISK),
    ] {
        if let Some(value) = migrating.object.metadata.annotation(key) {
            line(name, value);
        }
    }
    line("signature", &signature(migrating));
    let mut holds = true;
    for (operation, standing) in approval.standings() {
        let (good, said, reasons) = match standing {
            Standing::Valid | Standing::NotNeeded => (true, "holds", Vec::new()),
            Standing::Missing { .. } => (false, "is missing", Vec::new()),
            Standing::Invalid { reasons, .. } => (false, "does not hold", reasons.clone()),
            Standing::Undecided { why } => (false, "may hold or not", vec![why.clone()]),
        };
        holds &= good;
        let said = painted(said, if good { "32" } else { "31" }, color);
        let _ = writeln!(
            text,
            "  {:<11} {said}{}",
            operation.as_str(),
            covered(migrating, approval, operation)
        );
        for reason in reasons {
            let _ = writeln!(text, "              - {}", printable(&reason));
        }
    }
    let place = format!("{}:{}", migrating.part.file.name, manifest.position.line);
    let place = printable(&place);
    (format!("{} ({place})\n{text}", painted(&migrating.name(), "1", color)), holds)
}

/// What is covered: the commands of the operation.
fn covered(migrating: &Migrating<'_>, approval: &Approval, operation: Operation) -> String {
    let mut commands = Vec::new();
    for detection in migrating.detections {
        for invocation in &detection.invocations {
            let known = invocation.confidence > Confidence::Name;
            if known && approval.operation(invocation) == operation {
                let container = &detection.container.name;
                commands.push(format!("`{}` of container `{container}`", invocation.words));
            }
        }
    }
    commands.sort();
    commands.dedup();
    if commands.is_empty() {
        String::new()
    } else {
        printable(&format!(": {}", commands.join(", ")))
    }
}

fn signature(migrating: &Migrating<'_>) -> String {
    let Some(text) = migrating.object.metadata.annotation(annotation::SIGNATURE) else {
        return "none".to_owned();
    };
    let checked = migrating.policy.is_some_and(|policy| {
        let signatures = &policy.approvals.signatures;
        signatures.required || !signatures.allowed_signers.is_empty()
    });
    match signer(text) {
        Ok((key, algorithm)) if checked => format!("{key} ({algorithm})"),
        Ok((key, algorithm)) => {
            format!("{key} ({algorithm}), not checked: the policy lists no keys")
        }
        Err(problem) => format!("it {problem}"),
    }
}

/// Text of a manifest as it may stand on a terminal.
fn printable(text: &str) -> String {
    painted(text.trim(), "", false)
}
