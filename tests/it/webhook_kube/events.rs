//! Refusals as Events.

use super::*;

const APPLICATIONS: &str = "/apis/argoproj.io/v1alpha1/applications";

#[tokio::test]
async fn a_refusal_is_an_event_for_those_who_did_not_ask_and_a_dry_run_is_none() {
    let server = cluster().await;
    let service = filled(Service::writing(&server.connection()), &server).await;
    let mut root = job("m", "orders");
    root["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(0);
    let dry = review(&root).replace(r#""dryRun":false"#, r#""dryRun":true"#);
    assert_eq!(service.post("/validate", dry).await.response()["allowed"], false);
    for _ in 0..3 {
        assert!(message(&service, &root).await.starts_with("root-migration"));
    }
    root["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob",
        "name": "nightly", "uid": "u-1", "controller": true}]);
    assert!(message(&service, &root).await.starts_with("root-migration"));
    eventually("one Event for each place", || server.all(EVENTS).len() == 2).await;
    let mut about: Vec<_> = server
        .all(EVENTS)
        .iter()
        .map(|event| {
            assert_eq!(
                (&event["reason"], &event["type"]),
                (&json!("MigrationRefused"), &json!("Warning"))
            );
            assert!(
                event["note"].as_str().unwrap().starts_with("root-migration: Job/m "),
                "{event}"
            );
            format!("{} {}", event["regarding"]["kind"], event["regarding"]["name"])
        })
        .collect();
    about.sort();
    assert_eq!(about, [r#""CronJob" "nightly""#, r#""Namespace" "prod""#]);
}

#[tokio::test]
async fn what_argo_cd_is_refused_is_told_at_its_application_too() {
    const CONTROLLER: &str = "system:serviceaccount:argocd:argocd-application-controller";
    let server = cluster().await;
    let application = |namespace: &str, name: &str| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-of-{name}")}})
    };
    server.put(APPLICATIONS, application("argocd", "shop"));
    server.put(APPLICATIONS, application("teams", "billing"));
    let service = filled(Service::writing(&server.connection()), &server).await;
    let refused = async |name: &str, tracking: &str, user: &str| {
        let mut root = job(name, "orders");
        root["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] =
            json!(0);
        root["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!(tracking);
        let body = review(&root).replace("\"bob\"", &format!("\"{user}\""));
        assert_eq!(service.post("/validate", body).await.response()["allowed"], false);
    };
    refused("a", "shop:batch/Job:prod/a", CONTROLLER).await;
    refused("b", "teams_billing:batch/Job:prod/b", CONTROLLER).await;
    // One that is not in this cluster, and two that nobody can be trusted with.
    refused("c", "gone:batch/Job:prod/c", CONTROLLER).await;
    refused("d", "shop:batch/Job:prod/d", "mallory").await;
    refused("e", "shop:batch/Job:prod/copied", CONTROLLER).await;
    let told = || {
        let events = server.all(EVENTS);
        let mut told: Vec<_> = events
            .iter()
            .map(|event| {
                let (about, note) = (&event["regarding"], event["note"].as_str().unwrap());
                assert_eq!(event["metadata"]["namespace"], about["namespace"], "{event}");
                let subject = note.split(' ').nth(1).unwrap().to_owned();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (subject, text(&about["kind"]), text(&about["name"]), text(&about["uid"]))
            })
            .collect();
        told.sort();
        told
    };
    eventually("every Event", || told().iter().filter(|it| it.0 == "Job/e").count() == 1).await;
    let of = |subject: &str, kind: &str, name: &str, uid: &str| {
        (subject.to_owned(), kind.to_owned(), name.to_owned(), uid.to_owned())
    };
    // `tidegate approve` looks in the namespace of the Job, so that it is always told there.
    let mut want = vec![
        of("Job/a", "Application", "shop", "uid-of-shop"),
        of("Job/b", "Application", "billing", "uid-of-billing"),
    ];
    want.extend(
        ["Job/a", "Job/b", "Job/c", "Job/d", "Job/e"].map(|it| of(it, "Namespace", "prod", "")),
    );
    want.sort();
    assert_eq!(told(), want);
}
