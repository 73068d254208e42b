//! Label selectors and names with wildcards, as Kubernetes checks and applies them.

use super::{
    document::{LabelExpression, LabelSelector, SelectorOperator},
    load::Loader,
};
use crate::source::did_you_mean;

/// Longest name of a label, and longest value, in characters.
const LABEL_LENGTH: usize = 63;
/// Longest prefix of a label's key, in characters.
const PREFIX_LENGTH: usize = 253;

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label is there and has one of the values.
    In(String, Vec<String>),
    /// The label is absent or has none of the values.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

impl Requirement {
    /// True when labels, which `get` finds by their key, satisfy it.
    pub(super) fn matches<'l>(&self, get: impl Fn(&str) -> Option<&'l str>) -> bool {
        let is_one_of = |key: &str, values: &[String]| {
            get(key).is_some_and(|have| values.iter().any(|value| value == have))
        };
        match self {
            Self::In(key, values) => is_one_of(key, values),
            Self::NotIn(key, values) => !is_one_of(key, values),
            Self::Exists(key) => get(key).is_some(),
            Self::DoesNotExist(key) => get(key).is_none(),
        }
    }
}

/// Checks a selector that stands at `field` as the API server would, and compiles it.
pub(super) fn compile(
    loader: &mut Loader<'_>,
    field: &str,
    selector: &LabelSelector,
) -> Vec<Requirement> {
    let LabelSelector { match_labels, match_expressions } = selector;
    let mut requirements = Vec::new();
    for (key, value) in match_labels {
        let field = format!("{field}.matchLabels.{key}");
        for message in [check_key(key), check_value(value)].into_iter().flatten() {
            loader.fail(&field, message);
        }
        requirements.push(Requirement::In(key.clone(), vec![value.clone()]));
    }
    for (index, expression) in match_expressions.iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        requirements.push(compile_expression(loader, &field, expression));
    }
    requirements
}

fn compile_expression(
    loader: &mut Loader<'_>,
    field: &str,
    expression: &LabelExpression,
) -> Requirement {
    let LabelExpression { key, operator, values } = expression;
    if let Some(message) = check_key(key) {
        loader.fail(&format!("{field}.key"), message);
    }
    let needs_values = matches!(operator, SelectorOperator::In | SelectorOperator::NotIn);
    if needs_values == values.is_empty() {
        let message = if needs_values {
            format!("must not be empty with operator {operator:?}")
        } else {
            format!("must be empty with operator {operator:?}")
        };
        loader.fail(&format!("{field}.values"), message);
    }
    for (index, value) in values.iter().enumerate() {
        if let Some(message) = check_value(value) {
            loader.fail(&format!("{field}.values[{index}]"), message);
        }
    }
    let (key, values) = (key.clone(), values.clone());
    match operator {
        SelectorOperator::In => Requirement::In(key, values),
        SelectorOperator::NotIn => Requirement::NotIn(key, values),
        SelectorOperator::Exists => Requirement::Exists(key),
        SelectorOperator::DoesNotExist => Requirement::DoesNotExist(key),
    }
}

/// What is wrong with a label's key: an optional DNS subdomain and `/`, then a name.
fn check_key(key: &str) -> Option<String> {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if !is_label_text(name) {
        let message = "is no label key: a name has 1 to 63 letters, digits, `-`, `_` or `.`, and \
                       starts and ends with a letter or digit";
        return Some(format!("`{key}` {message}"));
    }
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return Some(format!("`{key}` is no label key: what stands before `/` is no DNS name"));
    }
    // A typing mistake in the best known prefix selects nothing, without a word.
    let known = ["kubernetes.io/metadata.name"];
    let near = did_you_mean(key, known.into_iter());
    (!near.is_empty() && !known.contains(&key) && key.contains("kubernetes.io/metadata"))
        .then(|| format!("no namespace has the label `{key}`{near}"))
}

/// What is wrong with a label's value.
fn check_value(value: &str) -> Option<String> {
    (!value.is_empty() && !is_label_text(value)).then(|| {
        format!(
            "`{value}` is no label value: at most 63 letters, digits, `-`, `_` or `.`, and it \
             starts and ends with a letter or digit"
        )
    })
}

fn is_label_text(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= LABEL_LENGTH
        && outer(text.bytes().next())
        && outer(text.bytes().last())
        && text.bytes().all(inner)
}

/// True for a DNS subdomain: dots between labels of lower-case letters, digits and `-`.
pub(super) fn is_subdomain(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= PREFIX_LENGTH && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_and_values_are_those_that_the_api_server_takes() {
        let long = "a".repeat(63);
        for (key, good) in [
            ("env", true),
            ("app.kubernetes.io/name", true),
            ("kubernetes.io/metadata.name", true),
            (long.as_str(), true),
            ("", false),
            ("-env", false),
            ("a b", false),
            ("/env", false),
            ("Example.com/env", false),
            ("kubernetes.io/metadata.nane", false),
            ("a/b/c", false),
        ] {
            assert_eq!(check_key(key).is_none(), good, "{key}: {:?}", check_key(key));
        }
        for (value, good) in
            [("", true), ("live", true), ("a.b_c-d", true), ("a b", false), ("a-", false)]
        {
            assert_eq!(check_value(value).is_none(), good, "{value}");
        }
        assert!(check_value(&"a".repeat(64)).is_some());
    }
}
