//! T22 and T35: a steady load for so long that whatever grows has grown.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    cluster::namespace,
    load::{AT_ONCE, drive},
    process::{following, is_optimised},
    report::Run,
    transport::{MOST_IDLE, Questions, Transport},
};
use crate::{fake_cluster::FakeCluster, program::Program, support::eventually};

const NAMESPACES: &str = "/api/v1/namespaces";

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Level {
    /// Reviews that were answered until then.
    pub(crate) answered: f64,
    /// Resident memory in MiB.
    pub(crate) resident: f64,
    /// Open file descriptors.
    pub(crate) descriptors: usize,
    /// Threads.
    pub(crate) threads: u64,
    /// Connections, each of which is one task of the server.
    pub(crate) connections: f64,
}

impl Level {
    pub(crate) fn of(program: &Program) -> Self {
        Self {
            answered: program.sum("tidegate_reviews_total"),
            resident: program.resident(),
            descriptors: program.descriptors(),
            threads: program.status("Threads"),
            connections: program.metric("tidegate_open_connections").unwrap(),
        }
    }
}

/// What may grow between the beginning and the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Bytes for each review. Whatever is kept of a review takes more.
    pub(crate) bytes: f64,
    /// What the allocator and the kernel do on their own, in MiB.
    pub(crate) noise: f64,
}

/// Holds the second fifth of the levels, when everything has been used once, against the last.
///
/// # Errors
///
/// What grew, and by how much.
pub(crate) fn flat(levels: &[Level], growth: Growth) -> Result<(Level, Level), String> {
    let fifth = levels.len() / 5;
    if fifth == 0 {
        return Err(format!("{} levels are too few", levels.len()));
    }
    let (first, last) =
        (middle(&levels[fifth..2 * fifth]), middle(&levels[levels.len() - fifth..]));
    let allowed =
        growth.bytes * (last.answered - first.answered) / f64::from(1 << 20) + growth.noise;
    let grew = last.resident - first.resident;
    if grew > allowed {
        return Err(format!("memory grew by {grew:.2} MiB, and {allowed:.2} are allowed"));
    }
    let grew = |what: &str, first: f64, last: f64, by: f64| {
        if last > first + by { Err(format!("{what}: {first} became {last}")) } else { Ok(()) }
    };
    // How many connections there are is the client's choice, within what it keeps and uses at once.
    let most = first.connections.max((MOST_IDLE + AT_ONCE) as f64);
    grew("connections", most, last.connections, 2.0)?;
    let beside = |level: Level| level.descriptors as f64 - level.connections;
    // A connection that is being opened or closed while it is counted.
    grew("descriptors", beside(first), beside(last), 2.0)?;
    grew("threads", first.threads as f64, last.threads as f64, 0.0)?;
    Ok((first, last))
}

/// The middle one of each figure.
fn middle(levels: &[Level]) -> Level {
    fn of<T: Copy + PartialOrd>(levels: &[Level], figure: impl Fn(&Level) -> T) -> T {
        let mut figures: Vec<T> = levels.iter().map(figure).collect();
        figures.sort_by(|a, b| a.partial_cmp(b).unwrap());
        figures[figures.len() / 2]
    }
    Level {
        answered: of(levels, |level| level.answered),
        resident: of(levels, |level| level.resident),
        descriptors: of(levels, |level| level.descriptors),
        threads: of(levels, |level| level.threads),
        connections: of(levels, |level| level.connections),
    }
}

/// How a level is changed, by its number.
type Change<'c> = &'c dyn Fn(usize, &mut Level);

/// The yardstick must see what it is there for.
pub(crate) fn check_yardstick() {
    let growth = Growth { bytes: 4.0, noise: 1.0 };
    let levels = |change: Change<'_>| -> Vec<Level> {
        let level = |index: usize| {
            let answered = index as f64 * 10_000.0;
            let mut level =
                Level { answered, resident: 40.0, descriptors: 20, threads: 3, connections: 5.0 };
            // What comes and goes is not growth.
            level.resident += (index * 7 % 3) as f64 / 10.0;
            level.descriptors += index % 2;
            change(index, &mut level);
            level
        };
        (0..100).map(level).collect()
    };
    flat(&levels(&|_, _| {}), growth).unwrap();
    flat(&levels(&|index, level| level.resident -= 15.0 / (index + 1) as f64), growth).unwrap();
    let leaks: [(&str, Change<'_>); 5] = [
        ("memory", &|index, level| level.resident += index as f64 * 0.16),
        ("descriptors", &|index, level| level.descriptors += index / 20),
        ("threads", &|index, level| level.threads += u64::from(index > 60)),
        ("connections", &|index, level| level.connections += index as f64 * 2.0),
        ("memory", &|index, level| level.resident += if index > 70 { 10.0 } else { 0.0 }),
    ];
    for (what, leak) in leaks {
        let error = flat(&levels(leak), growth).unwrap_err();
        assert!(error.starts_with(what), "{error}");
    }
    flat(&levels(&|_, _| {})[..4], growth).unwrap_err();
}

/// A load, and how the server is held against it.
struct Plan {
    rate: u32,
    time: Duration,
    /// How often it is looked at.
    every: Duration,
    growth: Growth,
}

impl Plan {
    async fn carry_out(&self, run: &Run, program: &Program, questions: Questions) {
        let Self { rate, time, every, growth } = *self;
        let (questions, transport) = (Arc::new(questions), Arc::new(Transport::to(program)));
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let watch = async {
            let mut levels = Vec::new();
            while start.elapsed() < time {
                tokio::time::sleep(every).await;
                levels.push(Level::of(program));
            }
            stop.store(true, Ordering::Relaxed);
            levels
        };
        let (mut sample, levels) =
            tokio::join!(drive(&questions, &transport, rate, Arc::clone(&stop)), watch);
        run.note("requests", sample.asked);
        run.note("a second", rate);
        run.note("failures", sample.failures.len());
        run.note("p99 at the client, ms", format!("{:.1}", sample.quantile(0.99)));
        let most = levels.iter().map(|level| level.resident).fold(0.0, f64::max);
        run.note("most memory, MiB", format!("{most:.1}"));
        let (first, last) =
            flat(&levels, growth).unwrap_or_else(|error| panic!("{error}: {levels:#?}"));
        run.note("resident, MiB", format!("{:.1} then {:.1}", first.resident, last.resident));
        run.note("file descriptors", format!("{} then {}", first.descriptors, last.descriptors));
        run.note("threads", format!("{} then {}", first.threads, last.threads));
        run.note("connections", format!("{} then {}", first.connections, last.connections));
        sample.is_clean((f64::from(rate) * time.as_secs_f64() * 0.95) as usize);
        assert!(most <= 128.0, "{most} MiB");
        for series in
            ["tidegate_requests_in_flight", "tidegate_body_reserved_bytes", "tidegate_panics_total"]
        {
            assert_eq!(program.metric(series), Some(0.0), "{series}");
        }
    }
}

/// T22.
pub(crate) async fn memory(run: Arc<Run>) {
    let program = Program::start("t22", &[]);
    // An unoptimised build takes a hundred times as long for each.
    let (rate, seconds) = match (run.full, is_optimised()) {
        (true, _) => (3_000, 334),
        (false, true) => (1_000, 40),
        (false, false) => (50, 40),
    };
    let plan = Plan {
        rate,
        time: Duration::from_secs(seconds),
        every: Duration::from_millis(500),
        growth: run.pick(Growth { bytes: 200.0, noise: 0.4 }, Growth { bytes: 4.0, noise: 1.0 }),
    };
    plan.carry_out(&run, &program, Questions::new().await).await;
}

/// T35. The server follows a cluster, so that what it remembers of Jobs, Events and approvals is used.
pub(crate) async fn soak(run: Arc<Run>) {
    let cluster = FakeCluster::start().await;
    for name in ["default", "shop", "prod", "team-a"] {
        cluster.put(NAMESPACES, namespace(name, "production"));
    }
    let (program, _folder) = following("t35", &cluster, &[]);
    eventually("it is ready", || program.is_ready()).await;
    let plan = Plan {
        rate: if run.full || is_optimised() { 280 } else { 50 },
        time: Duration::from_secs(run.pick(30, 3_600)),
        every: Duration::from_millis(run.pick(500, 10_000)),
        growth: run.pick(Growth { bytes: 200.0, noise: 0.4 }, Growth { bytes: 2.0, noise: 1.0 }),
    };
    plan.carry_out(&run, &program, Questions::of_any_verdict()).await;
}
