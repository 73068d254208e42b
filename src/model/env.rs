//! The variables of containers.

use serde::Deserialize;

use super::{
    MountedSource, Text,
    json::Cursor,
    object::{once, optional},
    pod::{NamedSource, null_is_default},
};

/// One `env` entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar<'a> {
    /// Its name.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// The literal value, if it is one. May be a secret: never print it.
    #[serde(borrow)]
    pub value: Option<Text<'a>>,
    /// Where else the value comes from. In a box: most variables have a value, and there may be many.
    #[serde(borrow)]
    pub value_from: Option<Box<EnvSource<'a>>>,
}

/// Reads the list that is next where it is as it should be, without the parser: a container may have hundreds
/// of variables. None for anything else, of which the parser says what is wrong.
pub(super) fn scan<'a>(cursor: &mut Cursor<'a>) -> Option<Vec<EnvVar<'a>>> {
    let mut env = Vec::new();
    cursor.enter_list().ok()?;
    while cursor.element().ok()? {
        env.push(EnvVar::scan(cursor)?);
    }
    Some(env)
}

impl<'a> EnvVar<'a> {
    fn scan(cursor: &mut Cursor<'a>) -> Option<Self> {
        if let Some(variable) = Self::as_written(cursor) {
            return Some(variable);
        }
        let (mut name, mut value, mut value_from) = (None, None, None);
        cursor.enter().ok()?;
        while let Some(key) = cursor.key().ok()? {
            let slot = match key.as_ref() {
                "name" => &mut name,
                "value" => &mut value,
                "valueFrom" => {
                    once(&mut value_from, cursor.value().ok()?)?;
                    continue;
                }
                _ => {
                    cursor.value().ok()?;
                    continue;
                }
            };
            once(slot, Text::from(cursor.string().ok()??))?;
        }
        Some(Self { name: name?, value, value_from: optional(value_from).ok()? })
    }

    /// Reads a name and a value as the API server writes them: without white space, and in this order. None, with
    /// nothing passed, for anything else.
    fn as_written(cursor: &mut Cursor<'a>) -> Option<Self> {
        let mut ahead = *cursor;
        ahead.pass(r#"{"name":""#)?;
        let name = ahead.rest_of_plain_string()?;
        let value = match ahead.pass(r#","value":""#) {
            Some(()) => Some(ahead.rest_of_plain_string()?),
            None => None,
        };
        ahead.pass("}")?;
        *cursor = ahead;
        Some(Self { name: name.into(), value: value.map(Text::from), value_from: None })
    }
}

/// `valueFrom` of a variable.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvSource<'a> {
    /// A key of a Secret.
    #[serde(borrow)]
    pub secret_key_ref: Option<KeyRef<'a>>,
    /// A key of a ConfigMap.
    #[serde(borrow)]
    pub config_map_key_ref: Option<KeyRef<'a>>,
    /// A field of the Pod.
    #[serde(borrow)]
    pub field_ref: Option<FieldRef<'a>>,
    /// A resource of the container.
    #[serde(borrow)]
    pub resource_field_ref: Option<ResourceRef<'a>>,
}

/// A key of a Secret or ConfigMap.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct KeyRef<'a> {
    /// Name of the object.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// The key in it.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub key: Text<'a>,
    /// True when the container starts without it.
    #[serde(deserialize_with = "null_is_default")]
    pub optional: bool,
}

/// A field of the Pod. Its `apiVersion` is defaulted by the API server and so left out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldRef<'a> {
    /// Such as `metadata.name`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub field_path: Text<'a>,
}

/// A resource of a container. Its `divisor` is defaulted by the API server and so left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceRef<'a> {
    /// Such as `limits.memory`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub resource: Text<'a>,
}

/// One `envFrom` entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFrom<'a> {
    /// Put before every name.
    #[serde(borrow)]
    pub prefix: Option<Text<'a>>,
    #[serde(borrow)]
    config_map_ref: Option<NamedSource<'a>>,
    #[serde(borrow)]
    secret_ref: Option<NamedSource<'a>>,
}

impl EnvFrom<'_> {
    /// The ConfigMap or Secret that the variables come from.
    pub fn source(&self) -> Option<MountedSource<'_>> {
        match (&self.config_map_ref, &self.secret_ref) {
            (Some(map), _) => Some(MountedSource::ConfigMap(&map.name)),
            (None, Some(secret)) => Some(MountedSource::Secret(&secret.name)),
            (None, None) => None,
        }
    }

    /// True when the container starts without it.
    pub fn is_optional(&self) -> bool {
        self.config_map_ref.iter().chain(&self.secret_ref).any(|source| source.optional)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::mapping;

    /// What the parser makes of it.
    fn parsed(json: &str) -> Option<Vec<EnvVar<'_>>> {
        mapping::from_str(json).ok()
    }

    fn variables(json: &str) -> Option<Vec<EnvVar<'_>>> {
        let mut cursor = Cursor::new(json);
        let env = scan(&mut cursor)?;
        cursor.is_at_end().then_some(env)
    }

    fn shown(env: Option<Vec<EnvVar<'_>>>) -> Option<String> {
        env.map(|env| format!("{env:?}"))
    }

    #[test]
    fn variables_are_read_as_the_parser_reads_them() {
        for env in [
            "[]",
            r#"[{"name":"A","value":"1"}]"#,
            r#"[{"name":"A"},{"name":"B","value":""},{"name":"","value":"}"},{"name":"C"}]"#,
            r#"[{"name":"A", "value":"1"} ,{"name":"A","value" :"1" } ]"#,
            r#" [ { "value" : "a\"\u00e4" , "name" : "A" } , {"name":"B"} ] "#,
            r#"[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]"#,
            r#"[{"name":"A","value":"1","other":[{"name":"B"}]}]"#,
        ] {
            assert!(parsed(env).is_some(), "{env}");
            assert_eq!(shown(variables(env)), shown(parsed(env)), "{env}");
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_is_left_to_the_parser() {
        for env in [
            "{}",
            "[",
            "[[]]",
            r#"["A"]"#,
            r#"[{"name":1}]"#,
            r#"[{"name":"A","value":true}]"#,
            r#"[{"name":"A","value":null}]"#,
            r#"[{"name":"A","value":"\ud800"}]"#,
            r#"[{"name":"A","name":"B"}]"#,
            r#"[{"name":"A","valueFrom":{"secretKeyRef":[1]}}]"#,
            r#"[{"value":"1"}]"#,
            r#"[{"name":"A"}] x"#,
            r#"[{"name":"A"}x]"#,
            r#"[{"name":"A","value":"1","value":"2"}]"#,
            r#"[{"name":"A","value":"1""#,
            r#"[{"name":"A","value":"1"#,
            "[{\"name\":\"A\",\"value\":\"a\nb\"}]",
        ] {
            assert!(variables(env).is_none(), "{env}");
        }
    }

    /// A list like one of variables.
    fn list() -> impl Strategy<Value = String> {
        let key = prop::sample::select(&["name", "value", "valueFrom", r"na\u006de", "other"][..]);
        let value = prop::sample::select(
            &[
                r#""A""#,
                r#""a\n""#,
                r#""\ud800""#,
                "1",
                "null",
                "[]",
                "{}",
                r#"{"fieldRef":{"fieldPath":"p"}}"#,
                r#"{"fieldRef":1}"#,
                "nul",
            ][..],
        );
        let fields = prop::collection::vec((key, value), 0..4);
        prop::collection::vec(fields, 0..4).prop_map(|all| {
            let one = |fields: Vec<(&str, &str)>| {
                let fields = fields.iter().map(|(key, value)| format!("\"{key}\":{value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            };
            format!("[{}]", all.into_iter().map(one).collect::<Vec<_>>().join(","))
        })
    }

    proptest! {
        #[test]
        fn variables_are_read_as_they_were_written(
            all in prop::collection::vec((any::<String>(), prop::option::of(any::<String>())), 0..6),
        ) {
            let one = |(name, value): &(String, Option<String>)| match value {
                Some(value) => serde_json::json!({"name": name, "value": value}),
                None => serde_json::json!({"name": name}),
            };
            let env = serde_json::Value::from(all.iter().map(one).collect::<Vec<_>>()).to_string();
            let read = variables(&env).unwrap();
            let read = read.iter().map(|env| (env.name.to_string(), env.value.as_ref().map(Text::to_string)));
            prop_assert_eq!(read.collect::<Vec<_>>(), all);
        }

        #[test]
        fn variables_are_never_read_otherwise(env in list()) {
            // What is passed over need not be JSON in every detail.
            if serde_json::from_str::<serde::de::IgnoredAny>(&env).is_ok()
                && let Some(read) = variables(&env)
            {
                prop_assert_eq!(Some(format!("{read:?}")), shown(parsed(&env)));
            }
        }
    }
}
