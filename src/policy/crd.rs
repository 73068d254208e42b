//! The custom resources that policies, exceptions and approvals are in a cluster, made from the same
//! types.
//!
//! A custom resource needs a *structural* schema: no references, one type everywhere, nothing but
//! constraints of values in combinators. What the types' JSON Schema says otherwise is rewritten.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{MigrationApproval, MigrationException, MigrationPolicy};

const GROUP: &str = "tidegate.dev";
const VERSION: &str = "v1alpha1";

/// One `CustomResourceDefinition` for each kind.
pub fn definitions() -> Vec<Value> {
    let column = |name: &str, path: &str| json!({"name": name, "type": "string", "jsonPath": path});
    let ready = || column("Ready", ".status.conditions[?(@.type=='Ready')].status");
    let age = || json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    let policy = Definition {
        kind: "MigrationPolicy",
        plural: "migrationpolicies",
        short: "mpol",
        scope: "Cluster",
        columns: vec![
            column("Level", ".spec.level"),
            column("Undecided", ".spec.onUndecided"),
            ready(),
            age(),
        ],
    };
    let exception = Definition {
        kind: "MigrationException",
        plural: "migrationexceptions",
        short: "mexc",
        scope: "Namespaced",
        columns: vec![
            column("Rules", ".spec.rules"),
            column("Ticket", ".spec.ticket"),
            // A `date` is shown as an age, and this one is to come.
            column("Expires", ".spec.expires"),
            ready(),
            age(),
        ],
    };
    let approval = Definition {
        kind: "MigrationApproval",
        plural: "migrationapprovals",
        short: "mappr",
        scope: "Namespaced",
        columns: vec![
            column("Approver", ".spec.approver"),
            column("Ticket", ".spec.ticket"),
            column("Expires", ".spec.expires"),
            column("Used", ".status.usedBy.name"),
            ready(),
            age(),
        ],
    };
    vec![
        policy.build(schema::<MigrationPolicy>()),
        exception.build(schema::<MigrationException>()),
        approval.build(schema::<MigrationApproval>()),
    ]
}

/// What the API server checks itself: kind, place in the schema, an expression that must hold, and
/// what it says where it does not. All else is checked where documents are read.
const VALIDATIONS: [(&str, &str, &str, &str); 6] = [
    (
        "MigrationPolicy",
        "/properties/spec/properties/approvals",
        "!has(self.singleUse) || !self.singleUse \
         || (has(self.resources) && self.resources == 'Require')",
        "singleUse needs resources: Require, because annotations cannot be used up",
    ),
    (
        "MigrationPolicy",
        "/properties/spec/properties/approvals/properties/signatures",
        "!has(self.required) || !self.required \
         || (has(self.allowedSigners) && size(self.allowedSigners) > 0)",
        "required needs allowedSigners",
    ),
    (
        "MigrationException",
        "/properties/spec/properties/match",
        "(has(self.kinds) && size(self.kinds) > 0) || (has(self.names) && size(self.names) > 0) \
         || has(self.selector)",
        "must say which objects are meant; names: ['*'] stands for all",
    ),
    (
        "MigrationApproval",
        "/properties/spec",
        "self == oldSelf",
        "an approval cannot be changed: delete it and make another one",
    ),
    (
        "MigrationApproval",
        "/properties/spec",
        "has(self.approver) && size(self.approver) > 0",
        "nobody stamped the approver: tidegate's webhook has to be registered",
    ),
    (
        "MigrationApproval",
        "/properties/status",
        "!has(oldSelf.usedBy) || (has(self.usedBy) && self.usedBy == oldSelf.usedBy)",
        "usedBy never changes once it is written",
    ),
];

struct Definition {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    scope: &'static str,
    columns: Vec<Value>,
}

impl Definition {
    fn build(self, mut schema: Value) -> Value {
        let Self { kind, plural, short, scope, columns } = self;
        for (_, at, rule, message) in VALIDATIONS.iter().filter(|(of, ..)| *of == kind) {
            let Some(Value::Object(place)) = schema.pointer_mut(at) else { continue };
            let rules = place.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            if let Value::Array(rules) = rules {
                rules.push(json!({"rule": rule, "message": message}));
            }
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{GROUP}")},
            "spec": {
                "group": GROUP,
                "scope": scope,
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": plural,
                    "singular": kind.to_lowercase(),
                    "shortNames": [short],
                    "categories": ["tidegate"],
                },
                "versions": [{
                    "name": VERSION,
                    "served": true,
                    "storage": true,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        })
    }
}

/// The structural schema of a document.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let mut schema = structural(settings.into_generator().into_root_schema_for::<T>().to_value());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        // The API server knows these itself and allows no more to be said of them.
        for name in ["apiVersion", "kind"] {
            properties.insert(name.to_owned(), json!({"type": "string"}));
        }
        properties.insert("metadata".to_owned(), json!({"type": "object"}));
    }
    if let Value::Object(schema) = &mut schema {
        schema.insert("required".to_owned(), json!(["spec"]));
    }
    schema
}

/// A schema rewritten as a structural one. The types nest a few levels deep and never in themselves.
fn structural(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else {
        // `true` allows anything.
        return json!({"x-kubernetes-preserve-unknown-fields": true});
    };
    // Defaults are applied when a policy is read: written into the stored object, they would hide
    // what was left out, and a later release could not change them.
    for key in ["$schema", "title", "default", "components"] {
        schema.remove(key);
    }
    flatten(&mut schema);
    // `uint32` is no format of the API server; the minimum says the same.
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"))
    {
        schema.remove("format");
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            *property = structural(property.take());
        }
        // What is not named is pruned, or refused by `kubectl --validate=strict`.
        schema.remove("additionalProperties");
    }
    if let Some(items) = schema.get_mut("items") {
        *items = structural(items.take());
    }
    match schema.remove("additionalProperties") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => any_value(&mut schema),
        Some(value) => match structural(value) {
            Value::Object(inner) if !inner.contains_key("type") => any_value(&mut schema),
            inner => {
                schema.insert("additionalProperties".to_owned(), inner);
            }
        },
    }
    let is_untyped = !schema.contains_key("type");
    if is_untyped && !schema.contains_key("x-kubernetes-preserve-unknown-fields") {
        any_value(&mut schema);
    }
    Value::Object(schema)
}

fn any_value(schema: &mut Map<String, Value>) {
    schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
}

/// Alternatives of words become one enumeration, and an alternative to nothing the thing itself.
fn flatten(schema: &mut Map<String, Value>) {
    for combinator in ["oneOf", "anyOf", "allOf"] {
        let Some(Value::Array(branches)) = schema.remove(combinator) else { continue };
        let mut words = Vec::new();
        for branch in branches {
            let Value::Object(mut branch) = branch else { continue };
            flatten(&mut branch);
            match (branch.remove("const"), branch.remove("enum")) {
                (Some(word), _) => words.push(word),
                (None, Some(Value::Array(more))) => words.extend(more),
                _ if branch.get("type").and_then(Value::as_str) == Some("null") => {
                    schema.insert("nullable".to_owned(), Value::Bool(true));
                }
                _ => {
                    // The words of the field itself say more than those of its type.
                    for (key, value) in branch {
                        schema.entry(key).or_insert(value);
                    }
                }
            }
        }
        words.retain(|word| !word.is_null());
        if !words.is_empty() {
            schema.insert("type".to_owned(), json!("string"));
            schema.insert("enum".to_owned(), Value::Array(words));
        }
    }
    if let Some(word) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([word]));
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        let nullable = types.iter().any(|name| name == "null");
        if let Some(name) = types.iter().find(|name| *name != "null").cloned() {
            schema.insert("type".to_owned(), name);
        }
        if nullable {
            schema.insert("nullable".to_owned(), Value::Bool(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of a structural schema, as the API server states them.
    fn check(schema: &Value, path: &str, root: bool) {
        let map = schema.as_object().unwrap_or_else(|| panic!("{path}: {schema}"));
        let any = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        assert!(any || map.get("type").is_some_and(Value::is_string), "{path} has no type");
        for forbidden in [
            "$ref",
            "$defs",
            "definitions",
            "components",
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "const",
            "$schema",
            "title",
            "default",
            "patternProperties",
            "unevaluatedProperties",
        ] {
            assert!(!map.contains_key(forbidden), "{path} has {forbidden}");
        }
        let both = map.contains_key("properties") && map.contains_key("additionalProperties");
        assert!(!both, "{path} has properties and additionalProperties");
        let described = root
            || map.contains_key("description")
            || path.ends_with(['*', ']'])
            || ["apiVersion", "kind", "metadata"].iter().any(|name| path.ends_with(name));
        assert!(described, "{path} has no description");
        for (name, property) in
            map.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            check(property, &format!("{path}.{name}"), false);
        }
        if let Some(items) = map.get("items") {
            check(items, &format!("{path}[]"), false);
        }
        if let Some(values) = map.get("additionalProperties") {
            check(values, &format!("{path}.*"), false);
        }
    }

    #[test]
    fn every_expression_has_its_place() {
        let text = Value::from(definitions()).to_string();
        for (.., message) in VALIDATIONS {
            assert!(text.contains(message), "{message}");
        }
    }

    #[test]
    fn the_schemas_are_structural_and_say_what_every_field_is() {
        let definitions = definitions();
        assert_eq!(definitions.len(), 3);
        for definition in &definitions {
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            check(schema, definition["spec"]["names"]["kind"].as_str().unwrap(), true);
        }
        let policy = &definitions[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = &policy["properties"]["spec"]["properties"];
        assert_eq!(spec["level"]["enum"], json!(["Off", "Audit", "Warn", "Deny"]));
        assert_eq!(spec["defaults"]["properties"]["runAsUser"]["nullable"], true);
        let rules = &spec["rules"]["additionalProperties"]["properties"];
        assert_eq!(rules["params"]["x-kubernetes-preserve-unknown-fields"], true);
    }
}
