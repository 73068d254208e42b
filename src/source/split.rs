//! A text into chunks that can be read one by one, so that an error in one does not hide the next.

use super::Position;

/// A part of a text between two `---` lines.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The part; starts at a line's start.
    pub text: &'a str,
    /// Where it starts in the whole text.
    pub start: Position,
    /// The line with the `---`, where there is nothing on it but a comment.
    marker: &'a str,
}

impl Chunk<'_> {
    pub(super) fn looks_like_json(&self) -> bool {
        matches!(self.text.trim_start().as_bytes().first(), Some(b'{' | b'['))
    }

    /// The last `# Source:` comment above the content.
    pub(super) fn origin(&self) -> Option<String> {
        let comments = self
            .text
            .lines()
            .take_while(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        std::iter::once(self.marker)
            .chain(comments)
            .filter_map(|line| line.trim_start_matches("---").trim().strip_prefix("# Source:"))
            .last()
            .map(|origin| origin.trim().to_owned())
    }
}

/// Splits at every line that starts a document.
///
/// No scalar of any style can hold a line that starts with `---` and white space, so this needs
/// no knowledge of what is around it.
pub fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut offset = text.len().saturating_sub(body.len());
    let mut chunks = Vec::new();
    let mut open = Open::new(Position { offset, ..Position::START }, "");
    for (number, line) in (1_usize..).zip(body.split_inclusive('\n')) {
        let next = offset.saturating_add(line.len());
        if is_marker(line) && !open.only_directives {
            chunks.push(open.close(text, offset));
            let here = Position { line: number, column: 1, offset };
            let after = Position { line: number.saturating_add(1), column: 1, offset: next };
            // What follows `---` on its line is content, unless it is a comment.
            let rest = line.get(3..).unwrap_or_default().trim_start();
            let bare = rest.is_empty() || rest.starts_with('#');
            open = if bare { Open::new(after, line) } else { Open::new(here, "") };
        } else {
            open.see(line);
        }
        offset = next;
    }
    chunks.push(open.close(text, offset));
    chunks.retain(|chunk| !chunk.text.trim().is_empty());
    chunks
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

struct Open<'a> {
    start: Position,
    marker: &'a str,
    /// So far there are directives (`%YAML 1.2`): the next `---` belongs to them.
    only_directives: bool,
    content: bool,
}

impl<'a> Open<'a> {
    fn new(start: Position, marker: &'a str) -> Self {
        Self { start, marker, only_directives: false, content: false }
    }

    fn see(&mut self, line: &str) {
        if self.content || line.trim().is_empty() || line.starts_with('#') {
            return;
        }
        self.only_directives = line.starts_with('%');
        self.content = !self.only_directives;
    }

    fn close(&self, text: &'a str, end: usize) -> Chunk<'a> {
        let text = text.get(self.start.offset..end).unwrap_or_default();
        Chunk { text, start: self.start, marker: self.marker }
    }
}
