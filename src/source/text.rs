//! Bytes to text, and lines of it.

use std::borrow::Cow;

use super::{Position, SourceError};

/// Text out of bytes: UTF-8, or UTF-16 with a byte-order mark, which Kubernetes reads as well.
///
/// # Errors
///
/// Where the first byte is that is neither.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, SourceError> {
    let wide = match bytes {
        [0xff, 0xfe, rest @ ..] => Some(units(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(units(rest, u16::from_be_bytes)),
        _ => None,
    };
    if let Some(units) = wide {
        return String::from_utf16(&units).map(Cow::Owned).map_err(|_unpaired| SourceError {
            position: Position::START,
            message: "the text starts as UTF-16 and is none".to_owned(),
        });
    }
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = std::str::from_utf8(good).unwrap_or_default();
        SourceError { position: end_of(good), message: "a byte that is not UTF-8".to_owned() }
    })
}

/// The bytes of a text in the encoding of `before`, which [`decode`] could read.
pub fn encode_like(before: &[u8], text: &str) -> Vec<u8> {
    let wide = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
        mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
    };
    match before {
        [0xff, 0xfe, ..] => wide([0xff, 0xfe], u16::to_le_bytes),
        [0xfe, 0xff, ..] => wide([0xfe, 0xff], u16::to_be_bytes),
        _ => text.as_bytes().to_vec(),
    }
}

fn units(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u16> {
    bytes.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map_or(0xd800, unit)).collect()
}

/// The position after the last character of a text.
fn end_of(text: &str) -> Position {
    Position::START.after(text)
}

impl Position {
    /// The position after `text`, which starts here.
    pub(super) fn after(self, text: &str) -> Self {
        let offset = self.offset.saturating_add(text.len());
        match text.rsplit_once('\n') {
            None => {
                let column = self.column.saturating_add(text.chars().count());
                Self { line: self.line, column, offset }
            }
            Some((before, last)) => {
                let breaks = before.matches('\n').count().saturating_add(1);
                let column = last.chars().count().saturating_add(1);
                Self { line: self.line.saturating_add(breaks), column, offset }
            }
        }
    }
}
