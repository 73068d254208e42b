//! etcd, an API server, perhaps the controllers, and kubectl.

use std::{
    fmt, fs,
    io::{self, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::cluster::Connection;

use super::{
    pki,
    process::{Process, poll},
};

/// How long the API server may take to its first answer.
const START: Duration = Duration::from_secs(90);
/// What the API server writes down of who wrote what, and where.
const AUDIT_POLICY: &str = "audit-policy.json";
const AUDIT_LOG: &str = "audit.log";

/// A cluster without nodes. Its programs end when it is dropped, the API server first.
#[derive(Debug)]
pub(crate) struct Cluster {
    controllers: Option<Process>,
    apiserver: Mutex<Process>,
    /// Ports of etcd and of the API server.
    ports: (u16, u16),
    etcd: Process,
    assets: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// Starts everything that `assets` has, and waits until it is ready.
    pub(crate) fn start(assets: &Path) -> Result<Self, String> {
        for program in ["etcd", "kube-apiserver", "kubectl"] {
            if !assets.join(program).is_file() {
                return Err(format!("there is no {program} in {}", assets.display()));
            }
        }
        let text = |error: io::Error| format!("cannot prepare: {error}");
        let folder = TempDir::with_prefix("tidegate-e2e-").map_err(text)?;
        pki::write(folder.path())?;
        let (etcd, client) = start_etcd(assets, folder.path())?;
        let port = free_port()?;
        let apiserver = start_apiserver(assets, folder.path(), (client, port))?;
        for user in pki::PEOPLE.into_iter().chain(["admin"]) {
            let config = kubeconfig(folder.path(), port, user);
            fs::write(folder.path().join(format!("kubeconfig-{user}")), config).map_err(text)?;
        }
        let assets = assets.to_owned();
        let mut cluster = Self {
            controllers: None,
            apiserver: Mutex::new(apiserver),
            ports: (client, port),
            etcd,
            assets,
            folder,
        };
        cluster.wait()?;
        cluster.controllers = cluster.start_controllers()?;
        Ok(cluster)
    }

    fn wait(&mut self) -> Result<(), String> {
        let ready = poll("/readyz of the API server", START, || {
            if let Err(ended) =
                self.etcd.still_runs().and_then(|()| self.apiserver.lock().unwrap().still_runs())
            {
                return Ok(Err(ended));
            }
            let answer = self.kubectl(&["get", "--raw=/readyz"]);
            if answer.success { Ok(Ok(())) } else { Err(answer.stderr) }
        });
        ready.map_err(|error| format!("{error}\n{}", self.apiserver.lock().unwrap().tail()))?
    }

    fn start_controllers(&self) -> Result<Option<Process>, String> {
        let program = self.assets.join("kube-controller-manager");
        if !program.is_file() {
            return Ok(None);
        }
        let kubeconfig = self.kubeconfig().display().to_string();
        let mut command = Command::new(program);
        command
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .arg(format!("--service-account-private-key-file={}", self.file("sa.key").display()))
            .arg(format!("--root-ca-file={}", self.file("ca.crt").display()))
            .args(["--bind-address=127.0.0.1", "--secure-port=0", "--leader-elect=false"])
            // Its own limits are for clusters in which nobody deploys ten times a second.
            .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
            // There are no nodes to look after, and no Pods to be taken from them.
            .arg("--controllers=*,-node-lifecycle-controller,-pod-garbage-collector-controller")
            .arg("--use-service-account-credentials=true");
        Process::start("kube-controller-manager", self.folder(), &mut command).map(Some)
    }

    /// Installs definitions of custom resources, and waits until they are served.
    pub(crate) fn define(&self, file: &Path) -> Result<(), String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let path = path.display().to_string();
        for args in [
            &["apply", "--server-side", "-f", &path][..],
            &["wait", "--for=condition=Established", "--timeout=60s", "-f", &path],
        ] {
            let answer = self.kubectl(args);
            if !answer.success {
                return Err(answer.to_string());
            }
        }
        Ok(())
    }

    /// Stops the API server and starts it again on the same port, with everything in etcd.
    pub(crate) fn restart_apiserver(&self) {
        let mut apiserver = self.apiserver.lock().unwrap();
        apiserver.terminate(START);
        *apiserver = start_apiserver(&self.assets, self.folder(), self.ports).unwrap();
        drop(apiserver);
        let ready = poll("/readyz of the API server", START, || {
            let answer = self.kubectl(&["get", "--raw=/readyz"]);
            if answer.success { Ok(()) } else { Err(answer.stderr) }
        });
        ready.unwrap();
    }

    /// The folder of programs.
    pub(crate) fn assets(&self) -> &Path {
        &self.assets
    }

    /// A client of an administrator's, for a runtime.
    pub(crate) async fn client(&self) -> kube::Client {
        let path = self.kubeconfig();
        let connection = Connection::named(Some(&path), None).await.expect("its configuration");
        connection.client().expect("a client")
    }

    /// True when controllers act on what is created.
    pub(crate) fn has_controllers(&self) -> bool {
        self.controllers.is_some()
    }

    /// Where the run keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Every request so far that was to write something, as the API server's audit log has it: who,
    /// what, and what came of it.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.file(AUDIT_LOG)).unwrap_or_default();
        // The last line may be half there.
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// What clients connect with, as an administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("admin")
    }

    /// What one of the people connects with.
    pub(crate) fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.file(&format!("kubeconfig-{user}"))
    }

    /// Runs kubectl.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Answer {
        self.kubectl_with(args, "")
    }

    /// Runs kubectl with `input` on standard input.
    pub(crate) fn kubectl_with(&self, args: &[&str], input: &str) -> Answer {
        let mut child = Command::new(self.assets.join("kubectl"))
            .arg("--request-timeout=60s")
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.folder())
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be run");
        // It reads all of its input before it writes anything of length.
        child.stdin.take().unwrap().write_all(input.as_bytes()).expect("kubectl reads its input");
        let output = child.wait_with_output().expect("kubectl ends");
        Answer {
            command: args.join(" "),
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("kubectl writes UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("kubectl writes UTF-8"),
        }
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let mut logs = vec![self.etcd.tail(), self.apiserver.lock().unwrap().tail()];
        logs.extend(self.controllers.iter().map(Process::tail));
        logs.join("\n")
    }
}

/// What kubectl answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What it was asked.
    pub(crate) command: String,
    /// Whether it ended with zero.
    pub(crate) success: bool,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it warned and complained.
    pub(crate) stderr: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, success, stdout, stderr } = self;
        write!(f, "kubectl {command}\nsuccess: {success}\n{stdout}\n{stderr}")
    }
}

impl Answer {
    /// Asserts that it did what it was asked.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert!(self.success, "{self}");
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let answer = self.done();
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Asserts that tidegate refused, for exactly these rules in this order, and gives its text.
    #[track_caller]
    pub(crate) fn refused(self, rules: &[&str]) -> String {
        let text = self.refusal();
        assert_eq!(rule_ids(&text), rules, "{self}");
        text
    }

    /// Asserts that tidegate refused, for this rule among others.
    #[track_caller]
    pub(crate) fn refused_for(self, rule: &str) {
        assert!(rule_ids(&self.refusal()).contains(&rule), "{self}");
    }

    /// Asserts that tidegate refused, and gives its text: a line for each finding.
    #[track_caller]
    fn refusal(&self) -> String {
        assert!(!self.success, "not refused: {self}");
        let mark = " denied the request: ";
        let (before, text) = self.stderr.split_once(mark).unwrap_or_else(|| panic!("{self}"));
        assert!(before.contains("(Forbidden)"), "the reason is not Forbidden: {self}");
        assert!(before.ends_with(".tidegate.dev\""), "refused by somebody else: {self}");
        text.trim_end().to_owned()
    }

    /// Asserts success with a warning of exactly these rules.
    #[track_caller]
    pub(crate) fn warned(self, rules: &[&str]) -> Self {
        let answer = self.done();
        let warnings = answer.stderr.lines().filter_map(|line| line.strip_prefix("Warning: "));
        assert_eq!(warnings.map(rule_id).collect::<Vec<_>>(), rules, "{answer}");
        answer
    }
}

/// The id that a line of ours starts with.
fn rule_id(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(rule, _)| rule)
}

fn rule_ids(text: &str) -> Vec<&str> {
    text.lines().map(rule_id).collect()
}

/// A port that nobody uses at this moment.
fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

fn start_etcd(assets: &Path, folder: &Path) -> Result<(Process, u16), String> {
    let (client, peer) = (free_port()?, free_port()?);
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = Command::new(assets.join("etcd"));
    command
        .args(["--name=default", "--unsafe-no-fsync"])
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={}", url(client)))
        .arg(format!("--advertise-client-urls={}", url(client)))
        .arg(format!("--listen-peer-urls={}", url(peer)))
        .arg(format!("--initial-advertise-peer-urls={}", url(peer)))
        .arg(format!("--initial-cluster=default={}", url(peer)));
    Ok((Process::start("etcd", folder, &mut command)?, client))
}

fn start_apiserver(
    assets: &Path,
    folder: &Path,
    (etcd, port): (u16, u16),
) -> Result<Process, String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]},
            {"level": "None"},
        ],
    });
    let written = fs::write(folder.join(AUDIT_POLICY), policy.to_string());
    written.map_err(|error| format!("cannot prepare: {error}"))?;
    let mut command = Command::new(assets.join("kube-apiserver"));
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={port}"))
        .arg("--endpoint-reconciler-type=none")
        .arg(file("cert-dir", "apiserver"))
        .arg(file("tls-cert-file", "apiserver.crt"))
        .arg(file("tls-private-key-file", "apiserver.key"))
        .arg(file("client-ca-file", "ca.crt"))
        .arg("--authorization-mode=RBAC")
        .arg(format!("--service-account-issuer=https://127.0.0.1:{port}/"))
        .arg(file("service-account-key-file", "sa.pub"))
        .arg(file("service-account-signing-key-file", "sa.key"))
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true"])
        .arg(file("audit-policy-file", AUDIT_POLICY))
        .arg(file("audit-log-path", AUDIT_LOG))
        // There is no kube-proxy: it looks up the endpoints of a Service itself.
        .arg("--enable-aggregator-routing=true")
        // Without controllers nobody makes the account that it would ask for.
        .arg("--disable-admission-plugins=ServiceAccount");
    Process::start("kube-apiserver", folder, &mut command)
}

/// JSON is YAML, and needs no care with quotes.
fn kubeconfig(folder: &Path, port: u16, user: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": folder.join("ca.crt"),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": folder.join(format!("{user}.crt")),
            "client-key": folder.join(format!("{user}.key")),
        }}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}],
        "current-context": "e2e",
    })
    .to_string()
}
