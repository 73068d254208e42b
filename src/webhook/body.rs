//! The bytes of a request's body.

use std::{io, ops::Deref};

use memmap2::MmapMut;

/// From this length on, in bytes, a body has pages of its own.
const OWN_PAGES: usize = 1 << 20;

/// A body while it arrives, and when it is there. It takes what was announced and no more.
#[derive(Debug)]
pub(super) enum Bytes {
    Small(Vec<u8>),
    /// Pages that go back to the system together with the body, so many bytes of which are filled.
    ///
    /// An allocator keeps what it is given back for whoever asks next: after a few bodies of many
    /// megabytes, half as much again as all bodies may hold together.
    Large(MmapMut, usize),
}

impl Bytes {
    /// Room for `length` bytes. Fails when the system has no memory.
    pub(super) fn with_capacity(length: usize) -> io::Result<Self> {
        if length < OWN_PAGES {
            return Ok(Self::Small(Vec::with_capacity(length)));
        }
        Ok(Self::Large(MmapMut::map_anon(length)?, 0))
    }

    /// Adds what has arrived; false when it is more than there is room for.
    pub(super) fn extend(&mut self, data: &[u8]) -> bool {
        match self {
            Self::Small(bytes) => {
                let fits = data.len() <= bytes.capacity().saturating_sub(bytes.len());
                if fits {
                    bytes.extend_from_slice(data);
                }
                fits
            }
            Self::Large(pages, filled) => {
                let end = filled.saturating_add(data.len());
                let Some(room) = pages.get_mut(*filled..end) else { return false };
                room.copy_from_slice(data);
                *filled = end;
                true
            }
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(pages, filled) => pages.get(..*filled).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_was_added_and_never_longer_than_announced() {
        for length in [1, 10, OWN_PAGES - 1, OWN_PAGES, OWN_PAGES + 1] {
            let mut bytes = Bytes::with_capacity(length).unwrap();
            assert!(bytes.is_empty());
            let text: Vec<u8> = (0..=250).cycle().take(length).collect();
            for part in text.chunks(16 * 1024) {
                assert!(bytes.extend(part));
            }
            assert_eq!(*bytes, *text);
            assert!(bytes.extend(&[]));
            let more = vec![1; OWN_PAGES];
            assert!(!bytes.extend(&more), "{length}");
            assert_eq!(*bytes, *text);
        }
    }
}
