//! Instructions and allocations of a review, counted by callgrind in the program that is shipped.
//!
//! They do not depend on what else the machine does, nor on how fast it is: on the compiler, the
//! dependencies, the architecture, and to a small part on what the processor can do.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{
    client::Client,
    corpus::Review,
    process::{Launch, Server, run},
};

/// Functions that allocate. Rust's own end in the system's, unless another allocator is linked in.
const ALLOCATORS: [&str; 11] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "posix_memalign",
    "mi_malloc",
    "mi_zalloc",
    "mi_realloc",
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
];

/// How often a connection is tried.
const TRIES: u32 = 5;

/// What one review costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counts {
    /// Instructions of the whole server, from the socket to the socket.
    pub(crate) instructions: u64,
    /// Calls that ask for memory.
    pub(crate) allocations: u64,
}

/// Why nothing can be counted here.
pub(crate) fn missing() -> Option<&'static str> {
    let runs = |program| {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    };
    (!runs("valgrind") || !runs("vgdb")).then_some("valgrind is not installed")
}

/// A server under callgrind, and the connection to it.
#[derive(Debug)]
pub(crate) struct Counter {
    client: Client,
    server: Server,
    file: PathBuf,
    dumps: u32,
    asked: u64,
    // Dropped last: the server writes into it.
    _folder: TempDir,
}

impl Counter {
    /// Starts `program` with these policies, or the built-in one.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn start(program: &Path, policies: Option<&Path>) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tidegate-counts-")?;
        let file = folder.path().join("counts");
        let launch = Launch { policies, count_into: Some(&file), ..Launch::default() };
        let (server, _) = Server::launch(program, folder.path(), &launch)?;
        let client = Client::connect(&server.endpoint)?;
        Ok(Self { client, server, file, dumps: 0, asked: 0, _folder: folder })
    }

    /// What one review costs in a server that knows its kind already, as a mean of `times`.
    ///
    /// # Errors
    ///
    /// When the server fails, or callgrind does not answer.
    pub(crate) fn count(&mut self, review: &Review, times: u64) -> anyhow::Result<Counts> {
        // What is verified here need not be fast: callgrind makes the server fifty times slower.
        let path = if review.name.starts_with("mutate-") { "/mutate" } else { "/validate" };
        let review = review.addressed("127.0.0.1", &format!("{path}?timeout=30s"));
        self.warm_up(&review)?;
        self.tell("zero")?;
        for _ in 0..times {
            self.ask(&review)?;
        }
        self.tell("dump")?;
        self.dumps += 1;
        let mut name = self.file.clone().into_os_string();
        name.push(format!(".{}", self.dumps));
        let total = read(&fs::read_to_string(&name).context("callgrind wrote nothing")?)?;
        Ok(Counts {
            instructions: total.instructions / times,
            allocations: (total.allocations + times / 2) / times,
        })
    }

    /// Opens a connection, because the server lets go of one after some minutes, and asks on it. On a busy
    /// machine a handshake under callgrind may take longer than the server waits: then once more.
    fn warm_up(&mut self, review: &Review) -> anyhow::Result<()> {
        let mut tries = TRIES;
        loop {
            self.client = Client::connect(&self.server.endpoint)?;
            tries -= 1;
            match self.ask(review).and_then(|_| self.ask(review)) {
                Ok(_) => return Ok(()),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn ask(&mut self, review: &Review) -> anyhow::Result<bool> {
        self.asked += 1;
        self.client.ask(review, self.asked)
    }

    fn tell(&self, what: &str) -> anyhow::Result<String> {
        let mut command = Command::new("vgdb");
        run(command.arg(format!("--pid={}", self.server.id())).arg(what))
    }
}

/// What `program` takes from its start to its end.
///
/// # Errors
///
/// When it fails.
pub(crate) fn of_program(program: &Path, args: &[&str]) -> anyhow::Result<Counts> {
    let folder = TempDir::with_prefix("tidegate-counts-")?;
    let file = folder.path().join("counts");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
    run(command.arg(program).args(args))?;
    read(&fs::read_to_string(&file)?)
}

/// Reads a file of callgrind's: a call is a line `cfn=(ID) NAME` and one `calls=COUNT …`; a name is
/// written once and then only its number.
fn read(text: &str) -> anyhow::Result<Counts> {
    let mut allocators: HashMap<&str, bool> = HashMap::new();
    let mut allocates = false;
    let mut counts = Counts { instructions: 0, allocations: 0 };
    for line in text.lines() {
        let (is_call, function) = match (line.strip_prefix("cfn="), line.strip_prefix("fn=")) {
            (Some(function), _) => (true, Some(function)),
            (None, function) => (false, function),
        };
        if let Some(function) = function {
            let (id, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                allocators.insert(id, ALLOCATORS.contains(&name));
            }
            if is_call {
                allocates = allocators.get(id).copied().unwrap_or(false);
            }
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let count = calls.split(' ').next().unwrap_or_default();
            counts.allocations += if allocates { count.parse::<u64>()? } else { 0 };
        } else if let Some(total) = line.strip_prefix("totals: ") {
            counts.instructions = total.trim().parse()?;
        }
    }
    ensure!(counts.instructions > 0, "callgrind counted nothing");
    Ok(counts)
}
