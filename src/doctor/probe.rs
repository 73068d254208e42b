//! A review of our own: a hook Job that is created for nobody.

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use super::{Grade, Installation, Symptom};
use crate::model::annotation;

const CHECK: &str = "review";

/// What the API server says when a webhook fails, and what it means.
const FAILURES: [(&str, &str, &str); 10] = [
    (
        "connection refused",
        "nothing listens where the Service leads to",
        "compare the Service's targetPort with --listen",
    ),
    (
        "no endpoints available",
        "no server is ready behind the Service",
        "kubectl get pods, and /readyz says what they wait for",
    ),
    (
        "not found",
        "the Service that the webhooks lead to is not there",
        "install it again, or take the webhook configurations away",
    ),
    (
        "certificate signed by unknown authority",
        "caBundle holds another authority than that of the certificate",
        "put the authority into caBundle: certs/README.md",
    ),
    (
        "certificate has expired",
        "the certificate or its authority has ended",
        "renew it: certs/README.md",
    ),
    ("is valid for", "the certificate is for other names", "issue it for SERVICE.NAMESPACE.svc"),
    (
        "context deadline exceeded",
        "no answer came in time: a NetworkPolicy or firewall in between, or servers without CPU",
        "let the API server reach the webhook's port, and look at the servers' CPU",
    ),
    (
        "EOF",
        "the connection was closed before an answer came",
        "see whether something between closes idle connections before 90 s",
    ),
    (
        "expected response.uid",
        "something else than tidegate answers behind the Service",
        "compare the Service's selector with the labels of the servers",
    ),
    (
        "currently unable to handle the request",
        "the servers sent the API server away: too much at once, or still starting",
        "look at tidegate_shed_total and at /readyz",
    ),
];

pub(super) async fn look(client: &Client, installation: &Installation, seen: &mut Vec<Symptom>) {
    let namespace = &installation.probe;
    let api = Api::<Job>::namespaced(client.clone(), namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let job = serde_json::from_value::<Job>(json!({
        "metadata": {"generateName": "tidegate-doctor-", "annotations": {
            "argocd.argoproj.io/hook": "PreSync",
            "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "migrate", "image": "flyway/flyway:11", "args": ["migrate"]}]}}},
    }));
    let Ok(job) = job else { return };
    seen.push(match api.create(&dry, &job).await {
        Ok(made) => {
            let annotations = made.metadata.annotations.unwrap_or_default();
            if annotations.contains_key(annotation::DEFAULTED) {
                Symptom::ok(CHECK, format!("a dry run in {namespace} was judged and filled in"))
            } else {
                Symptom::new(
                    CHECK,
                    Grade::Failure,
                    format!("a dry run in {namespace} was let in and nothing was filled in"),
                    "see whether the namespace is excluded, or no server answers and failurePolicy is Ignore",
                )
            }
        }
        Err(kube::Error::Api(status)) => refused(&status.message, namespace),
        Err(error) => Symptom::unread(CHECK, "the answer to a dry run", &error),
    });
}

fn refused(message: &str, namespace: &str) -> Symptom {
    if message.contains(".tidegate.dev\" denied the request") {
        return Symptom::ok(CHECK, format!("a dry run in {namespace} was judged, and refused"));
    }
    if !message.contains("failed calling webhook") {
        let says = format!("a dry run in {namespace} was not possible: {message}");
        let mend = "run it as somebody who may create Jobs, in a namespace that takes them (--probe-namespace)";
        return Symptom::new(CHECK, Grade::Unknown, says, mend);
    }
    let known = FAILURES.iter().find(|(mark, ..)| message.contains(mark));
    let (means, mend) =
        known.map_or(("the webhook fails", "see docs/runbook.md"), |row| (row.1, row.2));
    Symptom::new(CHECK, Grade::Failure, format!("{means}: {message}"), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_the_api_server_is_explained() {
        let prefix = "Internal error occurred: failed calling webhook \"validate.tidegate.dev\": failed to call webhook: Post \"https://tidegate.tidegate.svc:443/validate?timeout=5s\": ";
        for (rest, means) in [
            ("dial tcp 10.0.0.1:443: connect: connection refused", "nothing listens"),
            ("no endpoints available for service \"tidegate\"", "no server is ready"),
            ("service \"tidegate\" not found", "the Service"),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "caBundle",
            ),
            ("context deadline exceeded", "no answer came in time"),
            ("EOF", "closed before"),
            ("the server is currently unable to handle the request", "sent the API server away"),
            ("expected response.uid=\"x\"", "something else"),
            ("http: server gave HTTP response to HTTPS client", "the webhook fails"),
        ] {
            let symptom = refused(&format!("{prefix}{rest}"), "default");
            assert_eq!(symptom.grade, Grade::Failure, "{rest}");
            assert!(symptom.says.contains(means), "{rest}: {}", symptom.says);
        }
        let denied =
            "admission webhook \"validate.tidegate.dev\" denied the request: root-migration: ...";
        assert_eq!(refused(denied, "default").grade, Grade::Ok);
        assert_eq!(refused("jobs.batch is forbidden: quota", "default").grade, Grade::Unknown);
    }
}
