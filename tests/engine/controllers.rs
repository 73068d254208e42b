//! Who is a controller: the user together with the owner and the child, each of them exactly.

use serde_json::{Value, json};
use tidegate::{
    decision::{BUILT_IN_CONTROLLERS, Outcome, validate},
    model::{Change, Fact, Facts, Labels},
    policy::PolicySet,
};

use super::support::{default_policies, now, policy};

/// Something that migrates where it should not, managed by an owner.
fn child(kind: (&str, &str), owner: (&str, &str)) -> Value {
    let pod = json!({
        "initContainers": [{"name": "migrate", "image": "shop:1", "command": ["rails", "db:migrate"]}],
        "containers": [{"name": "web", "image": "shop:1"}],
    });
    let spec = match kind.1 {
        "Pod" => pod,
        "CronJob" => json!({"jobTemplate": {"spec": {"template": {"spec": pod}}}}),
        _ => json!({"replicas": 3, "template": {"spec": pod}}),
    };
    json!({
        "apiVersion": kind.0, "kind": kind.1, "spec": spec,
        "metadata": {"name": "x", "ownerReferences": [
            {"apiVersion": owner.0, "kind": owner.1, "name": "o", "controller": true},
        ]},
    })
}

fn outcome(policies: &PolicySet, user: &str, object: &Value) -> Outcome {
    let json = object.to_string();
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let change = Change { user, ..Change::create("shop", "x", &json) };
    validate(policies, &change, &facts, now()).outcome
}

const DEPLOYMENTS: &str = "system:serviceaccount:kube-system:deployment-controller";
const REPLICA_SETS: &str = "system:serviceaccount:kube-system:replicaset-controller";

#[test]
fn group_and_kind_of_owner_and_child_both_count() {
    let deployment = ("apps/v1", "Deployment");
    let replica_set = ("apps/v1", "ReplicaSet");
    for (user, kind, owner, expected) in [
        (DEPLOYMENTS, replica_set, deployment, Outcome::ControllerChild),
        // Another version of the API is the same kind.
        (DEPLOYMENTS, ("apps/v1beta1", "ReplicaSet"), deployment, Outcome::ControllerChild),
        (REPLICA_SETS, ("v1", "Pod"), replica_set, Outcome::ControllerChild),
        // A kind that only has the name, or only has the group.
        (DEPLOYMENTS, replica_set, ("example.com/v1", "Deployment"), Outcome::Refused),
        (DEPLOYMENTS, replica_set, ("v1", "Deployment"), Outcome::Refused),
        (DEPLOYMENTS, replica_set, ("apps/v1", "StatefulSet"), Outcome::Refused),
        (DEPLOYMENTS, ("apps.kruise.io/v1beta1", "StatefulSet"), deployment, Outcome::Refused),
        (DEPLOYMENTS, ("apps/v1", "DaemonSet"), deployment, Outcome::Refused),
        (DEPLOYMENTS, ("v1", "Pod"), deployment, Outcome::Refused),
        // What another controller makes.
        (DEPLOYMENTS, ("v1", "Pod"), replica_set, Outcome::Refused),
        (REPLICA_SETS, replica_set, deployment, Outcome::Refused),
    ] {
        let object = child(kind, owner);
        assert_eq!(outcome(&default_policies(), user, &object), expected, "{user} {object}");
    }
}

#[test]
fn an_owner_that_does_not_manage_it_is_none() {
    let mut object = child(("apps/v1", "ReplicaSet"), ("apps/v1", "Deployment"));
    assert_eq!(outcome(&default_policies(), DEPLOYMENTS, &object), Outcome::ControllerChild);
    object["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    assert_eq!(outcome(&default_policies(), DEPLOYMENTS, &object), Outcome::Refused);
}

#[test]
fn a_configured_controller_is_told_by_its_user_and_by_what_it_makes() {
    let user = "system:serviceaccount:argo-rollouts:argo-rollouts";
    let spec = format!(
        "{{controllers: [{{user: '{user}', owner: argoproj.io/Rollout, creates: apps/ReplicaSet}}]}}"
    );
    let policies = PolicySet::new(vec![policy(&spec)]);
    let rollout = ("argoproj.io/v1alpha1", "Rollout");
    let replica_set = ("apps/v1", "ReplicaSet");
    for (user, kind, owner, expected) in [
        (user, replica_set, rollout, Outcome::ControllerChild),
        ("alice@example.com", replica_set, rollout, Outcome::Refused),
        (DEPLOYMENTS, replica_set, rollout, Outcome::Refused),
        (user, ("v1", "Pod"), rollout, Outcome::Refused),
        (user, replica_set, ("apps/v1", "Deployment"), Outcome::Refused),
        // Kubernetes' own stay what they are.
        (DEPLOYMENTS, replica_set, ("apps/v1", "Deployment"), Outcome::ControllerChild),
    ] {
        let object = child(kind, owner);
        assert_eq!(outcome(&policies, user, &object), expected, "{user} {object}");
    }
}

#[test]
fn a_built_in_controller_has_two_users() {
    for controller in BUILT_IN_CONTROLLERS {
        let own = format!("system:serviceaccount:kube-system:{}", controller.service_account);
        assert_eq!(controller.users(), [own, "system:kube-controller-manager".to_owned()]);
    }
}
