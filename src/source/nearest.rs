//! The name that was meant.

/// The nearest of the known names, as the end of a sentence; empty when none is near.
pub(crate) fn did_you_mean<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    known
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &word.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| distance.saturating_mul(2) <= name.len())
        .map(|(_, name)| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}

/// Adds the nearest of the names that serde lists.
pub(crate) fn with_nearest(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let Some((wrong, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let Some(word) = wrong.split('`').nth(1) else { return message.to_owned() };
    if !wrong.starts_with("unknown ") {
        return message.to_owned();
    }
    let known = expected.split('`').skip(1).step_by(2);
    format!("{message}{}", did_you_mean(word, known))
}
