//! T2: rotation under load.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tidegate::{
    pki::{Kept, Lifetimes, Pair},
    webhook::Issued,
};

use super::{
    load::drive,
    report::Run,
    transport::{Questions, Transport, trusting},
};
use crate::{
    program::{Program, tidegate},
    support::{Folder, connect},
};

/// Changes a mounted Secret as kubelet does: a new folder, then one switch of a link.
pub(crate) fn swap(folder: &Path, generation: usize, pair: &Pair) {
    let name = format!("..{generation}");
    fs::create_dir(folder.join(&name)).unwrap();
    let files = [("tls.crt", &pair.chain), ("tls.key", &pair.key), ("ca.crt", &pair.bundle)];
    for (file, text) in files {
        fs::write(folder.join(&name).join(file), text).unwrap();
        let link = folder.join(file);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(file), link).unwrap();
        }
    }
    symlink(&name, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

/// A pair with an authority of its own.
pub(crate) fn issue(names: &[&str], now: Timestamp) -> Pair {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let issued = Issued::new(&names, now).unwrap();
    Pair { chain: issued.chain.clone(), key: issued.key.clone(), bundle: issued.ca }
}

/// A pair of each kind that must never be served.
fn bad(number: usize) -> Pair {
    let (now, names) = (Timestamp::now(), ["localhost"]);
    let good = issue(&names, now);
    match number % 4 {
        0 => Pair { key: issue(&names, now).key, ..good },
        1 => issue(&names, "2001-01-01T00:00:00Z".parse().unwrap()),
        2 => Pair { chain: good.chain[..good.chain.len() / 3].to_owned(), ..good },
        _ => issue(&[], now),
    }
}

async fn serves(program: &Program, pair: &Pair) -> bool {
    // A leaf is told apart by what it is, since leaves of one authority are all trusted.
    let config = rustls::ClientConfig::clone(&trusting(&pair.bundle));
    let Ok(connection) = connect(program.webhook, config).await else { return false };
    let served = connection.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let wanted = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pair.chain.as_bytes());
    served == wanted.unwrap().to_vec()
}

/// How long it takes until a pair is served.
async fn taken(program: &Program, pair: &Pair) -> Duration {
    let start = Instant::now();
    while !serves(program, pair).await {
        assert!(start.elapsed() < Duration::from_secs(10), "a new pair is not served in 10 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

/// What is always due for its next step: a new authority, then a leaf of it, then the old one leaves.
const ALWAYS: Lifetimes = Lifetimes {
    authority: SignedDuration::from_hours(40 * 24),
    leaf: SignedDuration::from_hours(30 * 24),
    before: SignedDuration::from_hours(41 * 24),
    settle: SignedDuration::ZERO,
};

fn next(kept: &Kept) -> Kept {
    let names = ["localhost".to_owned()];
    kept.next(&names, &ALWAYS, Timestamp::now()).unwrap().expect("a step is due")
}

async fn rotate(
    run: &Run,
    program: &Program,
    folder: &Path,
    transport: &Transport,
    mut kept: Kept,
) {
    let mut slowest = Duration::ZERO;
    let rotations = run.pick(2, 50);
    for round in 0..rotations {
        swap(folder, round * 2 + 1, &bad(round));
        let start = Instant::now();
        let refused = || program.metric("tidegate_certificate_reload_failures_total").unwrap();
        while refused() <= round as f64 {
            assert!(start.elapsed() < Duration::from_secs(10), "bad pair {round} is not counted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(serves(program, &kept.pair()).await, "bad pair {round} is served");
        // First both authorities are trusted, then the leaf is changed, then the old one is not.
        kept = next(&kept);
        transport.trust(&kept.pair().bundle);
        kept.trusted_since = Some(Timestamp::UNIX_EPOCH);
        kept = next(&kept);
        swap(folder, round * 2 + 2, &kept.pair());
        slowest = slowest.max(taken(program, &kept.pair()).await);
        kept = next(&kept);
        transport.trust(&kept.pair().bundle);
    }
    run.note("rotations of leaf and authority", rotations);
    run.note("bad pairs refused", rotations);
    run.note("slowest new pair, s", format!("{:.1}", slowest.as_secs_f64()));
    assert_eq!(program.metric("tidegate_certificate_reloads_total"), Some(rotations as f64));
    for kind in ["leaf", "ca"] {
        let series =
            format!(r#"tidegate_certificate_not_after_timestamp_seconds{{kind="{kind}"}}"#);
        let left = program.metric(&series).unwrap() - Timestamp::now().as_second() as f64;
        assert!((29.0..42.0).contains(&(left / 86_400.0)), "{kind} ends in {left} s");
    }
}

/// T2.
pub(crate) async fn rotation(run: Arc<Run>) {
    let folder = Folder::new("t02-tls");
    let kept = Kept::new(&["localhost".to_owned()], &ALWAYS, Timestamp::now()).unwrap();
    swap(&folder.0, 0, &kept.pair());
    let mut command = tidegate();
    command.args(["serve", "--kube", "off", "--tls-dir"]).arg(&folder.0);
    let program = Program::run("t02", command);
    let questions = Arc::new(Questions::new().await);
    let transport = Arc::new(Transport::new(program.webhook, &kept.pair().bundle));
    let stop = Arc::new(AtomicBool::new(false));
    let (ends, rate) = (Arc::clone(&stop), run.pick(30, 200));
    let rotate = async {
        rotate(&run, &program, &folder.0, &transport, kept).await;
        ends.store(true, Ordering::Relaxed);
    };
    let (sample, ()) = tokio::join!(drive(&questions, &transport, rate, stop), rotate);
    run.note("requests", sample.asked);
    run.note("failures", sample.failures.len());
    sample.is_clean(rate as usize * 5);
    let log = program.log.lock().unwrap();
    assert!(log.contains("certificate"), "what was refused is in the log");
}
