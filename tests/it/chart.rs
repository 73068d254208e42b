//! The chart, as a real helm renders it. `HELM` names the program, or it is on the path; without one
//! these tests say that they are skipped, and `deploy` looks at what was rendered before.

mod edges;

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tidegate::cluster::rbac;

use crate::{
    command::{Folder, Output},
    deploy::{CHART, PROFILES, header, known_fields, needed, objects, of_the_servers, one, rights},
};

/// Files that are rendered from the chart, and how.
const RENDERED: [(&str, &[&str]); 3] = [
    ("deploy/install.yaml", &["--set=crds.install=false", "--set=namespace.create=true"]),
    (
        "deploy/webhooks/webhooks.yaml",
        &[
            "--set=webhooks.register=true",
            "--show-only=templates/validatingwebhookconfiguration.yaml",
            "--show-only=templates/mutatingwebhookconfiguration.yaml",
        ],
    ),
    (
        "deploy/observability/monitoring.yaml",
        &[
            "--set=monitoring.serviceMonitor.enabled=true",
            "--set=monitoring.prometheusRule.enabled=true",
            "--show-only=templates/servicemonitor.yaml",
            "--show-only=templates/prometheusrule.yaml",
        ],
    ),
];

const PROMETHEUS: &str = "--api-versions=monitoring.coreos.com/v1";

/// Values at the edges of what is allowed: what must stand in the result, or must not.
const EDGES: [(&str, &str, bool); 25] = [
    (
        "webhooks.register=true,certificates.mode=provided,certificates.caBundle=-----BEGIN CERTIFICATE-----",
        "caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
        true,
    ),
    ("certificates.mode=provided", "cert-manager.io", false),
    ("certificates.mode=selfManaged", "--tls-secret=tidegate-tls", true),
    ("certificates.mode=selfManaged", "resourceNames: [tidegate-tls]", true),
    ("certificates.mode=selfManaged", "cert-manager.io", false),
    (
        "certificates.issuerRef.name=corporate,certificates.issuerRef.kind=ClusterIssuer",
        "selfSigned",
        false,
    ),
    (
        "certificates.clientCaConfigMap=front-proxy",
        "--client-ca=/etc/tidegate/client-ca/ca.crt",
        true,
    ),
    (
        "webhooks.register=true,webhooks.validating.failurePolicy=Ignore",
        "failurePolicy: Fail",
        true,
    ),
    (
        "webhooks.register=true,webhooks.excludeNamespaces={calico-system,cert-manager}",
        "- calico-system",
        true,
    ),
    ("drainSeconds=0", "terminationGracePeriodSeconds: 45", true),
    ("drainSeconds=600", "terminationGracePeriodSeconds: 645", true),
    (
        "hostNetwork=true,namespace.create=true",
        "pod-security.kubernetes.io/enforce: privileged",
        true,
    ),
    ("decisionLog=true", "--decision-log=-", true),
    ("hostNetwork=true", "maxUnavailable: 1, maxSurge: 0", true),
    (
        "fullnameOverride=guard,monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.runbook=https://wiki/",
        "deployment=\"tidegate\"",
        false,
    ),
    ("ports.webhook=10250", "--listen=0.0.0.0:10250", true),
    ("replicas=1,priorityClassName=", "kind: ResourceQuota", false),
    ("networkPolicy.enabled=false", "kind: NetworkPolicy", false),
    (
        "networkPolicy.apiServer={10.0.0.1/32},networkPolicy.metricsFrom=null",
        "cidr: 10.0.0.1/32",
        true,
    ),
    ("crds.install=false", "kind: CustomResourceDefinition", false),
    (
        "facts.configMaps=true,facts.backups={volumesnapshots,velero,cloudnativepg}",
        "postgresql.cnpg.io",
        true,
    ),
    ("reports.enabled=true", "--scan-interval=1h", true),
    (
        "rbac.aggregate.approver={admin}",
        "rbac.authorization.k8s.io/aggregate-to-admin: \"true\"",
        true,
    ),
    (
        "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        concat!(":", env!("CARGO_PKG_VERSION"), "@sha256:0000"),
        true,
    ),
    (
        "fullnameOverride=guard,image.pullSecrets[0].name=registry,podLabels.team=db",
        "team: db",
        true,
    ),
];

/// What the schema refuses, and what it says.
const REFUSED: [(&str, &str); 18] = [
    ("certificates.mode=selfmanaged", "certificates"),
    ("certificates.mode=provided,webhooks.register=true", "caBundle"),
    ("webhooks.validating.failurePolicy=ignore", "failurePolicy"),
    ("webhooks.validating.timeoutSeconds=31", "timeoutSeconds"),
    ("webhooks.excludeNamespaces={kube-*}", "excludeNamespaces"),
    ("policies[0].kind=ConfigMap", "policies"),
    ("replicas=0", "replicas"),
    ("ports.webhook=443", "ports"),
    ("networkPolicy.apiServer={kubernetes}", "networkPolicy"),
    ("webhook.register=true", "webhook"),
    ("image.digest=latest", "digest"),
    // What is taken away leaves a hole: no replicas in the quota, every port open, another failurePolicy.
    ("replicas=null", "replicas"),
    ("networkPolicy.apiServerPorts=null", "apiServerPorts"),
    ("webhooks.validating.failurePolicy=null", "failurePolicy"),
    ("image=null", "image"),
    // What the chart writes itself cannot be written twice.
    ("podLabels.app\\.kubernetes\\.io/name=other", "app.kubernetes.io/name"),
    ("podLabels.helm\\.sh/chart=other", "helm.sh/chart"),
    ("podAnnotations.checksum/policies=none", "checksum/policies"),
];

fn helm() -> Option<PathBuf> {
    let program = PathBuf::from(env::var_os("HELM").unwrap_or_else(|| "helm".into()));
    if Command::new(&program).arg("version").output().is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    let _told = writeln!(std::io::stderr(), "skipped: there is no helm (HELM)");
    None
}

fn run(helm: &Path, args: &[&str]) -> Output {
    let folder = Folder::new("chart", "home");
    let output = Command::new(helm)
        .args(args)
        .env("HOME", &folder.0)
        .env("KUBECONFIG", "/dev/null")
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn template(helm: &Path, args: &[&str]) -> String {
    // As for a cluster with the Prometheus operator.
    let start = ["template", "tidegate", CHART, "--namespace=tidegate", PROMETHEUS];
    let output = run(helm, &[&start[..], args].concat());
    assert_eq!(output.code, 0, "{args:?}: {}", output.err);
    output.out
}

fn profile(name: &str) -> String {
    format!("--values={CHART}/profiles/{name}.yaml")
}

/// With everything that can be asked for, the servers have exactly the rights that the code names.
#[test]
fn the_roles_hold_every_right_and_no_other() {
    let Some(helm) = helm() else { return };
    let text = template(
        &helm,
        &[
            "--set=reports.enabled=true,facts.configMaps=true,certificates.mode=selfManaged",
            "--set=facts.backups={volumesnapshots,velero,cloudnativepg}",
        ],
    );
    let objects = objects(&text);
    let all = [rbac::serving(), rbac::scanning(), rbac::reporting(), rbac::certificate()].concat();
    assert_eq!(rights(&of_the_servers(&objects)), needed(&all));
}

#[test]
fn the_rendered_manifests_are_current() {
    let Some(helm) = helm() else { return };
    for (path, args) in RENDERED {
        let text = template(&helm, args);
        if env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(path, format!("{}{text}", header())).unwrap();
        }
        // Versions of helm write the same objects differently.
        let have = objects(&fs::read_to_string(path).unwrap());
        assert!(
            have == objects(&text),
            "{path} is stale: run `UPDATE_GENERATED=1 cargo test --test it chart`"
        );
    }
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    let Some(helm) = helm() else { return };
    for args in
        [vec![], vec![profile("audit-only")], vec![profile("staging")], vec![profile("production")]]
    {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = run(&helm, &[&["lint", "--strict", CHART], &args[..]].concat());
        assert_eq!(output.code, 0, "{args:?}: {}{}", output.out, output.err);
    }
}

#[test]
fn every_profile_renders_what_kubernetes_knows() {
    let Some(helm) = helm() else { return };
    for name in PROFILES {
        let found = objects(&template(&helm, &[&profile(name)]));
        assert!(known_fields(&found) >= 18, "{name}");
        let hook = &one(&found, "ValidatingWebhookConfiguration")["webhooks"][0];
        let want = if name == "audit-only" { "Ignore" } else { "Fail" };
        assert_eq!(hook["failurePolicy"], want, "{name}");
        let hook = &one(&found, "MutatingWebhookConfiguration")["webhooks"][0];
        assert_eq!(hook["failurePolicy"], "Ignore", "{name}");
        for kind in ["ServiceMonitor", "PrometheusRule"] {
            one(&found, kind);
        }
    }
}

#[test]
fn values_at_the_edges_render_too() {
    let Some(helm) = helm() else { return };
    for (values, text, there) in EDGES {
        let rendered = template(&helm, &["--set", values]);
        assert_eq!(rendered.contains(text), there, "{values}: {text}");
        assert!(known_fields(&objects(&rendered)) >= 12, "{values}");
        assert!(!rendered.contains("<no value>") && !rendered.contains("%!"), "{values}");
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    let Some(helm) = helm() else { return };
    for (values, says) in REFUSED {
        let output = run(&helm, &["template", "tidegate", CHART, "--set", values]);
        assert_eq!(output.code, 1, "{values}");
        assert!(
            output.err.contains(says) && output.err.contains("schema"),
            "{values}: {}",
            output.err
        );
    }
}

#[test]
fn the_release_decides_where_the_servers_are() {
    let Some(helm) = helm() else { return };
    let args =
        ["--set=webhooks.register=true", "--set=fullnameOverride=guard", "--namespace=safety"];
    let found = objects(&template(&helm, &args));
    let configuration = one(&found, "ValidatingWebhookConfiguration");
    let [gate, approvals] = [0, 1].map(|at| &configuration["webhooks"][at]);
    assert_eq!(
        gate["clientConfig"]["service"],
        json!({"name": "guard", "namespace": "safety", "path": "/validate", "port": 443})
    );
    assert_eq!(
        configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
        "safety/guard"
    );
    let excluded = &gate["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*excluded, json!(["kube-system", "kube-node-lease", "kube-public", "safety"]));
    assert_eq!(approvals["namespaceSelector"], Value::Null, "approvals are asked about everywhere");
    assert_eq!(approvals["failurePolicy"], "Fail");
    let certificate = found.iter().rfind(|object| object["kind"] == "Certificate").unwrap();
    assert_eq!(certificate["spec"]["dnsNames"][0], "guard.safety.svc");
    assert_eq!(certificate["spec"]["secretName"], "tidegate-tls");
}

#[test]
fn the_notes_say_what_is_in_force() {
    let Some(helm) = helm() else { return };
    let notes = |args: &[&str]| {
        let start = ["install", "tidegate", CHART, "--namespace=tidegate", "--dry-run=client"];
        let output = run(&helm, &[&start[..], args].concat());
        assert_eq!(output.code, 0, "{}", output.err);
        output.out.split_once("\nNOTES:\n").unwrap().1.to_owned()
    };
    let start = ["install", "tidegate", CHART, "--dry-run=client"];
    if run(&helm, &start).err.contains("cluster unreachable") {
        // Only helm 4 can do it without a cluster; the end-to-end tests have one.
        let _told = writeln!(std::io::stderr(), "skipped: notes need helm 4, or a cluster");
        return;
    }
    let first = notes(&[]);
    assert!(first.contains("NOTHING YET") && first.contains("profiles/audit-only.yaml"), "{first}");
    assert!(first.contains("`audit`: level Audit, reports and refuses nothing"), "{first}");
    for (name, says) in [
        ("audit-only", "LET IN UNSEEN"),
        ("staging", "warns and refuses nothing"),
        ("production", "REFUSED (failurePolicy Fail)"),
    ] {
        let text = notes(&[&profile(name)]);
        assert!(text.contains(says) && !text.contains("NOTHING YET"), "{name}: {text}");
        // Without the Prometheus operator it installs all the same, and says what is missing.
        assert!(text.contains("NO ALERTS"), "{name}: {text}");
        let kinds = run(&helm, &["template", "tidegate", CHART, &profile(name)]).out;
        assert!(!kinds.contains("monitoring.coreos.com"), "{name}");
    }
    assert!(!first.contains("NO ALERTS"), "{first}");
}

/// The program looks at its own chart: nothing in it migrates, and nothing is refused.
#[test]
fn tidegate_reads_its_own_chart() {
    let Some(helm) = helm() else { return };
    let folder = Folder::new("chart", "own");
    fs::create_dir_all(folder.0.join("bin")).unwrap();
    let helm = fs::canonicalize(&helm).or_else(|_| which(&helm)).unwrap();
    std::os::unix::fs::symlink(helm, folder.0.join("bin/helm")).unwrap();
    let path = format!("{}:{}", folder.0.join("bin").display(), env::var("PATH").unwrap());
    let chart = format!("--helm-chart={}/{CHART}", env!("CARGO_MANIFEST_DIR"));
    for command in ["check", "plan"] {
        let output =
            folder.run_with(&[command, &chart, "--namespace=tidegate"], "", &[("PATH", &path)]);
        assert_eq!(output.code, 0, "{command}: {}{}", output.out, output.err);
    }
}

/// Where the path has a program.
fn which(program: &Path) -> std::io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|it| it.is_file());
    found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
}
