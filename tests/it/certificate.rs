//! The certificate that tidegate keeps for itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::{
    cluster::{Certificate, Leader, Place},
    pki::Lifetimes,
    settings::Limits,
    webhook::{Identity, TlsStore},
};

use crate::{
    fake_cluster::FakeCluster,
    support::{
        Server, Service, built_in_engine, client_config, connect, eventually, recorded, uid,
    },
};

const SECRETS: &str = "/api/v1/secrets";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const SETTLE: SignedDuration = SignedDuration::from_secs(1);

fn place() -> Place {
    Place {
        namespace: "tidegate".to_owned(),
        secret: "tidegate-certificate".to_owned(),
        // What the client of these tests calls the server.
        service: "localhost".to_owned(),
        configurations: "tidegate".to_owned(),
    }
}

fn configuration(kind: &str) -> Value {
    let webhook = |name: &str| {
        json!({"name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "tidegate", "name": "tidegate"}}})
    };
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": "tidegate"}, "webhooks": [webhook("one.tidegate.dev"), webhook("two.tidegate.dev")]})
}

async fn cluster() -> FakeCluster {
    let cluster = FakeCluster::start().await;
    cluster.put(VALIDATING, configuration("ValidatingWebhookConfiguration"));
    cluster.put(MUTATING, configuration("MutatingWebhookConfiguration"));
    cluster
}

async fn obtain(cluster: &FakeCluster, lifetimes: Lifetimes) -> Certificate {
    let client = cluster.connection().client().unwrap();
    Certificate::obtain(client, place(), lifetimes).await.unwrap()
}

/// What the API server trusts.
fn trusted(cluster: &FakeCluster) -> String {
    let configuration = cluster.get(VALIDATING, "", "tidegate").unwrap();
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    String::from_utf8(BASE64_STANDARD.decode(bundle.unwrap_or_default()).unwrap()).unwrap()
}

fn secret(cluster: &FakeCluster, key: &str) -> String {
    let secret = cluster.get(SECRETS, "tidegate", "tidegate-certificate").unwrap();
    let text = secret["data"][key].as_str().unwrap();
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

/// A replica that serves what the Secret holds.
async fn replica(certificate: &Certificate) -> Server {
    let service = Service::new(built_in_engine(), Limits::default());
    let identity = Identity::Kept(certificate.served());
    let (tls, loaded) = TlsStore::new(identity, None, Arc::clone(&service.metrics)).unwrap();
    let tls = Arc::new(tls);
    tokio::spawn(Arc::clone(&tls).keep_current(loaded, std::time::Duration::from_millis(2)));
    let followed = certificate.clone();
    tokio::spawn(async move { followed.follow().await });
    Server::listen(service, Limits::default(), tls, String::new()).await
}

#[tokio::test]
async fn fifty_rotations_of_the_authority_under_load_fail_no_request() {
    let cluster = cluster().await;
    // Always due, so that every rotation is followed by the next.
    let lifetimes = Lifetimes {
        authority: SignedDuration::from_hours(40 * 24),
        leaf: SignedDuration::from_hours(30 * 24),
        before: SignedDuration::from_hours(41 * 24),
        settle: SETTLE,
    };
    let (one, other) = (obtain(&cluster, lifetimes).await, obtain(&cluster, lifetimes).await);
    assert_eq!(one.served().load().chain, other.served().load().chain, "one Secret for all");
    let mut last = None;
    let mut now = Timestamp::now();
    one.turn(&mut last, now).await.unwrap();
    let servers = [replica(&one).await, replica(&other).await];

    // Two API servers, each with new connections all the time, trusting what the configuration holds.
    let stop = Arc::new(AtomicBool::new(false));
    let done = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let mut loads = Vec::new();
    for (server, done) in servers.iter().zip(&done) {
        let (address, cluster) = (server.address, cluster.clone());
        let (stop, done) = (Arc::clone(&stop), Arc::clone(done));
        loads.push(tokio::spawn(async move {
            let body = recorded("validate-create-job-argocd-migration");
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match connect(address, client_config(&trusted(&cluster))).await {
                    Ok(mut connection) => {
                        let reply = connection.post("/validate?timeout=5s", &body).await;
                        assert_eq!(reply.response()["uid"], uid(&body).as_str());
                    }
                    Err(error) => failures.push(error.to_string()),
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            failures
        }));
    }
    let mut leaves = std::collections::BTreeSet::new();
    let mut authorities = std::collections::BTreeSet::new();
    while leaves.len() <= 50 {
        one.turn(&mut last, now).await.unwrap();
        now += SETTLE;
        let leaf = secret(&cluster, "tls.crt");
        let bundle = secret(&cluster, "ca.crt");
        assert!(bundle.matches("BEGIN CERTIFICATE").count() <= 2, "old authorities leave");
        authorities.extend(tidegate::pki::split(&bundle));
        leaves.insert(leaf.clone());
        // A step builds on the one before only when that has spread: to the replicas, and to whoever connects.
        let served = || [&one, &other].iter().all(|it| it.served().load().chain == leaf);
        eventually("both replicas have it", served).await;
        let before: Vec<_> = done.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        let went_on =
            || done.iter().zip(&before).all(|(now, then)| now.load(Ordering::Relaxed) > then + 1);
        eventually("requests go on", went_on).await;
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        assert_eq!(load.await.unwrap(), [""; 0]);
    }
    assert!(authorities.len() > 50, "{} authorities", authorities.len());
}

#[tokio::test]
async fn what_an_administrator_took_away_stays_away() {
    let cluster = cluster().await;
    let certificate = obtain(&cluster, Lifetimes::default()).await;
    let mut last = None;
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    let bundle = secret(&cluster, "ca.crt");
    assert_eq!(trusted(&cluster), bundle);
    let both = cluster.get(MUTATING, "", "tidegate").unwrap();
    assert_eq!(
        both["webhooks"][1]["clientConfig"]["caBundle"],
        json!(BASE64_STANDARD.encode(&bundle))
    );
    let settled = cluster.writes().len();
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    assert_eq!(cluster.writes().len(), settled, "nothing to do, nothing written");

    // Deleted in an emergency.
    cluster.delete(VALIDATING, "", "tidegate");
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    assert_eq!(cluster.get(VALIDATING, "", "tidegate"), None);
    // Put back with a switch: hands off.
    let mut off = configuration("ValidatingWebhookConfiguration");
    off["metadata"]["annotations"] = json!({"tidegate.dev/inject-ca": "false"});
    cluster.put(VALIDATING, off);
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    assert_eq!(trusted(&cluster), "");
    // Put back by a deployment: it is trusted again.
    cluster.put(VALIDATING, configuration("ValidatingWebhookConfiguration"));
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    assert_eq!(trusted(&cluster), bundle);
}

#[tokio::test]
async fn a_secret_that_is_deleted_comes_back_as_it_was_and_the_leader_keeps_it() {
    let cluster = cluster().await;
    let certificate = obtain(&cluster, Lifetimes::default()).await;
    let mut last = None;
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    let (leaf, bundle) = (secret(&cluster, "tls.crt"), secret(&cluster, "ca.crt"));
    cluster.delete(SECRETS, "tidegate", "tidegate-certificate");
    certificate.turn(&mut last, Timestamp::now()).await.unwrap();
    assert_eq!((secret(&cluster, "tls.crt"), secret(&cluster, "ca.crt")), (leaf, bundle));

    // What somebody else put there is not overwritten: it is told, and what is served stays.
    let mut other = cluster.get(SECRETS, "tidegate", "tidegate-certificate").unwrap();
    other["data"].as_object_mut().unwrap().remove("ca.key");
    cluster.put(SECRETS, other);
    let error = certificate.turn(&mut last, Timestamp::now()).await.unwrap_err().to_string();
    assert!(error.contains("tidegate/tidegate-certificate has no ca.key"), "{error}");

    // The loop of the replica that leads: a configuration that appears gets its authority.
    cluster.delete(SECRETS, "tidegate", "tidegate-certificate");
    cluster.delete(MUTATING, "", "tidegate");
    tokio::spawn(async move { certificate.keep(Leader::alone()).await });
    cluster.put(MUTATING, configuration("MutatingWebhookConfiguration"));
    eventually("it is trusted", || {
        let configuration = cluster.get(MUTATING, "", "tidegate").unwrap();
        configuration["webhooks"][0]["clientConfig"]["caBundle"].is_string()
    })
    .await;
}
