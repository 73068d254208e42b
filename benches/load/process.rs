//! The servers, and what the kernel says about them.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::client::Endpoint;

/// How long a server may take to its first answer. Under valgrind it takes seconds.
const LIMIT: Duration = Duration::from_mins(2);
/// How often it is looked at: what this adds to a start is counted as the start's.
const INTERVAL: Duration = Duration::from_micros(200);
/// Ticks of a second in `/proc`, which Linux has fixed for programs.
const TICKS: f64 = 100.0;

/// How the real server is started, besides its default settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Launch<'l> {
    /// Policies instead of the built-in one.
    pub(crate) policies: Option<&'l Path>,
    /// A library with another allocator, loaded before all others.
    pub(crate) preload: Option<&'l Path>,
    /// Count instructions with callgrind, into files of this name with numbers after it.
    pub(crate) count_into: Option<&'l Path>,
}

impl Launch<'_> {
    fn command(&self, program: &Path) -> Command {
        let mut command = match self.count_into {
            None => Command::new(program),
            Some(file) => {
                let mut command = Command::new("valgrind");
                command.arg("--tool=callgrind");
                command.arg(format!("--callgrind-out-file={}", file.display())).arg(program);
                command
            }
        };
        command.args(["serve", "--kube", "off", "--log", "json", "--drain", "0s"]);
        command.args(self.policies.map(|path| format!("--policy={}", path.display())));
        command.envs(self.preload.map(|path| ("LD_PRELOAD", path)));
        command
    }
}

/// A server in a process of its own.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it answers.
    pub(crate) endpoint: Endpoint,
    /// Where it tells how it is; the bare server does not.
    health: Option<SocketAddr>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// This program as the bare server.
    pub(crate) fn bare(folder: &Path) -> anyhow::Result<Self> {
        let (address, ca) = (free_address()?, folder.join("bare.pem"));
        let mut command = Command::new(env::current_exe()?);
        command.arg("--bare").arg(address.to_string()).arg("--ca-out").arg(&ca);
        let mut child = spawn(&mut command)?;
        wait(&mut child, || TcpStream::connect(address).is_ok())?;
        Ok(Self { child, endpoint: Endpoint::local(address, &ca)?, health: None })
    }

    /// The real server with the built-in policy and its default settings; and how long it took until
    /// it was ready. Its log lines are written, to where nobody reads them.
    pub(crate) fn tidegate(program: &Path, folder: &Path) -> anyhow::Result<(Self, Duration)> {
        Self::launch(program, folder, &Launch::default())
    }

    /// The same with other settings.
    pub(crate) fn launch(
        program: &Path,
        folder: &Path,
        launch: &Launch<'_>,
    ) -> anyhow::Result<(Self, Duration)> {
        let (address, health, ca) = (free_address()?, free_address()?, folder.join("tidegate.pem"));
        let mut command = launch.command(program);
        command
            .args(["--listen", &address.to_string(), "--metrics-listen", &health.to_string()])
            .arg("--ca-out")
            .arg(&ca);
        let start = Instant::now();
        let mut child = spawn(&mut command)?;
        wait(&mut child, || ready(health).unwrap_or(false))?;
        let took = start.elapsed();
        let endpoint = Endpoint::local(address, &ca)?;
        Ok((Self { child, endpoint, health: Some(health) }, took))
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> anyhow::Result<String> {
        get(self.health.context("the server has no metrics")?, "/metrics")
    }

    /// Seconds of processor time that it used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(self.file("stat")).context("there is no /proc")?;
        let (_, after) = stat.rsplit_once(") ").context("/proc/PID/stat has another form")?;
        let fields: Vec<&str> = after.split(' ').collect();
        let ticks = |index: usize| -> anyhow::Result<f64> {
            Ok(fields.get(index).context("/proc/PID/stat is short")?.parse()?)
        };
        // utime and stime are fields 14 and 15; these start at the third.
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// Resident memory now and at most, in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = fs::read_to_string(self.file("status")).context("there is no /proc")?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next());
            Ok(value.context("/proc/PID/status has another form")?.parse()?)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))
}

fn wait(child: &mut Child, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !ready() {
        if let Some(status) = child.try_wait()? {
            bail!("the server ended: {status}");
        }
        if Instant::now() > deadline {
            drop(child.kill());
            bail!("the server was not ready within {LIMIT:?}");
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}

fn ready(health: SocketAddr) -> anyhow::Result<bool> {
    Ok(get(health, "/readyz")?.starts_with("HTTP/1.1 200 "))
}

/// The whole answer to a request without TLS.
fn get(health: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(health)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Runs a program to its end, and gives what it printed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
