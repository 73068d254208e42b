//! The page of a rule, in Markdown. Everything on it comes from the rule and its fixture.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{detect::sql::Hazard, rules::Rule};

/// The page of one rule; `example` is a manifest that the rule finds something in.
pub fn page(rule: &Rule, example: &str) -> String {
    let Rule { id, summary, why, fix, sources, since, level, .. } = rule;
    let mut page = format!("# {id}\n\n");
    let _ = writeln!(page, "{}.\n", capital(summary));
    let _ = writeln!(page, "Level: `{level}` unless a policy says otherwise. Since {since}.\n");
    let _ = writeln!(page, "## Why\n\n{why}\n");
    let _ = writeln!(page, "## Refused\n\n```yaml\n{}\n```\n", example.trim_end());
    let _ = writeln!(page, "## Fix\n\n{fix}\n");
    let _ = writeln!(page, "## Parameters\n\n{}", parameters(rule));
    page.push_str("## Sources\n\n");
    for source in *sources {
        let _ = writeln!(page, "- <{source}>");
    }
    page
}

/// The list of all rules.
pub fn index(rules: &[&Rule]) -> String {
    let mut page = "# Rules\n\n| Rule | Level | What it finds |\n|---|---|---|\n".to_owned();
    for Rule { id, level, summary, .. } in rules {
        let _ = writeln!(page, "| [{id}]({id}.md) | {level} | {} |", summary.replace('|', "\\|"));
    }
    page
}

/// The list of all codes of statements.
pub fn codes(hazards: &[&Hazard]) -> String {
    let mut page = "# Codes of SQL\n\n\
        What is dangerous about a statement, by the names that squawk and Atlas give it. Class \
        `destructive` loses data and is refused without an approval; `incompatible` breaks code \
        that is running; `locking` makes it wait. The rule [unsafe-sql](rules/unsafe-sql.md) \
        reports the latter two, and `ignoreCodes` takes any name of a row.\n\n\
        | Code | Also | Class | What goes wrong | Remedy |\n|---|---|---|---|---|\n"
        .to_owned();
    for Hazard { code, also, class, reason, mend } in hazards {
        let also = also.join(", ");
        let _ = writeln!(page, "| `{code}` | {also} | {class} | {reason} | {mend} |");
    }
    page
}

/// The parameters with their defaults, as they stand in a policy.
fn parameters(rule: &Rule) -> String {
    let Value::Object(parameters) = (rule.parameters)() else { return none() };
    if parameters.is_empty() {
        return none();
    }
    let mut text = format!("```yaml\nrules:\n  {}:\n    params:\n", rule.id);
    for (name, value) in parameters {
        // JSON is YAML, so every value can stand as it is.
        let _ = writeln!(text, "      {name}: {value}");
    }
    text.push_str("```\n");
    text
}

fn none() -> String {
    "None.\n".to_owned()
}

/// The text with its first letter in upper case, unless it starts with code.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
