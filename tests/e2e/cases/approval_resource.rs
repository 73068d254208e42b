//! Approvals that are objects of the cluster: who may make them, and what the API server says of them.

use std::{fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::e2e::{
    cluster::Answer, manifests, namespace::Namespace, process::poll, tidegate::Tidegate,
    world::World,
};

const RULE: &str = "unapproved-destructive-migration";
const LIMIT: Duration = Duration::from_mins(1);

/// Alice may approve in the namespace, and both may deploy.
fn people(world: &World, namespace: &Namespace<'_>) {
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.yaml");
    let install = fs::read_to_string(install).unwrap();
    let is_role = |document: &&str| {
        document.contains("kind: ClusterRole\n") && document.contains("name: tidegate-approver\n")
    };
    let role = install.split("\n---\n").find(is_role).unwrap();
    // By another name, so that it is not the one of the case that installs everything.
    let role = role.replace("name: tidegate-approver\n", "name: e2e-approver\n");
    world.cluster.kubectl_with(&["apply", "-f", "-"], &role).done();
    let approver = ["--clusterrole=e2e-approver", "--user=alice"];
    namespace.kubectl(&[&["create", "rolebinding", "approver"], &approver[..]].concat()).done();
    namespace.kubectl(&["create", "role", "deployer", "--verb=*", "--resource=jobs.batch"]).done();
    let deployers = ["--role=deployer", "--user=alice", "--user=bob"];
    namespace.kubectl(&[&["create", "rolebinding", "deployer"], &deployers[..]].concat()).done();
}

/// Runs kubectl in the namespace as one of the people.
fn by(namespace: &Namespace<'_>, world: &World, user: &str, args: &[&str], input: &str) -> Answer {
    let config = world.cluster.kubeconfig_of(user).display().to_string();
    let config = format!("--kubeconfig={config}");
    namespace.kubectl_with(&[&[config.as_str()], args].concat(), input)
}

fn approval(digest: &str, hours: i64) -> Value {
    let expires = Timestamp::now() + SignedDuration::from_hours(hours);
    json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationApproval",
        "metadata": {"generateName": "drop-"},
        "spec": {"digest": digest, "ticket": "DB-1", "expires": expires.to_string()}})
}

pub(super) fn by_two_people(world: &World) {
    let namespace = world.namespace("approval-two-people");
    people(world, &namespace);
    let job = manifests::sql_job("drop", "ALTER TABLE orders DROP COLUMN note").to_string();
    let create = ["create", "-f", "-"];
    let dry = ["create", "--dry-run=server", "-f", "-"];
    let ask = |user: &str, args: &[&str]| by(&namespace, world, user, args, &job);
    let text = ask("bob", &create).refused(&[RULE]);
    let digest = text.rsplit('=').next().unwrap().to_owned();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{text}");

    // Whoever deploys does not approve.
    let answer = by(&namespace, world, "bob", &create, &approval(&digest, 1).to_string());
    assert!(!answer.success && answer.stderr.contains("cannot create resource"), "{answer}");

    // The refusal is remembered as an Event, from which alice approves.
    let args = ["job/drop", "-n", namespace.name(), "--ticket", "DB-1", "--for", "1h"];
    let made = poll("an approval by the Event of the refusal", LIMIT, || {
        let made = Tidegate::approve(&world.cluster, "alice", &args);
        if made.success { Ok(made) } else { Err(made.to_string()) }
    });
    assert!(made.unwrap().stdout.contains(&digest));
    let all = namespace.get("mappr");
    let made = &all["items"][0];
    assert_eq!(
        (&made["spec"]["approver"], &made["spec"]["digest"]),
        (&json!("alice"), &json!(digest))
    );

    poll("the approval counts", LIMIT, || {
        let answer = ask("bob", &dry);
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    })
    .unwrap();
    let text = ask("alice", &dry).refused(&[RULE]);
    assert!(text.contains("whoever asks for it is the one who approved"), "{text}");
    ask("bob", &create).done();

    // What became of it is told, and only tidegate tells it.
    let shown = poll("its use is told", LIMIT, || {
        let shown = namespace.kubectl(&["get", "mappr"]).done().stdout;
        if shown.contains(" drop ") { Ok(shown) } else { Err(shown) }
    });
    let shown = shown.unwrap();
    assert!(
        shown.contains("APPROVER") && shown.contains("alice") && shown.contains("DB-1"),
        "{shown}"
    );
    let name = format!("mappr/{}", made["metadata"]["name"].as_str().unwrap());
    let status = namespace.get(&name)["status"].clone();
    assert_eq!(status["usedBy"]["uid"], namespace.get("job/drop")["metadata"]["uid"]);
    let erase = r#"{"status":{"usedBy":null}}"#;
    let patch = ["patch", &name, "--subresource=status", "--type=merge", "-p", erase];
    let answer = by(&namespace, world, "alice", &patch, "");
    assert!(!answer.success && answer.stderr.contains("migrationapprovals/status"), "{answer}");
    let answer = namespace.kubectl(&patch);
    assert!(!answer.success && answer.stderr.contains("usedBy never changes"), "{answer}");

    // Without it, the same Job is refused again.
    by(&namespace, world, "alice", &["delete", &name], "").done();
    namespace.kubectl(&["delete", "job/drop", "--cascade=background"]).done();
    poll("the approval is gone", LIMIT, || {
        let answer = ask("bob", &dry);
        if answer.success { Err(answer.to_string()) } else { Ok(answer) }
    })
    .unwrap()
    .refused(&[RULE]);
}

pub(super) fn authentic(world: &World) {
    let namespace = world.namespace("approval-authentic");
    people(world, &namespace);
    let digest = format!("sha256:{}", "a".repeat(64));
    let create = ["create", "-o", "json", "-f", "-"];
    let ask = |object: &Value| by(&namespace, world, "alice", &create, &object.to_string());

    let mut forged = approval(&digest, 1);
    forged["spec"]["approver"] = json!("bob");
    let answer = ask(&forged);
    assert!(answer.stderr.contains("approvals.validate.tidegate.dev"), "{answer}");
    assert!(answer.stderr.contains("spec.approver: is not the user"), "{answer}");
    for (field, value, says) in [
        ("digest", json!("sha256:0"), "spec.digest"),
        ("expires", json!("soon"), "spec.expires"),
        ("expires", json!("2020-01-01T00:00:00Z"), "spec.expires: has passed"),
        ("ticket", json!(" "), "spec.ticket: must not be empty"),
        ("ticket", Value::Null, "`spec.ticket` of MigrationApproval"),
        ("expires", json!("2100-01-01T00:00:00Z"), "is further away than the 72h"),
    ] {
        let mut wrong = approval(&digest, 1);
        wrong["spec"][field] = value;
        let answer = ask(&wrong);
        assert!(!answer.success && answer.stderr.contains(says), "{says}: {answer}");
    }

    let mut given = approval(&digest, 1);
    given["status"] = json!({"usedBy": {"namespace": "x", "name": "y", "uid": "z"}});
    let made = ask(&given).json();
    assert_eq!(made["spec"]["approver"], "alice");
    assert_eq!(made.get("status"), None, "nobody writes a status but tidegate");

    // Not even an administrator changes one; the API server itself says so.
    let name = format!("mappr/{}", made["metadata"]["name"].as_str().unwrap());
    for patch in [
        r#"{"spec":{"expires":"2030-01-01T00:00:00Z"}}"#,
        r#"{"spec":{"approver":"bob"}}"#,
        r#"{"spec":{"job":"*"}}"#,
    ] {
        let answer = namespace.kubectl(&["patch", &name, "--type=merge", "-p", patch]);
        assert!(!answer.success && answer.stderr.contains("is invalid"), "{answer}");
        assert!(answer.stderr.contains("an approval cannot be changed"), "{answer}");
    }
    namespace.kubectl(&["label", &name, "reviewed=yes"]).done();
}

pub(super) fn single_use(world: &World) {
    const NAME: &str = "approval-single-use";
    let namespace = world.namespace(NAME);
    people(world, &namespace);
    let policy = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
        "metadata": {"name": NAME},
        "spec": {"approvals": {"resources": "Require", "singleUse": true},
            "match": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAME}}}}});
    world.cluster.kubectl_with(&["apply", "-f", "-"], &policy.to_string()).done();
    // Only a generated name lets two Jobs of one digest be there at once.
    let mut job = manifests::sql_job("", "ALTER TABLE orders DROP COLUMN note");
    job["metadata"]["name"].take();
    job["metadata"]["generateName"] = "drop-".into();
    let job = job.to_string();
    let dry = ["create", "--dry-run=server", "-f", "-"];
    let create = ["create", "-o", "json", "-f", "-"];
    let ask = |args: &[&str]| by(&namespace, world, "bob", args, &job);
    let asked = poll("annotations approve nothing any more", LIMIT, || {
        let answer = ask(&dry);
        let by_resource = answer.stderr.contains("kubectl tidegate approve` for sha256:");
        if by_resource { Ok(answer) } else { Err(answer.to_string()) }
    });
    let text = asked.unwrap().refused(&[RULE]);
    let digest = text.rsplit(' ').next().unwrap();
    by(&namespace, world, "alice", &create, &approval(digest, 1).to_string()).done();
    poll("the approval counts", LIMIT, || {
        let answer = ask(&dry);
        if answer.success { Ok(()) } else { Err(answer.to_string()) }
    })
    .unwrap();

    // The second comes at once, before any watch can tell of the first.
    let first = ask(&create).json();
    let text = ask(&create).refused(&[RULE]);
    assert!(text.contains("was used by another Job, and holds for one"), "{text}");
    let used = poll("its use is told", LIMIT, || {
        let all = namespace.get("mappr");
        let used = all["items"][0]["status"]["usedBy"]["uid"].clone();
        if used.is_string() { Ok(used) } else { Err(all.to_string()) }
    });
    assert_eq!(used.unwrap(), first["metadata"]["uid"]);

    // That the Job is gone gives nothing back.
    let first = format!("job/{}", first["metadata"]["name"].as_str().unwrap());
    namespace.kubectl(&["delete", &first, "--cascade=background"]).done();
    let text = ask(&create).refused(&[RULE]);
    assert!(text.contains("was used by another Job, and holds for one"), "{text}");
    world.cluster.kubectl(&["delete", "mpol", NAME]).done();
}
