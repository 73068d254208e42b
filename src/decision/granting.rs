//! What the policy of a namespace says of an approval that somebody makes in it.

use jiff::Timestamp;

use crate::{
    detect::Operation,
    model::{Facts, GrantedApproval},
    policy::{PolicySet, prospects},
    rules::Level,
};

/// The rules that ask for an approval: what they do without one is what becomes of one that is no use.
const ASKING: [&str; 2] = ["unapproved-destructive-migration", "unapproved-rollback"];

/// What becomes of an approval that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granting {
    /// The policy that applies.
    pub policy: Option<String>,
    /// Why it is refused, each a line; empty where it is not.
    pub refusals: Vec<String>,
    /// What whoever makes it is told.
    pub warnings: Vec<String>,
}

/// Holds an approval that is made against the policy of its namespace, so that whoever approves learns
/// at once what the Job would be told later.
///
/// It is refused where it can hold for no operation at all and the policy refuses what nobody approved.
/// Where it can hold for some, or the policy only warns, it is let in with a warning; a policy that only
/// reports is silent here too.
pub fn grant(
    policies: &PolicySet,
    granted: &GrantedApproval,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Granting {
    let selection = policies.select(&granted.namespace, facts);
    let Some(policy) = selection.policy else { return Granting::default() };
    let mut level = ASKING.map(|rule| policy.level_of(rule)).into_iter().max();
    if selection.uncertain {
        level = level.min(Some(policy.on_undecided.level()));
    }
    let prospects = prospects(&policy.approvals, granted, now);
    let is_hopeless = prospects.iter().all(|(_, against)| !against.is_empty());
    let granting = Granting { policy: Some(policy.name.clone()), ..Granting::default() };
    let lines = || lines(&policy.name, &prospects);
    match level {
        Some(Level::Deny) if is_hopeless => Granting { refusals: lines(), ..granting },
        Some(Level::Deny | Level::Warn) => Granting { warnings: lines(), ..granting },
        Some(Level::Audit | Level::Off) | None => granting,
    }
}

/// Every reason once, with the operations that it is for where it is not for all.
fn lines(policy: &str, prospects: &[(Operation, Vec<String>)]) -> Vec<String> {
    let mut reasons: Vec<&String> = Vec::new();
    for reason in prospects.iter().flat_map(|(_, against)| against) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let line = |reason: &String| {
        let of = prospects.iter().filter(|(_, against)| against.contains(reason));
        let of: Vec<&str> = of.map(|(operation, _)| operation.as_str()).collect();
        if of.len() == prospects.len() {
            format!("under policy `{policy}` {reason}")
        } else {
            format!("under policy `{policy}`, for {}, {reason}", of.join(" and "))
        }
    };
    reasons.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Fact,
        policy::{self},
    };

    const NOW: &str = "2026-06-01T12:00:00Z";

    fn granted(expires: &str) -> GrantedApproval {
        GrantedApproval {
            name: "drop".to_owned(),
            namespace: "shop".to_owned(),
            approver: "alice@example.com".to_owned(),
            digest: format!("sha256:{}", "a".repeat(64)),
            content: None,
            job: None,
            ticket: Some("DB-1".to_owned()),
            reason: None,
            backup: None,
            backup_waiver: None,
            expires: expires.parse().unwrap(),
            used_by: None,
        }
    }

    fn of(spec: &str, granted: &GrantedApproval) -> Granting {
        let text = format!(
            r#"{{"apiVersion":"tidegate.dev/v1alpha1","kind":"MigrationPolicy",
               "metadata":{{"name":"p"}},"spec":{spec}}}"#
        );
        let policies = PolicySet::new(policy::parse(&text, "p.yaml").unwrap());
        let facts = Facts::new(Fact::NotAsked);
        grant(&policies, granted, &facts, NOW.parse().unwrap())
    }

    #[test]
    fn what_the_job_would_be_told_is_told_whoever_approves() {
        let soon = granted("2026-06-02T12:00:00Z");
        assert_eq!(of("{}", &soon).refusals, [""; 0]);
        for (approvals, says) in [
            (r#"{"maxAge":"1h"}"#, "is further away than the 1h that the policy allows"),
            (r#"{"ticketPattern":"OPS-[0-9]+"}"#, "does not match `OPS-[0-9]+`"),
            (r#"{"approvers":["*@dba.example.com"]}"#, "names nobody who may approve"),
            (r#"{"require":["reason"]}"#, "`spec.reason` of MigrationApproval `drop` is missing"),
            (r#"{"require":["backup"]}"#, "`spec.backup` or `spec.backupWaiver` of"),
            (r#"{"resources":"Ignore"}"#, "no MigrationApproval counts, only annotations do"),
        ] {
            let told = of(&format!(r#"{{"approvals":{approvals}}}"#), &soon);
            assert_eq!((told.refusals.len(), told.warnings.len()), (1, 0), "{told:?}");
            assert_eq!(told.policy.as_deref(), Some("p"));
            let line = &told.refusals[0];
            assert!(line.starts_with("under policy `p` ") && line.contains(says), "{line}");
        }
    }

    #[test]
    fn the_level_of_the_rules_decides_what_becomes_of_it() {
        let late = granted("2026-07-01T12:00:00Z");
        let told = |level: &str| of(&format!(r#"{{"level":"{level}"}}"#), &late);
        let counts = |told: Granting| (told.refusals.len(), told.warnings.len());
        assert_eq!(counts(told("Deny")), (1, 0));
        assert_eq!(counts(told("Warn")), (0, 1));
        assert_eq!(counts(told("Audit")), (0, 0));
        assert_eq!(counts(told("Off")), (0, 0));
    }

    #[test]
    fn one_that_can_hold_for_something_is_let_in_with_a_warning_for_the_rest() {
        let operations = r#"{"approvals":{"operations":{"rollback":{"maxAge":"1h"}}}}"#;
        let told = of(operations, &granted("2026-06-02T12:00:00Z"));
        assert_eq!(told.refusals, [""; 0]);
        assert_eq!(told.warnings.len(), 1, "{told:?}");
        assert!(told.warnings[0].starts_with("under policy `p`, for rollback, "), "{told:?}");
    }

    #[test]
    fn without_a_policy_there_is_nothing_to_hold_it_against() {
        let elsewhere = r#"{"match":{"namespaces":["other"]}}"#;
        assert_eq!(of(elsewhere, &granted("2030-01-01T00:00:00Z")), Granting::default());
    }
}
