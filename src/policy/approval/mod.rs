//! Approvals: a statement by a named person that covers one exact migration until one moment.

mod requirements;

use std::fmt::Write as _;

use jiff::Timestamp;

pub use requirements::{
    ApprovalField, GatedOperation, MaxAge, OperationRequirements, Requirements, TicketPattern,
};

use super::{
    content,
    digest::digest,
    name::{self, Letters},
    signature::{SIGNED, signed_text},
};
use crate::{
    detect::{Confidence, Detection, Operation},
    model::{Facts, Object, annotation},
    rules::{Approval, Risk, Standing},
};
use requirements::Effective;

/// Annotations that say that somebody approved something. A ticket or a reason alone does too:
/// whoever writes one means to have an approval, and is told what it lacks.
const GIVEN: [&str; 7] = [
    annotation::APPROVED_BY,
    annotation::TICKET,
    annotation::REASON,
    annotation::DIGEST,
    annotation::CONTENT,
    annotation::UNTIL,
    annotation::SIGNATURE,
];

/// The longest value of an approval's annotation that is read, in bytes; of a signature, see
/// [`signature`](super::signature).
const LONGEST: usize = 4_096;

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

/// Reads what the annotations of an object approve and declare.
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
            approval.standings.insert(operation.operation(), reader.standing(effective));
        }
    }
    approval
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

/// What is the same for every operation of one object.
struct Reader<'s> {
    subject: &'s Subject<'s>,
    digest: String,
    /// Whether the signature is good, checked once.
    signature: Result<(), String>,
}

/// What speaks against an approval.
#[derive(Default)]
struct Against {
    /// What is wrong.
    reasons: Vec<String>,
    /// What cannot be told.
    open: Vec<String>,
}

impl<'s> Reader<'s> {
    fn new(requirements: &Requirements, subject: &'s Subject<'s>) -> Self {
        let mut reader =
            Self { subject, digest: digest(subject.object).to_string(), signature: Ok(()) };
        reader.signature = requirements.signatures.check(
            reader.read(annotation::SIGNATURE),
            reader.read(annotation::APPROVED_BY),
            &signed_text(|key| reader.read(key)),
            subject.now,
        );
        reader
    }

    /// The annotation without the white space around it, which YAML's block scalars leave there.
    fn raw(&self, key: &str) -> Option<&'s str> {
        self.subject.object.metadata.annotation(key).map(str::trim)
    }

    /// The annotation, where it says something.
    fn read(&self, key: &str) -> Option<&'s str> {
        self.raw(key).filter(|value| !value.is_empty())
    }

    fn standing(&self, needs: Effective<'_>) -> Standing {
        if !GIVEN.iter().any(|key| self.raw(key).is_some()) {
            return Standing::Missing { ask: self.ask(needs) };
        }
        let mut against = Against::default();
        self.texts(needs, &mut against);
        self.approver(needs, &mut against);
        self.bindings(needs, &mut against);
        self.content(&mut against);
        against.reasons.extend(self.until(needs).err());
        against.reasons.extend(self.signature.clone().err());
        if !against.reasons.is_empty() {
            return Standing::Invalid { reasons: against.reasons, ask: self.ask(needs) };
        }
        if against.open.is_empty() {
            Standing::Valid
        } else {
            Standing::Undecided { why: against.open.join(", and ") }
        }
    }

    /// What is required is there, and everything that is there can be read by people.
    fn texts(&self, needs: Effective<'_>, against: &mut Against) {
        for field in needs.require {
            let keys = field.annotations();
            if keys.iter().all(|key| self.read(key).is_none()) {
                let keys = keys.join("` or `");
                against.reasons.push(format!("`{keys}` is missing or empty"));
            }
        }
        for key in SIGNED {
            let Some(value) = self.read(key) else { continue };
            if value.len() > LONGEST {
                against.reasons.push(format!("`{key}` is longer than {LONGEST} bytes"));
            } else if !name::is_plain(value) {
                against.reasons.push(format!("`{key}` holds characters that cannot be seen"));
            }
        }
        if let (Some(pattern), Some(ticket)) =
            (&needs.all.ticket_pattern, self.read(annotation::TICKET))
            && !pattern.matches(ticket)
        {
            let key = annotation::TICKET;
            against.reasons.push(format!("`{key}` does not match `{}`", pattern.as_str()));
        }
        let least = needs.all.min_reason_length;
        for key in [annotation::REASON, annotation::BACKUP_WAIVER] {
            if self.read(key).is_some_and(|reason| reason.chars().count() < least) {
                against.reasons.push(format!("`{key}` is shorter than {least} characters"));
            }
        }
        against.reasons.extend(declared(self.subject.object).and_then(Result::err));
    }

    fn approver(&self, needs: Effective<'_>, against: &mut Against) {
        let Some(approver) = self.read(annotation::APPROVED_BY) else { return };
        let key = annotation::APPROVED_BY;
        let listed = |pattern: &String| name::fits(pattern, approver, Letters::Ascii);
        if !needs.approvers.is_empty() && !needs.approvers.iter().any(listed) {
            let odd = name::oddity(approver);
            against.reasons.push(format!("`{key}` names nobody who may approve{odd}"));
        }
        if !needs.all.separation_of_duties {
            return;
        }
        match self.subject.requester {
            "" => against.open.push(
                "who will ask for it is not known here, and whoever asks may not be the approver"
                    .to_owned(),
            ),
            requester if name::may_be_same(requester, approver) => {
                let odd = name::oddity(approver);
                against.reasons.push(format!(
                    "whoever asks for it is the one who approved, as far as `{key}` tells{odd}"
                ));
            }
            _ => {}
        }
    }

    /// What it was approved for, and where.
    fn bindings(&self, needs: Effective<'_>, against: &mut Against) {
        let key = annotation::DIGEST;
        match self.read(key) {
            None if needs.all.bind_to_digest => {
                against.reasons.push(format!("`{key}` is missing"));
            }
            Some(text) if text != self.digest => {
                against.reasons.push(format!("`{key}` is for something else than what will run"));
            }
            _ => {}
        }
        let key = annotation::NAMESPACE;
        let namespace = self.subject.namespace;
        match self.read(key) {
            None if needs.all.bind_to_namespace && !namespace.is_empty() => {
                against.reasons.push(format!("`{key}` is missing"));
            }
            Some(text) if text != namespace => {
                against.reasons.push(format!("`{key}` names another namespace than `{namespace}`"));
            }
            _ => {}
        }
    }

    /// What the approver saw of the ConfigMaps against what they hold.
    fn content(&self, against: &mut Against) {
        let key = annotation::CONTENT;
        let Some(text) = self.read(key) else { return };
        match content(self.subject.object, self.subject.facts.config_maps) {
            Err(why) => against.open.push(format!("`{key}` cannot be compared: {why}")),
            Ok(have) if have.to_string() != text => against
                .reasons
                .push(format!("`{key}` is for something else than what its ConfigMaps hold")),
            Ok(_) => {}
        }
    }

    fn until(&self, needs: Effective<'_>) -> Result<(), String> {
        let (key, now) = (annotation::UNTIL, self.subject.now);
        let text = self.read(key).ok_or_else(|| format!("`{key}` is missing"))?;
        let until: Timestamp = text.parse().map_err(|_error| {
            format!("`{key}` is no RFC 3339 time such as 2026-01-31T18:00:00Z")
        })?;
        if until <= now {
            return Err(format!("it ended at {until}"));
        }
        let max_age = needs.max_age;
        if until.duration_since(now) > max_age.0 {
            return Err(format!(
                "`{key}` is further away than the {max_age} that the policy allows"
            ));
        }
        Ok(())
    }

    /// What to ask for, in a form that can be pasted.
    fn ask(&self, needs: Effective<'_>) -> String {
        let mut keys: Vec<&str> =
            needs.require.iter().filter_map(|field| field.annotations().first().copied()).collect();
        keys.push(annotation::UNTIL);
        if needs.all.signatures.required {
            keys.push(annotation::SIGNATURE);
        }
        let mut ask = format!("have it approved: annotate it with {}", keys.join(", "));
        if needs.all.bind_to_namespace && !self.subject.namespace.is_empty() {
            let _ = write!(ask, ", {}={}", annotation::NAMESPACE, self.subject.namespace);
        }
        if needs.all.bind_to_digest {
            let _ = write!(ask, " and {}={}", annotation::DIGEST, self.digest);
        }
        ask
    }
}

#[cfg(test)]
mod tests;
