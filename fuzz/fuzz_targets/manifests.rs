//! Any bytes as a file that `tidegate check` reads: every format can be written, and what it says
//! of places is in the file.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use clap::Parser as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    cli::{Args, Command, check, exit::Exit},
    source,
};

/// The folder of this process, in memory where there is such a place.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("tidegate-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
});

/// Every format but that for people, which standard output gets.
const FORMATS: [&str; 7] = ["json", "sarif", "html", "junit", "markdown", "github", "gitlab"];

static CHECK: LazyLock<check::Args> = LazyLock::new(|| {
    let file = |name: &str| FOLDER.join(name).display().to_string();
    let outputs = FORMATS.map(|format| format!("--output={format}={}", file(format)));
    let words = ["tidegate", "check"].map(str::to_owned).into_iter();
    match Args::parse_from(words.chain([file("set.yaml")]).chain(outputs)).command {
        Command::Check(args) => args,
        _ => panic!("check was asked for"),
    }
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(FOLDER.join("set.yaml"), bytes).expect("a file");
    let exit = check::run(&CHECK).expect("a check");
    let read = |format: &str| fs::read(FOLDER.join(format)).expect("a result");
    let json = |format: &str| -> Value { serde_json::from_slice(&read(format)).expect("JSON") };
    let (report, _, _) = (json("json"), json("sarif"), json("gitlab"));
    // Of what is no text the line is told in which it ceases to be one; to YAML a carriage return alone
    // ends a line too.
    let breaks = || bytes.iter().filter(|byte| **byte == b'\n').count();
    let lines = source::decode(bytes)
        .map_or_else(|_| breaks(), |text| text.split(['\n', '\r']).count()) as u64
        + 1;
    let mut found = 0;
    places(&report, &mut |line| {
        found += 1;
        assert!((1..=lines).contains(&line), "line {line} of {lines}");
    });
    assert!(exit != Exit::Findings || found > 0, "something was found nowhere");
});

/// Calls `see` with every line that is named.
fn places(value: &Value, see: &mut impl FnMut(u64)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_u64().filter(|_| key == "line") {
                    Some(line) => see(line),
                    None => places(value, see),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| places(value, see)),
        _ => {}
    }
}
