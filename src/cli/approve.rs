//! `tidegate approve`

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    approval::{self, Migrating},
    exit::Exit,
    policies,
    set::{Set, SetArgs},
    sign::Signer,
};
use crate::{
    model::{Object, annotation},
    policy::{self, ApprovalField, Policy, assess, signed_text},
    rules::Standing,
    source::{
        Position,
        edit::{self, Place},
    },
};

const EXAMPLES: &str = "\
Examples:
  # The manifest with an approval in it, signed with the key that signs your commits
  tidegate approve drop.yaml --by alice@example.com --ticket DB-17 --for 24h \\
    --namespace shop --sign-key ~/.ssh/id_ed25519 --output yaml > approved.yaml

  # A patch for kustomize, signed through the running ssh-agent
  kustomize build overlays/production | tidegate approve - --name Job/drop-legacy-total \\
    --by alice@example.com --ticket DB-17 --sign-agent --output kustomize

  # A command for a Job that waits in the cluster
  tidegate approve drop.yaml --by alice@example.com --ticket DB-17 --namespace shop \\
    --backup-waiver 'the table was never written' --output kubectl

Exit code: 0 the approval was printed; 2 it would not hold, and why, or something could not be read.";

/// Print an approval of one exact migration, signed or not.
///
/// Nothing is changed: what is printed goes to Git or to the cluster. An approval that would not
/// hold under the policy is not printed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// The object, where several need an approval
    #[arg(long, value_name = "KIND/NAME")]
    name: Option<String>,

    /// Who approves
    #[arg(long, value_name = "NAME")]
    by: String,

    /// Where it was agreed
    #[arg(long, value_name = "TICKET")]
    ticket: Option<String>,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// How long it holds
    #[arg(long = "for", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    duration: SignedDuration,

    /// What was or will be backed up
    #[arg(long, value_name = "REFERENCE", conflicts_with = "backup_waiver")]
    backup: Option<String>,

    /// Why it runs without a backup
    #[arg(long, value_name = "REASON")]
    backup_waiver: Option<String>,

    /// Approve what the ConfigMaps hold, too; done wherever the policy requires it
    #[arg(long)]
    content: bool,

    /// Key to sign with; of a public key (*.pub) the ssh-agent has to hold the other half
    #[arg(long, value_name = "PATH")]
    sign_key: Option<PathBuf>,

    /// Sign through the running ssh-agent
    #[arg(long)]
    sign_agent: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t = Output::Annotations, value_name = "FORM")]
    output: Output,
}

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Lines for `metadata.annotations`
    Annotations,
    /// A patch file for kustomize
    Kustomize,
    /// A `kubectl annotate` command
    Kubectl,
    /// The file, with the approval in it and everything else as it was
    Yaml,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    policy::MaxAge::try_from(text.to_owned()).map(|age| age.0)
}

/// What is to be written.
struct Approved {
    file: String,
    position: Position,
    prefix: String,
    api_version: String,
    kind: String,
    name: String,
    generated: bool,
    namespace: Option<String>,
    entries: Vec<(&'static str, String)>,
    /// What only whoever asks the API server will know.
    open: Option<String>,
}

/// Writes the approval to standard output.
///
/// # Errors
///
/// Nothing in the input needs an approval, several objects do, the approval would not hold, or it
/// cannot be signed or written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let policies = policies::load(&args.set.policy)?;
    let sources = args.set.sources();
    let set = Set::read(&args.set, &sources);
    let now = Timestamp::now();
    let (gated, errors) = approval::each(&policies, &set, |migrating| {
        let approval = migrating.assess("", now);
        let name = migrating.name();
        let wanted = args.name.as_ref().is_none_or(|wanted| *wanted == name);
        let needs = approval.standings().next().is_some() && wanted;
        needs.then(|| (name, args.approve(migrating, now)))
    });
    if let Some(error) = errors.first() {
        bail!("{error}");
    }
    let mut gated: Vec<_> = gated.into_iter().flatten().collect();
    let (_, approved) = match (gated.pop(), gated.as_slice()) {
        (Some(one), []) => one,
        (None, _) => bail!("{}", args.nothing()),
        (Some((last, _)), others) => {
            let names: Vec<&str> =
                others.iter().map(|(name, _)| name.as_str()).chain([last.as_str()]).collect();
            bail!(
                "several objects need an approval: say which with --name\n  {}",
                names.join("\n  ")
            )
        }
    };
    let approved = approved?;
    let text = match args.output {
        Output::Annotations => annotations(&approved, ""),
        Output::Kustomize => kustomize(&approved)?,
        Output::Kubectl => kubectl(&approved)?,
        Output::Yaml => {
            let source = sources.iter().flatten().find(|source| source.name == approved.file);
            yaml(&approved, &source.context("the file is gone")?.text)?
        }
    };
    if let Some(open) = &approved.open {
        writeln!(io::stderr(), "note: whether it will hold is not known here, because {open}")?;
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(Exit::Clean)
}

impl Args {
    fn nothing(&self) -> String {
        let which = self.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        if which.is_empty() {
            "nothing in the input needs an approval".to_owned()
        } else {
            format!("there is no{which} in the input that needs an approval")
        }
    }

    /// The approval, once it is sure that it holds.
    fn approve(&self, migrating: &Migrating<'_>, now: Timestamp) -> anyhow::Result<Approved> {
        let Some(policy) = migrating.policy else { bail!("{}", self.nothing()) };
        let name = migrating.name();
        let mut entries = self.entries(migrating, policy, now)?;
        for key in EARLIER {
            let earlier = migrating.object.metadata.annotation(key).is_some();
            if earlier && !entries.iter().any(|(new, _)| *new == key) {
                bail!("{name} carries `{key}` of an earlier approval: remove it, or give it anew");
            }
        }
        if self.sign_agent || self.sign_key.is_some() {
            let risk = migrating.object.metadata.annotation(annotation::RISK);
            let text = signed_text(|key| {
                let new = entries.iter().find(|(new, _)| *new == key);
                new.map(|(_, value)| value.as_str()).or(risk.filter(|_| key == annotation::RISK))
            });
            let signer = Signer { key: self.sign_key.as_deref(), agent: self.sign_agent };
            entries.push((annotation::SIGNATURE, signer.sign(&text)?));
        }
        let open = holds(migrating, policy, &entries, now)
            .with_context(|| format!("the approval of {name} would not hold"))?;
        let manifest = migrating.manifest;
        Ok(Approved {
            file: migrating.part.file.name.clone(),
            position: manifest.position,
            prefix: manifest.prefix.clone(),
            api_version: manifest.api_version.clone(),
            kind: manifest.kind.clone(),
            name: manifest.name.clone(),
            generated: !migrating.object.metadata.generate_name.is_empty(),
            namespace: migrating.stated_namespace.map(str::to_owned),
            entries,
            open,
        })
    }

    /// Everything but the signature, in the order in which it is signed.
    fn entries(
        &self,
        migrating: &Migrating<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let until = now.checked_add(self.duration).context("--for is too long")?;
        let until = Timestamp::from_second(until.as_second())?;
        let namespace = migrating.stated_namespace;
        if namespace.is_none() && policy.approvals.bind_to_namespace {
            bail!("the policy binds approvals to a namespace: say which with --namespace");
        }
        let content = if self.content || policy.approvals.requires(ApprovalField::Content) {
            match policy::content(migrating.object, migrating.facts.config_maps) {
                Ok(content) => Some(content.to_string()),
                Err(why) => bail!("what the ConfigMaps hold cannot be approved: {why}"),
            }
        } else {
            None
        };
        let digest = policy::digest(migrating.object).to_string();
        let entries = [
            (annotation::DIGEST, Some(digest)),
            (annotation::CONTENT, content),
            (annotation::APPROVED_BY, Some(self.by.clone())),
            (annotation::TICKET, self.ticket.clone()),
            (annotation::REASON, self.reason.clone()),
            (annotation::NAMESPACE, namespace.map(str::to_owned)),
            (annotation::UNTIL, Some(until.to_string())),
            (annotation::BACKUP, self.backup.clone()),
            (annotation::BACKUP_WAIVER, self.backup_waiver.clone()),
        ];
        Ok(entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

/// What an earlier approval may have left and a new one must not take over unseen.
const EARLIER: [&str; 7] = [
    annotation::CONTENT,
    annotation::TICKET,
    annotation::REASON,
    annotation::NAMESPACE,
    annotation::BACKUP,
    annotation::BACKUP_WAIVER,
    annotation::SIGNATURE,
];

/// Holds the object with the approval in it against the policy; what cannot be told here comes
/// back.
fn holds(
    migrating: &Migrating<'_>,
    policy: &Policy,
    entries: &[(&str, String)],
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let mut value: Value = serde_json::from_str(&migrating.manifest.json)?;
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.context("it has no metadata")?;
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if !annotations.is_object() {
        *annotations = Value::Object(serde_json::Map::new());
    }
    if let Some(annotations) = annotations.as_object_mut() {
        for (key, text) in entries {
            annotations.insert((*key).to_owned(), Value::from(text.as_str()));
        }
    }
    let json = value.to_string();
    let object = Object::parse(&json)?;
    let approval = assess(&policy.approvals, &migrating.subject(&object, "", now));
    let mut open = None;
    for (_, standing) in approval.standings() {
        match standing {
            Standing::Invalid { reasons, .. } => bail!("{}", reasons.join(", ")),
            Standing::Missing { .. } => bail!("it is not there"),
            Standing::Undecided { why } => open = Some(why.clone()),
            Standing::Valid | Standing::NotNeeded => {}
        }
    }
    Ok(open)
}

fn annotations(approved: &Approved, indent: &str) -> String {
    let line = |(key, value): &(&str, String)| format!("{indent}{}\n", edit::entry(key, value));
    approved.entries.iter().map(line).collect()
}

/// A strategic merge patch, as a file of its own.
fn kustomize(approved: &Approved) -> anyhow::Result<String> {
    if approved.generated {
        bail!("its name is generated, so that kustomize cannot find it: use --output yaml");
    }
    Ok(format!(
        "{}\n{}\nmetadata:\n  {}\n  annotations:\n{}",
        edit::entry("apiVersion", &approved.api_version),
        edit::entry("kind", &approved.kind),
        edit::entry("name", &approved.name),
        annotations(approved, "    ")
    ))
}

fn kubectl(approved: &Approved) -> anyhow::Result<String> {
    if approved.generated {
        bail!("its name is generated, so that kubectl cannot find it: use --output yaml");
    }
    let (group, version) =
        approved.api_version.split_once('/').unwrap_or(("", &approved.api_version));
    // `Job.v1.batch` is understood by kubectl whatever else is called Job in the cluster.
    let kind = if group.is_empty() {
        approved.kind.clone()
    } else {
        format!("{}.{version}.{group}", approved.kind)
    };
    let mut command = format!("kubectl annotate {}", shell(&format!("{kind}/{}", approved.name)));
    if let Some(namespace) = &approved.namespace {
        let _ = write!(command, " --namespace {}", shell(namespace));
    }
    command.push_str(" --overwrite");
    for (key, value) in &approved.entries {
        let _ = write!(command, " \\\n  {}", shell(&format!("{key}={value}")));
    }
    command.push('\n');
    Ok(command)
}

/// A word for a POSIX shell.
fn shell(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-=:@+".contains(char);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn yaml(approved: &Approved, text: &str) -> anyhow::Result<String> {
    let entries: Vec<(&str, &str)> =
        approved.entries.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let place = Place { position: approved.position, prefix: &approved.prefix };
    edit::set(text, place, &["metadata", "annotations"], &entries).with_context(|| {
        format!(
            "{}:{}:{}: cannot add the approval: use --output annotations",
            approved.file, approved.position.line, approved.position.column
        )
    })
}
