//! Recorded reviews, as the API server sends them.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// Length of a uid.
const UID: usize = 36;

/// Which reviews are sent, how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mix {
    /// Verdicts as a busy cluster asks for them: five in a hundred destructive, twenty large
    Validate,
    /// Defaults for hook Jobs, twenty in a hundred of them large
    Mutate,
    /// What the registration of `tidegate webhook-config` lets through: most of it needs a verdict
    Judged,
    /// Every recording as often as any other, with all that controllers do
    Even,
}

/// How often each review comes in a hundred verdicts. What is large is a recording with settings and
/// managed fields as applications have that have grown.
const VALIDATE: [(&str, usize); 15] = [
    ("validate-create-deployment-clean", 26),
    ("validate-update-deployment-rollout-restart-existing-violation", 16),
    ("validate-update-deployment-annotate-existing-violation", 10),
    ("validate-create-cronjob-backfill", 3),
    ("validate-create-job-manual-from-cronjob", 2),
    ("validate-create-pod-bare-migration", 1),
    ("validate-update-pod-ephemeral-container", 1),
    ("validate-create-deployment-migration-init-container", 2),
    ("validate-create-job-argocd-backup", 4),
    ("validate-create-job-argocd-migration", 5),
    ("validate-create-job-helm-hook", 4),
    ("validate-update-job-suspend", 1),
    ("validate-create-job-generate-name-drop-column", 5),
    ("validate-create-deployment-clean+32KiB", 19),
    ("validate-create-deployment-clean+256KiB", 1),
];

/// The same of a hundred hook Jobs that ask for defaults.
const MUTATE: [(&str, usize); 7] = [
    ("mutate-create-job-argocd-backup", 20),
    ("mutate-create-job-argocd-migration", 20),
    ("mutate-create-job-argocd-verification", 18),
    ("mutate-create-job-helm-hook", 12),
    ("mutate-create-job-helm-hook-dry-run", 5),
    ("mutate-create-job-generate-name-drop-column", 5),
    ("mutate-create-job-argocd-migration+32KiB", 20),
];

/// How often each recording comes in a hundred. Creations and changes of applications, and for each
/// release a backup, a migration and a verification.
const JUDGED: [(&str, usize); 19] = [
    ("validate-create-deployment-clean", 24),
    ("validate-update-deployment-rollout-restart-existing-violation", 16),
    ("validate-update-deployment-annotate-existing-violation", 12),
    ("validate-create-cronjob-backfill", 3),
    ("validate-create-job-manual-from-cronjob", 3),
    ("validate-create-pod-bare-migration", 2),
    ("validate-update-pod-ephemeral-container", 1),
    ("validate-create-deployment-migration-init-container", 2),
    ("validate-create-job-argocd-backup", 5),
    ("validate-create-job-argocd-migration", 6),
    ("validate-create-job-helm-hook", 4),
    ("validate-create-job-generate-name-drop-column", 1),
    ("validate-update-job-suspend", 2),
    ("mutate-create-job-argocd-backup", 5),
    ("mutate-create-job-argocd-migration", 5),
    ("mutate-create-job-argocd-verification", 5),
    ("mutate-create-job-helm-hook", 2),
    ("mutate-create-job-helm-hook-dry-run", 1),
    ("mutate-create-job-generate-name-drop-column", 1),
];

/// One request, complete but for its uid.
#[derive(Clone, Debug)]
pub(crate) struct Review {
    /// Name of the recording, and what was added to it.
    pub(crate) name: String,
    /// What the answer must be; `None` when any verdict will do.
    pub(crate) expected: Option<bool>,
    request: Vec<u8>,
    body_at: usize,
    uid_at: usize,
}

impl Review {
    /// A recording, such as `validate-create-deployment-clean`; with `+32KiB` after its name, made
    /// that large.
    pub(crate) fn read(name: &str) -> anyhow::Result<Self> {
        let (file, size) = name.split_once('+').unwrap_or((name, ""));
        let mut review = recording(file)?;
        if let Some(kib) = size.strip_suffix("KiB") {
            enlarge(&mut review, kib.parse::<usize>()? << 10)?;
        }
        Self::new(name, &review)
    }

    /// A review as the API server sends it, to the path that its name begins with.
    pub(crate) fn new(name: &str, review: &Value) -> anyhow::Result<Self> {
        let uid = review["request"]["uid"].as_str().context("a recording has no uid")?;
        ensure!(uid.len() == UID, "{name}: the uid has another length");
        let body = serde_json::to_string(review)?;
        ensure!(body.matches(uid).count() == 1, "{name}: the uid is not there once");
        let path = if name.starts_with("mutate-") { "/mutate" } else { "/validate" };
        let made = Self {
            name: name.to_owned(),
            expected: None,
            uid_at: body.find(uid).unwrap_or_default(),
            body_at: 0,
            request: body.into_bytes(),
        };
        Ok(made.addressed("127.0.0.1", &format!("{path}?timeout=5s")))
    }

    /// The same for another server or path.
    pub(crate) fn addressed(&self, host: &str, path: &str) -> Self {
        let body = &self.request[self.body_at..];
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n\
             User-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
             Accept: application/json, */*\r\nContent-Type: application/json\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        Self {
            name: self.name.clone(),
            expected: self.expected,
            uid_at: self.uid_at - self.body_at + head.len(),
            body_at: head.len(),
            request: [head.as_bytes(), body].concat(),
        }
    }

    /// Writes the request with the uid `number` into `buffer`, and gives that uid.
    pub(crate) fn write(&self, number: u64, buffer: &mut Vec<u8>) -> [u8; UID] {
        let uid = uid(number);
        buffer.clear();
        buffer.extend_from_slice(&self.request);
        buffer[self.uid_at..self.uid_at + UID].copy_from_slice(&uid);
        uid
    }
}

/// A recorded AdmissionReview. Recordings are laid out for people; the API server sends no white space.
pub(crate) fn recording(name: &str) -> anyhow::Result<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews");
    let text = fs::read_to_string(folder.join(format!("{name}.json")))
        .with_context(|| format!("cannot read the recording {name}"))?;
    Ok(serde_json::from_str(&text)?)
}

/// Adds settings and managed fields, half and half, until the review has about so many bytes.
fn enlarge(review: &mut Value, bytes: usize) -> anyhow::Result<()> {
    let length = |review: &Value| serde_json::to_string(review).map(|text| text.len());
    let before = length(review)?;
    // What one of each comes to, at the length of their numbers in the middle.
    let one = variable(1_000).to_string().len()
        + field(1_000).0.len()
        + field(1_000).1.to_string().len()
        + 5;
    let object = &mut review["request"]["object"];
    let count = bytes.saturating_sub(before) / one;
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    if container["env"].is_null() {
        container["env"] = json!([]);
    }
    let env = container["env"].as_array_mut().context("env is no list")?;
    env.extend((0..count).map(variable));
    let fields = object["metadata"]["managedFields"][0]["fieldsV1"].as_object_mut();
    fields.context("nobody manages the object")?.extend((0..count).map(field));
    let after = length(review)?;
    ensure!(after.abs_diff(bytes) < bytes / 10 + one, "{after} bytes and not {bytes}");
    Ok(())
}

/// A setting of an application.
pub(crate) fn variable(number: usize) -> Value {
    json!({"name": format!("SETTING_{number}"), "value": format!("value {number} of the application")})
}

/// What the API server notes about a field that somebody manages.
pub(crate) fn field(number: usize) -> (String, Value) {
    (format!("f:field-{number}"), json!({"f:a": {}, "f:b": {}, "f:c": {}, "f:d": {}}))
}

fn uid(number: u64) -> [u8; UID] {
    let text = format!("00000000-0000-4000-8000-{number:012x}");
    text.as_bytes().try_into().expect("a uid has 36 characters")
}

/// The reviews in the order in which they are sent, over and over.
#[derive(Debug)]
pub(crate) struct Corpus {
    reviews: Vec<Review>,
    order: Vec<usize>,
}

impl Corpus {
    /// Reads the recordings of `mix`.
    pub(crate) fn read(mix: Mix) -> anyhow::Result<Self> {
        let owned = |weights: &[(&str, usize)]| {
            weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
        };
        let weights: Vec<(String, usize)> = match mix {
            Mix::Validate => owned(&VALIDATE),
            Mix::Mutate => owned(&MUTATE),
            Mix::Judged => owned(&JUDGED),
            Mix::Even => recordings()?.into_iter().map(|name| (name, 1)).collect(),
        };
        let mut reviews = Vec::new();
        let mut order = Vec::new();
        for (index, (name, weight)) in weights.iter().enumerate() {
            reviews.push(Review::read(name)?);
            order.extend(std::iter::repeat_n(index, *weight));
        }
        shuffle(&mut order);
        Ok(Self { reviews, order })
    }

    /// The review that is sent as `number`.
    pub(crate) fn get(&self, number: usize) -> &Review {
        &self.reviews[self.order[number % self.order.len()]]
    }

    /// Every review once, to be changed.
    pub(crate) fn reviews_mut(&mut self) -> &mut [Review] {
        &mut self.reviews
    }

    /// Mean length of a request, in bytes.
    pub(crate) fn mean_length(&self) -> usize {
        let total: usize = self.order.iter().map(|index| self.reviews[*index].request.len()).sum();
        total / self.order.len()
    }
}

fn recordings() -> anyhow::Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).context("cannot read the recordings")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The same order in every run.
fn shuffle(order: &mut [usize]) {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for last in (1..order.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
}
