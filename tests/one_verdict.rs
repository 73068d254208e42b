//! One verdict everywhere: an object gets the same findings from the webhook, from `tidegate check`,
//! from `tidegate test` and from `tidegate scan`.
//!
//! Every fixture of every rule goes all four ways under two policies, and so does every object of
//! the corpus of real workloads where there is one. What differs by design is in [`BY_DESIGN`].

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "helpers of a test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, http};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::{Value, json};
use tidegate::{
    cluster::Cluster,
    decision::Granting,
    metrics::Metrics,
    model::{BackupState, Change, ConfigMap, ConfigMapSet, Fact, Facts, GrantedApproval},
    policy::{self, PolicySet},
    rules::{self, Place},
    scan::{Found, Item, LookedUp, Options, Scanner},
    settings::Limits,
    source,
    webhook::{App, Defaulted, Engine, Engines, Judgement, router},
};
use tower::ServiceExt as _;

/// Differences that are meant, each with its reason.
const BY_DESIGN: [&str; 4] = [
    "ConfigMaps of the same file are in reach of `check`, and of no AdmissionReview: the webhook \
     and a case without `facts` agree, and so do `check` and a case with them",
    "`check` sees the other objects of a release: rules that say so, and those of BESIDE, have \
     nothing to go by anywhere else",
    "`scan` knows what stands around an object in the cluster (its NetworkPolicies, the Secrets of \
     workloads that run, migrations, backups), which rules of BESIDE go by; rules over a release \
     have none there",
    "Nobody asks for the labels of namespaces here, and a scan asks in vain: what depends on them is \
     undecided in a scan, and found nowhere else",
];

/// The rule that depends on the labels of the namespace.
const BY_LABELS: &str = "sidecar-blocks-migration";

/// Rules over one object that are also told what stands beside it, in a release or in a cluster.
const BESIDE: [&str; 4] = [
    "concurrent-migration",
    "destructive-without-backup",
    "shared-database-role",
    "unrestricted-egress",
];

/// The policies under which everything is judged. Nobody knows the labels of namespaces, so that
/// under the second one what is found is undecided.
const POLICIES: [&str; 2] =
    ["policies/default/policy.yaml", "policies/production-and-staging/policy.yaml"];

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    outcome: String,
    /// `effect rule path` of every finding.
    findings: BTreeSet<String>,
    filled_in: bool,
}

impl Verdict {
    /// True when nothing differs but what only shows beside other objects.
    fn is_same_alone(&self, other: &Self) -> bool {
        let (own, others) = (self.alone(), other.alone());
        let all_alone = own.len() == self.findings.len() && others.len() == other.findings.len();
        own == others
            && self.filled_in == other.filled_in
            && (self.outcome == other.outcome || !all_alone)
    }

    fn alone(&self) -> Vec<&str> {
        let findings = self.findings.iter().map(String::as_str);
        let alone = findings.filter(|finding| {
            let id = finding.split(' ').nth(1).unwrap();
            let rule = rules::find(id);
            !BESIDE.contains(&id) && !rule.is_some_and(|it| it.places.contains(&Place::Release))
        });
        alone.collect()
    }
}

/// An object of a file.
struct Placed {
    file: PathBuf,
    /// Where in the document: empty, or such as `items[2]`.
    prefix: String,
    line: usize,
    object: Value,
}

fn main() {
    let fixtures = Trial::test("fixtures_of_rules", || {
        let mut files = yaml(Path::new("tests/rules"));
        files.extend(yaml(Path::new("tests/one_verdict")));
        let (compared, by_design) = everywhere(&files);
        assert!(compared > 100, "only {compared} objects");
        assert!(by_design > 0, "what differs by design was not seen: {BY_DESIGN:#?}");
        Ok(())
    });
    let corpus = match corpus() {
        Some(folder) => Trial::test("real_workloads", move || {
            let (compared, by_design) = everywhere(&yaml(&folder));
            assert!(compared > 100, "only {compared} objects");
            eprintln!("{compared} verdicts compared, {by_design} differ by design");
            Ok(())
        }),
        None => Trial::ignorable_test("real_workloads", || {
            Ok(Completion::ignored_with("there is no corpus; TIDEGATE_CORPUS may name its folder"))
        }),
    };
    libtest_mimic::run(&Arguments::from_args(), vec![fixtures, corpus]).exit();
}

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/visible");
    std::env::var_os("TIDEGATE_CORPUS")
        .map(PathBuf::from)
        .into_iter()
        .chain([beside])
        .find(|folder| folder.is_dir())
}

/// Every manifest below a folder.
fn yaml(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(yaml(&path));
        } else if name.ends_with(".yaml") && !name.ends_with(".labels.yaml") {
            found.push(fs::canonicalize(path).unwrap());
        }
    }
    found.sort();
    found
}

/// Compares all objects of the files; how many verdicts there were, and how many differ by design.
fn everywhere(files: &[PathBuf]) -> (usize, usize) {
    let (mut compared, mut by_design, mut wrong) = (0, 0, Vec::new());
    let objects: Vec<Placed> = files.iter().flat_map(|file| objects(file)).collect();
    for policy in POLICIES {
        let webhook = webhook(policy, &objects);
        let alone = tested(policy, &objects, false);
        let among_others = tested(policy, &objects, true);
        let checked = checked(policy, files);
        let scanned = scanned(policy, &objects);
        for (index, placed) in objects.iter().enumerate() {
            let judged = !matches!(alone[index].outcome.as_str(), "not-judged" | "no-policy");
            let key = (placed.file.clone(), placed.line, placed.prefix.clone());
            let checked = checked.get(&key);
            compared += usize::from(judged);
            let same = match checked {
                // `check` only counts what is not judged.
                None => !judged,
                Some(checked) if judged => checked.is_same_alone(&among_others[index]),
                Some(checked) => checked.alone().is_empty(),
            };
            // A scan judges with what would be filled in, and does not tell of it.
            let filled_in = among_others[index].filled_in;
            let elsewhere = &among_others[index].findings;
            let scan = scanned[index].clone().map(|mut scan| {
                let is_by_labels = |it: &String| it.split(' ').nth(1) == Some(BY_LABELS);
                scan.findings.retain(|it| elsewhere.contains(it) || !is_by_labels(it));
                Verdict { filled_in, ..scan }
            });
            // It only counts what is not judged, as `check` does.
            let same = same
                && match &scan {
                    None => !judged,
                    Some(scan) => judged && scan.is_same_alone(&among_others[index]),
                };
            if webhook[index] != alone[index] || !same {
                wrong.push(format!(
                    "{policy}: {} line {} {}\n  webhook       {:?}\n  test          {:?}\n  \
                     test + files  {:?}\n  check         {checked:?}\n  scan          {scan:?}",
                    placed.file.display(),
                    placed.line,
                    placed.prefix,
                    webhook[index],
                    alone[index],
                    among_others[index],
                ));
            } else if alone[index] != among_others[index]
                || checked.is_some_and(|checked| *checked != among_others[index])
                || scan.as_ref().is_some_and(|scan| *scan != among_others[index])
            {
                by_design += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} verdicts differ:\n{}", wrong.len(), wrong.join("\n"));
    (compared, by_design)
}

/// Every object of a file, also those in lists.
fn objects(file: &Path) -> Vec<Placed> {
    let text = fs::read_to_string(file).unwrap();
    let mut found = Vec::new();
    for document in source::documents(&text).into_iter().flatten() {
        let value = document.value();
        let is_text = |value: &Value, field: &str| value[field].is_string();
        let kind = value["kind"].as_str().unwrap_or_default();
        let placed = |prefix: String, object: &Value| Placed {
            file: file.to_owned(),
            line: document.locate(&prefix).start.line,
            prefix,
            object: object.clone(),
        };
        let is_object = |value: &Value| is_text(value, "apiVersion") && is_text(value, "kind");
        let items = value["items"].as_array().filter(|_| kind.ends_with("List"));
        if let Some(items) = items {
            let item = |(at, item): (usize, &Value)| placed(format!("items[{at}]"), item);
            found.extend(items.iter().enumerate().filter(|(_, item)| is_object(item)).map(item));
        } else if is_object(value) {
            found.push(placed(String::new(), value));
        }
    }
    found
}

/// The namespace of an object, as everything else would have it that is told none.
fn namespace(object: &Value) -> &str {
    let own = object["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    own.unwrap_or("default")
}

fn finding(effect: &str, rule: &str, path: &str) -> String {
    format!("{effect} {rule} {path}")
}

/// An engine that keeps what it answered.
#[derive(Debug)]
struct Recorder {
    policies: PolicySet,
    last: Arc<Mutex<Judgement>>,
}

impl Engine for Recorder {
    fn policies(&self) -> Vec<String> {
        Engine::policies(&self.policies)
    }

    fn needs_labels(&self) -> bool {
        Engine::needs_labels(&self.policies)
    }

    fn validate(&self, change: &Change<'_>, facts: &Facts<'_>, now: Timestamp) -> Judgement {
        let judgement = Engine::validate(&self.policies, change, facts, now);
        *self.last.lock().unwrap() = judgement.clone();
        judgement
    }

    fn mutate(&self, change: &Change<'_>, facts: &Facts<'_>) -> Defaulted {
        Engine::mutate(&self.policies, change, facts)
    }

    fn grant(&self, granted: &GrantedApproval, facts: &Facts<'_>, now: Timestamp) -> Granting {
        Engine::grant(&self.policies, granted, facts, now)
    }
}

/// As an API server has it: `/mutate`, the patch, `/validate`.
fn webhook(policy: &str, objects: &[Placed]) -> Vec<Verdict> {
    let text = fs::read_to_string(policy).unwrap();
    let policies = PolicySet::new(policy::parse(&text, policy).unwrap());
    let last = Arc::new(Mutex::new(Judgement::default()));
    let engine = Box::new(Recorder { policies, last: Arc::clone(&last) });
    let cluster = Cluster::off("there is no cluster in this test");
    let app = App::new(
        Arc::new(Engines::new(engine)),
        cluster,
        Arc::new(Metrics::default()),
        Limits::default(),
    );
    let router = router(Arc::new(app));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut verdicts = Vec::new();
        for Placed { object, .. } in objects {
            let mut object = object.clone();
            let response = post(&router, "/mutate", &object).await;
            let patch = response["patch"].as_str().map(|patch| BASE64_STANDARD.decode(patch));
            if let Some(patch) = &patch {
                let patch: json_patch::Patch =
                    serde_json::from_slice(patch.as_ref().unwrap()).unwrap();
                json_patch::patch(&mut object, &patch).unwrap();
            }
            let response = post(&router, "/validate", &object).await;
            let judgement = last.lock().unwrap().clone();
            on_the_wire(&response, &judgement);
            let findings = judgement.findings.iter();
            verdicts.push(Verdict {
                outcome: judgement.outcome.to_owned(),
                findings: findings
                    .map(|noted| finding(noted.effect, noted.rule, &noted.at))
                    .collect(),
                filled_in: patch.is_some(),
            });
        }
        verdicts
    })
}

/// What is sent is what was decided.
fn on_the_wire(response: &Value, judgement: &Judgement) {
    assert_eq!(response["allowed"], judgement.allowed);
    let causes = response["status"]["details"]["causes"].as_array();
    let sent: Vec<&str> =
        causes.into_iter().flatten().map(|cause| cause["reason"].as_str().unwrap()).collect();
    let refusing = judgement.findings.iter().filter(|noted| noted.refuses).map(|noted| noted.rule);
    // An answer has at most 20 causes.
    assert_eq!(sent, refusing.take(20).collect::<Vec<_>>());
}

async fn post(router: &Router, path: &str, object: &Value) -> Value {
    let (group, version) =
        object["apiVersion"].as_str().unwrap().split_once('/').unwrap_or(("", "v1"));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE",
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "namespace": namespace(object), "name": object["metadata"]["name"],
            "userInfo": {"username": "alice@example.com"},
            "object": object, "oldObject": null, "dryRun": false,
        },
    });
    let review = review.to_string();
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .header("content-length", review.len())
        .body(Body::from(review))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&body).unwrap()["response"].take()
}

/// What `tidegate test` finds in cases without facts, or with the ConfigMaps of the same file.
fn tested(policy: &str, objects: &[Placed], facts: bool) -> Vec<Verdict> {
    let cases: Vec<Value> = objects
        .iter()
        .enumerate()
        .map(|(index, Placed { file, object, .. })| {
            let files = if facts { json!([file]) } else { json!([]) };
            json!({
                "name": index.to_string(), "object": object, "namespace": namespace(object),
                "facts": {"files": files}, "expect": {"verdict": "admitted"},
            })
        })
        .collect();
    let test = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "PolicyTest", "metadata": {"name": "all"},
        "spec": {
            "policies": [fs::canonicalize(policy).unwrap()], "now": Timestamp::now(),
            "user": {"name": "alice@example.com"}, "cases": cases,
        },
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.json");
    fs::write(&file, test.to_string()).unwrap();
    let output = tidegate(&["test", "--format=json"], &file);
    assert_eq!(output["errors"], json!([]));
    let cases = output["cases"].as_array().unwrap();
    assert_eq!(cases.len(), objects.len());
    cases.iter().map(|case| verdict(case, "verdict", "")).collect()
}

/// What a scan finds in a cluster that holds the object and the ConfigMaps of the same file; none for
/// what is not judged.
fn scanned(policy: &str, objects: &[Placed]) -> Vec<Option<Verdict>> {
    let text = fs::read_to_string(policy).unwrap();
    let policies = PolicySet::new(policy::parse(&text, policy).unwrap());
    let scanned = objects.iter().map(|placed| {
        let mut config_maps = ConfigMapSet::default();
        let here = objects.iter().filter(|other| other.file == placed.file);
        for Placed { object, .. } in here.filter(|other| other.object["kind"] == "ConfigMap") {
            let own = object["metadata"]["namespace"].as_str();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(map) = ConfigMap::parse(&object.to_string()) {
                config_maps.add(own.unwrap_or_else(|| namespace(&placed.object)), name, 0, map);
            }
        }
        scanned_alone(policies.clone(), &placed.object, &config_maps)
    });
    scanned.collect()
}

fn scanned_alone(
    policies: PolicySet,
    object: &Value,
    config_maps: &ConfigMapSet,
) -> Option<Verdict> {
    let mut scanner = Scanner::new(policies, Options::default(), Timestamp::now());
    let text = object.to_string();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let item = Item { namespace: namespace(object), name, uid: "u", labels: None, text: &text };
    if !scanner.judge(&item, None).is_empty() {
        let found = LookedUp { backup: Fact::Known(BackupState::Missing), config_maps };
        scanner.judge(&item, Some(&found));
    }
    let scan = scanner.finish();
    assert_eq!(scan.errors, [""; 0], "{text}");
    let found = scan.objects.first();
    let findings = found.map(|it| it.findings.as_slice()).unwrap_or_default();
    // What the policy has switched off is found and has no effect.
    let effect = |it: &Found| Some(finding(it.effect?.as_str(), it.rule, &it.at));
    (scan.counts.judged == 1).then(|| Verdict {
        outcome: found.map_or("admitted", |it| it.outcome.as_str()).to_owned(),
        findings: findings.iter().filter_map(effect).collect(),
        filled_in: false,
    })
}

/// What `tidegate check` finds, by file, line and place in a list.
fn checked(policy: &str, files: &[PathBuf]) -> BTreeMap<(PathBuf, usize, String), Verdict> {
    let mut verdicts = BTreeMap::new();
    for file in files {
        let known = objects(file);
        let output = tidegate(&["check", "--format=json", "--policy", policy], file);
        for result in output["results"].as_array().unwrap() {
            let line = usize::try_from(result["line"].as_u64().unwrap()).unwrap();
            let here = known
                .iter()
                .find(|placed| placed.line == line && placed.object["kind"] == result["kind"]);
            let prefix = here.map(|placed| placed.prefix.clone()).unwrap_or_default();
            let verdict = verdict(result, "outcome", &prefix);
            assert_eq!(verdicts.insert((file.clone(), line, prefix), verdict), None, "{result}");
        }
    }
    verdicts
}

fn tidegate(args: &[&str], file: &Path) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).arg(file).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A verdict out of the JSON of a command; what stands in a list has the place in front of paths.
fn verdict(result: &Value, outcome: &str, prefix: &str) -> Verdict {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |found: &Value| {
        let path = text(&found["path"]);
        let path = path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('.').to_owned();
        finding(&text(&found["effect"]), &text(&found["rule"]), &path)
    };
    Verdict {
        outcome: text(&result[outcome]),
        findings: result["findings"].as_array().unwrap().iter().map(one).collect(),
        filled_in: !result["filledIn"].as_array().unwrap().is_empty(),
    }
}
