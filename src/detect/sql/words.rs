//! The tokens of a statement, asked for by their words.

use super::lex::{Kind, Token};

/// A run of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a, 't>(pub(super) &'a [Token<'t>]);

impl<'a, 't> Words<'a, 't> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(self, at: usize) -> Option<&'a Token<'t>> {
        self.0.get(at)
    }

    /// What follows so many tokens.
    pub(super) fn skip(self, count: usize) -> Self {
        Self(self.0.get(count..).unwrap_or_default())
    }

    /// True when this token is this word.
    pub(super) fn is(self, at: usize, word: &str) -> bool {
        self.get(at).is_some_and(|token| token.is(word))
    }

    /// True when this token is one of these words.
    pub(super) fn is_any(self, at: usize, words: &[&str]) -> bool {
        self.get(at).is_some_and(|token| words.iter().any(|word| token.is(word)))
    }

    /// True when the tokens start with these words, which are apart by blanks.
    pub(super) fn starts(self, words: &str) -> bool {
        words.split(' ').enumerate().all(|(at, word)| self.is(at, word))
    }

    /// What follows these words, if the tokens start with them; else all of them.
    pub(super) fn after(self, words: &str) -> Self {
        if self.starts(words) { self.skip(words.split(' ').count()) } else { self }
    }

    /// How deep the first token stands.
    fn depth(self) -> usize {
        self.get(0).map_or(0, |token| token.depth)
    }

    /// The tokens that stand as deep as the first, up to the bracket that closes around them.
    pub(super) fn level(self) -> impl Iterator<Item = (usize, &'a Token<'t>)> {
        let depth = self.depth();
        let around = self.0.iter().enumerate().take_while(move |(_, token)| token.depth >= depth);
        around.filter(move |(_, token)| token.depth == depth)
    }

    /// Where these words stand, one after the other, outside of brackets.
    pub(super) fn find(self, words: &str) -> Option<usize> {
        self.level().map(|(at, _)| at).find(|at| self.skip(*at).starts(words))
    }

    /// True when these words stand outside of brackets.
    pub(super) fn has(self, words: &str) -> bool {
        self.find(words).is_some()
    }

    /// True when this word stands anywhere.
    pub(super) fn has_deep(self, word: &str) -> bool {
        self.0.iter().any(|token| token.is(word))
    }

    /// True when something stands here that only a shell or a template could tell.
    pub(super) fn has_hole(self) -> bool {
        self.0.iter().any(|token| token.kind == Kind::Hole)
    }

    /// The tokens between the commas that stand as deep as the first token.
    pub(super) fn pieces(self) -> impl Iterator<Item = Self> {
        let depth = self.depth();
        self.0.split(move |token| token.kind == Kind::Symbol(',') && token.depth == depth).map(Self)
    }

    /// What stands in the brackets that open here.
    pub(super) fn inside(self) -> Self {
        let Some(open) = self.get(0).filter(|token| token.kind == Kind::Symbol('(')) else {
            return Self(&[]);
        };
        let inside = self.skip(1);
        let closes =
            |token: &Token<'_>| token.depth == open.depth && token.kind == Kind::Symbol(')');
        let end = inside.0.iter().position(closes).unwrap_or(inside.0.len());
        Self(inside.0.get(..end).unwrap_or_default())
    }

    /// Takes a name such as `"a".b`, `${schema}.b` or `:table`: what follows it, and its last
    /// part in a form that can be compared, if that is known.
    pub(super) fn name(self) -> (Self, Option<String>) {
        let is_part = |token: &Token<'_>| match token.kind {
            Kind::Word | Kind::Name | Kind::Number | Kind::Hole | Kind::Literal => true,
            Kind::Symbol(mark) => matches!(mark, '.' | ':' | '@' | '&' | '%' | '-'),
        };
        let glued = self
            .0
            .windows(2)
            .take_while(|pair| match pair {
                [left, right] => {
                    // `a . b` is a name as well.
                    let dot = |token: &Token<'_>| token.kind == Kind::Symbol('.');
                    is_part(right) && (left.touches(right) || dot(left) || dot(right))
                }
                _ => false,
            })
            .count();
        if !self.get(0).is_some_and(is_part) {
            return (self, None);
        }
        let end = glued.saturating_add(1);
        let name = self.0.get(..end).unwrap_or_default();
        let known = !Self(name).has_hole();
        let last = name
            .last()
            .filter(|_| known)
            .map(|token| token.text.trim_matches(['"', '`', '[', ']', '\'']).to_lowercase());
        (self.skip(end), last)
    }
}
