//! From text to policies: strict, and every error says where and what would be right.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    ConfiguredRule, Policy, custom,
    document::{API_VERSION, KIND, MigrationPolicy, Spec},
    exception::{self, Exception, MigrationException},
    scope::Scope,
    selector,
};
use crate::{
    detect::Detector,
    rules::{self, Level},
    source::{self, Document, did_you_mean, mapping::Mappings, with_nearest},
};

/// The policy that is compiled in, as text.
pub const BUILT_IN: &str = include_str!("../../policies/default/policy.yaml");

/// The policy that is compiled in: what runs without any configuration.
pub fn built_in() -> Policy {
    parse(BUILT_IN, "built-in").ok().and_then(|mut policies| policies.pop()).unwrap_or_else(|| {
        // A test parses the text, so this is never reached; it is what the text would give.
        Loader::new("built-in", None, "").compile("default", Spec::default())
    })
}

/// One thing wrong with a policy text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file, as it was named by the user.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Path of the field, such as `spec.rules.root-migration.level`; empty for the whole text.
    pub field: String,
    /// What is wrong, with the nearest valid value where there is one.
    pub message: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    fn at(file: &str, error: source::SourceError) -> Self {
        Self {
            file: file.to_owned(),
            line: error.position.line,
            column: error.position.column,
            field: String::new(),
            message: error.message,
        }
    }

    /// Field and message, without the place, for a text that nobody has in a file.
    pub fn brief(&self) -> String {
        let Self { field, message, .. } = self;
        if field.is_empty() { message.clone() } else { format!("{field}: {message}") }
    }
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named by the user.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

/// What stands in a text.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Its policies, in order.
    pub policies: Vec<Policy>,
    /// Its exceptions, in order.
    pub exceptions: Vec<Exception>,
}

/// Reads every policy and every exception of a text; `file` is its name in errors.
///
/// # Errors
///
/// Everything that is wrong with the text: one entry for each place, in order.
pub fn read(text: &str, file: &str) -> Result<Loaded, Vec<LoadError>> {
    let mut loaded = Loaded::default();
    let mut errors = Vec::new();
    for document in source::documents(text) {
        match document.and_then(Document::strict) {
            Err(error) => errors.push(LoadError::at(file, error)),
            Ok(document) => {
                let mut reader = Loader::new(file, Some(&document), "");
                reader.document(document.value(), &mut loaded);
                errors.append(&mut reader.errors);
            }
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(errors) }
}

/// Reads every policy of a text, of which it must have one; `file` is its name in errors.
///
/// # Errors
///
/// As [`read`], and when there is no policy.
pub fn parse(text: &str, file: &str) -> Result<Vec<Policy>, Vec<LoadError>> {
    let policies = read(text, file)?.policies;
    if policies.is_empty() {
        let mut loader = Loader::new(file, None, "");
        loader.fail("", format!("there is no document of kind {KIND} in it"));
        return Err(loader.errors);
    }
    Ok(policies)
}

/// True for a document that says that it is an exception, of any version.
pub fn is_exception(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str) == Some(exception::KIND)
}

/// Reads the exception `value`, which stands at `prefix` of a document of `file`: at its top, where
/// the prefix is empty, or in a list.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn exception(
    value: &Value,
    document: &Document,
    prefix: &str,
    file: &str,
) -> Result<Exception, Vec<LoadError>> {
    let mut loader = Loader::new(file, Some(document), prefix);
    match loader.exception(value) {
        Some(exception) => Ok(exception),
        None => Err(loader.errors),
    }
}

/// Reads one document and notes what is wrong with it.
pub(super) struct Loader<'d> {
    file: &'d str,
    document: Option<&'d Document>,
    /// Where in the document: empty, or such as `items[2]`.
    prefix: &'d str,
    errors: Vec<LoadError>,
}

impl<'d> Loader<'d> {
    pub(super) fn new(file: &'d str, document: Option<&'d Document>, prefix: &'d str) -> Self {
        Self { file, document, prefix, errors: Vec::new() }
    }
}

impl Loader<'_> {
    /// Reads the only document of a text, which is of one kind.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(super) fn only<T: DeserializeOwned, R>(
        text: &str,
        file: &str,
        kind: &str,
        compile: impl FnOnce(&mut Loader<'_>, T) -> R,
    ) -> Result<R, Vec<LoadError>> {
        let mut documents = source::documents(text);
        let only = documents.pop().filter(|_| documents.is_empty());
        let Some(document) = only else {
            let mut loader = Loader::new(file, None, "");
            loader.fail("", format!("must be one document of kind {kind}"));
            return Err(loader.errors);
        };
        let document = document.and_then(Document::strict);
        let document = document.map_err(|error| vec![LoadError::at(file, error)])?;
        let mut loader = Loader::new(file, Some(&document), "");
        let typed = loader
            .is_kind(document.value(), kind)
            .then(|| loader.typed(document.value()))
            .flatten();
        let compiled = typed.map(|typed| compile(&mut loader, typed));
        compiled.filter(|_| loader.errors.is_empty()).ok_or(loader.errors)
    }

    /// Something is wrong at `field`.
    pub(super) fn fail(&mut self, field: &str, message: impl Into<String>) {
        let Place { line, column, .. } = self.place(field);
        self.errors.push(LoadError {
            file: self.file.to_owned(),
            line,
            column,
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// Something is wrong inside the text at `field`, at a line and a column of it, from 1.
    pub(super) fn fail_inside(
        &mut self,
        field: &str,
        text: &str,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) {
        self.fail(field, message);
        let span = self.document.map(|document| document.locate(&self.path(field)));
        if let (Some(span), Some(error)) = (span, self.errors.last_mut()) {
            let length = span.end.offset.saturating_sub(span.start.offset);
            // A text in one line that is longer than what it says stands in quotes.
            let quoted = length > text.len() && span.start.line == span.end.line;
            error.line = span.start.line.saturating_add(line.saturating_sub(1));
            error.column = span
                .start
                .column
                .saturating_add(column.saturating_sub(1))
                .saturating_add(usize::from(quoted));
        }
    }

    fn path(&self, field: &str) -> String {
        match (self.prefix, field) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        }
    }

    /// Where the key of `field` stands, or its nearest ancestor.
    pub(super) fn place(&self, field: &str) -> Place {
        let path = self.path(field);
        let position = self.document.map(|document| document.locate_key(&path).start);
        Place {
            file: self.file.into(),
            line: position.map_or(1, |position| position.line),
            column: position.map_or(1, |position| position.column),
        }
    }

    fn document(&mut self, value: &Value, loaded: &mut Loaded) {
        if is_exception(value) {
            loaded.exceptions.extend(self.exception(value));
        } else {
            loaded.policies.extend(self.policy(value));
        }
    }

    fn exception(&mut self, value: &Value) -> Option<Exception> {
        self.is_kind(value, exception::KIND).then_some(())?;
        let document: MigrationException = self.typed(value)?;
        let compiled = exception::compile(self, document);
        self.errors.is_empty().then_some(compiled)
    }

    fn policy(&mut self, value: &Value) -> Option<Policy> {
        self.is_kind(value, KIND).then_some(())?;
        let policy: MigrationPolicy = self.typed(value)?;
        let compiled = self.compile(&policy.metadata.name, policy.spec);
        self.errors.is_empty().then_some(compiled)
    }

    /// The document in its type; the first thing that does not fit is an error.
    fn typed<T: DeserializeOwned>(&mut self, value: &Value) -> Option<T> {
        serde_path_to_error::deserialize::<_, T>(Mappings(value))
            .map_err(|error| {
                let message = with_nearest(&error.inner().to_string());
                self.fail(&path_of(&error), message);
            })
            .ok()
    }

    fn is_kind(&mut self, value: &Value, kind: &str) -> bool {
        for (field, want) in [("apiVersion", API_VERSION), ("kind", kind)] {
            match value.get(field).and_then(Value::as_str) {
                Some(have) if have == want => {}
                Some(have) => {
                    let near = did_you_mean(have, [KIND, exception::KIND, API_VERSION].into_iter());
                    self.fail(field, format!("is `{have}`, expected `{want}`{near}"));
                    return false;
                }
                None => {
                    self.fail(field, format!("is missing, expected `{want}`"));
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn compile(&mut self, name: &str, spec: Spec) -> Policy {
        let ceiling = spec.level.0;
        self.check_sense(&spec);
        let scope = self.scope(&spec);
        let detector = self.detector(&spec);
        let custom = custom::compile(self, spec.custom_rules.clone(), ceiling);
        Policy {
            name: name.to_owned(),
            scope,
            on_undecided: spec.on_undecided,
            rules: self.rules(&spec, ceiling),
            level: ceiling,
            approvals: spec.approvals.clone(),
            exceptions: spec.exceptions.clone(),
            defaults: spec.defaults.clone(),
            controllers: spec.controllers.clone(),
            detector,
            custom,
            spec: Arc::new(spec),
        }
    }

    fn detector(&mut self, spec: &Spec) -> Arc<Detector> {
        Detector::with(&spec.detectors).unwrap_or_else(|errors| {
            for error in errors {
                let field = format!("spec.detectors[{}].{}", error.index, error.field);
                self.fail(field.trim_end_matches('.'), error.message);
            }
            Arc::clone(Detector::built_in())
        })
    }

    fn rules(&mut self, spec: &Spec, ceiling: Level) -> Vec<ConfiguredRule> {
        for id in spec.rules.keys() {
            if !rules::ALL.iter().any(|rule| rule.id == id) {
                let known = rules::ALL.iter().map(|rule| rule.id);
                let message = if spec.custom_rules.iter().any(|rule| rule.id == *id) {
                    format!("`{id}` has its level in spec.customRules")
                } else {
                    format!("there is no rule `{id}`{}", did_you_mean(id, known))
                };
                self.fail(&format!("spec.rules.{id}"), message);
            }
        }
        let mut configured = Vec::new();
        for rule in rules::ALL {
            let settings = spec.rules.get(rule.id);
            let level = settings.and_then(|settings| settings.level).unwrap_or(rule.level);
            let params = match settings.map(|settings| &settings.params) {
                None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
                Some(params) => params.clone(),
            };
            match (rule.configure)(params) {
                Ok(check) => {
                    let level = level.min(ceiling);
                    if level > Level::Off {
                        configured.push(ConfiguredRule { rule, level, check });
                    }
                }
                Err(error) => {
                    let field = match error.path.as_str() {
                        "." | "" => format!("spec.rules.{}.params", rule.id),
                        path => format!("spec.rules.{}.params.{path}", rule.id),
                    };
                    self.fail(&field, with_nearest(&error.source.to_string()));
                }
            }
        }
        configured
    }

    fn scope(&mut self, spec: &Spec) -> Scope {
        let field = "spec.match.namespaceSelector";
        let selector = selector::compile(self, field, &spec.matches.namespace_selector);
        Scope {
            namespaces: spec.matches.namespaces.clone(),
            exclude_namespaces: spec.matches.exclude_namespaces.clone(),
            selector,
        }
    }
}

/// The path of the error, with the unknown key in it where there is one, so that it can be located.
fn path_of(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    // A key that is none of an enumeration has no name there.
    let path = error.path().to_string().trim_end_matches(".?").to_owned();
    if path == "." { String::new() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        parse(text, "p.yaml").unwrap_err().iter().map(ToString::to_string).collect()
    }

    const HEAD: &str =
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: p}\n";

    #[test]
    fn the_built_in_policy_is_what_it_says() {
        let policies = parse(BUILT_IN, "built-in").unwrap();
        assert_eq!(policies.len(), 1);
        assert_eq!(policies[0].name, "default");
        assert_eq!(policies[0].rules.len(), rules::ALL.len());
    }

    #[test]
    fn errors_name_line_column_field_and_the_nearest_name() {
        let text =
            format!("{HEAD}spec:\n  rules:\n    migration-in-init-containers: {{level: Deny}}\n");
        assert_eq!(
            errors(&text),
            ["p.yaml:6:5: spec.rules.migration-in-init-containers: there is no rule \
              `migration-in-init-containers` (did you mean `migration-in-init-container`?)"]
        );
        let text = format!("{HEAD}spec:\n  onUndecidd: Warn\n");
        let error = errors(&text).remove(0);
        assert!(error.starts_with("p.yaml:5:3: spec.onUndecidd: unknown field"), "{error}");
        assert!(error.ends_with("(did you mean `onUndecided`?)"), "{error}");
        let text = format!("{HEAD}spec:\n  level: deny\n");
        let error = errors(&text).remove(0);
        assert!(error.starts_with("p.yaml:5:3: spec.level: unknown variant `deny`"), "{error}");
        assert!(error.ends_with("(did you mean `Deny`?)"), "{error}");
    }

    #[test]
    fn a_list_is_not_a_policy_that_says_nothing() {
        for (spec, place) in [
            ("spec: []\n", "4:1: spec"),
            ("spec:\n  match: []\n", "5:3: spec.match"),
            ("spec:\n  rules: {root-migration: []}\n", "5:11: spec.rules.root-migration"),
            (
                "spec:\n  rules: {unbounded-migration-job: {params: []}}\n",
                "5:37: spec.rules.unbounded-migration-job.params",
            ),
        ] {
            let want = format!("p.yaml:{place}: invalid type: sequence, expected a mapping");
            assert_eq!(errors(&format!("{HEAD}{spec}")), [want]);
        }
    }

    #[test]
    fn a_rule_can_be_switched_off_with_and_without_quotes() {
        for word in ["Off", "'Off'", "off", "\"Off\""] {
            let rules = format!("  rules: {{root-migration: {{level: {word}}}}}");
            let policy = parse(&format!("{HEAD}spec:\n{rules}\n"), "p.yaml").unwrap().remove(0);
            assert_eq!(policy.level_of("root-migration"), Level::Off, "{word}");
        }
        let text = format!("{HEAD}spec:\n  rules: {{root-migration: {{level: on}}}}\n");
        assert!(errors(&text)[0].contains("expected `Off`, `Audit`"), "{:?}", errors(&text));
    }

    #[test]
    fn a_bad_parameter_is_an_error_at_load_time() {
        let text = format!(
            "{HEAD}spec:\n  rules:\n    unbounded-migration-job:\n      params: {{maxSecond: 5}}\n"
        );
        let error = errors(&text).remove(0);
        assert!(
            error.starts_with("p.yaml:7:16: spec.rules.unbounded-migration-job.params.maxSecond"),
            "{error}"
        );
        assert!(error.ends_with("(did you mean `maxSeconds`?)"), "{error}");
    }

    #[test]
    fn defaults_that_the_rules_would_refuse_are_an_error() {
        let text = format!("{HEAD}spec:\n  defaults: {{activeDeadlineSeconds: 999999}}\n");
        assert!(errors(&text)[0].contains("allows at most"), "{:?}", errors(&text));
        let text = format!("{HEAD}spec:\n  defaults: {{resources: {{limits: {{memory: 1Mi}}}}}}\n");
        assert!(errors(&text)[0].contains("more than the limit"), "{:?}", errors(&text));
    }

    #[test]
    fn sizes_and_operations_are_checked_as_the_rest_is() {
        for (defaults, want) in [
            (
                "{operations: {apply: {activeDeadlineSeconds: 9999}}}",
                "operations.apply.activeDeadlineSeconds: is 9999, but rule",
            ),
            (
                "{operations: {backup: {activeDeadlineSeconds: 0}}}",
                "operations.backup.activeDeadlineSeconds: must be above zero",
            ),
            ("{operations: {aply: {}}}", "operations: unknown variant `aply`"),
            (
                "{operations: {backup: {size: lage}}, sizes: {large: {}}}",
                "operations.backup.size: there is no size `lage` (did you mean `large`?)",
            ),
            (
                "{sizes: {large: {requests: {memory: 4Gi}}}}",
                "sizes.large.requests.memory: is more than the limit",
            ),
            ("{sizes: {large: {limits: {memory: much}}}}", "sizes.large.limits.memory: `much` is"),
        ] {
            let errors = errors(&format!("{HEAD}spec:\n  defaults: {defaults}\n"));
            assert!(errors[0].contains(&format!("spec.defaults.{want}")), "{want}: {errors:?}");
        }
        let good = "  defaults: {operations: {backup: {activeDeadlineSeconds: 7200}}}\n";
        parse(&format!("{HEAD}spec:\n{good}"), "p.yaml").unwrap();
    }

    #[test]
    fn a_detector_that_makes_no_sense_is_an_error_with_its_place() {
        for (entry, line, expected) in [
            ("{id: flyway, name: F, executables: [f]}", 6, "detectors[0].id: `flyway` is that of"),
            ("{id: ours, name: Ours}", 6, "detectors[0]: nothing tells it apart"),
            (
                "{id: ours, name: Ours, executables: [x],\n      verbs: {aply: [up]}}",
                7,
                "detectors[0].verbs.aply: unknown field `aply`",
            ),
            (
                "{id: ours, name: Ours, executables: [x],\n      verbs: {apply: [up, '!']}}",
                7,
                "detectors[0].verbs.apply[1]: `!` is no verb",
            ),
            ("{id: ours, name: Ours, executable: [x]}", 6, "detectors[0].executable: unknown"),
        ] {
            let text = format!("{HEAD}spec:\n  detectors:\n    - {entry}\n");
            let error = errors(&text).remove(0);
            assert!(error.starts_with(&format!("p.yaml:{line}:")), "{error}");
            assert!(error.contains(&format!("spec.{expected}")), "{error}");
        }
        let twice = "    - {id: ours, name: Ours, executables: [x]}\n".repeat(2);
        let text = format!("{HEAD}spec:\n  detectors:\n{twice}");
        assert!(errors(&text)[0].contains("detectors[1].id: `ours` is used already"));
    }

    #[test]
    fn policies_without_detectors_share_the_built_in_ones() {
        let entry = "{id: ours, name: Ours, executables: [ours]}";
        let text = format!("{HEAD}---\n{HEAD}spec:\n  detectors:\n    - {entry}\n");
        let policies = parse(&text, "p.yaml").unwrap();
        assert!(Arc::ptr_eq(&policies[0].detector, Detector::built_in()));
        let known = Detector::built_in().known_tools();
        assert_eq!(policies[1].detector.known_tools(), known + 1);
    }

    #[test]
    fn other_kinds_and_empty_texts_are_errors() {
        assert!(errors("")[0].contains("no document of kind MigrationPolicy"));
        assert!(errors("apiVersion: v1\nkind: Pod\n")[0].starts_with("p.yaml:1:1: apiVersion"));
    }
}
