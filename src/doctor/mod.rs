//! `tidegate doctor`: what an installation needs, compared with what a cluster has.
//!
//! Each check reads a few objects and says what it saw, how bad that is and what to do. What may not be
//! read is unknown, never fine.

mod authority;
mod certificate;
mod failures;
mod probe;
mod registration;
mod rights;
mod servers;
mod started;

use kube::Client;
use schemars::JsonSchema;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It could not be found out.
    Unknown,
    /// It works, and should be otherwise.
    Warning,
    /// It does not work.
    Failure,
}

impl Grade {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// What one check saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Symptom {
    /// What was looked at, in one word.
    pub check: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What was seen.
    pub says: String,
    /// What to do about it; empty where there is nothing to do.
    pub mend: String,
}

impl Symptom {
    fn new(
        check: &'static str,
        grade: Grade,
        says: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, grade, says: says.into(), mend: mend.into() }
    }

    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Grade::Ok, says, "")
    }

    /// Something that could not be read.
    fn unread(check: &'static str, what: &str, error: &kube::Error) -> Self {
        let why = match error {
            kube::Error::Api(status) => status.message.clone(),
            error => error.to_string(),
        };
        let mend = match error {
            kube::Error::Api(status) if status.code == 403 => "run it as somebody who may read it",
            _ => "see whether the API server can be reached",
        };
        Self::new(check, Grade::Unknown, format!("{what} cannot be read: {why}"), mend)
    }
}

/// Which installation.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Namespace of the servers.
    pub namespace: String,
    /// Name of the Deployment, the Service, the account and both webhook configurations.
    pub name: String,
    /// A namespace that is judged, for a review of our own.
    pub probe: String,
}

/// Everything that was seen, in the order in which a request meets it.
pub async fn examine(client: &Client, installation: &Installation) -> Vec<Symptom> {
    let mut seen = Vec::new();
    let registered = registration::look(client, installation, &mut seen).await;
    let now = jiff::Timestamp::now();
    authority::look(&registered, now, &mut seen);
    let started = servers::look(client, installation, &registered, &mut seen).await;
    if let Some(secret) = started.secret() {
        certificate::look(client, installation, secret, &registered, now, &mut seen).await;
    }
    rights::look(client, installation, &started, &mut seen).await;
    probe::look(client, installation, &mut seen).await;
    failures::look(client, &mut seen).await;
    seen
}
