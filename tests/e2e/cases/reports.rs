//! A real API server is scanned and takes the reports: with exactly the rights that are listed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tidegate::cluster::rbac;

use crate::e2e::{
    cluster::Cluster,
    manifests,
    namespace::Namespace,
    process::{Process, poll},
    tidegate::Tidegate,
    world::World,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");
/// The collector looks for new kinds every half minute.
const LIMIT: Duration = Duration::from_mins(2);
const USER: &str = "tidegate-with-listed-rights";

pub(super) fn reports(world: &World, tidegate: &mut Tidegate) {
    let cluster = &world.cluster;
    let namespace = world.watched_namespace("reports");
    let kubeconfig = with_listed_rights(cluster);
    namespace.make(&manifests::deployment(&[manifests::migrating("migrate")])).done();

    // The kinds of the working group first; once there are openreports, those.
    install(cluster, "policy-report-crds.yaml", "policyreports.wgpolicyk8s.io");
    let text = scan(&kubeconfig, &["--publish", "-n", "reports"], 1);
    assert!(text.contains("reports: 1 written"), "{text}");
    let report = namespace.get("policyreports/tidegate-00");
    assert_eq!(report["results"][0]["rule"], "migration-in-init-container", "{report}");
    assert_eq!(report["metadata"]["ownerReferences"][0]["name"], "tidegate", "{report}");
    let text = scan(&kubeconfig, &["--publish", "-n", "reports"], 1);
    assert!(text.contains("reports: 0 written, 1 unchanged"), "{text}");
    install(cluster, "open-report-crds.yaml", "reports.openreports.io");

    // Two servers; the one that leads scans the whole cluster.
    let mut one = serve(cluster, &kubeconfig, "tidegate-one");
    let written = || subjects(&namespace);
    let first = poll("a report by the first", LIMIT, || said(written() == ["shop"], &written()));
    first.unwrap_or_else(|error| panic!("{error}\n{}", one.tail()));
    let mut two = serve(cluster, &kubeconfig, "tidegate-two");
    let mut second = manifests::deployment(&[manifests::migrating("migrate")]);
    second["metadata"]["name"] = "second".into();
    namespace.make(&second).done();
    assert!(one.terminate(LIMIT).success());
    // It was given up, and perhaps taken since: nobody waits for the end of a lease.
    let holder = ["get", "lease", "tidegate", "-n=default", "-o=jsonpath={.spec.holderIdentity}"];
    let holder = cluster.kubectl(&holder).done().stdout;
    assert!(["", "tidegate-two"].contains(&holder.as_str()), "{holder}\n{}", one.tail());
    // It scans when it comes to lead, not an interval later.
    let other =
        poll("a report by the second", LIMIT, || said(written() == ["second", "shop"], &written()));
    other.unwrap_or_else(|error| panic!("{error}\n{}", two.tail()));
    for log in [one.log(), two.log()] {
        assert!(!log.contains("orbidden"), "a right is missing:\n{log}");
    }
    assert!(two.terminate(LIMIT).success());

    // Nothing to tell: nothing stays.
    namespace.kubectl(&["delete", "deployment/second"]).done();
    scan(&kubeconfig, &["--publish", "-n", "reports"], 1);
    assert_eq!(written(), ["shop"]);
    if cluster.has_controllers() {
        collected(cluster, &namespace);
        tidegate.register(cluster).unwrap();
    }
    namespace.kubectl(&["delete", "deployment/shop"]).done();
    scan(&kubeconfig, &["--publish", "-n", "reports"], 0);
    assert_eq!(written(), Vec::<String>::new());
}

/// The reports go with the installation.
fn collected(cluster: &Cluster, namespace: &Namespace<'_>) {
    cluster.kubectl(&["delete", "validatingwebhookconfiguration", "tidegate"]).done();
    let gone = poll("the collector takes the reports", LIMIT, || {
        said(subjects(namespace).is_empty(), &subjects(namespace))
    });
    gone.unwrap();
}

fn said(holds: bool, seen: &[String]) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen.join(", ")) }
}

/// The names of the objects that something was found in.
fn subjects(namespace: &Namespace<'_>) -> Vec<String> {
    let list = namespace.get("reports.openreports.io");
    let reports = list["items"].as_array().unwrap().iter();
    let results = reports.flat_map(|report| report["results"].as_array().unwrap());
    let fails = results.filter(|result| result["result"] == "fail");
    let name = |result: &Value| result["resources"][0]["name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = fails.map(name).collect();
    names.sort();
    names
}

fn install(cluster: &Cluster, file: &str, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(file);
    cluster.kubectl(&["apply", "-f", file.to_str().unwrap()]).done();
    let conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} {end}";
    let ready = poll("the kind is served", Duration::from_secs(30), || {
        let crd = format!("crd/{name}");
        let printed = cluster.kubectl(&["get", &crd, "-o", conditions]).done().stdout;
        let served = cluster.kubectl(&["get", name, "-A"]).success;
        if printed.contains("Established=True") && served { Ok(()) } else { Err(printed) }
    });
    ready.unwrap();
}

/// A kubeconfig of somebody who may do what is listed, and nothing else.
fn with_listed_rights(cluster: &Cluster) -> PathBuf {
    let rights = [rbac::serving(), rbac::scanning(), rbac::reporting()].concat();
    let rules: Vec<_> = rights
        .iter()
        .map(|it| json!({"apiGroups": [it.group], "resources": it.resources, "verbs": it.verbs}))
        .collect();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": USER}, "rules": rules});
    cluster.kubectl_with(&["apply", "-f", "-"], &role.to_string()).done();
    let (role, user) = (format!("--clusterrole={USER}"), format!("--user={USER}"));
    cluster.kubectl(&["create", "clusterrolebinding", USER, &role, &user]).done();
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(cluster.kubeconfig()).unwrap()).unwrap();
    config["users"][0]["user"]["as"] = USER.into();
    let path = cluster.folder().join("kubeconfig-of-tidegate");
    fs::write(&path, config.to_string()).unwrap();
    path
}

#[track_caller]
fn scan(kubeconfig: &Path, args: &[&str], code: i32) -> String {
    let output = Command::new(PROGRAM)
        .args(["scan", "--color", "never", "--kubeconfig"])
        .arg(kubeconfig)
        .args(args)
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    text
}

fn serve(cluster: &Cluster, kubeconfig: &Path, name: &'static str) -> Process {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .args(["--log", "json", "--drain", "0s", "--kube", "on", "--reports", "on"])
        .env("KUBECONFIG", kubeconfig)
        .env("POD_NAMESPACE", "default")
        .env("POD_NAME", name)
        .env("NO_PROXY", "*");
    Process::start(name, cluster.folder(), &mut command).unwrap()
}
