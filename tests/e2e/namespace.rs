//! A namespace of a case's own, and what is done in it.

use serde_json::Value;

use super::cluster::{Answer, Cluster};

/// A namespace. Nothing is cleaned up: the whole cluster is thrown away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namespace<'c> {
    cluster: &'c Cluster,
    name: &'c str,
}

impl<'c> Namespace<'c> {
    /// Creates it, with a label where one is given as `key=value`.
    pub(crate) fn create(cluster: &'c Cluster, name: &'c str, label: Option<&str>) -> Self {
        cluster.kubectl(&["create", "namespace", name]).done();
        if let Some(label) = label {
            cluster.kubectl(&["label", "namespace", name, label]).done();
        }
        Self { cluster, name }
    }

    /// One that is there already.
    pub(crate) fn existing(cluster: &'c Cluster, name: &'c str) -> Self {
        Self { cluster, name }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Runs kubectl in it.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Answer {
        self.kubectl_with(args, "")
    }

    /// Runs kubectl in it with something on standard input.
    pub(crate) fn kubectl_with(&self, args: &[&str], input: &str) -> Answer {
        self.cluster.kubectl_with(&[&["-n", self.name], args].concat(), input)
    }

    /// `kubectl create`.
    pub(crate) fn make(&self, object: &Value) -> Answer {
        self.kubectl_with(&["create", "-f", "-"], &object.to_string())
    }

    /// `kubectl create --dry-run=server`.
    pub(crate) fn dry_run(&self, object: &Value) -> Answer {
        let args = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        self.kubectl_with(&args, &object.to_string())
    }

    /// `kubectl apply --server-side`, as Argo CD does.
    pub(crate) fn apply(&self, manifest: &str) -> Answer {
        self.kubectl_with(&["apply", "--server-side", "-f", "-"], manifest)
    }

    /// `kubectl patch` with a strategic merge patch.
    pub(crate) fn patch(&self, object: &str, patch: &Value) -> Answer {
        self.kubectl(&["patch", object, "-p", &patch.to_string()])
    }

    /// The object as the API server shows it.
    #[track_caller]
    pub(crate) fn get(&self, object: &str) -> Value {
        self.kubectl(&["get", object, "-o", "json"]).json()
    }

    /// Asserts that there is no such object.
    #[track_caller]
    pub(crate) fn has_no(&self, object: &str) {
        let answer = self.kubectl(&["get", object, "--ignore-not-found", "-o", "name"]).done();
        assert_eq!(answer.stdout, "", "{object} is there");
    }

    /// Puts it under the policy that refuses, and waits until it is in force.
    pub(crate) fn enforce(&self) {
        self.cluster.kubectl(&["label", "namespace", self.name, "policy-"]).done();
        let bad = super::manifests::deployment(&[super::manifests::migrating("migrate")]);
        let limit = std::time::Duration::from_secs(30);
        let enforced = super::process::poll("the policy that refuses", limit, || {
            let mut bad = bad.clone();
            bad["metadata"]["name"] = "probe".into();
            let answer = self.dry_run(&bad);
            if answer.success { Err(answer.to_string()) } else { Ok(answer) }
        });
        enforced.unwrap().refused(&["migration-in-init-container"]);
    }
}
