//! What the server runs with: resolved, validated, nothing left that means "default".
//!
//! What was typed is [`cli::serve::Args`](crate::cli::serve::Args); this is what it means. Only this
//! module reads the environment.

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

/// How long the API server keeps an idle connection. It does not replay a request that it wrote
/// into a connection that we closed, so we never close one earlier.
pub const API_SERVER_IDLE: Duration = Duration::from_secs(90);

/// The share of the body budget that large bodies may use, in quarters.
const LARGE_BODY_QUARTERS: usize = 3;

/// What `tidegate serve` runs with.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Policy files and folders; empty for the built-in policy.
    pub policies: Vec<PathBuf>,
    /// Address of the webhook, TLS.
    pub listen: SocketAddr,
    /// Address of health and metrics, plain.
    pub metrics_listen: SocketAddr,
    /// Where the serving certificate comes from.
    pub tls: TlsSource,
    /// Where to write the certificate authority that was made in memory.
    pub ca_out: Option<PathBuf>,
    /// Authorities whose client certificates are let in; `None` lets anybody in.
    pub client_ca: Option<PathBuf>,
    /// Whether to ask a cluster for facts.
    pub kube: KubeMode,
    /// Whether to watch workloads that migrate while they roll out.
    pub rollouts: Switch,
    /// Whether to write reports.
    pub reports: ReportMode,
    /// The namespace of Argo CD; empty where refusals are not told at its Applications.
    pub argocd_namespace: String,
    /// From one background scan to the next.
    pub scan_interval: Duration,
    /// Where to write a line for each decision; `-` for standard output.
    pub decision_log: Option<PathBuf>,
    /// Threads that serve; at least 2, so that one long review cannot stop health and handshakes.
    pub workers: usize,
    /// How long we keep serving after SIGTERM, so that the rest of the cluster notices.
    pub drain: Duration,
    /// Limits of the webhook's port.
    pub limits: Limits,
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug)]
pub enum TlsSource {
    /// `tls.crt`, `tls.key` and optionally `ca.crt`, as a mounted Secret has them.
    Directory(PathBuf),
    /// Kept in a Secret of our own namespace for all replicas.
    Secret(crate::cluster::Place, crate::pki::Lifetimes),
    /// Made in memory at start, for these DNS names and IP addresses.
    SelfSigned(Vec<String>),
}

/// Whether to ask a cluster for facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KubeMode {
    /// Connect in a Pod, and elsewhere when a policy needs it and a configuration is there.
    Auto,
    /// Always connect; a missing configuration is an error.
    On,
    /// Never connect: what a cluster would know is unknown.
    Off,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Whether to write reports of what is wrong in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportMode {
    /// Write them in a Pod, where the cluster has a kind for them.
    Auto,
    /// Write them wherever the cluster has a kind for them.
    On,
    /// Write none.
    Off,
}

impl ReportMode {
    /// True when they are to be written.
    pub fn is_wanted(self) -> bool {
        match self {
            Self::Auto => in_a_pod(),
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Human,
}

/// Limits of one port. Everything that a client can hold on to has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest time from the first byte of a request head to its end, and from the handshake to
    /// the end of the first head.
    pub head: Duration,
    /// How long a connection may wait between two requests.
    pub idle: Duration,
    /// Longest time for a body to arrive; the review's own deadline may be shorter.
    pub body: Duration,
    /// Longest time for a client to take what we write.
    pub write: Duration,
    /// Age from which a connection is asked to close, plus or minus a fifth, so that connections
    /// move to new replicas.
    pub connection_age: Duration,
    /// How long requests in flight may take once we stop accepting.
    pub grace: Duration,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Bytes that all bodies may hold together.
    pub body_budget: usize,
    /// Most connections at a time; more are closed at once.
    pub max_connections: usize,
    /// Most requests at a time; more are told to come back.
    pub max_in_flight: usize,
    /// Most reviews of large bodies that are evaluated at a time.
    pub max_evaluations: usize,
    /// Bodies up to this many bytes are evaluated where they arrive, larger ones on threads of
    /// their own.
    pub inline_body: usize,
    /// How long to wait for a namespace that was created a moment ago.
    pub new_namespace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            body: Duration::from_secs(10),
            write: Duration::from_secs(10),
            connection_age: Duration::from_mins(10),
            grace: Duration::from_secs(30),
            max_body: 32 << 20,
            body_budget: 128 << 20,
            max_connections: 2_048,
            max_in_flight: 1_024,
            max_evaluations: cpus().saturating_mul(2),
            inline_body: 64 << 10,
            new_namespace: Duration::from_millis(500),
        }
    }
}

impl Limits {
    /// Bytes that bodies above [`Limits::inline_body`] may hold together. The rest is kept for
    /// small ones, so that a few large bodies that arrive slowly do not keep the others out.
    pub fn large_budget(&self) -> usize {
        (self.body_budget / 4).saturating_mul(LARGE_BODY_QUARTERS)
    }

    /// Bytes that bodies up to [`Limits::inline_body`] may hold together.
    pub fn small_budget(&self) -> usize {
        self.body_budget.saturating_sub(self.large_budget())
    }

    /// Checks limits against each other.
    ///
    /// # Errors
    ///
    /// - [`SettingsError::Idle`] when we would close a connection before the API server does.
    /// - [`SettingsError::Budget`] when the largest body could never be read.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.idle <= API_SERVER_IDLE {
            return Err(SettingsError::Idle { given: Text(self.idle) });
        }
        if self.large_budget() < self.max_body || u32::try_from(self.body_budget).is_err() {
            return Err(SettingsError::Budget {
                budget: ByteSize(self.body_budget),
                max_body: ByteSize(self.max_body),
            });
        }
        Ok(())
    }
}

/// Settings that contradict each other or cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The idle time is too short.
    #[error(
        "--idle-timeout {given} is too short: the API server keeps idle connections for 90s and \
         does not repeat a request that it sent into a closed one; use 120s or more"
    )]
    Idle {
        /// What was given.
        given: Text,
    },
    /// There is no namespace for the Secret.
    #[error("--tls-secret needs a namespace: set POD_NAMESPACE, in a Pod by the downward API")]
    NoNamespace,
    /// The budget does not hold the largest body.
    #[error(
        "--body-budget {budget} is too small or above 4Gi: three quarters of it must hold one body \
         of --max-body {max_body}"
    )]
    Budget {
        /// What was given.
        budget: ByteSize,
        /// The largest body.
        max_body: ByteSize,
    },
    /// A number that must be at least one.
    #[error("{flag} must be at least {least}")]
    TooSmall {
        /// The flag.
        flag: &'static str,
        /// The smallest value.
        least: usize,
    },
    /// A certificate would end before it has spread.
    #[error(
        "--tls-lifetime must be at least {}s, and --tls-ca-lifetime no shorter than that",
        crate::pki::Lifetimes::SHORTEST.as_secs()
    )]
    Lifetime,
    /// A name without characters.
    #[error("--tls-self-signed has an empty name: write it as NAME,NAME")]
    EmptyName,
}

/// Processors that this process may use. Follows the limits of its control group.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// True in a Pod.
pub fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|value| !value.is_empty())
}

/// True when a cluster's configuration can be expected: we run in a Pod, or there is a kubeconfig.
pub fn kube_is_configured() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("KUBERNETES_SERVICE_HOST")
        || set("KUBECONFIG")
        || std::env::home_dir().is_some_and(|home| home.join(".kube").join("config").is_file())
}

/// The namespace that this process runs in, as the downward API or the chart says.
pub fn own_namespace() -> Option<String> {
    std::env::var("POD_NAMESPACE").ok().filter(|name| !name.is_empty())
}

/// The name of this Pod, as the downward API says, or of this machine.
pub fn own_name() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("POD_NAME").or_else(|| set("HOSTNAME"))
}

/// A duration with its text: `90s`, `1m30s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(pub Duration);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for Text {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        go_duration(text).map(Self).ok_or("write a duration as `90s`, `1m30s` or `500ms`")
    }
}

/// Reads a duration as Go writes it: numbers with units, such as `1h30m`, `5s`, `1.5s`, `500ms`.
/// A bare `0` is zero; any other bare number, a sign or an overflow is `None`.
pub fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let end =
            tail.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let seconds: f64 = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// A number of bytes, written `33554432`, `512Ki`, `32Mi` or `1Gi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.trailing_zeros() >= 20 => {
                write!(f, "{}Mi", bytes >> 20)
            }
            bytes => write!(f, "{bytes}"),
        }
    }
}

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write a size in bytes as `33554432`, `512Ki`, `32Mi` or `1Gi`";
        let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).ok_or(HOW)?;
        let unit: usize = match unit {
            "" => 1,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            _ => return Err(HOW),
        };
        let number: usize = number.parse().ok().ok_or(HOW)?;
        number.checked_mul(unit).map(Self).ok_or(HOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        for (text, millis) in [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("0", 0),
            ("0s", 0),
            ("1h0m1s", 3_601_000),
        ] {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-5s", "5 s", "5x", "1e400s", "99999999999999999999h", "1..5s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!("32Mi".parse(), Ok(ByteSize(32 << 20)));
        assert_eq!("17".parse(), Ok(ByteSize(17)));
        assert_eq!(ByteSize(32 << 20).to_string(), "32Mi");
        for text in ["", "Mi", "32MB", "-1", "99999999999999999999Gi"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_that_would_break_requests_are_refused() {
        assert!(Limits::default().check().is_ok());
        let idle = Limits { idle: Duration::from_secs(90), ..Limits::default() };
        assert!(matches!(idle.check(), Err(SettingsError::Idle { .. })));
        let budget = Limits { body_budget: 40 << 20, ..Limits::default() };
        assert!(matches!(budget.check(), Err(SettingsError::Budget { .. })));
    }
}
