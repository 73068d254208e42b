//! Approvals as objects of the cluster: printed, or made there.

use std::{collections::BTreeMap, ffi::OsStr, path::Path};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, events::v1::Event};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, PostParams},
    core::ApiResource,
};

use crate::{
    cluster::{self, Connection, FIELD_MANAGER, Raw},
    model::Object,
    policy::{self, ApprovalMeta, ApprovalSpec, MigrationApproval},
};

/// How kubectl's users write the kind before a name.
const JOB: [&str; 5] = ["job", "jobs", "job.batch", "jobs.batch", "job.v1.batch"];
/// The reason of the Events that tell of a refusal.
const REFUSED: &str = "MigrationRefused";
/// How many Events are asked for at a time.
const PAGE: u32 = 500;
/// Digits of a digest after `sha256:`.
const DIGITS: usize = 64;
/// The longest start of a name that the API server makes: it cuts longer ones.
const STEM: usize = 57;

/// The name in `job/NAME`; none for anything else, and for a file that is called so.
pub(super) fn job_name(path: &Path) -> Option<&str> {
    let (kind, name) = path.to_str()?.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_name = !name.is_empty() && name.bytes().all(plain);
    let is_file = path.exists()
        || [OsStr::new("yaml"), OsStr::new("yml"), OsStr::new("json")]
            .iter()
            .any(|extension| path.extension() == Some(extension));
    (JOB.contains(&kind.to_ascii_lowercase().as_str()) && is_name && !is_file).then_some(name)
}

/// The approval of a digest, for whoever creates it. Its name is made from `stem`.
pub(super) fn document(
    stem: &str,
    namespace: Option<&str>,
    spec: ApprovalSpec,
) -> MigrationApproval {
    let stem = stem.trim_end_matches(['-', '.']);
    let stem = stem.get(..stem.floor_char_boundary(STEM)).unwrap_or_default();
    let stem = if stem.is_empty() { "approval" } else { stem.trim_end_matches(['-', '.']) };
    let metadata = ApprovalMeta {
        generate_name: Some(format!("{stem}-")),
        namespace: namespace.map(str::to_owned),
        ..ApprovalMeta::default()
    };
    MigrationApproval::new(metadata, spec)
}

/// The document as YAML, checked as the cluster checks it.
pub(super) fn yaml(document: &MigrationApproval) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(document).context("cannot be written as YAML")?;
    policy::read_approval(&text, "the approval").map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(policy::LoadError::brief).collect();
        anyhow::anyhow!("the approval would be refused: {}", errors.join("; "))
    })?;
    Ok(text)
}

/// What a Job in the cluster, or the refusal of one, says that has to be approved.
#[derive(Debug)]
pub(super) struct Asked {
    /// The digest.
    pub(super) digest: String,
    /// Names of the Jobs that are meant, where that is known.
    pub(super) job: Option<String>,
    /// Where the Job is or would be.
    pub(super) namespace: String,
}

/// A cluster, as the kubeconfig names it.
pub(super) struct Cluster {
    runtime: tokio::runtime::Runtime,
    client: Client,
    namespace: String,
}

impl Cluster {
    /// Connects; `namespace` is that of the kubeconfig where it is left out.
    pub(super) fn connect(namespace: Option<&str>) -> anyhow::Result<Self> {
        // That it is there already can only be our own doing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start")?;
        let config =
            runtime.block_on(kube::Config::infer()).context("no cluster: no kubeconfig")?;
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        // A client starts a task of its own, for which it wants to be inside the runtime.
        let client = runtime.block_on(async { Connection::new(config).client() })?;
        Ok(Self { runtime, client, namespace })
    }

    /// What is to be approved of the Job `name`: of the Job itself where it is there, else of the one
    /// that was refused.
    pub(super) fn asked(&self, name: &str) -> anyhow::Result<Asked> {
        self.runtime.block_on(async {
            match self.of_job(name).await? {
                Some(asked) => Ok(asked),
                None => self.of_refusals(name).await,
            }
        })
    }

    async fn of_job(&self, name: &str) -> anyhow::Result<Option<Asked>> {
        let resource = ApiResource::erase::<Job>(&());
        let api: Api<Raw> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let found = api.get_opt(name).await;
        let found = found.with_context(|| format!("cannot look for Job {name}"))?;
        let Some(raw) = found else { return Ok(None) };
        let text = raw.text(&resource);
        let object = Object::parse(&text).with_context(|| format!("Job {name}"))?;
        Ok(Some(Asked {
            digest: policy::digest(&object).to_string(),
            job: Some(pattern(&object)),
            namespace: self.namespace.clone(),
        }))
    }

    async fn of_refusals(&self, name: &str) -> anyhow::Result<Asked> {
        let namespace = &self.namespace;
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let mut parameters = ListParams::default().fields(&format!("reason={REFUSED}")).limit(PAGE);
        let mut found: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
        loop {
            let page = api.list(&parameters).await.context("cannot look for refusals")?;
            for event in &page.items {
                let reason = event.reason.as_deref();
                let digest = event.note.as_deref().and_then(|note| digest_for(note, name));
                if let Some(digest) = digest.filter(|_| reason == Some(REFUSED)) {
                    let told = found.entry(digest.to_owned()).or_default();
                    *told = (*told).max(told_at(event));
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => break,
            }
        }
        let mut all = found.into_iter();
        match (all.next(), all.len()) {
            (None, _) => bail!(
                "there is no Job {name} in namespace {namespace}, and no Event of its refusal there: \
                 name the digest of the refusal with --digest, or approve the manifest with \
                 --output resource"
            ),
            (Some((digest, _)), 0) => Ok(Asked { digest, job: None, namespace: namespace.clone() }),
            (Some(first), _) => {
                let line = |(digest, at): (String, Option<Timestamp>)| {
                    let at = at.map(|at| format!(", refused at {at}")).unwrap_or_default();
                    format!("\n  {digest}{at}")
                };
                let lines: String = std::iter::once(first).chain(all).map(line).collect();
                bail!("several Jobs {name} were refused: say which with --digest{lines}")
            }
        }
    }

    /// Makes the approval, and gives its name.
    pub(super) fn create(&self, document: &MigrationApproval) -> anyhow::Result<String> {
        let resource = cluster::approval_kind();
        let namespace = &self.namespace;
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let object = serde_json::from_value(serde_json::to_value(document)?)?;
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let made = self.runtime.block_on(api.create(&parameters, &object));
        let made = made.context("the approval was not made")?;
        made.metadata.name.context("the approval has no name")
    }
}

/// Names of the Jobs that an object stands for.
pub(super) fn pattern(object: &Object<'_>) -> String {
    let metadata = &object.metadata;
    if metadata.generate_name.is_empty() {
        metadata.name.to_string()
    } else {
        format!("{}*", metadata.generate_name)
    }
}

/// The digest that the note of a refusal of Job `name` asks to approve.
fn digest_for<'n>(note: &'n str, name: &str) -> Option<&'n str> {
    let (_rule, rest) = note.split_once(": Job/")?;
    let is_it = rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    let start = note.rfind("sha256:").filter(|_| is_it)?;
    let text = note.get(start..)?;
    let digest = text.get(.."sha256:".len().saturating_add(DIGITS))?;
    let hex = digest.bytes().skip("sha256:".len()).all(|byte| byte.is_ascii_hexdigit());
    hex.then_some(digest)
}

fn told_at(event: &Event) -> Option<Timestamp> {
    let last = event.series.as_ref().map(|series| series.last_observed_time.0);
    last.or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_as_for_kubectl() {
        for (path, name) in [
            ("job/drop", Some("drop")),
            ("Jobs.batch/drop-1", Some("drop-1")),
            ("job/drop.yaml", None),
            ("job/", None),
            ("job/a/b", None),
            ("deploy/drop", None),
            ("drop", None),
        ] {
            assert_eq!(job_name(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn a_note_asks_for_one_digest_of_one_job() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let note =
            |job: &str| format!("unapproved-rollback: Job/{job} spec: x sha256:aa; {digest}");
        assert_eq!(digest_for(&note("drop"), "drop"), Some(digest.as_str()));
        let more = format!("{} (and 2 more)", note("drop"));
        assert_eq!(digest_for(&more, "drop"), Some(digest.as_str()));
        assert_eq!(digest_for(&note("drop-2"), "drop"), None);
        assert_eq!(digest_for(&note("xdrop"), "drop"), None);
        assert_eq!(digest_for("root-migration: Job/drop spec: root", "drop"), None);
        assert_eq!(digest_for("a: Job/drop x sha256:zz", "drop"), None);
    }

    #[test]
    fn a_name_is_made_from_that_of_the_job() {
        let of = |stem: &str| {
            document(stem, None, ApprovalSpec::default()).metadata.generate_name.unwrap()
        };
        assert_eq!(of("drop"), "drop-");
        assert_eq!(of("drop-"), "drop-");
        assert_eq!(of(""), "approval-");
        assert_eq!(of(&"x".repeat(300)).len(), STEM + 1);
    }
}
