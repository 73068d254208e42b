//! `tidegate doctor`, on installations that are ill in one way each.

use serde_json::{Value, json};
use tidegate::doctor::{Grade, Installation, Symptom, examine};

use crate::fake_cluster::FakeCluster;

const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// The configurations as `tidegate webhook-config` prints them, with an authority.
fn configurations() -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let names = vec!["tidegate.tidegate.svc".to_owned()];
    let lifetimes = tidegate::pki::Lifetimes::default();
    let kept = tidegate::pki::Kept::new(&names, &lifetimes, jiff::Timestamp::now()).unwrap();
    std::fs::write(&file, kept.pair().bundle).unwrap();
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
    for mut configuration in configurations() {
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
    for check in ["registration", "authority"] {
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
