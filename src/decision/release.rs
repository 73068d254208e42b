//! What only shows beside the other objects of a release.

use std::collections::{BTreeMap, BTreeSet};

use super::{settle::Terms, verdict::Verdict};
use crate::{
    policy::{Policy, PolicySet},
    rules::{SetContext, SetFindings},
};

/// Judges the objects of a release beside each other: a verdict for each member, by its place, that
/// something was found in.
///
/// Each member is judged by the policy of its namespace, so a release that spans several is judged
/// by several. A member in a namespace without a policy is looked at, and nothing is said of it.
///
/// Total, and the same arguments always give the same verdicts.
pub fn validate_release(
    policies: &PolicySet,
    context: &SetContext<'_>,
) -> BTreeMap<usize, Verdict> {
    let members = &context.release.members;
    let selections: Vec<_> =
        members.iter().map(|member| policies.select(member.namespace, &member.facts)).collect();
    // Rules run once for each policy, with its parameters.
    let mut used: Vec<&Policy> = Vec::new();
    for policy in selections.iter().filter_map(|selection| selection.policy) {
        if !used.iter().any(|known| std::ptr::eq(*known, policy)) {
            used.push(policy);
        }
    }
    let mut verdicts = BTreeMap::new();
    for policy in used {
        let mut findings = SetFindings::default();
        for configured in &policy.rules {
            configured.check.check_set(context, &mut findings);
        }
        for (index, found) in findings.into_members() {
            let (Some(member), Some(selection)) = (members.get(index), selections.get(index))
            else {
                continue;
            };
            if !selection.policy.is_some_and(|own| std::ptr::eq(own, policy)) {
                continue;
            }
            let terms = Terms {
                policy,
                exceptions: policies.exceptions(),
                uncertain: selection.uncertain,
                namespace: member.namespace,
                now: context.now,
            };
            let judged = terms.settle(member.object, found, &BTreeSet::new());
            verdicts.insert(index, Verdict::of(judged, member.subject(), policy.name.clone()));
        }
    }
    verdicts
}
