//! Completions and manual pages.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};

use clap::CommandFactory as _;

use crate::support::Folder;

fn tidegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).output().unwrap()
}

#[test]
fn every_shell_gets_completions_for_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = tidegate(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let text = String::from_utf8(output.stdout).unwrap();
        for command in tidegate::cli::Args::command().get_subcommands() {
            assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
        assert!(text.contains("create-baseline"), "{shell}");
    }
    assert_eq!(tidegate(&["completions", "bsh"]).status.code(), Some(2));
}

#[test]
fn bash_completes_what_is_typed() {
    let script = "eval \"$(\"$0\" completions bash)\"\n\
                  COMP_WORDS=(tidegate check --format sa) COMP_CWORD=3\n\
                  _tidegate tidegate sa --format\n\
                  echo \"${COMPREPLY[@]}\"\n\
                  COMP_WORDS=(tidegate ch) COMP_CWORD=1\n\
                  _tidegate tidegate ch tidegate\n\
                  echo \"${COMPREPLY[@]}\"\n";
    let output =
        Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_tidegate")]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "sarif\ncheck\n", "{:?}", output.stderr);
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new("man");
    let pages = folder.0.join("share/man1");
    let output = tidegate(&["man", "--dir", pages.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let names: BTreeSet<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut command = tidegate::cli::Args::command();
    command.build();
    let mut want = BTreeSet::from(["tidegate.1".to_owned()]);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        want.insert(format!("tidegate-{}.1", sub.get_name()));
        for below in sub.get_subcommands().filter(|below| below.get_name() != "help") {
            want.insert(format!("tidegate-{}-{}.1", sub.get_name(), below.get_name()));
        }
    }
    assert_eq!(names, want);
    let page = fs::read_to_string(pages.join("tidegate-check.1")).unwrap();
    assert!(page.contains("baseline") && page.starts_with(".ie"), "{page}");
    let alone = tidegate(&["man"]);
    let alone = String::from_utf8(alone.stdout).unwrap();
    assert_eq!(alone, fs::read_to_string(pages.join("tidegate.1")).unwrap());
    folder.write("file", "");
    let wrong = tidegate(&["man", "--dir", folder.0.join("file").to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
