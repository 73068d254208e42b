//! The configurations that register the webhook.

use std::process::Command;

use crate::support::Folder;

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
    assert!(text.contains("- cert-manager") && !text.contains("failurePolicy: Fail"), "{text}");
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
