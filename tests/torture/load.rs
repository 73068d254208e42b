//! Load: T1, T4, T6, T25.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet, time::MissedTickBehavior};

use super::{
    process::is_optimised,
    report::Run,
    transport::{Questions, Transport},
};
use crate::{
    program::{Program, get, tidegate},
    support::{eventually, post, review_of},
};

/// What a load came to.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) asked: usize,
    pub(crate) failures: Vec<String>,
    /// When the last failure was known.
    pub(crate) failed: Option<Instant>,
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

/// How many requests are under way at once. A client that was held up, as a busy machine does to it,
/// would otherwise open thousands of connections to make up for it.
pub(crate) const AT_ONCE: usize = 64;

/// Asks so often a second, whatever the server does, until told to stop.
pub(crate) async fn drive(
    questions: &Arc<Questions>,
    transport: &Arc<Transport>,
    rate: u32,
    stop: Arc<AtomicBool>,
) -> Sample {
    let sample = Arc::new(Mutex::new(Sample::default()));
    let mut asked = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let turn = ticks.tick().await;
        number += 1;
        let (questions, transport) = (Arc::clone(questions), Arc::clone(transport));
        let sample = Arc::clone(&sample);
        let places = Arc::clone(&places);
        asked.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let result = questions.ask(&transport, number).await;
            let mut sample = sample.lock().unwrap();
            sample.asked += 1;
            sample.microseconds.push(turn.elapsed().as_micros() as u64);
            if result.is_err() {
                sample.failed = Some(Instant::now());
            }
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
    if is_optimised() {
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

/// Somebody who takes all that there is of the first core; ended when dropped.
struct Neighbour(Child);

impl Neighbour {
    fn new() -> Self {
        let mut command = Command::new("taskset");
        Self(command.args(["-c", "0", "sh", "-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks both probes once a second, as a kubelet does that waits a second for each, until told to stop.
/// Gives how often it asked, and what was not answered in time.
async fn probe(program: &Program, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut asked, mut failures) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for path in ["/livez", "/readyz"] {
            let health = program.health;
            let answer = tokio::task::spawn_blocking(move || get(health, path));
            let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
            let answer = answer.ok().and_then(Result::ok).flatten();
            asked += 1;
            if !answer.as_ref().is_some_and(|text| text.starts_with("HTTP/1.1 200")) {
                failures.push(format!("{path}: {answer:?}"));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (asked, failures)
}

/// T25. As many reviews as take seven tenths of what the server may have.
pub(crate) async fn squeeze(run: Arc<Run>) {
    let squeeze = Squeeze::new();
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(tidegate().get_program()).args(["serve", "--kube", "off"]);
    let program = Program::run("t25", command);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::to(&program));
    drop(drive_for(&questions, &transport, 10, Duration::from_secs(1)).await);
    let before = program.processor();
    let enough = if is_optimised() { 300 } else { 20 };
    let known = drive_for(&questions, &transport, enough, Duration::from_secs(2)).await;
    let each = (program.processor() - before) / known.asked as f64;
    // The clock of the kernel has ticks of 10 ms.
    let rate = (0.07 / each.max(0.000_2)) as u32;
    let _neighbour = Neighbour::new();
    if let Some(Squeeze(folder)) = &squeeze {
        fs::write(folder.join("cgroup.procs"), program.child.id().to_string()).unwrap();
    }
    let time = Duration::from_secs(run.pick(8, 120));
    let (start, stop) = (Instant::now(), AtomicBool::new(false));
    let load = async {
        let sample = drive_for(&questions, &transport, rate, time).await;
        stop.store(true, Ordering::Relaxed);
        sample
    };
    let (mut sample, (probes, unanswered)) = tokio::join!(load, probe(&program, &stop));
    // A kernel may hand out the tenth so evenly that it never throttles, so how often it did is told,
    // and that the server was in the group is what is asked.
    let held = squeeze.as_ref().map(|Squeeze(folder)| {
        let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
        let id = program.child.id().to_string();
        assert!(members.lines().any(|member| member == id), "the server left its group");
        let text = fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    });
    run.note("processor for each, ms", format!("{:.2}", each * 1e3));
    run.note("requests", sample.asked);
    run.note("a second", rate);
    run.note("failures", sample.failures.len());
    let p99 = sample.quantile(0.99);
    run.note("p99 at the client, ms", format!("{p99:.0}"));
    run.note("probes", probes);
    let how = held.map_or("one core with a neighbour".to_owned(), |throttled| {
        format!("100m, throttled in {throttled} of {} periods", start.elapsed().as_millis() / 100)
    });
    run.note("processor", how);
    let least = if is_optimised() { 50 } else { 8 };
    assert!(rate >= least, "a review takes {each} s of a processor");
    sample.is_clean(rate as usize * time.as_secs() as usize * 8 / 10);
    assert_eq!(unanswered, [""; 0]);
    assert!(p99 <= if is_optimised() { 250.0 } else { 2_000.0 }, "{p99} ms");
    drop(program);
}
