//! T26: a node that goes silently. Each replica has a network namespace of its own, which the case makes
//! and removes; where that is not allowed it is skipped.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    certificates::{issue, swap},
    load::{Sample, drive},
    report::Run,
    transport::{MOST_IDLE, Questions, Transport},
};
use crate::{
    program::{Program, tidegate},
    support::Folder,
};

const REPLICAS: u8 = 3;
/// `timeoutSeconds` of the case.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The kubelet's own numbers where a chart names none, as ours does not.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const FAILURES_OF_UNREADY: usize = 3;

/// Runs `ip`.
fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("`ip` cannot be run: {error}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    let why = why.trim().replace('\n', "; ");
    if output.status.success() { Ok(()) } else { Err(format!("`ip {arguments}`: {why}")) }
}

/// A network namespace, and the wire to it. Gone when dropped.
struct Network {
    name: String,
    wire: String,
    /// Our end of the wire.
    here: Ipv4Addr,
    /// The end of the replica.
    there: Ipv4Addr,
}

impl Network {
    fn new(number: u8) -> Result<Self, String> {
        let process = std::process::id();
        // Of the addresses for measuring networks (RFC 2544), which nobody else uses.
        let end = |last| Ipv4Addr::new(198, 18, process.to_le_bytes()[0], 4 * number + last);
        let network = Self {
            name: format!("tidegate-{process}-{number}"),
            wire: format!("tg{}-{number}", process % 10_000_000),
            here: end(1),
            there: end(2),
        };
        let Self { name, wire, here, there } = &network;
        ip(&format!("netns add {name}"))?;
        let address = format!("02:00:00:00:00:{number:02x}");
        ip(&format!("link add {wire} type veth peer name eth0 address {address} netns {name}"))?;
        ip(&format!("address add {here}/30 dev {wire}"))?;
        ip(&format!("link set {wire} up"))?;
        ip(&format!("-n {name} address add {there}/30 dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        // A router on the way does not notice that a node behind it is gone. Without this we would: it
        // no longer says which link address it has.
        ip(&format!("neighbour replace {there} lladdr {address} dev {wire} nud permanent"))?;
        Ok(network)
    }

    /// From now on nothing comes out of it, and what comes in is dropped without a word: there is no
    /// way back to us.
    fn lose(&self) {
        ip(&format!("-n {} route add blackhole {}/32", self.name, self.here)).unwrap();
    }

    fn mend(&self) {
        ip(&format!("-n {} route delete blackhole {}/32", self.name, self.here)).unwrap();
    }

    fn replica(&self, number: u8, folder: &Folder) -> Program {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(tidegate().get_program());
        command.args(["serve", "--kube", "off", "--tls-dir"]).arg(&folder.0);
        let address = format!("{}:0", self.there);
        command.args(["--listen", &address, "--metrics-listen", &address]);
        Program::run(&format!("t26-{number}"), command)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made cannot be removed.
        drop(ip(&format!("link delete {}", self.wire)));
        drop(ip(&format!("netns delete {}", self.name)));
    }
}

/// A replica in its network. It ends before the network does.
struct Node {
    program: Program,
    network: Network,
}

/// What a Service sends new connections to, in turn.
#[derive(Default)]
struct Endpoints {
    ready: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
    /// Connections that went to the replica that is lost, while it was.
    astray: AtomicUsize,
    lost: Mutex<Option<SocketAddr>>,
}

impl Endpoints {
    fn choose(&self) -> SocketAddr {
        let ready = self.ready.lock().unwrap();
        let chosen = ready[self.turn.fetch_add(1, Ordering::Relaxed) % ready.len()];
        if *self.lost.lock().unwrap() == Some(chosen) {
            self.astray.fetch_add(1, Ordering::Relaxed);
        }
        chosen
    }

    fn set(&self, address: SocketAddr, is_ready: bool) {
        let mut ready = self.ready.lock().unwrap();
        ready.retain(|known| *known != address);
        if is_ready {
            ready.push(address);
        }
    }
}

/// One probe of `/readyz`, as a kubelet makes it.
async fn is_ready(health: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(health).await.ok()?;
        let request = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text.starts_with("HTTP/1.1 200"))
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.ok().flatten().unwrap_or_default()
}

/// Keeps one replica among the endpoints while it is ready, until told to stop.
async fn keep_ready(node: &Node, endpoints: &Endpoints, period: Duration, stop: &AtomicBool) {
    let (mut failures, mut ticks) = (0, tokio::time::interval(period));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        if is_ready(node.program.health).await {
            failures = 0;
            endpoints.set(node.program.webhook, true);
        } else {
            failures += 1;
            if failures >= FAILURES_OF_UNREADY {
                endpoints.set(node.program.webhook, false);
            }
        }
    }
}

/// As many reviews as there are idle connections, at once, every second: so each of them is used.
async fn bursts(
    questions: &Arc<Questions>,
    transport: &Arc<Transport>,
    stop: &AtomicBool,
) -> Sample {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let (mut sample, mut asked) = (Sample::default(), JoinSet::new());
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..MOST_IDLE {
            number += 1;
            let (questions, transport) = (Arc::clone(questions), Arc::clone(transport));
            asked.spawn(async move {
                let result = questions.ask(&transport, number).await;
                result.map_err(|why| (why, Instant::now()))
            });
        }
        while let Some(result) = asked.try_join_next() {
            count(&mut sample, result.unwrap());
        }
    }
    for result in asked.join_all().await {
        count(&mut sample, result);
    }
    sample
}

fn count(sample: &mut Sample, result: Result<(), (String, Instant)>) {
    sample.asked += 1;
    if let Err((why, at)) = result {
        sample.failures.push(format!("at once: {why}"));
        sample.failed = sample.failed.max(Some(at));
    }
}

/// What is known of the loss itself.
struct Loss {
    at: Instant,
    /// Idle connections to the replica.
    idle: usize,
    under_way: usize,
    taken_out: Duration,
}

/// Waits until the endpoints hold so many.
async fn until(endpoints: &Endpoints, count: usize, limit: Duration) {
    let start = Instant::now();
    while endpoints.ready.lock().unwrap().len() != count {
        assert!(start.elapsed() < limit, "there are not {count} endpoints within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn lose(
    run: &Run,
    node: &Node,
    endpoints: &Endpoints,
    transport: &Transport,
    ca: &str,
    period: Duration,
) -> Loss {
    let limit = (period + PROBE_TIMEOUT) * 10;
    until(endpoints, REPLICAS.into(), limit).await;
    let lost = node.program.webhook;
    // Until all idle connections are there, and between two bursts.
    tokio::time::sleep(Duration::from_millis(run.pick(2_500, 10_500))).await;
    let start = Instant::now();
    while transport.idle_to(lost) == 0 {
        assert!(start.elapsed() < limit, "nothing is kept open to the replica");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    *endpoints.lost.lock().unwrap() = Some(lost);
    node.network.lose();
    let (at, idle) = (Instant::now(), transport.idle_to(lost));
    let under_way = transport.under_way.load(Ordering::Relaxed);
    until(endpoints, usize::from(REPLICAS) - 1, limit).await;
    let taken_out = at.elapsed();
    let gone = run.pick(Duration::from_secs(8), Duration::from_mins(1));
    tokio::time::sleep(gone.saturating_sub(at.elapsed())).await;
    node.network.mend();
    *endpoints.lost.lock().unwrap() = None;
    until(endpoints, REPLICAS.into(), limit).await;
    // Only a new connection finds it, as after a change of the bundle.
    let answers = || node.program.sum("tidegate_reviews_total");
    let before = answers();
    transport.trust(ca);
    let start = Instant::now();
    while answers() <= before {
        assert!(start.elapsed() < limit, "nothing comes to the replica that is back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Loss { at, idle, under_way, taken_out }
}

/// The networks, or why they cannot be made.
fn networks() -> Result<Vec<Network>, String> {
    (1..=REPLICAS).map(Network::new).collect()
}

/// T26.
pub(crate) async fn node_loss(run: Arc<Run>) {
    let networks = match networks() {
        Ok(networks) => networks,
        Err(why) => return run.skip(&format!("no network namespaces: {why}")),
    };
    let folder = Folder::new("t26-tls");
    let pair = issue(&["localhost"], jiff::Timestamp::now());
    swap(&folder.0, 0, &pair);
    let nodes: Vec<_> = networks
        .into_iter()
        .zip(1..)
        .map(|(network, number)| Node { program: network.replica(number, &folder), network })
        .collect();
    let endpoints = Arc::<Endpoints>::default();
    for node in &nodes {
        endpoints.set(node.program.webhook, true);
    }
    let choice = Arc::clone(&endpoints);
    let choose = move || choice.choose();
    let transport = Arc::new(Transport::among(choose, &pair.bundle, TIMEOUT));
    let questions = Arc::new(Questions::new().await);
    let rate = run.pick(40, 200);
    // The chart probes every 5 s.
    let period = run.pick(Duration::from_secs(1), Duration::from_secs(5));
    let stop = Arc::new(AtomicBool::new(false));
    let loss = async {
        let loss = lose(&run, &nodes[1], &endpoints, &transport, &pair.bundle, period).await;
        stop.store(true, Ordering::Relaxed);
        loss
    };
    let probes = nodes.iter().map(|node| keep_ready(node, &endpoints, period, &stop));
    let (steady, bursts, loss, _) = tokio::join!(
        drive(&questions, &transport, rate, Arc::clone(&stop)),
        bursts(&questions, &transport, &stop),
        loss,
        futures_util::future::join_all(probes),
    );
    let failures = [steady.failures, bursts.failures].concat();
    let last = steady.failed.max(bursts.failed);
    let recovery = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(loss.at));
    run.note("replicas", REPLICAS);
    run.note("requests", steady.asked + bursts.asked);
    run.note("idle connections to the lost replica", loss.idle);
    run.note("under way when it was lost", loss.under_way);
    let astray = endpoints.astray.load(Ordering::Relaxed);
    run.note("new connections to it", astray);
    run.note("taken out after, s", format!("{:.1}", loss.taken_out.as_secs_f64()));
    run.note("failures", failures.len());
    run.note("the last after, s", format!("{:.1}", recovery.as_secs_f64()));
    assert!(!failures.is_empty(), "the loss was not noticed");
    let timeouts = failures.iter().filter(|why| why.contains("no answer within")).count();
    assert_eq!(timeouts, failures.len(), "{failures:?}");
    assert!(failures.len() <= MOST_IDLE + loss.under_way, "{} failures", failures.len());
    // Each connection fails one request and no more.
    let connections = loss.idle + loss.under_way + astray;
    assert!(failures.len() <= connections, "{} of {connections}", failures.len());
    assert!(recovery <= Duration::from_secs(40), "{recovery:?}");
    assert!(steady.asked >= rate as usize * 5, "only {} were asked", steady.asked);
}
