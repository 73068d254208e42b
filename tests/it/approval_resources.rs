//! Approvals that are objects of a cluster, as somebody meets them who tries to get round them.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::{
    model::{Fact, GrantedApproval, Object},
    policy::digest,
};

use crate::{
    fake_cluster::FakeCluster,
    support::{Service, eventually, review_of},
};

const NAMESPACES: &str = "/api/v1/namespaces";
const POLICIES: &str = "/apis/tidegate.dev/v1alpha1/migrationpolicies";
const APPROVALS: &str = "/apis/tidegate.dev/v1alpha1/migrationapprovals";
const JOBS: &str = "/apis/batch/v1/jobs";
const RULE: &str = "unapproved-destructive-migration: ";

/// A Job that drops a table and does nothing else wrong.
fn drop_job(uid: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "drop", "namespace": "prod", "uid": uid, "annotations": {
            "argocd.argoproj.io/hook": "PreSync",
            "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}},
        "spec": {"activeDeadlineSeconds": 600, "backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "sql", "image": "registry.example.com/psql:17.2",
                "command": ["psql"], "args": ["-c", "DROP TABLE a"],
                "env": [{"name": "PGHOST", "value": "db"}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            }]}}}
    })
}

fn digest_of(job: &Value) -> String {
    digest(&Object::parse(&job.to_string()).unwrap()).to_string()
}

fn in_hours(hours: i64) -> String {
    (Timestamp::now() + SignedDuration::from_hours(hours)).to_string()
}

/// An approval of `job` by alice that ends in a day, as the API server has it once it is stamped.
fn approval(name: &str, job: &Value) -> Value {
    json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationApproval",
        "metadata": {"name": name, "namespace": "prod", "generation": 1,
            "creationTimestamp": in_hours(-1)},
        "spec": {"digest": digest_of(job), "ticket": "DB-1", "expires": in_hours(24),
            "approver": "alice@example.com"}})
}

fn with(mut approval: Value, field: &str, value: Value) -> Value {
    approval["spec"][field] = value;
    approval
}

/// A cluster under one policy, and what answers for it.
struct Scene {
    server: FakeCluster,
    service: Service,
}

impl Scene {
    async fn new(approvals: Value) -> Self {
        let server = FakeCluster::start().await;
        for name in ["prod", "dev"] {
            let metadata = json!({"name": name, "labels": {}});
            server.put(
                NAMESPACES,
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
            );
        }
        let spec = json!({"match": {"namespaces": ["prod", "dev"]}, "onUndecided": "Deny",
            "rules": {"concurrent-migration": {"level": "Off"},
                "destructive-without-backup": {"level": "Off"}},
            "approvals": approvals});
        server.put(
            POLICIES,
            json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
                "metadata": {"name": "p", "generation": 1}, "spec": spec}),
        );
        let service = Service::writing(&server.connection());
        service.watch(server.connection());
        let is_ready = || {
            service.cluster.waits_for().is_empty()
                && service.engines.current().policies() == ["p", "default"]
        };
        eventually("everything is known", is_ready).await;
        eventually("Jobs are known", || {
            service.metric(r#"tidegate_cache_synced{cache="jobs"}"#) == Some(1.0)
        })
        .await;
        Self { server, service }
    }

    /// What requests know of an approval, if they do.
    fn known(&self, approval: &Value) -> Option<GrantedApproval> {
        let (meta, spec) = (&approval["metadata"], &approval["spec"]);
        let namespace = meta["namespace"].as_str()?;
        let Fact::Known(all) = self.service.cluster.approvals.of(namespace, Instant::now()) else {
            return None;
        };
        let found = all.iter().find(|it| meta["name"] == it.name.as_str())?;
        let expires = spec["expires"].as_str()?.parse::<Timestamp>();
        let is_it = found.approver == spec["approver"].as_str().unwrap_or_default()
            && spec["digest"] == found.digest.as_str()
            && spec["job"].as_str() == found.job.as_deref()
            && expires.is_ok_and(|expires| expires == found.expires);
        is_it.then(|| found.clone())
    }

    async fn put(&self, approval: &Value) {
        self.server.put(APPROVALS, approval.clone());
        eventually("the approval is known", || self.known(approval).is_some()).await;
    }

    async fn delete(&self, name: &str) {
        self.server.delete(APPROVALS, "prod", name);
        eventually("the approval is gone", || {
            let all = self.service.cluster.approvals.of("prod", Instant::now());
            matches!(all, Fact::Known(all) if all.iter().all(|it| it.name != name))
        })
        .await;
    }

    /// What is said to a user who asks for a change; nothing when it is let in.
    async fn said(&self, user: &str, job: &Value, old: &Value) -> String {
        let namespace = job["metadata"]["namespace"].as_str().unwrap();
        let name = job["metadata"]["name"].as_str().unwrap();
        let mut review: Value = serde_json::from_str(&review_of(&job.to_string())).unwrap();
        let request = &mut review["request"];
        request["userInfo"]["username"] = json!(user);
        request["namespace"] = json!(namespace);
        request["name"] = json!(name);
        request["oldObject"] = old.clone();
        request["operation"] = json!(if old.is_null() { "CREATE" } else { "UPDATE" });
        let response = self.service.post("/validate", review.to_string()).await.response();
        let message = response["status"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(response["allowed"] == true, message.is_empty(), "{response}");
        let by = &response["auditAnnotations"]["approvals"];
        assert!(by.is_null() || !message.starts_with(RULE), "it is approved by {by}: {response}");
        message
    }

    async fn admitted(&self, job: &Value) {
        assert_eq!(self.said("argocd", job, &Value::Null).await, "");
    }

    async fn refused(&self, job: &Value, reason: &str) {
        let said = self.said("argocd", job, &Value::Null).await;
        assert!(said.starts_with(RULE) && said.contains(reason), "`{reason}`: {said}");
    }
}

/// Changes a Job, of which the first container is given apart.
type Edit<'e> = &'e dyn Fn(&mut Value, &mut Value);

#[tokio::test]
async fn an_approval_covers_one_exact_migration_in_one_namespace() {
    let scene = Scene::new(json!({})).await;
    let job = drop_job("j-1");
    scene.refused(&job, "has no approval; have it approved with `kubectl tidegate approve`").await;
    let said = scene.said("argocd", &job, &Value::Null).await;
    assert!(said.ends_with(&digest_of(&job)), "the digest is the last word: {said}");
    let given = approval("a", &job);
    scene.put(&given).await;
    let response = scene.service.post("/validate", review_of(&job.to_string())).await.response();
    assert_eq!(response["auditAnnotations"]["approvals"], "a", "{response}");
    let used = "tidegate_approvals_used_total{operation=\"destructive\"}";
    assert_eq!(scene.service.metric(used), Some(1.0));
    let edits: [(&str, Edit<'_>); 7] = [
        ("another Job", &|job, _| job["metadata"]["name"] = json!("other")),
        ("another namespace", &|job, _| job["metadata"]["namespace"] = json!("dev")),
        ("image", &|_, container| container["image"] = json!("registry.example.com/psql:17.3")),
        ("SQL", &|_, container| container["args"][1] = json!("DROP TABLE b")),
        ("args", &|_, container| container["args"] = json!(["-1", "-c", "DROP TABLE a"])),
        ("env", &|_, container| container["env"][0]["value"] = json!("prod-db")),
        ("service account", &|job, _| {
            job["spec"]["template"]["spec"]["serviceAccountName"] = json!("admin");
        }),
    ];
    for (what, edit) in edits {
        let mut changed = job.clone();
        let mut container = changed["spec"]["template"]["spec"]["containers"][0].take();
        edit(&mut changed, &mut container);
        changed["spec"]["template"]["spec"]["containers"][0] = container;
        let said = scene.said("argocd", &changed, &Value::Null).await;
        assert!(said.starts_with(RULE) && said.contains("has no approval"), "{what}: {said}");
        // On a live Job it is no better.
        if what != "another namespace" {
            let said = scene.said("argocd", &changed, &job).await;
            assert!(what == "another Job" || said.starts_with(RULE), "{what}: {said}");
        }
    }
    // A name in it binds too, and whoever meant this Job is told what differs.
    scene.put(&with(given.clone(), "job", json!("dr*"))).await;
    let mut changed = job.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["args"][1] = json!("DROP TABLE b");
    scene.refused(&changed, "`spec.digest` of MigrationApproval `a` is for something else").await;
    let mut other = with(given, "job", json!("nightly-*"));
    other["metadata"]["name"] = json!("b");
    scene.delete("a").await;
    scene.put(&other).await;
    scene.refused(&job, "MigrationApproval `b` names another Job in `spec.job`").await;
}

#[tokio::test]
async fn an_approval_ends_and_none_is_for_ever() {
    let scene = Scene::new(json!({"ticketPattern": "DB-[0-9]+", "minReasonLength": 10})).await;
    let job = drop_job("j-1");
    let given = approval("a", &job);
    for (field, value, reason) in [
        ("expires", json!(in_hours(-1)), "MigrationApproval `a` ended at"),
        ("expires", json!(in_hours(24 * 365)), "is further away than the 72h"),
        ("ticket", json!("OPS-1"), "`spec.ticket` of MigrationApproval `a` does not match"),
        ("ticket", Value::Null, "`spec.ticket` of MigrationApproval `a` is missing or empty"),
        ("reason", json!("because"), "is shorter than 10 characters"),
        ("reason", json!("because\u{200b} of it"), "holds characters that cannot be seen"),
        ("content", json!(digest_of(&job)), "for something else than what its ConfigMaps hold"),
    ] {
        scene.put(&with(given.clone(), field, value)).await;
        scene.refused(&job, reason).await;
        scene.delete("a").await;
    }
    scene.put(&given).await;
    scene.admitted(&job).await;
}

#[tokio::test]
async fn whoever_approves_learns_at_once_what_the_job_would_be_told() {
    let approvals = json!({"ticketPattern": "DB-[0-9]+", "approvers": ["*@example.com"],
        "require": ["ticket", "reason"], "operations": {"rollback": {"maxAge": "1h"}}});
    let scene = Scene::new(approvals).await;
    let given = with(approval("a", &drop_job("j-1")), "reason", json!("unused since May"));
    let make = async |approval: &Value, user: &str, namespace: &str| {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "operation": "CREATE", "name": "a", "namespace": namespace,
                "kind": {"group": "tidegate.dev", "version": "v1alpha1", "kind": "MigrationApproval"},
                "userInfo": {"username": user}, "object": approval}});
        scene.service.post("/validate", review.to_string()).await.response()
    };
    let alice = "alice@example.com";
    let response = make(&given, alice, "prod").await;
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("for rollback, `spec.expires`"), "it holds for the rest: {warning}");

    for (field, value, reason) in [
        ("expires", json!(in_hours(24 * 365)), "is further away than the 72h"),
        ("ticket", json!("OPS-1"), "`spec.ticket` of MigrationApproval `a` does not match"),
        ("reason", Value::Null, "`spec.reason` of MigrationApproval `a` is missing or empty"),
    ] {
        let response = make(&with(given.clone(), field, value), alice, "prod").await;
        let said = response["status"]["message"].as_str().unwrap();
        assert!(said.starts_with("tidegate: MigrationApproval/a: under policy `p`"), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    let mallory = "mallory@elsewhere.com";
    let by_mallory = with(given.clone(), "approver", json!(mallory));
    let said = make(&by_mallory, mallory, "prod").await["status"]["message"].to_string();
    assert!(said.contains("names nobody who may approve"), "{said}");
    // Another namespace has another policy, which asks for none of this.
    scene.server.put(NAMESPACES, json!({"metadata": {"name": "other", "labels": {}}}));
    let other = make(&with(given, "ticket", json!("OPS-1")), alice, "other").await;
    assert_eq!((&other["allowed"], &other["warnings"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn only_who_may_approve_approves_and_nobody_for_themselves() {
    let scene = Scene::new(json!({"approvers": ["*@example.com", "system:*"]})).await;
    let job = drop_job("j-1");
    let by = |approver: &str| with(approval("a", &job), "approver", json!(approver));
    for (approver, reason) in [
        ("", "`spec.approver` of MigrationApproval `a` is missing or empty"),
        ("\u{430}lice@example.com", "character 1 of it is U+0430"),
        ("alice@example.com.evil.net", "names nobody who may approve"),
        ("ali\u{200b}ce@example.com", "holds characters that cannot be seen"),
    ] {
        let text = if approver.is_empty() { Value::Null } else { json!(approver) };
        let given = with(approval("a", &job), "approver", text);
        scene.put(&given).await;
        scene.refused(&job, reason).await;
        scene.delete("a").await;
    }
    scene.put(&by("alice@example.com")).await;
    scene.admitted(&job).await;
    for user in ["alice@example.com", "ALICE@example.com", "\u{430}lice@example.com"] {
        let said = scene.said(user, &job, &Value::Null).await;
        assert!(said.contains("whoever asks for it is the one who approved"), "{user}: {said}");
    }
    assert_eq!(scene.said("bob@example.com", &job, &Value::Null).await, "");
    // A program that approves what it asks for is no second pair of eyes either.
    let argocd = "system:serviceaccount:argocd:controller";
    assert_eq!(scene.said(argocd, &job, &Value::Null).await, "");
    scene.put(&by(argocd)).await;
    let said = scene.said(argocd, &job, &Value::Null).await;
    assert!(said.contains("whoever asks for it is the one who approved"), "{said}");
    let alone = Scene::new(json!({"separationOfDuties": false})).await;
    alone.put(&by("alice@example.com")).await;
    assert_eq!(alone.said("alice@example.com", &job, &Value::Null).await, "");
    // Names of programs are made by Kubernetes: none is written to look like a person's.
    alone.put(&by("Zo\u{eb}")).await;
    assert_eq!(alone.said(argocd, &job, &Value::Null).await, "");
}

/// The Job with an approval in its annotations.
fn annotated(mut job: Value) -> Value {
    let digest = digest_of(&job);
    for (key, value) in [
        ("approved-by", "alice@example.com"),
        ("approval-ticket", "DB-1"),
        ("approved-namespace", "prod"),
        ("approved-until", &in_hours(24)),
        ("approved-digest", &digest),
    ] {
        job["metadata"]["annotations"][format!("tidegate.dev/{key}")] = json!(value);
    }
    job
}

#[tokio::test]
async fn a_policy_says_which_kind_of_approval_counts() {
    let job = drop_job("j-1");
    let key = "alice@example.com ssh-ed25519 \
               AAAAC3NzaC1lZDI1NTE5AAAAIA6oajAWfg3ocdyhA6FlJfoIIqY1F36Qp7mYNF9Ebwwh";
    let signed = json!({"signatures": {"required": true, "allowedSigners": key}});
    for (approvals, by_annotations, by_resource) in [
        (json!({}), true, true),
        (signed, false, true),
        (json!({"resources": "Require"}), false, true),
        (json!({"resources": "Ignore"}), true, false),
    ] {
        let scene = Scene::new(approvals.clone()).await;
        let annotated = annotated(job.clone());
        let said = scene.said("argocd", &annotated, &Value::Null).await;
        assert_eq!(said.is_empty(), by_annotations, "{approvals}: {said}");
        scene.put(&approval("a", &job)).await;
        let said = scene.said("argocd", &job, &Value::Null).await;
        assert_eq!(said.is_empty(), by_resource, "{approvals}: {said}");
        let said = scene.said("argocd", &annotated, &Value::Null).await;
        assert_eq!(said, "", "either is enough: {approvals}");
    }
}

#[tokio::test]
async fn what_was_let_in_lives_on_without_its_approval_and_nothing_else_does() {
    let scene = Scene::new(json!({})).await;
    let job = drop_job("j-1");
    let mut suspended = job.clone();
    suspended["spec"]["suspend"] = json!(true);
    scene.put(&approval("a", &job)).await;
    scene.admitted(&job).await;
    scene.delete("a").await;
    scene.refused(&job, "has no approval").await;
    let mut labelled = job.clone();
    labelled["metadata"]["annotations"]["tidegate.dev/tenant"] = json!("x");
    assert_eq!(scene.said("argocd", &labelled, &job).await, "", "it is there already");
    let said = scene.said("argocd", &job, &suspended).await;
    assert!(said.starts_with(RULE), "resuming runs it only now: {said}");
    scene.put(&approval("a", &job)).await;
    assert_eq!(scene.said("argocd", &job, &suspended).await, "");
}

/// The Job as the cluster has it, made a moment ago.
fn ran(uid: &str) -> Value {
    let mut job = drop_job(uid);
    job["metadata"]["creationTimestamp"] = json!(in_hours(0));
    job
}

#[tokio::test]
async fn a_job_is_made_again_under_its_approval() {
    let often = Scene::new(json!({})).await;
    let given = approval("a", &drop_job(""));
    often.put(&given).await;
    for uid in ["j-1", "j-2"] {
        often.admitted(&drop_job(uid)).await;
        often.server.put(JOBS, ran(uid));
        eventually("its use is known", || {
            often.known(&given).is_some_and(|it| it.used_by.is_some())
        })
        .await;
        often.server.delete(JOBS, "prod", "drop");
    }
}

#[tokio::test]
async fn an_approval_for_one_job_covers_no_other() {
    let once = Scene::new(json!({"resources": "Require", "singleUse": true})).await;
    once.put(&approval("a", &drop_job(""))).await;
    let dry =
        review_of(&drop_job("j-0").to_string()).replace("\"dryRun\":false", "\"dryRun\":true");
    assert_eq!(once.service.post("/validate", dry).await.response()["allowed"], true);
    once.admitted(&drop_job("j-1")).await;
    let used = "MigrationApproval `a` was used by another Job, and holds for one";
    // The watch has not told of it yet, and it is spent.
    once.refused(&drop_job("j-2"), used).await;
    once.admitted(&drop_job("j-1")).await;
    once.server.put(JOBS, ran("j-1"));
    let status = || once.server.get(APPROVALS, "prod", "a").unwrap()["status"].clone();
    eventually("its use is written", || status()["usedBy"]["uid"] == "j-1").await;
    assert_eq!(status()["usedBy"], json!({"namespace": "prod", "name": "drop", "uid": "j-1"}));
    let conditions = status()["conditions"].clone();
    let said: Vec<String> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{}={}", it["type"].as_str().unwrap(), it["status"].as_str().unwrap()))
        .collect();
    assert_eq!(said, ["Ready=True", "Used=True", "Expired=False"]);
    // Deleting the Job gives nothing back.
    once.server.delete(JOBS, "prod", "drop");
    once.refused(&drop_job("j-2"), used).await;
    let mut suspended = drop_job("j-1");
    suspended["spec"]["suspend"] = json!(true);
    assert_eq!(once.said("argocd", &drop_job("j-1"), &suspended).await, "", "it is the same Job");
    // Another replica, or this one started again, reads it from the status.
    let other = Service::in_cluster();
    other.watch(once.server.connection());
    eventually("the other knows", || {
        matches!(other.cluster.approvals.of("prod", Instant::now()),
            Fact::Known(all) if all.iter().any(|it| it.used_by.as_deref() == Some("j-1")))
    })
    .await;
    // A new approval of the same covers the next one, and no Pod at all.
    let mut next = approval("b", &drop_job(""));
    next["metadata"]["creationTimestamp"] = json!(in_hours(0));
    once.put(&next).await;
    once.admitted(&drop_job("j-2")).await;
    let mut pod = drop_job("p-1");
    (pod["apiVersion"], pod["kind"]) = (json!("v1"), json!("Pod"));
    pod["spec"] = pod["spec"]["template"]["spec"].take();
    let mut given = approval("pod", &pod);
    given["spec"]["digest"] = json!(digest_of(&pod));
    once.put(&given).await;
    once.refused(&pod, "MigrationApproval `pod` holds for one Job, and this is none").await;
}

#[tokio::test]
async fn of_two_jobs_that_are_judged_at_once_one_uses_the_approval() {
    let scene = Scene::new(json!({"resources": "Require", "singleUse": true})).await;
    let generated = |name: &str, uid: &str| {
        let mut job = drop_job(uid);
        job["metadata"]["generateName"] = json!("drop-");
        job["metadata"]["name"] = json!(name);
        job
    };
    let (one, other) = (generated("drop-x1", "j-1"), generated("drop-x2", "j-2"));
    scene.put(&approval("a", &one)).await;
    let asked = async |job| scene.said("argocd", job, &Value::Null).await;
    let (first, second) = tokio::join!(asked(&one), asked(&other));
    let mut said = [first, second];
    said.sort();
    assert!(said[0].is_empty() && said[1].contains("was used by another Job"), "{said:?}");
}

#[tokio::test]
async fn a_waiver_counts_in_the_approval_that_holds_and_nowhere_beside_it() {
    let scene = Scene::new(json!({})).await;
    let spec = json!({"match": {"namespaces": ["prod"]}, "rules": {}});
    scene.server.put(
        POLICIES,
        json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
            "metadata": {"name": "backed", "generation": 1}, "spec": spec}),
    );
    scene.server.delete(POLICIES, "", "p");
    let names = || scene.service.engines.current().policies();
    eventually("the policy is in force", || names() == ["backed", "default"]).await;
    let mut job = drop_job("j-1");
    job["metadata"]["annotations"]["tidegate.dev/backup-waiver"] = json!("nobody will notice");
    scene.put(&approval("a", &job)).await;
    let said = scene.said("argocd", &job, &Value::Null).await;
    assert!(said.starts_with("destructive-without-backup: "), "{said}");
    assert!(said.contains("its backup waiver is in no approval that holds"), "{said}");
    scene.delete("a").await;
    scene.put(&with(approval("a", &job), "backupWaiver", json!("never written"))).await;
    scene.admitted(&job).await;
    scene.delete("a").await;
    scene.put(&with(approval("a", &job), "backup", json!("s3-1"))).await;
    scene.admitted(&drop_job("j-2")).await;
}

#[tokio::test]
async fn nothing_is_decided_before_the_approvals_are_known() {
    let server = FakeCluster::start().await;
    server.set_forbidden(APPROVALS, true);
    let service = Service::in_cluster();
    service.watch(server.connection());
    eventually("the rest is known", || {
        service.cluster.waits_for().iter().map(|cache| cache.as_str()).collect::<Vec<_>>()
            == ["approvals"]
    })
    .await;
    let body = review_of(&drop_job("j-1").to_string());
    let response = service.post("/validate", body).await.response();
    let warnings = response["warnings"].to_string();
    assert!(warnings.contains("the approvals of the cluster have not been read yet"), "{response}");
    server.set_forbidden(APPROVALS, false);
    eventually("they are known", || service.cluster.waits_for().is_empty()).await;
}

#[tokio::test]
async fn an_approval_that_cannot_be_read_approves_nothing_and_says_so() {
    let scene = Scene::new(json!({})).await;
    let job = drop_job("j-1");
    scene.server.put(APPROVALS, with(approval("a", &job), "expires", json!("soon")));
    let status = || scene.server.get(APPROVALS, "prod", "a").unwrap()["status"].clone();
    eventually("it is told", || status()["conditions"][0]["reason"] == "Invalid").await;
    let message = status()["conditions"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("spec.expires: is no RFC 3339 time"), "{message}");
    scene.refused(&job, "has no approval").await;
}
