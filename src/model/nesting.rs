//! Where an object or a list of JSON ends, found 64 bytes at a time.
//!
//! The way of Langdale and Lemire, "Parsing Gigabytes of JSON per Second" (2019), section 3.1: a bit
//! for each byte of a kind, and sums over bits in place of a look at every byte.

use wide::u8x16;

/// How many bytes are looked at together.
const BLOCK: usize = 64;

/// What follows the object or the list that `text` is inside of; none where it does not end.
pub(super) fn after_container(text: &[u8]) -> Option<&[u8]> {
    let mut place = Place { depth: 1, is_quoted: 0, is_escaped: 0 };
    let (blocks, tail) = text.as_chunks::<BLOCK>();
    let mut before: usize = 0;
    for block in blocks {
        if let Some(end) = place.pass(block) {
            return text.get(before.checked_add(end)?..);
        }
        before = before.checked_add(BLOCK)?;
    }
    let mut last = [b' '; BLOCK];
    last.get_mut(..tail.len())?.copy_from_slice(tail);
    text.get(before.checked_add(place.pass(&last)?)?..)
}

/// Where one block of a text ends and the next begins.
#[derive(Debug)]
struct Place {
    /// How many objects and lists are open.
    depth: usize,
    /// All ones inside of a string, else zero.
    is_quoted: u64,
    /// One behind a backslash that nothing escapes, else zero.
    is_escaped: u64,
}

impl Place {
    /// Passes a block; the number of its bytes up to the end, where the outermost object or list ends in it.
    fn pass(&mut self, block: &[u8; BLOCK]) -> Option<usize> {
        let marks = Marks::of(block);
        let quotes = marks.quotes & !self.escaped(marks.backslashes);
        // A bit for each byte of a string, its first quote among them and its last one not.
        let strings = prefix_sums(quotes) ^ self.is_quoted;
        self.is_quoted = 0_u64.wrapping_sub(strings >> 63);
        let opening = marks.opening & !strings;
        let closing = marks.closing & !strings;
        // Two side by side that open and close leave the depth as it is; managed fields are full of them.
        let pairs = opening & (closing >> 1);
        let opening = opening & !pairs;
        let mut brackets = opening | (closing & !(pairs << 1));
        while brackets != 0 {
            let lowest = brackets & brackets.wrapping_neg();
            if opening & lowest != 0 {
                self.depth = self.depth.saturating_add(1);
            } else {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return usize::try_from(lowest.trailing_zeros()).ok()?.checked_add(1);
                }
            }
            brackets ^= lowest;
        }
        None
    }

    /// A bit for each byte behind a backslash that nothing escapes.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.is_escaped);
        }
        let backslashes = backslashes & !self.is_escaped;
        let behind = (backslashes << 1) | self.is_escaped;
        // The carry of a sum runs through each row of backslashes; those that start at an odd place
        // are told from those that start at an even one.
        let odd_starts = backslashes & !EVEN & !behind;
        let (rows, overflows) = odd_starts.overflowing_add(backslashes);
        self.is_escaped = u64::from(overflows);
        (EVEN ^ (rows << 1)) & behind
    }
}

/// A bit for each byte of a block that is of a kind.
#[derive(Debug, Default)]
struct Marks {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

impl Marks {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut marks = Self::default();
        let (vectors, _) = block.as_chunks::<16>();
        for vector in vectors.iter().rev() {
            let bytes = u8x16::new(*vector);
            // `[` and `{`, and `]` and `}`, differ in one bit.
            let brackets = bytes | u8x16::splat(0x20);
            let bits = |of: u8x16, byte: u8| u64::from(of.simd_eq(u8x16::splat(byte)).to_bitmask());
            marks.quotes = (marks.quotes << 16) | bits(bytes, b'"');
            marks.backslashes = (marks.backslashes << 16) | bits(bytes, b'\\');
            marks.opening = (marks.opening << 16) | bits(brackets, b'{');
            marks.closing = (marks.closing << 16) | bits(brackets, b'}');
        }
        marks
    }
}

/// Each bit the sum, without carry, of all bits up to it.
fn prefix_sums(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |sums, by| sums ^ (sums << by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte. A backslash stands in strings alone where the text is JSON; elsewhere it
    /// hides a quote and nothing more.
    fn plainly(text: &[u8]) -> Option<&[u8]> {
        let (mut depth, mut is_quoted, mut is_escaped) = (1_usize, false, false);
        for (at, byte) in text.iter().enumerate() {
            let escaped = std::mem::take(&mut is_escaped);
            match byte {
                b'\\' => is_escaped = !escaped,
                b'"' if !escaped => is_quoted = !is_quoted,
                b'{' | b'[' if !is_quoted => depth = depth.saturating_add(1),
                b'}' | b']' if !is_quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return text.get(at.saturating_add(1)..);
            }
        }
        None
    }

    #[test]
    fn the_end_is_found_wherever_it_is() {
        for length in 0..200 {
            for inside in ["", "{}", "[]", "\"}\"", "\"\\\"}\"", "\"\\\\\"", "\"\u{e4}]\""] {
                let text = format!("{}{inside}}} ]", " ".repeat(length));
                assert_eq!(after_container(text.as_bytes()), Some(&b" ]"[..]), "{text}");
                let cut = text.trim_end_matches("} ]");
                assert_eq!(after_container(cut.as_bytes()), None, "{cut}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn rows_of_backslashes_and_quotes_are_read_as_byte_by_byte(
            text in prop::collection::vec(prop::sample::select(&b"{}[]\\\\\\\"\"a \xc3"[..]), 0..300),
        ) {
            prop_assert_eq!(after_container(&text), plainly(&text));
        }
    }
}
