//! The configurations that register the webhook.

use std::process::Command;

use crate::support::{Folder, Service, review_of};

fn config(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("webhook-config")
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn behind_a_service() {
    let folder = Folder::new("webhook-config");
    // Any certificate will do; this one is as short as the check allows.
    let ca =
        folder.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (code, text, errors) =
        config(&["--service", "tidegate/webhook:10250", "--ca-bundle", ca.to_str().unwrap()]);
    assert_eq!((code, errors.as_str()), (0, ""));
    insta::assert_snapshot!(text);
}

#[test]
fn outside_the_cluster() {
    let (code, text, _) = config(&[
        "--url",
        "https://host.docker.internal:8443/",
        "--failure-policy",
        "Ignore",
        "--exclude-namespace",
        "cert-manager",
    ]);
    assert_eq!(code, 0);
    let start = text.lines().take(14).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(start);
    assert!(text.contains("url: https://host.docker.internal:8443/mutate"), "{text}");
    assert!(text.contains("- cert-manager"), "{text}");
    // Approvals are refused all the same when nobody can say who approves; a document that does not
    // load changes nothing.
    let policies: Vec<&str> = text.lines().filter(|line| line.contains("failurePolicy")).collect();
    assert_eq!(
        policies,
        ["Ignore", "Fail", "Ignore", "Ignore", "Fail"].map(|it| format!("  failurePolicy: {it}"))
    );
}

#[test]
fn nothing_is_registered_by_a_star_and_nothing_on_delete() {
    let (_, text, _) = config(&["--service", "tidegate/tidegate"]);
    for line in text.lines().filter(|line| line.trim_start().starts_with("- ")) {
        let item = line.trim_start().trim_start_matches("- ").trim_matches('"');
        assert!(!item.contains('*') && item != "DELETE" && item != "CONNECT", "{line}");
        assert!(!item.ends_with("/status") && item != "leases" && item != "nodes", "{line}");
    }
}

#[test]
fn what_an_api_server_would_refuse_is_refused_here() {
    for (arguments, says) in [
        (&[][..], "--service"),
        (&["--service", "a/b", "--url", "https://a"], "cannot be used with"),
        (&["--service", "webhook"], "NAMESPACE/NAME"),
        (&["--service", "a/b:0"], "NAMESPACE/NAME"),
        (&["--service", "A/b"], "NAMESPACE/NAME"),
        (&["--url", "http://a"], "https://"),
        (&["--url", "https://a?b=c"], "query"),
        (&["--service", "a/b", "--ca-bundle", "no/such/file"], "no/such/file"),
        (&["--service", "a/b", "--ca-bundle", "Cargo.toml"], "no certificate"),
        (&["--service", "a/b", "--exclude-namespace", "a=b"], "a=b"),
    ] {
        let (code, text, errors) = config(arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains(says), "{arguments:?}: {errors}");
    }
}

/// What comes after `before`, up to the next quote.
fn quoted<'t>(text: &'t str, before: &str) -> &'t str {
    text.split_once(before).unwrap().1.split('"').next().unwrap()
}

#[tokio::test]
async fn the_api_server_lets_past_what_the_engine_lets_past() {
    let (_, text, _) = config(&["--service", "tidegate/tidegate"]);
    let service = Service::built_in();
    let rows: Vec<&str> = text.split("request.userInfo.username in [\"").skip(1).collect();
    assert_eq!(rows.len(), 7);
    for row in &rows {
        let user = row.split('"').next().unwrap();
        let (child, owner) = (quoted(row, "request.kind.kind == \""), quoted(row, "o.kind == \""));
        let group = row.split_once("o.apiVersion.startsWith(\"").map(|(_, rest)| rest);
        let owner_version = match (owner, group) {
            ("ReplicationController", _) => "v1".to_owned(),
            (_, Some(group)) => format!("{}v1", group.split('"').next().unwrap()),
            (_, None) => panic!("no apiVersion in {row}"),
        };
        let version = match child {
            "Pod" => "v1",
            "Job" => "batch/v1",
            _ => "apps/v1",
        };
        let body = review_of(&format!(
            r#"{{"apiVersion":"{version}","kind":"{child}","metadata":{{"name":"a","ownerReferences":[
            {{"apiVersion":"{owner_version}","kind":"{owner}","name":"o","controller":true}}]}},
            "spec":{{"containers":[{{"name":"c","image":"a"}}],"template":{{"spec":{{"containers":
            [{{"name":"c","image":"a"}}]}}}}}}}}"#
        ));
        service.post("/validate", body.replace("\"bob\"", &format!("\"{user}\""))).await;
    }
    let passed = r#"kind="job",outcome="controller-child"}"#;
    let series = format!(r#"tidegate_reviews_total{{path="validate",operation="CREATE",{passed}"#);
    assert_eq!(service.metric(&series), Some(7.0), "{}", service.metrics.encode().unwrap());
}
