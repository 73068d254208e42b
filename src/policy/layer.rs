//! Policies of which one applies to a namespace, found without looking at each.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::RandomState},
    sync::Arc,
};

use super::{
    Policy,
    scope::{Match, Selection},
};
use crate::model::Facts;

/// Policies that are chosen from together, and where each stands.
///
/// Of a few hundred policies most say which namespaces they are for, and most reviews are none of their
/// business. Those that may be for a namespace are found by its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    /// Sorted by name.
    policies: Arc<[Arc<Policy>]>,
    index: Arc<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// By namespace, those that say it in full.
    named: HashMap<String, Vec<Arc<Policy>>, RandomState>,
    /// Those that have a pattern, with what stands before its first `*`; with nothing before it, those
    /// that say no names.
    patterns: Vec<(String, Arc<Policy>)>,
    needs_labels: bool,
}

impl Layer {
    pub(super) fn new(mut policies: Vec<Arc<Policy>>) -> Self {
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        let mut index = Index::default();
        for policy in &policies {
            index.needs_labels |= policy.scope.needs_labels();
            let names = &policy.scope.namespaces;
            if names.is_empty() {
                index.patterns.push((String::new(), Arc::clone(policy)));
            }
            for name in names {
                match name.split_once('*') {
                    Some((head, _)) => {
                        index.patterns.push((head.to_owned(), Arc::clone(policy)));
                    }
                    None => {
                        index.named.entry(name.clone()).or_default().push(Arc::clone(policy));
                    }
                }
            }
        }
        Self { policies: policies.into(), index: Arc::new(index) }
    }

    /// The policies, sorted by name.
    pub(super) fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// True when one of them needs the labels of namespaces.
    pub(super) fn needs_labels(&self) -> bool {
        self.index.needs_labels
    }

    /// The most specific of those that match, or may.
    pub(super) fn select(&self, namespace: &str, facts: &Facts<'_>) -> Option<Selection<'_>> {
        let Index { named, patterns, .. } = self.index.as_ref();
        let named = named.get(namespace).map_or(&[][..], Vec::as_slice);
        let patterns = patterns.iter().filter(|(head, _)| namespace.starts_with(head.as_str()));
        named
            .iter()
            .chain(patterns.map(|(_, policy)| policy))
            .filter_map(|policy| {
                let matched = policy.scope.matches(namespace, &facts.namespace_labels);
                (matched != Match::No).then_some((policy.as_ref(), matched))
            })
            .max_by_key(|(policy, _)| {
                // The level as it is written, so that lifting it changes nothing of what applies.
                (policy.scope.specificity(namespace), policy.spec.level.0, Reverse(&policy.name))
            })
            .map(|(policy, matched)| Selection {
                policy: Some(policy),
                uncertain: matched == Match::Perhaps,
            })
    }
}
