//! Holds the approvals of one object against what the policy asks for.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{
    Subject, declared,
    requirements::{ApprovalField, Effective, Requirements, ResourceUse},
    statement::Statement,
};
use crate::{
    model::{Fact, GrantedApproval, WorkloadKind, annotation},
    policy::{
        content::content,
        digest::digest,
        name::{self, Letters},
        signature::{SIGNED, signed_text},
    },
    rules::{Grant, Standing},
    source::wildcard,
};

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

/// The longest field of an approval that is read, in bytes; of a signature, see
/// [`signature`](crate::policy::Signatures).
pub(super) const LONGEST: usize = 4_096;

/// What is the same for every operation of one object.
pub(super) struct Reader<'s> {
    subject: &'s Subject<'s>,
    pub(super) digest: String,
    /// Whether the signature is good, checked once.
    signature: Result<(), String>,
}

/// Whether an operation is approved, and by what.
pub(super) struct Covered {
    pub(super) standing: Standing,
    /// Whether the annotations cover it.
    pub(super) annotated: bool,
    /// The approval resource that covers it.
    pub(super) grant: Option<Grant>,
}

/// What speaks against an approval.
#[derive(Default)]
struct Against {
    /// What is wrong.
    reasons: Vec<String>,
    /// What cannot be told.
    open: Vec<String>,
}

impl Against {
    fn holds(&self) -> bool {
        self.reasons.is_empty() && self.open.is_empty()
    }
}

/// What the approval resources of the namespace come to.
enum Granted<'s> {
    /// None of them is meant.
    Nothing,
    /// One holds.
    Holds(&'s GrantedApproval),
    /// Some are meant; this speaks against the best of them.
    Fails(Against),
}

impl<'s> Reader<'s> {
    pub(super) fn new(requirements: &Requirements, subject: &'s Subject<'s>) -> Self {
        let annotations = Statement::Annotations(subject.object);
        let signature = requirements.signatures.check(
            annotations.read(annotation::SIGNATURE),
            annotations.read(annotation::APPROVED_BY),
            &signed_text(|key| annotations.read(key)),
            subject.now,
        );
        Self { subject, digest: digest(subject.object).to_string(), signature }
    }

    /// Either kind of approval is enough where the policy takes both.
    pub(super) fn covered(&self, needs: Effective<'_>) -> Covered {
        let annotated = match needs.all.resources {
            ResourceUse::Require => None,
            ResourceUse::Accept | ResourceUse::Ignore => self.annotated(needs),
        };
        let holds = annotated.as_ref().is_some_and(Against::holds);
        let granted = match needs.all.resources {
            ResourceUse::Ignore => Granted::Nothing,
            ResourceUse::Accept | ResourceUse::Require => self.granted(needs),
        };
        let (grant, failed) = match granted {
            Granted::Nothing => (None, None),
            Granted::Holds(granted) => (Some(granted), None),
            Granted::Fails(against) => (None, Some(against)),
        };
        if holds || grant.is_some() {
            let grant = grant.map(|granted| Grant {
                name: granted.name.clone(),
                backup: granted.backup.clone(),
                waiver: granted.backup_waiver.clone(),
                single_use: needs.all.single_use,
            });
            return Covered { standing: Standing::Valid, annotated: holds, grant };
        }
        let failed: Vec<Against> = annotated.into_iter().chain(failed).collect();
        // One that cannot be told may still hold, whatever speaks against the other.
        let open = failed.iter().find(|against| against.reasons.is_empty());
        let standing = match open {
            Some(Against { open, .. }) => Standing::Undecided { why: open.join(", and ") },
            None if failed.is_empty() => Standing::Missing { ask: self.ask(needs) },
            None => {
                let reasons = failed.into_iter().flat_map(|against| against.reasons).collect();
                Standing::Invalid { reasons, ask: self.ask(needs) }
            }
        };
        Covered { standing, annotated: false, grant: None }
    }

    /// What speaks against the annotations; `None` where they approve nothing.
    fn annotated(&self, needs: Effective<'_>) -> Option<Against> {
        let statement = Statement::Annotations(self.subject.object);
        GIVEN.iter().any(|key| statement.raw(key).is_some()).then(|| {
            let mut against = self.check(statement, needs);
            against.reasons.extend(declared(self.subject.object).and_then(Result::err));
            against.reasons.extend(self.signature.clone().err());
            against
        })
    }

    fn granted(&self, needs: Effective<'_>) -> Granted<'s> {
        let all = match &self.subject.facts.approvals {
            Fact::Known(all) => *all,
            Fact::Unknown(why) => {
                let open = vec![format!("its approval may be in the cluster: {why}")];
                return Granted::Fails(Against { open, ..Against::default() });
            }
            // A file has no cluster around it: where annotations count, they are all there is.
            Fact::NotAsked if needs.all.resources != ResourceUse::Require => {
                return Granted::Nothing;
            }
            Fact::NotAsked => {
                let open = vec!["only a cluster knows its MigrationApprovals".to_owned()];
                return Granted::Fails(Against { open, ..Against::default() });
            }
        };
        let mut best: Option<Against> = None;
        for granted in all.iter().filter(|granted| self.is_meant(granted)) {
            let mut against = self.check(Statement::Resource(granted), needs);
            self.use_of(granted, needs, &mut against);
            if against.holds() {
                return Granted::Holds(granted);
            }
            let weight = |against: &Against| (against.reasons.len(), against.open.len());
            if best.as_ref().is_none_or(|best| weight(&against) < weight(best)) {
                best = Some(against);
            }
        }
        best.map_or(Granted::Nothing, Granted::Fails)
    }

    /// True for an approval of what will run, and for one that names this very Job: then somebody
    /// wants to know why it does not hold.
    fn is_meant(&self, granted: &GrantedApproval) -> bool {
        let names = granted.job.as_ref().is_some_and(|job| self.is_called(job));
        granted.digest == self.digest || (names && granted.expires > self.subject.now)
    }

    fn is_called(&self, pattern: &str) -> bool {
        let metadata = &self.subject.object.metadata;
        [&metadata.name, &metadata.generate_name]
            .iter()
            .any(|name| !name.is_empty() && wildcard(pattern, name))
    }

    /// Which Job it is for.
    fn use_of(&self, granted: &GrantedApproval, needs: Effective<'_>, against: &mut Against) {
        let name = Statement::Resource(granted).name();
        if granted.job.as_ref().is_some_and(|job| !self.is_called(job)) {
            against.reasons.push(format!("{name} names another Job in `spec.job`"));
        }
        if !needs.all.single_use {
            return;
        }
        let own: &str = &self.subject.object.metadata.uid;
        if self.subject.object.workload != WorkloadKind::Job {
            against.reasons.push(format!("{name} holds for one Job, and this is none"));
        } else if granted.used_by.as_deref().is_some_and(|uid| uid != own || own.is_empty()) {
            against.reasons.push(format!("{name} was used by another Job, and holds for one"));
        }
    }

    fn check(&self, statement: Statement<'_>, needs: Effective<'_>) -> Against {
        let mut against = Against::default();
        texts(statement, needs, &mut against);
        listed(statement, needs, &mut against);
        self.approver(statement, needs, &mut against);
        self.bindings(statement, needs, &mut against);
        self.content(statement, &mut against);
        against.reasons.extend(until(statement, needs, self.subject.now).err());
        against
    }

    fn approver(&self, statement: Statement<'_>, needs: Effective<'_>, against: &mut Against) {
        let Some(approver) = statement.read(annotation::APPROVED_BY) else { return };
        let call = statement.call(&[annotation::APPROVED_BY]);
        let authenticated = matches!(statement, Statement::Resource(_));
        if !needs.all.separation_of_duties.unwrap_or(authenticated) {
            return;
        }
        let same = |requester: &str| {
            // The API server tells both names. Those of programs are made by Kubernetes, so that
            // none is written to look like another.
            let program = authenticated && requester.starts_with("system:");
            requester == approver || (!program && name::may_be_same(requester, approver))
        };
        match self.subject.requester {
            "" => against.open.push(
                "who will ask for it is not known here, and whoever asks may not be the approver"
                    .to_owned(),
            ),
            requester if same(requester) => {
                let odd = name::oddity(approver);
                against.reasons.push(format!(
                    "whoever asks for it is the one who approved, as far as {call} tells{odd}"
                ));
            }
            _ => {}
        }
    }

    /// What it was approved for, and where.
    fn bindings(&self, statement: Statement<'_>, needs: Effective<'_>, against: &mut Against) {
        let key = annotation::DIGEST;
        let call = statement.call(&[key]);
        match statement.read(key) {
            // That of a resource may not be left out, whatever the policy says of annotations.
            None if needs.all.bind_to_digest || matches!(statement, Statement::Resource(_)) => {
                against.reasons.push(format!("{call} is missing"));
            }
            Some(text) if text != self.digest => {
                against.reasons.push(format!("{call} is for something else than what will run"));
            }
            _ => {}
        }
        let key = annotation::NAMESPACE;
        let call = statement.call(&[key]);
        let namespace = self.subject.namespace;
        match statement.read(key) {
            None if needs.all.bind_to_namespace && !namespace.is_empty() => {
                against.reasons.push(format!("{call} is missing"));
            }
            Some(text) if text != namespace => {
                against.reasons.push(format!("{call} names another namespace than `{namespace}`"));
            }
            _ => {}
        }
    }

    /// What the approver saw of the ConfigMaps against what they hold.
    fn content(&self, statement: Statement<'_>, against: &mut Against) {
        let key = annotation::CONTENT;
        let Some(text) = statement.read(key) else { return };
        let call = statement.call(&[key]);
        match content(self.subject.object, self.subject.facts.config_maps) {
            Err(why) => against.open.push(format!("{call} cannot be compared: {why}")),
            Ok(have) if have.to_string() != text => against
                .reasons
                .push(format!("{call} is for something else than what its ConfigMaps hold")),
            Ok(_) => {}
        }
    }

    /// What to ask for, in a form that can be pasted; the digest is its last word.
    fn ask(&self, needs: Effective<'_>) -> String {
        let digest = &self.digest;
        let in_cluster = self.subject.facts.approvals != Fact::NotAsked;
        let mut ask = match needs.all.resources {
            ResourceUse::Require => {
                return format!("have it approved with `kubectl tidegate approve` for {digest}");
            }
            ResourceUse::Accept if in_cluster => {
                "have it approved with `kubectl tidegate approve`, or annotate it with "
            }
            ResourceUse::Accept | ResourceUse::Ignore => "have it approved: annotate it with ",
        }
        .to_owned();
        let mut keys: Vec<&str> =
            needs.require.iter().filter_map(|field| field.annotations().first().copied()).collect();
        keys.push(annotation::UNTIL);
        if needs.all.signatures.required {
            keys.push(annotation::SIGNATURE);
        }
        ask.push_str(&keys.join(", "));
        if needs.all.bind_to_namespace && !self.subject.namespace.is_empty() {
            let _ = write!(ask, ", {}={}", annotation::NAMESPACE, self.subject.namespace);
        }
        if needs.all.bind_to_digest {
            let _ = write!(ask, " and {}={digest}", annotation::DIGEST);
        } else {
            let _ = write!(ask, ", for {digest}");
        }
        ask
    }
}

/// What speaks against an approval resource whatever it is held against.
pub(super) fn beforehand(
    granted: &GrantedApproval,
    needs: Effective<'_>,
    now: Timestamp,
) -> Vec<String> {
    if needs.all.resources == ResourceUse::Ignore {
        return vec!["no MigrationApproval counts, only annotations do".to_owned()];
    }
    let statement = Statement::Resource(granted);
    let mut against = Against::default();
    texts(statement, needs, &mut against);
    listed(statement, needs, &mut against);
    against.reasons.extend(until(statement, needs, now).err());
    against.reasons
}

/// The approver is one of those who may.
fn listed(statement: Statement<'_>, needs: Effective<'_>, against: &mut Against) {
    let key = annotation::APPROVED_BY;
    let Some(approver) = statement.read(key) else { return };
    let is_listed = |pattern: &String| name::fits(pattern, approver, Letters::Ascii);
    if !needs.approvers.is_empty() && !needs.approvers.iter().any(is_listed) {
        let (call, odd) = (statement.call(&[key]), name::oddity(approver));
        against.reasons.push(format!("{call} names nobody who may approve{odd}"));
    }
}

/// It ends, neither before now nor too late.
fn until(statement: Statement<'_>, needs: Effective<'_>, now: Timestamp) -> Result<(), String> {
    let until = statement.end()?;
    if until <= now {
        return Err(format!("{} ended at {until}", statement.name()));
    }
    let max_age = needs.max_age;
    if until.duration_since(now) > max_age.0 {
        let call = statement.call(&[annotation::UNTIL]);
        return Err(format!("{call} is further away than the {max_age} that the policy allows"));
    }
    Ok(())
}

/// What is required is there, and everything that is there can be read by people.
fn texts(statement: Statement<'_>, needs: Effective<'_>, against: &mut Against) {
    // An approval resource that nobody is behind is no approval, whatever the policy asks for.
    let implied = match statement {
        Statement::Resource(_) if !needs.require.contains(&ApprovalField::ApprovedBy) => {
            Some(&ApprovalField::ApprovedBy)
        }
        _ => None,
    };
    for field in needs.require.iter().chain(implied) {
        let keys = field.annotations();
        if keys.iter().all(|key| statement.read(key).is_none()) {
            against.reasons.push(format!("{} is missing or empty", statement.call(keys)));
        }
    }
    for key in SIGNED {
        let Some(value) = statement.read(key) else { continue };
        let call = || statement.call(&[key]);
        if value.len() > LONGEST {
            against.reasons.push(format!("{} is longer than {LONGEST} bytes", call()));
        } else if !name::is_plain(value) {
            against.reasons.push(format!("{} holds characters that cannot be seen", call()));
        }
    }
    let key = annotation::TICKET;
    if let (Some(pattern), Some(ticket)) = (&needs.all.ticket_pattern, statement.read(key))
        && !pattern.matches(ticket)
    {
        let call = statement.call(&[key]);
        against.reasons.push(format!("{call} does not match `{}`", pattern.as_str()));
    }
    let least = needs.all.min_reason_length;
    for key in [annotation::REASON, annotation::BACKUP_WAIVER] {
        if statement.read(key).is_some_and(|reason| reason.chars().count() < least) {
            let call = statement.call(&[key]);
            against.reasons.push(format!("{call} is shorter than {least} characters"));
        }
    }
}
