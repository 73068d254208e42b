//! What was detected, for people and as JSON lines.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    detect::{Confidence, Detection, Invocation, Operation, UNKNOWN_TOOL, sql::Statement},
    model::{Container, ContainerList},
};

/// An object and its containers.
#[derive(Clone, Debug)]
pub struct DetectedObject {
    /// The file.
    pub file: String,
    /// Line on which the object starts, counted from 1.
    pub line: usize,
    /// `kind`.
    pub kind: String,
    /// Namespace that it would be created in; none for a cluster-scoped kind.
    pub namespace: Option<String>,
    /// Name, or the prefix that a name is generated from.
    pub name: String,
    /// Every container, also those that have nothing to do with a database.
    pub containers: Vec<DetectedContainer>,
}

/// A container and what it does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DetectedContainer {
    container: String,
    container_type: &'static str,
    migration: &'static str,
    operation: Option<Operation>,
    tool: Option<String>,
    confidence: Option<Confidence>,
    evidence: Vec<Evidence>,
}

/// One command, image, variable or name that tells.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Evidence {
    path: String,
    words: String,
    tool: String,
    operation: Operation,
    confidence: Confidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statements: Vec<Placed>,
    /// The text is no script that can be read: these are words that stand in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_words: bool,
}

/// A file that a ConfigMap shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    config_map: String,
    key: String,
}

/// A statement and the file that it stands in.
#[derive(Clone, Debug, Serialize)]
struct Placed {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File>,
    #[serde(flatten)]
    statement: Statement,
}

impl DetectedContainer {
    /// A container with what was detected in it.
    pub fn new<'d>(
        container: &Container<'_>,
        detections: impl Iterator<Item = &'d Detection<'d>>,
    ) -> Self {
        let detections: Vec<&Detection<'_>> = detections.collect();
        let main = detections
            .iter()
            .map(|detection| &detection.main)
            .max_by_key(|main| (main.operation.is_migration(), main.confidence, main.operation));
        let invocations = detections.iter().flat_map(|detection| &detection.invocations);
        Self {
            container: container.name.to_string(),
            container_type: kind(container.list),
            migration: main.map_or("none", |main| seen_from_outside(main.operation)),
            operation: main.map(|main| main.operation),
            tool: main.map(|main| main.tool.to_owned()),
            confidence: main.map(|main| main.confidence),
            evidence: invocations.map(Evidence::new).collect(),
        }
    }
}

impl Evidence {
    fn new(invocation: &Invocation<'_>) -> Self {
        let file = |file: crate::detect::FileRef<'_>| File {
            config_map: file.config_map.to_owned(),
            key: file.key.to_owned(),
        };
        Self {
            path: invocation.path.clone(),
            words: invocation.words.clone(),
            tool: invocation.tool.to_owned(),
            operation: invocation.operation,
            confidence: invocation.confidence,
            file: invocation.file.map(file),
            statements: invocation
                .seen()
                .map(|(at, statement)| Placed { file: at.map(file), statement: statement.clone() })
                .collect(),
            from_words: invocation.from_words,
        }
    }
}

/// The words of Kubernetes for where a container stands.
fn kind(list: ContainerList) -> &'static str {
    match list {
        ContainerList::Init => "init",
        ContainerList::Sidecar => "sidecar",
        // The Pod of a lifecycle hook has this one container.
        ContainerList::Main | ContainerList::DeploymentHook => "main",
        ContainerList::Ephemeral => "ephemeral",
    }
}

/// What a database sees: how a difference was worked out does not matter to it, and rows alone are
/// no migration.
fn seen_from_outside(operation: Operation) -> &'static str {
    match operation {
        Operation::Apply | Operation::Declarative | Operation::Contract => "apply",
        Operation::Rollback => "rollback",
        Operation::Destructive => "destructive",
        Operation::Unknown => "unknown",
        Operation::ReadOnly | Operation::Backup | Operation::Data | Operation::HistoryOnly => {
            "none"
        }
    }
}

/// One JSON object a line for every container.
pub fn json_lines(objects: &[DetectedObject]) -> String {
    #[derive(Serialize)]
    struct Line<'l> {
        file: &'l str,
        kind: &'l str,
        namespace: Option<&'l str>,
        name: &'l str,
        #[serde(flatten)]
        container: &'l DetectedContainer,
    }
    let mut text = String::new();
    for object in objects {
        for container in &object.containers {
            let line = Line {
                file: &object.file,
                kind: &object.kind,
                namespace: object.namespace.as_deref(),
                name: &object.name,
                container,
            };
            // Writing texts and numbers to memory cannot fail.
            text.push_str(&serde_json::to_string(&line).unwrap_or_default());
            text.push('\n');
        }
    }
    text
}

/// Containers that have to do with a database, by object.
pub fn human(objects: &[DetectedObject], color: bool) -> String {
    let mut text = String::new();
    let (mut containers, mut migrating) = (0_usize, 0_usize);
    for object in objects {
        containers = containers.saturating_add(object.containers.len());
        let told: Vec<_> = object.containers.iter().filter(|c| !c.evidence.is_empty()).collect();
        if told.is_empty() {
            continue;
        }
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let slash = if namespace.is_empty() { "" } else { "/" };
        let DetectedObject { file, line, kind, name, .. } = object;
        let title = format!("{kind} {namespace}{slash}{name}");
        let _ = writeln!(text, "{} ({file}:{line})", painted(&title, "1", color));
        for container in told {
            if container.migration != "none" {
                migrating = migrating.saturating_add(1);
            }
            one(&mut text, container, color);
        }
        text.push('\n');
    }
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let total = objects.len();
    let _ = writeln!(
        text,
        "{containers} container{} in {total} object{}: {migrating} migrate{}",
        s(containers),
        s(total),
        if migrating == 1 { "s" } else { "" },
    );
    text
}

fn one(text: &mut String, container: &DetectedContainer, color: bool) {
    let operation = container.operation.map_or("none", Operation::as_str);
    let shade = match container.migration {
        "destructive" | "rollback" => "31",
        "apply" | "unknown" => "33",
        _ => "2",
    };
    let tool = container.tool.as_deref().filter(|tool| *tool != UNKNOWN_TOOL);
    let with = tool.map(|tool| format!(" with {tool}")).unwrap_or_default();
    let by = match container.confidence {
        Some(Confidence::Name) => "a hint: only a name says so".to_owned(),
        Some(by) => format!("by its {by}"),
        None => String::new(),
    };
    let _ = writeln!(
        text,
        "  {} {}: {}{with}, {by}",
        container.container_type,
        shown(&container.container),
        painted(operation, shade, color),
    );
    for evidence in &container.evidence {
        let Evidence { path, words, operation, .. } = evidence;
        let _ = write!(text, "    {operation:<12} {}  at {path}", shown(words));
        if evidence.from_words {
            text.push_str(", by its words: the script could not be read");
        }
        if let Some(File { config_map, key }) = &evidence.file {
            let _ = write!(text, ", in ConfigMap {} key {}", shown(config_map), shown(key));
        }
        text.push('\n');
        for Placed { file, statement } in &evidence.statements {
            if statement.hazards.is_empty() && statement.operation <= Some(Operation::ReadOnly) {
                continue;
            }
            let place = match file {
                Some(File { config_map, key }) => {
                    format!(
                        "ConfigMap {} key {} line {}",
                        shown(config_map),
                        shown(key),
                        statement.line
                    )
                }
                None => format!("line {}", statement.line),
            };
            let codes: Vec<&str> = statement.hazards.iter().map(|hazard| hazard.code).collect();
            let codes =
                if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
            let _ =
                writeln!(text, "      {}: {}{codes}  {place}", statement.class, statement.words);
        }
    }
}

/// What was written by others must not move the cursor or colour the screen.
fn shown(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

pub(crate) fn painted(text: &str, code: &str, color: bool) -> String {
    let text = shown(text);
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
}
