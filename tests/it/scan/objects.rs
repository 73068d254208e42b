//! What is judged, and what is counted of it.

use serde_json::json;
use tidegate::{
    cluster::Request,
    decision::{Effect, Outcome},
    policy::{PolicySet, built_in},
    scan::{Limits, Options},
};

use super::{
    DEPLOYMENTS, EXCEPTIONS, JOBS, PODS, POLICIES, REPLICA_SETS, cluster, everything, exception,
    found, job, migrating, namespace, policy, rules, scanned, subjects,
};

#[tokio::test]
async fn what_an_owner_made_is_not_judged_again_and_a_forged_owner_hides_nothing() {
    let server = cluster().await;
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let owner = ("Deployment", "Deployment-shop-web");
    server.put(REPLICA_SETS, migrating("ReplicaSet", "shop", "web-1", Some(owner)));
    let owner = ("ReplicaSet", "ReplicaSet-shop-web-1");
    server.put(PODS, migrating("Pod", "shop", "web-1-a", Some(owner)));
    // None of these has an owner that was judged.
    for (name, namespace, owner) in [
        ("of-nothing", "shop", ("ReplicaSet", "no-such-uid")),
        ("of-another-kind", "shop", ("StatefulSet", "ReplicaSet-shop-web-1")),
        ("of-another-namespace", "other", ("ReplicaSet", "ReplicaSet-shop-web-1")),
    ] {
        server.put(PODS, migrating("Pod", namespace, name, Some(owner)));
    }
    let scan = scanned(&server, &everything()).await;
    assert_eq!(
        subjects(&scan),
        [
            "other Pod/of-another-namespace",
            "shop Deployment/web",
            "shop Pod/of-another-kind",
            "shop Pod/of-nothing"
        ]
    );
    assert_eq!((scan.counts.judged, scan.counts.children), (4, 2));
    assert_eq!(scan.objects[1].team.as_deref(), Some("team-shop"), "by its namespace");
    assert_eq!(scan.refused(), 4);
    assert_eq!(scan.safe_to_enforce().count(), 0, "they enforce already");
}

#[tokio::test]
async fn what_would_be_refused_is_told_apart_from_what_is() {
    let server = cluster().await;
    namespace(&server, "calm", &json!({"environment": "test"}));
    namespace(&server, "prod", &json!({"environment": "production"}));
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    let production =
        json!({"match": {"namespaceSelector": {"matchLabels": {"environment": "production"}}}});
    server.put(POLICIES, policy("production", &production));
    server.put(
        POLICIES,
        policy("nothing", &json!({"level": "Off", "match": {"namespaces": ["other"]}})),
    );
    for home in ["shop", "prod", "other"] {
        let mut object = migrating("Deployment", home, "web", None);
        object["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": "web"});
        server.put(DEPLOYMENTS, object);
    }
    let scan = scanned(&server, &everything()).await;
    let of = |home: &str| &scan.namespaces[home];
    assert_eq!((of("shop").refused, of("shop").would_be_refused), (0, 1));
    assert_eq!((of("prod").refused, of("prod").would_be_refused), (1, 1));
    assert_eq!((of("other").refused, of("other").would_be_refused), (0, 1));
    assert_eq!(of("shop").policy.as_deref(), Some("audit"));
    assert!(of("prod").enforces && !of("shop").enforces);
    assert_eq!(scan.safe_to_enforce().collect::<Vec<_>>(), ["calm"]);
    let effects: Vec<_> = scan
        .objects
        .iter()
        .map(|it| (&*it.namespace, it.findings[0].effect, it.findings[0].enforced, it.outcome))
        .collect();
    assert_eq!(
        effects,
        [
            ("other", None, Effect::Refuses, Outcome::Admitted),
            ("prod", Some(Effect::Refuses), Effect::Refuses, Outcome::Refused),
            ("shop", Some(Effect::Audits), Effect::Refuses, Outcome::Admitted),
        ]
    );
    let rule = &scan.rules["migration-in-init-container"];
    assert_eq!((rule.refuses, rule.denials, rule.namespaces.len()), (1, 3, 3));
    let team = &scan.teams[&Some("web".into())];
    assert_eq!((team.refused, team.would_be_refused), (1, 3), "by the label of the object");
}

#[tokio::test]
async fn a_finished_job_says_that_it_has_finished() {
    let server = cluster().await;
    let mut done = job("shop", "done", "orders");
    done["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(0);
    done["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    server.put(JOBS, done);
    let scan = scanned(&server, &everything()).await;
    assert!(rules(&scan, "Job/done").contains("root-migration"));
    assert_eq!(scan.objects[0].finished, Some("succeeded"));
}

#[tokio::test]
async fn exceptions_count_and_those_that_excuse_nothing_are_told() {
    let server = cluster().await;
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)).to_string();
    server.put(EXCEPTIONS, exception("used", "web", &soon));
    server.put(EXCEPTIONS, exception("unused", "gone", &soon));
    server.put(EXCEPTIONS, exception("expired", "web", "2026-01-01T00:00:00Z"));
    let scan = scanned(&server, &everything()).await;
    assert_eq!(
        found(&scan, "Deployment/web"),
        [("migration-in-init-container", Some(Effect::Excepted))]
    );
    assert_eq!((scan.refused(), scan.would_be_refused()), (0, 0));
    let told: Vec<_> = scan.exceptions.iter().map(|it| (it.name.as_str(), it.warns)).collect();
    assert_eq!(told, [("expired", true), ("unused", false)]);
    assert!(scan.exceptions[0].message.contains("expired at 2026-01-01"), "{:?}", scan.exceptions);
}

#[tokio::test]
async fn what_cannot_be_listed_is_told_and_the_rest_is_judged() {
    let server = cluster().await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    server.set_forbidden("/apis/apps/v1/statefulsets", true);
    let scan = scanned(&server, &everything()).await;
    assert_eq!(scan.would_be_refused(), 1);
    assert_eq!(scan.errors, ["statefulsets.apps: Forbidden"]);
    assert_eq!(scan.safe_to_enforce().count(), 0, "nobody knows what is not seen");
    assert!(scan.absent.contains(&"rollouts.argoproj.io".to_owned()), "{:?}", scan.absent);
    assert!(!scan.absent.contains(&"deployments.apps".to_owned()));
}

#[tokio::test]
async fn a_part_of_a_cluster_is_a_part() {
    let server = cluster().await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    for home in ["shop", "other"] {
        server.put(DEPLOYMENTS, migrating("Deployment", home, "web", None));
    }
    let one = Request { namespace: Some("shop".to_owned()), ..everything() };
    let scan = scanned(&server, &one).await;
    assert_eq!(subjects(&scan), ["shop Deployment/web"]);
    let outside = server.requests().into_iter().map(|(_, path, _)| path);
    let outside: Vec<_> = outside.filter(|path| !path.contains("/namespaces/shop")).collect();
    assert_eq!(outside, [POLICIES], "nothing else of the cluster is asked for");

    let mut labelled = migrating("Deployment", "other", "labelled", None);
    labelled["metadata"]["labels"] = json!({"app": "web"});
    server.put(DEPLOYMENTS, labelled);
    let some = Request { selector: Some("app=web".to_owned()), ..everything() };
    let scan = scanned(&server, &some).await;
    assert_eq!(subjects(&scan), ["other Deployment/labelled"]);
    assert!(scan.partial);
    assert_eq!(scan.safe_to_enforce().count(), 0);
    let client = server.connection().client().unwrap();
    let gone = Request { namespace: Some("gone".to_owned()), ..everything() };
    let policies = PolicySet::new(vec![built_in()]);
    let error = cluster::scan(&client, &gone, policies, None, &|_, _| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no namespace `gone`");
}

#[tokio::test]
async fn more_than_a_page_is_listed_and_more_than_the_limit_is_counted() {
    let server = cluster().await;
    for number in 0..600 {
        let name = format!("web-{number}");
        server.put(DEPLOYMENTS, migrating("Deployment", "shop", &name, None));
    }
    let options =
        Options { limits: Limits { per_namespace: 100, total: 1_000 }, ..Options::default() };
    let scan = scanned(&server, &Request { options, ..everything() }).await;
    assert_eq!((scan.counts.judged, scan.refused()), (600, 600));
    assert_eq!((scan.objects.len(), scan.counts.left_out), (100, 500));
    assert_eq!(scan.namespaces["shop"].denials, 600);
    let pages = server.requests().into_iter().filter(|(_, path, _)| path == DEPLOYMENTS).count();
    assert_eq!(pages, 3);
}
