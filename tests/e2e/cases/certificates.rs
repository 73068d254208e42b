//! The certificate that the servers keep, with the shortest lives that there may be.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use super::lifecycle::until_refused;
use crate::e2e::{
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
    traffic::{Traffic, Verdict},
};

const SHORT: &str = "replicas=2,extraArgs={--tls-lifetime=90s,--tls-ca-lifetime=100s}";

/// The Secret's certificate and authorities.
pub(super) fn kept(site: &Site) -> (String, Vec<String>) {
    let secret =
        site.cluster.kubectl(&["get", "secret", "tidegate-tls", "-n", NAMESPACE, "-o", "json"]);
    let secret = secret.json();
    let text = |key: &str| {
        use base64::Engine as _;
        let text = secret["data"][key].as_str().unwrap();
        String::from_utf8(base64::prelude::BASE64_STANDARD.decode(text).unwrap()).unwrap()
    };
    (text("tls.crt"), tidegate::pki::split(&text("ca.crt")))
}

/// Who leads.
fn leader(site: &Site) -> String {
    let lease = ["get", "lease", "tidegate", "-n", NAMESPACE, "-o", "json"];
    let lease: Value = site.cluster.kubectl(&lease).json();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn certificates(site: &Site) {
    site.install(SHORT);
    site.upgrade("production", SHORT);
    site.settled();
    let namespace = Namespace::create(&site.cluster, "probe", None);
    until_refused(&namespace);

    let traffic = Traffic::start(&site.cluster, Verdict::Refused);
    let (mut leaves, mut authorities) = (BTreeSet::new(), BTreeSet::new());
    let (mut overlaps, mut nearest) = (0, f64::MAX);
    let mut last = kept(site);
    let start = Instant::now();
    let mut replaced = false;
    let rotated = poll("the authority is replaced twice", Duration::from_mins(5), || {
        let now = kept(site);
        // How near its end a certificate came before it was replaced.
        let left = tidegate::pki::ends(&last.0).unwrap().duration_since(Timestamp::now());
        nearest = nearest.min(left.as_secs_f64());
        overlaps += usize::from(now.1.len() == 2 && last.1.len() == 1);
        leaves.insert(now.0.clone());
        authorities.extend(now.1.iter().cloned());
        last = now;
        if authorities.len() == 2 && !replaced {
            // The one who does it all goes away in the middle.
            replaced = true;
            site.cluster
                .kubectl(&["delete", "pod", &leader(site), "-n", NAMESPACE, "--wait=false"])
                .done();
        }
        if !traffic.faults().is_empty() || authorities.len() > 2 && last.1.len() == 1 {
            return Ok(());
        }
        Err(format!("{} authorities, {} leaves", authorities.len(), leaves.len()))
    });
    rotated.unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
    let took = start.elapsed();
    let sample = traffic.finish();
    eprintln!(
        "e2e: certificates: {} authorities, {} leaves, {overlaps} overlaps, {nearest:.1} s before an end, in {took:?}: {sample:?}",
        authorities.len(),
        leaves.len()
    );
    assert!(sample.faults.is_empty(), "{sample:#?}\n{}", site.node.logs());
    assert!(overlaps >= 2 && leaves.len() >= 3, "{overlaps} overlaps, {} leaves", leaves.len());
    assert!((0.0..30.0).contains(&nearest), "{nearest} s before its end");
    assert!(sample.refused > 5 && replaced, "{sample:?}");
    assert!(sample.slowest < Duration::from_secs(10), "{sample:?}");
}
