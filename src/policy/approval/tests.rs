use super::reader::LONGEST;
use super::*;
use crate::policy::digest;
use crate::rules::{BackupWaiver, Standing};
use crate::{
    detect::Detector,
    model::{ConfigMap, ConfigMapSet, ConfigMaps, Fact, Labels},
};

const NOW: &str = "2026-06-01T12:00:00Z";

fn job(annotations: &str) -> String {
    format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job",
            "metadata":{{"name":"drop","annotations":{{{annotations}}}}},
            "spec":{{"template":{{"spec":{{"containers":[
            {{"name":"sql","image":"postgres:16","args":["psql","-c","DROP TABLE a"]}}]}}}}}}}}"#
    )
}

fn assess_at(annotations: &str) -> Standing {
    standing_of(&job(annotations), ConfigMaps::NONE)
}

/// What becomes of an object that destroys, with these ConfigMaps in reach.
fn standing_of(json: &str, config_maps: ConfigMaps<'_>) -> Standing {
    let object = Object::parse(json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    let labels = Labels::new();
    let facts = Facts { config_maps, ..Facts::new(Fact::Known(&labels)) };
    let subject = Subject {
        object: &object,
        detections: &detections,
        facts: &facts,
        namespace: "shop",
        requester: "",
        now: NOW.parse().unwrap(),
    };
    assess(&Requirements::default(), &subject).standing(Operation::Destructive).clone()
}

fn digest_of_it() -> String {
    digest(&Object::parse(&job("")).unwrap()).to_string()
}

fn approved(until: &str, digest: &str) -> String {
    format!(
        r#""tidegate.dev/approved-by":"alice@example.com","tidegate.dev/approval-ticket":"DB-1",
           "tidegate.dev/approved-namespace":"shop","tidegate.dev/approved-until":"{until}","tidegate.dev/approved-digest":"{digest}""#
    )
}

fn reasons(annotations: &str) -> Vec<String> {
    match assess_at(annotations) {
        Standing::Invalid { reasons, .. } => reasons,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_approval_holds() {
    let annotations = approved("2026-06-02T12:00:00Z", &digest_of_it());
    assert_eq!(assess_at(&annotations), Standing::Valid);
}

#[test]
fn without_one_the_text_says_what_to_annotate() {
    let Standing::Missing { ask } = assess_at("") else { panic!() };
    assert!(ask.contains(&digest_of_it()), "{ask}");
    assert!(ask.contains("tidegate.dev/approved-by"), "{ask}");
}

#[test]
fn expired_far_off_and_unreadable_times_do_not_hold() {
    for (until, reason) in [
        ("2026-06-01T12:00:00Z", "it ended at 2026-06-01T12:00:00Z"),
        ("2020-01-01T00:00:00Z", "it ended at 2020-01-01T00:00:00Z"),
        ("2099-01-01T00:00:00Z", "further away than the 72h"),
        ("tomorrow", "no RFC 3339 time"),
        ("2026-06-02", "no RFC 3339 time"),
    ] {
        let reasons = reasons(&approved(until, &digest_of_it()));
        assert!(reasons.len() == 1 && reasons[0].contains(reason), "{until}: {reasons:?}");
    }
}

#[test]
fn another_digest_or_an_empty_field_does_not_hold() {
    let other = reasons(&approved("2026-06-02T12:00:00Z", "sha256:00"));
    assert_eq!(other, ["`tidegate.dev/approved-digest` is for something else than what will run"]);
    let annotations =
        approved("2026-06-02T12:00:00Z", &digest_of_it()).replace("alice@example.com", "  ");
    assert_eq!(reasons(&annotations), ["`tidegate.dev/approved-by` is missing or empty"]);
}

/// What the rule about backups is told.
#[test]
fn a_backup_waiver_counts_only_inside_an_approval_that_holds() {
    let assess = |annotations: &str, separate| {
        let json = job(annotations);
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
        let labels = Labels::new();
        let facts = Facts::new(Fact::Known(&labels));
        let now = NOW.parse().unwrap();
        let (object, detections, facts) = (&object, detections.as_slice(), &facts);
        let subject = Subject { object, detections, facts, namespace: "shop", requester: "", now };
        let requirements =
            Requirements { separation_of_duties: Some(separate), ..Requirements::default() };
        assess(&requirements, &subject)
    };
    let good = approved("2026-06-02T12:00:00Z", &digest_of_it());
    let ended = approved("2026-05-02T12:00:00Z", &digest_of_it());
    let waiver = r#","tidegate.dev/backup-waiver":"never written""#;
    let of = |annotations: &str| {
        let approval = assess(annotations, false);
        format!("{:?}", approval.backup_waiver(Operation::Destructive))
    };
    assert_eq!(of(&good), "Absent");
    assert_eq!(of(&format!("{good}{waiver}")), r#"Holds { reason: "never written" }"#);
    assert_eq!(of(&format!("{ended}{waiver}")), "DoesNotHold");
    assert_eq!(of(waiver.trim_start_matches(',')), "DoesNotHold");
    assert_eq!(of(&format!("{good}{}", waiver.replace("never written", " "))), "Absent");
    let approval = assess(&format!("{good}{waiver}"), true);
    let undecided = approval.backup_waiver(Operation::Destructive);
    assert!(matches!(undecided, BackupWaiver::Undecided { why } if why.contains("not known here")));
    let backed = assess(r#""tidegate.dev/backup":" s3-1 ""#, false);
    assert_eq!(backed.backup(), Some("s3-1"));
}

/// An approval of the cluster that covers the Job of these tests.
fn granted() -> GrantedApproval {
    GrantedApproval {
        name: "g".to_owned(),
        namespace: "shop".to_owned(),
        approver: "alice@example.com".to_owned(),
        digest: digest_of_it(),
        content: None,
        job: None,
        ticket: Some("DB-1".to_owned()),
        reason: None,
        backup: None,
        backup_waiver: None,
        expires: "2026-06-02T12:00:00Z".parse().unwrap(),
        used_by: None,
    }
}

/// What is asked of the engine, as most tests ask it.
struct Asked {
    json: String,
    requirements: Requirements,
    requester: &'static str,
    namespace: &'static str,
}

impl Asked {
    fn of(json: String, requirements: Requirements) -> Self {
        Self { json, requirements, requester: "bob@example.com", namespace: "shop" }
    }

    fn assess(&self, approvals: Fact<&[GrantedApproval]>) -> Approval {
        let object = Object::parse(&self.json).unwrap();
        let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
        let labels = Labels::new();
        let facts = Facts { approvals, ..Facts::new(Fact::Known(&labels)) };
        let subject = Subject {
            object: &object,
            detections: &detections,
            facts: &facts,
            namespace: self.namespace,
            requester: self.requester,
            now: NOW.parse().unwrap(),
        };
        assess(&self.requirements, &subject)
    }

    /// What stands, as one text: `valid`, `missing`, `undecided: WHY` or the reasons.
    fn told(&self, approvals: Fact<&[GrantedApproval]>) -> String {
        match self.assess(approvals).standing(Operation::Destructive) {
            Standing::Valid => "valid".to_owned(),
            Standing::Missing { .. } => "missing".to_owned(),
            Standing::Undecided { why } => format!("undecided: {why}"),
            Standing::Invalid { reasons, .. } => reasons.join("; "),
            Standing::NotNeeded => "not needed".to_owned(),
        }
    }

    /// How somebody is asked for an approval.
    fn ask(&self, approvals: Fact<&[GrantedApproval]>) -> String {
        match self.assess(approvals).standing(Operation::Destructive) {
            Standing::Missing { ask } => ask.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// The requirements with something else in them.
fn requirements(change: impl FnOnce(&mut Requirements)) -> Requirements {
    let mut requirements = Requirements::default();
    change(&mut requirements);
    requirements
}

#[test]
fn an_approval_of_the_cluster_covers_one_migration_in_one_namespace() {
    let asked = Asked::of(job(""), Requirements::default());
    let other = format!("sha256:{}", "0".repeat(64));
    let with = |change: &dyn Fn(&mut GrantedApproval)| {
        let mut granted = granted();
        change(&mut granted);
        asked.told(Fact::Known(&[granted]))
    };
    assert_eq!(with(&|_| ()), "valid");
    assert_eq!(with(&|it| it.job = Some("dr*".to_owned())), "valid");
    assert_eq!(
        with(&|it| it.job = Some("other".to_owned())),
        "MigrationApproval `g` names another Job in `spec.job`"
    );
    assert_eq!(with(&|it| it.digest.clone_from(&other)), "missing", "it is for something else");
    let named = |it: &mut GrantedApproval| {
        it.job = Some("drop".to_owned());
        it.digest.clone_from(&other);
    };
    assert_eq!(
        with(&named),
        "`spec.digest` of MigrationApproval `g` is for something else than what will run"
    );
    let ended = |it: &mut GrantedApproval| it.expires = NOW.parse().unwrap();
    assert_eq!(with(&ended), "MigrationApproval `g` ended at 2026-06-01T12:00:00Z");
    assert_eq!(
        with(&|it| {
            named(it);
            ended(it);
        }),
        "missing",
        "nobody asks after an old one of the same Job"
    );
    assert_eq!(
        with(&|it| it.namespace = "stock".to_owned()),
        "`metadata.namespace` of MigrationApproval `g` names another namespace than `shop`"
    );
    assert_eq!(
        with(&|it| it.ticket = None),
        "`spec.ticket` of MigrationApproval `g` is missing or empty"
    );
    assert_eq!(
        with(&|it| it.approver.clear()),
        "`spec.approver` of MigrationApproval `g` is missing or empty"
    );

    let generated = job("").replace(r#""name":"drop""#, r#""generateName":"drop-""#);
    let generated = Asked::of(generated, requirements(|it| it.bind_to_digest = false));
    let mut granted = GrantedApproval { job: Some("drop-*".to_owned()), ..granted() };
    assert_eq!(
        generated.told(Fact::Known(std::slice::from_ref(&granted))),
        "`spec.digest` of MigrationApproval `g` is for something else than what will run"
    );
    granted.digest.clear();
    assert_eq!(
        generated.told(Fact::Known(&[granted])),
        "`spec.digest` of MigrationApproval `g` is missing",
        "where that of an annotation need not be there"
    );
}

#[test]
fn what_is_only_called_like_a_migration_asks_for_nothing() {
    let script = |text: &str| {
        let sql = r#""image":"postgres:16","args":["psql","-c","DROP TABLE a"]"#;
        let command = format!(r#""image":"shop:1","command":["sh","-c","{text}"]"#);
        job("").replace(sql, &command)
    };
    let standing = |text: &str| {
        let unknown = (GatedOperation::Unknown, OperationRequirements::default());
        let asked = Asked::of(script(text), requirements(|it| it.operations = [unknown].into()));
        asked.assess(Fact::NotAsked).standing(Operation::Unknown).clone()
    };
    let called = "flyway migrate && ./migrate.sh";
    assert_eq!(standing(called), Standing::NotNeeded);
    assert!(matches!(standing("flyway migrate && psql -f a.sql"), Standing::Missing { .. }));
}

#[test]
fn every_field_of_an_approval_resource_is_read() {
    let told = |field: ApprovalField, change: &dyn Fn(&mut GrantedApproval)| {
        let asked = Asked::of(job(""), requirements(|it| it.require = vec![field]));
        let mut granted = granted();
        change(&mut granted);
        asked.told(Fact::Known(&[granted]))
    };
    let text = || Some("said".to_owned());
    let of = |fields: &str| format!("{fields} of MigrationApproval `g` is missing or empty");
    assert_eq!(told(ApprovalField::Reason, &|_| ()), of("`spec.reason`"));
    assert_eq!(told(ApprovalField::Reason, &|it| it.reason = text()), "valid");
    let backup = of("`spec.backup` or `spec.backupWaiver`");
    assert_eq!(told(ApprovalField::Backup, &|_| ()), backup);
    assert_eq!(told(ApprovalField::Backup, &|it| it.backup = text()), "valid");
    assert_eq!(told(ApprovalField::Backup, &|it| it.backup_waiver = text()), "valid");
    assert_eq!(told(ApprovalField::Content, &|_| ()), of("`spec.content`"));
    assert_eq!(
        told(ApprovalField::Content, &|it| it.content = text()),
        "`spec.content` of MigrationApproval `g` is for something else than what its ConfigMaps hold"
    );
}

#[test]
fn of_several_approvals_that_fail_the_nearest_is_told_of() {
    let asked = Asked::of(job(""), Requirements::default());
    let near = GrantedApproval { name: "near".to_owned(), ticket: None, ..granted() };
    let next = GrantedApproval { name: "next".to_owned(), ..near.clone() };
    let far =
        GrantedApproval { name: "far".to_owned(), namespace: "stock".to_owned(), ..near.clone() };
    let missing = "`spec.ticket` of MigrationApproval `near` is missing or empty";
    for all in [[near.clone(), far.clone()], [far.clone(), near.clone()], [near.clone(), next]] {
        assert_eq!(asked.told(Fact::Known(&all)), missing);
    }
    let good = [far, near, granted()];
    assert_eq!(asked.told(Fact::Known(&good)), "valid", "one that holds is enough");
    assert_eq!(asked.assess(Fact::Known(&good)).granted(|_| true), ["g"]);
}

#[test]
fn an_approval_for_one_job_is_used_up_by_the_first() {
    let single = requirements(|it| {
        it.single_use = true;
        it.resources = ResourceUse::Require;
    });
    let with_uid = job("").replace(r#""name":"drop""#, r#""name":"drop","uid":"u-1""#);
    let used = "MigrationApproval `g` was used by another Job, and holds for one";
    for (json, by, want) in [
        (&with_uid, None, "valid"),
        (&with_uid, Some("u-1"), "valid"),
        (&with_uid, Some("u-2"), used),
        (&with_uid, Some(""), used),
        (&job(""), None, "valid"),
        // Two whose uids nobody knows may be two.
        (&job(""), Some(""), used),
    ] {
        let granted = GrantedApproval { used_by: by.map(str::to_owned), ..granted() };
        let asked = Asked::of(json.clone(), single.clone());
        assert_eq!(asked.told(Fact::Known(std::slice::from_ref(&granted))), want, "{by:?}");
        let many = Asked::of(json.clone(), Requirements::default());
        assert_eq!(many.told(Fact::Known(&[granted])), "valid", "it is for many: {by:?}");
    }
    let cron = job("").replace(r#""batch/v1","kind":"Job""#, r#""apps/v1","kind":"Deployment""#);
    let digest = digest(&Object::parse(&cron).unwrap()).to_string();
    assert_eq!(
        Asked::of(cron, single).told(Fact::Known(&[GrantedApproval { digest, ..granted() }])),
        "MigrationApproval `g` holds for one Job, and this is none"
    );
}

#[test]
fn the_api_server_knows_who_approved_and_who_asks() {
    let with = |approver: &str, requester: &'static str, separate: Option<bool>| {
        let requirements = requirements(|it| {
            it.require.clear();
            it.separation_of_duties = separate;
        });
        let asked = Asked { requester, ..Asked::of(job(""), requirements) };
        let granted = GrantedApproval { approver: approver.to_owned(), ..granted() };
        asked.told(Fact::Known(&[granted]))
    };
    let same = "whoever asks for it is the one who approved";
    assert!(with("alice", "alice", None).starts_with(same));
    assert!(with("alice", "ALICE", None).starts_with(same), "as far as people can tell");
    assert_eq!(with("alice", "alice", Some(false)), "valid");
    assert_eq!(with("alice", "bob", None), "valid");
    assert!(with("alice", "", None).starts_with("undecided: who will ask for it is not known"));
    let (a, b) = ("system:serviceaccount:a:argo", "system:serviceaccount:a:ARGO");
    assert_eq!(with(a, b, None), "valid", "names of programs are not made to deceive");
    assert!(with(b, b, None).starts_with(same));
    let nobody = "`spec.approver` of MigrationApproval `g` is missing or empty";
    assert_eq!(with("", "bob", None), nobody, "whatever the policy requires");
}

#[test]
fn the_policy_says_which_kind_of_approval_counts() {
    use ResourceUse::{Accept, Ignore, Require};

    let annotated = job(&approved("2026-06-02T12:00:00Z", &digest_of_it()));
    let ended = job(&approved("2026-06-01T12:00:00Z", &digest_of_it()));
    let good = [granted()];
    let bad = [GrantedApproval { ticket: None, ..granted() }];
    let (good, bad, none) = (Fact::Known(&good[..]), Fact::Known(&bad[..]), Fact::Known(&[][..]));
    let unknown = || Fact::Unknown("it does not answer".into());
    let may_be = "undecided: its approval may be in the cluster: it does not answer";
    let only = "undecided: only a cluster knows its MigrationApprovals";
    let ticket = "`spec.ticket` of MigrationApproval `g` is missing or empty";
    let late = "it ended at 2026-06-01T12:00:00Z";
    let both = format!("{late}; {ticket}");
    for (resources, json, approvals, want) in [
        (Accept, &job(""), good.clone(), "valid"),
        (Accept, &job(""), none.clone(), "missing"),
        (Accept, &job(""), Fact::NotAsked, "missing"),
        (Accept, &job(""), unknown(), may_be),
        (Accept, &annotated, unknown(), "valid"),
        (Accept, &annotated, bad.clone(), "valid"),
        (Accept, &ended, none.clone(), late),
        (Accept, &ended, bad.clone(), both.as_str()),
        (Accept, &ended, good.clone(), "valid"),
        // One that cannot be told may still hold.
        (Accept, &ended, unknown(), may_be),
        (Require, &annotated, good.clone(), "valid"),
        (Require, &annotated, none.clone(), "missing"),
        (Require, &annotated, Fact::NotAsked, only),
        (Require, &annotated, unknown(), may_be),
        (Require, &ended, bad.clone(), ticket),
        (Ignore, &job(""), good.clone(), "missing"),
        (Ignore, &job(""), unknown(), "missing"),
        (Ignore, &annotated, none.clone(), "valid"),
    ] {
        let asked = Asked::of(json.clone(), requirements(|it| it.resources = resources));
        assert_eq!(asked.told(approvals.clone()), want, "{resources:?} {approvals:?}");
    }
}

#[test]
fn whoever_is_asked_learns_what_this_policy_wants() {
    let digest = digest_of_it();
    let keys =
        "tidegate.dev/approved-by, tidegate.dev/approval-ticket, tidegate.dev/approved-until";
    let ask = |requirements, approvals| Asked::of(job(""), requirements).ask(approvals);
    assert_eq!(
        ask(Requirements::default(), Fact::NotAsked),
        format!(
            "have it approved: annotate it with {keys}, tidegate.dev/approved-namespace=shop and \
             tidegate.dev/approved-digest={digest}"
        )
    );
    assert_eq!(
        ask(requirements(|it| it.resources = ResourceUse::Require), Fact::Known(&[])),
        format!("have it approved with `kubectl tidegate approve` for {digest}")
    );
    let loose = |it: &mut Requirements| {
        it.bind_to_digest = false;
        it.bind_to_namespace = false;
        it.signatures.required = true;
    };
    assert_eq!(
        ask(requirements(loose), Fact::Known(&[])),
        format!(
            "have it approved with `kubectl tidegate approve`, or annotate it with {keys}, \
             tidegate.dev/approval-signature, for {digest}"
        )
    );
    let nowhere = Asked { namespace: "", ..Asked::of(job(""), Requirements::default()) };
    let told = nowhere.ask(Fact::NotAsked);
    assert!(!told.contains("approved-namespace"), "what stands in no namespace names none: {told}");
    let ignore = ask(requirements(|it| it.resources = ResourceUse::Ignore), Fact::Known(&[]));
    assert!(ignore.starts_with("have it approved: annotate it with "), "{ignore}");
}

/// What annotations come to without a cluster, under requirements with something else in them.
fn told(annotations: &str, change: &dyn Fn(&mut Requirements)) -> String {
    Asked::of(job(annotations), requirements(|it| change(it))).told(Fact::NotAsked)
}

#[test]
fn annotations_are_bound_to_what_the_policy_says() {
    let good = approved("2026-06-02T12:00:00Z", &digest_of_it());
    let without = |key: &str| {
        let fields: Vec<&str> = good.split(',').filter(|field| !field.contains(key)).collect();
        fields.join(",")
    };
    let unbound = |it: &mut Requirements| {
        it.bind_to_digest = false;
        it.bind_to_namespace = false;
    };
    for key in ["tidegate.dev/approved-digest", "tidegate.dev/approved-namespace"] {
        assert_eq!(told(&without(key), &|_| ()), format!("`{key}` is missing"));
        assert_eq!(told(&without(key), &unbound), "valid");
    }
    assert_eq!(
        told(&good.replace("sha256:", "sha256:0"), &unbound),
        "`tidegate.dev/approved-digest` is for something else than what will run"
    );
    assert_eq!(
        told(&good.replace("shop", "stock"), &unbound),
        "`tidegate.dev/approved-namespace` names another namespace than `shop`"
    );
    let cluster_scoped = job(&without("tidegate.dev/approved-namespace"));
    let nowhere = Asked { namespace: "", ..Asked::of(cluster_scoped, Requirements::default()) };
    assert_eq!(nowhere.told(Fact::NotAsked), "valid");
}

#[test]
fn annotations_are_read_by_people() {
    let good = approved("2026-06-02T12:00:00Z", &digest_of_it());
    let reason = |text: &str| format!(r#"{good},"tidegate.dev/approval-reason":"{text}""#);
    assert_eq!(told(&reason(&"x".repeat(LONGEST)), &|_| ()), "valid");
    assert_eq!(
        told(&reason(&"x".repeat(LONGEST + 1)), &|_| ()),
        "`tidegate.dev/approval-reason` is longer than 4096 bytes"
    );
    assert_eq!(
        told(&reason("a\u{200b}b"), &|_| ()),
        "`tidegate.dev/approval-reason` holds characters that cannot be seen"
    );
    let three = |it: &mut Requirements| it.min_reason_length = 3;
    assert_eq!(told(&reason("abc"), &three), "valid");
    assert_eq!(
        told(&reason("ab"), &three),
        "`tidegate.dev/approval-reason` is shorter than 3 characters"
    );
    let backup = |it: &mut Requirements| it.require = vec![ApprovalField::Backup];
    let backed = |key: &str| format!(r#"{good},"{key}":"s3-1""#);
    assert_eq!(
        told(&good, &backup),
        "`tidegate.dev/backup` or `tidegate.dev/backup-waiver` is missing or empty"
    );
    assert_eq!(told(&backed("tidegate.dev/backup"), &backup), "valid");
    assert_eq!(told(&backed("tidegate.dev/backup-waiver"), &backup), "valid");
    let listed = |pattern: &str| {
        let pattern = pattern.to_owned();
        told(&good, &move |it: &mut Requirements| it.approvers = vec![pattern.clone()])
    };
    assert_eq!(listed("*@example.com"), "valid");
    assert_eq!(
        listed("*@dba.example.com"),
        "`tidegate.dev/approved-by` names nobody who may approve"
    );
    let edge = |max_age: &str| {
        let max_age = MaxAge::try_from(max_age.to_owned()).unwrap();
        told(&good, &move |it: &mut Requirements| it.max_age = max_age)
    };
    assert_eq!(edge("24h"), "valid", "to the second");
    assert!(edge("23h59m").contains("further away than the 23h 59m"));
    let risk = told(&format!(r#"{good},"tidegate.dev/risk":"none""#), &|_| ());
    assert!(risk.starts_with("`tidegate.dev/risk` must be one of"), "{risk}");
}

#[test]
fn an_approval_of_content_holds_for_what_the_approver_saw() {
    let mounting = |annotations: &str| {
        let from = r#""envFrom":[{"configMapRef":{"name":"sql"}}],"args""#;
        job(annotations).replace(r#""args""#, from)
    };
    let mut seen = ConfigMapSet::default();
    seen.add("shop", "sql", 0, ConfigMap::parse(r#"{"data":{"a":"1"}}"#).unwrap());
    let mut altered = ConfigMapSet::default();
    altered.add("shop", "sql", 0, ConfigMap::parse(r#"{"data":{"a":"2"}}"#).unwrap());
    let plain = mounting("");
    let object = Object::parse(&plain).unwrap();
    let have = crate::policy::content(&object, seen.seen_from("shop", 0)).unwrap();
    let annotations = format!(
        r#"{},"tidegate.dev/approved-content":"{have}""#,
        approved("2026-06-02T12:00:00Z", &digest(&object).to_string())
    );
    let json = mounting(&annotations);
    let of = |config_maps: ConfigMaps<'_>| standing_of(&json, config_maps);
    assert_eq!(of(seen.seen_from("shop", 0)), Standing::Valid);
    let Standing::Invalid { reasons, .. } = of(altered.seen_from("shop", 0)) else { panic!() };
    assert_eq!(
        reasons,
        ["`tidegate.dev/approved-content` is for something else than what its ConfigMaps hold"]
    );
    let Standing::Undecided { why } = of(ConfigMaps::NONE) else { panic!() };
    assert!(why.contains("`sql` is not in reach"), "{why}");
}
