//! Folders of applications, as they lie in Git.

use std::{
    fs,
    io::Read as _,
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
    // What is written last is written when everything has been judged, so that the peak is behind it.
    let (mut peak, mut piece) = (0, vec![0; 64 << 10]);
    while stdout.read(&mut piece).unwrap() > 0 {
        peak = peak.max(peak_of(child.id()).unwrap_or(0));
    }
    assert!(child.wait().unwrap().success(), "check could not run");
    peak
}

/// How much memory a process took at most so far, in KiB; none where it has ended.
fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.split_whitespace().next()?.parse().ok()
}
