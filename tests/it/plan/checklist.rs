//! Which boxes of the checklist are ticked, and by what.

use super::*;

#[test]
fn what_a_check_after_the_rollout_is_called_counts_and_what_it_waits_for_does_not() {
    let wait = "      initContainers: [{name: wait, image: postgres, command: [pg_isready, -h, db]}]\n      \
                containers:\n";
    let manifests = job("smoke-test", "PostSync", "./try-it", "", "")
        + &job("db-upgrade", "PostSync", "./do-it", "", "").replace("      containers:\n", wait)
        + &job("look", "PostSync", "flyway info", "", "");
    let output = Folder::new("verify", &[("a.yaml", &manifests)]).plan(&[".", "--format", "json"]);
    for (name, role) in
        [("smoke-test", "verification"), ("db-upgrade", "unrecognised"), ("look", "verification")]
    {
        assert_eq!(output.step(name)["role"], role, "{name}");
    }
    // Of the smoke test a name says what it is for, and nothing what it does.
    assert_eq!(output.release()["risk"]["unrecognised"], 2);
}

#[test]
fn a_box_is_ticked_by_evidence() {
    let ticked = |output: &Output| -> Vec<String> {
        let release = output.release();
        let boxes = array(&release["checklist"]).iter().filter(|own| own["ticked"] == true);
        boxes.map(|own| text(&own["id"]).to_owned()).collect()
    };
    let risk = note("tidegate.dev/risk", "apply");
    let named = note("tidegate.dev/backup", "nightly");
    let app = deployment("app", "shop:1");
    for (name, manifests, want) in [
        (
            "nothing",
            app.clone(),
            vec![
                "backward-compatible",
                "destructive-alone",
                "dry-run",
                "backup-or-waiver",
                "rollout-noted",
            ],
        ),
        ("opaque", job("a", "PreSync", "./x", "", ""), vec!["rollout-noted"]),
        ("apply", job("a", "PreSync", "flyway migrate", "", "") + &app, vec!["rollout-noted"]),
        (
            "declared",
            job("a", "PreSync", "flyway migrate", "", &risk) + &app,
            vec!["destructive-alone", "rollout-noted"],
        ),
        // Somebody says that there is a backup: that is no proof.
        ("named", job("a", "PreSync", "flyway migrate", "", &named) + &app, vec!["rollout-noted"]),
        (
            "saved",
            job("a", "PreSync", "pg_dump -f a && flyway migrate", "", "") + &app,
            vec!["backup-or-waiver", "rollout-noted"],
        ),
        ("alone", job("a", "PreSync", DROP, "", ""), vec!["destructive-alone", "rollout-noted"]),
        (
            "data",
            job("a", "PreSync", "psql -c 'UPDATE a SET b = 1 WHERE c = 2'", "", "") + &app,
            vec!["backward-compatible", "destructive-alone", "rollout-noted"],
        ),
        (
            "dropped",
            job("a", "presync", "flyway migrate", "", ""),
            vec!["backward-compatible", "destructive-alone", "dry-run", "backup-or-waiver"],
        ),
    ] {
        let folder = Folder::new(&format!("box-{name}"), &[("a.yaml", &manifests)]);
        assert_eq!(ticked(&folder.plan(&[".", "--format", "json"])), want, "{name}");
    }
    // What only an installation runs is looked at as well.
    let install = job("a", "X", "flyway migrate", "", "")
        .replace("argocd.argoproj.io/hook: X", "helm.sh/hook: post-install");
    let folder = Folder::new("box-install", &[("a.yaml", &(install + &app))]);
    let output = folder.plan(&[".", "--format", "json"]);
    assert_eq!(ticked(&output), ["rollout-noted"]);
    let drop = job("a", "PreSync", DROP, "", "");
    let (old, new) = (app.clone(), drop + &app);
    let folder = Folder::new("box-diff", &[("old/a.yaml", &old), ("new/a.yaml", &new)]);
    let output = folder.plan(&["--diff", "old", "new", "--format", "json"]);
    assert!(ticked(&output).contains(&"destructive-alone".to_owned()));
}
