//! Load, and what it leaves behind: T1, T4, T6, T22, T25.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    report::Run,
    transport::{Questions, Transport},
};
use crate::{
    program::{Program, tidegate},
    support::{eventually, post, review_of},
};

/// What a load came to.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) asked: usize,
    pub(crate) failures: Vec<String>,
    microseconds: Vec<u64>,
}

impl Sample {
    /// The time within which a share of all requests was answered, in milliseconds.
    pub(crate) fn quantile(&mut self, share: f64) -> f64 {
        self.microseconds.sort_unstable();
        let at = (self.microseconds.len() as f64 * share) as usize;
        let last = self.microseconds.len().saturating_sub(1);
        self.microseconds.get(at.min(last)).map_or(0.0, |micros| *micros as f64 / 1e3)
    }

    #[track_caller]
    pub(crate) fn is_clean(&self, asked: usize) {
        assert_eq!(self.failures, [""; 0], "{} failures", self.failures.len());
        assert!(self.asked >= asked, "only {} of {asked} were asked", self.asked);
    }
}

/// Asks so often a second, whatever the server does, until told to stop.
pub(crate) async fn drive(
    questions: &Arc<Questions>,
    transport: &Arc<Transport>,
    rate: u32,
    stop: Arc<AtomicBool>,
) -> Sample {
    let sample = Arc::new(Mutex::new(Sample::default()));
    let mut asked = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let turn = ticks.tick().await;
        number += 1;
        let (questions, transport) = (Arc::clone(questions), Arc::clone(transport));
        let sample = Arc::clone(&sample);
        asked.spawn(async move {
            let result = questions.ask(&transport, number).await;
            let mut sample = sample.lock().unwrap();
            sample.asked += 1;
            sample.microseconds.push(turn.elapsed().as_micros() as u64);
            sample.failures.extend(result.err().map(|why| format!("{number}: {why}")));
        });
        while asked.try_join_next().is_some() {}
    }
    while asked.join_next().await.is_some() {}
    std::mem::take(&mut *sample.lock().unwrap())
}

/// The same for a time.
pub(crate) async fn drive_for(
    questions: &Arc<Questions>,
    transport: &Arc<Transport>,
    rate: u32,
    time: Duration,
) -> Sample {
    let stop = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&stop);
    let (sample, ()) = tokio::join!(drive(questions, transport, rate, stop), async move {
        tokio::time::sleep(time).await;
        end.store(true, Ordering::Relaxed);
    });
    sample
}

/// T1.
pub(crate) async fn steady(run: Arc<Run>) {
    let (rate, seconds) = (run.pick(50, 1_000), run.pick(20, 600));
    let program = Program::start("t01", &[]);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::to(&program));
    let time = Duration::from_secs(seconds);
    let mut sample = drive_for(&questions, &transport, rate, time).await;
    run.note("requests", sample.asked);
    run.note("a second", rate);
    run.note("failures", sample.failures.len());
    let (p99, p999) = (sample.quantile(0.99), sample.quantile(0.999));
    run.note("p99 at the client, ms", format!("{p99:.1}"));
    run.note("p99.9 at the client, ms", format!("{p999:.1}"));
    let share = program.share_within("0.005");
    run.note("within 5 ms in the server, %", format!("{:.2}", share * 100.0));
    sample.is_clean((rate as usize * seconds as usize) * 9 / 10);
    // An unoptimised build says nothing about time.
    if !cfg!(debug_assertions) {
        assert!(share >= 0.99, "{share}");
        assert!(program.share_within("0.025") >= 0.999);
    }
}

/// T4. Gaps between two requests, dense where programs have their limits.
pub(crate) async fn idle_race(run: Arc<Run>) {
    let program = Program::start("t04", &[]);
    let questions = Arc::new(Questions::new().await);
    let limits: &[u64] = run.pick(&[2, 5, 10], &[2, 5, 10, 30, 60, 90]);
    let connections: u64 = run.pick(120, 500);
    let longest = run.pick(12_000, 95_000);
    let mut tasks = JoinSet::new();
    for index in 0..connections {
        let (questions, address, ca) =
            (Arc::clone(&questions), program.webhook, program.ca.clone());
        // Of six connections one has any gap, the others one within 100 ms of a limit.
        let gap = if index % 6 == 0 {
            100 + index * (longest - 100) / connections
        } else {
            limits[index as usize % limits.len()] * 1_000 - 100 + (index * 37) % 200
        };
        tasks.spawn(async move {
            let transport = Transport::new(address, &ca);
            let gap = Duration::from_millis(gap);
            questions
                .ask(&transport, index as usize)
                .await
                .map_err(|why| format!("first: {why}"))?;
            tokio::time::sleep(gap).await;
            let second = questions.ask(&transport, index as usize + 1).await;
            second.map_err(|why| format!("after {gap:?}: {why}"))?;
            // One that was closed by the server would have been replaced without a word.
            let opened = transport.opened.load(Ordering::Relaxed);
            // The API server itself lets go after 90 s.
            let wanted = if gap < Duration::from_secs(90) { 1 } else { 2 };
            if opened <= wanted { Ok(()) } else { Err(format!("closed within {gap:?}")) }
        });
    }
    let results = tasks.join_all().await;
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    run.note("connections", connections);
    run.note("longest gap, s", longest / 1_000);
    run.note("failures", failures.len());
    assert_eq!(failures, [""; 0]);
}

/// T6. As many requests as are let in are held open by bodies that do not end.
pub(crate) async fn shedding(run: Arc<Run>) {
    let program = Program::start("t06", &["--max-in-flight", "4"]);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::to(&program));
    let whole = post("/validate?timeout=10s", &review_of("{}"));
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut connection = program.connect().await;
        connection.send(&whole[..whole.len() - 4]).await.unwrap();
        held.push(connection);
    }
    eventually("all places are taken", || {
        program.metric("tidegate_requests_in_flight") == Some(4.0)
    })
    .await;
    let (request, _) = questions.request(0);
    let answer = transport.send(&request).await.unwrap();
    assert_eq!((answer.status, answer.retry_after(), answer.closes()), (503, Some(1), true));
    assert_eq!(answer.body, b"");
    let mut tasks = JoinSet::new();
    for number in 0..run.pick(50, 500) {
        let (questions, transport) = (Arc::clone(&questions), Arc::clone(&transport));
        tasks.spawn(async move {
            let (request, uid) = questions.request(number);
            let (answer, tries) = transport.insist(&request, Duration::from_secs(10)).await?;
            questions.check(number, &uid, &answer).map(|()| tries)
        });
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for mut connection in held {
        connection.send(&whole[whole.len() - 4..]).await.unwrap();
        assert_eq!(connection.reply().await.unwrap().response()["uid"], "the-uid");
    }
    let results = tasks.join_all().await;
    let failures: Vec<_> = results.iter().filter_map(|result| result.clone().err()).collect();
    run.note("requests", results.len());
    run.note("shed", program.sum("tidegate_shed_total"));
    run.note("failures after relief", failures.len());
    run.note("resident, MiB", format!("{:.0}", program.resident()));
    assert_eq!(failures, [""; 0]);
    assert!(results.iter().flatten().any(|tries| *tries > 1), "nothing was shed");
    assert!(program.resident() < 128.0);
}

/// T22, and the soak.
pub(crate) async fn memory(run: Arc<Run>) {
    let program = Program::start("t22", &[]);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::to(&program));
    // An unoptimised build takes a hundred times as long for each.
    let total = if run.full {
        1_000_000
    } else if cfg!(debug_assertions) {
        4_000
    } else {
        50_000
    };
    let rate = if run.full {
        3_000
    } else if cfg!(debug_assertions) {
        100
    } else {
        1_000
    };
    let (mut asked, mut level) = (0, None);
    let mut failures = Vec::new();
    while asked < total {
        let part = Duration::from_secs_f64(total as f64 / f64::from(rate) / 10.0);
        let sample = drive_for(&questions, &transport, rate, part).await;
        asked += sample.asked;
        failures.extend(sample.failures);
        level.get_or_insert_with(|| {
            (program.resident(), program.descriptors(), program.status("Threads"))
        });
    }
    let (before, descriptors, threads) = level.unwrap();
    let after = program.resident();
    run.note("requests", asked);
    run.note("a second", rate);
    run.note("failures", failures.len());
    run.note("resident after a tenth, MiB", format!("{before:.1}"));
    run.note("resident at the end, MiB", format!("{after:.1}"));
    let now = (program.descriptors(), program.status("Threads"));
    run.note("file descriptors", format!("{descriptors} then {}", now.0));
    run.note("threads", format!("{threads} then {}", now.1));
    assert_eq!(failures, [""; 0]);
    assert!(after <= 128.0, "{after}");
    // The first tenth of a short run is too little to have filled what is kept between requests.
    let slack = run.pick(8.0, 0.0);
    assert!(after <= before * 1.1 + slack, "{before} became {after}");
    assert!(now.0 <= descriptors + 2, "{descriptors} descriptors became {}", now.0);
    assert!(now.1 <= threads, "{threads} threads became {}", now.1);
    assert_eq!(program.metric("tidegate_requests_in_flight"), Some(0.0));
    assert_eq!(program.metric("tidegate_body_reserved_bytes"), Some(0.0));
    assert_eq!(program.metric("tidegate_panics_total"), Some(0.0));
}

/// A control group with a tenth of a processor; none where they cannot be made.
struct Squeeze(PathBuf);

impl Squeeze {
    fn new() -> Option<Self> {
        let name = format!("tidegate-torture-{}", std::process::id());
        for (base, file, value) in [
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "10000"),
            ("/sys/fs/cgroup", "cpu.max", "10000 100000"),
        ] {
            let folder = PathBuf::from(base).join(&name);
            if fs::create_dir(&folder).is_ok() {
                let squeeze = Self(folder);
                if fs::write(squeeze.0.join(file), value).is_ok() {
                    return Some(squeeze);
                }
            }
        }
        None
    }
}

impl Drop for Squeeze {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

/// T25.
pub(crate) async fn squeeze(run: Arc<Run>) {
    let squeeze = Squeeze::new();
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(tidegate().get_program()).args(["serve", "--kube", "off"]);
    let program = Program::run("t25", command);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::to(&program));
    // The build that is tested here must be able to do the work at all in a tenth of its time.
    let rate = if cfg!(debug_assertions) { 10 } else { 50 };
    drop(drive_for(&questions, &transport, rate, Duration::from_secs(1)).await);
    let stop = Arc::new(AtomicBool::new(false));
    let neighbour = Arc::clone(&stop);
    let neighbour = std::thread::spawn(move || {
        while !neighbour.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    if let Some(Squeeze(folder)) = &squeeze {
        fs::write(folder.join("cgroup.procs"), program.child.id().to_string()).unwrap();
    }
    let time = Duration::from_secs(run.pick(8, 120));
    let start = Instant::now();
    let mut sample = drive_for(&questions, &transport, rate, time).await;
    let held = squeeze.as_ref().map(|Squeeze(folder)| {
        let text = fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    });
    stop.store(true, Ordering::Relaxed);
    neighbour.join().unwrap();
    run.note("requests", sample.asked);
    run.note("a second", rate);
    run.note("failures", sample.failures.len());
    let p99 = sample.quantile(0.99);
    run.note("p99 at the client, ms", format!("{p99:.0}"));
    let how = held.map_or("one core with a neighbour".to_owned(), |throttled| {
        format!("100m, throttled in {throttled} of {} periods", start.elapsed().as_millis() / 100)
    });
    run.note("processor", how);
    sample.is_clean(rate as usize * time.as_secs() as usize * 8 / 10);
    assert!(p99 <= if cfg!(debug_assertions) { 5_000.0 } else { 250.0 }, "{p99} ms");
    drop(program);
}
