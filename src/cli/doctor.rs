//! `tidegate doctor`

use std::{fmt::Write as _, io::Write as _, path::PathBuf};

use anyhow::Context as _;

use super::exit::Exit;
use crate::{
    cluster::Connection,
    doctor::{Grade, Installation, Symptom, examine},
};

const EXAMPLES: &str = "\
Examples:
  # Is the installation of this cluster all right?
  tidegate doctor

  # Another namespace and name, for a script
  tidegate doctor --namespace guard --name guard --format json

It changes nothing: the review that it sends itself is a dry run. Exit code 1 when something does not work,
2 when the cluster cannot be asked.";

/// Compare an installation with what it needs, and say what to do.
///
/// Looks at the webhook configurations, the definitions, the authority that is trusted, Service, endpoints and
/// Deployment, the rights of the servers, sends itself a review as a dry run, and reads what the API server
/// counts of failures.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Namespace of the servers
    #[arg(short, long, value_name = "NAMESPACE", default_value = "tidegate")]
    namespace: String,

    /// Name of the Deployment, the Service, the account and the webhook configurations
    #[arg(long, value_name = "NAME", default_value = "tidegate")]
    name: String,

    /// A namespace that is judged, for the review that it sends itself
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    probe_namespace: String,

    /// The kubeconfig [default: a Pod's account, or as kubectl finds it]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    /// For people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// How symptoms are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON array.
    Json,
}

/// Examines an installation.
///
/// # Errors
///
/// When there is no cluster to ask.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    // Before kube's client asks for one; that it is there already can only be our own doing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let Args { namespace, name, probe_namespace: probe, kubeconfig, context, format } = args;
    let installation = Installation { namespace, name, probe };
    let seen = runtime.block_on(async {
        let connection = Connection::named(kubeconfig.as_deref(), context.as_deref()).await?;
        let client = connection.client()?;
        client.apiserver_version().await.context("the API server cannot be asked")?;
        Ok::<_, anyhow::Error>(examine(&client, &installation).await)
    })?;
    let text = match format {
        Format::Human => human(&seen),
        Format::Json => serde_json::to_string_pretty(&seen)? + "\n",
    };
    anstream::stdout().lock().write_all(text.as_bytes())?;
    let failed = seen.iter().any(|symptom| symptom.grade == Grade::Failure);
    Ok(if failed { Exit::Findings } else { Exit::Clean })
}

fn human(seen: &[Symptom]) -> String {
    let mut text = String::new();
    for Symptom { check, grade, says, mend } in seen {
        let (color, mark) = match grade {
            Grade::Ok => ("\u{1b}[32m", "ok     "),
            Grade::Unknown => ("\u{1b}[36m", "unknown"),
            Grade::Warning => ("\u{1b}[33m", "warning"),
            Grade::Failure => ("\u{1b}[1;31m", "FAILURE"),
        };
        let _ = writeln!(text, "{color}{mark}\u{1b}[0m  {check}: {says}");
        if !mend.is_empty() {
            let _ = writeln!(text, "         → {mend}");
        }
    }
    let count = |grade| seen.iter().filter(|symptom| symptom.grade == grade).count();
    let [fine, warnings, failures, unknown] =
        [Grade::Ok, Grade::Warning, Grade::Failure, Grade::Unknown].map(count);
    let _ = writeln!(
        text,
        "\n{fine} all right, {warnings} warnings, {failures} failures, {unknown} unknown"
    );
    text
}
