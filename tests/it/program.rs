//! The server as a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio_rustls::client::TlsStream;

use crate::support::{Connection, Folder, PATIENCE, client_config, connect};

/// What is kept of a log. A server that is asked a million times writes more than anybody reads.
const KEPT: usize = 64 << 20;

/// A `tidegate serve`, ended when dropped.
pub struct Program {
    pub child: Child,
    pub webhook: SocketAddr,
    pub health: SocketAddr,
    pub ca: String,
    pub log: Arc<Mutex<String>>,
    _folder: Folder,
}

/// Names another build of the program that takes the place of the one that was just built, such as a
/// release build for a long run.
pub const OTHER: &str = "TIDEGATE_PROGRAM";

/// The program that was just built.
pub fn tidegate() -> Command {
    let other = std::env::var_os(OTHER);
    Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_tidegate").into()))
}

impl Program {
    /// With a certificate in memory and without a cluster.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = tidegate();
        command.args(["serve", "--kube", "off"]).args(arguments);
        Self::run(name, command)
    }

    /// `tidegate serve` as a caller put it together, on free ports.
    pub fn run(name: &str, mut command: Command) -> Self {
        let folder = Folder::new(name);
        let ca = folder.0.join("ca.pem");
        let has = |command: &Command, option: &str| command.get_args().any(|it| it == option);
        if !has(&command, "--listen") {
            command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
        }
        if !has(&command, "--tls-dir") {
            command.arg("--ca-out").arg(&ca);
        }
        let mut child = command.args(["--log", "json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let (webhook, health) = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended: {}", log.lock().unwrap());
            log.lock().unwrap().push_str(&line);
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "listening" {
                let address = |name: &str| event[name].as_str().unwrap().parse().unwrap();
                break (address("webhook"), address("health"));
            }
        };
        let rest = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = rest.lock().unwrap();
                if log.len() > KEPT {
                    log.clear();
                }
                log.push_str(&line);
                log.push('\n');
            }
        });
        let ca = fs::read_to_string(ca).unwrap_or_default();
        Self { child, webhook, health, ca, log, _folder: folder }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// An answer of the port for health and metrics; `None` when nobody listens.
    pub fn get(&self, path: &str) -> Option<String> {
        get(self.health, path)
    }

    /// How it ended.
    pub async fn exit(&mut self) -> i32 {
        self.exit_within(PATIENCE).await
    }

    /// How it ended, within a time.
    pub async fn exit_within(&mut self, limit: Duration) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(start.elapsed() < limit, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn connect(&self) -> Connection<TlsStream<tokio::net::TcpStream>> {
        connect(self.webhook, client_config(&self.ca)).await.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer of a plain port; `None` when nobody listens.
pub fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
