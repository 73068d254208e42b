//! What the chart renders: a real API server takes it, and gives the servers what they may have.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::e2e::{
    cluster::Answer,
    process::poll,
    site::{chart, helm},
    tidegate::Tidegate,
    world::World,
};

const NAMESPACE: &str = "tidegate";

/// Kinds that need somebody else's definitions.
const FOREIGN: [&str; 2] = ["cert-manager.io/", "monitoring.coreos.com/"];

fn objects(text: &str) -> Vec<Value> {
    let documents = tidegate::source::documents(text).into_iter();
    let values = documents.map(|document| document.unwrap().value().clone());
    let own = |value: &Value| {
        let version = value["apiVersion"].as_str().unwrap();
        !FOREIGN.iter().any(|group| version.starts_with(group))
    };
    values.filter(|value| !value.is_null()).filter(own).collect()
}

fn rendered(file: &str) -> Vec<Value> {
    objects(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap())
}

/// As one text that kubectl reads.
fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// The manifests are taken as they are, and the Pods of the Deployment are restricted ones.
pub(super) fn manifests(world: &World) {
    let cluster = &world.cluster;
    let installed = rendered("deploy/install.yaml");
    let namespace: Vec<Value> =
        installed.iter().filter(|object| object["kind"] == "Namespace").cloned().collect();
    let apply = ["apply", "--server-side", "--validate=strict", "-f", "-"];
    cluster.kubectl_with(&apply, &list(&namespace)).done();
    let answer = cluster.kubectl_with(&apply, &list(&installed)).done();
    assert!(!answer.stderr.contains("Warning"), "{answer}");
    may(world);
    works(world);
    let deployment = installed.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]});
    pod["metadata"] =
        json!({"name": "probe", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]});
    let dry = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    cluster.kubectl_with(&dry, &pod.to_string()).done();
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let answer = cluster.kubectl_with(&dry, &pod.to_string());
    assert!(answer.stderr.contains("violates PodSecurity \"restricted"), "{answer}");
    profiles(world);
    // Later cases look for tidegate's own objects only where they made them; all need its kinds.
    let own: Vec<Value> = installed
        .into_iter()
        .filter(|object| object["kind"] != "CustomResourceDefinition")
        .collect();
    cluster.kubectl_with(&["delete", "--wait=false", "-f", "-"], &list(&own)).done();
}

/// What the account of the servers may and may not, as the API server sees it.
fn may(world: &World) {
    let user = format!("--as=system:serviceaccount:{NAMESPACE}:tidegate");
    for (verb, resource, namespace, want) in [
        ("watch", "namespaces", "", true),
        ("watch", "jobs.batch", "", true),
        ("patch", "leases.coordination.k8s.io/tidegate", NAMESPACE, true),
        ("create", "events.events.k8s.io", "", true),
        ("patch", "leases.coordination.k8s.io/other", NAMESPACE, false),
        ("get", "secrets", NAMESPACE, false),
        ("get", "configmaps", "", false),
        ("list", "pods", "", false),
        ("create", "jobs.batch", "", false),
        ("patch", "validatingwebhookconfigurations.admissionregistration.k8s.io", "", false),
    ] {
        let scope = if namespace.is_empty() { "-A".to_owned() } else { format!("-n={namespace}") };
        let answer = world.cluster.kubectl(&["auth", "can-i", verb, resource, &user, &scope]);
        assert_eq!(answer.stdout.trim() == "yes", want, "{verb} {resource}: {answer}");
    }
}

/// The servers get ready with nothing but what the account may.
fn works(world: &World) {
    let cluster = &world.cluster;
    let token = cluster.kubectl(&["create", "token", "tidegate", "-n", NAMESPACE]).done().stdout;
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(cluster.kubeconfig()).unwrap()).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = cluster.folder().join("account.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    let mut server = Tidegate::start_as("tidegate-account", &path, NAMESPACE, cluster).unwrap();
    let lease = ["get", "lease", "tidegate", "-n", NAMESPACE, "-o=jsonpath={.spec.holderIdentity}"];
    let led = poll("it leads", Duration::from_secs(30), || {
        let answer = cluster.kubectl(&lease);
        if answer.success && !answer.stdout.is_empty() { Ok(()) } else { Err(answer.to_string()) }
    });
    led.unwrap_or_else(|error| panic!("{error}\n{}", server.tail()));
    let log = server.log();
    assert!(!log.contains("forbidden") && !log.contains("Forbidden"), "{log}");
    server.stop();
}

/// With a real helm, named by `HELM`: what every profile renders is taken, too.
fn profiles(world: &World) {
    let Some(helm) = helm() else { return };
    for profile in ["audit-only", "staging", "production"] {
        let output = Command::new(&helm)
            .args(["template", "tidegate", "--namespace", NAMESPACE])
            .arg(chart())
            .arg("--values")
            .arg(chart().join(format!("profiles/{profile}.yaml")))
            .args(["--set=reports.enabled=true", "--set=facts.configMaps=true"])
            .args(["--set=facts.backups={velero,cloudnativepg}", "--set=crds.install=false"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut found = objects(&String::from_utf8(output.stdout).unwrap());
        for object in &mut found {
            if object["webhooks"].is_array() {
                // Not over the registration of this run.
                object["metadata"]["name"] = json!("tidegate-rendered");
            }
        }
        assert!(found.len() > 12, "{profile}");
        let dry = ["apply", "--dry-run=server", "--server-side", "--force-conflicts"];
        world
            .cluster
            .kubectl_with(&[&dry[..], &["--validate=strict", "-f", "-"]].concat(), &list(&found))
            .done();
    }
}

/// What helm makes and takes away, in which order, and what stays behind.
pub(super) fn release(world: &World) {
    let Some(helm) = helm() else { return };
    let cluster = &world.cluster;
    let run = |args: &[&str]| {
        let output = Command::new(&helm)
            .args(args)
            .args(["--namespace=guarded"])
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("HOME", cluster.folder())
            .output()
            .unwrap();
        let [text, told] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        assert!(output.status.success(), "{args:?}: {told}");
        text + &told
    };
    let chart = chart().display().to_string();
    // Beside the registration of this run, and open, because nobody answers.
    let own = [
        "--set=fullnameOverride=guard,certificates.mode=provided,crds.install=false",
        "--set=webhooks.validating.failurePolicy=Ignore,webhooks.validating.timeoutSeconds=1",
        "--set=certificates.caBundle=-----BEGIN CERTIFICATE-----",
    ];
    let notes = run(&[&["install", "guard", &chart, "--create-namespace"], &own[..]].concat());
    assert!(notes.contains("NOTHING YET"), "{notes}");
    let configuration = ["get", "validatingwebhookconfiguration", "guard", "-o=name"];
    let there = |answer: &Answer| answer.success;
    assert!(!there(&cluster.kubectl(&configuration)), "the servers come first");
    cluster.kubectl(&["get", "-n=guarded", "deployment/guard", "poddisruptionbudget/guard"]).done();
    let upgrade = ["upgrade", "guard", &chart, "--set=webhooks.register=true"];
    let notes = run(&[&upgrade, &own[..]].concat());
    assert!(notes.contains("LET IN UNSEEN"), "{notes}");
    assert!(there(&cluster.kubectl(&configuration)));
    run(&["rollback", "guard", "1"]);
    assert!(!there(&cluster.kubectl(&configuration)), "the way back takes the registration away");
    run(&[&upgrade, &own[..]].concat());
    let told = run(&["uninstall", "guard", "--debug"]);
    if run(&["version", "--short"]).contains("v4.") {
        // Nobody may be asked any more when nobody answers any more.
        let at =
            |kind: &str| told.find(&format!("kind={kind}")).unwrap_or_else(|| panic!("{told}"));
        assert!(at("ValidatingWebhookConfiguration") < at("Service"), "{told}");
        assert!(at("MutatingWebhookConfiguration") < at("Deployment"), "{told}");
    }
    let left = cluster.kubectl(&[
        "get",
        "validatingwebhookconfigurations,mutatingwebhookconfigurations,clusterroles,clusterrolebindings",
        "-l=app.kubernetes.io/instance=guard",
        "-o=name",
    ]);
    assert_eq!(left.done().stdout, "");
}

/// The bases for kustomize hold what they name.
pub(super) fn bases(world: &World) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (base, kind, count) in [
        ("deploy", "Deployment", 1),
        ("deploy", "CustomResourceDefinition", 3),
        ("deploy/webhooks", "ValidatingWebhookConfiguration", 1),
    ] {
        let text =
            world.cluster.kubectl(&["kustomize", root.join(base).to_str().unwrap()]).done().stdout;
        let found = objects(&text);
        assert_eq!(found.iter().filter(|object| object["kind"] == kind).count(), count, "{base}");
    }
}

/// Whoever applies the configurations again leaves alone what cert-manager wrote into them.
pub(super) fn injected_authority(world: &World) {
    let cluster = &world.cluster;
    let mut configurations = rendered("deploy/webhooks/webhooks.yaml");
    for configuration in &mut configurations {
        // Beside the registration of this run, and for no namespace, so that nobody waits for it.
        configuration["metadata"]["name"] = json!("tidegate-rendered");
        for hook in configuration["webhooks"].as_array_mut().unwrap() {
            hook["namespaceSelector"] = json!({"matchLabels": {"no": "namespace"}});
        }
    }
    let apply =
        ["apply", "--server-side", "--field-manager=gitops", "--validate=strict", "-f", "-"];
    cluster.kubectl_with(&apply, &list(&configurations)).done();
    for configuration in &configurations {
        let name = format!("{}/tidegate-rendered", configuration["kind"].as_str().unwrap());
        let bundle = |at: usize| format!("jsonpath={{.webhooks[{at}].clientConfig.caBundle}}");
        let patch: Vec<Value> = (0..2)
            .map(|at| json!({"op": "add", "path": format!("/webhooks/{at}/clientConfig/caBundle"), "value": "LS0t"}))
            .collect();
        let patch = Value::from(patch).to_string();
        cluster
            .kubectl(&["patch", &name, "--field-manager=cainjector", "--type=json", "-p", &patch])
            .done();
        let before =
            cluster.kubectl(&["get", &name, "-o=jsonpath={.metadata.generation}"]).done().stdout;
        cluster.kubectl_with(&apply, &list(&configurations)).done();
        let after =
            cluster.kubectl(&["get", &name, "-o=jsonpath={.metadata.generation}"]).done().stdout;
        assert_eq!(before, after, "{name}: applying it again changed something");
        for at in 0..2 {
            assert_eq!(cluster.kubectl(&["get", &name, "-o", &bundle(at)]).done().stdout, "LS0t");
        }
        cluster.kubectl(&["delete", &name]).done();
    }
}
