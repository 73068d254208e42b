//! Exceptions: what one rule is allowed to find in some objects of one namespace, until a moment.
//!
//! ```text
//! YAML -> MigrationException (strict, with positions) -> Exception -> ExceptionSet (by namespace)
//! ```

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    approval::MaxAge,
    document::{LabelSelector, NamespacedMeta, Status},
    load::{Loader, Place},
    selector::{self, Requirement},
};
use crate::{model::Object, source::wildcard};

/// The `kind` of an exception.
pub(super) const KIND: &str = "MigrationException";

/// Longest reason, in characters: it is a sentence, not an archive.
const REASON_LENGTH: usize = 1_000;
/// Longest ticket, in characters: it stands in messages.
const TICKET_LENGTH: usize = 100;

/// What rules may find in some objects of a namespace until a moment, and why.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationException {
    /// `tidegate.dev/v1alpha1`.
    pub api_version: String,
    /// `MigrationException`.
    pub kind: String,
    /// The usual metadata; the name and the namespace are read.
    pub metadata: NamespacedMeta,
    /// What the exception says.
    pub spec: ExceptionSpec,
    /// What a cluster says about it; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What an exception says.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExceptionSpec {
    /// Ids of the rules whose findings are excused; at least one.
    #[schemars(length(min = 1))]
    pub rules: Vec<String>,
    /// The objects of the namespace in which they are excused. All that is given must match, and
    /// something must be given: `names: ['*']` stands for every object.
    #[serde(rename = "match")]
    pub matches: ObjectMatch,
    /// Why, for those who read it later.
    #[schemars(length(min = 1, max = 1000))]
    pub reason: String,
    /// The ticket under which it will be mended. A policy may demand one, and does by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub ticket: Option<String>,
    /// The moment from which it excuses nothing any more, RFC 3339, such as
    /// `2026-03-31T00:00:00Z`.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires: String,
}

/// Which objects of a namespace are meant. All that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ObjectMatch {
    /// Kinds, such as `Deployment` or, with its group, `apps/Deployment`. Left out: every kind.
    pub kinds: Vec<String>,
    /// Names; `*` stands for any text. Where the API server makes the name, `generateName` counts.
    /// Left out: every name.
    pub names: Vec<String>,
    /// What the labels of the object must satisfy.
    pub selector: LabelSelector,
}

/// What a policy demands of exceptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExceptionTerms {
    /// Whether any exception is honoured. Default: true.
    pub allow: bool,
    /// The longest time from now until an exception expires, such as `2160h`: one that expires
    /// later excuses nothing, so that none is made for ever. Default: `2160h`, 90 days.
    #[schemars(with = "String")]
    pub max_age: MaxAge,
    /// Fields that must be there and not empty, besides the reason. Default: `[ticket]`.
    pub require: Vec<ExceptionField>,
    /// Rules that exceptions may name although they guard data. Without it, no exception excuses
    /// what an approval exists for: rules whose ids start with `unapproved-` or `destructive-`.
    /// Default: none.
    pub also: Vec<String>,
}

/// A field of an exception that a policy may require.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExceptionField {
    /// `spec.ticket`.
    Ticket,
}

impl Default for ExceptionTerms {
    fn default() -> Self {
        Self {
            allow: true,
            max_age: MaxAge(SignedDuration::from_hours(2_160)),
            require: vec![ExceptionField::Ticket],
            also: Vec::new(),
        }
    }
}

/// True for a rule that guards data with an approval or a backup: an exception, which covers
/// whatever will run, is no substitute for them.
pub fn guards_data(rule: &str) -> bool {
    rule.starts_with("unapproved-") || rule.starts_with("destructive-")
}

/// An exception as it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// `metadata.name`.
    pub name: String,
    /// The namespace that it is for; none while the file leaves it to whoever installs it.
    pub namespace: Option<String>,
    /// Ids of the rules, each with where it stands.
    pub rules: Vec<(String, Place)>,
    /// Kinds, each with its group if that was given; empty for every kind.
    pub kinds: Vec<(Option<String>, String)>,
    /// Names, with `*` for any text; empty for every name.
    pub names: Vec<String>,
    /// What the labels must satisfy.
    pub selector: Vec<Requirement>,
    /// Why.
    pub reason: String,
    /// The ticket, if there is one.
    pub ticket: Option<String>,
    /// From when on it excuses nothing.
    pub expires: Timestamp,
    /// Where it stands.
    pub place: Place,
}

impl Exception {
    /// True when it is for findings of `rule` in `object`, whether it holds or not.
    pub fn covers(&self, rule: &str, object: &Object<'_>) -> bool {
        let gvk = object.gvk();
        let labels = object.metadata.labels.as_ref();
        let is_kind = |(group, kind): &(Option<String>, String)| {
            kind == gvk.kind && group.as_ref().is_none_or(|group| group == gvk.group)
        };
        let name = object.metadata.display_name();
        self.rules.iter().any(|(id, _)| id == rule)
            && (self.kinds.is_empty() || self.kinds.iter().any(is_kind))
            && (self.names.is_empty() || self.names.iter().any(|known| wildcard(known, name)))
            && self
                .selector
                .iter()
                .all(|requirement| requirement.matches(|key| labels.and_then(|all| all.get(key))))
    }

    /// Whether it excuses findings of `rule` at `now` under a policy.
    ///
    /// # Errors
    ///
    /// Why it does not: a clause that reads on after "because".
    pub fn holds(&self, terms: &ExceptionTerms, rule: &str, now: Timestamp) -> Result<(), String> {
        if !terms.allow {
            return Err("the policy honours no exceptions".to_owned());
        }
        if guards_data(rule) && !terms.also.iter().any(|listed| listed == rule) {
            return Err("the policy lets no exception stand in for an approval or a backup".into());
        }
        if self.expires <= now {
            return Err(format!("it expired at {}", self.expires));
        }
        if self.expires.duration_since(now) > terms.max_age.0 {
            return Err(format!(
                "it expires at {}, further away than the {} that the policy allows",
                self.expires, terms.max_age
            ));
        }
        let needs_ticket = terms.require.contains(&ExceptionField::Ticket);
        if needs_ticket && self.ticket.is_none() {
            return Err("the policy demands a ticket and it names none".to_owned());
        }
        Ok(())
    }

    /// `exception legacy (SHOP-12)`.
    pub fn title(&self) -> String {
        match &self.ticket {
            Some(ticket) => format!("exception `{}` ({ticket})", self.name),
            None => format!("exception `{}`", self.name),
        }
    }
}

/// What an exception makes of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excuse {
    /// The exception.
    pub exception: Arc<Exception>,
    /// Why it does not hold; none when it does.
    pub fails: Option<String>,
}

impl Excuse {
    /// What it comes to: a clause with the name, the ticket and the end of the exception.
    pub fn text(&self) -> String {
        let Self { exception, fails } = self;
        match fails {
            None => format!("excused by {} until {}", exception.title(), exception.expires),
            Some(why) => format!("{} does not hold, because {why}", exception.title()),
        }
    }
}

/// Every exception in force, by namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExceptionSet {
    by_namespace: BTreeMap<String, Vec<Arc<Exception>>>,
}

impl ExceptionSet {
    /// A set of exceptions; one without a namespace is for `namespace`.
    pub fn new(exceptions: impl IntoIterator<Item = Exception>, namespace: &str) -> Self {
        let mut by_namespace: BTreeMap<String, Vec<Arc<Exception>>> = BTreeMap::new();
        for exception in exceptions {
            let home = exception.namespace.clone().unwrap_or_else(|| namespace.to_owned());
            by_namespace.entry(home).or_default().push(Arc::new(exception));
        }
        for all in by_namespace.values_mut() {
            // So that which of two is named never depends on the order of files.
            all.sort_by(|a, b| (&a.name, &a.place).cmp(&(&b.name, &b.place)));
        }
        Self { by_namespace }
    }

    /// Every exception, by namespace and then by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Exception>)> {
        let all = self.by_namespace.iter();
        all.flat_map(|(namespace, all)| all.iter().map(move |one| (namespace.as_str(), one)))
    }

    /// What becomes of a finding of `rule` in `object`: the first exception that covers it and
    /// holds, else the first that covers it.
    pub fn excuse(
        &self,
        terms: &ExceptionTerms,
        namespace: &str,
        object: &Object<'_>,
        rule: &str,
        now: Timestamp,
    ) -> Option<Excuse> {
        let mut first = None;
        let all = self.by_namespace.get(namespace)?.iter();
        for exception in all.filter(|exception| exception.covers(rule, object)) {
            let fails = exception.holds(terms, rule, now).err();
            let holds = fails.is_none();
            let excuse = Excuse { exception: Arc::clone(exception), fails };
            if holds {
                return Some(excuse);
            }
            first.get_or_insert(excuse);
        }
        first
    }
}

/// Checks and compiles an exception; errors go to the loader.
pub(super) fn compile(loader: &mut Loader<'_>, document: MigrationException) -> Exception {
    let MigrationException { metadata, spec, .. } = document;
    let ExceptionSpec { rules, matches, reason, ticket, expires } = spec;
    if metadata.name.trim().is_empty() {
        loader.fail("metadata.name", "must not be empty");
    }
    if metadata.namespace.as_deref().is_some_and(|namespace| namespace.trim().is_empty()) {
        loader.fail("metadata.namespace", "must not be empty");
    }
    if rules.is_empty() {
        loader.fail("spec.rules", "must name at least one rule");
    }
    if matches == ObjectMatch::default() {
        let message = "must say which objects are meant; `names: ['*']` stands for all";
        loader.fail("spec.match", message);
    }
    check_text(loader, "spec.reason", &reason, REASON_LENGTH);
    if let Some(ticket) = &ticket {
        check_text(loader, "spec.ticket", ticket, TICKET_LENGTH);
    }
    let expires = expires.trim().parse::<Timestamp>().unwrap_or_else(|_error| {
        let message = format!("`{expires}` is no RFC 3339 time such as 2026-03-31T00:00:00Z");
        loader.fail("spec.expires", message);
        Timestamp::UNIX_EPOCH
    });
    let place = loader.place("spec.rules");
    Exception {
        name: metadata.name,
        namespace: metadata.namespace,
        rules: compile_rules(loader, rules),
        kinds: compile_kinds(loader, "spec.match.kinds", &matches.kinds),
        selector: selector::compile(loader, "spec.match.selector", &matches.selector),
        names: matches.names,
        reason,
        ticket,
        expires,
        place,
    }
}

pub(super) fn check_text(loader: &mut Loader<'_>, field: &str, text: &str, most: usize) {
    if text.trim().is_empty() {
        loader.fail(field, "must not be empty");
    }
    if text.chars().count() > most {
        loader.fail(field, format!("has more than {most} characters"));
    }
}

/// Which rules there are is not known here: policies bring some of their own.
fn compile_rules(loader: &mut Loader<'_>, ids: Vec<String>) -> Vec<(String, Place)> {
    let mut rules = Vec::new();
    for (index, id) in ids.into_iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        if id == super::UNREADABLE_OBJECT {
            loader.fail(&field, "what cannot be read is never excused: nobody knows what it does");
        } else if !super::is_rule_id(&id) {
            loader.fail(&field, format!("`{id}` is no id of a rule: they are in kebab-case"));
        }
        rules.push((id, loader.place(&field)));
    }
    rules
}

/// `Kind` or `group/Kind`; a version in it is a common mistake.
pub(super) fn compile_kinds(
    loader: &mut Loader<'_>,
    field: &str,
    kinds: &[String],
) -> Vec<(Option<String>, String)> {
    let mut compiled = Vec::new();
    for (index, text) in kinds.iter().enumerate() {
        let (group, kind) = match text.rsplit_once('/') {
            Some((group, kind)) => (Some(group), kind),
            None => (None, text.as_str()),
        };
        let is_kind = kind.starts_with(|first: char| first.is_ascii_uppercase())
            && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_kind || group.is_some_and(|group| !selector::is_subdomain(group)) {
            let field = format!("{field}[{index}]");
            let message = format!(
                "`{text}` is no kind such as `Deployment` or `apps/Deployment`, without a version"
            );
            loader.fail(&field, message);
        }
        compiled.push((group.map(str::to_owned), kind.to_owned()));
    }
    compiled
}

#[cfg(test)]
mod tests {
    use crate::policy::read;

    fn errors(spec: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationException\nmetadata: {{name: e}}\nspec:\n{spec}\n"
        );
        read(&text, "e.yaml").unwrap_err().iter().map(ToString::to_string).collect()
    }

    const WHOLE: &str = "  rules: [root-migration]\n  match: {names: [a]}\n  reason: why\n  ticket: A-1\n  expires: 2026-03-31T00:00:00Z";

    #[test]
    fn errors_name_line_column_field_and_the_nearest_name() {
        for (from, to, want) in [
            ("reason:", "reson:", "e.yaml:7:3: spec.reson: unknown field `reson`, expected one"),
            ("  reason: why\n", "", "e.yaml:4:1: spec: missing field `reason`"),
            ("reason: why", "reason: ' '", "e.yaml:7:3: spec.reason: must not be empty"),
            ("{names: [a]}", "{}", "e.yaml:6:3: spec.match: must say which objects are meant"),
            (
                "{names: [a]}",
                "{kinds: [apps/v1/Deployment]}",
                "e.yaml:6:19: spec.match.kinds[0]: `apps/v1/Deployment` is no kind",
            ),
            ("{names: [a]}", "{kinds: [job]}", "e.yaml:6:19: spec.match.kinds[0]: `job` is no"),
            ("[root-migration]", "[]", "e.yaml:5:3: spec.rules: must name at least one rule"),
            ("[root-migration]", "[Root]", "e.yaml:5:11: spec.rules[0]: `Root` is no id"),
            ("2026-03-31T00:00:00Z", "soon", "e.yaml:9:3: spec.expires: `soon` is no RFC 3339"),
            ("2026-03-31T00:00:00Z", "2026-03-31", "e.yaml:9:3: spec.expires: `2026-03-31`"),
            (
                "{names: [a]}",
                "{selector: {matchExpressions: [{key: a, operator: In}]}}",
                "e.yaml:6:41: spec.match.selector.matchExpressions[0].values: must not be empty",
            ),
            (
                "{names: [a]}",
                "{selector: {matchLabels: {-a: b}}}",
                "e.yaml:6:36: spec.match.selector.matchLabels.-a: `-a` is no label key",
            ),
        ] {
            let text = WHOLE.replace(from, to);
            assert_ne!(text, WHOLE);
            let errors = errors(&text);
            assert!(errors[0].starts_with(want), "{want}: {errors:#?}");
        }
        assert!(errors(&WHOLE.replace("reason:", "reson:"))[0].ends_with("`reason`?)"));
    }

    #[test]
    fn every_error_is_told_at_once() {
        let text = WHOLE.replace("[root-migration]", "[]").replace("why", "''");
        assert_eq!(errors(&text).len(), 2);
    }
}
