//! Others who write into the webhook configurations again and again: who repairs what is theirs, and
//! leaves the rest, fights nobody.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    lifecycle::until_refused,
    registration::{KINDS, bundles, configuration, patch, turns},
};
use crate::e2e::{
    cluster::Cluster,
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
};

/// How often the configurations are applied anew.
const ROUNDS: usize = 5;
/// How often the enforcer looks.
const PACE: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_mins(1);
/// Certificates are replaced within the case: everything is compared each time.
const VALUES: &str = "replicas=2,extraArgs={--tls-lifetime=90s,--tls-ca-lifetime=1h}";
const PLATFORM: &str = "kubernetes.azure.com/managedby";

/// What AKS's enforcer does that is not told to leave a configuration alone: whenever its expressions
/// are gone from a webhook, it writes them.
struct Enforcer {
    stop: Arc<AtomicBool>,
    /// How often it wrote, for each kind.
    edits: Arc<[AtomicUsize; 2]>,
    /// Write each time, though there is nothing to do.
    restless: Arc<AtomicBool>,
    faults: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

fn has_its_expressions(webhook: &Value) -> bool {
    webhook["namespaceSelector"].to_string().contains(PLATFORM)
}

/// Its patch of one configuration; none when there is nothing to do.
fn edit(configuration: &Value, restless: bool, number: usize) -> Option<Value> {
    let own = json!([
        {"key": "control-plane", "operator": "DoesNotExist"},
        {"key": PLATFORM, "operator": "NotIn", "values": ["aks"]},
    ]);
    // Of two that write at once, one looks again.
    let version = &configuration["metadata"]["resourceVersion"];
    let mut operations =
        vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
    for (at, webhook) in configuration["webhooks"].as_array()?.iter().enumerate() {
        if has_its_expressions(webhook) {
            continue;
        }
        let others = webhook["namespaceSelector"]["matchExpressions"].as_array();
        let all: Vec<&Value> =
            others.into_iter().flatten().chain(own.as_array().into_iter().flatten()).collect();
        let path = format!("/webhooks/{at}/namespaceSelector");
        operations.push(json!({"op": "add", "path": path, "value": {"matchExpressions": all}}));
    }
    if restless {
        let path = "/metadata/annotations/admissionsenforcer";
        operations.push(json!({"op": "add", "path": path, "value": number.to_string()}));
    }
    (operations.len() > 1).then(|| operations.into())
}

impl Enforcer {
    fn start(cluster: Arc<Cluster>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let edits = Arc::<[AtomicUsize; 2]>::default();
        let restless = Arc::<AtomicBool>::default();
        let faults = Arc::<Mutex<Vec<String>>>::default();
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&edits));
        let (goes_on, told) = (Arc::clone(&restless), Arc::clone(&faults));
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                for (kind, count) in KINDS.iter().zip(counts.iter()) {
                    let found = cluster.kubectl(&["get", kind, "tidegate", "-o", "json"]).json();
                    let number = count.load(Ordering::Relaxed);
                    let Some(edit) = edit(&found, goes_on.load(Ordering::Relaxed), number) else {
                        continue;
                    };
                    let manager = "--field-manager=admissionsenforcer";
                    let (of, edit) = ("--type=json", edit.to_string());
                    let args = ["patch", kind, "tidegate", manager, of, "-p", &edit];
                    let answer = cluster.kubectl(&args);
                    if answer.success {
                        count.fetch_add(1, Ordering::Relaxed);
                    } else if !answer.stderr.contains("the object has been modified") {
                        told.lock().unwrap().push(answer.to_string());
                    }
                }
                thread::sleep(PACE);
            }
        });
        Self { stop, edits, restless, faults, thread: Some(thread) }
    }

    fn edits(&self) -> [usize; 2] {
        [0, 1].map(|kind| self.edits[kind].load(Ordering::Relaxed))
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it has to say is among the faults.
            drop(thread.join());
        }
    }
}

/// How often the servers wrote each kind, and how often they tried to.
fn own_writes(site: &Site) -> ([usize; 2], usize) {
    let account = format!("system:serviceaccount:{NAMESPACE}:tidegate");
    let audit = site.cluster.audit();
    let own: Vec<_> = audit
        .iter()
        .filter(|request| request["user"]["username"] == *account)
        .filter(|request| {
            request["objectRef"]["apiGroup"] == "admissionregistration.k8s.io"
                && request["objectRef"]["name"] == "tidegate"
        })
        .collect();
    let written = KINDS.map(|kind| {
        let of_kind = |it: &&&Value| it["objectRef"]["resource"] == format!("{kind}s");
        own.iter().filter(of_kind).filter(|it| it["responseStatus"]["code"] == 200).count()
    });
    (written, own.len())
}

/// As whoever keeps it in Git writes it: without the enforcer's expressions, and without an authority.
fn applied_anew(site: &Site, kind: &str, in_git: &Value) {
    let mut webhooks = in_git["webhooks"].clone();
    for webhook in webhooks.as_array_mut().unwrap() {
        webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    }
    let edit = json!([{"op": "replace", "path": "/webhooks", "value": webhooks}]);
    patch(site, kind, "gitops", &edit);
}

pub(super) fn enforcer(site: &Site) {
    site.install(VALUES);
    site.upgrade("production", VALUES);
    site.settled();
    let namespace = Namespace::create(&site.cluster, "probe", None);
    until_refused(&namespace);
    let in_git = KINDS.map(|kind| configuration(site, kind));
    let complete = |enforcer: &Enforcer, edits: usize| {
        poll("both have repaired what is theirs", LIMIT, || {
            for kind in KINDS {
                let now = configuration(site, kind);
                let enforced = now["webhooks"].as_array().unwrap().iter().all(has_its_expressions);
                // It counts what it did a moment after it is there.
                let counted = enforcer.edits().iter().all(|count| *count >= edits);
                if !counted || !enforced || bundles(&now).iter().any(|bundle| bundle.is_empty()) {
                    return Err(format!("{:?}: {now}", enforcer.edits()));
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
    };
    let enforcer = Enforcer::start(Arc::clone(&site.cluster));
    complete(&enforcer, 1);
    assert_eq!(enforcer.edits(), [1, 1]);
    let (before, tried_before) = own_writes(site);
    let expected = before.map(|count| count + ROUNDS);
    for round in 1..=ROUNDS {
        for (kind, in_git) in KINDS.iter().zip(&in_git) {
            applied_anew(site, kind, in_git);
        }
        complete(&enforcer, round + 1);
    }
    let told = poll("the audit log tells of all writes", LIMIT, || {
        let (after, tried) = own_writes(site);
        let all = after.iter().zip(&expected).all(|(count, expected)| count >= expected);
        if all { Ok((after, tried)) } else { Err(format!("{after:?}")) }
    });
    let (after, tried) = told.unwrap();
    let written = [0, 1].map(|kind| after[kind] - before[kind]);
    // One write for each time that the authority was taken away; and none took away what the enforcer
    // had written, which would have had to write it once more.
    assert_eq!(after, expected);
    assert_eq!(enforcer.edits(), [ROUNDS + 1, ROUNDS + 1]);
    // A write that met another's is tried again, and not for ever.
    let tried = tried - tried_before;
    assert!(tried <= 4 * ROUNDS, "{tried} requests for {written:?}");

    // It goes on although there is nothing to do, while everything is compared time and again.
    enforcer.restless.store(true, Ordering::Relaxed);
    turns(site, 1);
    let restless = enforcer.edits().map(|edits| edits - ROUNDS - 1);
    let (at_last, tried_at_last) = own_writes(site);
    eprintln!(
        "e2e: enforcer: {written:?} writes, {tried} requests for {ROUNDS} changes of each; then 0 for {restless:?}"
    );
    assert_eq!((at_last, tried_at_last), (after, tried + tried_before), "nothing was ours to mend");
    assert!(restless.iter().all(|edits| *edits >= 20), "{restless:?}");
    assert_eq!(*enforcer.faults.lock().unwrap(), [""; 0]);
    drop(enforcer);
    until_refused(&namespace);
}
