//! Brace expansion: `{a,b}c` is `ac bc`.

use compact_str::ToCompactString;
use smallvec::SmallVec;

use super::{Part, Word};

/// How many words one word may become.
const MAX_WORDS: usize = 256;

/// How many words `{1..9}` may stand for.
const MOST: u64 = 64;

/// How many characters a word with brackets may have: what is longer is data, and unknown.
const MAX_LENGTH: usize = 1024;

/// What a word becomes.
pub(in crate::detect) struct Alternatives {
    pub(in crate::detect) words: Vec<Word>,
    /// How many characters were looked at for it.
    pub(in crate::detect) cost: usize,
}

/// The words that a word becomes; `None` when it is only itself, which is nearly always. It is
/// unknown what it becomes when more than `most` characters had to be looked at.
pub(in crate::detect) fn alternatives(word: &Word, most: usize) -> Option<Alternatives> {
    let has = |wanted: char| {
        word.parts
            .iter()
            .any(|part| matches!(part, Part::Text { text, quoted: false } if text.contains(wanted)))
    };
    if !has('{') || !(has(',') || has('.')) || !has('}') {
        return None;
    }
    let unknown = |cost| {
        let words = vec![Word::of(Part::Unknown { inside: Box::default(), quoted: true })];
        Some(Alternatives { words, cost })
    };
    let atoms = atoms(word);
    if atoms.len() > MAX_LENGTH {
        return unknown(atoms.len());
    }
    let mut cost = 0_usize;
    let mut done = Vec::new();
    let mut open = vec![atoms];
    // Every round takes one pair of brackets away, so it ends.
    while let Some(next) = open.pop() {
        if open.len().saturating_add(done.len()) > MAX_WORDS || cost > most {
            return unknown(cost);
        }
        cost = cost.saturating_add(next.len());
        match split(&next) {
            Some(words) => open.extend(words.into_iter().rev()),
            None => done.push(next),
        }
    }
    (done.len() > 1).then(|| Alternatives { words: done.into_iter().map(joined).collect(), cost })
}

/// One unquoted character, or a part that holds no brackets.
#[derive(Clone)]
enum Atom<'w> {
    Char(char),
    Part(&'w Part),
}

fn atoms(word: &Word) -> Vec<Atom<'_>> {
    let mut atoms = Vec::new();
    for part in &word.parts {
        match part {
            Part::Text { text, quoted: false } => atoms.extend(text.chars().map(Atom::Char)),
            part => atoms.push(Atom::Part(part)),
        }
    }
    atoms
}

/// Replaces the first pair of brackets that holds a comma of its own by each of its alternatives.
fn split<'w>(atoms: &[Atom<'w>]) -> Option<Vec<Vec<Atom<'w>>>> {
    let mut stack: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut first: Option<(usize, Vec<usize>, usize)> = None;
    for (at, atom) in atoms.iter().enumerate() {
        match atom {
            Atom::Char('{') => stack.push((at, Vec::new())),
            Atom::Char(',') => {
                if let Some((_, commas)) = stack.last_mut() {
                    commas.push(at);
                }
            }
            Atom::Char('}') => {
                if let Some((start, commas)) = stack.pop()
                    && (!commas.is_empty() || range(atoms, start, at).is_some())
                    && first.as_ref().is_none_or(|(other, ..)| start < *other)
                {
                    first = Some((start, commas, at));
                }
            }
            _ => {}
        }
    }
    first.map(|(start, commas, end)| match range(atoms, start, end) {
        Some(texts) if commas.is_empty() => {
            let around = |text: String| {
                let mut word = atoms.get(..start).unwrap_or_default().to_vec();
                word.extend(text.chars().map(Atom::Char));
                word.extend_from_slice(atoms.get(end.saturating_add(1)..).unwrap_or_default());
                word
            };
            texts.into_iter().map(around).collect()
        }
        _ => spread(atoms, start, &commas, end),
    })
}

/// `{1..3}` and `{a..c}`
fn range(atoms: &[Atom<'_>], start: usize, end: usize) -> Option<Vec<String>> {
    let char = |atom: &Atom<'_>| if let Atom::Char(char) = atom { Some(*char) } else { None };
    let inside = atoms.get(start.saturating_add(1)..end)?;
    if inside.len() > 16 {
        return None;
    }
    let text: String = inside.iter().map(char).collect::<Option<_>>()?;
    let (first_text, last_text) = text.split_once("..")?;
    let is_padded = |text: &str| text.trim_start_matches('-').starts_with('0') && text.len() > 1;
    if let (Ok(first), Ok(last)) = (first_text.parse::<i64>(), last_text.parse::<i64>()) {
        if is_padded(first_text) || is_padded(last_text) || first.abs_diff(last) > MOST {
            return None;
        }
        let texts: Vec<String> =
            (first.min(last)..=first.max(last)).map(|n| n.to_string()).collect();
        return Some(if first <= last { texts } else { texts.into_iter().rev().collect() });
    }
    let letter = |text: &str| text.parse::<char>().ok().filter(char::is_ascii_alphabetic);
    let (first, last) = (letter(first_text)?, letter(last_text)?);
    let texts: Vec<String> = (first.min(last)..=first.max(last)).map(String::from).collect();
    Some(if first <= last { texts } else { texts.into_iter().rev().collect() })
}

fn spread<'w>(
    atoms: &[Atom<'w>],
    start: usize,
    commas: &[usize],
    end: usize,
) -> Vec<Vec<Atom<'w>>> {
    let mut words = Vec::new();
    let mut from = start.saturating_add(1);
    for until in commas.iter().copied().chain([end]).take(MAX_WORDS) {
        let mut word = atoms.get(..start).unwrap_or_default().to_vec();
        word.extend_from_slice(atoms.get(from..until).unwrap_or_default());
        word.extend_from_slice(atoms.get(end.saturating_add(1)..).unwrap_or_default());
        words.push(word);
        from = until.saturating_add(1);
    }
    words
}

fn joined(atoms: Vec<Atom<'_>>) -> Word {
    let mut parts: SmallVec<[Part; 1]> = SmallVec::new();
    for atom in atoms {
        match (atom, parts.last_mut()) {
            (Atom::Char(next), Some(Part::Text { text, quoted: false })) => text.push(next),
            (Atom::Char(next), _) => {
                parts.push(Part::Text { text: next.to_compact_string(), quoted: false });
            }
            (Atom::Part(part), _) => parts.push(part.clone()),
        }
    }
    Word { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_expanded_as_in_a_shell() {
        for (text, expected) in [
            ("a", None),
            ("{a}", None),
            ("a,b", None),
            ("{a,b", None),
            ("{a,b}", Some("a b")),
            ("x{a,b}y", Some("xay xby")),
            ("{a,b}{c,d}", Some("ac ad bc bd")),
            ("{a,{b,c}}", Some("a b c")),
            ("{x{a,b}", Some("{xa {xb")),
            ("{{a,b}}", Some("{a} {b}")),
            ("{,x}", Some(" x")),
            ("{1..3}", Some("1 2 3")),
            ("x{c..a}{1..2}", Some("xc1 xc2 xb1 xb2 xa1 xa2")),
            ("{-1..1}", Some("-1 0 1")),
            ("{01..02}", None),
            ("{1..1000000}", None),
            ("{a..1}", None),
            ("{1...3}", None),
        ] {
            let word = Word::of(Part::Text { text: text.into(), quoted: false });
            let words = alternatives(&word, usize::MAX).map(|Alternatives { words, .. }| {
                let words: Vec<_> = words.iter().filter_map(Word::literal).collect();
                words.join(" ")
            });
            assert_eq!(words.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn many_brackets_do_not_multiply_without_end() {
        let word = Word::of(Part::Text { text: "{a,b}".repeat(1_000).into(), quoted: false });
        assert_eq!(alternatives(&word, usize::MAX).unwrap().words.len(), 1);
    }
}
