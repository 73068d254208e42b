//! `tidegate explain`

use std::io::{self, IsTerminal as _, Write as _};

use super::{color::Color, exit::Exit};
use crate::{
    render::{
        explain::{self, Explain},
        rule_page,
    },
    rules::{self, Rule},
    source::did_you_mean,
};

const EXAMPLES: &str = "\
Examples:
  # Which rules are there?
  tidegate explain

  # Why was my Deployment refused, and what do I do?
  tidegate explain migration-in-init-container

  # Every rule with its level and parameters, for a program
  tidegate explain --format json | jq '.rules[] | {id, level, parameters}'";

/// Columns of a line where nobody looks at a screen, and the most that is easy to read.
const WIDTH: usize = 100;

/// Explain the rules: why they are, an example, the fix, parameters.
///
/// Without RULE, the list of all rules by topic.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Id of a rule, such as `unbounded-migration-job`
    rule: Option<String>,

    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// How to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// As the pages of the documentation.
    Markdown,
}

/// Writes the explanation to standard output.
///
/// # Errors
///
/// There is no such rule, or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let rule = args.rule.as_deref().map(find).transpose()?;
    let human = Explain { color: args.color.is_on(), width: width() };
    let text = match (args.format, rule) {
        (Format::Human, None) => human.list(rules::ALL),
        (Format::Human, Some(rule)) => human.rule(rule),
        (Format::Json, None) => explain::json(rules::ALL),
        (Format::Json, Some(rule)) => explain::json(&[rule]),
        (Format::Markdown, None) => rule_page::index(rules::ALL),
        (Format::Markdown, Some(rule)) => rule_page::page(rule),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(Exit::Clean)
}

fn find(id: &str) -> anyhow::Result<&'static Rule> {
    rules::find(id).ok_or_else(|| {
        let nearest = did_you_mean(id, rules::ALL.iter().map(|rule| rule.id));
        anyhow::anyhow!("there is no rule `{id}`{nearest}; `tidegate explain` lists them")
    })
}

fn width() -> usize {
    if io::stdout().is_terminal() { textwrap::termwidth().min(WIDTH) } else { WIDTH }
}
