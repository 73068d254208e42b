//! File names as others read them.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may not stand in the path of a URI: everything but RFC 3986's unreserved characters and
/// the slash.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name without the `./` in front, which `check .` gives and which some tools do not know.
pub(super) fn plain(file: &str) -> &str {
    let plain = file.trim_start_matches("./");
    if plain.is_empty() { file } else { plain }
}

/// A relative name as a relative reference, an absolute one as a `file:` URI.
pub(super) fn of(file: &str) -> String {
    let escaped = utf8_percent_encode(plain(file), ESCAPED);
    if is_absolute(file) { format!("file://{escaped}") } else { escaped.to_string() }
}

/// True for a name that starts at the root of the file system.
pub(super) fn is_absolute(file: &str) -> bool {
    Path::new(file).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_references() {
        for (file, want) in [
            ("deploy/a.yaml", "deploy/a.yaml"),
            ("./deploy/a.yaml", "deploy/a.yaml"),
            ("../a b#c?d%.yaml", "../a%20b%23c%3Fd%25.yaml"),
            ("sch\u{f6}n.yaml", "sch%C3%B6n.yaml"),
            ("c:d.yaml", "c%3Ad.yaml"),
            ("/tmp/a b.yaml", "file:///tmp/a%20b.yaml"),
            ("<stdin>", "%3Cstdin%3E"),
        ] {
            assert_eq!(of(file), want);
        }
    }
}
