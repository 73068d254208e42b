//! Values at the edges, and what comes of each: found in the objects, not in their text.

use serde_json::{Value, json};

use super::{helm, run};
use crate::deploy::{CHART, known_fields, objects, one};

/// The longest name that helm gives a release.
const LONGEST: &str = "a-release-of-fifty-three-characters-and-that-is-most1";
type Check = fn(&[Value]);

fn deployment(found: &[Value]) -> &Value {
    &one(found, "Deployment")["spec"]
}

fn pod(found: &[Value]) -> &Value {
    &deployment(found)["template"]
}

fn container(found: &[Value]) -> &Value {
    &pod(found)["spec"]["containers"][0]
}

fn has(found: &[Value], kind: &str) -> bool {
    found.iter().any(|object| object["kind"] == kind)
}

/// What happens when nobody answers: for the gate, approvals, policies and exceptions; for defaults,
/// and for who approves.
fn when_nobody_answers(found: &[Value]) -> Vec<&str> {
    let kinds = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];
    let hooks: Vec<_> =
        kinds.iter().flat_map(|kind| one(found, kind)["webhooks"].as_array().unwrap()).collect();
    let names: Vec<_> = hooks.iter().map(|hook| hook["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "validate.tidegate.dev",
            "approvals.validate.tidegate.dev",
            "documents.validate.tidegate.dev",
            "mutate.tidegate.dev",
            "approvals.mutate.tidegate.dev"
        ]
    );
    hooks.iter().map(|hook| hook["failurePolicy"].as_str().unwrap()).collect()
}

/// What is at an edge, how helm is told, and what comes of it.
const EDGES: &[(&str, &[&str], Check)] = &[
    ("one replica does not hold up a drain", &["--set=replicas=1"], |found| {
        assert_eq!(deployment(found)["replicas"], 1);
        assert_eq!(one(found, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
        assert_eq!(one(found, "ResourceQuota")["spec"]["hard"]["pods"], "2");
    }),
    ("many replicas have room for a rollout", &["--set=replicas=100"], |found| {
        assert_eq!(deployment(found)["replicas"], 100);
        assert_eq!(one(found, "ResourceQuota")["spec"]["hard"]["pods"], "200");
        assert_eq!(deployment(found)["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    }),
    (
        "empty lists leave nothing behind",
        &["--set-json=tolerations=[],extraArgs=[],image.pullSecrets=[],facts.backups=[],\
                 networkPolicy.metricsFrom=[],networkPolicy.apiServer=[],rbac.aggregate.viewer=[]"],
        |found| {
            assert_eq!(pod(found)["spec"]["tolerations"], Value::Null);
            assert_eq!(pod(found)["spec"]["imagePullSecrets"], Value::Null);
            let policy = &one(found, "NetworkPolicy")["spec"];
            assert_eq!(policy["ingress"], json!([{"ports": [{"port": "webhook"}]}]));
            assert_eq!(policy["egress"][1]["ports"], json!([{"port": 443}, {"port": 6443}]));
            let text = json!(found).to_string();
            assert!(!text.contains("rbac.authorization.k8s.io/aggregate-to-view"));
        },
    ),
    ("a long name of a release is a label", &[], |found| {
        let name = &pod(found)["metadata"]["labels"]["app.kubernetes.io/instance"];
        assert_eq!(name, LONGEST);
        assert_eq!(one(found, "Deployment")["metadata"]["name"], "tidegate");
    }),
    (
        "a long name of everything",
        &[
            "--set=webhooks.register=true,fullnameOverride=a-name-of-63-characters-which-is-as-many-as-a-service-may-have1",
        ],
        |found| {
            let name = &one(found, "Service")["metadata"]["name"];
            assert_eq!(name.as_str().unwrap().len(), 63);
            let hook = &one(found, "ValidatingWebhookConfiguration")["webhooks"][0];
            assert_eq!(hook["clientConfig"]["service"]["name"], *name);
            let account = &pod(found)["spec"]["serviceAccountName"];
            assert_eq!(*account, one(found, "ServiceAccount")["metadata"]["name"]);
        },
    ),
    (
        "what is added to Pods is added, and they are found as before",
        &[
            r#"--set-json=podLabels={"team":"db","cost-center":"42"},podAnnotations={"a.b/c":"true"},tolerations=[{"operator":"Exists"}],nodeSelector={"disk":"ssd"},affinity={"nodeAffinity":{}}"#,
        ],
        |found| {
            let metadata = &pod(found)["metadata"];
            assert_eq!(metadata["labels"]["cost-center"], "42");
            assert_eq!(metadata["annotations"]["a.b/c"], "true");
            assert!(metadata["annotations"]["checksum/policies"].is_string());
            let spec = &pod(found)["spec"];
            assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
            assert_eq!(spec["nodeSelector"], json!({"disk": "ssd"}));
            let chosen = deployment(found)["selector"]["matchLabels"].as_object().unwrap();
            assert_eq!(chosen.len(), 2, "{chosen:?}");
        },
    ),
    ("no network policy", &["--set=networkPolicy.enabled=false"], |found| {
        assert!(!has(found, "NetworkPolicy"));
    }),
    ("a certificate of cert-manager", &["--set=certificates.mode=certManager"], |found| {
        assert_eq!(found.iter().filter(|it| it["kind"] == "Issuer").count(), 2);
        let volume = &pod(found)["spec"]["volumes"][0];
        assert_eq!(volume["secret"]["secretName"], "tidegate-tls");
        let certificate = found.iter().rfind(|it| it["kind"] == "Certificate").unwrap();
        assert_eq!(certificate["spec"]["secretName"], "tidegate-tls");
    }),
    (
        "a certificate of one's own",
        &["--set=certificates.mode=provided,certificates.secretName=own,webhooks.register=true,\
                 certificates.caBundle=-----BEGIN CERTIFICATE-----"],
        |found| {
            assert!(!has(found, "Issuer") && !has(found, "Certificate"));
            assert_eq!(pod(found)["spec"]["volumes"][0]["secret"]["secretName"], "own");
            for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
                for hook in one(found, kind)["webhooks"].as_array().unwrap() {
                    assert!(hook["clientConfig"]["caBundle"].is_string(), "{hook}");
                }
            }
            let rules = one(found, "Role")["rules"].to_string();
            assert!(!rules.contains("secrets"), "the servers need not read it: {rules}");
        },
    ),
    (
        "everything fails closed",
        &["--set=webhooks.register=true,webhooks.mutating.failurePolicy=Fail"],
        |found| assert_eq!(when_nobody_answers(found), ["Fail", "Fail", "Ignore", "Fail", "Fail"]),
    ),
    (
        "everything but approvals fails open",
        &["--set=webhooks.register=true,webhooks.validating.failurePolicy=Ignore"],
        |found| {
            assert_eq!(when_nobody_answers(found), ["Ignore", "Fail", "Ignore", "Ignore", "Fail"]);
        },
    ),
    ("no resources", &["--set=resources=null"], |found| {
        assert_eq!(container(found)["resources"], Value::Null);
    }),
    ("no limits", &["--set=resources.limits=null"], |found| {
        let requests = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
        assert_eq!(container(found)["resources"], requests);
    }),
    ("other limits", &["--set=resources.limits.memory=1Gi,resources.requests.cpu=null"], |found| {
        let want = json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "1Gi"}});
        assert_eq!(container(found)["resources"], want);
    }),
    (
        "no maps and lists at all",
        &["--set=tolerations=null,affinity=null,nodeSelector=null,podLabels=null,\
                 podAnnotations=null,extraArgs=null,image.pullSecrets=null,\
                 networkPolicy.apiServer=null,networkPolicy.metricsFrom=null,\
                 certificates.issuerRef=null,serviceAccount.annotations=null"],
        |found| {
            assert_eq!(pod(found)["spec"]["affinity"], Value::Null);
            assert_eq!(pod(found)["metadata"]["annotations"].as_object().unwrap().len(), 1);
            assert!(has(found, "Issuer"));
        },
    ),
    ("Applications are not read", &["--set=events.argocdNamespace="], |found| {
        let rules = json!(found).to_string();
        assert!(!rules.contains("argoproj.io\"]") && !rules.contains("applications"));
        let args = container(found)["args"].to_string();
        assert!(args.contains("\"--argocd-namespace=\""), "{args}");
    }),
];

/// What holds for every rendering: names and labels that the API server takes, objects where the
/// release is, and selectors that find the Pods.
fn holds_together(what: &str, found: &[Value], namespace: &str) {
    let cluster = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];
    let labels = pod(found)["metadata"]["labels"].as_object().unwrap();
    for object in found {
        let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
        let name = metadata["name"].as_str().unwrap();
        let most = if ["Service", "Namespace"].contains(&kind) { 63 } else { 253 };
        assert!((1..=most).contains(&name.len()), "{what}: {kind} {name}");
        for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap();
            assert!(value.len() <= 63, "{what}: {kind} {key}: {value}");
        }
        let is_wide = cluster.contains(&kind) || kind.ends_with("WebhookConfiguration");
        let want = if is_wide { Value::Null } else { json!(namespace) };
        assert_eq!(metadata["namespace"], want, "{what}: {kind} {name}");
    }
    let selector = |kind: &str, pointer: &str| {
        let object = found.iter().find(|object| object["kind"] == kind)?;
        Some(object.pointer(pointer).unwrap().as_object().unwrap().clone())
    };
    let selectors = [
        ("Deployment", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
    ];
    for (kind, pointer) in selectors {
        for (key, value) in selector(kind, pointer).into_iter().flatten() {
            assert_eq!(labels.get(&key), Some(&value), "{what}: {kind}");
        }
    }
    let subject = &one(found, "ClusterRoleBinding")["subjects"][0];
    assert_eq!(subject["namespace"], namespace, "{what}");
    assert_eq!(subject["name"], pod(found)["spec"]["serviceAccountName"], "{what}");
}

#[test]
fn values_at_the_edges_come_to_what_they_say() {
    let Some(helm) = helm() else { return };
    assert_eq!(LONGEST.len(), 53);
    let namespace = "a-team-with-dashes-0";
    let place = format!("--namespace={namespace}");
    for (what, values, check) in EDGES {
        let mut args = vec!["template", LONGEST, CHART, &place];
        args.extend(*values);
        let output = run(&helm, &args);
        assert_eq!(output.code, 0, "{what}: {}", output.err);
        let text = output.out;
        let found = objects(&text);
        assert!(known_fields(&found) >= 12, "{what}");
        assert!(!text.contains("<no value>") && !text.contains("%!"), "{what}");
        holds_together(what, &found, namespace);
        check(&found);
    }
}
