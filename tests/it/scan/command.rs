//! The command.

use serde_json::{Value, json};

use super::{DEPLOYMENTS, POLICIES, REPORTS, cluster, migrating, policy};
use crate::{command::Folder, fake_cluster::FakeCluster};

/// Runs the binary against the cluster.
async fn run(server: &FakeCluster, name: &str, args: &[&str]) -> (i32, String, String, Folder) {
    let folder = Folder::new("scan", name).with("kubeconfig", server.kubeconfig());
    let args: Vec<String> = ["scan", "--kubeconfig", "kubeconfig"]
        .iter()
        .chain(args)
        .map(|arg| (*arg).to_owned())
        .collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = folder.run_with(&args, "", &[("NO_PROXY", "*")]);
        (output.code, output.out, output.err, folder)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn the_command_tells_people_and_machines_and_its_exit_code() {
    let server = cluster().await;
    server.put(POLICIES, policy("audit", &json!({"level": "Audit"})));
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let (code, text, errors, _) = run(&server, "human", &["--color", "never"]).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        text.contains("would be refused[migration-in-init-container] shop: Deployment/web"),
        "{text}"
    );
    assert!(text.contains("safe to enforce now: other\n"), "{text}");
    assert!(text.contains("team-shop"), "{text}");
    assert!(
        text.ends_with(
            "1 object judged in 2 namespaces: 0 refused now, 1 if every policy enforced\n"
        ),
        "{text}"
    );

    let outputs = ["json=a.json", "sarif=a.sarif", "html=a.html"];
    let outputs = outputs.map(|output| ["--output", output]).concat();
    let (code, text, _, folder) =
        run(&server, "files", &[&outputs[..], &["--enforced", "--quiet"]].concat()).await;
    assert_eq!(code, 1);
    assert_eq!(text.lines().count(), 1, "{text}");
    let json: Value = serde_json::from_str(&folder.text("a.json")).unwrap();
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string("docs/scan-schema.json").unwrap()).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));
    assert_eq!(json["safeToEnforce"], json!(["other"]));
    assert_eq!(json["objects"][0]["findings"][0]["effect"], "audit");
    let sarif: Value = serde_json::from_str(&folder.text("a.sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["level"], "error");
    let html = folder.text("a.html");
    assert!(html.contains("<h1>1 object would be refused</h1>"), "{html}");

    let policy =
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: mine}\n";
    let folder = Folder::new("scan", "policy-file").with("policy.yaml", policy);
    let file = folder.0.join("policy.yaml").display().to_string();
    let (code, _, _, _) = run(&server, "policy", &["--policy", &file]).await;
    assert_eq!(code, 1, "the file replaces the policy that only audits");
}

#[tokio::test]
async fn the_command_says_what_it_could_not_do() {
    let server = cluster().await;
    let (code, _, errors, _) = run(&server, "publish", &["--publish"]).await;
    assert_eq!(code, 2);
    assert!(
        errors.contains("neither openreports.io/v1alpha1 nor wgpolicyk8s.io/v1alpha2"),
        "{errors}"
    );
    server.put(POLICIES, policy("bad", &json!({"level": "Audits"})));
    let (code, text, _, _) = run(&server, "bad", &[]).await;
    assert_eq!(code, 2);
    assert!(text.contains("MigrationPolicy bad is not in force: spec.level"), "{text}");
    server.set_forbidden(POLICIES, true);
    let (code, _, errors, _) = run(&server, "forbidden", &[]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("the policies of the cluster cannot be read"), "{errors}");
    let (code, _, errors, _) = run(&server, "context", &["--context", "gone"]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("the kubeconfig cannot be used"), "{errors}");
}

#[tokio::test]
async fn the_command_publishes_what_it_found() {
    let server = cluster().await;
    server.install(REPORTS, "Report");
    server.put(DEPLOYMENTS, migrating("Deployment", "shop", "web", None));
    let (code, text, _, _) = run(&server, "published", &["--publish"]).await;
    assert_eq!(code, 1);
    assert!(text.ends_with("reports: 1 written, 0 unchanged, 0 deleted, 0 failed\n"), "{text}");
    assert!(server.get(REPORTS, "shop", "tidegate-00").is_some());
}
