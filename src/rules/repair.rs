//! What can be mended without asking anybody.

use serde_json::Value;

use crate::source::path;

/// A change of the object that mends a finding.
///
/// A rule offers one only where there is one clear answer: where people would have to choose, or
/// would run something that they held back, there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Path of the field, as in a finding.
    pub at: String,
    /// What is to stand there; `None` where the field is to go.
    pub to: Option<Value>,
}

impl Repair {
    /// Puts a value at a field, with the mappings around it that are missing.
    pub fn set(at: impl Into<String>, to: impl Into<Value>) -> Self {
        Self { at: at.into(), to: Some(to.into()) }
    }

    /// Leaves a field out.
    pub fn remove(at: impl Into<String>) -> Self {
        Self { at: at.into(), to: None }
    }

    /// Makes the change. False when it cannot be made, because something else is in its way.
    pub fn apply(&self, object: &mut Value) -> bool {
        match &self.to {
            Some(to) => path::set(object, &self.at, to.clone()),
            None => path::remove(object, &self.at),
        }
    }
}

/// The words of an annotation, separated by commas, each as `replace` would have it; with the
/// white space that is around them.
pub(super) fn replace_words(value: &str, replace: impl Fn(&str) -> Option<&'static str>) -> String {
    let parts: Vec<String> = value
        .split(',')
        .map(|part| match replace(part.trim()) {
            Some(word) if !part.trim().is_empty() => part.replacen(part.trim(), word, 1),
            _ => part.to_owned(),
        })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_keep_what_is_around_them() {
        let replace = |word: &str| (word == "b").then_some("c");
        assert_eq!(replace_words(" a, b ,,b", replace), " a, c ,,c");
    }

    #[test]
    fn a_repair_that_does_not_fit_changes_nothing() {
        let mut object = json!({"spec": 1});
        assert!(!Repair::set("spec.a", 1).apply(&mut object));
        assert!(!Repair::remove("spec.a").apply(&mut object));
        assert_eq!(object, json!({"spec": 1}));
    }
}
