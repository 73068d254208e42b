//! Verbs of a tool, and the arguments that they are looked for in.

use super::{Operation, catalogue::Tool, script::HOLE};

/// Options that never take a value, so that the word after them is not one.
const SWITCHES: [&str; 27] = [
    "-y",
    "--yes",
    "--force",
    "--noinput",
    "--no-input",
    "--no-interaction",
    "--verbose",
    "--quiet",
    "-q",
    "-v",
    "-vv",
    "-vvv",
    "--trace",
    "--debug",
    "--all",
    "-all",
    "--batch",
    "--fake",
    "--plan",
    "--check",
    "--dry-run",
    "--no-verify",
    "--non-interactive",
    "--production",
    "--bun",
    "--silent",
    "--allow-root",
];

/// One verb.
#[derive(Clone, Debug)]
pub(super) struct Verb {
    pub(super) operation: Operation,
    /// Found by this verb, a command is no more than a hint.
    pub(super) is_hint: bool,
    tokens: Vec<Token>,
    required: Vec<String>,
    forbidden: Vec<String>,
}

#[derive(Clone, Debug)]
enum Token {
    /// One of these words.
    Words(Vec<String>),
    /// A word that starts with this.
    Prefix(String),
    /// A word that ends with this.
    Suffix(String),
    /// Any word, with the name that stands for it.
    Any(String),
}

/// The arguments of one command, told apart into options and words.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    words: Vec<Argument<'a>>,
    /// Everything, for questions about flags.
    all: Vec<&'a str>,
}

#[derive(Debug)]
struct Argument<'a> {
    text: &'a str,
    /// It follows an option that nobody told us about, so it may be that option's value.
    may_be_value: bool,
}

/// Where a verb was found.
#[derive(Debug)]
pub(super) struct Match<'t> {
    pub(super) verb: &'t Verb,
    /// The words that were matched, ready to be shown.
    pub(super) words: Vec<String>,
    /// Greater is more specific.
    pub(super) weight: usize,
    /// The word after the match.
    end: usize,
}

impl Verb {
    /// Reads a line of the catalogue; `None` if it makes no sense.
    pub(super) fn parse(line: &str, operation: Operation, is_hint: bool) -> Option<Self> {
        let mut verb = Self {
            operation,
            is_hint,
            tokens: Vec::new(),
            required: Vec::new(),
            forbidden: Vec::new(),
        };
        for word in line.split_whitespace() {
            let (list, flag) = match (word.strip_prefix('+'), word.strip_prefix('!')) {
                (Some(flag), _) => (&mut verb.required, flag),
                (None, Some(flag)) => (&mut verb.forbidden, flag),
                (None, None) => {
                    verb.tokens.push(Token::parse(word));
                    continue;
                }
            };
            if flag.is_empty() {
                return None;
            }
            list.push(flag.to_owned());
        }
        Some(verb)
    }

    /// Looks for the verb at one place.
    fn find<'t>(
        &'t self,
        arguments: &Arguments<'_>,
        start: usize,
        loose: bool,
    ) -> Option<Match<'t>> {
        let mut at = start;
        let mut words = Vec::new();
        let mut weight = 0_usize;
        for token in &self.tokens {
            loop {
                let argument = arguments.words.get(at)?;
                at = at.saturating_add(1);
                if let Some((gain, shown)) = token.matches(argument, loose) {
                    weight = weight.saturating_add(gain);
                    words.push(shown);
                    break;
                }
                if !argument.may_be_value {
                    return None;
                }
            }
        }
        if !self.required.iter().all(|flag| arguments.has(flag))
            || self.forbidden.iter().any(|flag| arguments.has(flag))
        {
            return None;
        }
        let flags = self.required.len().saturating_add(self.forbidden.len());
        weight = weight.saturating_add(flags);
        words.extend(self.required.iter().cloned());
        Some(Match { verb: self, words, weight, end: at })
    }
}

impl Token {
    fn parse(word: &str) -> Self {
        if word.starts_with('<') {
            Self::Any(word.to_owned())
        } else if let Some(prefix) = word.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else if let Some(suffix) = word.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else {
            Self::Words(word.split('|').map(str::to_owned).collect())
        }
    }

    /// The weight of the match and what to show for it.
    fn matches(&self, argument: &Argument<'_>, loose: bool) -> Option<(usize, String)> {
        // Rake tasks take arguments in brackets: `db:rollback[3]`.
        let text = argument.text.split_once('[').map_or(argument.text, |(task, _)| task);
        match self {
            Self::Words(words) => {
                let same = |word: &&String| {
                    if loose { normal(word) == normal(text) } else { word.as_str() == text }
                };
                words.iter().find(same).map(|word| (4, word.clone()))
            }
            Self::Prefix(prefix) => {
                (text.starts_with(prefix.as_str()) && is_plain(text)).then(|| (3, text.to_owned()))
            }
            Self::Suffix(suffix) => {
                (text.ends_with(suffix.as_str()) && is_plain(text)).then(|| (3, text.to_owned()))
            }
            // A value of an unknown option is not what a placeholder stands for.
            Self::Any(name) => (!argument.may_be_value).then(|| (2, name.clone())),
        }
    }
}

/// Liquibase takes `dropAll` for `drop-all`.
fn normal(word: &str) -> String {
    word.chars().filter(|c| *c != '-').flat_map(char::to_lowercase).collect()
}

/// True for words that may be shown: names of tasks, never an address or a value.
pub(super) fn is_plain(word: &str) -> bool {
    word.len() <= 64
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.'))
}

impl<'a> Arguments<'a> {
    /// Tells options from words, as far as the tool's entry says which options take a value.
    pub(super) fn new(args: &'a [String], tool: &Tool) -> Self {
        let mut arguments =
            Self { words: Vec::new(), all: args.iter().map(String::as_str).collect() };
        let mut words = args.iter();
        let mut after_option = false;
        while let Some(text) = words.next() {
            if text.starts_with('-') && text.len() > 1 {
                let takes_value = tool.options.contains(text);
                if takes_value {
                    words.next();
                }
                after_option = !(takes_value
                    || text.contains('=')
                    || SWITCHES.contains(&text.as_str())
                    || text == "--");
                continue;
            }
            arguments.words.push(Argument { text, may_be_value: after_option });
            after_option = false;
        }
        arguments
    }

    /// True when a flag is there. `--flag=value` asks for the value too, in one word or in two;
    /// `--flag=false` is no flag.
    pub(super) fn has(&self, flag: &str) -> bool {
        let (name, wanted) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        self.all.iter().enumerate().any(|(at, word)| {
            let (have, value) = match word.split_once('=') {
                Some((have, value)) => (have, Some(value)),
                None => (*word, None),
            };
            have == name
                && match (wanted, value) {
                    (None, value) => value != Some("false"),
                    (Some(wanted), Some(value)) => wanted == value,
                    (Some(wanted), None) => {
                        self.all.get(at.saturating_add(1)).is_some_and(|next| *next == wanted)
                    }
                }
        })
    }

    /// The first words, whatever they are.
    pub(super) fn first_words(&self) -> impl Iterator<Item = &'a str> {
        self.words.iter().map(|word| word.text)
    }

    /// True when the verb may be in something that only a running shell could tell.
    pub(super) fn verb_is_hidden(&self) -> bool {
        self.words.iter().take(2).any(|word| word.text.contains(HOLE))
    }

    /// Finds the most specific verb, or all of them for tools that take several.
    pub(super) fn verbs<'t>(&self, tool: &'t Tool) -> Vec<Match<'t>> {
        let mut found = Vec::new();
        let mut at = 0_usize;
        // A tool may have verbs that are flags alone, which match with no word at all.
        while at <= self.words.len() {
            let best = tool
                .verbs
                .iter()
                .filter_map(|verb| verb.find(self, at, tool.loose))
                .max_by_key(|found| (found.weight, !found.verb.is_hint, found.verb.operation));
            match best {
                Some(best) if tool.anywhere => {
                    at = best.end.max(at.saturating_add(1));
                    found.push(best);
                    continue;
                }
                Some(best) => return vec![best],
                None => {}
            }
            let may_skip = tool.anywhere
                || at < tool.skip
                || self.words.get(at).is_some_and(|word| word.may_be_value);
            if !may_skip {
                break;
            }
            at = at.saturating_add(1);
        }
        found
    }
}
