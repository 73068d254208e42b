//! `tidegate doctor`, on installations that are ill in one way each.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tidegate::{
    doctor::{Grade, Installation, Symptom, examine},
    pki::Pair,
};

use crate::fake_cluster::FakeCluster;

const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const SECRETS: &str = "/api/v1/secrets";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// A certificate for these names, with an authority of its own.
fn pair(name: &str) -> Pair {
    let lifetimes = tidegate::pki::Lifetimes::default();
    let names = [name.to_owned()];
    tidegate::pki::Kept::new(&names, &lifetimes, jiff::Timestamp::now()).unwrap().pair()
}

/// What a Secret holds of it.
fn secret(pair: &Pair) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "own", "namespace": "tidegate"},
        "data": {"tls.crt": BASE64_STANDARD.encode(&pair.chain)}})
}

/// The configurations as `tidegate webhook-config` prints them, with an authority.
fn configurations(bundle: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, bundle).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["webhook-config", "--service", "tidegate/tidegate", "--ca-bundle"])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = tidegate::source::documents(&text).into_iter();
    documents.map(|document| document.unwrap().value().clone()).collect()
}

async fn healthy() -> FakeCluster {
    let cluster = FakeCluster::start().await;
    let pair = pair("tidegate.tidegate.svc");
    cluster.put(SECRETS, secret(&pair));
    let args = ["serve", "--tls-secret=own"];
    cluster.put(DEPLOYMENTS, json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "tidegate", "namespace": "tidegate"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "tidegate", "args": args}]}}}}));
    for mut configuration in configurations(&pair.bundle) {
        for hook in configuration["webhooks"].as_array_mut().unwrap() {
            // As an API server shows what nobody said.
            hook.as_object_mut().unwrap().entry("namespaceSelector").or_insert(json!({}));
        }
        let validates = configuration["kind"] == "ValidatingWebhookConfiguration";
        cluster.put(if validates { VALIDATING } else { MUTATING }, configuration);
    }
    cluster.put(SERVICES, json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "tidegate", "namespace": "tidegate"}, "spec": {"ports": [{"port": 443}]}}));
    let ready = json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true}});
    cluster.put(
        SLICES,
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "tidegate-1", "namespace": "tidegate",
            "labels": {"kubernetes.io/service-name": "tidegate"}},
        "addressType": "IPv4", "endpoints": [ready.clone(), ready]}),
    );
    cluster
}

async fn seen(cluster: &FakeCluster) -> Vec<Symptom> {
    let client = cluster.connection().client().unwrap();
    let installation = Installation {
        namespace: "tidegate".to_owned(),
        name: "tidegate".to_owned(),
        probe: "default".to_owned(),
    };
    examine(&client, &installation).await
}

/// What is worse than a warning, or a warning, of one check.
fn bad(seen: &[Symptom], check: &str) -> Vec<String> {
    let bad = seen.iter().filter(|it| it.check == check && it.grade >= Grade::Warning);
    bad.map(|symptom| format!("{}: {}", symptom.grade.as_str(), symptom.says)).collect()
}

#[track_caller]
fn only(seen: &[Symptom], check: &str, start: &str) {
    let bad = bad(seen, check);
    assert!(bad.len() == 1 && bad[0].starts_with(start), "{bad:?}");
    let symptom = seen.iter().find(|it| it.check == check && it.grade >= Grade::Warning).unwrap();
    assert!(!symptom.mend.is_empty(), "{symptom:?}");
}

#[tokio::test]
async fn a_registration_as_printed_is_all_right() {
    let seen = seen(&healthy().await).await;
    for check in ["registration", "authority", "certificate"] {
        assert_eq!(bad(&seen, check), [""; 0]);
        assert!(seen.iter().any(|it| it.check == check && it.grade == Grade::Ok), "{seen:?}");
    }
    let fine = |says: &str| seen.iter().any(|it| it.grade == Grade::Ok && it.says == says);
    assert!(
        fine("Service tidegate/tidegate has port 443") && fine("2 servers are ready"),
        "{seen:?}"
    );
    // What this API server cannot tell is unknown, never fine.
    let unknown =
        |check: &str| seen.iter().any(|it| it.check == check && it.grade == Grade::Unknown);
    assert!(unknown("failures"), "{seen:?}");
}

#[tokio::test]
async fn each_illness_is_named() {
    let cluster = healthy().await;
    cluster.delete(MUTATING, "", "tidegate");
    only(
        &seen(&cluster).await,
        "registration",
        "failure: there is no MutatingWebhookConfiguration `tidegate` with webhooks",
    );

    let cluster = healthy().await;
    let mut open = cluster.get(VALIDATING, "", "tidegate").unwrap();
    open["webhooks"][0]["failurePolicy"] = json!("Ignore");
    cluster.put(VALIDATING, open.clone());
    only(
        &seen(&cluster).await,
        "registration",
        "warning: `validate.tidegate.dev` has failurePolicy Ignore",
    );

    open["webhooks"][0]["failurePolicy"] = json!("Fail");
    open["webhooks"][0]["rules"]
        .as_array_mut()
        .unwrap()
        .retain(|rule| rule["apiGroups"] != json!(["batch"]));
    cluster.put(VALIDATING, open.clone());
    only(
        &seen(&cluster).await,
        "registration",
        "warning: `validate.tidegate.dev` does not ask about batch/",
    );

    let cluster = healthy().await;
    let mut locked = cluster.get(VALIDATING, "", "tidegate").unwrap();
    locked["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"] =
        json!(["tidegate"]);
    cluster.put(VALIDATING, locked);
    only(
        &seen(&cluster).await,
        "registration",
        "failure: `validate.tidegate.dev` is asked about namespace kube-system",
    );

    let cluster = healthy().await;
    let mut bare = cluster.get(MUTATING, "", "tidegate").unwrap();
    bare["webhooks"][0]["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    cluster.put(MUTATING, bare);
    only(&seen(&cluster).await, "authority", "failure: `mutate.tidegate.dev` has no caBundle");

    let cluster = healthy().await;
    cluster.delete(SERVICES, "tidegate", "tidegate");
    cluster.delete(SLICES, "tidegate", "tidegate-1");
    let bad = bad(&seen(&cluster).await, "servers");
    assert!(bad.iter().any(|it| it == "failure: there is no Service tidegate/tidegate"), "{bad:?}");
    assert!(bad.iter().any(|it| it.starts_with("failure: no server is ready")), "{bad:?}");

    let cluster = healthy().await;
    cluster.set_forbidden(VALIDATING, true);
    let seen = seen(&cluster).await;
    let unread = seen
        .iter()
        .find(|it| it.says.starts_with("the ValidatingWebhookConfiguration cannot be read"))
        .unwrap();
    assert_eq!(
        (unread.grade, unread.mend.as_str()),
        (Grade::Unknown, "run it as somebody who may read it")
    );
}

#[tokio::test]
async fn the_certificate_is_held_against_what_is_trusted() {
    let cluster = healthy().await;
    cluster.put(SECRETS, secret(&pair("tidegate.tidegate.svc")));
    let bad_ones = bad(&seen(&cluster).await, "certificate");
    assert_eq!(bad_ones.len(), 5, "one for each webhook: {bad_ones:?}");
    let says = "failure: `validate.tidegate.dev` trusts another authority than that of the certificate (Secret tidegate/own)";
    assert!(bad_ones[0].starts_with(says), "{bad_ones:?}");

    cluster.delete(SECRETS, "tidegate", "own");
    only(&seen(&cluster).await, "certificate", "failure: there is no Secret tidegate/own");

    let cluster = healthy().await;
    cluster.set_forbidden(SECRETS, true);
    let seen = seen(&cluster).await;
    let unread = seen.iter().find(|it| it.check == "certificate").unwrap();
    assert_eq!(unread.grade, Grade::Unknown, "{unread:?}");
}

/// Somebody's label that keeps namespaces away is told, and the platform's own like it.
#[tokio::test]
async fn a_selector_that_leaves_out_more_is_named() {
    let cluster = healthy().await;
    let mut edited = cluster.get(VALIDATING, "", "tidegate").unwrap();
    let expressions = edited["webhooks"][0]["namespaceSelector"]["matchExpressions"].as_array_mut();
    expressions.unwrap().push(json!({"key": "control-plane", "operator": "DoesNotExist"}));
    cluster.put(VALIDATING, edited);
    only(
        &seen(&cluster).await,
        "registration",
        "warning: `validate.tidegate.dev` is also kept from namespaces by control-plane",
    );
}
