//! What a policy and the annotations say about each object of a release.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use json_patch::PatchOperation;

use super::mutate;
use crate::{
    detect::{Confidence, Operation},
    model::{Change, annotation},
    plan::{
        Member,
        report::{Approved, Assessed, Basis, NamedBackup, StepRisk},
    },
    policy::{PolicySet, Subject, assess},
    rules::{Approval, BackupWaiver, Standing},
};

/// Where mutation fills in the deadline of a Job.
const DEADLINE: &str = "/spec/activeDeadlineSeconds";

/// What is known about a member of a release beside its place: what it does, as far as it is
/// declared or found, whether that is approved, and what admission would fill in. `json` is its
/// manifest. What rules find is added by whoever judges.
///
/// Total, and the same arguments always give the same answer.
pub fn assess_member(
    policies: &PolicySet,
    member: &Member<'_>,
    json: &str,
    now: Timestamp,
) -> Assessed {
    let mut fingerprint = DefaultHasher::new();
    json.hash(&mut fingerprint);
    let mut assessed = Assessed { fingerprint: fingerprint.finish(), ..Assessed::default() };
    let selection = policies.select(member.namespace, &member.facts);
    let Some(policy) = selection.policy else {
        assessed.risk = risk(member, &Approval::default());
        return assessed;
    };
    let subject = Subject {
        object: member.object,
        detections: &member.detections,
        facts: &member.facts,
        namespace: member.namespace,
        requester: "",
        now,
    };
    let approval = assess(&policy.approvals, &subject);
    assessed.risk = risk(member, &approval);
    assessed.approval = approved(&approval, member, now);
    assessed.backup = backup(&approval, assessed.risk);
    if member.is_job() && member.is_hook() {
        let name = member.object.metadata.display_name();
        let change = Change::create(member.namespace, name, json);
        let patch = mutate(policies, &change, &member.facts).patch;
        assessed.filled_in_deadline = patch.0.iter().find_map(|operation| match operation {
            PatchOperation::Add(add) if add.path.as_str() == DEADLINE => add.value.as_u64(),
            _ => None,
        });
    }
    assessed
}

/// What an object does to a database: what was found or, where that counts, what it declares.
fn risk(member: &Member<'_>, approval: &Approval) -> Option<StepRisk> {
    let declared = approval.declared_risk();
    let certain: Vec<_> = member
        .migrations()
        .flat_map(|migration| &migration.invocations)
        .filter(|it| it.confidence > Confidence::Name && it.operation.is_migration())
        .collect();
    let found = certain.iter().map(|it| it.operation).max();
    let Some(found) = found.or_else(|| member.asks_operator_for()) else {
        let operation = declared.filter(|operation| operation.is_migration())?;
        return Some(StepRisk { operation, basis: Basis::Declared });
    };
    let operation = certain.iter().map(|it| approval.operation(it)).max().unwrap_or(found);
    let basis = match declared {
        Some(declared) if declared == found => Basis::Confirmed,
        _ if operation == found => Basis::Found,
        _ => Basis::Declared,
    };
    Some(StepRisk { operation, basis })
}

/// The worst of what stands for the operations that need an approval.
fn approved(approval: &Approval, member: &Member<'_>, now: Timestamp) -> Approved {
    let read = |key: &str| {
        let text = member.object.metadata.annotation(key).map(str::trim);
        text.filter(|text| !text.is_empty())
    };
    let until = || read(annotation::UNTIL).and_then(|text| text.parse::<Timestamp>().ok());
    let standing = |(_, standing): (Operation, &Standing)| match standing {
        Standing::NotNeeded => Approved::NotNeeded,
        Standing::Valid => {
            Approved::Valid { by: read(annotation::APPROVED_BY).map(str::to_owned), until: until() }
        }
        Standing::Undecided { why } => Approved::Undecided { why: why.clone() },
        Standing::Missing { .. } => Approved::Missing,
        Standing::Invalid { reasons, .. } => match until().filter(|until| *until <= now) {
            Some(until) => Approved::Expired { until },
            None => Approved::Invalid { reasons: reasons.clone() },
        },
    };
    let rank = |approved: &Approved| match approved {
        Approved::NotNeeded | Approved::NoPolicy => 0,
        Approved::Valid { .. } => 1,
        Approved::Undecided { .. } => 2,
        Approved::Expired { .. } | Approved::Invalid { .. } => 3,
        Approved::Missing => 4,
    };
    approval.standings().map(standing).max_by_key(rank).unwrap_or(Approved::NotNeeded)
}

fn backup(approval: &Approval, risk: Option<StepRisk>) -> NamedBackup {
    let operation = risk.map_or(Operation::Unknown, |risk| risk.operation);
    match approval.backup_waiver(operation) {
        BackupWaiver::Holds { .. } => NamedBackup::Waived,
        _ if approval.backup().is_some() => NamedBackup::Named,
        BackupWaiver::DoesNotHold => NamedBackup::WaiverDoesNotHold,
        BackupWaiver::Undecided { .. } => NamedBackup::WaiverUndecided,
        BackupWaiver::Absent => NamedBackup::None,
    }
}
