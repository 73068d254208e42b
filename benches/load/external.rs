//! Any webhook, under the load that tidegate is measured with.

use std::{collections::BTreeMap, fs, net::ToSocketAddrs as _};

use anyhow::{Context as _, ensure};
use hyper::Uri;
use rustls::pki_types::ServerName;

use super::{
    client::{Client, Endpoint, trust},
    corpus::{Corpus, Mix},
    generator::{Pace, Sample, Until, drive_at},
    options::Options,
    report,
    results::Line,
};

/// What a webhook answers: for each recording, whether it is admitted.
type Expected = BTreeMap<String, bool>;

/// Drives the webhook at `--url` and prints what it holds.
///
/// # Errors
///
/// When it cannot be reached, or an answer is not the one that is expected.
pub(crate) fn run(options: &Options, url: &str) -> anyhow::Result<()> {
    let (endpoint, host, path) = target(options, url)?;
    for mix in &options.mixes {
        // A webhook has one path: a validating one is not asked for defaults.
        if (*mix == Mix::Mutate) != path.contains("mutat") {
            println!("the mix {mix:?} is left out: the path of the URL is {path}");
            continue;
        }
        let mut corpus = Corpus::read(*mix)?;
        for review in corpus.reviews_mut() {
            *review = review.addressed(&host, &path);
        }
        if let Some(file) = &options.learn {
            let expected = learn(&endpoint, &mut corpus)?;
            fs::write(file, serde_json::to_string_pretty(&expected)? + "\n")?;
            println!("wrote {}: read it before you trust it", file.display());
            continue;
        }
        if let Some(file) = &options.expect {
            let text = fs::read_to_string(file).context(file.display().to_string())?;
            let expected: Expected = serde_json::from_str(&text)?;
            for review in corpus.reviews_mut() {
                let answer = expected.get(&review.name);
                review.expected = Some(*answer.with_context(|| {
                    format!("{} says nothing of {}", file.display(), review.name)
                })?);
            }
        }
        measure(options, &endpoint, &corpus, *mix)?;
    }
    Ok(())
}

/// Where it is, its host as in the URL, and the path.
fn target(options: &Options, url: &str) -> anyhow::Result<(Endpoint, String, String)> {
    let uri: Uri = url.parse().context("--url is no URL")?;
    ensure!(uri.scheme_str() == Some("https"), "--url must begin with https://");
    let authority = uri.authority().context("--url has no host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(443);
    let address = (host, port).to_socket_addrs()?.next().context("the host has no address")?;
    let ca = options.ca.as_ref().context("--ca is missing")?;
    let name = ServerName::try_from(host.to_owned())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // The API server says how long it waits.
    let path = if path.contains('?') { path.to_owned() } else { format!("{path}?timeout=5s") };
    Ok((Endpoint { address, name, trust: trust(ca)? }, authority.to_string(), path))
}

fn learn(endpoint: &Endpoint, corpus: &mut Corpus) -> anyhow::Result<Expected> {
    let mut client = Client::connect(endpoint)?;
    let mut expected = Expected::new();
    for (number, review) in corpus.reviews_mut().iter().enumerate() {
        expected.insert(review.name.clone(), client.ask(review, number as u64)?);
    }
    Ok(expected)
}

fn measure(
    options: &Options,
    endpoint: &Endpoint,
    corpus: &Corpus,
    mix: Mix,
) -> anyhow::Result<()> {
    println!("\nMix {mix:?}, {} bytes a request\n\n{}", corpus.mean_length(), report::HEADER);
    for connections in &options.connections {
        let mut total = Sample::default();
        for _ in 0..options.rounds() {
            let until = Until::Elapsed(options.slice());
            // What it takes of the processor is its own machine's affair.
            let cpu = || Ok(0.0);
            total.add(&drive_at(endpoint, cpu, corpus, *connections, Pace::Closed, until)?);
        }
        println!("| {connections} | {} | {} |", endpoint.address, Line::of(&total).columns());
    }
    Ok(())
}
