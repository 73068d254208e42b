//! How what one review costs grows with what is judged and with what judges, in instructions.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    callgrind::{Counter, Counts},
    corpus::{self, Review, recording},
    results::Series,
};

/// About how many instructions a measurement takes: enough that what else the server does meanwhile
/// does not show, and few enough to wait for.
const ENOUGH: u64 = 10_000_000;
/// How much more an input may cost towards the end of a series, for each unit of its size, than in
/// the steps before.
const ALLOWED: f64 = 1.5;

/// What grows.
#[derive(Clone, Copy, Debug)]
struct Dimension {
    name: &'static str,
    axis: &'static str,
    sizes: &'static [u64],
    /// The sizes of a check that must not take long.
    short: &'static [u64],
    review: fn(u64) -> anyhow::Result<Review>,
}

/// What is in a review.
const REVIEWS: [Dimension; 5] = [
    Dimension {
        name: "containers",
        axis: "containers of a Deployment",
        sizes: &[1, 3, 10, 30, 100],
        short: &[1, 10, 30, 100],
        review: with_containers,
    },
    Dimension {
        name: "initContainers that migrate",
        axis: "initContainers, each with findings",
        sizes: &[1, 3, 10, 30, 100],
        short: &[1, 10, 30, 100],
        review: with_migrations,
    },
    Dimension {
        name: "script",
        axis: "KiB of shell script in a Job",
        sizes: &[1, 4, 16, 64, 256, 1_024],
        short: &[1, 8, 32, 64],
        review: with_script,
    },
    Dimension {
        name: "object, fields that no rule reads",
        axis: "KiB of managed fields",
        sizes: &[4, 64, 256, 1_024, 4_096, 16_384],
        short: &[4, 32, 128, 512],
        review: with_fields,
    },
    Dimension {
        name: "object, fields that are read",
        axis: "KiB of variables of a container",
        // Under callgrind, more would not be answered before the deadline.
        sizes: &[4, 64, 256, 1_024, 4_096],
        short: &[4, 32, 128, 256],
        review: with_variables,
    },
];

/// What judges: how many documents of what kind.
type Judges = (&'static str, &'static str, &'static [u64], &'static [u64], fn(u64) -> String);

const POLICIES: [Judges; 2] = [
    ("policies", "policies, one of which applies", &[1, 10, 50, 100, 200], &[1, 50, 200], policies),
    (
        "custom rules",
        "custom rules in CEL (100 are the most)",
        &[1, 10, 30, 100],
        &[1, 30, 100],
        custom_rules,
    ),
];

/// Measures all of it, or a short form.
///
/// # Errors
///
/// When nothing can be counted, or an answer is wrong.
pub(crate) fn measure(program: &Path, short: bool) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::new();
    let mut counter = Counter::start(program, None)?;
    for dimension in REVIEWS {
        let Dimension { name, axis, review, .. } = dimension;
        let sizes = if short { dimension.short } else { dimension.sizes };
        let mut points = Vec::new();
        for size in sizes {
            points.push((*size, count(&mut counter, &review(*size)?)?.instructions));
        }
        all.push(Series { name: name.to_owned(), axis: axis.to_owned(), points });
    }
    drop(counter);
    let review = Review::read("validate-create-deployment-clean")?;
    for (name, axis, sizes, fewer, write) in POLICIES {
        let mut points = Vec::new();
        for size in if short { fewer } else { sizes } {
            let folder = TempDir::with_prefix("tidegate-policies-")?;
            let file = folder.path().join("policies.yaml");
            fs::write(&file, write(*size))?;
            let mut counter = Counter::start(program, Some(&file))?;
            points.push((*size, count(&mut counter, &review)?.instructions));
        }
        all.push(Series { name: name.to_owned(), axis: axis.to_owned(), points });
    }
    Ok(all)
}

/// As often as it takes to be sure of the figure.
fn count(counter: &mut Counter, review: &Review) -> anyhow::Result<Counts> {
    let one = counter.count(review, 1)?;
    let times = (ENOUGH / one.instructions.max(1)).clamp(1, 200);
    if times == 1 { Ok(one) } else { counter.count(review, times) }
}

impl Series {
    /// That no unit of size costs more, in the largest step, than in the steps before it.
    ///
    /// # Errors
    ///
    /// When one does.
    pub(crate) fn is_at_most_linear(&self) -> anyhow::Result<()> {
        let steps = self.points.windows(2).map(|step| {
            let ((small, less), (large, more)) = (step[0], step[1]);
            (more as f64 - less as f64) / (large - small) as f64
        });
        let steps: Vec<f64> = steps.collect();
        let (last, before) = steps.split_last().context("a series of one size says nothing")?;
        let before = before.iter().copied().fold(0.0, f64::max);
        // What costs next to nothing for each unit is measured as next to nothing, more or less.
        let nothing = self.points[0].1 as f64 / 100.0;
        ensure!(
            *last <= (before * ALLOWED).max(nothing),
            "{}: the last step costs {last:.0} instructions for each of `{}`, those before {before:.0}",
            self.name,
            self.axis
        );
        Ok(())
    }
}

/// A recorded review whose object is changed.
fn changed(
    name: &str,
    change: impl FnOnce(&mut Value) -> anyhow::Result<()>,
) -> anyhow::Result<Review> {
    let mut review = recording(name)?;
    change(&mut review["request"]["object"])?;
    Review::new(name, &review)
}

const CLEAN: &str = "validate-create-deployment-clean";

/// So many containers as the recording has one.
fn with_containers(count: u64) -> anyhow::Result<Review> {
    changed(CLEAN, |object| {
        let spec = &mut object["spec"]["template"]["spec"];
        spec["containers"] = copies(&spec["containers"][0], count);
        Ok(())
    })
}

/// So many initContainers, of which each is something to refuse.
fn with_migrations(count: u64) -> anyhow::Result<Review> {
    changed(CLEAN, |object| {
        let spec = &mut object["spec"]["template"]["spec"];
        let mut one = spec["containers"][0].clone();
        one["command"] = json!(["alembic", "upgrade", "head"]);
        spec["initContainers"] = copies(&one, count);
        Ok(())
    })
}

fn copies(container: &Value, count: u64) -> Value {
    let copy = |number: u64| {
        let mut copy = container.clone();
        copy["name"] = json!(format!("c-{number}"));
        copy
    };
    (0..count).map(copy).collect()
}

/// What scripts of migrations are made of, over and over.
const SCRIPT: &str = r#"set -euo pipefail
until pg_isready -h "$DB_HOST" -p "${DB_PORT:-5432}" -t 2; do
  echo "not yet"
  sleep 2
done
if [ "$SKIP" = "true" ]; then
  echo "skipped"
fi
python manage.py migrate --noinput
echo "done"
"#;

fn with_script(kib: u64) -> anyhow::Result<Review> {
    changed("validate-create-job-argocd-migration", |object| {
        // Whole scripts: one that is cut off somewhere is given up where it is cut.
        let text = SCRIPT.repeat((usize::try_from(kib)? << 10).div_ceil(SCRIPT.len()));
        object["spec"]["template"]["spec"]["containers"][0]["args"] = json!([text]);
        Ok(())
    })
}

fn with_fields(kib: u64) -> anyhow::Result<Review> {
    changed(CLEAN, |object| {
        let one = corpus::field(10_000);
        let count = (usize::try_from(kib)? << 10) / (one.0.len() + one.1.to_string().len() + 4);
        let fields = object["metadata"]["managedFields"][0]["fieldsV1"].as_object_mut();
        fields.context("nobody manages the object")?.extend((0..count).map(corpus::field));
        Ok(())
    })
}

fn with_variables(kib: u64) -> anyhow::Result<Review> {
    changed(CLEAN, |object| {
        let count =
            (usize::try_from(kib)? << 10) / (corpus::variable(10_000).to_string().len() + 1);
        let container = &mut object["spec"]["template"]["spec"]["containers"][0];
        container["env"] = (0..count).map(corpus::variable).collect();
        Ok(())
    })
}

/// So many policies, of which the first is for the namespace of the recording.
fn policies(count: u64) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let namespace = if number == 0 { "prod".to_owned() } else { format!("team-{number}") };
        let _ = write!(
            text,
            "---\napiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\n\
             metadata: {{name: policy-{number}}}\n\
             spec:\n  match: {{namespaces: [{namespace}, other-{number}-*]}}\n"
        );
        text
    })
}

/// One policy with so many custom rules, each of which reads the object and finds nothing.
fn custom_rules(count: u64) -> String {
    let mut text = "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\n\
                    metadata: {name: custom}\nspec:\n  customRules:\n"
        .to_owned();
    for number in 0..count {
        let _ = write!(
            text,
            "    - id: custom-{number}\n      \
             expression: object.spec.replicas < {}\n      \
             message: it has too many replicas\n      mend: have fewer replicas\n",
            number + 100
        );
    }
    text
}
