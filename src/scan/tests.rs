//! The scanner without a cluster.

use jiff::Timestamp;

use super::{Item, Limits, LookedUp, Options, Scan, Scanner};
use crate::{
    decision::Effect,
    model::{BackupState, ConfigMap, ConfigMapSet, Fact, Labels},
    policy::{PolicySet, built_in, parse},
};

fn scanner(options: Options) -> Scanner {
    let mut scanner =
        Scanner::new(PolicySet::new(vec![built_in()]), options, Timestamp::UNIX_EPOCH);
    scanner.namespace("shop", Labels::new());
    scanner
}

fn item<'i>(name: &'i str, text: &'i str) -> Item<'i> {
    Item { namespace: "shop", name, uid: name, labels: None, text }
}

/// A Job that migrates in a way that several rules find something in.
fn job(spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"m","annotations":
        {{"tidegate.dev/backup":"job/nightly"}}}},"spec":{{"template":{{"spec":{{{spec}"containers":[
        {{"name":"m","image":"registry.example.com/m:1","command":["psql","-c","DROP TABLE a"]}}]}}}}}}}}"#
    )
}

fn rules(scan: &Scan) -> Vec<&'static str> {
    scan.rules.keys().copied().collect()
}

#[test]
fn any_text_is_judged_and_one_that_cannot_be_read_is_a_finding() {
    let mut scanner = scanner(Options::default());
    for text in ["", "[", "null", "{}", r#"{"kind":1}"#, &"[".repeat(100_000)] {
        let _nothing = scanner.judge(&item("x", text), None);
    }
    let hidden = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"template":1}}"#;
    assert!(scanner.judge(&item("a", hidden), None).is_empty());
    let scan = scanner.finish();
    let subjects: Vec<_> = scan.objects.iter().map(super::Scanned::subject).collect();
    assert!(subjects.contains(&"Deployment/a".to_owned()), "{subjects:?}");
    assert!(rules(&scan).contains(&"unreadable-object"), "{:?}", rules(&scan));
}

#[test]
fn what_a_verdict_needs_is_looked_up_before_anything_is_counted() {
    let mut scanner = scanner(Options::default());
    let job = job(r#""volumes":[],"#);
    let wants = scanner.judge(&item("m", &job), None);
    assert_eq!(wants.backup.map(|backup| backup.name).as_deref(), Some("nightly"));
    assert_eq!(scanner.counts().judged, 0);
    let mut config_maps = ConfigMapSet::default();
    config_maps.add("shop", "unused", 0, ConfigMap::parse("{}").unwrap());
    let found = LookedUp { backup: Fact::Known(BackupState::Failed), config_maps: &config_maps };
    assert!(scanner.judge(&item("m", &job), Some(&found)).is_empty());
    let scan = scanner.finish();
    assert_eq!(scan.counts.judged, 1);
    assert!(rules(&scan).contains(&"destructive-without-backup"), "{:?}", rules(&scan));
}

#[test]
fn a_namespace_without_a_policy_is_neither_judged_nor_safe() {
    let text = "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: p}\nspec: {level: Warn, match: {namespaces: [other]}}\n";
    let policies = PolicySet::new(parse(text, "p.yaml").unwrap());
    let mut scanner = Scanner::new(policies, Options::default(), Timestamp::UNIX_EPOCH);
    scanner.namespace("shop", Labels::new());
    scanner.namespace("other", Labels::new());
    let job = job("");
    assert!(scanner.judge(&item("m", &job), None).is_empty());
    let scan = scanner.finish();
    assert_eq!((scan.counts.no_policy, scan.counts.judged), (1, 0));
    assert_eq!(scan.safe_to_enforce().collect::<Vec<_>>(), ["other"]);
}

#[test]
fn a_part_says_nothing_about_secrets_that_were_not_seen() {
    let mut scanner = scanner(Options {
        partial: true,
        limits: Limits { per_namespace: 2, total: 2 },
        ..Options::default()
    });
    let job = r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"m"},"spec":{"template":{"spec":{
        "containers":[{"name":"m","image":"registry.example.com/m:1","command":["alembic","upgrade","head"],
        "env":[{"name":"DATABASE_URL","valueFrom":{"secretKeyRef":{"name":"db","key":"url"}}}]}]}}}}"#;
    assert!(scanner.judge(&item("m", job), None).is_empty());
    let scan = scanner.finish();
    assert_eq!(scan.rules["shared-database-role"].undecided, 1);
    assert_eq!(scan.objects[0].findings.len(), 2);
    let all: usize = scan.rules.values().map(|it| it.denials + it.warnings + it.notes).sum();
    assert_eq!(scan.counts.left_out, all - 2);
    // The most severe are kept.
    assert!(scan.objects[0].findings.iter().all(|found| found.enforced == Effect::Refuses));
    assert!(scan.partial && scan.safe_to_enforce().next().is_none());
}
