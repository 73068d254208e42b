//! Recorded reviews, as the API server sends them.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Length of a uid.
const UID: usize = 36;

/// Which reviews are sent, how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mix {
    /// What the registration of `tidegate webhook-config` lets through: most of it needs a verdict
    Judged,
    /// Every recording as often as any other, with all that controllers do
    Even,
}

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
#[derive(Debug)]
pub(crate) struct Review {
    request: Vec<u8>,
    uid_at: usize,
}

impl Review {
    fn read(name: &str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reviews");
        let text = fs::read_to_string(folder.join(format!("{name}.json")))
            .with_context(|| format!("cannot read the recording {name}"))?;
        // Recordings are laid out for people; the API server sends no white space.
        let review: Value = serde_json::from_str(&text)?;
        let uid = review["request"]["uid"].as_str().context("a recording has no uid")?;
        ensure!(uid.len() == UID, "{name}: the uid has another length");
        let body = serde_json::to_string(&review)?;
        ensure!(body.matches(uid).count() == 1, "{name}: the uid is not there once");
        let path = if name.starts_with("mutate-") { "mutate" } else { "validate" };
        let head = format!(
            "POST /{path}?timeout=5s HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             User-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
             Accept: application/json, */*\r\nContent-Type: application/json\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        let uid_at = head.len() + body.find(uid).unwrap_or_default();
        Ok(Self { request: [head.into_bytes(), body.into_bytes()].concat(), uid_at })
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
        let weights: Vec<(String, usize)> = match mix {
            Mix::Judged => JUDGED.iter().map(|(name, weight)| ((*name).into(), *weight)).collect(),
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
