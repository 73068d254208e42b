//! JSON text split into the texts of its parts.
//!
//! Most of an object is read by nobody: `managedFields`, `status`, the old object of a change that
//! changes nothing here. A [`Cursor`] passes over it with half the work of a parser, because it
//! looks for quotes and brackets alone: what it passes over need not be JSON in every detail, and what
//! is read is parsed as JSON by whoever reads it. At any nesting depth it neither recurs nor allocates.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::nesting::after_container;

/// A place in JSON text, which moves forward only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
    /// True before the first field of an object, or element of a list, which no comma precedes.
    first: bool,
}

/// The text ends too early, or is something else than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl<'a> Cursor<'a> {
    /// At the start of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, first: false }
    }

    /// Enters the object that is next.
    pub(crate) fn enter(&mut self) -> Result<(), Broken> {
        self.take(b'{').ok_or(Broken)?;
        self.first = true;
        Ok(())
    }

    /// The next key of the object that was entered, after which its value is next; none at the end of
    /// the object, which is left.
    pub(crate) fn key(&mut self) -> Result<Option<Cow<'a, str>>, Broken> {
        if !self.goes_on(b'}')? {
            return Ok(None);
        }
        let key = self.string()?.ok_or(Broken)?;
        self.take(b':').ok_or(Broken)?;
        Ok(Some(key))
    }

    /// The string that is next; none where something else is, which is passed.
    pub(crate) fn string(&mut self) -> Result<Option<Cow<'a, str>>, Broken> {
        match self.plain_string() {
            Some(plain) => Ok(Some(Cow::Borrowed(plain))),
            None => self.value().map(string),
        }
    }

    /// The string that is next, where nothing in it has to be decoded.
    fn plain_string(&mut self) -> Option<&'a str> {
        let text = trimmed(self.rest);
        if *text.as_bytes().first()? != b'"' {
            return None;
        }
        let mut inner = Self { rest: text.get(1..)?, ..*self };
        let plain = inner.rest_of_plain_string()?;
        *self = inner;
        Some(plain)
    }

    /// The rest of a string whose quote was passed, where nothing in it has to be decoded.
    pub(crate) fn rest_of_plain_string(&mut self) -> Option<&'a str> {
        let end = end_of_plain(self.rest.as_bytes())?;
        if *self.rest.as_bytes().get(end)? != b'"' {
            return None;
        }
        let plain = self.rest.get(..end)?;
        self.rest = self.rest.get(end.checked_add(1)?..)?;
        Some(plain)
    }

    /// Passes this text, where it is next, letter by letter. It must end where it began: inside of the same
    /// object or list, and before a key or element that is not the first.
    pub(crate) fn pass(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// Enters the list that is next.
    pub(crate) fn enter_list(&mut self) -> Result<(), Broken> {
        self.take(b'[').ok_or(Broken)?;
        self.first = true;
        Ok(())
    }

    /// True when the list that was entered has another element, which is next; false at the end of the
    /// list, which is left.
    pub(crate) fn element(&mut self) -> Result<bool, Broken> {
        self.goes_on(b']')
    }

    /// The text of the value that is next.
    pub(crate) fn value(&mut self) -> Result<&'a str, Broken> {
        let text = trimmed(self.rest);
        let (value, rest) =
            extent(text.as_bytes()).and_then(|end| text.split_at_checked(end)).ok_or(Broken)?;
        self.rest = rest;
        Ok(value)
    }

    /// True when an object is next.
    pub(crate) fn is_at_object(&self) -> bool {
        trimmed(self.rest).starts_with('{')
    }

    /// True when a list is next.
    pub(crate) fn is_at_list(&self) -> bool {
        trimmed(self.rest).starts_with('[')
    }

    /// True when nothing but white space follows.
    pub(crate) fn is_at_end(&self) -> bool {
        trimmed(self.rest).is_empty()
    }

    /// False at the `end` of what was entered, which is left; else passes the comma, if one is due.
    fn goes_on(&mut self, end: u8) -> Result<bool, Broken> {
        if self.take(end).is_some() {
            self.first = false;
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.take(b',').ok_or(Broken)?;
        }
        Ok(true)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        let text = trimmed(self.rest);
        if *text.as_bytes().first()? != wanted {
            return None;
        }
        self.rest = text.get(1..)?;
        Some(())
    }
}

/// Where a string ends that needs no decoding: at the first quote, or at what needs it, or may not be there
/// at all. Eight bytes at a time, as in [`quote_or_escape`].
fn end_of_plain(text: &[u8]) -> Option<usize> {
    const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);
    let (words, tail) = text.as_chunks();
    let mut before: usize = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // A byte below the blank, in the same way: the lowest that is found is one.
        let low = word.wrapping_sub(BLANKS) & !word & HIGH;
        let found = quotes_and_escapes(word) | low;
        if found != 0 {
            let inside = usize::try_from(found.trailing_zeros() >> 3).ok()?;
            return before.checked_add(inside);
        }
        before = before.saturating_add(8);
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\') || *byte < b' ';
    before.checked_add(tail.iter().position(ends)?)
}

/// The string that `raw` is; none where it is none.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    // What has to be decoded, and what may not be there at all.
    if inner.bytes().any(|byte| byte == b'\\' || byte < b' ') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// `text` without white space before it, as JSON has it.
fn trimmed(text: &str) -> &str {
    // Almost always there is none.
    match text.as_bytes().first() {
        Some(b' ' | b'\t' | b'\n' | b'\r') => text.trim_start_matches([' ', '\t', '\n', '\r']),
        _ => text,
    }
}

/// How long the value is that `text` starts with.
fn extent(text: &[u8]) -> Option<usize> {
    let rest = match text.split_first()? {
        (b'"', rest) => after_string(rest)?,
        (b'{' | b'[', rest) => after_container(rest)?,
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let end = text.iter().position(ends).unwrap_or(text.len());
            // A number or a word: short, and rare where it matters.
            let is_value = serde_json::from_slice::<IgnoredAny>(text.get(..end)?).is_ok();
            return is_value.then_some(end);
        }
    };
    text.len().checked_sub(rest.len())
}

/// What follows the string that `text` is inside of.
fn after_string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let (found, after) = rest.get(quote_or_escape(rest)?..)?.split_first()?;
        if *found == b'"' {
            return Some(after);
        }
        rest = after.get(1..)?;
    }
}

const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// The high bit of each byte that is a quote or a backslash, and perhaps of some above the first of them.
fn quotes_and_escapes(word: u64) -> u64 {
    // The lowest high bit that is set is that of the first byte that is zero; above it there may be more.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    zeros(word ^ u64::from_ne_bytes([b'"'; 8])) | zeros(word ^ u64::from_ne_bytes([b'\\'; 8]))
}

/// Where the first quote or backslash is, eight bytes at a time: strings are short, and a search with wider
/// registers costs more than that before it begins.
fn quote_or_escape(text: &[u8]) -> Option<usize> {
    let (words, tail) = text.as_chunks();
    let mut before: usize = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = quotes_and_escapes(word);
        if found != 0 {
            let inside = usize::try_from(found.trailing_zeros() >> 3).ok()?;
            return before.checked_add(inside);
        }
        before = before.saturating_add(8);
    }
    let inside = tail.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    before.checked_add(inside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn fields(text: &str) -> Result<Vec<(String, String)>, Broken> {
        let mut cursor = Cursor::new(text);
        cursor.enter()?;
        let mut fields = Vec::new();
        while let Some(key) = cursor.key()? {
            fields.push((key.into_owned(), cursor.value()?.to_owned()));
        }
        if cursor.is_at_end() { Ok(fields) } else { Err(Broken) }
    }

    #[test]
    fn an_object_is_split_into_its_fields() {
        for (text, want) in [
            ("{}", &[][..]),
            (" { } ", &[]),
            (r#"{"a":1}"#, &[("a", "1")]),
            (
                "{ \"a\" : [1, {\"b\": \"]}\\\"\"}] ,\n\t\"b\":\"\\\\\" , \"c\":-1.5e3\n}",
                &[("a", "[1, {\"b\": \"]}\\\"\"}]"), ("b", "\"\\\\\""), ("c", "-1.5e3")],
            ),
            (r#"{"\u0061":null,"ä":true}"#, &[("a", "null"), ("ä", "true")]),
        ] {
            let want = want.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            assert_eq!(fields(text), Ok(want.collect()), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_broken() {
        for text in [
            "",
            "[]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,\"a\":1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":\"1}",
            "{\"a\":\"1\\",
            "{\"a\":[1}",
            "{\"a\":1}}",
            "{\"a\":01}",
            "{\"a\":nul}",
            "{\"a\nb\":1}",
        ] {
            assert_eq!(fields(text), Err(Broken), "{text}");
        }
    }

    #[test]
    fn a_list_is_split_into_its_elements() {
        fn elements(text: &str) -> Result<Vec<&str>, Broken> {
            let mut cursor = Cursor::new(text);
            cursor.enter_list()?;
            let mut elements = Vec::new();
            while cursor.element()? {
                elements.push(cursor.value()?);
            }
            if cursor.is_at_end() { Ok(elements) } else { Err(Broken) }
        }

        for (text, want) in [
            ("[]", &[][..]),
            (" [ ] ", &[]),
            ("[1]", &["1"]),
            ("[ 1 ,\n\"a,]\" , [2, 3],{\"b\":[]} ]", &["1", "\"a,]\"", "[2, 3]", "{\"b\":[]}"]),
        ] {
            assert_eq!(elements(text).as_deref(), Ok(want), "{text}");
        }
        for text in ["", "{}", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "[1]]", "[a]"] {
            assert_eq!(elements(text), Err(Broken), "{text}");
        }
    }

    #[test]
    fn a_string_is_decoded_where_it_has_to_be() {
        for (raw, want) in [
            (r#""a""#, Some("a")),
            (r#""a\n\u00e4""#, Some("a\nä")),
            (r#""""#, Some("")),
            ("\"a\nb\"", None),
            (r#""\x""#, None),
            ("\"", None),
            ("a", None),
            ("7", None),
        ] {
            assert_eq!(string(raw).as_deref(), want, "{raw}");
        }
    }

    /// Any JSON value, as text with white space between its parts or without.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_fields_are_those_that_a_parser_sees(
            map in prop::collection::hash_map(any::<String>(), json(), 0..8),
            pretty in any::<bool>(),
        ) {
            let value = Value::Object(map.into_iter().collect());
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let fields = fields(&text).unwrap();
            let seen: serde_json::Map<String, Value> = fields
                .into_iter()
                .map(|(key, value)| (key, serde_json::from_str(&value).unwrap()))
                .collect();
            prop_assert_eq!(Value::Object(seen), value);
        }

        #[test]
        fn any_text_is_split_or_broken(text in any::<String>(), cut in any::<prop::sample::Index>()) {
            let _whatever = fields(&text);
            let object = serde_json::json!({"a": [text], "b": {"c": "d"}}).to_string();
            let cut = cut.index(object.len());
            if let Some(text) = object.get(..cut) {
                prop_assert_eq!(fields(text), Err(Broken));
            }
        }
    }
}
