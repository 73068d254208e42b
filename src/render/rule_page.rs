//! The page of a rule, in Markdown. Everything on it comes from the rule and its fixtures.

use std::fmt::Write as _;

use crate::{
    detect::sql::Hazard,
    rules::{Place, Rule, Topic},
};

/// The page of one rule.
pub fn page(rule: &Rule) -> String {
    let Rule { id, summary, why, fix, sources, since, level, places, example, .. } = rule;
    let mut page = format!("# {id}\n\n{}.\n\n", capital(summary));
    let asked = places_in_words(places);
    let _ = writeln!(
        page,
        "Level: `{level}` unless a policy says otherwise. Asked {asked}. Since {since}.\n"
    );
    let _ = writeln!(page, "## Why\n\n{why}\n");
    let _ = writeln!(page, "## Example\n\nSomething is found here:\n");
    let _ = writeln!(page, "```yaml\n{}\n```\n", example.refused.trim_end());
    let _ = writeln!(page, "And nothing here:\n\n```yaml\n{}\n```\n", example.mended.trim_end());
    let _ = writeln!(page, "## Fix\n\n{fix}\n");
    let _ = writeln!(page, "## Parameters\n\n{}", parameters(rule));
    page.push_str("## Sources\n\n");
    for source in *sources {
        let _ = writeln!(page, "- <{source}>");
    }
    page
}

/// The list of rules, by topic.
pub fn index(rules: &[&Rule]) -> String {
    let mut page = "# Rules\n\n`tidegate explain` shows this list, and `tidegate explain RULE` a \
                    page.\n"
        .to_owned();
    for (topic, rules) in by_topic(rules) {
        let _ = writeln!(page, "\n## {}\n", topic.title());
        page.push_str("| Rule | Level | What it finds |\n|---|---|---|\n");
        for Rule { id, level, summary, .. } in rules {
            let summary = summary.replace('|', "\\|");
            let _ = writeln!(page, "| [{id}]({id}.md) | {level} | {summary} |");
        }
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

/// The rules of every topic that has any, in order.
pub(super) fn by_topic<'r>(rules: &[&'r Rule]) -> impl Iterator<Item = (Topic, Vec<&'r Rule>)> {
    Topic::ALL.into_iter().filter_map(|topic| {
        let of: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.topic == topic).collect();
        (!of.is_empty()).then_some((topic, of))
    })
}

/// `at admission, on manifests and on live objects`.
pub(super) fn places_in_words(places: &[Place]) -> String {
    let words: Vec<String> = places.iter().map(Place::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The parameters with their defaults, as they stand in a policy.
fn parameters(rule: &Rule) -> String {
    let parameters = (rule.parameters)();
    if parameters.is_empty() {
        return "None.\n".to_owned();
    }
    let mut text = "| Parameter | Default | What it does |\n|---|---|---|\n".to_owned();
    for parameter in &parameters {
        let about = parameter.about.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | `{}` | {about} |", parameter.name, parameter.default);
    }
    let _ = write!(text, "\n```yaml\n{}```\n", in_policy(rule));
    text
}

/// The rule with its level and the defaults of its parameters, as they would stand in a policy.
pub(super) fn in_policy(rule: &Rule) -> String {
    let mut text = format!("rules:\n  {}:\n    level: {}\n", rule.id, rule.level);
    let parameters = (rule.parameters)();
    if !parameters.is_empty() {
        text.push_str("    params:\n");
    }
    for parameter in parameters {
        // JSON is YAML, so every value can stand as it is.
        let _ = writeln!(text, "      {}: {}", parameter.name, parameter.default);
    }
    text
}

/// The text with its first letter in upper case, unless it starts with code.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
