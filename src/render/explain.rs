//! Rules, for people and for machines. The Markdown is that of [`rule_page`](super::rule_page).

use std::fmt::{self, Write as _};

use serde::Serialize;
use textwrap::{Options, WordSeparator, WordSplitter, fill, wrap};

use super::rule_page::{by_topic, capital, in_policy, places_in_words};
use crate::rules::{Level, Parameter, Place, Rule};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;
/// On a narrow screen a column is too wide rather than one word wide.
const MIN_COLUMN: usize = 24;

/// How to write for people.
#[derive(Clone, Copy, Debug)]
pub struct Explain {
    /// Use colours.
    pub color: bool,
    /// Columns of the screen.
    pub width: usize,
}

impl Explain {
    /// The list of rules, by topic.
    pub fn list(&self, rules: &[&Rule]) -> String {
        let widest = rules.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (topic, rules) in by_topic(rules) {
            let _ = writeln!(text, "{}", self.heading(topic.title()));
            let lead = widest.saturating_add("    Audit  ".len());
            for Rule { id, level, summary, .. } in rules {
                let padding = " ".repeat(widest.saturating_sub(id.len()));
                let summary = self.column(summary, lead);
                let (id, level) = (self.bold(id), self.level(*level));
                let _ = writeln!(text, "  {id}{padding}  {level}  {summary}");
            }
            text.push('\n');
        }
        text.push_str(
            "`tidegate explain RULE` shows why, an example, the fix and the parameters.\n",
        );
        text
    }

    /// Everything about one rule.
    pub fn rule(&self, rule: &Rule) -> String {
        let Rule { id, summary, why, fix, sources, since, level, places, example, .. } = rule;
        let mut text = format!("{}\n", self.bold(id));
        let _ = writeln!(text, "{}\n", self.paragraph(&format!("{}.", capital(summary)), ""));
        let standing = format!(
            "Level {level} unless a policy says Off, Audit, Warn or Deny. Asked {}. Since {since}.",
            places_in_words(places)
        );
        let _ = writeln!(text, "{}\n", self.paragraph(&standing, ""));
        let _ = writeln!(text, "{}\n{}\n", self.heading("Why"), self.paragraph(why, "  "));
        for (title, yaml) in [("Found", example.refused), ("Mended", example.mended)] {
            let _ = writeln!(text, "{}\n{}", self.heading(title), indented(yaml.trim_end()));
        }
        let _ = writeln!(text, "{}\n{}\n", self.heading("Fix"), self.paragraph(fix, "  "));
        let _ = writeln!(text, "{}", self.heading("Parameters"));
        let parameters = (rule.parameters)();
        if parameters.is_empty() {
            text.push_str("  None.\n");
        }
        for Parameter { name, default, about } in &parameters {
            let _ = writeln!(text, "  {} (default {default})", self.bold(name));
            let _ = writeln!(text, "{}", self.paragraph(about, "    "));
        }
        let _ = writeln!(text, "\n{}", self.heading("In a policy, under `spec`"));
        let _ = writeln!(text, "{}", indented(in_policy(rule).trim_end()));
        let _ = writeln!(text, "{}", self.heading("Sources"));
        for source in *sources {
            let _ = writeln!(text, "  {source}");
        }
        text
    }

    fn paragraph(&self, text: &str, indent: &str) -> String {
        fill(text, options(self.width).initial_indent(indent).subsequent_indent(indent))
    }

    /// A text that starts at column `lead` and stays there.
    fn column(&self, text: &str, lead: usize) -> String {
        let width = self.width.saturating_sub(lead).max(MIN_COLUMN);
        wrap(text, options(width)).join(&format!("\n{}", " ".repeat(lead)))
    }

    fn styled(&self, codes: &str, text: &dyn fmt::Display) -> String {
        if self.color { format!("\u{1b}[{codes}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    fn bold(&self, text: &str) -> String {
        self.styled("1", &text)
    }

    fn heading(&self, text: &str) -> String {
        self.styled("1;4", &text)
    }

    fn level(&self, level: Level) -> String {
        let codes = match level {
            Level::Deny => "31",
            Level::Warn => "33",
            Level::Audit | Level::Off => "36",
        };
        self.styled(codes, &format_args!("{level:<5}", level = level.to_string()))
    }
}

/// How text is broken. Ids and flags have dashes and stay whole; so do addresses.
fn options<'o>(width: usize) -> Options<'o> {
    Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
}

/// A block of code with empty lines around it.
fn indented(text: &str) -> String {
    let mut block = String::new();
    for line in text.lines() {
        let _ = writeln!(block, "  {line}");
    }
    block
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'r> {
    version: u32,
    rules: Vec<RuleOut<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleOut<'r> {
    id: &'r str,
    topic: &'r str,
    level: Level,
    places: &'r [Place],
    since: &'r str,
    summary: &'r str,
    why: &'r str,
    fix: &'r str,
    parameters: Vec<Parameter>,
    example: ExampleOut<'r>,
    sources: &'r [&'r str],
}

#[derive(Serialize)]
struct ExampleOut<'r> {
    found: &'r str,
    mended: &'r str,
}

/// The rules as one JSON document.
pub fn json(rules: &[&Rule]) -> String {
    let rules = rules
        .iter()
        .map(|rule| RuleOut {
            id: rule.id,
            topic: rule.topic.as_str(),
            level: rule.level,
            places: rule.places,
            since: rule.since,
            summary: rule.summary,
            why: rule.why,
            fix: rule.fix,
            parameters: (rule.parameters)(),
            example: ExampleOut { found: rule.example.refused, mended: rule.example.mended },
            sources: rule.sources,
        })
        .collect();
    // Nothing in it can fail to be written: no maps with keys that are no text.
    let mut text =
        serde_json::to_string_pretty(&Output { version: VERSION, rules }).unwrap_or_default();
    text.push('\n');
    text
}
