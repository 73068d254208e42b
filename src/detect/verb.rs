//! Verbs of a tool, and the arguments that they are looked for in.

use std::ops::Range;

use compact_str::CompactString;
use smallvec::{SmallVec, smallvec};

use super::{Operation, catalogue::Tool, script::HOLE};
use crate::source::wildcard;

/// How many values of options that nobody told us about are passed over before where that led is
/// kept. No command that is meant has as many; in one that repeats itself, going over them anew
/// for each of its words would take quadratic time.
const KEPT_FROM: usize = 16;

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
    /// It only prints the statements that would do this.
    pub(super) prints: Option<Operation>,
    tokens: Vec<Token>,
    required: Vec<Flag>,
    forbidden: Vec<Flag>,
}

/// A flag by all of its names, and the value that it must have.
#[derive(Clone, Debug)]
struct Flag {
    names: Vec<String>,
    /// With `*` for any text.
    value: Option<String>,
}

#[derive(Clone, Debug)]
enum Token {
    /// One of these words.
    Words(Vec<String>),
    /// A word that starts with this.
    Prefix(String),
    /// A word that ends with this.
    Suffix(String),
    /// Any word, or one of this pattern, with the name that stands for it.
    Any(String, Option<String>),
    /// The end of the words.
    End,
}

/// The arguments of one command, told apart into options and words.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    words: Vec<Argument<'a>>,
    /// Everything, for questions about flags.
    all: &'a [CompactString],
}

#[derive(Debug)]
struct Argument<'a> {
    text: &'a str,
    /// The same without what a task is given: rake's `db:rollback[3]`, and the comma of
    /// `mix do ecto.create, ecto.migrate`.
    task: &'a str,
    /// It follows an option that nobody told us about, so it may be that option's value.
    may_be_value: bool,
}

/// What looking for a verb at one place of a command tells of the places after it.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Whether it has its flags, which does not depend on the place.
    flagged: Option<bool>,
    /// The last long way for each of its words.
    reaches: Vec<Reach>,
}

/// Where looking for a word of a verb led, the same from each of `places`.
#[derive(Clone, Debug)]
struct Reach {
    index: usize,
    places: Range<usize>,
    /// The word is at the end of `places`, or else it is not to be found.
    found: bool,
}

/// Where a verb was found.
#[derive(Debug)]
pub(super) struct Match<'t> {
    pub(super) verb: &'t Verb,
    /// Greater is more specific: by the kinds of words, then by how much of them is literal.
    pub(super) weight: (usize, usize),
    /// The first word that was looked at, and the one after the match.
    place: Range<usize>,
}

impl Match<'_> {
    /// The words that were matched, ready to be shown.
    pub(super) fn words(&self, arguments: &Arguments<'_>, tool: &Tool) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |word: &str| words.push(word.to_owned());
        self.verb.walk(arguments, self.place.start, tool.loose, &mut Known::default(), &mut add);
        words.extend(self.verb.required.iter().filter_map(|flag| flag.names.first().cloned()));
        words
    }
}

impl Verb {
    /// Reads a line of the catalogue; `None` if it makes no sense.
    pub(super) fn parse(line: &str, operation: Operation, is_hint: bool) -> Option<Self> {
        let mut verb = Self {
            operation,
            is_hint,
            prints: None,
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
            list.push(Flag::parse(flag)?);
        }
        Some(verb)
    }

    /// True when it starts with a word of its own, which may be hidden in a variable.
    fn starts_with_word(&self) -> bool {
        matches!(self.tokens.first(), Some(Token::Words(_) | Token::Prefix(_) | Token::Suffix(_)))
    }

    /// Looks for the verb at one place, with what is known from the places before.
    fn find<'t>(
        &'t self,
        arguments: &Arguments<'_>,
        start: usize,
        loose: bool,
        known: &mut Known,
    ) -> Option<Match<'t>> {
        let (weight, literal, end) = self.walk(arguments, start, loose, known, &mut |_| {})?;
        let has_flags = || {
            self.required.iter().all(|flag| arguments.has(flag, loose))
                && !self.forbidden.iter().any(|flag| arguments.has(flag, loose))
        };
        if !*known.flagged.get_or_insert_with(has_flags) {
            return None;
        }
        let flags = self.required.iter().chain(&self.forbidden);
        // A flag with a value says more than a flag.
        let weight = weight.saturating_add(flags.map(Flag::weight).sum());
        Some(Match { verb: self, weight: (weight, literal), place: start..end })
    }

    /// Goes through the words of the verb, and shows those that match. The answer is how specific
    /// they are, how many of their letters are literal, and where they end.
    fn walk(
        &self,
        arguments: &Arguments<'_>,
        start: usize,
        loose: bool,
        known: &mut Known,
        show: &mut dyn FnMut(&str),
    ) -> Option<(usize, usize, usize)> {
        let mut at = start;
        let (mut weight, mut literal) = (0_usize, 0_usize);
        for (index, token) in self.tokens.iter().enumerate() {
            at = known.place(index, at, |at| token.place(arguments, at, loose))?;
            let Some(argument) = arguments.words.get(at) else {
                weight = weight.saturating_add(1);
                continue;
            };
            let (gain, shown) = token.matches(argument, loose)?;
            weight = weight.saturating_add(gain);
            literal = literal.saturating_add(token.literal());
            show(shown);
            at = at.saturating_add(1);
        }
        Some((weight, literal, at))
    }
}

impl Known {
    /// The place of the verb's word `index`, looked for from `at` on.
    fn place(
        &mut self,
        index: usize,
        at: usize,
        look: impl FnOnce(usize) -> Result<usize, usize>,
    ) -> Option<usize> {
        let led = |reach: &&Reach| reach.index == index && reach.places.contains(&at);
        if let Some(reach) = self.reaches.iter().find(led) {
            return reach.found.then_some(reach.places.end);
        }
        let (found, end) = match look(at) {
            Ok(end) => (true, end),
            Err(end) => (false, end),
        };
        if end.saturating_sub(at) > KEPT_FROM {
            self.reaches.retain(|reach| reach.index != index);
            self.reaches.push(Reach { index, places: at..end, found });
        }
        found.then_some(end)
    }
}

impl Flag {
    /// Reads `--flag|-f=value`; `None` if it makes no sense.
    fn parse(text: &str) -> Option<Self> {
        let (names, value) = match text.split_once('=') {
            Some((names, value)) => (names, Some(value.to_owned())),
            None => (text, None),
        };
        let names: Vec<String> = names.split('|').map(str::to_owned).collect();
        let is_whole = names.iter().all(|name| !name.is_empty());
        is_whole.then_some(Self { names, value })
    }

    fn weight(&self) -> usize {
        match &self.value {
            None => 1,
            Some(value) if value.contains('*') => 2,
            Some(_) => 3,
        }
    }

    /// True when a word of the command line is this flag; `next` is the word after it.
    fn is(&self, word: &str, next: Option<&str>, loose: bool) -> bool {
        let (have, value) = match word.split_once('=') {
            Some((have, value)) => (have, Some(value)),
            None => (word, None),
        };
        self.names.iter().any(|name| {
            let is_like = || have.starts_with('-') && normal(have).eq(normal(name));
            if have == name || (loose && is_like()) {
                return match &self.value {
                    None => value != Some("false"),
                    Some(wanted) => value.or(next).is_some_and(|value| wildcard(wanted, value)),
                };
            }
            // `-d0`, `-XDELETE`: the value glued to its one-letter option.
            let glued = word
                .strip_prefix(name.as_str())
                .filter(|glued| name.len() == 2 && !glued.is_empty() && !name.starts_with("--"));
            glued.is_some_and(|glued| match &self.value {
                None => glued.starts_with(|c: char| c.is_ascii_digit() || c == '-'),
                Some(wanted) => wildcard(wanted, glued),
            })
        })
    }
}

impl Token {
    fn parse(word: &str) -> Self {
        if let Some(name) = word.strip_prefix('<') {
            let name = name.strip_suffix('>').unwrap_or(name);
            match name.split_once('=') {
                Some((name, pattern)) => Self::Any(format!("<{name}>"), Some(pattern.to_owned())),
                None => Self::Any(word.to_owned(), None),
            }
        } else if word == "$" {
            Self::End
        } else if let Some(prefix) = word.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else if let Some(suffix) = word.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else {
            Self::Words(word.split('|').map(str::to_owned).collect())
        }
    }

    /// The first word from `at` on that matches, with nothing before it but values of options that
    /// nobody told us about; the place after the words for their end. Without one, how far it
    /// looked.
    fn place(&self, arguments: &Arguments<'_>, at: usize, loose: bool) -> Result<usize, usize> {
        let mut at = at;
        while let Some(argument) = arguments.words.get(at) {
            if self.matches(argument, loose).is_some() {
                return Ok(at);
            }
            if !argument.may_be_value {
                return Err(at);
            }
            at = at.saturating_add(1);
        }
        if matches!(self, Self::End) { Ok(at) } else { Err(at) }
    }

    /// The weight of the match and what to show for it.
    fn matches<'m>(&'m self, argument: &Argument<'m>, loose: bool) -> Option<(usize, &'m str)> {
        let text = argument.task;
        match self {
            Self::Words(words) => {
                let same = |word: &&String| {
                    word.as_str() == text || (loose && normal(word).eq(normal(text)))
                };
                words.iter().find(same).map(|word| (4, word.as_str()))
            }
            Self::Prefix(prefix) => {
                (text.starts_with(prefix.as_str()) && is_plain(text)).then_some((3, text))
            }
            Self::Suffix(suffix) => {
                (text.ends_with(suffix.as_str()) && is_plain(text)).then_some((3, text))
            }
            // A value of an unknown option is not what a placeholder stands for.
            Self::Any(name, None) => (!argument.may_be_value).then_some((2, name.as_str())),
            Self::Any(name, Some(pattern)) => {
                wildcard(pattern, argument.text).then_some((3, name.as_str()))
            }
            Self::End => None,
        }
    }

    /// How many letters of it must be there.
    fn literal(&self) -> usize {
        match self {
            Self::Words(words) => words.iter().map(String::len).max().unwrap_or_default(),
            Self::Prefix(text) | Self::Suffix(text) => text.len(),
            Self::Any(_, pattern) => pattern.as_ref().map_or(0, String::len),
            Self::End => 0,
        }
    }
}

/// Liquibase takes `dropAll` for `drop-all`.
fn normal(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|c| *c != '-').flat_map(char::to_lowercase)
}

/// True for words that may be shown: names of tasks, never an address or a value.
pub(super) fn is_plain(word: &str) -> bool {
    word.len() <= 64
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.'))
}

impl<'a> Arguments<'a> {
    /// Tells options from words, as far as the tool's entry says which options take a value.
    pub(super) fn new(args: &'a [CompactString], tool: &Tool) -> Self {
        let mut arguments = Self { words: Vec::new(), all: args };
        let mut words = args.iter();
        let mut after_option = false;
        while let Some(text) = words.next() {
            if text.starts_with('-') && text.len() > 1 {
                let takes_value = tool.takes_value(text);
                if takes_value {
                    words.next();
                }
                after_option = !(takes_value
                    || text.contains('=')
                    || SWITCHES.contains(&text.as_str())
                    || text == "--");
                continue;
            }
            let task = text.split_once('[').map_or(text.as_str(), |(task, _)| task);
            let task = task.strip_suffix(',').unwrap_or(task);
            arguments.words.push(Argument { text, task, may_be_value: after_option });
            after_option = false;
        }
        arguments
    }

    /// True when a flag is there, with the value that it asks for, in one word or in two;
    /// `--flag=false` is no flag.
    fn has(&self, flag: &Flag, loose: bool) -> bool {
        self.with_next().any(|(word, next)| flag.is(word, next, loose))
    }

    /// True when a switch is there and not turned off: `--dry-run=false` and `--dry-run none` are.
    pub(super) fn is_on(&self, switch: &str) -> bool {
        let is_off = |value: &str| {
            ["false", "no", "off", "0", "none"].iter().any(|off| value.eq_ignore_ascii_case(off))
        };
        self.with_next().any(|(word, next)| match word.strip_prefix(switch) {
            Some("") => !next.is_some_and(is_off),
            Some(rest) => rest.strip_prefix('=').is_some_and(|value| !is_off(value)),
            None => false,
        })
    }

    /// True when the tool is asked how it is used.
    pub(super) fn asks_for_help(&self) -> bool {
        let asks = |word: &CompactString| matches!(word.as_str(), "--help" | "-help" | "-?" | "/?");
        self.all.iter().any(asks)
            // Elsewhere it may be the option for a host, with its value.
            || self.all.last().is_some_and(|word| word == "-h")
            || self.first_words().next() == Some("help")
    }

    /// True when the tool is asked for its version and for nothing else.
    pub(super) fn asks_for_version(&self) -> bool {
        let asks =
            |word: &CompactString| matches!(word.as_str(), "--version" | "-version" | "-V" | "-v");
        matches!(self.all, [word] if asks(word))
    }

    fn with_next(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let words = self.all.iter().map(CompactString::as_str);
        words.clone().zip(words.skip(1).map(Some).chain([None]))
    }

    /// The first words, whatever they are.
    pub(super) fn first_words(&self) -> impl Iterator<Item = &'a str> {
        self.words.iter().map(|word| word.text)
    }

    /// True when the verb may be in something that only a running shell could tell.
    pub(super) fn verb_is_hidden(&self, tool: &Tool) -> bool {
        let is_hole = |at: usize| self.words.get(at).is_some_and(|word| word.text.contains(HOLE));
        if is_hole(0) {
            return tool.verbs.iter().any(Verb::starts_with_word);
        }
        // The first word is that of a verb which has more, or stands before the verb.
        let leads = |verb: &Verb| {
            let first = verb.tokens.first().zip(self.words.first());
            verb.tokens.len() > 1
                && first.is_some_and(|(token, word)| token.matches(word, tool.loose).is_some())
        };
        let may_skip = tool.skip > 0
            || tool.anywhere
            || self.words.get(1).is_some_and(|word| word.may_be_value);
        is_hole(1) && (may_skip || tool.verbs.iter().any(leads))
    }

    /// Finds the most specific verb, or all of them for tools that take several.
    pub(super) fn verbs<'t>(&self, tool: &'t Tool) -> Vec<Match<'t>> {
        let mut found = Vec::new();
        let mut known: SmallVec<[Known; 16]> = smallvec![Known::default(); tool.verbs.len()];
        let mut at = 0_usize;
        // A tool may have verbs that are flags alone, which match with no word at all.
        while at <= self.words.len() {
            let best = tool
                .verbs
                .iter()
                .zip(&mut known)
                .filter_map(|(verb, known)| verb.find(self, at, tool.loose, known))
                .max_by_key(|found| (found.weight, !found.verb.is_hint, found.verb.operation));
            match best {
                Some(best) if tool.anywhere => {
                    at = best.place.end.max(at.saturating_add(1));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::catalogue::Catalogue, *};

    fn catalogue(verbs: &str) -> Catalogue {
        let entry = "- {id: t, name: T, docs: ['https://example.com'], executables: [t], ";
        Catalogue::load(&format!("{entry}verbs: {{apply: [{verbs}]}}}}")).unwrap()
    }

    proptest! {
        /// What is kept from one place is what would be found at the next ones.
        #[test]
        fn what_is_known_changes_nothing(
            words in prop::collection::vec(
                (prop::bool::weighted(0.98), prop::sample::select(vec!["a", "b", "c", "d", "up", "to"])),
                0..200,
            ),
        ) {
            // Nearly every word may be the value of an option, so that the ways are long.
            let words = words.into_iter().flat_map(|(optional, word)| {
                optional.then_some("-x").into_iter().chain([word])
            });
            let words: Vec<CompactString> = words.map(CompactString::from).collect();
            let catalogue = catalogue("up to, up $, '<name=t*> up', 'up <name>', up up up");
            let tool = catalogue.tool(0).unwrap();
            let arguments = Arguments::new(&words, tool);
            prop_assert_eq!(tool.verbs.len(), 5);
            for verb in &tool.verbs {
                let mut known = Known::default();
                for start in 0..=arguments.words.len() {
                    let with = verb.walk(&arguments, start, false, &mut known, &mut |_| {});
                    let mut unknown = Known::default();
                    let without = verb.walk(&arguments, start, false, &mut unknown, &mut |_| {});
                    prop_assert_eq!(with, without);
                }
            }
        }
    }
}
