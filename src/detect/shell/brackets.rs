//! Where a bracket is closed, without reading what stands inside.

/// The text before the bracket that closes one already open, which may hold quotes, comments,
/// here-documents and brackets of its own.
pub(super) fn closing(text: &str, close: char) -> Option<&str> {
    let mut scan = Scan { text, at: 0, open: vec![close], here: Vec::new() };
    let mut before = ' ';
    while let Some(next) = scan.next() {
        let end = scan.at.saturating_sub(next.len_utf8());
        if scan.passes(next, before) {
            before = next;
            continue;
        }
        if scan.open.last() == Some(&next) {
            scan.open.pop();
            if scan.open.is_empty() {
                return text.get(..end);
            }
        }
        before = next;
    }
    None
}

/// Stands among the open brackets for a `case`, in which `)` closes nothing.
const CASE: char = 'c';

struct Scan<'t> {
    text: &'t str,
    at: usize,
    open: Vec<char>,
    /// The ends of the here-documents that begin on the next line.
    here: Vec<&'t str>,
}

impl<'t> Scan<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at = self.at.saturating_add(next.len_utf8());
        Some(next)
    }

    fn skip_past(&mut self, end: char) {
        let rest = self.rest();
        let skipped = rest.find(end).map_or(rest.len(), |at| at.saturating_add(end.len_utf8()));
        self.at = self.at.saturating_add(skipped);
    }

    /// Deals with everything but a closing bracket; false when `next` may be one.
    fn passes(&mut self, next: char, before: char) -> bool {
        let top = self.open.last().copied().unwrap_or_default();
        let quoted = top == '"';
        let script = matches!(top, ')' | CASE);
        let starts_word = before.is_ascii_whitespace() || matches!(before, ';' | '(' | '|' | '&');
        match next {
            '\\' => drop(self.next()),
            '\'' if before == '$' && !quoted => self.ansi_quotes(),
            '\'' if !quoted => self.skip_past('\''),
            '`' if quoted || script => self.backquotes(),
            '#' if script && before.is_ascii_whitespace() => {
                let rest = self.rest();
                self.at = self.at.saturating_add(rest.find('\n').unwrap_or(rest.len()));
            }
            '\n' if !self.here.is_empty() => self.here_documents(),
            '<' if script && self.rest().starts_with('<') => self.here_document(),
            '"' if quoted => drop(self.open.pop()),
            '"' => self.open.push('"'),
            '(' if before == '$' || !quoted => self.open.push(')'),
            '{' if before == '$' => self.open.push('}'),
            'c' if script && starts_word && starts_case(self.rest()) => self.open.push(CASE),
            'e' if top == CASE && starts_word && is_word(self.rest(), "sac") => {
                self.open.pop();
            }
            // The bracket after a pattern of `case` closes nothing.
            ')' if top == CASE => {}
            _ => return quoted,
        }
        true
    }

    fn ansi_quotes(&mut self) {
        while let Some(next) = self.next() {
            match next {
                '\\' => drop(self.next()),
                '\'' => return,
                _ => {}
            }
        }
    }

    fn backquotes(&mut self) {
        while let Some(next) = self.next() {
            match next {
                '\\' => drop(self.next()),
                '`' => return,
                _ => {}
            }
        }
    }

    /// `<<END` after its first character.
    fn here_document(&mut self) {
        let after = self.rest().strip_prefix('<').unwrap_or_default();
        self.at = self.at.saturating_add(1);
        if after.starts_with('<') {
            self.at = self.at.saturating_add(1);
            return;
        }
        let word = after.strip_prefix('-').unwrap_or(after).trim_start_matches([' ', '\t']);
        let end = word.find(|c: char| c.is_ascii_whitespace() || ";&|()<>".contains(c));
        let word = word.get(..end.unwrap_or(word.len())).unwrap_or_default();
        let word = word.trim_matches(['\'', '"', '\\']);
        if !word.is_empty() && !word.contains(['\'', '"', '\\', '$', '`']) {
            self.here.push(word);
        }
    }

    fn here_documents(&mut self) {
        for end in std::mem::take(&mut self.here) {
            loop {
                let rest = self.rest();
                if rest.is_empty() {
                    return;
                }
                let (line, _) = rest.split_once('\n').unwrap_or((rest, ""));
                let is_end = line.trim_start_matches('\t') == end;
                self.at = self.at.saturating_add(line.len());
                if is_end {
                    break;
                }
                self.at = self.at.saturating_add(1).min(self.text.len());
            }
        }
    }
}

/// `case word in`, after its first letter.
fn starts_case(rest: &str) -> bool {
    let head: String = rest.chars().take(200).collect();
    is_word(rest, "ase") && head.split_ascii_whitespace().take(8).any(|word| word == "in")
}

fn is_word(rest: &str, word: &str) -> bool {
    rest.strip_prefix(word).is_some_and(|after| {
        after.is_empty()
            || after.starts_with(|c: char| c.is_ascii_whitespace() || ";)&|".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_closed_where_a_shell_closes_them() {
        for (text, expected) in [
            ("a) b", Some("a")),
            ("a (b) c) d", Some("a (b) c")),
            ("a ')' b) c", Some("a ')' b")),
            ("a \")\" b) c", Some("a \")\" b")),
            ("a \"$(b \")\")\" c) d", Some("a \"$(b \")\")\" c")),
            ("a # )\nb) c", Some("a # )\nb")),
            ("a \\) b) c", Some("a \\) b")),
            ("a $'\\')' b) c", Some("a $'\\')' b")),
            ("case x in x) a;; esac) b", Some("case x in x) a;; esac")),
            ("case x in (x) a;; esac; b) c", Some("case x in (x) a;; esac; b")),
            ("cat <<E\nit's )\nE\n) b", Some("cat <<E\nit's )\nE\n")),
            ("cat <<'E'\n\"\nE\n) b", Some("cat <<'E'\n\"\nE\n")),
            ("cat <<<x) b", Some("cat <<<x")),
            ("echo case) b", Some("echo case")),
            ("echo `a )` b) c", Some("echo `a )` b")),
            ("a", None),
            ("a '", None),
        ] {
            assert_eq!(closing(text, ')'), expected, "{text}");
        }
    }
}
