//! Properties that decide what an application does to its database when it starts.

use compact_str::CompactString;

use super::{
    Confidence, Operation,
    catalogue::Catalogue,
    commands::{Field, Found, Reader, Step},
    entry::SettingEntry,
};
use crate::source::wildcard;

/// Variables that hold options for every Java program.
const JVM_OPTIONS: [&str; 7] = [
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "JAVA_OPTS",
    "JAVA_OPTIONS",
    "JAVA_OPTS_APPEND",
    "JAVA_ARGS",
];

/// The property whose value is a JSON object of properties.
const JSON: &str = "springapplicationjson";

/// How many bytes of a value that holds others cost as much as one command.
const BYTES_A_COMMAND: usize = 64;

/// How deeply that object may nest.
const MAX_DEPTH: usize = 32;

/// A property, ready to be matched.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) tool: usize,
    /// As it is written in the catalogue, without what stands for any text.
    pub(super) name: String,
    pub(super) operation: Operation,
    normal: String,
    values: Vec<String>,
}

impl Setting {
    pub(super) fn new(entry: &SettingEntry, tool: usize) -> Self {
        Self {
            tool,
            name: entry.name.replace('*', ""),
            operation: entry.operation,
            normal: Self::normal(&entry.name),
            values: entry.values.clone(),
        }
    }

    /// What is left of a name when the freedoms of relaxed binding are taken away.
    pub(super) fn normal(name: &str) -> String {
        normal_letters(name).collect()
    }

    /// True when this value says it; it stands without blanks and quotes around it.
    pub(super) fn takes(&self, value: &str) -> bool {
        self.values.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    }

    /// True when a property of this normal name is the one.
    pub(super) fn is_called(&self, normal: &str) -> bool {
        wildcard(&self.normal, normal)
    }
}

/// What texts start with and how long they are, whatever the case of their letters: almost all values of
/// variables are told from those of settings by that.
#[derive(Clone, Debug)]
pub(super) struct Outlines {
    /// For each first byte a bit for each length, the last for all that are longer.
    lengths: [u64; 256],
}

impl Default for Outlines {
    fn default() -> Self {
        Self { lengths: [0; 256] }
    }
}

impl Outlines {
    pub(super) fn add(&mut self, text: &str) {
        let (first, length) = Self::of(text);
        if let Some(lengths) = self.lengths.get_mut(first) {
            *lengths |= length;
        }
    }

    /// False when no text that was added is the same but for the case of letters.
    pub(super) fn has(&self, text: &str) -> bool {
        let (first, length) = Self::of(text);
        self.lengths.get(first).is_some_and(|lengths| lengths & length != 0)
    }

    fn of(text: &str) -> (usize, u64) {
        let first = text.bytes().next().unwrap_or_default().to_ascii_lowercase();
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).min(63);
        (usize::from(first), 1_u64 << length)
    }
}

fn normal_letters(name: &str) -> impl Iterator<Item = char> {
    let is_letter = |c: &char| c.is_ascii_alphanumeric() || *c == '*';
    name.chars().filter(is_letter).map(|c| c.to_ascii_lowercase())
}

/// Finds properties and what they mean; every name is given with its value.
fn properties<'t>(name: &str, value: &'t str, each: &mut dyn FnMut(&str, &'t str)) {
    if JVM_OPTIONS.contains(&name) {
        for word in value.split_ascii_whitespace() {
            if let Some((name, value)) = property(word) {
                each(name, value);
            }
        }
        return;
    }
    each(name, value);
}

/// `-Dname=value`, `--name=value`.
fn property(word: &str) -> Option<(&str, &str)> {
    if !word.starts_with(['-', '"', '\'']) {
        return None;
    }
    let word = word.trim_matches(['"', '\'']);
    word.strip_prefix("-D").or_else(|| word.strip_prefix("--"))?.split_once('=')
}

/// False when [`found`] finds nothing for sure, which is told sooner.
pub(super) fn may_be_found(catalogue: &Catalogue, name: &str, value: &str) -> bool {
    catalogue.may_be_set(value) || holds_more(name)
}

/// What a variable or a property of an application means for its database.
pub(super) fn found<'c>(
    catalogue: &'c Catalogue,
    name: &str,
    value: &str,
    field: Field,
    confidence: Confidence,
) -> Vec<Found<'c>> {
    let mut found = Vec::new();
    let mut add = |name: &str, value: &str| {
        if let Some((tool, operation, shown)) = catalogue.setting(name, value) {
            let confidence = tool.ceiling.min(confidence);
            found.push(Found::of(&tool.id, operation, confidence, shown, field));
        }
    };
    properties(name, value, &mut |name, value| {
        if is_json(name) {
            if let Ok(json) = serde_json::from_str(value) {
                json_properties(&json, "", MAX_DEPTH, &mut add);
            }
        } else {
            add(name, value);
        }
    });
    found
}

/// True for what has a value that holds other properties.
fn holds_more(name: &str) -> bool {
    // Few names start as these do; a sign may stand before the name of a property.
    let first = name.bytes().next().unwrap_or_default();
    let starts = matches!(first, b'J' | b's' | b'S') || !first.is_ascii_alphanumeric();
    starts && (JVM_OPTIONS.contains(&name) || is_json(name))
}

/// True for the property whose value holds others.
fn is_json(name: &str) -> bool {
    name.len() <= 64 && normal_letters(name).eq(JSON.chars())
}

/// Names every leaf of a JSON object by its path.
fn json_properties(
    json: &serde_json::Value,
    path: &str,
    depth: usize,
    each: &mut dyn FnMut(&str, &str),
) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match json {
        serde_json::Value::Object(map) if path.len() <= 256 => {
            for (key, value) in map {
                json_properties(value, &format!("{path}.{key}"), depth, each);
            }
        }
        serde_json::Value::String(text) => each(path, text),
        serde_json::Value::Bool(on) => each(path, if *on { "true" } else { "false" }),
        _ => {}
    }
}

impl Reader<'_> {
    /// Looks for properties among the variables and the arguments of one program.
    pub(super) fn settings(
        &mut self,
        argv: &[CompactString],
        environment: &[(CompactString, CompactString)],
    ) {
        let variables = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let arguments = argv.iter().filter_map(|word| property(word));
        for (name, value) in variables.chain(arguments) {
            // A long value that is given again and again costs as much as a long script.
            if holds_more(name) && !self.spend(value.len() / BYTES_A_COMMAND) {
                return;
            }
            let confidence = Confidence::Command;
            let found = found(self.catalogue, name, value, self.field, confidence);
            self.steps.extend(found.into_iter().map(Step::Found));
        }
    }

    /// Looks for properties among what `export NAME=value` sets.
    pub(super) fn settings_set(&mut self, args: &[CompactString]) {
        let set = |arg: &CompactString| {
            arg.split_once('=').map(|(name, value)| (name.into(), value.into()))
        };
        let environment: Vec<(CompactString, CompactString)> =
            args.iter().filter_map(set).collect();
        self.settings(&[], &environment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_written_in_many_ways() {
        for name in [
            "spring.jpa.hibernate.ddl-auto",
            "SPRING_JPA_HIBERNATE_DDL_AUTO",
            "SPRING_JPA_HIBERNATE_DDLAUTO",
            "spring.jpa.hibernate.ddlAuto",
        ] {
            assert_eq!(Setting::normal(name), "springjpahibernateddlauto", "{name}");
        }
    }

    #[test]
    fn what_texts_look_like_from_afar_rules_most_out() {
        let mut outlines = Outlines::default();
        assert!(!outlines.has("") && !outlines.has("x"));
        let long = "y".repeat(200);
        for text in ["Update", "", "\u{e4}", &long] {
            outlines.add(text);
        }
        for (text, is_there) in [
            ("update", true),
            ("UPDATE", true),
            ("updates", false),
            ("", true),
            ("\u{e4}", true),
            ("8080", false),
            (&long.to_uppercase(), true),
            ("y", false),
        ] {
            assert_eq!(outlines.has(text), is_there, "{text}");
        }
    }

    #[test]
    fn json_is_read_to_a_depth_only() {
        let deep = format!("{}true{}", "{\"a\":".repeat(100), "}".repeat(100));
        let mut seen = Vec::new();
        for text in [deep.as_str(), r#"{"a":{"b":"c","d":true},"e.f":"g","h":1}"#] {
            let json = serde_json::from_str(text).unwrap();
            json_properties(&json, "", MAX_DEPTH, &mut |name, value| {
                seen.push(format!("{name}={value}"));
            });
        }
        assert_eq!(seen, [".a.b=c", ".a.d=true", ".e.f=g"]);
    }
}
