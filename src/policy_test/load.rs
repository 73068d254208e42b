//! From text to tests: strict, and every error says where and what would be right.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    document::{Case, PolicyTest, RequestOperation, User},
    given::{FactsGiven, UnknownFact},
};
use crate::{
    decision::UNREADABLE_OBJECT,
    model::{BackupReference, Labels},
    policy::LoadError,
    rules,
    source::{
        self, Document, Position, SourceError, did_you_mean, mapping::Mappings, with_nearest,
    },
};

/// The `kind` of the document.
pub const KIND: &str = "PolicyTest";
/// The present of cases that name none, so that they never depend on the day.
pub const DEFAULT_NOW: &str = "2026-01-01T00:00:00Z";

const API_VERSION: &str = "tidegate.dev/v1alpha1";
const OWN_GROUP: &str = "tidegate.dev/";

/// One document and where it stands.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file, as the user named it.
    pub file: String,
    /// What it says.
    pub test: PolicyTest,
    document: Document,
}

/// What a text holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Every test that could be read.
    pub suites: Vec<Suite>,
    /// Everything that is wrong, in order.
    pub errors: Vec<LoadError>,
}

/// Reads every `PolicyTest` of a text; `file` is its name in errors. Documents of other kinds are
/// left out.
pub fn parse(text: &str, file: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for chunk in source::chunks(text) {
        // Folders hold templates and half-written things; what names our kind is meant for us.
        let ours = chunk.text.contains(KIND);
        for document in chunk.documents() {
            match document {
                Ok(document) => one(document, file, &mut parsed),
                Err(error) if ours => parsed.errors.push(broken(error, file)),
                Err(_) => {}
            }
        }
    }
    parsed
}

fn broken(error: SourceError, file: &str) -> LoadError {
    let SourceError { position, message } = error;
    LoadError {
        file: file.to_owned(),
        line: position.line,
        column: position.column,
        field: String::new(),
        message,
    }
}

fn one(document: Document, file: &str, parsed: &mut Parsed) {
    let value = document.value();
    let word = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    let ours = api_version.starts_with(OWN_GROUP);
    if kind != KIND {
        let meant = did_you_mean(kind, std::iter::once(KIND));
        if ours && !meant.is_empty() {
            let message = format!("there is no kind `{kind}`{meant}");
            parsed.errors.push(at(&document, file, "kind", message));
        }
        return;
    }
    if api_version != API_VERSION {
        if ours || api_version.is_empty() {
            let message = format!("is `{api_version}`, expected `{API_VERSION}`");
            parsed.errors.push(at(&document, file, "apiVersion", message));
        }
        return;
    }
    if let Some(error) = document.repeated().first() {
        return parsed.errors.push(broken(error.clone(), file));
    }
    match serde_path_to_error::deserialize::<_, PolicyTest>(Mappings(value)) {
        Err(error) => {
            let path = error.path().to_string();
            let path = if path == "." { "" } else { path.as_str() };
            let message = with_nearest(&error.inner().to_string());
            parsed.errors.push(at(&document, file, path, message));
        }
        Ok(test) => {
            let suite = Suite { file: file.to_owned(), test, document };
            let errors = suite.check();
            if errors.is_empty() {
                parsed.suites.push(suite);
            }
            parsed.errors.extend(errors);
        }
    }
}

fn at(document: &Document, file: &str, field: &str, message: String) -> LoadError {
    let Position { line, column, .. } = document.locate_key(field).start;
    LoadError { file: file.to_owned(), line, column, field: field.to_owned(), message }
}

impl Suite {
    /// An error about a field of the document, such as `spec.cases[2].object`.
    pub fn error(&self, field: &str, message: impl Into<String>) -> LoadError {
        at(&self.document, &self.file, field, message.into())
    }

    /// Where a field of the document stands, or its nearest ancestor that is there.
    pub fn position(&self, field: &str) -> Position {
        self.document.locate(field).start
    }

    /// The present of a case.
    pub fn now(&self, case: &Case) -> Timestamp {
        // The text is a constant that a test reads.
        let default = || DEFAULT_NOW.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        case.now.or(self.test.spec.now).unwrap_or_else(default)
    }

    /// Who asks.
    pub fn user<'s>(&'s self, case: &'s Case) -> &'s User {
        case.user.as_ref().unwrap_or(&self.test.spec.user)
    }

    /// The labels of a case's namespace; none when they are not known.
    pub fn namespace_labels<'s>(&'s self, case: &'s Case) -> Option<&'s Labels> {
        match &case.namespace_labels {
            Some(labels) => labels.as_ref(),
            None => self.test.spec.namespace_labels.as_ref(),
        }
    }

    /// What else is known, and the path of the field that says so.
    pub fn facts<'s>(&'s self, case: &'s Case, path: &str) -> (&'s FactsGiven, String) {
        match &case.facts {
            Some(facts) => (facts, format!("{path}.facts")),
            None => (&self.test.spec.facts, "spec.facts".to_owned()),
        }
    }

    fn check(&self) -> Vec<LoadError> {
        let mut errors = Vec::new();
        let mut names = BTreeSet::new();
        if self.test.spec.cases.is_empty() {
            errors.push(self.error("spec.cases", "must hold at least one case"));
        }
        self.check_facts(&self.test.spec.facts, "spec.facts", &mut errors);
        for (index, case) in self.test.spec.cases.iter().enumerate() {
            let path = format!("spec.cases[{index}]");
            if case.name.trim().is_empty() {
                errors.push(self.error(&format!("{path}.name"), "must not be empty"));
            } else if !names.insert(case.name.trim()) {
                let message = format!("another case is named `{}` already", case.name.trim());
                errors.push(self.error(&format!("{path}.name"), message));
            }
            self.check_objects(case, &path, &mut errors);
            if let Some(facts) = &case.facts {
                self.check_facts(facts, &format!("{path}.facts"), &mut errors);
            }
        }
        errors
    }

    /// What is given says what it is about.
    fn check_facts(&self, facts: &FactsGiven, path: &str, errors: &mut Vec<LoadError>) {
        for (index, backup) in facts.backups.iter().flatten().enumerate() {
            if BackupReference::parse(&backup.reference).is_none() {
                let field = format!("{path}.backups[{index}].reference");
                let message = "is no reference such as `job/NAME` or `volumesnapshot/NAME`";
                errors.push(self.error(&field, message));
            }
        }
        for (index, active) in facts.active_migrations.iter().flatten().enumerate() {
            let message = match (&active.database, &active.object_from) {
                (Some(_), Some(_)) => "`database` and `objectFrom` exclude each other",
                (None, None) => "needs `database` or `objectFrom`",
                (Some(_), None) if active.name.is_none() => "needs the `name` of the Job",
                (None, Some(_)) if active.tenant.is_some() => {
                    "`tenant` goes with `database`: an object has its own"
                }
                _ => continue,
            };
            errors.push(self.error(&format!("{path}.activeMigrations[{index}]"), message));
        }
        for (is_given, unknown, field) in [
            (facts.approvals.is_some(), UnknownFact::Approvals, "approvals"),
            (facts.backups.is_some(), UnknownFact::Backups, "backups"),
            (facts.active_migrations.is_some(), UnknownFact::ActiveMigrations, "activeMigrations"),
        ] {
            if is_given && facts.unknown.contains(&unknown) {
                let message = "is given, and named under `unknown`";
                errors.push(self.error(&format!("{path}.{field}"), message));
            }
        }
    }

    /// A request has the objects that the API server would send with it.
    fn check_objects(&self, case: &Case, path: &str, errors: &mut Vec<LoadError>) {
        let mut fail = |field: &str, message: &str| {
            errors.push(self.error(format!("{path}.{field}").trim_end_matches('.'), message));
        };
        let pairs = [
            ("object", &case.object, case.object_from.is_some()),
            ("oldObject", &case.old_object, case.old_object_from.is_some()),
        ];
        for (field, inline, from_file) in pairs {
            if inline.is_some() && from_file {
                fail(field, &format!("`{field}` and `{field}From` exclude each other"));
            }
            if let Some(object) = inline
                && !is_object(object)
            {
                fail(field, "must be an object with `apiVersion` and `kind`");
            }
        }
        let new = case.object.is_some() || case.object_from.is_some();
        let old = case.old_object.is_some() || case.old_object_from.is_some();
        match case.operation {
            _ if !new && !old => fail("", "needs `object`, `objectFrom` or one of the old object"),
            Some(RequestOperation::Create) if old => {
                fail("operation", "is CREATE, so there can be no old object");
            }
            Some(RequestOperation::Update) if !old => {
                fail("operation", "is UPDATE, so `oldObject` or `oldObjectFrom` is needed");
            }
            Some(RequestOperation::Delete) if new || case.change.is_some() => {
                fail("operation", "is DELETE, so there is only `oldObject` or `oldObjectFrom`");
            }
            _ => {}
        }
        if let Some(change) = &case.change {
            let is_patch = change.is_object()
                || serde_json::from_value::<json_patch::Patch>(change.clone()).is_ok();
            if !is_patch {
                fail("change", "is neither a map (JSON merge patch) nor a list (JSON Patch)");
            }
        }
    }

    /// The first rule that a case expects something of and that neither tidegate nor the policies
    /// under test have; `custom` are the ids of their own rules.
    pub fn unknown_rule(&self, case: &Case, path: &str, custom: &[&str]) -> Option<LoadError> {
        let known = || {
            let built_in = rules::ALL.iter().map(|rule| rule.id).chain([UNREADABLE_OBJECT]);
            built_in.chain(custom.iter().copied())
        };
        for (at, entry) in case.expect.findings.entries() {
            let id = entry.rule();
            if !known().any(|known| known == id) {
                let message = format!("there is no rule `{id}`{}", did_you_mean(id, known()));
                return Some(self.error(&format!("{path}.expect.findings{at}"), message));
            }
        }
        None
    }
}

fn is_object(value: &Value) -> bool {
    ["apiVersion", "kind"].iter().all(|field| value.get(field).is_some_and(Value::is_string))
}
