//! Programs in the background, and waiting for what they do.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer.
///
/// # Errors
///
/// With what was seen last, when `limit` passes first.
pub(crate) fn poll<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(last) if Instant::now() >= deadline => {
                return Err(format!("{what}: not within {limit:?}; last: {last}"));
            }
            Err(_) => thread::sleep(INTERVAL),
        }
    }
}

/// Every child that runs, for the signal handler.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running(change: impl FnOnce(&mut Vec<u32>)) {
    change(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Ends every child when somebody interrupts the run: nothing is dropped then.
pub(crate) fn end_children_on_signals() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || {
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).unwrap();
            let mut terminate = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        running(|children| children.iter().for_each(|child| send("KILL", *child)));
        std::process::exit(130);
    });
}

fn send(signal: &str, process: u32) {
    let kill = Command::new("kill").args(["-s", signal, &process.to_string()]).status();
    assert!(kill.is_ok(), "there is no `kill`: {kill:?}");
}

/// A program in the background. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in a file of `folder`.
    pub(crate) fn start(
        name: impl Into<String>,
        folder: &Path,
        command: &mut Command,
    ) -> Result<Self, String> {
        let name = name.into();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let output = || file.try_clone().map(Stdio::from).map_err(|error| error.to_string());
        let child =
            command.stdin(Stdio::null()).stdout(output()?).stderr(output()?).spawn().map_err(
                |error| format!("cannot run {}: {error}", command.get_program().display()),
            )?;
        running(|children| children.push(child.id()));
        Ok(Self { name, child, log })
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it wrote, under its name.
    pub(crate) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<String> = log.lines().map(|line| line.chars().take(300).collect()).collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        format!("--- end of the log of {}\n{last}", self.name)
    }

    /// An error when it ended, with the end of its log.
    pub(crate) fn still_runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(format!("{} ended: {ended:?}\n{}", self.name, self.tail())),
        }
    }

    /// Asks it to end with SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        send("TERM", self.child.id());
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks it to end with SIGTERM and waits for that.
    pub(crate) fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.ask_to_end();
        let ended = poll("end after SIGTERM", limit, || {
            self.ended().ok_or_else(|| "it still runs".to_owned())
        });
        ended.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.tail()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The data is thrown away, and an API server without its etcd does not end on SIGTERM.
        drop(self.child.kill());
        drop(self.child.wait());
        running(|children| children.retain(|child| *child != self.child.id()));
    }
}
