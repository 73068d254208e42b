//! The program: how it starts, logs and stops.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    program::{Program, tidegate},
    support::{Folder, eventually, post, review_of},
};

#[tokio::test]
async fn it_drains_and_exits_clean() {
    let mut program = Program::start("drain", &["--drain", "1500ms"]);
    assert!(program.get("/readyz").unwrap().starts_with("HTTP/1.1 200"));
    assert!(program.get("/livez").unwrap().starts_with("HTTP/1.1 200"));
    let mut old = program.connect().await;
    assert!(!old.post("/validate", &review_of("{}")).await.closes());
    let mut late = program.connect().await;
    let request = post("/validate", &review_of("{}"));
    late.send(&request[..request.len() - 5]).await.unwrap();

    let asked = Instant::now();
    program.terminate();
    eventually("it is not ready", || {
        program.get("/readyz").is_some_and(|text| text.starts_with("HTTP/1.1 503"))
    })
    .await;
    assert!(program.get("/livez").unwrap().starts_with("HTTP/1.1 200"));
    assert!(program.get("/metrics").unwrap().contains("\ntidegate_draining 1\n"));
    assert!(old.post("/validate", &review_of("{}")).await.closes());
    let reply = program.connect().await.post("/validate", &review_of("{}")).await;
    assert_eq!((reply.status, reply.closes()), (200, true));
    late.send(&request[request.len() - 5..]).await.unwrap();
    assert_eq!(late.reply().await.unwrap().response()["uid"], "the-uid");
    assert_eq!(program.exit().await, 0);
    assert!(asked.elapsed() >= Duration::from_millis(1_500));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start("second", &["--drain", "10m"]);
    program.terminate();
    eventually("it drains", || program.log.lock().unwrap().contains("draining")).await;
    program.terminate();
    assert_eq!(program.exit().await, 2);
}

#[tokio::test]
async fn logs_have_no_secret_and_one_object_a_line() {
    let mut program = Program::start("canary", &["--drain", "0s", "--log-level", "trace"]);
    let canary = "canary7f3a";
    let job = format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a","annotations":{{
        "argocd.argoproj.io/hook":"PreSync","tidegate.dev/approval-reason":"{canary}-annotation",
        "kubectl.kubernetes.io/last-applied-configuration":"{canary}-applied"}}}},
        "spec":{{"template":{{"spec":{{"restartPolicy":"Never","containers":[{{"name":"m",
        "image":"flyway/flyway:10","command":["sh","-c","flyway migrate; psql -c 'DROP TABLE {canary}-sql'"],
        "args":["-password={canary}-arg"],
        "env":[{{"name":"PGPASSWORD","value":"{canary}-env"}},
        {{"name":"URL","value":"postgres://u:{canary}-dsn@db/x"}}]}}]}}}}}}}}"#
    );
    let reviews = [
        review_of(&job),
        review_of(&job)
            .replace(r#""name":"a","namespace""#, r#""name":"a\r\n\u001b[31m{\"x\"","namespace""#),
        review_of(&job).replace("CREATE", canary),
        review_of(&format!("{job},{canary}-broken")),
        canary.to_owned(),
    ];
    let mut bodies = String::new();
    for review in &reviews {
        for path in ["/validate", "/mutate", "/canary7f3a"] {
            let reply = program.connect().await.post(path, review).await;
            bodies.push_str(&String::from_utf8(reply.body).unwrap());
        }
    }
    let metrics = program.get("/metrics").unwrap();
    program.terminate();
    assert_eq!(program.exit().await, 0);
    eventually("the log is read", || program.log.lock().unwrap().contains("\"stopped\"")).await;
    let log = program.log.lock().unwrap().clone();
    assert!(log.contains("\"decided\"") && log.contains("the-uid"), "{log}");
    for (what, text) in [("log", &log), ("metrics", &metrics), ("answers", &bodies)] {
        assert!(!text.contains(canary), "{what}: {text}");
    }
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}

fn fails(arguments: &[&str]) -> String {
    let output = tidegate()
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn bad_input_is_named() {
    let folder = Folder::new("bad-input");
    let text = tidegate::policy::BUILT_IN.replace("level: Deny", "level: Dney");
    let policy = folder.write("policy.yaml", text);
    let policy = policy.to_str().unwrap();
    let line = std::fs::read_to_string(policy).unwrap();
    let line = line.lines().position(|line| line.contains("Dney")).unwrap() + 1;
    let empty = Folder::new("bad-input-empty");
    for (arguments, says) in [
        (&["--policy", policy][..], format!("{policy}:{line}:")),
        (&["--policy", "no/such/policy.yaml"], "no/such/policy.yaml".to_owned()),
        (&["--policy", empty.0.to_str().unwrap()], "has no *.yaml".to_owned()),
        (&["--tls-dir", empty.0.to_str().unwrap()], "tls.crt".to_owned()),
        (&["--tls-self-signed", "not a name"], "not a name".to_owned()),
        (&["--client-ca", "no/such/ca"], "no/such/ca".to_owned()),
        (&["--ca-out", "no/such/folder/ca"], "no/such/folder/ca".to_owned()),
        (&["--idle-timeout", "90s"], "90s".to_owned()),
        (&["--max-body", "200Mi"], "--body-budget".to_owned()),
        (&["--max-body", "7MB"], "32Mi".to_owned()),
        (&["--drain", "5"], "90s".to_owned()),
        (&["--workers", "1"], "--workers must be at least 2".to_owned()),
        (&["--listen", "example"], "--listen".to_owned()),
        (&["--log-level", "tidegate=loud"], "--log-level".to_owned()),
        (&["--kube", "maybe"], "auto, on, off".to_owned()),
    ] {
        let text = fails(arguments);
        assert!(text.contains(&says), "{arguments:?}: no `{says}` in {text}");
    }
}

#[test]
fn help_is_what_people_read_first() {
    for command in ["serve", "webhook-config"] {
        let output = tidegate().args([command, "--help"]).env("COLUMNS", "100").output().unwrap();
        insta::assert_snapshot!(command, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn two_policies_of_one_name_are_refused() {
    let folder = Folder::new("twice");
    folder.write("a.yaml", tidegate::policy::BUILT_IN);
    folder.write("b.yml", tidegate::policy::BUILT_IN);
    folder.write(".hidden.yaml", "not a policy");
    let text = fails(&["--policy", folder.0.to_str().unwrap()]);
    assert!(text.contains("b.yml") && text.contains("`default` is loaded already"), "{text}");
}
