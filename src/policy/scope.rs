//! Which policy applies to a namespace.
//!
//! Of the policies that match, the one with the most specific match applies; never a merge of two.
//! From most to least specific:
//!
//! 1. `namespaces` that names the namespace without a wildcard
//! 2. `namespaceSelector`, the one with more requirements first
//! 3. `namespaces` with a wildcard, the longer literal part first
//! 4. neither: every namespace
//!
//! A policy that has both `namespaces` and `namespaceSelector` needs both to match and counts as
//! more specific than one with the same first and no second. Equal matches go to the stricter
//! level, then to the name that sorts first.
//!
//! Behind the policies stands a *base*: where none of them matches, the same order chooses from it. In a
//! cluster the `MigrationPolicy` objects are the policies and the files of the server the base.

use std::{cmp::Reverse, sync::Arc};

use super::{
    Policy,
    exception::{Exception, ExceptionSet},
    layer::Layer,
    load::Place,
    selector::Requirement,
};
use crate::{
    model::{Fact, Facts, Labels},
    rules,
    source::{did_you_mean, wildcard},
};

/// Which namespaces a policy is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Names, with `*` for any text; empty for every name.
    pub namespaces: Vec<String>,
    /// Names that are left out, with `*` for any text.
    pub exclude_namespaces: Vec<String>,
    /// What the namespace's labels must satisfy.
    pub selector: Vec<Requirement>,
}

/// Whether a scope is for a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    No,
    /// By name it matches; its labels would have to be known.
    Perhaps,
    Yes,
}

/// How specific a match is; greater is more specific. See the module's text.
pub(super) type Specificity = (u8, usize, usize);

impl Scope {
    /// True when the scope needs the labels of the namespace.
    pub fn needs_labels(&self) -> bool {
        !self.selector.is_empty()
    }

    pub(super) fn matches(&self, namespace: &str, labels: &Fact<&Labels>) -> Match {
        let is_like = |patterns: &[String]| patterns.iter().any(|it| wildcard(it, namespace));
        let named = self.namespaces.is_empty() || is_like(&self.namespaces);
        if !named || is_like(&self.exclude_namespaces) {
            return Match::No;
        }
        if self.selector.is_empty() {
            return Match::Yes;
        }
        match labels {
            Fact::Known(labels) => {
                let all = self.selector.iter().all(|requirement| {
                    requirement.matches(|key| labels.get(key).map(String::as_str))
                });
                if all { Match::Yes } else { Match::No }
            }
            Fact::Unknown(_) | Fact::NotAsked => Match::Perhaps,
        }
    }

    /// Why the scope matches a namespace, by what counts most.
    fn why(&self, namespace: &str) -> &'static str {
        match self.specificity(namespace) {
            (3, ..) => "its `namespaces` name this one",
            (2, ..) => "its `namespaceSelector` matches the labels",
            (1, ..) => "a pattern of its `namespaces` matches",
            _ => "it is for every namespace",
        }
    }

    /// Why the scope does not match a namespace.
    fn why_not(&self, namespace: &str) -> &'static str {
        if self.exclude_namespaces.iter().any(|pattern| wildcard(pattern, namespace)) {
            return "its `excludeNamespaces` leave this one out";
        }
        let named = self.namespaces.is_empty()
            || self.namespaces.iter().any(|pattern| wildcard(pattern, namespace));
        if named {
            "its `namespaceSelector` does not match the labels"
        } else {
            "its `namespaces` do not name this one"
        }
    }

    pub(super) fn specificity(&self, namespace: &str) -> Specificity {
        let requirements = self.selector.len();
        if self.namespaces.iter().any(|name| name == namespace) {
            return (3, requirements, 0);
        }
        let literal = self
            .namespaces
            .iter()
            .filter(|pattern| wildcard(pattern, namespace))
            .map(|pattern| pattern.chars().filter(|char| *char != '*').count())
            .max();
        match (requirements, literal) {
            (0, None) => (0, 0, 0),
            (0, Some(literal)) => (1, 0, literal),
            (requirements, literal) => (2, requirements, literal.unwrap_or(0)),
        }
    }
}

/// Every policy in force, and the exceptions from them.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Layer,
    base: Layer,
    exceptions: Arc<ExceptionSet>,
}

/// The policy that applies to one object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'p> {
    /// The policy; none when no policy is for this namespace.
    pub policy: Option<&'p Policy>,
    /// True when a missing fact leaves open whether this is the policy: then nothing that it
    /// would refuse is refused without `onUndecided`.
    pub uncertain: bool,
}

/// What one policy is to a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Considered<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// True for the one that applies.
    pub applies: bool,
    /// Why it applies, or why it does not: a clause that reads on after "because".
    pub why: &'static str,
}

impl PolicySet {
    /// A set of policies.
    pub fn new(policies: Vec<Policy>) -> Self {
        let policies = policies.into_iter().map(Arc::new).collect();
        Self { policies: Layer::new(policies), ..Self::default() }
    }

    /// These policies before those of this set, which become the base, with the same exceptions.
    #[must_use]
    pub fn behind(&self, policies: Vec<Arc<Policy>>) -> Self {
        Self {
            policies: Layer::new(policies),
            base: self.policies.clone(),
            exceptions: Arc::clone(&self.exceptions),
        }
    }

    /// The same policies with these exceptions, in place of those before.
    #[must_use]
    pub fn with_exceptions(&self, exceptions: ExceptionSet) -> Self {
        Self { exceptions: Arc::new(exceptions), ..self.clone() }
    }

    /// The same set with the ceiling of every policy lifted to `Deny`: what would be in force if all
    /// of them enforced. The same policy applies to a namespace as before.
    #[must_use]
    pub fn enforced(&self) -> Self {
        let lift = |layer: &Layer| {
            let lifted = layer.policies().iter().map(|policy| Arc::new(policy.enforced()));
            Layer::new(lifted.collect())
        };
        Self {
            policies: lift(&self.policies),
            base: lift(&self.base),
            exceptions: Arc::clone(&self.exceptions),
        }
    }

    /// The exceptions.
    pub fn exceptions(&self) -> &ExceptionSet {
        &self.exceptions
    }

    /// The policies, sorted by name, then those of the base.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.policies().iter().chain(self.base.policies()).map(AsRef::as_ref)
    }

    /// The rules of an exception that no policy knows: where each stands, and what may be meant.
    pub fn unknown_rules<'e>(&self, exception: &'e Exception) -> Vec<(&'e Place, String)> {
        let known = || {
            let custom = self.policies().flat_map(|policy| policy.custom.rules());
            rules::ALL.iter().map(|rule| rule.id).chain(custom.map(|rule| rule.id))
        };
        let unknown = exception.rules.iter().filter(|(id, _)| !known().any(|rule| rule == id));
        unknown
            .map(|(id, place)| {
                (place, format!("there is no rule `{id}`{}", did_you_mean(id, known())))
            })
            .collect()
    }

    /// True when some policy needs the labels of namespaces.
    pub fn needs_labels(&self) -> bool {
        self.policies.needs_labels() || self.base.needs_labels()
    }

    /// Every policy with what it is to a namespace, the one that applies first, then by how
    /// specific its match is.
    pub fn consider(&self, namespace: &str, facts: &Facts<'_>) -> Vec<Considered<'_>> {
        let selected = self.select(namespace, facts);
        let first = self.policies.policies().iter().map(|policy| (true, policy.as_ref()));
        let base = self.base.policies().iter().map(|policy| (false, policy.as_ref()));
        let mut all: Vec<_> = first
            .chain(base)
            .map(|(first, policy)| {
                let applies = selected.policy.is_some_and(|chosen| std::ptr::eq(chosen, policy));
                let matched = policy.scope.matches(namespace, &facts.namespace_labels);
                let why = match matched {
                    Match::No => policy.scope.why_not(namespace),
                    Match::Perhaps if applies => {
                        "its labels are not known, and it is the most specific that may match"
                    }
                    Match::Perhaps => "its labels are not known, and another is more specific",
                    Match::Yes if applies => policy.scope.why(namespace),
                    Match::Yes => "it matches, and another is more specific or stricter",
                };
                let rank = (
                    matched != Match::No,
                    first,
                    policy.scope.specificity(namespace),
                    policy.spec.level.0,
                    Reverse(&policy.name),
                );
                (Reverse(rank), Considered { policy, applies, why })
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, considered)| considered).collect()
    }

    /// The policy for a namespace; for a cluster-scoped object the name is empty.
    pub fn select(&self, namespace: &str, facts: &Facts<'_>) -> Selection<'_> {
        let base = || self.base.select(namespace, facts);
        self.policies.select(namespace, facts).or_else(base).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{built_in, parse};

    fn policy(name: &str, spec: &str) -> Policy {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        );
        parse(&text, "test.yaml").unwrap().remove(0)
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn selected(set: &PolicySet, namespace: &str, labels: &Labels) -> String {
        let facts = Facts::new(Fact::Known(labels));
        set.select(namespace, &facts).policy.map(|policy| policy.name.clone()).unwrap_or_default()
    }

    #[test]
    fn a_set_that_enforces_chooses_as_before_and_refuses_by_the_rules_alone() {
        use crate::rules::Level::{Audit, Deny, Warn};
        let set = PolicySet::new(vec![
            policy("a", "{level: Audit, rules: {root-migration: {level: Warn}}}"),
            policy("b", "{level: Warn}"),
            policy("dark", "{level: 'Off', match: {namespaces: [dark]}}"),
        ]);
        let enforced = set.enforced();
        let none = Labels::new();
        let facts = Facts::new(Fact::Known(&none));
        for (namespace, name) in [("shop", "b"), ("dark", "dark")] {
            assert_eq!(selected(&set, namespace, &none), name);
            let chosen = enforced.select(namespace, &facts).policy.unwrap();
            assert_eq!((chosen.name.as_str(), chosen.level), (name, Deny));
        }
        let level = |of: &PolicySet, rule| of.policies().next().unwrap().level_of(rule);
        assert_eq!(level(&set, "inline-credentials"), Audit);
        assert_eq!(level(&enforced, "inline-credentials"), Deny);
        assert_eq!(level(&enforced, "root-migration"), Warn, "its own level stays");
    }

    #[test]
    fn the_most_specific_match_applies() {
        let set = PolicySet::new(vec![
            policy("every", "{}"),
            policy("wild", "{match: {namespaces: ['team-*']}}"),
            policy("wilder", "{match: {namespaces: ['team-shop-*']}}"),
            policy("exact", "{match: {namespaces: [team-shop-live]}}"),
            policy("labelled", "{match: {namespaceSelector: {matchLabels: {env: live}}}}"),
            policy("both", "{match: {namespaceSelector: {matchLabels: {env: live, tier: db}}}}"),
        ]);
        let none = labels(&[]);
        let live = labels(&[("env", "live")]);
        let database = labels(&[("env", "live"), ("tier", "db")]);
        for (namespace, labels, want) in [
            ("other", &none, "every"),
            ("team-a", &none, "wild"),
            ("team-shop-test", &none, "wilder"),
            ("team-shop-live", &none, "exact"),
            ("team-shop-live", &database, "exact"),
            ("team-a", &live, "labelled"),
            ("team-a", &database, "both"),
        ] {
            assert_eq!(selected(&set, namespace, labels), want, "{namespace} {labels:?}");
        }
    }

    #[test]
    fn the_base_applies_where_no_policy_matches() {
        let base = PolicySet::new(vec![policy("named", "{match: {namespaces: [shop, kiosk]}}")]);
        let first = policy("every", "{match: {excludeNamespaces: [kiosk]}}");
        let set = base.behind(vec![Arc::new(first)]);
        assert_eq!(selected(&set, "shop", &labels(&[])), "every", "however specific the base is");
        assert_eq!(selected(&set, "kiosk", &labels(&[])), "named");
        assert_eq!(selected(&base.behind(Vec::new()), "shop", &labels(&[])), "named");
        let facts = Facts::new(Fact::NotAsked);
        let considered = set.consider("shop", &facts);
        let order: Vec<_> =
            considered.iter().map(|it| (it.policy.name.as_str(), it.applies)).collect();
        assert_eq!(order, [("every", true), ("named", false)]);
    }

    #[test]
    fn an_excluded_namespace_is_not_matched_and_the_built_in_policy_leaves_the_system_alone() {
        let set = PolicySet::new(vec![built_in()]);
        assert_eq!(selected(&set, "kube-system", &labels(&[])), "");
        assert_eq!(selected(&set, "shop", &labels(&[])), "default");
    }

    proptest::proptest! {
        /// `consider` asks every policy, `select` only those that may be meant.
        #[test]
        fn what_is_found_by_name_is_what_every_policy_was_asked_for(
            specs in proptest::collection::vec(written(), 0..8),
            first in 0..8_usize,
            namespace in proptest::sample::select(&["shop", "shop-a", "kiosk", ""][..]),
            known in proptest::option::of(proptest::bool::ANY),
        ) {
            let mut policies: Vec<_> = specs.iter().enumerate().collect();
            let base = policies.split_off(first.min(policies.len()));
            let read = |(index, spec): &(usize, &String)| policy(&format!("p{index}"), spec);
            let base = PolicySet::new(base.iter().map(read).collect());
            let set = base.behind(policies.iter().map(|it| Arc::new(read(it))).collect());
            let labels = labels(if known == Some(true) { &[("env", "live")] } else { &[] });
            let facts = Facts::new(known.map_or(Fact::NotAsked, |_| Fact::Known(&labels)));
            let considered = set.consider(namespace, &facts);
            let asked = considered
                .iter()
                .find(|it| it.policy.scope.matches(namespace, &facts.namespace_labels) != Match::No)
                .map(|it| (it.policy.name.as_str(), it.applies));
            let chosen = set.select(namespace, &facts).policy.map(|policy| (policy.name.as_str(), true));
            proptest::prop_assert_eq!(asked, chosen);
        }
    }

    /// The spec of some policy.
    fn written() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::{collection::vec, sample::select, strategy::Strategy as _};
        let names = || vec(select(&["shop", "shop-a", "kiosk", "shop*", "*-a", "*"][..]), 0..3);
        let level = select(&["Audit", "Warn", "Deny"][..]);
        let selector = select(&["", ", namespaceSelector: {matchLabels: {env: live}}"][..]);
        (names(), names(), level, selector).prop_map(|(named, excluded, level, selector)| {
            format!(
                "{{level: {level}, match: {{namespaces: {named:?}, excludeNamespaces: {excluded:?}{selector}}}}}"
            )
        })
    }

    #[test]
    fn equal_matches_go_to_the_stricter_level() {
        let set = PolicySet::new(vec![
            policy("a", "{level: Warn}"),
            policy("b", "{level: Deny}"),
            policy("c", "{level: Deny}"),
        ]);
        assert_eq!(selected(&set, "x", &labels(&[])), "b");
    }

    #[test]
    fn unknown_labels_leave_a_selector_uncertain_and_an_exact_name_certain() {
        let set = PolicySet::new(vec![
            policy("every", "{level: Audit}"),
            policy("labelled", "{match: {namespaceSelector: {matchLabels: {env: live}}}}"),
            policy("exact", "{match: {namespaces: [shop]}}"),
        ]);
        let facts = Facts::new(Fact::Unknown("nobody asked".into()));
        let other = set.select("other", &facts);
        assert_eq!(other.policy.map(|policy| policy.name.as_str()), Some("labelled"));
        assert!(other.uncertain);
        let shop = set.select("shop", &facts);
        assert_eq!(shop.policy.map(|policy| policy.name.as_str()), Some("exact"));
        assert!(!shop.uncertain);
    }
}
