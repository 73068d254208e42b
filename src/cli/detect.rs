//! `tidegate detect`

use std::{
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    color::Color,
    exit::Exit,
    manifests::{Manifest, Seen},
    policies,
    set::{Part, Set, SetArgs},
};
use crate::{
    detect::{Detection, Detector},
    model::Object,
    policy::PolicySet,
    render::{
        InputError,
        detected::{self, DetectedContainer, DetectedObject},
    },
};

const EXAMPLES: &str = "\
Examples:
  # What in this chart migrates, with which tool, and how is that known?
  helm template shop ./chart | tidegate detect -

  # One JSON object for every container of a repository
  tidegate detect deploy/ --format jsonl | jq 'select(.migration != \"none\")'

  # With tools of your own, from spec.detectors of a policy
  tidegate detect deploy/ --policy policies/

Exit code: 0 everything was read; 2 something could not be read, although everything else was still
looked at. What is found does not change it.";

/// Show what every container does with a database, and how that is known.
///
/// Reads what `check` reads. Scripts, statements and variables that come from ConfigMaps among the
/// manifests are followed. Nothing is judged.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    set: SetArgs,

    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// How to write the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people: containers that have to do with a database.
    Human,
    /// One JSON object a line for every container.
    Jsonl,
}

/// Looks and writes the result to standard output.
///
/// # Errors
///
/// A policy is wrong, or an output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let policies = policies::load(&args.set.policy)?;
    let sources = args.set.sources();
    let set = Set::read(&args.set, &sources);
    let (objects, errors) = look(&policies, &set);
    let text = match args.format {
        Format::Human => detected::human(&objects, args.color.is_on()),
        Format::Jsonl => detected::json_lines(&objects),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    // On standard output they would stand in the way of a program that reads lines.
    let mut stderr = io::stderr().lock();
    for error in &errors {
        writeln!(stderr, "error: {error}")?;
    }
    Ok(if errors.is_empty() { Exit::Clean } else { Exit::CouldNotRun })
}

/// Every object that runs containers, and what could not be read.
fn look(policies: &PolicySet, set: &Set<'_>) -> (Vec<DetectedObject>, Vec<InputError>) {
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    let looked = set.map(|part, seen| {
        let one = |seen: &Seen| match seen {
            Seen::Manifest(manifest) => object(policies, set, part, manifest),
            Seen::Exception(_) | Seen::Own | Seen::Foreign => Ok(None),
            Seen::Broken(error) => Err(part.error(error.position, &error.message)),
        };
        seen.iter().map(one).collect::<Vec<_>>()
    });
    for part in looked {
        match part {
            Ok(part) => {
                for object in part {
                    match object {
                        Ok(object) => objects.extend(object),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    errors.extend(set.nothing());
    (objects, errors)
}

fn object(
    policies: &PolicySet,
    set: &Set<'_>,
    part: &Part<'_>,
    manifest: &Manifest,
) -> Result<Option<DetectedObject>, InputError> {
    let object = Object::parse(&manifest.json)
        .map_err(|error| part.error(manifest.position, &error.to_string()))?;
    let namespace = set.namespace(manifest);
    let facts = set.facts(part, manifest);
    // A policy may know tools of its own; where none is for the namespace, the built-in ones count.
    let policy = policies.select(namespace, &facts).policy;
    let detector = policy.map_or(Detector::built_in(), |policy| &policy.detector);
    // A fault of ours in one object must not lose the others.
    let looked = catch_unwind(AssertUnwindSafe(|| detector.detect(&object, facts.config_maps)));
    let detections = looked.map_err(|_panic| {
        part.error(manifest.position, "tidegate failed on this object: a fault of tidegate's")
    })?;
    let containers: Vec<DetectedContainer> = object
        .templates
        .iter()
        .flat_map(|template| &template.containers)
        .map(|container| {
            let own = |detection: &&Detection<'_>| std::ptr::eq(detection.container, container);
            DetectedContainer::new(container, detections.iter().filter(own))
        })
        .collect();
    Ok((!containers.is_empty()).then(|| DetectedObject {
        file: part.file.name.clone(),
        line: manifest.position.line,
        kind: manifest.kind.clone(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: manifest.name.clone(),
        containers,
    }))
}
