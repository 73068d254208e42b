//! Words that several formats share.

/// What was written by others must not move the cursor or colour the screen.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// `1 object`, `2 objects`.
pub fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// True for what stands between backticks.
    pub(super) code: bool,
    /// The text.
    pub(super) text: String,
}

/// A sentence, in one line, with what stands between backticks apart.
pub(super) fn prose(text: &str) -> Vec<Piece> {
    let piece = |code, text: &str| Piece { code, text: one_line(text) };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, (inside, after))) =
        rest.split_once('`').and_then(|(before, tail)| Some((before, tail.split_once('`')?)))
    {
        pieces.push(piece(false, before));
        pieces.push(piece(true, inside));
        rest = after;
    }
    pieces.push(piece(false, rest));
    pieces.retain(|piece| !piece.text.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_a_sentence_stands_apart() {
        let told = |text| {
            let pieces = prose(text).into_iter();
            pieces.map(|it| if it.code { format!("<{}>", it.text) } else { it.text })
        };
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("`a` and `b`", "<a> and <b>"),
            ("an odd ` one", "an odd ` one"),
            ("`a` b ` c", "<a> b ` c"),
        ] {
            assert_eq!(told(text).collect::<String>(), want);
        }
    }
}
