//! Approvals as somebody meets them who tries to get round them.

use jiff::Timestamp;
use serde_json::{Value, json};
use ssh_key::{HashAlg, LineEnding, PrivateKey, private::Ed25519Keypair};
use tidegate::{
    decision::{Verdict, validate},
    model::{Change, ChangeOperation, ConfigMap, ConfigMapSet, Fact, Facts, Labels, Object},
    policy::{self, PolicySet, SIGNATURE_NAMESPACE, content, digest, signed_text},
};

const RULE: &str = "unapproved-destructive-migration";
const NOW: &str = "2026-06-01T12:00:00Z";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn public(seed: u8) -> String {
    key(seed).public_key().to_openssh().unwrap()
}

/// A policy that asks for nothing but what `approvals` says; other rules are off.
fn policies(approvals: &str) -> PolicySet {
    let text = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: p}}\nspec:\n  \
         onUndecided: Deny\n  rules: {{destructive-without-backup: {{level: Off}}}}\n  \
         approvals: {approvals}\n"
    );
    PolicySet::new(policy::parse(&text, "p.yaml").unwrap_or_else(|errors| panic!("{errors:?}")))
}

fn signing(line: &str) -> PolicySet {
    let line = line.replace('"', "\\\"");
    policies(&format!("{{signatures: {{required: true, allowedSigners: \"{line}\"}}}}"))
}

fn drop_job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "drop", "annotations": {}},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": {"spec": {
            "restartPolicy": "Never", "securityContext": {"runAsNonRoot": true},
            "containers": [{
                "name": "sql", "image": "postgres:16", "command": ["psql"],
                "args": ["-c", "DROP TABLE a"], "env": [{"name": "PGHOST", "value": "db"}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                "volumeMounts": [{"name": "sql", "mountPath": "/sql"}],
            }],
            "volumes": [{"name": "sql", "configMap": {"name": "sql"}}],
        }}}
    })
}

fn annotations(job: &mut Value) -> &mut serde_json::Map<String, Value> {
    job["metadata"]["annotations"].as_object_mut().unwrap()
}

fn set(job: &Value, key: &str, value: &str) -> Value {
    let mut job = job.clone();
    annotations(&mut job).insert(format!("tidegate.dev/{key}"), json!(value));
    job
}

fn parsed<R>(job: &Value, read: impl FnOnce(&Object<'_>) -> R) -> R {
    let text = job.to_string();
    read(&Object::parse(&text).unwrap())
}

fn approved(job: &Value) -> Value {
    let digest = parsed(job, |object| digest(object).to_string());
    let mut job = job.clone();
    for (key, value) in [
        ("approved-by", "alice@example.com"),
        ("approval-ticket", "DB-1"),
        ("approved-namespace", "shop"),
        ("approved-until", "2026-06-02T12:00:00Z"),
        ("approved-digest", &digest),
    ] {
        job = set(&job, key, value);
    }
    job
}

/// The job with a signature over what its annotations say.
fn signed_for(job: &Value, seed: u8, namespace: &str) -> Value {
    let text = signed_text(|key| job["metadata"]["annotations"][key].as_str());
    let signature = key(seed).sign(namespace, HashAlg::Sha512, text.as_bytes()).unwrap();
    set(job, "approval-signature", &signature.to_pem(LineEnding::LF).unwrap())
}

fn signed(job: &Value, seed: u8) -> Value {
    signed_for(job, seed, SIGNATURE_NAMESPACE)
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    namespace: &'a str,
    user: &'a str,
    now: &'a str,
    old: Option<&'a Value>,
    maps: &'a ConfigMapSet,
}

fn ask(maps: &ConfigMapSet) -> Asked<'_> {
    Asked { namespace: "shop", user: "argocd", now: NOW, old: None, maps }
}

fn judge(policies: &PolicySet, job: &Value, asked: Asked<'_>) -> Verdict {
    let labels = Labels::new();
    let mut facts = Facts::new(Fact::Known(&labels));
    facts.config_maps = asked.maps.seen_from(asked.namespace, 0);
    let (json, old) = (job.to_string(), asked.old.map(Value::to_string));
    let change = Change {
        user: asked.user,
        operation: if old.is_some() { ChangeOperation::Update } else { ChangeOperation::Create },
        old_object: old.as_deref(),
        ..Change::create(asked.namespace, "drop", &json)
    };
    validate(policies, &change, &facts, asked.now.parse::<Timestamp>().unwrap())
}

#[track_caller]
fn refused(policies: &PolicySet, job: &Value, asked: Asked<'_>, reason: &str) {
    let verdict = judge(policies, job, asked);
    let message = verdict.message();
    assert!(message.starts_with(RULE) || message.starts_with("unapproved-rollback"), "{message}");
    assert!(message.contains(reason), "`{reason}` is not in: {message}");
}

#[track_caller]
fn admitted(policies: &PolicySet, job: &Value, asked: Asked<'_>) {
    let verdict = judge(policies, job, asked);
    assert!(verdict.allowed(), "{}", verdict.message());
}

#[test]
fn an_approval_is_for_one_job_in_one_namespace_until_one_moment() {
    let (plain, none) = (policies("{}"), ConfigMapSet::default());
    let good = approved(&drop_job());
    admitted(&plain, &good, ask(&none));
    refused(&plain, &drop_job(), ask(&none), "has no approval");
    refused(&plain, &good, Asked { namespace: "prod", ..ask(&none) }, "names another namespace");
    let late = Asked { now: "2026-06-03T00:00:00Z", ..ask(&none) };
    refused(&plain, &good, late, "it ended at 2026-06-02T12:00:00Z");
    let early = Asked { now: "2026-05-01T00:00:00Z", ..ask(&none) };
    refused(&plain, &good, early, "further away than the 72h");
    let for_ever = set(&good, "approved-until", "9999-01-01T00:00:00Z");
    refused(&plain, &for_ever, ask(&none), "further away than the 72h");
    let mut unbound = good.clone();
    annotations(&mut unbound).remove("tidegate.dev/approved-namespace");
    refused(&plain, &unbound, ask(&none), "`tidegate.dev/approved-namespace` is missing");
    admitted(&policies("{bindToNamespace: false}"), &unbound, ask(&none));
    let other = Asked { namespace: "prod", ..ask(&none) };
    refused(&policies("{bindToNamespace: false}"), &good, other, "names another namespace");
}

/// Changes a job, of which the first container is given apart.
type Edit<'e> = &'e dyn Fn(&mut Value, &mut Value);

#[test]
fn what_runs_cannot_change_under_an_approval() {
    let (plain, none) = (policies("{}"), ConfigMapSet::default());
    let good = approved(&drop_job());
    let change = |edit: Edit<'_>| {
        let mut job = good.clone();
        let mut container = job["spec"]["template"]["spec"]["containers"][0].take();
        edit(&mut job, &mut container);
        job["spec"]["template"]["spec"]["containers"][0] = container;
        job
    };
    let edits: [(&str, Edit<'_>); 10] = [
        ("another Job", &|job, _| job["metadata"]["name"] = json!("other")),
        ("image", &|_, container| container["image"] = json!("postgres:17")),
        ("args", &|_, container| container["args"][1] = json!("DROP TABLE b")),
        ("env", &|_, container| container["env"][0]["value"] = json!("prod-db")),
        ("mounted map", &|job, _| {
            job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] = json!("other");
        }),
        ("file of the map", &|job, _| {
            job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["items"] =
                json!([{"key": "b", "path": "a"}]);
        }),
        ("liveness probe", &|_, container| {
            container["livenessProbe"] = json!({"exec": {"command": ["psql", "-c", "x"]}});
        }),
        ("host alias", &|job, _| {
            job["spec"]["template"]["spec"]["hostAliases"] =
                json!([{"ip": "10.0.0.1", "hostnames": ["db"]}]);
        }),
        ("service account", &|job, _| {
            job["spec"]["template"]["spec"]["serviceAccountName"] = json!("admin");
        }),
        ("completions", &|job, _| job["spec"]["completions"] = json!(9)),
    ];
    for (what, edit) in edits {
        let changed = change(edit);
        let verdict = judge(&plain, &changed, ask(&none));
        let wanted = "`tidegate.dev/approved-digest` is for something else than what will run";
        assert!(verdict.message().contains(wanted), "{what}: {}", verdict.message());
    }
}

#[test]
fn mounted_sql_is_covered_where_the_content_is_approved() {
    let map = |sql: &str| {
        let json = json!({"data": {"run.sql": sql}}).to_string();
        let mut set = ConfigMapSet::default();
        set.add("shop", "sql", 0, ConfigMap::parse(&json).unwrap());
        set
    };
    let (seen, changed, none) = (map("DROP TABLE a"), map("DROP TABLE b"), ConfigMapSet::default());
    let approved = approved(&drop_job());
    let Ok(digest) = parsed(&approved, |object| content(object, seen.seen_from("shop", 0))) else {
        panic!("it is in reach")
    };
    let covered = set(&approved, "approved-content", &digest.to_string());
    let plain = policies("{}");
    admitted(&plain, &covered, ask(&seen));
    refused(&plain, &covered, ask(&changed), "for something else than what its ConfigMaps hold");
    refused(
        &plain,
        &covered,
        ask(&none),
        "undecided, because `tidegate.dev/approved-content` cannot be compared: ConfigMap `sql` is not in reach",
    );
    let strict = policies("{require: [approved-by, content]}");
    refused(&strict, &approved, ask(&seen), "`tidegate.dev/approved-content` is missing");
}

#[test]
fn only_who_may_approve_approves() {
    let none = ConfigMapSet::default();
    let good = approved(&drop_job());
    let team = policies("{approvers: ['*@example.com']}");
    admitted(&team, &good, ask(&none));
    let cyrillic = set(&good, "approved-by", "\u{430}lice@example.com");
    refused(&team, &cyrillic, ask(&none), "character 1 of it is U+0430");
    let elsewhere = set(&good, "approved-by", "alice@example.com.evil.net");
    refused(&team, &elsewhere, ask(&none), "names nobody who may approve");
    let upper = policies("{approvers: [Alice@example.com]}");
    refused(&upper, &good, ask(&none), "names nobody who may approve");
    let hidden = set(&good, "approved-by", "ali\u{200b}ce@example.com");
    refused(&policies("{}"), &hidden, ask(&none), "holds characters that cannot be seen");
    let lines = set(&good, "approved-by", "alice@example.com\nmallory");
    refused(&team, &lines, ask(&none), "holds characters that cannot be seen");
}

#[test]
fn nobody_approves_for_themselves_where_duties_are_separate() {
    let none = ConfigMapSet::default();
    let good = approved(&drop_job());
    let separate = policies("{separationOfDuties: true}");
    admitted(&separate, &good, ask(&none));
    for user in ["alice@example.com", "ALICE@example.com", "\u{430}lice@example.com"] {
        let asked = Asked { user, ..ask(&none) };
        refused(&separate, &good, asked, "whoever asks for it is the one who approved");
    }
    let nobody = Asked { user: "", ..ask(&none) };
    refused(&separate, &good, nobody, "undecided, because who will ask for it is not known here");
}

#[test]
fn fields_say_what_the_policy_asks_for() {
    let none = ConfigMapSet::default();
    let good = approved(&drop_job());
    let strict = policies(
        "{ticketPattern: 'DB-[0-9]+', minReasonLength: 10, require: [ticket, reason, backup]}",
    );
    refused(&strict, &good, ask(&none), "`tidegate.dev/approval-reason` is missing or empty");
    let short = set(&good, "approval-reason", "because");
    refused(&strict, &short, ask(&none), "`tidegate.dev/approval-reason` is shorter than 10");
    let said = set(&good, "approval-reason", "the table is empty");
    refused(
        &strict,
        &said,
        ask(&none),
        "`tidegate.dev/backup` or `tidegate.dev/backup-waiver` is missing",
    );
    let backed = set(&said, "backup", "s3-2026-06-01");
    admitted(&strict, &backed, ask(&none));
    admitted(&strict, &set(&said, "backup-waiver", "nothing to lose in it"), ask(&none));
    refused(
        &strict,
        &set(&said, "backup-waiver", "no"),
        ask(&none),
        "`tidegate.dev/backup-waiver` is shorter",
    );
    for ticket in ["DB-1x", "xDB-1", "db-1", "DB-1 DB-2"] {
        let other = set(&backed, "approval-ticket", ticket);
        refused(&strict, &other, ask(&none), "`tidegate.dev/approval-ticket` does not match");
    }
    let white = set(&set(&backed, "approval-ticket", " DB-1\n"), "approved-namespace", "shop\n");
    admitted(&strict, &white, ask(&none));
    let digest =
        backed["metadata"]["annotations"]["tidegate.dev/approved-digest"].as_str().unwrap();
    for digest in [digest.to_uppercase(), digest.replace("sha256:", ""), format!("{digest} x")] {
        let other = set(&backed, "approved-digest", &digest);
        refused(&strict, &other, ask(&none), "is for something else than what will run");
    }
    refused(
        &strict,
        &set(&backed, "approved-namespace", "SHOP"),
        ask(&none),
        "names another namespace",
    );
    refused(
        &strict,
        &set(&backed, "approved-by", &"x".repeat(5_000)),
        ask(&none),
        "is longer than 4096 bytes",
    );
}

#[test]
fn operations_differ_where_the_policy_says_so() {
    let none = ConfigMapSet::default();
    let mut job = drop_job();
    job["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["alembic", "downgrade"]);
    job["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["-1"]);
    let rollback = approved(&job);
    admitted(&policies("{}"), &rollback, ask(&none));
    let strict =
        policies("{operations: {rollback: {require: [reason], maxAge: 1h, approvers: [dba]}}}");
    let verdict = judge(&strict, &rollback, ask(&none)).message();
    for reason in
        ["`tidegate.dev/approval-reason` is missing", "further away than the 1h", "names nobody"]
    {
        assert!(
            verdict.starts_with("unapproved-rollback") && verdict.contains(reason),
            "{verdict}"
        );
    }
    let destructive = approved(&drop_job());
    admitted(&strict, &destructive, ask(&none));
    let mut unknown = drop_job();
    unknown["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["migrate"]);
    unknown["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["goto", "7"]);
    admitted(&policies("{}"), &unknown, ask(&none));
    let named = policies("{operations: {unknown: {}}}");
    refused(&named, &unknown, ask(&none), "is a migration of unknown effect and has no approval");
    admitted(&named, &approved(&unknown), ask(&none));
}

#[test]
fn a_declared_risk_only_raises_unless_the_policy_lets_it_lower() {
    let none = ConfigMapSet::default();
    let lowered = set(&drop_job(), "risk", "apply");
    refused(&policies("{}"), &lowered, ask(&none), "is destructive and has no approval");
    admitted(&policies("{riskMayLower: true}"), &lowered, ask(&none));
    let mut harmless = drop_job();
    harmless["spec"]["template"]["spec"]["containers"][0]["command"] =
        json!(["alembic", "upgrade"]);
    harmless["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["head"]);
    admitted(&policies("{}"), &harmless, ask(&none));
    let raised = set(&harmless, "risk", "destructive");
    refused(
        &policies("{}"),
        &raised,
        ask(&none),
        "is by its own declaration destructive and has no approval",
    );
    admitted(&policies("{}"), &approved(&raised), ask(&none));
    let mut opaque = drop_job();
    opaque["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["/work"]);
    opaque["spec"]["template"]["spec"]["containers"][0]["args"] = json!([]);
    admitted(&policies("{}"), &opaque, ask(&none));
    let declared = set(&opaque, "risk", "destructive");
    refused(
        &policies("{}"),
        &declared,
        ask(&none),
        "it declares itself destructive and has no approval",
    );
    let odd = set(&approved(&drop_job()), "risk", "harmless");
    refused(&policies("{}"), &odd, ask(&none), "`tidegate.dev/risk` must be one of");
}

#[test]
fn an_approval_that_is_taken_away_or_edited_holds_no_longer() {
    let (plain, none) = (policies("{}"), ConfigMapSet::default());
    let good = approved(&drop_job());
    let updated = Asked { old: Some(&good), ..ask(&none) };
    refused(&plain, &drop_job(), updated, "has no approval");
    refused(&plain, &set(&good, "approved-digest", "sha256:00"), updated, "for something else");
    let keys = signing(&format!("alice@example.com {}", public(1)));
    let good = signed(&good, 1);
    admitted(&keys, &good, ask(&none));
    let updated = Asked { old: Some(&good), ..ask(&none) };
    let longer = set(&good, "approved-until", "2026-06-03T12:00:00Z");
    refused(&keys, &longer, updated, "is of another approval, or one of the two was altered");
    let bob = set(&good, "approved-by", "bob@example.com");
    refused(&keys, &bob, updated, "which may not sign as the one whom");
    let waived = set(&good, "backup-waiver", "nobody will notice");
    refused(&keys, &waived, updated, "is of another approval");
    let moved = Asked { namespace: "prod", ..ask(&none) };
    refused(&keys, &set(&good, "approved-namespace", "prod"), moved, "is of another approval");
}

#[test]
fn a_signature_counts_only_from_a_key_that_may_sign_now() {
    let none = ConfigMapSet::default();
    let unsigned = approved(&drop_job());
    let good = signed(&unsigned, 1);
    let line = |options: &str| format!("alice@example.com {options} {}", public(1));
    let keys = signing(&line(""));
    admitted(&keys, &good, ask(&none));
    refused(&keys, &unsigned, ask(&none), "`tidegate.dev/approval-signature` is missing");
    refused(&keys, &signed(&unsigned, 2), ask(&none), "which the policy does not list");
    refused(&keys, &signed_for(&unsigned, 1, "git"), ask(&none), "was made for another purpose");
    let junk = set(&unsigned, "approval-signature", "AAAA");
    refused(&keys, &junk, ask(&none), "`tidegate.dev/approval-signature` is no OpenSSH signature");
    let later = signing(&line("valid-after=\"20260602Z\""));
    refused(&later, &good, ask(&none), "which is not valid yet");
    let before = signing(&line("valid-before=\"20260601Z\""));
    refused(&before, &good, ask(&none), "which is no longer valid");
    let commits = signing(&line("namespaces=\"git\""));
    refused(&commits, &good, ask(&none), "which may not sign approvals");
    let revoked = policies(&format!(
        "{{signatures: {{allowedSigners: \"{}\", revokedKeys: ['{}']}}}}",
        line(""),
        public(1)
    ));
    refused(&revoked, &good, ask(&none), "which is revoked");
    admitted(&revoked, &unsigned, ask(&none));
    let wrong = policies(&format!("{{signatures: {{allowedSigners: \"{}\"}}}}", line("")));
    refused(&wrong, &signed(&unsigned, 2), ask(&none), "which the policy does not list");
}

#[test]
fn a_key_that_stands_twice_is_no_way_round() {
    let none = ConfigMapSet::default();
    let good = approved(&drop_job()).to_string();
    let twice = good.replacen(
        "\"tidegate.dev/approved-by\":",
        "\"tidegate.dev/approved-by\":\"x\",\"tidegate.dev/approved-by\":",
        1,
    );
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let team = policies("{approvers: [bob]}");
    let verdict =
        validate(&team, &Change::create("shop", "drop", &twice), &facts, NOW.parse().unwrap());
    assert!(verdict.message().contains("unreadable-object"), "{}", verdict.message());
    let images = good.replacen("\"image\":", "\"image\":\"other\",\"image\":", 1);
    let verdict = validate(
        &policies("{}"),
        &Change::create("shop", "drop", &images),
        &facts,
        NOW.parse().unwrap(),
    );
    assert!(verdict.message().contains("unreadable-object"), "{}", verdict.message());
    admitted(&policies("{}"), &approved(&drop_job()), ask(&none));
}

#[test]
fn an_approval_stands_on_the_job_and_not_on_its_pods() {
    let (plain, none) = (policies("{}"), ConfigMapSet::default());
    let mut job = approved(&drop_job());
    let annotations = job["metadata"]["annotations"].take();
    job["metadata"]["annotations"] = json!({});
    job["spec"]["template"]["metadata"] = json!({"annotations": annotations});
    refused(&plain, &job, ask(&none), "has no approval");
}

#[test]
fn policies_that_make_no_sense_are_errors_where_they_stand() {
    let error = |approvals: &str| {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: p}}\nspec:\n  \
             approvals:\n    {approvals}\n"
        );
        policy::parse(&text, "p.yaml").unwrap_err()[0].to_string()
    };
    for (approvals, want) in [
        (
            "signatures: {required: true}",
            "spec.approvals.signatures.allowedSigners: must name a key",
        ),
        (
            "signatures: {allowedSigners: \"a ssh-ed25519 x\"}",
            "spec.approvals.signatures.allowedSigners: line 1: key: is no public key",
        ),
        (
            "signatures: {allowedSigners: \"\\n* cert-authority ssh-ed25519 AAAA\"}",
            "line 2: cert-authority: certificates are not supported",
        ),
        (
            "signatures: {revokedKeys: [x]}",
            "spec.approvals.signatures.revokedKeys[0]: is neither a public key nor",
        ),
        (
            "ticketPattern: '('",
            "spec.approvals.ticketPattern: is no regular expression: unclosed group",
        ),
        ("operations: {drop: {}}", "unknown variant `drop`"),
        ("maxAge: 72", "spec.approvals.maxAge"),
    ] {
        let error = error(approvals);
        assert!(error.starts_with("p.yaml:6:") && error.contains(want), "{error}");
    }
}

/// The message of a refusal never holds what somebody wrote into an annotation.
#[test]
fn a_refusal_repeats_no_annotation() {
    let none = ConfigMapSet::default();
    let mut job = approved(&drop_job());
    for key in [
        "approved-by",
        "approval-ticket",
        "approval-reason",
        "backup",
        "backup-waiver",
        "risk",
        "approved-until",
        "approved-digest",
        "approved-content",
        "approval-signature",
    ] {
        job = set(&job, key, "canary\u{430}");
    }
    let strict = policies(&format!(
        "{{approvers: [bob], ticketPattern: x, minReasonLength: 99, separationOfDuties: true, signatures: {{required: true, allowedSigners: \"bob {}\"}}}}",
        public(1)
    ));
    let verdict = judge(&strict, &job, ask(&none));
    assert!(!verdict.allowed() && !verdict.message().contains("canary"), "{}", verdict.message());
}
