//! Approvals: a statement by a named person that covers one exact migration until one moment.
//!
//! Whoever approves writes annotations on the Job, or an object of the cluster beside it. Both say
//! the same things, so one reader holds both against the policy.

mod reader;
mod requirements;
mod resource;
mod statement;

use jiff::Timestamp;

pub use requirements::{
    ApprovalField, GatedOperation, MaxAge, OperationRequirements, Requirements, ResourceUse,
    TicketPattern,
};
pub use resource::{
    ApprovalMeta, ApprovalSpec, ApprovalStatus, JobReference, MigrationApproval, approval_schema,
    read_approval,
};

use crate::{
    detect::{Confidence, Detection, Operation},
    model::{Facts, GrantedApproval, Object, annotation},
    rules::{Approval, Risk},
};
use reader::{Covered, Reader};

/// What an approval is held against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The object that carries it.
    pub object: &'s Object<'s>,
    /// What its containers do.
    pub detections: &'s [Detection<'s>],
    /// What the cluster, or the set, knows.
    pub facts: &'s Facts<'s>,
    /// The namespace that the object goes to; empty when it is cluster-scoped.
    pub namespace: &'s str,
    /// The user who asks the API server; empty where nobody asks yet.
    pub requester: &'s str,
    /// The present.
    pub now: Timestamp,
}

/// Reads what the annotations of an object and the approvals of its namespace approve, and what the
/// annotations declare.
///
/// Nothing is worked out for an operation that the object does not do, so that an object that
/// needs no approval costs next to nothing.
pub fn assess(requirements: &Requirements, subject: &Subject<'_>) -> Approval {
    let read = |key: &str| {
        let value = subject.object.metadata.annotation(key)?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let mut approval = Approval {
        risk: declared(subject.object)
            .and_then(Result::ok)
            .map(|operation| Risk { operation, may_lower: requirements.risk_may_lower }),
        backup: read(annotation::BACKUP),
        waiver: read(annotation::BACKUP_WAIVER),
        ..Approval::default()
    };
    let mut wanted: Vec<Operation> = subject
        .detections
        .iter()
        .filter(|detection| detection.is_migration())
        .flat_map(|detection| &detection.invocations)
        .filter(|invocation| invocation.confidence > Confidence::Name)
        .map(|invocation| approval.operation(invocation))
        .chain(approval.declared_risk())
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut reader = None;
    for operation in GatedOperation::ALL {
        if let Some(effective) = requirements.of(operation)
            && wanted.contains(&operation.operation())
        {
            let reader = reader.get_or_insert_with(|| Reader::new(requirements, subject));
            let operation = operation.operation();
            let Covered { standing, annotated, grant } = reader.covered(effective);
            approval.standings.insert(operation, standing);
            approval.granted.extend(grant.map(|grant| (operation, grant)));
            if annotated {
                approval.annotated.insert(operation);
            }
        }
    }
    approval.digest = reader.map(|reader| reader.digest);
    approval
}

/// What speaks against an approval resource before anything asks for it, for each operation that needs
/// an approval: required fields, patterns, who may approve, and when it ends. Who will ask and what
/// ConfigMaps will hold nobody knows yet.
pub fn prospects(
    requirements: &Requirements,
    granted: &GrantedApproval,
    now: Timestamp,
) -> Vec<(Operation, Vec<String>)> {
    let of = |operation: GatedOperation| {
        let needs = requirements.of(operation)?;
        Some((operation.operation(), reader::beforehand(granted, needs, now)))
    };
    GatedOperation::ALL.into_iter().filter_map(of).collect()
}

/// What `tidegate.dev/risk` declares; `Err` for a word that is no operation.
fn declared(object: &Object<'_>) -> Option<Result<Operation, String>> {
    let word = object.metadata.annotation(annotation::RISK)?;
    Some(Operation::from_declared(word).ok_or_else(|| {
        format!(
            "`{}` must be one of destructive, contract, rollback, declarative, unknown, apply, \
             history-only, data",
            annotation::RISK
        )
    }))
}

#[cfg(test)]
mod tests;
