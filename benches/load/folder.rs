//! Folders of applications, as they lie in Git.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// One application: five objects in three files.
const FILES: [(&str, &str); 3] = [
    ("hooks.yaml", include_str!("application/hooks.yaml")),
    ("app.yaml", include_str!("application/app.yaml")),
    ("verify.yaml", include_str!("application/verify.yaml")),
];
/// Objects of one application.
pub(crate) const OBJECTS: usize = 5;

/// Writes so many applications, and gives their files.
pub(crate) fn write(folder: &Path, applications: usize) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for number in 0..applications {
        let folder = folder.join(format!("{:03}/{number}", number / 100));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in FILES {
            let file = folder.join(name);
            fs::write(&file, text.replace("shop", &format!("shop-{number}"))).unwrap();
            files.push(file);
        }
    }
    files
}

/// Checks the folder, with another allocator if there is one; how much memory it took at most, in KiB,
/// where the system tells.
pub(crate) fn check(program: &Path, folder: &Path, preload: Option<&Path>) -> u64 {
    let mut child = Command::new(program)
        .args(["check", "--format=json", "--fail-on=never"])
        .arg(folder)
        .envs(preload.map(|library| ("LD_PRELOAD", library)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // The first byte comes when everything has been judged, so that the peak is behind it.
    let mut byte = [0];
    std::io::Read::read_exact(&mut stdout, &mut byte).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success(), "check could not run");
    peak.unwrap_or(0)
}
