//! `tidegate plan` as users meet it: standard output and exit code.

mod checklist;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The reference manifests of a release with Argo CD.
const REFERENCE: [&str; 4] = [
    "tests/manifests/app-deployment.yaml",
    "tests/manifests/argocd-backup-job.yaml",
    "tests/manifests/argocd-migration-job.yaml",
    "tests/manifests/argocd-verification-job.yaml",
];

/// A folder of its own for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plan").join(name);
        let _gone = fs::remove_dir_all(&folder);
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn plan(&self, args: &[&str]) -> Output {
        run(&self.0, args)
    }
}

struct Output {
    code: i32,
    out: String,
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.arg("plan").args(args).current_dir(folder).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Output { code: output.status.code().unwrap(), out: String::from_utf8(output.stdout).unwrap() }
}

impl Output {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// The only release.
    fn release(&self) -> Value {
        let mut json = self.json();
        assert_eq!(json["releases"].as_array().unwrap().len(), 1);
        json["releases"][0].take()
    }

    /// `place: role Kind/name` of every step of every run.
    fn steps(&self) -> Vec<String> {
        let release = self.release();
        let mut steps = Vec::new();
        for wave in release["runs"].as_array().unwrap().iter().flat_map(|run| array(&run["waves"]))
        {
            for step in array(&wave["steps"]) {
                let (title, object) = (wave["title"].as_str().unwrap(), &step["object"]);
                let number =
                    wave["wave"].as_i64().map(|wave| format!(" {wave}")).unwrap_or_default();
                steps.push(format!(
                    "{title}{number}: {} {}/{}",
                    text(&step["role"]),
                    text(&object["kind"]),
                    text(&object["name"])
                ));
            }
        }
        steps
    }

    /// The step of the object with this name.
    fn step(&self, name: &str) -> Value {
        let release = self.release();
        let runs = array(&release["runs"]).clone();
        let waves = runs.iter().flat_map(|run| array(&run["waves"]));
        let mut steps = waves.flat_map(|wave| array(&wave["steps"]));
        steps.find(|step| step["object"]["name"] == name).unwrap().clone()
    }
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A hook Job that runs `command`; `more` stands in its spec, `notes` among its annotations.
fn job(name: &str, phase: &str, command: &str, more: &str, notes: &str) -> String {
    format!(
        "---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n    \
         argocd.argoproj.io/hook: {phase}\n{notes}spec:\n  backoffLimit: 1\n{more}  template:\n    \
         spec:\n      restartPolicy: Never\n      containers:\n        - name: main\n          \
         image: example.com/shop:1\n          command: [sh, -c, \"{command}\"]\n"
    )
}

fn note(key: &str, value: &str) -> String {
    format!("    {key}: \"{value}\"\n")
}

fn wave(wave: i64) -> String {
    note("argocd.argoproj.io/sync-wave", &wave.to_string())
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    \
         spec:\n      containers: [{{name: main, image: \"{image}\"}}]\n"
    )
}

fn application(policy: &str) -> String {
    format!(
        "---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: shop}}\nspec:\n  \
         destination: {{namespace: shop}}\n  syncPolicy: {policy}\n"
    )
}

const DROP: &str = "psql -c 'DROP TABLE orders'";

#[test]
fn the_reference_release_runs_backup_migration_application_verification() {
    let output = run(Path::new(env!("CARGO_MANIFEST_DIR")), &REFERENCE);
    insta::assert_snapshot!(output.out);
    assert_eq!(output.code, 0);
    let json = [&REFERENCE[..], &["--format", "json"]].concat();
    let output = run(Path::new(env!("CARGO_MANIFEST_DIR")), &json);
    assert_eq!(
        output.steps(),
        [
            "PreSync -1: backup Job/app-db-backup",
            "PreSync 0: migration Job/app-db-migrate",
            "Sync 1: application Deployment/app",
            "PostSync 2: verification Job/app-db-verify",
        ]
    );
    let migration = output.step("app-db-migrate");
    assert_eq!(migration["backup"], serde_json::json!({"kind": "step", "number": 1}));
    assert_eq!(migration["awaited"], "complete");
    assert_eq!(output.json()["schemaVersion"], 1);
}

#[test]
fn the_reference_release_as_json() {
    let args = [&REFERENCE[..], &["--format", "json"]].concat();
    insta::assert_snapshot!(run(Path::new(env!("CARGO_MANIFEST_DIR")), &args).out);
}

#[test]
fn an_approval_is_missing_valid_expired_or_does_not_hold() {
    let policy = "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: p}\nspec:\n  \
                  approvals: {bindToDigest: false, bindToNamespace: false}\n";
    let waiver = note("tidegate.dev/backup-waiver", "a table that nothing reads any more");
    let backup = note("tidegate.dev/backup", "nightly");
    let approval = |until: Timestamp| {
        note("tidegate.dev/approved-by", "alice@example.com")
            + &note("tidegate.dev/approval-ticket", "DB-1")
            + &note("tidegate.dev/approved-until", &until.to_string())
            + &waiver
    };
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let far = SignedDuration::from_hours(10_000);
    let manifests = job("missing", "PreSync", DROP, "", "")
        + &job("valid", "PreSync", DROP, "", &approval(now + hour))
        + &job("expired", "PreSync", DROP, "", &approval(now - hour))
        + &job("invalid", "PreSync", DROP, "", &approval(now + far))
        + &job("named", "PreSync", DROP, "", &(backup + &waiver))
        + &job("harmless", "PreSync", "flyway migrate", "", "");
    let folder =
        Folder::new("approvals", &[("set/a.yaml", manifests.as_str()), ("policy.yaml", policy)]);
    let output = folder.plan(&["set", "--policy", "policy.yaml", "--format", "json"]);
    assert_eq!(output.code, 1);
    for (name, state, backup) in [
        ("missing", "missing", "none"),
        ("valid", "valid", "waived"),
        ("expired", "expired", "waiver-does-not-hold"),
        ("invalid", "invalid", "waiver-does-not-hold"),
        // A backup that is named counts, whatever becomes of the waiver beside it.
        ("named", "missing", "named"),
        ("harmless", "not-needed", "none"),
    ] {
        let step = output.step(name);
        assert_eq!(step["approval"]["state"], state, "{name}");
        assert_eq!(step["backup"]["kind"], backup, "{name}");
    }
    assert_eq!(output.step("valid")["approval"]["by"], "alice@example.com");
    let release = output.release();
    assert_eq!(release["risk"]["operation"], "destructive");
    let human = folder.plan(&["set", "--policy", "policy.yaml"]).out;
    for words in ["approval: missing", "given by alice@example.com, valid until ", "expired at "] {
        assert!(human.contains(words), "{words}: {human}");
    }
    assert!(human.contains("error[unapproved-destructive-migration]"), "{human}");
}

#[test]
fn what_an_object_declares_raises_what_was_found() {
    let risk = |risk: &str| note("tidegate.dev/risk", risk);
    let manifests = job("raised", "PreSync", "flyway migrate", "", &risk("contract"))
        + &job("confirmed", "PreSync", "flyway migrate", "", &risk("apply"))
        + &job("opaque", "PreSync", "./do-it", "", &risk("destructive"))
        + &job("hinted", "PreSync", "flyway migrate && ./db-reset.sh", "", "")
        + &job("nobody-knows", "PreSync", "./do-it", "", "");
    let folder = Folder::new("declared", &[("a.yaml", &manifests)]);
    let output = folder.plan(&[".", "--format", "json"]);
    for (name, operation, basis) in [
        ("raised", "contract", "declared"),
        ("confirmed", "apply", "confirmed"),
        ("opaque", "destructive", "declared"),
        // What only the name of a script says does not raise it.
        ("hinted", "apply", "found"),
    ] {
        let risk = &output.step(name)["risk"];
        assert_eq!((text(&risk["operation"]), text(&risk["basis"])), (operation, basis), "{name}");
    }
    let unknown = output.step("nobody-knows");
    assert_eq!(unknown["risk"], Value::Null);
    assert_eq!(unknown["role"], "unrecognised");
    let human = folder.plan(&["."]).out;
    assert!(human.contains("Job/nobody-knows  what it does is not known"), "{human}");
    assert!(human.contains("declared as destructive by tidegate.dev/risk"), "{human}");
}

#[test]
fn the_deadline_of_a_job_bounds_all_its_runs_and_that_of_a_pod_each() {
    let manifests = job("job", "PreSync", "flyway migrate", "  activeDeadlineSeconds: 600\n", "")
        + &job("filled-in", "PreSync", "flyway migrate", "", "")
        + &job("no-hook", "PreSync", "flyway migrate", "", "")
            .replace("    argocd.argoproj.io/hook: PreSync\n", "    a: b\n")
        + &job("pod", "PreSync", "flyway migrate", "", "")
            .replace("    argocd.argoproj.io/hook: PreSync\n", "    a: b\n")
            .replace(
                "restartPolicy: Never",
                "restartPolicy: OnFailure\n      activeDeadlineSeconds: 100",
            );
    let synced = manifests.clone() + &application("{automated: {}}");
    let folder = Folder::new("limits", &[("alone/a.yaml", &manifests), ("app/a.yaml", &synced)]);
    let output = folder.plan(&["app", "--format", "json"]);
    for (name, deadline, seconds, runs, total) in [
        ("job", "job", Some(600), Some(2), Some(3_600)),
        ("filled-in", "job", Some(1_800), Some(2), Some(10_800)),
        ("no-hook", "none", None, Some(2), None),
        // Two Pods of 100 s, and 10 s between them.
        ("pod", "pod", Some(210), Some(2), Some(210)),
    ] {
        let limits = &output.step(name)["limits"];
        assert_eq!(limits["deadline"]["kind"], deadline, "{name}");
        assert_eq!(limits["seconds"].as_u64(), seconds, "{name}");
        assert_eq!(limits["runs"].as_u64(), runs, "{name}");
        assert_eq!(limits["totalSeconds"].as_u64(), total, "{name}");
    }
    assert_eq!(output.step("filled-in")["limits"]["deadline"]["filledIn"], true);
    assert_eq!(output.step("job")["limits"]["totalRuns"], 12);
    // A retry of the sync does not run again what is no hook.
    assert_eq!(output.step("no-hook")["limits"]["totalRuns"], 2);
    assert_eq!(output.step("pod")["limits"]["restartsInPlace"], true);
    let alone = folder.plan(&["alone", "--format", "json"]);
    assert_eq!(alone.step("job")["limits"]["attempts"]["kind"], "not-known");
    assert_eq!(alone.step("job")["limits"]["totalRuns"], Value::Null);
    let human = folder.plan(&["alone"]).out;
    assert!(human.contains("retries of a sync: not known: no Application"), "{human}");
    assert!(human.contains("no deadline: it may hang for ever, at most 2 runs"), "{human}");
}

#[test]
fn another_number_that_is_filled_in_is_no_deadline() {
    let policy = "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: p}\nspec:\n  \
                  defaults: {activeDeadlineSeconds: null, runAsUser: 1000}\n";
    let manifest = job("migrate", "PreSync", "flyway migrate", "", "")
        .replace("restartPolicy: Never", "restartPolicy: Never\n      securityContext: {}");
    let folder = Folder::new("no-deadline", &[("set/a.yaml", &manifest), ("policy.yaml", policy)]);
    let limits = |args: &[&str]| {
        let output = folder.plan(&[&["set", "--format", "json"], args].concat());
        output.step("migrate")["limits"].clone()
    };
    assert_eq!(limits(&[])["deadline"]["seconds"], 1_800);
    let limits = limits(&["--policy", "policy.yaml"]);
    assert_eq!(limits["deadline"]["kind"], "none");
    assert_eq!(limits["seconds"], Value::Null);
}

#[test]
fn a_leftover_that_stays_is_not_run_again_by_a_retry() {
    let keeps = note("argocd.argoproj.io/hook-delete-policy", "HookSucceeded");
    let fails = note("argocd.argoproj.io/hook-delete-policy", "HookFailed");
    let manifests = job("keeps", "PreSync", "flyway migrate", "", &keeps)
        + &job("fails", "PreSync", "flyway migrate", "", &fails)
        + &application("{retry: {limit: 2}}");
    let folder = Folder::new("leftover", &[("a.yaml", &manifests)]);
    let output = folder.plan(&[".", "--format", "json"]);
    assert_eq!(output.step("keeps")["limits"]["totalRuns"], 2);
    assert_eq!(output.step("fails")["limits"]["totalRuns"], 6);
}

#[test]
fn what_is_never_applied_is_told_with_the_reason() {
    let manifests = job("typo", "Presync", "flyway migrate", "", "")
        + &job("skipped", "Skip", "flyway migrate", "", "")
        + &job("goodbye", "PostDelete", "flyway clean", "", "");
    let folder = Folder::new("left-out", &[("a.yaml", &manifests)]);
    let output = folder.plan(&["."]);
    for line in [
        "Job/typo: Argo CD drops it without a word",
        "Job/skipped: its hook annotation says Skip",
        "Job/goodbye: only when the application is deleted",
        "error[unknown-hook]",
    ] {
        assert!(output.out.contains(line), "{line}: {}", output.out);
    }
    assert_eq!(output.code, 1);
    // Nothing of it happens in this rollout.
    let release = folder.plan(&[".", "--format", "json"]).release();
    assert_eq!(release["risk"]["operation"], Value::Null);
}

#[test]
fn a_backup_that_nobody_waits_for_saves_nothing() {
    let velero = "---\napiVersion: velero.io/v1\nkind: Backup\nmetadata:\n  name: all\n  annotations:\n    \
                  argocd.argoproj.io/hook: PreSync\n    argocd.argoproj.io/sync-wave: \"-5\"\n";
    let manifests = velero.to_owned() + &job("migrate", "PreSync", "flyway migrate", "", "");
    let folder = Folder::new("not-awaited", &[("a.yaml", &manifests)]);
    let output = folder.plan(&[".", "--format", "json"]);
    assert_eq!(output.step("all")["awaited"], "nothing");
    assert_eq!(output.step("migrate")["backup"]["kind"], "none");
    let human = folder.plan(&["."]).out;
    assert!(human.contains("nobody waits for it: it counts as done when it is applied"), "{human}");
    assert!(
        human.contains("without waiting for what is before; does not wait for step 1"),
        "{human}"
    );
}

#[test]
fn a_backup_of_another_database_or_of_the_same_wave_saves_nothing() {
    let database = |name: &str| note("tidegate.dev/database", name);
    let manifests = job("other", "PreSync", "pg_dump -f a", "", &(wave(-2) + &database("users")))
        + &job("late", "PreSync", "pg_dump -f a", "", &(wave(0) + &database("orders")))
        + &job("migrate", "PreSync", "flyway migrate", "", &(wave(0) + &database("orders")))
        + &job("early", "PreSync", "pg_dump -f a", "", &(wave(1) + &database("orders")))
        + &job("again", "PreSync", "flyway migrate", "", &(wave(2) + &database("orders")))
        + &job("itself", "PreSync", "pg_dump -f a && flyway migrate", "", &wave(-9));
    let folder = Folder::new("saved", &[("a.yaml", &manifests)]);
    let output = folder.plan(&[".", "--format", "json"]);
    assert_eq!(output.step("migrate")["backup"]["kind"], "none");
    assert_eq!(output.step("again")["backup"]["number"], output.step("early")["number"]);
    assert_eq!(output.step("itself")["backup"]["kind"], "same-pod");
}

#[test]
fn what_is_only_counted_is_one_line_and_what_is_moved_is_not() {
    let mut manifests = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {argocd.argoproj.io/sync-wave: \"3\"}}\n",
    );
    for number in 0..20 {
        let _ = write!(
            manifests,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{number}, namespace: shop}}\n"
        );
    }
    manifests += "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\n";
    let output = Folder::new("folded", &[("a.yaml", &manifests)]).plan(&["."]);
    let out = &output.out;
    assert!(out.contains("others          20 ConfigMap, 1 Service\n"), "{out}");
    assert!(out.contains("1 other           Namespace/shop\n"), "{out}");
    assert!(out.contains("moved here by Argo CD"), "{out}");
    assert!(
        out.contains("[x] A backup is taken before, or a waiver says why not\n      nothing in"),
        "{out}"
    );
}

#[test]
fn an_installation_and_an_upgrade_with_helm_are_one_where_they_are_alike() {
    let hook = |name: &str, events: &str| {
        job(name, "X", "flyway migrate", "", "")
            .replace("argocd.argoproj.io/hook: X", &format!("helm.sh/hook: {events}"))
    };
    let alike = hook("migrate", "pre-install,pre-upgrade") + &deployment("app", "shop:1");
    let differ = alike.clone() + &hook("first", "post-install");
    let folder = Folder::new("helm", &[("alike/a.yaml", &alike), ("differ/a.yaml", &differ)]);
    let json = |set: &str| folder.plan(&[set, "--format", "json"]);
    assert_eq!(
        json("alike").steps(),
        [
            "pre-install, pre-upgrade 0: migration Job/migrate",
            "resources: application Deployment/app"
        ]
    );
    assert_eq!(
        json("differ").steps(),
        [
            "pre-install 0: migration Job/migrate",
            "resources: application Deployment/app",
            "post-install 0: migration Job/first",
            "pre-upgrade 0: migration Job/migrate",
            "resources: application Deployment/app",
        ]
    );
    let human = folder.plan(&["differ"]).out;
    assert!(human.contains("helm install\n") && human.contains("helm upgrade\n"), "{human}");
    // Argo CD knows no difference between the two.
    let steps = folder.plan(&["differ", "--engine", "argocd", "--format", "json"]).steps();
    assert_eq!(steps.len(), 3, "{steps:?}");
}

#[test]
fn what_cannot_be_read_is_told_beside_the_plan() {
    let manifests = job("migrate", "PreSync", "flyway migrate", "", "");
    let folder = Folder::new("broken", &[("a.yaml", manifests.as_str()), ("b.yaml", "a: [\n")]);
    let output = folder.plan(&["."]);
    assert_eq!(output.code, 2);
    assert!(output.out.starts_with("error: ./b.yaml:"), "{}", output.out);
    assert!(output.out.contains("1 migration"), "{}", output.out);
    let json = folder.plan(&[".", "--format", "json"]).json();
    assert_eq!(json["errors"][0]["file"], "./b.yaml");
    assert_eq!(json["releases"].as_array().unwrap().len(), 1);
}

#[test]
fn names_of_others_do_not_reach_the_terminal_the_comment_or_the_diagram() {
    let name = "\\u001b[31mx\\\"] --> y <!-- @team #1 | `c` end";
    let manifest = format!(
        "{{\"apiVersion\": \"batch/v1\", \"kind\": \"Job\", \"metadata\": {{\"name\": \"{name}\"}}, \
         \"spec\": {{\"template\": {{\"spec\": {{\"containers\": [{{\"name\": \"a\", \"image\": \"a\"}}]}}}}}}}}"
    );
    let folder = Folder::new("names", &[("a.json", &manifest)]);
    let human = folder.plan(&["."]).out;
    assert!(!human.contains('\u{1b}') && human.contains("Job/"), "{human}");
    let markdown = folder.plan(&[".", "--format", "markdown"]).out;
    let page = folder.plan(&[".", "--format", "html"]).out;
    assert!(!page.contains("<!-- @team") && page.contains("&#60;!-- @team"), "{page}");
    for bad in ["x\"", "--> y", "@team", "<!-- @", "`c`", "| `"] {
        assert!(!markdown.contains(bad), "{bad}: {markdown}");
    }
    assert!(markdown.contains("x#34;#93; --#62; y"), "{markdown}");
}

#[test]
fn colours_are_for_terminals() {
    let folder = Folder::new("colour", &[("a.yaml", &job("a", "PreSync", DROP, "", ""))]);
    assert!(!folder.plan(&["."]).out.contains('\u{1b}'));
    assert!(folder.plan(&[".", "--color", "always"]).out.contains("\u{1b}[31merror["));
}

#[test]
fn the_comment_has_a_marker_a_diagram_a_table_and_a_checklist() {
    let args = [&REFERENCE[..], &["--format", "markdown"]].concat();
    let output = run(Path::new(env!("CARGO_MANIFEST_DIR")), &args);
    assert!(output.out.starts_with("<!-- tidegate-plan -->\n"));
    insta::assert_snapshot!(output.out);
}

#[test]
fn a_comment_is_never_too_long_and_says_what_was_cut() {
    let mut manifests = String::new();
    for number in 0..1_500 {
        manifests += &job(&format!("migrate-{number}"), "PreSync", DROP, "", &wave(number));
    }
    let folder = Folder::new("long", &[("a.yaml", &manifests)]);
    let output = folder.plan(&[".", "--format", "markdown"]);
    assert!(output.out.len() <= 65_536, "{}", output.out.len());
    assert!(output.out.contains("do not fit into this comment**"));
    // The checklist is there all the same, and everything that was opened is closed.
    assert!(output.out.contains("- [ ] A backup is taken before"));
    let count = |word: &str| output.out.matches(word).count();
    assert_eq!(count("<details>"), count("</details>"));
    assert_eq!(count("```") % 2, 0);
}

#[test]
fn a_difference_tells_what_is_new_gone_and_changed() {
    let same = job("same", "PostSync", "flyway info", "", "");
    let touched = |value: &str| job("touched", "PostSync", "flyway info", "", &note("a", value));
    let old = same.clone()
        + &touched("1")
        + &job("migrate", "PreSync", "flyway migrate", "", "")
        + &job("gone", "PostSync", "flyway info", "", "")
        + &deployment("app", "shop:1");
    let new = same
        + &touched("2")
        + &job("migrate", "PreSync", DROP, "  activeDeadlineSeconds: 60\n", &wave(2))
        + &job("new", "PreSync", "pg_dump -f a", "", "")
        + &deployment("app", "shop:2");
    let folder = Folder::new("diff", &[("old/a.yaml", &old), ("new/a.yaml", &new)]);
    let output = folder.plan(&["--diff", "old", "new", "--format", "json"]);
    let changes = &output.json()["changes"][0];
    let words = |change: &Value| {
        let shifts = array(&change["shifts"]).iter().map(|shift| text(&shift["what"]).to_owned());
        let shifts: Vec<String> = shifts.collect();
        format!(
            "{} {} {}",
            text(&change["kind"]),
            text(&change["object"]["name"]),
            shifts.join(",")
        )
    };
    let mut list: Vec<String> = array(&changes["changes"]).iter().map(words).collect();
    list.sort();
    assert_eq!(
        list,
        [
            "added new ",
            "changed app image",
            "changed migrate place,does,risk,approval,backup,deadline",
            // Nothing that a plan tells of it.
            "changed touched manifest",
            "removed gone ",
        ]
    );
    assert_eq!(changes["unchanged"], 1);
    assert_eq!(changes["riskBefore"]["operation"], "apply");
    assert_eq!(changes["riskAfter"]["operation"], "destructive");
    // Rules see what was there before.
    let human = folder.plan(&["--diff", "old", "new"]);
    assert!(human.out.contains("error[destructive-with-rollout]"), "{}", human.out);
    assert!(human.out.contains("image: shop:1 -> shop:2"), "{}", human.out);
    assert!(human.out.contains("risk: apply -> destructive"), "{}", human.out);
    assert_eq!(human.code, 1);
    let markdown = folder.plan(&["--diff", "old", "new", "--format", "markdown"]).out;
    assert!(markdown.contains("| **added** | backup <code>Job/new</code> |"), "{markdown}");
}

#[test]
fn a_chart_whose_hooks_are_all_of_helm_is_rolled_out_by_helm() {
    let hook = |name: &str, events: &str| {
        job(name, "X", "flyway migrate", "", "")
            .replace("argocd.argoproj.io/hook: X", &format!("helm.sh/hook: {events}"))
    };
    let manifests = hook("migrate", "pre-upgrade") + &hook("clean-up", "post-delete");
    let output = Folder::new("of-helm", &[("a.yaml", &manifests)]).plan(&[".", "--format", "json"]);
    assert_eq!(output.release()["engine"], "helm");
}

#[test]
fn the_page_loads_nothing_and_names_every_wave_step_and_box() {
    let args = [&REFERENCE[..], &["--format", "html"]].concat();
    let page = run(Path::new(env!("CARGO_MANIFEST_DIR")), &args).out;
    for text in [
        "<li class=\"\"><a href=\"#r0-0-1\">PreSync wave -1</a>",
        "<h3 id=\"r0-0-1\">PreSync wave -1</h3>",
        "<span class=\"chip backup\">backup</span> Job/app-db-backup",
        "at most 30 min (filled in at admission) and 2 runs in every sync",
        "A backup is taken before, or a waiver says why not",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    assert_eq!(page.matches("id=\"r0-0-").count(), 4);
}
