//! The server under test, and its registration with the API server.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::Value;

use super::{
    cluster::{Answer, Cluster},
    manifests,
    process::{Process, poll},
};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");
/// How long anything of the server may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A running `tidegate serve`.
#[derive(Debug)]
pub(crate) struct Tidegate {
    process: Process,
    webhook: SocketAddr,
}

impl Tidegate {
    /// Starts it with the built-in policy and one that only reports, in namespaces that are
    /// labelled `policy: audit`; waits until it is ready.
    pub(crate) fn start(cluster: &Cluster) -> Result<Self, String> {
        Self::start_as("tidegate", &cluster.kubeconfig(), "", cluster)
    }

    /// The same with another account's configuration, in a Pod of this namespace unless it is
    /// empty; `name` is that of its log.
    pub(crate) fn start_as(
        name: &'static str,
        kubeconfig: &Path,
        namespace: &str,
        cluster: &Cluster,
    ) -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(["--log", "json", "--drain", "0s", "--kube", "on", "--ca-out"])
            .arg(cluster.folder().join(format!("{name}-ca.pem")))
            .arg("--policy")
            .arg(root.join("policies/default"))
            .arg("--policy")
            .arg(root.join("tests/e2e/audit-policy.yaml"))
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAMESPACE", namespace)
            .env("NO_PROXY", "*");
        let mut process = Process::start(name, cluster.folder(), &mut command)?;
        let (webhook, health) = poll("tidegate listens", LIMIT, || {
            if let Err(ended) = process.still_runs() {
                return Ok(Err(ended));
            }
            addresses(&process.log()).map(Ok).ok_or_else(|| process.tail())
        })??;
        poll("/readyz of tidegate", LIMIT, || get(health, "/readyz"))?;
        Ok(Self { process, webhook })
    }

    /// Registers it, and waits until the API server asks it for verdicts and for defaults.
    pub(crate) fn register(&self, cluster: &Cluster) -> Result<(), String> {
        let output = Command::new(PROGRAM)
            .args(["webhook-config", "--url", &format!("https://{}", self.webhook)])
            .arg("--ca-bundle")
            .arg(cluster.folder().join("tidegate-ca.pem"))
            .output()
            .map_err(|error| format!("cannot run {PROGRAM}: {error}"))?;
        if !output.status.success() {
            return Err(format!("webhook-config: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let configuration = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
        let applied = cluster.kubectl_with(&["apply", "-f", "-"], &configuration);
        if !applied.success {
            return Err(applied.to_string());
        }
        Self::wait(cluster)
    }

    /// Waits until the API server asks the server.
    pub(crate) fn wait(cluster: &Cluster) -> Result<(), String> {
        let dry = ["create", "--dry-run=server", "-n", "default", "-o", "json", "-f", "-"];
        poll("a refusal by tidegate", LIMIT, || {
            let bad = manifests::deployment(&[manifests::migrating("migrate")]).to_string();
            let answer = cluster.kubectl_with(&dry, &bad);
            let refused = !answer.success && answer.stderr.contains("migration-in-init-container");
            if refused { Ok(()) } else { Err(answer.to_string()) }
        })?;
        poll("defaults by tidegate", LIMIT, || {
            let answer = cluster.kubectl_with(&dry, &manifests::reference("argocd-migration-job"));
            if answer.stdout.contains("tidegate.dev/defaulted") {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        })
    }

    /// Runs `tidegate approve` as one of the people.
    pub(crate) fn approve(cluster: &Cluster, user: &str, args: &[&str]) -> Answer {
        let output = Command::new(PROGRAM)
            .arg("approve")
            .args(args)
            .env("KUBECONFIG", cluster.kubeconfig_of(user))
            .env("NO_PROXY", "*")
            .output()
            .expect("tidegate can be run");
        Answer {
            command: format!("tidegate approve {}", args.join(" ")),
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("it writes UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("it writes UTF-8"),
        }
    }

    /// Stops it as Kubernetes does, and asserts that it ends well.
    pub(crate) fn stop(&mut self) {
        let status = self.process.terminate(LIMIT);
        assert!(status.success(), "{status}\n{}", self.process.tail());
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The end of what it logged.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }
}

/// The addresses of the webhook and of health, from the log line that names them.
pub(crate) fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == "listening")?;
    let address = |field: &str| line[field].as_str()?.parse().ok();
    Some((address("webhook")?, address("health")?))
}

/// An error unless the plain port answers 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(), String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(answer) }
}
