//! Names of approvers, compared so that one cannot pass for another.

/// True when `name` fits `pattern`, in which `*` stands for any ASCII text.
///
/// A letter outside ASCII matches only where it stands in the pattern itself: `*@example.com` must
/// not let in a look-alike of somebody there.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    let Some(middle) = rest.strip_suffix(last) else { return false };
    rest = middle;
    let mut parts: Vec<&str> = parts.collect();
    parts.pop();
    for part in parts {
        let Some((skipped, after)) = rest.split_once(part) else { return false };
        if !skipped.is_ascii() {
            return false;
        }
        rest = after;
    }
    rest.is_ascii()
}

/// What is odd about a name that fits nothing, as the end of a clause; empty for plain ASCII.
pub(super) fn oddity(name: &str) -> String {
    name.char_indices().find(|(_, char)| !char.is_ascii()).map_or_else(String::new, |(at, char)| {
        let before = name.get(..at).unwrap_or_default().chars().count();
        format!(
            " (character {} of it is U+{:04X}, which is no ASCII letter: it may only look like one)",
            before.saturating_add(1),
            u32::from(char)
        )
    })
}

/// True when two names may be those of one person: case tells nobody apart, and what is not ASCII
/// may only look different.
pub(super) fn may_be_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || !one.is_ascii() || !other.is_ascii()
}

/// True for text that reads as it is: nothing that is invisible or changes the direction.
pub(super) fn is_plain(text: &str) -> bool {
    !text.chars().any(|char| {
        char.is_control()
            || matches!(
                char,
                '\u{ad}'
                    | '\u{61c}'
                    | '\u{115f}'..='\u{1160}'
                    | '\u{180e}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{3164}'
                    | '\u{fe00}'..='\u{fe0f}'
                    | '\u{feff}'
                    | '\u{fff0}'..='\u{fffb}'
                    | '\u{e0000}'..='\u{e0fff}'
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_ascii_text() {
        for (pattern, name, want) in [
            ("alice@example.com", "alice@example.com", true),
            ("alice@example.com", "Alice@example.com", false),
            ("*@example.com", "alice@example.com", true),
            ("*@example.com", "@example.com", true),
            ("*@example.com", "alice@example.com.evil", false),
            ("*@example.com", "\u{430}lice@example.com", false),
            ("\u{430}*@example.com", "\u{430}lice@example.com", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "x", false),
            ("a*\u{430}*c", "a\u{430}c", true),
            ("a**c", "abc", true),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn a_look_alike_is_pointed_at() {
        assert!(oddity("\u{430}lice").contains("character 1 of it is U+0430"));
        assert!(oddity("ali\u{441}e").contains("character 4 of it is U+0441"));
        assert_eq!(oddity("alice"), "");
        assert!(may_be_same("Alice", "alice") && may_be_same("\u{430}lice", "alice"));
        assert!(!may_be_same("alice", "bob"));
        assert!(!is_plain("a\u{200b}") && !is_plain("a\nb") && is_plain("Zo\u{eb}"));
    }
}
