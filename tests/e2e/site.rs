//! A cluster of its own with a node, and the chart as people install it there.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::{
    cluster::{Answer, Cluster},
    node::Node,
    process::poll,
};

/// Namespace of the release.
pub(crate) const NAMESPACE: &str = "tidegate";
/// What everybody runs who wants it out of the way.
pub(crate) const BREAK_GLASS: &str =
    "delete validatingwebhookconfiguration,mutatingwebhookconfiguration tidegate";
/// How long anything of a release may take.
const LIMIT: Duration = Duration::from_mins(3);
/// Values of every release here: there is no cert-manager, and nobody waits.
const VALUES: &str = "certificates.mode=selfManaged,drainSeconds=2";

/// The program that `HELM` names.
pub(crate) fn helm() -> Option<OsString> {
    env::var_os("HELM").filter(|helm| !helm.is_empty())
}

/// The chart.
pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/helm/tidegate")
}

/// A cluster with a node. What is dropped first ends first.
#[derive(Debug)]
pub(crate) struct Site {
    /// What runs the Pods.
    pub(crate) node: Node,
    /// The cluster.
    pub(crate) cluster: Arc<Cluster>,
}

impl Site {
    /// Starts the programs of a folder.
    pub(crate) fn start(assets: &Path) -> Result<Self, String> {
        let cluster = Arc::new(Cluster::start(assets)?);
        let node = Node::start(Arc::clone(&cluster))?;
        Ok(Self { node, cluster })
    }

    /// Runs helm in the namespace of the release.
    pub(crate) fn helm(&self, args: &[&str]) -> Answer {
        let output = Command::new(helm().expect("the case needs it"))
            .args(args)
            .args(["--namespace", NAMESPACE])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HOME", self.cluster.folder())
            .env("NO_PROXY", "*")
            .output()
            .expect("helm can be run");
        Answer {
            command: format!("helm {}", args.join(" ")),
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("helm writes UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("helm writes UTF-8"),
        }
    }

    /// The first step of docs/install.md: servers that nobody asks.
    pub(crate) fn install(&self, values: &str) {
        let chart = chart().display().to_string();
        let args = ["install", "tidegate", &chart, "--create-namespace", "--wait"];
        self.release(&args, values).done();
        let label = "pod-security.kubernetes.io/enforce=restricted";
        self.cluster.kubectl(&["label", "namespace", NAMESPACE, label]).done();
    }

    /// The second: a profile, which registers them; and every later step.
    pub(crate) fn upgrade(&self, profile: &str, values: &str) {
        self.try_upgrade(profile, values, &[]).done();
    }

    /// The same with more of helm's arguments, for what may fail.
    pub(crate) fn try_upgrade(&self, profile: &str, values: &str, more: &[&str]) -> Answer {
        let profile = chart().join(format!("profiles/{profile}.yaml")).display().to_string();
        let chart = chart().display().to_string();
        let args = ["upgrade", "tidegate", &chart, "-f", &profile, "--wait"];
        self.release(&[&args[..], more].concat(), values)
    }

    fn release(&self, args: &[&str], values: &str) -> Answer {
        let values =
            if values.is_empty() { VALUES.to_owned() } else { format!("{VALUES},{values}") };
        let answer = self.helm(&[args, &["--timeout=3m", "--set", &values]].concat());
        if !answer.success {
            eprintln!("{}", self.node.logs());
        }
        answer
    }

    /// Takes the registration away, as docs/install.md and docs/runbook.md say.
    pub(crate) fn break_glass(&self) {
        let args: Vec<&str> = BREAK_GLASS.split(' ').collect();
        self.cluster.kubectl(&args).done();
    }

    /// Waits until only the newest Pods run, so that verdicts do not mix any more.
    pub(crate) fn settled(&self) {
        let settled = poll("old Pods are gone", LIMIT, || {
            // The node hears a little later of a Pod that goes.
            self.only_the_newest()?;
            self.node.settled()
        });
        settled.unwrap_or_else(|error| panic!("{error}\n{}", self.node.logs()));
    }

    /// The Pods of the release.
    pub(crate) fn pods(&self) -> Vec<Value> {
        let label = "app.kubernetes.io/name=tidegate";
        let pods = ["get", "pods", "-n", NAMESPACE, "-l", label, "-o", "json"];
        let list = self.cluster.kubectl(&pods).json();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn only_the_newest(&self) -> Result<(), String> {
        let pods = self.pods();
        let hashes: BTreeSet<_> = pods
            .iter()
            .map(|pod| pod["metadata"]["labels"]["pod-template-hash"].to_string())
            .collect();
        let goes = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_string();
        match (hashes.len(), pods.iter().find(goes)) {
            (0 | 1, None) => Ok(()),
            (count, goes) => Err(format!("{count} kinds of Pods, one goes: {goes:?}")),
        }
    }

    /// What `tidegate doctor` sees.
    pub(crate) fn doctor(&self) -> (i32, Vec<Value>) {
        let output = Command::new(super::tidegate::PROGRAM)
            .args(["doctor", "--format", "json", "--kubeconfig"])
            .arg(self.cluster.kubeconfig())
            .env("NO_PROXY", "*")
            .output()
            .expect("tidegate can be run");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let seen = serde_json::from_slice(&output.stdout);
        (
            output.status.code().expect("it ended by itself"),
            seen.unwrap_or_else(|error| panic!("{error}: {told}")),
        )
    }
}
