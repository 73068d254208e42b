//! Names as users write them: the nearest that exists, and patterns.

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

/// True when `text` is `pattern`, in which `*` stands for any text, also none.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_any_text() {
        for (pattern, text, want) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxyyc", false),
            ("team-*-db", "team-db", false),
        ] {
            assert_eq!(wildcard(pattern, text), want, "{pattern} {text}");
        }
    }
}
