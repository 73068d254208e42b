//! What a review takes inside the process, by the server's own histogram: from the body that was read to the
//! answer that is to be written. What the network and TLS take is left out, so this is what policies and
//! custom rules add.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{
    client::Client,
    corpus::Review,
    options::Options,
    process::{Launch, Server},
    results::{Inside, InsideLine, machine},
};

/// The bounds that the page tells of, in seconds as the histogram has them.
const BOUNDS: [f64; 3] = [0.000_05, 0.000_1, 0.001];

/// What judges, and who writes it.
type Judges = (&'static str, fn() -> String);

const JUDGES: [Judges; 5] = [
    ("no custom rule", || policy("prod", &[], 0)),
    ("5 custom rules that compare", || policy("prod", &COMPARING, 5)),
    ("5 custom rules that loop over containers", || policy("prod", &LOOPING, 5)),
    ("200 policies, each with 5 such rules; one applies", two_hundred),
    ("100 custom rules that loop over containers", || policy("prod", &LOOPING, 100)),
];

/// Expressions that hold on the recording.
const COMPARING: [&str; 5] = [
    "object.spec.replicas < 50",
    "has(object.metadata.name)",
    "object.metadata.name != 'legacy'",
    "object.spec.template.metadata.labels.size() > 0",
    "!has(object.spec.paused) || !object.spec.paused",
];
const LOOPING: [&str; 5] = [
    "object.spec.template.spec.containers.all(c, !c.image.endsWith(':latest'))",
    "object.spec.template.spec.containers.all(c, !has(c.securityContext) || \
     !has(c.securityContext.privileged) || !c.securityContext.privileged)",
    "object.spec.template.spec.containers.exists(c, c.name != 'sidecar')",
    "object.spec.template.spec.containers.all(c, !has(c.env) || c.env.all(e, e.name != 'DEBUG'))",
    "object.spec.template.spec.containers.filter(c, c.name == 'legacy').size() == 0",
];

fn policy(namespace: &str, expressions: &[&str], rules: usize) -> String {
    let mut text = format!(
        "---\napiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\n\
         metadata: {{name: for-{namespace}}}\nspec:\n  match: {{namespaces: [{namespace}]}}\n"
    );
    if rules > 0 {
        text += "  customRules:\n";
    }
    for (number, expression) in expressions.iter().cycle().take(rules).enumerate() {
        let _ = write!(
            text,
            "    - id: custom-{number}\n      expression: \"{expression}\"\n      \
             message: it does not hold\n      mend: make it hold\n"
        );
    }
    text
}

fn two_hundred() -> String {
    let others = (1..200).map(|number| policy(&format!("team-{number}"), &LOOPING, 5));
    others.chain([policy("prod", &LOOPING, 5)]).collect()
}

/// Measures and prints.
///
/// # Errors
///
/// When a server cannot be started, or an answer is wrong.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Inside> {
    let review = Review::read("validate-create-deployment-clean")?;
    let reviews = if options.quick { 500 } else { 20_000 };
    let mut lines = Vec::new();
    println!("\nInside the process, {reviews} reviews each\n");
    for (name, write) in JUDGES {
        let folder = TempDir::with_prefix("tidegate-inside-")?;
        let file = folder.path().join("policies.yaml");
        fs::write(&file, write())?;
        let launch = Launch { policies: Some(&file), ..Launch::default() };
        let (server, _) = Server::launch(&options.tidegate, folder.path(), &launch)?;
        let mut client = Client::connect(&server.endpoint)?;
        // What is done once is done before.
        (0..100).try_for_each(|number| client.ask(&review, number).map(drop))?;
        let before = Histogram::read(&server.metrics()?)?;
        (0..reviews).try_for_each(|number| {
            ensure!(client.ask(&review, number)?, "{name}: a rule does not hold");
            Ok(())
        })?;
        let line = Histogram::read(&server.metrics()?)?.since(&before).line(name)?;
        println!("- {name}: {:.0} us on average, {:.0} % within 50 us", line.mean, line.within[0]);
        lines.push(line);
    }
    Ok(Inside { machine: machine(), reviews, lines })
}

/// The table of the page.
pub(crate) fn table(lines: &[InsideLine]) -> String {
    let mut text = "| a clean Deployment, judged by | average | within 50 us | within 100 us | within 1 ms |\n\
                    |---|---:|---:|---:|---:|\n"
        .to_owned();
    for InsideLine { name, mean, within: [first, second, third] } in lines {
        let _ = writeln!(
            text,
            "| {name} | {mean:.0} us | {first:.1} % | {second:.1} % | {third:.2} % |"
        );
    }
    text
}

/// `tidegate_review_duration_seconds`, all its series together.
#[derive(Debug, Default)]
struct Histogram {
    sum: f64,
    count: f64,
    /// By the bits of the bound, which sort as the bounds do.
    buckets: BTreeMap<u64, f64>,
}

impl Histogram {
    fn read(metrics: &str) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix("tidegate_review_duration_seconds_") else {
                continue;
            };
            let (series, value) = rest.rsplit_once(' ').context("a line without a value")?;
            let value: f64 = value.parse()?;
            if series.starts_with("sum") {
                all.sum += value;
            } else if series.starts_with("count") {
                all.count += value;
            } else if let Some((_, bound)) = series.split_once("le=\"") {
                let bound = bound.split('"').next().unwrap_or_default();
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
                *all.buckets.entry(bound.to_bits()).or_default() += value;
            }
        }
        ensure!(!all.buckets.is_empty(), "the server has no histogram of reviews");
        Ok(all)
    }

    fn since(self, before: &Self) -> Self {
        let was = |bound: &u64| before.buckets.get(bound).copied().unwrap_or_default();
        Self {
            sum: self.sum - before.sum,
            count: self.count - before.count,
            buckets: self.buckets.iter().map(|(bound, now)| (*bound, now - was(bound))).collect(),
        }
    }

    fn line(&self, name: &str) -> anyhow::Result<InsideLine> {
        let mut within = [0.0; 3];
        for (share, bound) in within.iter_mut().zip(BOUNDS) {
            let inside = self.buckets.get(&bound.to_bits());
            *share = inside.context("the histogram has no such bound")? * 100.0 / self.count;
        }
        Ok(InsideLine { name: name.to_owned(), mean: self.sum * 1e6 / self.count, within })
    }
}
