//! What is deployed agrees with the code. `UPDATE_GENERATED=1` writes what is made from it; what needs
//! helm is in `chart`.

use std::{
    collections::BTreeSet, env, fmt::Write as _, fs, path::Path, process::Command, sync::Arc,
};

use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, ResourceQuota, Service as KubeService, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tidegate::{
    cluster::rbac::{self, Access},
    policy,
    settings::Limits,
    source::documents,
};

use crate::{
    generated::assert_current,
    support::{Service, recorded},
};

pub const CHART: &str = "deploy/helm/tidegate";
pub const PROFILES: [&str; 3] = ["audit-only", "staging", "production"];
const INSTALL: &str = "deploy/install.yaml";
const WEBHOOKS: &str = "deploy/webhooks/webhooks.yaml";
const MONITORING: &str = "deploy/observability/monitoring.yaml";
/// What takes tidegate out of the way, wherever it is written.
const BREAK_GLASS: &str =
    "kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration tidegate";

/// All objects of a text.
pub fn objects(text: &str) -> Vec<Value> {
    let read = documents(text).into_iter().map(|document| document.unwrap().value().clone());
    read.filter(|value| !value.is_null()).collect()
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    objects(&file(path)).remove(0)
}

fn chart(name: &str) -> String {
    format!("{CHART}/{name}")
}

/// The one object of a kind.
pub fn one<'v>(objects: &'v [Value], kind: &str) -> &'v Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn words(value: &Value) -> Vec<&str> {
    list(value).iter().map(|word| word.as_str().unwrap()).collect()
}

fn printed(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The validating and the mutating configuration, as the command prints them for a Service.
fn registered() -> [Value; 2] {
    objects(&printed(&["webhook-config", "--service", "tidegate/tidegate"])).try_into().unwrap()
}

/// The same without what a release decides: where the servers are.
fn for_any_release(configuration: &Value) -> Value {
    let mut hooks = configuration["webhooks"].clone();
    for hook in hooks.as_array_mut().unwrap() {
        hook["clientConfig"] =
            json!({"service": {"path": hook["clientConfig"]["service"]["path"]}});
        if let Some(excluded) = hook.pointer_mut("/namespaceSelector/matchExpressions/0/values") {
            excluded.as_array_mut().unwrap().retain(|name| name != "tidegate");
        }
    }
    hooks
}

#[test]
fn the_chart_registers_what_the_command_prints() {
    let [validating, mutating] = registered();
    let rules = list(&validating["webhooks"][0]["rules"]);
    let whole = rules.iter().filter(|rule| !rule["resources"].to_string().contains('/'));
    let scanned = whole.map(|rule| {
        json!({"apiGroups": rule["apiGroups"], "resources": rule["resources"], "verbs": ["list"]})
    });
    let content = json!({
        "validating": for_any_release(&validating),
        "mutating": for_any_release(&mutating),
        "scanned": scanned.collect::<Vec<_>>(),
    });
    let text = format!(
        "# Written from `tidegate webhook-config` by `UPDATE_GENERATED=1 cargo test --test it deploy`.\n{}",
        serde_saphyr::to_string(&content).unwrap()
    );
    assert_current(Path::new(&chart("files/webhooks.yaml")), &text);
}

/// What stands in the rendered manifest is what the command prints, but for labels and for what
/// cert-manager and Argo CD read.
#[test]
fn the_manifest_registers_what_the_command_prints() {
    let mut have = objects(&file(WEBHOOKS));
    let stale = registered()
        .iter()
        .any(|want| one(&have, want["kind"].as_str().unwrap())["webhooks"] != want["webhooks"]);
    if stale && env::var_os("UPDATE_GENERATED").is_some() {
        // What changes with the code needs no helm.
        let mut text = header();
        for object in &mut have {
            let want = registered().into_iter().find(|it| it["kind"] == object["kind"]).unwrap();
            object["webhooks"] = want["webhooks"].clone();
            write!(text, "---\n{}", serde_saphyr::to_string(object).unwrap()).unwrap();
        }
        fs::write(WEBHOOKS, text).unwrap();
    }
    for want in registered() {
        let object = one(&have, want["kind"].as_str().unwrap());
        assert_eq!(object["webhooks"], want["webhooks"], "{WEBHOOKS} is stale");
        assert_eq!(object["metadata"]["name"], want["metadata"]["name"]);
        for (key, value) in want["metadata"]["annotations"].as_object().unwrap() {
            assert_eq!(&object["metadata"]["annotations"][key], value);
        }
    }
}

/// The first line of what helm rendered: the templates and values that it was rendered from.
pub fn header() -> String {
    let mut files = vec![chart("Chart.yaml"), chart("values.yaml")];
    for entry in fs::read_dir(chart("templates")).unwrap() {
        files.push(entry.unwrap().path().display().to_string());
    }
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        hash.update(path.as_bytes());
        hash.update(file(&path).replace('\r', "").as_bytes());
    }
    let mut sum = String::new();
    for byte in hash.finalize() {
        write!(sum, "{byte:02x}").unwrap();
    }
    format!("# Rendered by helm from {CHART}; not edited. Of sha256:{sum}\n")
}

/// Without helm nobody can render them again, but everybody sees that somebody must.
#[test]
fn the_rendered_manifests_are_of_this_chart() {
    if env::var_os("UPDATE_GENERATED").is_some() {
        return; // `chart` is writing them, if it can.
    }
    for path in [INSTALL, WEBHOOKS, MONITORING] {
        let first = file(path).lines().next().unwrap_or_default().to_owned();
        assert_eq!(
            format!("{first}\n"),
            header(),
            "{path} is stale: run `UPDATE_GENERATED=1 HELM=… cargo test --test it chart`"
        );
    }
    let groups = yaml(&chart("files/alerts.yaml"))["groups"].clone();
    assert_eq!(one(&objects(&file(MONITORING)), "PrometheusRule")["spec"]["groups"], groups);
}

/// Every leaf of a schema: its path and itself.
fn leaves<'s>(schema: &'s Value, path: &str, found: &mut Vec<(String, &'s Value)>) {
    for (key, property) in schema["properties"].as_object().unwrap() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let described =
            property["description"].as_str().is_some_and(|text| text.ends_with(['.', '`']));
        assert!(described, "{path} has no description");
        let nested = property["properties"].is_object() && path != "certificates.issuerRef";
        if nested { leaves(property, &path, found) } else { found.push((path, property)) }
    }
}

fn type_of(property: &Value) -> String {
    let choice = |values: &Value| {
        words(values).iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
    };
    if property["enum"].is_array() {
        return choice(&property["enum"]);
    }
    match (property["type"].as_str().unwrap(), &property["items"]) {
        ("array", items) if items["enum"].is_array() => {
            format!("list of {}", choice(&items["enum"]))
        }
        ("array", items) => format!("list of {}s", items["type"].as_str().unwrap()),
        (name, _) => name.to_owned(),
    }
}

#[test]
fn the_page_of_the_chart_lists_every_value() {
    let schema: Value = serde_json::from_str(&file(&chart("values.schema.json"))).unwrap();
    let values = yaml(&chart("values.yaml"));
    let mut found = Vec::new();
    leaves(&schema, "", &mut found);
    found.retain(|(path, _)| path != "global");
    let mut table = "| value | type | default | |\n|---|---|---|---|\n".to_owned();
    for (path, property) in &found {
        let default = values.pointer(&format!("/{}", path.replace('.', "/")));
        let default = default.unwrap_or_else(|| panic!("values.yaml has no {path}")).to_string();
        let default =
            if default.len() > 60 { "see values.yaml".to_owned() } else { format!("`{default}`") };
        let text = property["description"].as_str().unwrap().replace('|', "\\|");
        writeln!(table, "| `{path}` | {} | {default} | {text} |", type_of(property)).unwrap();
    }
    let page = file(&chart("README.md"));
    let (before, rest) = page.split_once("<!-- values -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of values -->").unwrap();
    let want = format!("{before}<!-- values -->\n{table}<!-- end of values -->{after}");
    assert_current(Path::new(&chart("README.md")), &want);
    // And the other way round: nothing stands in the values that the schema does not describe.
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&values), "{:?}", validator.iter_errors(&values).next());
    for profile in PROFILES {
        let mut merged = values.clone();
        merge(&mut merged, &yaml(&chart(&format!("profiles/{profile}.yaml"))));
        assert!(
            validator.is_valid(&merged),
            "{profile}: {:?}",
            validator.iter_errors(&merged).next()
        );
        assert_eq!(merged["webhooks"]["register"], true, "{profile}");
    }
    assert_eq!(values["webhooks"]["register"], false, "the servers come first");
}

/// As helm puts values together: maps grow into each other, everything else is replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[test]
fn policies_of_the_chart_are_policies() {
    let offered = yaml("policies/audit-only/policy.yaml");
    assert_eq!(yaml(&chart("values.yaml"))["policies"], json!([offered]));
    let installed = one(&objects(&file(INSTALL)), "ConfigMap")["data"]["policy.yaml"].clone();
    assert_eq!(objects(installed.as_str().unwrap()), [offered]);
    for (profile, level) in [("staging", "Warn"), ("production", "Deny")] {
        let policies = yaml(&chart(&format!("profiles/{profile}.yaml")))["policies"].clone();
        for document in list(&policies) {
            policy::parse(&serde_saphyr::to_string(document).unwrap(), profile).unwrap();
            assert_eq!(document["spec"]["level"], level, "{profile}");
        }
    }
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_servers_are_started_as_they_can_be() {
    let objects = objects(&file(INSTALL));
    let deployment = one(&objects, "Deployment");
    let args = words(&container(deployment)["args"]);
    assert_eq!(args[0], "serve");
    let help = printed(&["serve", "--help"]);
    for arg in &args[1..] {
        let flag = arg.split('=').next().unwrap();
        assert!(help.contains(&format!("{flag} <")), "`serve` has no {flag}");
    }
    let value = |flag: &str| {
        let found = args.iter().find_map(|arg| arg.strip_prefix(flag)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {flag}")).to_owned()
    };
    for (port, flag) in [("webhook", "--listen"), ("metrics", "--metrics-listen")] {
        let ports = list(&container(deployment)["ports"]);
        let entry = ports.iter().find(|entry| entry["name"] == port).unwrap();
        assert_eq!(value(flag), format!("0.0.0.0:{}", entry["containerPort"]));
        let service = list(&one(&objects, "Service")["spec"]["ports"]);
        assert!(service.iter().any(|entry| entry["targetPort"] == port), "{port}");
    }
    let mounts = list(&container(deployment)["volumeMounts"]);
    for flag in ["--tls-dir", "--policy"] {
        assert!(mounts.iter().any(|mount| mount["mountPath"] == value(flag).as_str()), "{flag}");
    }
    let drain: u64 = value("--drain").trim_end_matches('s').parse().unwrap();
    let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(grace.as_u64().unwrap() > drain + Limits::default().grace.as_secs());
}

/// What the chart probes, scrapes and registers is answered by the routers.
#[tokio::test]
async fn every_path_is_served() {
    let objects_ = objects(&file(INSTALL));
    let main = container(one(&objects_, "Deployment"));
    let service = Service::built_in();
    let health = tidegate::webhook::health_router(
        Arc::clone(&service.metrics),
        service.cluster.clone(),
        tidegate::webhook::Lifecycle::default(),
    );
    let health = Service { router: health, ..Service::built_in() };
    let monitor = objects(&file(MONITORING));
    let scraped = &one(&monitor, "ServiceMonitor")["spec"]["endpoints"][0]["path"];
    for path in [
        &main["readinessProbe"]["httpGet"]["path"],
        &main["livenessProbe"]["httpGet"]["path"],
        scraped,
    ] {
        let request = axum::http::Request::get(path.as_str().unwrap());
        let answer = health.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let review = recorded("validate-create-deployment-clean");
    for configuration in objects(&file(WEBHOOKS)) {
        let hook = &configuration["webhooks"][0];
        let path = hook["clientConfig"]["service"]["path"].as_str().unwrap();
        assert_eq!(service.post(path, review.as_str()).await.response()["allowed"], true, "{path}");
    }
}

#[test]
fn the_pods_are_restricted_and_spread() {
    let objects = objects(&file(INSTALL));
    let deployment = one(&objects, "Deployment");
    let spec = &deployment["spec"]["template"]["spec"];
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(one(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    assert_eq!(list(&spec["topologySpreadConstraints"]).len(), 2);
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let context = &container(deployment)["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
    assert!(container(deployment)["resources"]["limits"]["memory"].is_string());
    let namespace = one(&objects, "Namespace");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let names: BTreeSet<&str> = list(&container(deployment)["env"])
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(["POD_NAME", "POD_NAMESPACE"]));
}

/// The least: nothing by a star, no Secrets, nothing that runs or registers anything is written.
#[test]
fn the_servers_may_do_little() {
    for role in
        objects(&file(INSTALL)).iter().filter(|it| it["kind"].as_str().unwrap().ends_with("Role"))
    {
        for rule in list(&role["rules"]) {
            let text = rule.to_string();
            assert!(!text.contains('*') && !text.contains("secrets"), "{rule}");
            let groups = words(&rule["apiGroups"]);
            let own = ["tidegate.dev", "events.k8s.io", "coordination.k8s.io"];
            let writes =
                words(&rule["verbs"]).iter().any(|verb| !["get", "list", "watch"].contains(verb));
            assert!(!writes || groups.iter().all(|group| own.contains(group)), "{rule}");
        }
    }
}

/// Every right in a list of rules: group, resource, verb.
pub fn rights(rules: &[&Value]) -> BTreeSet<(String, String, String)> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                rights.extend(
                    words(&rule["verbs"])
                        .into_iter()
                        .map(|verb| (group.to_owned(), resource.to_owned(), verb.to_owned())),
                );
            }
        }
    }
    rights
}

/// The same of what the code says that it needs.
pub fn needed(all: &[Access]) -> BTreeSet<(String, String, String)> {
    let mut rights = BTreeSet::new();
    for access in all {
        for resource in &access.resources {
            rights.extend(
                access.verbs.iter().map(|verb| {
                    (access.group.to_owned(), (*resource).to_owned(), (*verb).to_owned())
                }),
            );
        }
    }
    rights
}

/// The rules of the roles that the servers' account has.
pub fn of_the_servers(objects: &[Value]) -> Vec<&Value> {
    let own = objects.iter().filter(|object| {
        object["kind"].as_str().unwrap().ends_with("Role")
            && object["metadata"]["name"] == "tidegate"
    });
    own.flat_map(|role| list(&role["rules"])).collect()
}

#[test]
fn what_the_servers_ask_for_they_may_have() {
    let objects = objects(&file(INSTALL));
    let mut all = rbac::serving();
    all.retain(|access| !access.optional);
    assert_eq!(rights(&of_the_servers(&objects)), needed(&all));
}

/// Where Kubernetes' own types know less than the object says.
fn round_trip<T: Serialize + DeserializeOwned>(object: &Value) -> Option<String> {
    let kind = object["kind"].as_str().unwrap();
    match serde_json::from_value::<T>(object.clone()) {
        Err(error) => Some(format!("{kind}: {error}")),
        Ok(typed) => lost(object, &serde_json::to_value(typed).unwrap(), kind),
    }
}

fn lost(have: &Value, typed: &Value, path: &str) -> Option<String> {
    let wrong = || Some(format!("{path} is no field, or of another type"));
    match (have, typed) {
        (Value::Object(have), Value::Object(typed)) => {
            let mut fields = have.iter().filter(|(_, value)| !empty(value));
            fields.find_map(|(key, value)| {
                lost(value, typed.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
            })
        }
        (Value::Array(have), Value::Array(typed)) if have.len() == typed.len() => {
            have.iter().zip(typed).find_map(|(have, typed)| lost(have, typed, path))
        }
        // Some numbers of the types are floats.
        (Value::Number(have), Value::Number(typed)) if have.as_f64() == typed.as_f64() => None,
        _ if have == typed => None,
        _ => wrong(),
    }
}

fn empty(value: &Value) -> bool {
    value.is_null()
        || value.as_object().is_some_and(Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}

/// What an API server would not take of an object, as far as types tell.
fn unknown_fields(object: &Value) -> Option<String> {
    let check: fn(&Value) -> Option<String> = match object["kind"].as_str().unwrap() {
        "Namespace" => round_trip::<Namespace>,
        "ServiceAccount" => round_trip::<ServiceAccount>,
        "ConfigMap" => round_trip::<ConfigMap>,
        "Service" => round_trip::<KubeService>,
        "ResourceQuota" => round_trip::<ResourceQuota>,
        "Deployment" => round_trip::<Deployment>,
        "PodDisruptionBudget" => round_trip::<PodDisruptionBudget>,
        "NetworkPolicy" => round_trip::<NetworkPolicy>,
        "ClusterRole" => round_trip::<ClusterRole>,
        "ClusterRoleBinding" => round_trip::<ClusterRoleBinding>,
        "Role" => round_trip::<Role>,
        "RoleBinding" => round_trip::<RoleBinding>,
        "CustomResourceDefinition" => round_trip::<CustomResourceDefinition>,
        "ValidatingWebhookConfiguration" => round_trip::<ValidatingWebhookConfiguration>,
        "MutatingWebhookConfiguration" => round_trip::<MutatingWebhookConfiguration>,
        other => return Some(format!("{other}: who checks it?")),
    };
    check(object)
}

/// Every object is one that an API server would take, as far as types tell. Kinds of others
/// (cert-manager, the Prometheus operator) are left out; how many objects were looked at.
pub fn known_fields(objects: &[Value]) -> usize {
    let foreign = ["Issuer", "Certificate", "ServiceMonitor", "PrometheusRule"];
    let own = objects.iter().filter(|object| !foreign.contains(&object["kind"].as_str().unwrap()));
    own.inspect(|object| assert_eq!(unknown_fields(object), None)).count()
}

#[test]
fn manifests_have_no_field_that_kubernetes_does_not_know() {
    assert!(known_fields(&objects(&file(INSTALL))) >= 14);
    assert_eq!(known_fields(&objects(&file(WEBHOOKS))), 2);
    assert_eq!(known_fields(&objects(&file(&chart("files/crds.yaml")))), 3);
    for (wrong, says) in [
        (
            json!({"kind": "Service", "spec": {"ports": [{"port": 1, "targtPort": 2}]}}),
            "Service.spec.ports.targtPort is no field, or of another type",
        ),
        (
            json!({"kind": "ServiceAccount", "automountServiceAccountToken": "no"}),
            "ServiceAccount: invalid type: string \"no\", expected a boolean",
        ),
        (json!({"kind": "Gadget"}), "Gadget: who checks it?"),
    ] {
        assert_eq!(unknown_fields(&wrong).as_deref(), Some(says));
    }
}

#[test]
fn the_way_out_is_written_wherever_it_is_looked_for() {
    for path in [
        "README.md",
        "docs/install.md",
        "docs/runbook.md",
        "docs/uninstall.md",
        "docs/threat-model.md",
    ] {
        assert!(file(path).contains(BREAK_GLASS), "{path}");
    }
    let notes = file(&chart("templates/NOTES.txt"));
    assert!(notes.contains(&BREAK_GLASS.replace(" tidegate", " {{ .Values.fullnameOverride }}")));
}

/// The example keeps the Application in sync, and in order.
#[test]
fn argo_cd_leaves_the_injected_authority_alone() {
    let application = yaml("deploy/gitops/argo-cd.yaml");
    let spec = &application["spec"];
    assert_eq!(spec["source"]["path"], CHART);
    for values in words(&spec["source"]["helm"]["valueFiles"]) {
        assert!(Path::new(&chart(values)).is_file(), "{values}");
    }
    let options = words(&spec["syncPolicy"]["syncOptions"]);
    for option in ["CreateNamespace=true", "ServerSideApply=true", "RespectIgnoreDifferences=true"]
    {
        assert!(options.contains(&option), "{option}");
    }
    let ignored = list(&spec["ignoreDifferences"]);
    let registered = objects(&file(WEBHOOKS));
    assert_eq!(ignored.len(), registered.len());
    for configuration in &registered {
        let entry = ignored.iter().find(|entry| entry["kind"] == configuration["kind"]).unwrap();
        assert_eq!(entry["name"], configuration["metadata"]["name"]);
        assert_eq!(entry["jqPathExpressions"], json!([".webhooks[]?.clientConfig.caBundle"]));
        let wave = &configuration["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
        assert_eq!(wave, "1", "after the Deployment, which has none");
    }
}

#[test]
fn flux_registers_when_the_servers_are_ready() {
    let found = objects(&file("deploy/gitops/flux.yaml"));
    let [_, servers, webhooks] = &found[..] else { panic!("{}", found.len()) };
    for kustomization in [servers, webhooks] {
        let path = kustomization["spec"]["path"].as_str().unwrap();
        assert!(Path::new(path).join("kustomization.yaml").is_file(), "{path}");
    }
    assert_eq!(servers["spec"]["wait"], true);
    assert_eq!(servers["spec"]["prune"], false, "policies would go with their definitions");
    assert_eq!(webhooks["spec"]["dependsOn"][0]["name"], servers["metadata"]["name"]);
    let patch = webhooks["spec"]["patches"][0]["patch"].as_str().unwrap();
    assert!(patch.contains("/webhooks/0/failurePolicy"), "{patch}");
    let registered = objects(&file(WEBHOOKS));
    let gate = &one(&registered, "ValidatingWebhookConfiguration")["webhooks"][0];
    assert_eq!(gate["name"], "validate.tidegate.dev");
}

/// The image runs as the chart says, with options that there are.
#[test]
fn the_image_fits_the_chart() {
    let text = file("deploy/docker/Dockerfile");
    let line = |start: &str| text.lines().rfind(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line("FROM ").ends_with(":nonroot"), "{}", line("FROM "));
    let objects = objects(&file(INSTALL));
    let spec = &one(&objects, "Deployment")["spec"]["template"]["spec"];
    assert!(line("USER ").starts_with(&format!("USER {}:", spec["securityContext"]["runAsUser"])));
    let command: Vec<String> =
        serde_json::from_str(line("CMD ").trim_start_matches("CMD ")).unwrap();
    let args = words(&container(one(&objects, "Deployment"))["args"]);
    for arg in command.iter().filter(|arg| !arg.starts_with("--log")) {
        assert!(args.contains(&arg.as_str()), "{arg}");
    }
    let compiler = file("rust-toolchain.toml");
    let compiler = compiler.split('"').nth(1).unwrap().rsplit_once('.').unwrap().0.to_owned();
    assert!(text.contains(&format!("rust:{compiler}-bookworm")), "the toolchain is {compiler}");
}
