//! Load: a thread for each connection, so that nothing but the server stands between two requests.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{Client, Endpoint},
    corpus::Corpus,
    process::Server,
};

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The next when the last is answered.
    Closed,
    /// So many a second over all connections, whatever the server does.
    Open(f64),
}

/// When it is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After so many reviews.
    Reviews(u64),
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// How long it went on, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of the server, in seconds.
    pub(crate) cpu: f64,
    /// How many reviews were admitted.
    pub(crate) admitted: u64,
    /// How long each answer took, in nanoseconds.
    pub(crate) nanoseconds: Vec<u64>,
}

impl Sample {
    /// Takes `other` in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.cpu += other.cpu;
        self.admitted += other.admitted;
        self.nanoseconds.extend(&other.nanoseconds);
    }

    /// How many reviews were answered.
    pub(crate) fn reviews(&self) -> usize {
        self.nanoseconds.len()
    }

    /// Reviews a second.
    pub(crate) fn rate(&self) -> f64 {
        self.reviews() as f64 / self.seconds
    }

    /// Processor time of the server for one review, in microseconds.
    pub(crate) fn cpu_of_one(&self) -> f64 {
        self.cpu * 1e6 / self.reviews() as f64
    }
}

/// Numbers of uids; none is used twice.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Drives `server` over so many connections.
///
/// # Errors
///
/// At the first wrong answer.
pub(crate) fn drive(
    server: &Server,
    corpus: &Corpus,
    connections: usize,
    pace: Pace,
    until: Until,
) -> anyhow::Result<Sample> {
    drive_at(&server.endpoint, || server.cpu(), corpus, connections, pace, until)
}

/// The same for any endpoint; `cpu` says how many seconds of processor time it used so far.
///
/// # Errors
///
/// At the first wrong answer.
pub(crate) fn drive_at(
    endpoint: &Endpoint,
    cpu: impl Fn() -> anyhow::Result<f64>,
    corpus: &Corpus,
    connections: usize,
    pace: Pace,
    until: Until,
) -> anyhow::Result<Sample> {
    let connected = Barrier::new(connections + 1);
    let left = AtomicU64::new(match until {
        Until::Elapsed(_) => u64::MAX,
        Until::Reviews(count) => count,
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|index| {
                let (connected, left) = (&connected, &left);
                scope.spawn(move || {
                    let client = Client::connect(endpoint);
                    connected.wait();
                    let schedule = Schedule::new(pace, until, index, connections);
                    one(&mut client?, corpus, index, &schedule, left)
                })
            })
            .collect();
        connected.wait();
        let (start, before) = (Instant::now(), cpu()?);
        let mut total = Sample::default();
        for thread in threads {
            total.add(&thread.join().expect("no thread of the generator panics")?);
        }
        total.seconds = start.elapsed().as_secs_f64();
        total.cpu = cpu()? - before;
        Ok(total)
    })
}

/// When one connection sends.
struct Schedule {
    start: Instant,
    end: Option<Instant>,
    /// Time to the first request, and between requests; `None` for no waiting.
    every: Option<(Duration, Duration)>,
}

impl Schedule {
    fn new(pace: Pace, until: Until, index: usize, connections: usize) -> Self {
        let start = Instant::now();
        let end = match until {
            Until::Elapsed(time) => Some(start + time),
            Until::Reviews(_) => None,
        };
        let every = match pace {
            Pace::Closed => None,
            Pace::Open(rate) => {
                let first = Duration::from_secs_f64(index as f64 / rate);
                Some((first, Duration::from_secs_f64(connections as f64 / rate)))
            }
        };
        Self { start, end, every }
    }

    /// Waits for the turn of request `count`, and says from when its answer is awaited: from its
    /// turn where the answer before it came too late, and else from now, because waking up late is
    /// the generator's own fault.
    fn wait(&self, count: u32) -> Instant {
        let now = Instant::now();
        let Some((first, every)) = self.every else { return now };
        let turn = self.start + first + every * count;
        match turn.checked_duration_since(now) {
            None => turn,
            Some(time) => {
                thread::sleep(time);
                Instant::now()
            }
        }
    }
}

fn one(
    client: &mut Client,
    corpus: &Corpus,
    index: usize,
    schedule: &Schedule,
    left: &AtomicU64,
) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let mut count: u32 = 0;
    loop {
        let from = schedule.wait(count);
        if schedule.end.is_some_and(|end| from >= end) || taken(left) {
            return Ok(sample);
        }
        // Connections start at different places, or they would all send the same.
        let review = corpus.get(index * 37 + count as usize);
        let admitted = client.ask(review, NUMBERS.fetch_add(1, Ordering::Relaxed))?;
        sample.nanoseconds.push(from.elapsed().as_nanos() as u64);
        sample.admitted += u64::from(admitted);
        count += 1;
    }
}

/// Takes one of what is left; true when there is none.
fn taken(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
}
