use super::*;
use serde_json::{Value, json};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn approval(name: &str, uid: &str, status: &Value) -> Raw {
    let text = json!({"apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationApproval",
        "metadata": {"name": name, "namespace": "shop", "uid": uid, "generation": 1,
            "creationTimestamp": "2026-06-01T12:00:00Z"},
        "spec": {"digest": DIGEST, "expires": "2026-06-02T12:00:00Z", "approver": "alice"},
        "status": status});
    serde_json::from_value(text).unwrap()
}

fn ran(uid: &str, began: &str) -> Seen {
    let job = JobReference { namespace: "shop".into(), name: "drop".into(), uid: uid.to_owned() };
    Seen { job, digest: DIGEST.to_owned(), began: began.parse().unwrap() }
}

fn filled(raw: &[Raw]) -> Approvals {
    let approvals = Approvals::watched();
    {
        let mut state = approvals.state.lock().unwrap();
        for raw in raw {
            state.read(raw, &approval_kind());
        }
        approvals.publish(&mut state, Instant::now());
    }
    approvals.synced.store(true, Ordering::Release);
    approvals
}

fn used(approvals: &Approvals, now: Instant) -> Vec<Option<String>> {
    let Fact::Known(all) = approvals.of("shop", now) else { panic!("not known") };
    all.iter().map(|granted| granted.used_by.clone()).collect()
}

#[test]
fn an_approval_is_spent_once_and_is_free_again_where_no_job_came_of_it() {
    let approvals = filled(&[approval("a", "u", &json!({}))]);
    let (start, names) = (Instant::now(), ["a".to_owned()]);
    assert!(approvals.spend("shop", &names, "job-1", start));
    assert!(approvals.spend("shop", &names, "job-1", start), "the same Job again");
    assert!(!approvals.spend("shop", &names, "job-2", start));
    assert!(!approvals.spend("shop", &["b".to_owned()], "job-2", start), "there is no such");
    assert_eq!(used(&approvals, start), [Some("job-1".to_owned())]);
    let later = start + SPENT;
    assert_eq!(used(&approvals, later), [None]);
    assert!(approvals.spend("shop", &names, "", later));
    assert!(!approvals.spend("shop", &names, "", later), "nobody knows whether it is the same");
}

#[test]
fn the_first_job_that_runs_under_an_approval_uses_it() {
    let approvals = filled(&[approval("a", "u", &json!({})), approval("b", "v", &json!({}))]);
    let mut state = approvals.state.lock().unwrap();
    assert!(!state.use_by(ran("old", "2026-06-01T11:59:59Z")), "it ran before");
    assert!(!state.use_by(ran("late", "2026-06-02T12:00:00Z")), "it ran after");
    assert!(state.use_by(ran("one", "2026-06-01T12:00:00Z")));
    assert!(!state.use_by(ran("one", "2026-06-01T12:00:00Z")), "it is told again");
    assert!(!state.use_by(ran("two", "2026-06-01T12:00:00Z")), "it used both");
    let by: Vec<_> = state.of("shop").map(|entry| entry.used_by().cloned().unwrap().uid).collect();
    assert_eq!(by, ["one", "one"]);
    // Another object of the same name is another approval; the same one stays used.
    state.read(&approval("a", "u", &json!({})), &approval_kind());
    state.read(&approval("b", "w", &json!({})), &approval_kind());
    let by: Vec<_> = state.of("shop").map(|entry| entry.used_by().is_some()).collect();
    assert_eq!(by, [true, false]);
}

#[test]
fn a_status_says_what_became_of_it_and_is_written_once() {
    let approvals = filled(&[approval("a", "u", &json!({}))]);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (due, next) = approvals.due(at("2026-06-01T13:00:00Z"));
    assert_eq!(next, Some(at("2026-06-02T12:00:00Z")));
    let (key, uid, status) = due.into_iter().next().unwrap();
    let said = |status: &ApprovalStatus| {
        let all = status.conditions.iter();
        all.map(|it| format!("{}={}", it.kind, it.status)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(said(&status), "Ready=True Used=False Expired=False");
    approvals.wrote(&key, &uid, status);
    assert!(approvals.due(at("2026-06-01T14:00:00Z")).0.is_empty(), "it says so already");
    approvals.state.lock().unwrap().use_by(ran("one", "2026-06-01T14:00:00Z"));
    let (due, _) = approvals.due(at("2026-06-02T12:00:00Z"));
    let (_, _, later) = &due[0];
    assert_eq!(said(later), "Ready=False Used=True Expired=True");
    assert_eq!(later.used_by.as_ref().unwrap().uid, "one");
    let mut fourth = approval("a", "u", &serde_json::to_value(later).unwrap());
    fourth.metadata.generation = Some(1);
    approvals.state.lock().unwrap().read(&fourth, &approval_kind());
    assert!(approvals.due(at("2026-06-02T13:00:00Z")).0.is_empty());
}

#[test]
fn a_suspended_job_uses_nothing_and_a_resumed_one_began_when_it_was_resumed() {
    let job = |spec: &str, status: &str| {
        format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"drop",
            "namespace":"shop","uid":"j","creationTimestamp":"2026-06-01T10:00:00Z"}},
            "spec":{{{spec}"template":{{"spec":{{"containers":[]}}}}}},"status":{status}}}"#
        )
    };
    let began = |text: &str| {
        let raw: Raw = serde_json::from_str(text).unwrap();
        seen(&raw, text).map(|seen| seen.began.to_string())
    };
    assert_eq!(began(&job(r#""suspend":true,"#, "{}")), None);
    assert_eq!(began(&job("", "{}")).unwrap(), "2026-06-01T10:00:00Z");
    let resumed = job("", r#"{"startTime":"2026-06-01T15:00:00Z"}"#);
    assert_eq!(began(&resumed).unwrap(), "2026-06-01T15:00:00Z");
}

#[test]
fn what_has_not_been_read_is_not_known() {
    let now = Instant::now();
    assert_eq!(Approvals::default().of("shop", now), Fact::NotAsked);
    assert!(matches!(Approvals::watched().of("shop", now), Fact::Unknown(_)));
    assert_eq!(filled(&[]).of("shop", now), Fact::Known(Arc::default()));
}
