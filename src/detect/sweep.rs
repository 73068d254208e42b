//! The last resort: a text that could not be read is looked through word by word.

use compact_str::CompactString;

use super::{
    commands::{Reader, Step},
    unwrap::basename,
};

impl Reader<'_> {
    /// Looks for a tool and its verb side by side in a script that could not be read.
    pub(super) fn plain_words(&mut self, text: &str) {
        self.doubtful = true;
        self.steps.push(Step::Other);
        let end = text.floor_char_boundary(self.swept);
        let text = text.get(..end).unwrap_or_default();
        self.swept = self.swept.saturating_sub(text.len());
        for line in text.split(['\n', ';', '|', '&', '(', ')', '{', '}', '`']) {
            if line.trim_start().starts_with(['#']) || line.trim_start().starts_with("echo ") {
                continue;
            }
            self.plain_line(line);
        }
    }

    fn plain_line(&mut self, line: &str) {
        let blank = |c: char| c.is_ascii_whitespace();
        let quote = |c: char| matches!(c, '\'' | '"' | '\\');
        let mut rest = line;
        while let Some(word) = rest.split(blank).next() {
            let after = rest.get(word.len().saturating_add(1)..);
            // Quotes stand around a word, or in it to hide it.
            let joined;
            let bare = if word.contains(quote) {
                joined = word.replace(quote, "");
                joined.as_str()
            } else {
                word
            };
            let program = basename(bare.rsplit('=').next().unwrap_or(bare));
            if self.catalogue.knows(program) {
                let args: Vec<CompactString> = after
                    .unwrap_or_default()
                    .split(blank)
                    .filter(|word| !word.is_empty())
                    .take(16)
                    .map(|word| word.replace(quote, "").into())
                    .collect();
                self.is_sweeping = true;
                self.possible(program, &args);
                self.is_sweeping = false;
            }
            let Some(after) = after else { return };
            rest = after;
        }
    }
}
