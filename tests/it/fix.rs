//! `tidegate fix` as users meet it: what is written, what is not, and nothing else changed.

use std::{
    collections::BTreeMap, fs, io::Write as _, path::Path, process::Command, sync::LazyLock,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::{
    decision::{Step, mend, mutate},
    model::{Change, Fact, Facts},
    policy::{PolicySet, built_in},
    source::{decode, documents},
};

use crate::command::{Folder, Output};

const JOB: &str = "\
apiVersion: batch/v1
kind: Job # once per release
metadata:
    name: shop
    annotations:
        # before everything else
        argocd.argoproj.io/hook: 'presync'
        argocd.argoproj.io/sync-wave: -01
spec:
    backoffLimit: 6 # the default
    template:
        spec:
            restartPolicy: Never
            containers:
            -   name: migrate
                image: \"flyway/flyway:11\"
                args: [migrate]
";

fn fix(folder: &Folder, args: &[&str]) -> Output {
    folder.run(&[&["fix"], args].concat())
}

/// A text, and what its objects are to become.
struct Fixture {
    text: String,
    wanted: Vec<Value>,
}

/// Every fixture of a rule and every manifest of the examples, by a name of its own.
static FIXTURES: LazyLock<BTreeMap<String, Fixture>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    let mut todo =
        vec![Path::new("tests/rules").to_owned(), Path::new("tests/manifests").to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = path.to_str().unwrap().replace('/', "_");
                let text = fs::read_to_string(path).unwrap();
                found.insert(name, Fixture { wanted: expected(&values(&text)), text });
            }
        }
    }
    assert!(found.len() > 200, "{} fixtures", found.len());
    found
});

fn values(text: &str) -> Vec<Value> {
    documents(text).into_iter().map(|document| document.unwrap().value().clone()).collect()
}

/// What the objects of a fixture are to become: by the functions that decide, without any text.
fn expected(objects: &[Value]) -> Vec<Value> {
    let policies = PolicySet::new(vec![built_in()]);
    objects
        .iter()
        .map(|object| {
            let json = object.to_string();
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
            let change = Change::create(namespace, "", &json);
            let facts = Facts::new(Fact::NotAsked);
            let mended = mend(&policies, &change, &facts, Timestamp::now(), &|_| None).unwrap();
            // Where nothing but filling in is to be done, it is the JSON Patch and nothing else.
            if mended.steps.iter().all(|step| matches!(step, Step::FilledIn { .. })) {
                let mut patched = object.clone();
                let patch = mutate(&policies, &change, &facts).patch;
                json_patch::patch(&mut patched, &patch).unwrap();
                assert_eq!(patched, mended.value);
            }
            mended.value
        })
        .collect()
}

/// The comments of a YAML text, in order.
fn comments(text: &str) -> Vec<&str> {
    let is_comment = |line: &&str| line.trim_start().starts_with('#');
    text.lines().map(str::trim_end).filter(is_comment).collect()
}

/// Fixes every fixture in another dress, and compares what is written with what was decided.
fn fixes_all(name: &str, dress: fn(&str) -> Option<Vec<u8>>) -> usize {
    let folder = Folder::new("fix", name);
    let mut dressed = BTreeMap::new();
    for (file, fixture) in &*FIXTURES {
        if let Some(bytes) = dress(&fixture.text) {
            fs::write(folder.0.join(file), &bytes).unwrap();
            dressed.insert(file, (bytes, &fixture.wanted));
        }
    }
    let output = fix(&folder, &["--write", "."]);
    assert_eq!(output.code, 0, "{}", output.err);
    let mut changed = 0;
    for (file, (before, wanted)) in dressed {
        let after = folder.read(file);
        let (before, after) = (decode(&before).unwrap(), decode(&after).unwrap());
        let found = values(&after);
        match found.as_slice() {
            // A list is as good as its items.
            [list] if list["kind"] == "List" => assert_eq!(list["items"], json!(wanted), "{file}"),
            // The last line break can be part of a text.
            _ if before.ends_with('\n') => assert_eq!(&found, wanted, "{file}:\n{after}"),
            _ => assert_eq!(found, expected(&values(&before)), "{file}:\n{after}"),
        }
        assert_eq!(comments(&before), comments(&after), "{file}");
        let unix = |text: &str| text.matches('\n').count() - text.matches("\r\n").count();
        assert!(unix(&before) > 0 || unix(&after) == 0, "{file}: line breaks of another kind");
        assert_eq!(before.ends_with('\n'), after.ends_with('\n'), "{file}: the last line break");
        changed += usize::from(before != after);
    }
    let again = fix(&folder, &["."]);
    assert_eq!((again.code, again.out.as_str()), (0, ""), "fixed twice");
    changed
}

#[test]
fn what_is_written_is_exactly_what_was_decided() {
    assert!(fixes_all("as-they-are", |text| Some(text.into())) > 100);
}

#[test]
fn windows_line_breaks_byte_order_marks_and_other_encodings_stay() {
    assert!(fixes_all("crlf", |text| Some(text.replace('\n', "\r\n").into())) > 100);
    assert!(fixes_all("bom", |text| Some(format!("\u{feff}{text}").into())) > 100);
    let utf16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_be_bytes);
        Some([0xfe, 0xff].into_iter().chain(units).collect())
    };
    assert!(fixes_all("utf-16", utf16) > 100);
}

#[test]
fn a_file_may_end_without_a_line_break() {
    assert!(fixes_all("no-line-break", |text| Some(text.trim_end().into())) > 100);
}

#[test]
fn json_and_lists_are_written_too() {
    // One document is what a JSON file holds.
    let json = |text: &str| match values(text).as_slice() {
        [one] => Some(serde_json::to_vec_pretty(one).unwrap()),
        _ => None,
    };
    assert!(fixes_all("json", json) > 50);
    let tight = |text: &str| match values(text).as_slice() {
        [one] => Some(one.to_string().into_bytes()),
        _ => None,
    };
    assert!(fixes_all("tight-json", tight) > 50);
    let list = |text: &str| {
        let mut list = "# a list\napiVersion: v1\nkind: List\nitems:\n".to_owned();
        for value in values(text) {
            let yaml = serde_saphyr::to_string(&value).unwrap();
            let lines: Vec<&str> = yaml.lines().collect();
            list.extend(["- ", &lines.join("\n  "), "\n"]);
        }
        Some(list.into_bytes())
    };
    assert!(fixes_all("list", list) > 100);
}

#[test]
fn the_diff_is_the_default_and_says_why() {
    let folder = Folder::new("fix", "diff").with("deploy/job.yaml", JOB);
    let output = fix(&folder, &["deploy"]);
    assert_eq!(output.code, 1);
    insta::assert_snapshot!(format!("{}=====\n{}", output.out, output.err));
    assert_eq!(folder.text("deploy/job.yaml"), JOB, "nothing is written");
    assert_eq!(fix(&folder, &["deploy", "--diff", "--quiet"]).err, "");
    let stdin = folder.run_with(&["fix", "-"], JOB, &[]);
    assert!(stdin.out.starts_with("--- a/<stdin>\n+++ b/<stdin>\n"), "{}", stdin.out);
    assert_eq!(stdin.code, 1);
}

#[test]
fn git_applies_the_diff() {
    if Command::new("git").arg("--version").output().is_err() {
        return writeln!(std::io::stderr(), "skipped: there is no git").unwrap();
    }
    let folder = Folder::new("fix", "git").with("a b.yaml", JOB).with("c.yaml", JOB.trim_end());
    let diff = fix(&folder, &["."]).out;
    fs::write(folder.0.join("fix.diff"), diff).unwrap();
    // Outside a repository of its own, git would take the paths from the root of ours.
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(&folder.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    git(&["apply", "fix.diff"]);
    let applied = (folder.text("a b.yaml"), folder.text("c.yaml"));
    let folder = Folder::new("fix", "written").with("a b.yaml", JOB).with("c.yaml", JOB.trim_end());
    assert_eq!(fix(&folder, &["--write", "."]).code, 0);
    assert_eq!(applied, (folder.text("a b.yaml"), folder.text("c.yaml")));
}

#[test]
fn what_nobody_can_read_is_left_as_it_is() {
    let template = format!("{JOB}---\n{{{{- if .Values.x }}}}\na: [\n{{{{- end }}}}\n");
    let twice = JOB.replace("backoffLimit: 6", "backoffLimit: 6\n    backoffLimit: 7");
    let shared = format!("{JOB}# an anchor\nx: &x {{runAsUser: 1}}\n").replace(
        "                args: [migrate]\n",
        "                args: [migrate]\n                securityContext: *x\n",
    );
    let shared = shared
        .replace("apiVersion: batch/v1\n", "")
        .replace("# an anchor\nx: &x {runAsUser: 1}\n", "");
    let shared = format!("x: &x {{runAsUser: 1}}\napiVersion: batch/v1\n{shared}");
    let folder = Folder::new("fix", "unreadable")
        .with("good.yaml", JOB)
        .with("shared.yaml", &shared)
        .with("template.yaml", &template)
        .with("twice.yaml", &twice);
    let output = fix(&folder, &["--write", ".", "gone.yaml"]);
    assert_eq!(output.code, 2);
    insta::assert_snapshot!(
        output
            .err
            .lines()
            .filter(|line| !line.starts_with("./good"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(folder.text("template.yaml"), template);
    assert_eq!(folder.text("twice.yaml"), twice);
    assert_eq!(folder.text("shared.yaml"), shared);
    assert_ne!(folder.text("good.yaml"), JOB);
}

#[test]
fn an_exception_keeps_what_it_excuses() {
    let expires = Timestamp::now() + SignedDuration::from_hours(24);
    let exception = format!(
        "\
apiVersion: tidegate.dev/v1alpha1
kind: MigrationException
metadata: {{name: retries, namespace: default}}
spec:
  rules: [retried-migration]
  match: {{names: [shop]}}
  reason: the database is far away
  ticket: DB-1
  expires: \"{expires}\"
"
    );
    let folder = Folder::new("fix", "exception").with("job.yaml", JOB).with("e.yaml", &exception);
    let output = fix(&folder, &["."]);
    assert_eq!(output.code, 1, "{}", output.err);
    assert!(!output.out.contains("backoffLimit: 1"), "{}", output.out);
    assert!(output.out.contains("PreSync"), "{}", output.out);
}

#[test]
fn standard_input_cannot_be_written() {
    let output = Folder::new("fix", "stdin").run_with(&["fix", "-", "--write"], JOB, &[]);
    assert_eq!((output.code, output.out.as_str()), (2, ""));
    assert!(output.err.contains("only files can be changed"), "{}", output.err);
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions_and_a_link_stays_one() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let folder = Folder::new("fix", "links").with("real/job.yaml", JOB).with("ro.yaml", JOB);
    let mode = |file: &str, mode: u32| {
        fs::set_permissions(folder.0.join(file), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("real/job.yaml", 0o640);
    mode("ro.yaml", 0o440);
    symlink("real/job.yaml", folder.0.join("link.yaml")).unwrap();
    // The file is named twice: by the link, and by itself.
    let output = fix(&folder, &["--write", "link.yaml", "real/job.yaml", "ro.yaml"]);
    assert_eq!(output.code, 2);
    assert!(output.err.contains("ro.yaml: it is not written: it is read-only"), "{}", output.err);
    assert!(fs::symlink_metadata(folder.0.join("link.yaml")).unwrap().is_symlink());
    assert!(folder.text("real/job.yaml").contains("'PreSync'"));
    assert_eq!(folder.text("ro.yaml"), JOB);
    let metadata = fs::metadata(folder.0.join("real/job.yaml")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    let left: Vec<_> = fs::read_dir(folder.0.join("real")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left behind");
}

/// A rule offers a repair where it has a `mend-*` fixture, and the page names exactly these.
#[test]
fn the_page_names_the_rules_that_offer_a_repair() {
    let page = fs::read_to_string("docs/fix.md").unwrap();
    for rule in tidegate::rules::ALL {
        let fixtures = fs::read_dir(Path::new("tests/rules").join(rule.id)).unwrap();
        let mends = fixtures
            .flatten()
            .any(|fixture| fixture.file_name().to_string_lossy().starts_with("mend-"));
        assert_eq!(page.contains(&format!("| `{}` |", rule.id)), mends, "{}", rule.id);
    }
}
