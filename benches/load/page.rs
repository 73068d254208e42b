//! The tables and pictures of `docs/performance.md`, from the results that are kept.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    allocators,
    api_server::{self, HEADER},
    callgrind::Counts,
    inside, plot,
    report::{self, number},
    results::{ApiServer, Check, Inside, Load, Memory, Results, Series},
    run::mib,
};

const PAGE: &str = "docs/performance.md";
/// The pictures, as the page names them.
const LOAD: &str = "performance/load.svg";
const GROWTH: &str = "performance/growth.svg";

/// Writes everything that was ever measured into the page, each part between its marks, and draws the
/// pictures.
///
/// # Errors
///
/// When the page lacks a mark, or a file cannot be written.
pub(crate) fn write(results: &Results) -> anyhow::Result<()> {
    let mut page = fs::read_to_string(path("performance.md").as_path()).context(PAGE)?;
    if let Some(results) = &results.counts {
        page = put(&page, "counts", &counts(results))?;
    }
    if let Some(results) = &results.growth {
        plot::growth(results, &path(GROWTH))?;
        page = put(&page, "growth", &growth(results))?;
    }
    if let Some(results) = &results.load {
        plot::load(results, &path(LOAD))?;
        page = put(&page, "load", &load(results))?;
    }
    if let Some(results) = &results.inside {
        let Inside { machine, reviews, lines } = results;
        let table = inside::table(lines);
        page = put(
            &page,
            "inside",
            &format!("{machine}, {} reviews each.\n\n{table}", number(*reviews)),
        )?;
    }
    if let Some(results) = &results.memory {
        page = put(&page, "memory", &memory(results))?;
    }
    if let Some(results) = &results.allocators {
        let table = allocators::table(&results.lines);
        let machine = &results.machine;
        page = put(
            &page,
            "allocators",
            &format!("{machine}, {} connections.\n\n{table}", results.connections),
        )?;
    }
    if let Some(results) = &results.api_server {
        page = put(&page, "api-server", &api(results))?;
    }
    if let Some(results) = &results.check {
        page = put(&page, "check", &check(results))?;
    }
    fs::write(path("performance.md"), page).context(PAGE)
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Puts a part between its marks.
fn put(page: &str, name: &str, part: &str) -> anyhow::Result<String> {
    let (begin, end) = (
        format!("<!-- {name}: written by `just performance` -->\n"),
        format!("<!-- end of {name} -->\n"),
    );
    let missing = || format!("{PAGE} has no marks for {name}");
    let (before, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", part.trim_end()))
}

fn counts(counts: &BTreeMap<String, Counts>) -> String {
    let mut text = "| review | instructions | allocations |\n|---|---:|---:|\n".to_owned();
    for (name, Counts { instructions, allocations }) in counts {
        let _ =
            writeln!(text, "| `{name}` | {} | {} |", number(*instructions), number(*allocations));
    }
    text
}

fn growth(all: &[Series]) -> String {
    let mut text = format!(
        "![How instructions grow with what is judged, and what would be linear]({GROWTH})\n\n\
         | | smallest | largest | instructions of these | for each more, in the last step |\n\
         |---|---:|---:|---:|---:|\n"
    );
    for Series { name, axis, points } in all {
        let [.., before, last] = points.as_slice() else { continue };
        let first = points[0];
        let step = (last.1 as f64 - before.1 as f64) / (last.0 - before.0) as f64;
        let _ = writeln!(
            text,
            "| {name}: {axis} | {} | {} | {}; {} | {} |",
            number(first.0),
            number(last.0),
            number(first.1),
            number(last.1),
            number(step.max(0.0) as u64)
        );
    }
    text
}

fn load(load: &Load) -> String {
    let Load { machine, turns: (seconds, rounds), program, start, mixes } = load;
    let mut text = format!(
        "{machine}, the generator on the same cores; {rounds} turns of {seconds} s for each server. \
         Program: {program:.1} MiB; start to ready: median {}, slowest {}.\n\n\
         ![Throughput, time to the answer and processor time over connections]({LOAD})\n",
        report::time(start.0),
        report::time(start.1),
    );
    for mix in mixes {
        let _ = write!(
            text,
            "\n**{}**, {} bytes a request, {:.0} % refused:\n\n{}\n",
            mix.mix,
            number(mix.bytes as u64),
            mix.refused,
            report::HEADER
        );
        for pair in &mix.closed {
            let _ = writeln!(text, "{}", report::lines(pair));
        }
        let _ = writeln!(text, "\n{}", report::RATIOS);
        for pair in &mix.closed {
            let _ = writeln!(text, "{}", report::ratios(pair));
        }
        let _ = writeln!(
            text,
            "\nAt half of tidegate's most, at a fixed rate:\n\n{}\n{}",
            report::HEADER,
            report::lines(&mix.open)
        );
    }
    text
}

fn memory(Memory { machine, after, most, bare }: &Memory) -> String {
    let mut text = format!("{machine}.\n\n| reviews | resident memory |\n|---:|---:|\n");
    for (reviews, memory) in after {
        let _ = writeln!(text, "| {} | {:.1} MiB |", number(*reviews), mib(*memory));
    }
    let _ = write!(
        text,
        "\nAt most {:.1} MiB. The bare server holds {:.1} MiB after a tenth as many.",
        mib(*most),
        mib(*bare)
    );
    text
}

fn api(results: &ApiServer) -> String {
    let ApiServer { machine, version, lines } = results;
    let rows: String = lines.iter().map(api_server::rows).collect();
    format!("{machine}, API server {version}, everything on the same cores.\n\n{HEADER}\n{rows}")
}

fn check(Check { machine, lines }: &Check) -> String {
    let mut text = format!(
        "{machine}; least / median of the rounds.\n\n\
         | manifests | parse only | check | check / parse | manifests/s | memory |\n\
         |---:|---:|---:|---:|---:|---:|\n"
    );
    for line in lines {
        let (parse, check) = (line.parse, line.check);
        let _ = writeln!(
            text,
            "| {} | {:.0} / {:.0} ms | {:.0} / {:.0} ms | {:.1} | {} | {} MiB |",
            number(line.manifests as u64),
            parse.0,
            parse.1,
            check.0,
            check.1,
            check.1 / parse.1,
            number((line.manifests as f64 * 1e3 / check.1) as u64),
            line.memory
        );
    }
    text
}
