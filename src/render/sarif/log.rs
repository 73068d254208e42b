//! The part of SARIF 2.1.0 that is written, as the standard names it.
//!
//! The types of the crate `serde-sarif` own every text and make an option of every property, those
//! that must be there included; these borrow, and what must be there is.

use std::collections::BTreeMap;

use serde::Serialize;

/// §3.13.
#[derive(Serialize)]
pub(super) struct Log<'r> {
    #[serde(rename = "$schema")]
    pub(super) schema: &'static str,
    pub(super) version: &'static str,
    pub(super) runs: [Run<'r>; 1],
}

/// §3.14.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run<'r> {
    pub(super) tool: Tool<'r>,
    pub(super) invocations: [Invocation<'r>; 1],
    pub(super) original_uri_base_ids: BTreeMap<&'static str, UriBase>,
    pub(super) column_kind: &'static str,
    pub(super) results: Vec<ResultOut<'r>>,
}

/// §3.18.
#[derive(Serialize)]
pub(super) struct Tool<'r> {
    pub(super) driver: Driver<'r>,
}

/// §3.19.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Driver<'r> {
    pub(super) name: &'static str,
    pub(super) semantic_version: &'static str,
    pub(super) rules: Vec<RuleOut<'r>>,
}

/// §3.49.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleOut<'r> {
    pub(super) id: &'r str,
    pub(super) short_description: Message<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) full_description: Option<Message<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help_uri: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help: Option<Message<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_configuration: Option<Configuration>,
    pub(super) properties: RuleProperties,
}

/// §3.50.
#[derive(Serialize)]
pub(super) struct Configuration {
    pub(super) enabled: bool,
    pub(super) level: &'static str,
}

#[derive(Serialize)]
pub(super) struct RuleProperties {
    pub(super) tags: Vec<&'static str>,
}

/// §3.11 and §3.12.
#[derive(Serialize)]
pub(super) struct Message<'r> {
    pub(super) text: std::borrow::Cow<'r, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) markdown: Option<String>,
}

/// §3.14.14: a base without a URI, because where the files are is for the reader to say.
#[derive(Serialize)]
pub(super) struct UriBase {
    pub(super) description: Message<'static>,
}

/// §3.20.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invocation<'r> {
    pub(super) execution_successful: bool,
    pub(super) tool_execution_notifications: Vec<Notification<'r>>,
    pub(super) tool_configuration_notifications: Vec<Notification<'r>>,
}

/// §3.58.
#[derive(Serialize)]
pub(super) struct Notification<'r> {
    pub(super) level: &'static str,
    pub(super) message: Message<'r>,
    pub(super) locations: [Location<'r>; 1],
}

/// §3.27.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultOut<'r> {
    pub(super) rule_id: &'r str,
    pub(super) rule_index: usize,
    pub(super) level: &'static str,
    pub(super) message: Message<'r>,
    pub(super) locations: [Location<'r>; 1],
    pub(super) partial_fingerprints: Fingerprints,
    pub(super) suppressions: Vec<Suppression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fixes: Vec<FixOut<'r>>,
    pub(super) properties: ResultProperties<'r>,
}

/// §3.27.17. `primaryLocationLineHash` is the one that GitHub reads.
#[derive(Serialize)]
pub(super) struct Fingerprints {
    #[serde(rename = "primaryLocationLineHash")]
    pub(super) line_hash: String,
    #[serde(rename = "tidegate/v1")]
    pub(super) own: String,
}

/// §3.35.
#[derive(Serialize)]
pub(super) struct Suppression {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) justification: String,
}

#[derive(Serialize)]
pub(super) struct ResultProperties<'r> {
    pub(super) effect: &'static str,
    pub(super) undecided: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<&'r str>,
}

/// §3.28.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Location<'r> {
    pub(super) physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logical_locations: Option<[LogicalLocation<'r>; 1]>,
}

/// §3.29.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PhysicalLocation {
    pub(super) artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<Region>,
}

/// §3.4.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactLocation {
    pub(super) uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uri_base_id: Option<&'static str>,
}

/// §3.30. The end is exclusive.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Region {
    pub(super) start_line: usize,
    pub(super) start_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_column: Option<usize>,
}

/// §3.33.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogicalLocation<'r> {
    pub(super) name: &'r str,
    pub(super) fully_qualified_name: String,
    pub(super) kind: &'static str,
}

/// §3.55.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FixOut<'r> {
    pub(super) description: Message<'r>,
    pub(super) artifact_changes: [ArtifactChange<'r>; 1],
}

/// §3.56.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactChange<'r> {
    pub(super) artifact_location: ArtifactLocation,
    pub(super) replacements: Vec<Replacement<'r>>,
}

/// §3.57.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Replacement<'r> {
    pub(super) deleted_region: Region,
    pub(super) inserted_content: Content<'r>,
}

/// §3.3.
#[derive(Serialize)]
pub(super) struct Content<'r> {
    pub(super) text: &'r str,
}
