//! Names of approvers, compared so that one cannot pass for another.

/// Which letters a wildcard stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// Only ASCII: what lets somebody in must not let in a look-alike.
    Ascii,
    /// Any: what keeps somebody out keeps out look-alikes too.
    Any,
}

/// True when `name` fits `pattern`, in which `*` stands for any text and `?` for one character.
///
/// With [`Letters::Ascii`] a letter outside ASCII matches only where it stands in the pattern
/// itself: `*@example.com` must not let in a look-alike of somebody there.
pub(super) fn fits(pattern: &str, name: &str, letters: Letters) -> bool {
    let any = |char: char| letters == Letters::Any || char.is_ascii();
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    // Where to go on when what follows the last `*` does not fit: the star takes one more.
    let mut retry = None;
    loop {
        let (mut ahead, mut rest) = (pattern.clone(), name.clone());
        match (ahead.next(), rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((ahead.clone(), name.clone()));
                pattern = ahead;
                continue;
            }
            (Some('?'), Some(char)) if any(char) => {
                (pattern, name) = (ahead, rest);
                continue;
            }
            (Some(want), Some(have)) if want == have && want != '?' => {
                (pattern, name) = (ahead, rest);
                continue;
            }
            _ => {}
        }
        let Some((after, mut from)) = retry.take() else { return false };
        match from.next() {
            Some(char) if any(char) => {
                retry = Some((after.clone(), from.clone()));
                (pattern, name) = (after, from);
            }
            _ => return false,
        }
    }
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
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "a\u{430}c", false),
            ("?", "*", true),
        ] {
            assert_eq!(fits(pattern, name, Letters::Ascii), want, "{pattern} {name}");
        }
    }

    #[test]
    fn what_excludes_excludes_look_alikes() {
        assert!(fits("*@evil.com", "\u{430}@evil.com", Letters::Any));
        assert!(fits("?@evil.com", "\u{430}@evil.com", Letters::Any));
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
