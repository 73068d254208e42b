//! For code scanning: SARIF 2.1.0. `docs/formats.md` says what stands where.

mod log;

use std::{borrow::Cow, collections::BTreeMap};

use log::{
    ArtifactChange, ArtifactLocation, Configuration, Content, Driver, Fingerprints, FixOut,
    Invocation, Location, Log, LogicalLocation, Message, Notification, PhysicalLocation, Region,
    Replacement, ResultOut, ResultProperties, RuleOut, RuleProperties, Run, Suppression, Tool,
    UriBase,
};

use super::{Checked, Fix, Identified, InputError, Remark, Report, Severity, rule_page, text, uri};
use crate::{
    decision::Effect,
    rules::{self, Level, Rule},
    source::{Position, Span},
};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The base of relative names.
const BASE: &str = "SRCROOT";

/// A report as SARIF 2.1.0, with a line break at its end.
pub fn sarif(report: &Report) -> String {
    let identified = report.identified();
    let rules = rules(&identified);
    let index: BTreeMap<&str, usize> =
        rules.iter().enumerate().map(|(index, rule)| (rule.id, index)).collect();
    let result = |it| result(it, report, &index);
    let errors: Vec<Notification<'_>> = report.errors().map(unreadable).collect();
    let base = UriBase { description: plain("The folder in which tidegate was run") };
    let run = Run {
        tool: Tool {
            driver: Driver { name: "tidegate", semantic_version: env!("CARGO_PKG_VERSION"), rules },
        },
        invocations: [Invocation {
            execution_successful: errors.is_empty(),
            tool_execution_notifications: errors,
            tool_configuration_notifications: report.totals.remarks.iter().map(remark).collect(),
        }],
        original_uri_base_ids: BTreeMap::from([(BASE, base)]),
        column_kind: "unicodeCodePoints",
        results: identified.iter().map(result).collect(),
    };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
    // Strings, numbers and lists: there is nothing in it that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&log).unwrap_or_default();
    text.push('\n');
    text
}

/// Every built-in rule, and those of policies that found something, each sorted by id.
fn rules<'r>(identified: &[Identified<'r>]) -> Vec<RuleOut<'r>> {
    let mut others: Vec<&str> = identified.iter().map(|it| it.finding.rule).collect();
    others.retain(|id| rules::find(id).is_none());
    others.sort_unstable();
    others.dedup();
    rules::ALL.iter().map(|rule| built_in(rule)).chain(others.into_iter().map(other)).collect()
}

fn built_in(rule: &'static Rule) -> RuleOut<'static> {
    RuleOut {
        id: rule.id,
        short_description: plain(rule.summary),
        full_description: Some(plain(rule.why)),
        help_uri: rule.sources.first().copied(),
        help: Some(Message {
            text: format!("{}\n\n{}", rule.why, rule.fix).into(),
            markdown: Some(rule_page::page(rule)),
        }),
        default_configuration: Some(Configuration {
            enabled: rule.level != Level::Off,
            level: Severity::from(rule.level).as_str(),
        }),
        properties: RuleProperties { tags: vec!["database-migration", rule.topic.as_str()] },
    }
}

fn other(id: &str) -> RuleOut<'_> {
    RuleOut {
        id,
        short_description: plain("A rule of the policy, or an object that cannot be read"),
        full_description: None,
        help_uri: None,
        help: None,
        default_configuration: None,
        properties: RuleProperties { tags: vec!["database-migration"] },
    }
}

fn result<'r>(
    identified: &Identified<'r>,
    report: &'r Report,
    index: &BTreeMap<&str, usize>,
) -> ResultOut<'r> {
    let Identified { object, finding, fingerprint, ordinal } = identified;
    let excused = finding.excused_by(report.totals.baseline.as_deref());
    let severity = match finding.effect {
        // It keeps the level that it would have without the excuse.
        Effect::Excepted | Effect::Baselined => Severity::from(finding.level),
        effect => Severity::from(effect),
    };
    let suppression =
        |justification| Suppression { kind: "external", status: "accepted", justification };
    ResultOut {
        rule_id: finding.rule,
        rule_index: index.get(finding.rule).copied().unwrap_or_default(),
        level: severity.as_str(),
        message: message(format!("{}: {}", object.subject(), finding.sentence())),
        locations: [location(&object.file, Some(finding.span), Some((object, &finding.path)))],
        partial_fingerprints: Fingerprints {
            line_hash: format!("{fingerprint}:{ordinal}"),
            own: fingerprint.clone(),
        },
        suppressions: excused.map(suppression).into_iter().collect(),
        baseline_state: report.totals.baseline.as_ref().map(|_| match finding.effect {
            Effect::Baselined => "unchanged",
            _ => "new",
        }),
        fixes: finding.fix.iter().map(|known| fix(&object.file, known)).collect(),
        properties: ResultProperties {
            effect: finding.effect.as_str(),
            undecided: finding.undecided,
            policy: object.policy.as_deref(),
            origin: object.origin.as_deref(),
        },
    }
}

fn fix<'r>(file: &str, Fix { description, edits }: &'r Fix) -> FixOut<'r> {
    let replacement = |(span, text): &'r (Span, String)| Replacement {
        deleted_region: region(*span),
        inserted_content: Content { text },
    };
    FixOut {
        description: plain(description),
        artifact_changes: [ArtifactChange {
            artifact_location: artifact(file),
            replacements: edits.iter().map(replacement).collect(),
        }],
    }
}

fn unreadable(error: &InputError) -> Notification<'_> {
    Notification {
        level: "error",
        message: message(text::one_line(&error.message)),
        locations: [location(&error.file, error.position.map(Span::at), None)],
    }
}

fn remark(remark: &Remark) -> Notification<'_> {
    let position = Position { line: remark.line, column: remark.column, offset: 0 };
    Notification {
        level: if remark.warns { "warning" } else { "note" },
        message: message(text::one_line(&remark.message)),
        locations: [location(&remark.file, Some(Span::at(position)), None)],
    }
}

fn location<'r>(
    file: &str,
    span: Option<Span>,
    object: Option<(&'r Checked, &str)>,
) -> Location<'r> {
    let logical = |(object, path): (&'r Checked, &str)| {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        LogicalLocation {
            name: &object.name,
            fully_qualified_name: format!("{namespace}/{}/{}#{path}", object.kind, object.name),
            kind: "resource",
        }
    };
    Location {
        physical_location: PhysicalLocation {
            artifact_location: artifact(file),
            region: span.map(region),
        },
        logical_locations: object.map(|object| [logical(object)]),
    }
}

fn artifact(file: &str) -> ArtifactLocation {
    let base = (!uri::is_absolute(file)).then_some(BASE);
    ArtifactLocation { uri: uri::of(file), uri_base_id: base }
}

fn region(Span { start, end }: Span) -> Region {
    // An empty region is an insertion: its end is its start.
    Region {
        start_line: start.line,
        start_column: start.column,
        end_line: Some(end.line),
        end_column: Some(end.column),
    }
}

fn plain(text: &str) -> Message<'_> {
    Message { text: Cow::Borrowed(text), markdown: None }
}

/// A message without what viewers would take for a link: `[text](target)` is one in plain messages,
/// too (§3.11.6).
fn message(text: String) -> Message<'static> {
    let text = if text.contains("](") { text.replace("](", "] (") } else { text };
    Message { text: Cow::Owned(text), markdown: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_known_edit_is_a_fix_in_the_file() {
        let at = |line, column| Position { line, column, offset: 0 };
        let known = Fix {
            description: "set backoffLimit to 1".to_owned(),
            edits: vec![(Span { start: at(3, 1), end: at(3, 4) }, "backoffLimit: 1\n".to_owned())],
        };
        assert_eq!(
            serde_json::to_value(fix("./a b.yaml", &known)).unwrap(),
            json!({
                "description": {"text": "set backoffLimit to 1"},
                "artifactChanges": [{
                    "artifactLocation": {"uri": "a%20b.yaml", "uriBaseId": "SRCROOT"},
                    "replacements": [{
                        "deletedRegion":
                            {"startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 4},
                        "insertedContent": {"text": "backoffLimit: 1\n"}
                    }]
                }]
            })
        );
    }

    #[test]
    fn every_rule_has_help_and_a_level() {
        let log: Value = serde_json::from_str(&sarif(&Report::default())).unwrap();
        let listed = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(listed.len(), rules::ALL.len());
        for (rule, listed) in rules::ALL.iter().zip(listed) {
            assert_eq!(listed["id"], rule.id);
            assert_eq!(listed["help"]["markdown"], rule_page::page(rule));
            assert!(listed["helpUri"].as_str().unwrap().starts_with("https://"), "{listed}");
            let level = listed["defaultConfiguration"]["level"].as_str().unwrap();
            assert!(["error", "warning", "note"].contains(&level));
        }
    }

    #[test]
    fn names_make_no_links() {
        assert_eq!(message("a[1](http://x)".to_owned()).text, "a[1] (http://x)");
    }
}
