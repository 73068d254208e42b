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
    grant, policies,
    set::{Set, SetArgs},
    sign::Signer,
};
use crate::{
    model::{Fact, Facts, GrantedApproval, Object, annotation},
    policy::{
        self, ApprovalField, ApprovalSpec, MigrationApproval, Policy, ResourceUse, Subject, assess,
        signed_text,
    },
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

  # In the cluster: a MigrationApproval of the Job that was just refused, by whoever you are there
  kubectl tidegate approve job/drop-legacy-total -n shop --ticket DB-17 --for 24h

  # The same without a cluster: from the manifest, or from the digest that the refusal names
  tidegate approve drop.yaml --ticket DB-17 --namespace shop --output resource
  tidegate approve --digest sha256:... --ticket DB-17 --namespace shop | kubectl create -f -

Exit code: 0 the approval was printed or made; 2 it would not hold, and why, or something could not
be read.";

/// Print an approval of one exact migration, signed or not, or make one in the cluster.
///
/// Of files, nothing is changed: what is printed goes to Git or to the cluster. An approval that
/// would not hold under the policy is not printed. Of `job/NAME`, a `MigrationApproval` is made in
/// the cluster; of whom, the API server says.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = EXAMPLES,
    mut_arg("paths", |arg| arg
        .required_unless_present_any(["helm_chart", "kustomize", "digest"])
        .conflicts_with("digest")
        .value_name("PATH | job/NAME")
        .help("Files, folders (*.yaml, *.yml, *.json, recursively) or - for standard input; or \
               job/NAME, a Job of the cluster that is there or was refused")),
    mut_arg("namespace", |arg| arg.short('n'))
)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// The object, where several need an approval
    #[arg(long, value_name = "KIND/NAME")]
    name: Option<String>,

    /// The digest that a refusal or `tidegate digest` names: prints a `MigrationApproval` of it
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,

    /// Who approves; in the cluster, whoever asks the API server does
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

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

    /// What to print [default: annotations; of job/NAME nothing, but the approval is made]
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<Output>,
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
    /// The file, with the approval in it and everything else as it was; of job/NAME, the resource
    Yaml,
    /// A `MigrationApproval`
    Resource,
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
    let now = Timestamp::now();
    if let Some(digest) = &args.digest {
        return args.of_digest(digest, now);
    }
    if let Some(job) = args.set.only_path().and_then(grant::job_name) {
        return args.in_cluster(job, now);
    }
    let policies = policies::load(&args.set.policy)?;
    let sources = args.set.sources();
    let set = Set::read(&args.set, &sources);
    let (gated, errors) = approval::each(&policies, &set, |migrating| {
        let approval = migrating.assess("", now);
        let name = migrating.name();
        let wanted = args.name.as_ref().is_none_or(|wanted| *wanted == name);
        let needs = approval.standings().next().is_some() && wanted;
        needs.then(|| {
            let approved = match args.output {
                Some(Output::Resource) => {
                    args.grant(migrating, now).map(|document| Written::Resource(Box::new(document)))
                }
                _ => args
                    .approve(migrating, now)
                    .map(|approved| Written::Annotations(Box::new(approved))),
            };
            (name, approved)
        })
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
    let approved = match approved? {
        Written::Annotations(approved) => approved,
        Written::Resource(document) => return print(&grant::yaml(&document)?),
    };
    let text = match args.output {
        None | Some(Output::Annotations | Output::Resource) => annotations(&approved, ""),
        Some(Output::Kustomize) => kustomize(&approved)?,
        Some(Output::Kubectl) => kubectl(&approved)?,
        Some(Output::Yaml) => {
            let source = sources.iter().flatten().find(|source| source.name == approved.file);
            yaml(&approved, &source.context("the file is gone")?.text)?
        }
    };
    if let Some(open) = &approved.open {
        writeln!(io::stderr(), "note: whether it will hold is not known here, because {open}")?;
    }
    print(&text)
}

fn print(text: &str) -> anyhow::Result<Exit> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(Exit::Clean)
}

/// An approval in one of its two forms.
enum Written {
    Annotations(Box<Approved>),
    Resource(Box<MigrationApproval>),
}

impl Args {
    /// What makes no sense for a resource is not passed over in silence.
    fn check_resource(&self, with: &str) -> anyhow::Result<()> {
        let given = [
            ("--by", self.by.is_some()),
            ("--sign-key", self.sign_key.is_some()),
            ("--sign-agent", self.sign_agent),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            bail!("{flag} cannot be used with {with}: the API server says who approves");
        }
        let own = [("--content", self.content), ("--name", self.name.is_some())];
        let files = with == "--output resource";
        if let Some((flag, _)) = own.iter().find(|(_, given)| *given && !files) {
            bail!("{flag} cannot be used with {with}: it is about manifests");
        }
        match self.output {
            None | Some(Output::Yaml | Output::Resource) => Ok(()),
            Some(_) => bail!("with {with}, --output can only be yaml or resource"),
        }
    }

    /// Everything but the digest.
    fn spec(&self, now: Timestamp) -> anyhow::Result<ApprovalSpec> {
        let until = now.checked_add(self.duration).context("--for is too long")?;
        Ok(ApprovalSpec {
            ticket: self.ticket.clone(),
            reason: self.reason.clone(),
            backup: self.backup.clone(),
            backup_waiver: self.backup_waiver.clone(),
            expires: Timestamp::from_second(until.as_second())?.to_string(),
            ..ApprovalSpec::default()
        })
    }

    /// Prints the resource for a digest, whatever it is of.
    fn of_digest(&self, digest: &str, now: Timestamp) -> anyhow::Result<Exit> {
        self.check_resource("--digest")?;
        let spec = ApprovalSpec { digest: digest.to_owned(), ..self.spec(now)? };
        print(&grant::yaml(&grant::document("", self.set.named_namespace(), spec))?)
    }

    /// Approves a Job of the cluster that is there, or was refused.
    fn in_cluster(&self, job: &str, now: Timestamp) -> anyhow::Result<Exit> {
        self.check_resource("job/NAME")?;
        let cluster = grant::Cluster::connect(self.set.named_namespace())?;
        let asked = cluster.asked(job)?;
        let spec = ApprovalSpec { digest: asked.digest, job: asked.job, ..self.spec(now)? };
        let (digest, expires) = (spec.digest.clone(), spec.expires.clone());
        let document = grant::document(job, Some(&asked.namespace), spec);
        let text = grant::yaml(&document)?;
        if self.output.is_some() {
            return print(&text);
        }
        let name = cluster.create(&document)?;
        print(&format!(
            "migrationapproval/{name} created in {}: it covers {digest} until {expires}\n",
            asked.namespace
        ))
    }

    /// The approval as a resource, once it is sure that it holds for whoever may approve.
    fn grant(
        &self,
        migrating: &Migrating<'_>,
        now: Timestamp,
    ) -> anyhow::Result<MigrationApproval> {
        self.check_resource("--output resource")?;
        let Some(policy) = migrating.policy else { bail!("{}", self.nothing()) };
        if policy.approvals.resources == ResourceUse::Ignore {
            bail!("the policy takes no MigrationApproval: `approvals.resources` is Ignore");
        }
        let spec = ApprovalSpec {
            digest: policy::digest(migrating.object).to_string(),
            content: self.content(migrating, policy)?,
            job: Some(grant::pattern(migrating.object)),
            ..self.spec(now)?
        };
        let stem = migrating.object.metadata.display_name();
        let document = grant::document(stem, migrating.stated_namespace, spec);
        let text = grant::yaml(&document)?;
        let granted = policy::read_approval(&text, "the approval").ok();
        let granted = granted.context("the approval cannot be read")?;
        // Who will make it is not known here, and that is the API server's to say.
        let granted = [GrantedApproval {
            namespace: migrating.namespace.to_owned(),
            approver: "whoever makes it".to_owned(),
            ..granted
        }];
        let facts = Facts { approvals: Fact::Known(&granted), ..migrating.facts.clone() };
        let subject =
            Subject { facts: &facts, ..migrating.subject(migrating.object, "somebody else", now) };
        let approval = assess(&policy.approvals.for_anybody(), &subject);
        for (_, standing) in approval.standings() {
            if let Standing::Invalid { reasons, .. } = standing {
                bail!(
                    "the approval of {} would not hold: {}",
                    migrating.name(),
                    reasons.join(", ")
                );
            }
        }
        Ok(document)
    }

    /// The digest of what ConfigMaps hold, where it is to be approved.
    fn content(
        &self,
        migrating: &Migrating<'_>,
        policy: &Policy,
    ) -> anyhow::Result<Option<String>> {
        if !self.content && !policy.approvals.requires(ApprovalField::Content) {
            return Ok(None);
        }
        match policy::content(migrating.object, migrating.facts.config_maps) {
            Ok(content) => Ok(Some(content.to_string())),
            Err(why) => bail!("what the ConfigMaps hold cannot be approved: {why}"),
        }
    }

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
        let content = self.content(migrating, policy)?;
        let by = self.by.as_ref().context("say who approves with --by")?;
        let digest = policy::digest(migrating.object).to_string();
        let entries = [
            (annotation::DIGEST, Some(digest)),
            (annotation::CONTENT, content),
            (annotation::APPROVED_BY, Some(by.clone())),
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
