//! Policies from `--policy`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    detect::Detector,
    policy::{self, Policy, PolicySet},
};

/// Most errors that are shown at once.
const SHOWN: usize = 20;

/// Reads every policy of these files and folders; of none, the built-in one.
///
/// Of a folder every `*.yaml`, `*.yml` and `*.json` directly in it is read, in order of name.
///
/// # Errors
///
/// When something cannot be read, a folder has no policy, or a policy is wrong: with file, line,
/// column and field.
pub fn load(paths: &[PathBuf]) -> anyhow::Result<PolicySet> {
    Detector::check_built_in().context("this build is broken: its catalogue of tools is wrong")?;
    if paths.is_empty() {
        return Ok(PolicySet::new(vec![policy::built_in()]));
    }
    let mut policies: Vec<Policy> = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    for file in files(paths)? {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("cannot read policy {}", file.display()))?;
        match policy::parse(&text, &file.display().to_string()) {
            Ok(read) => {
                for policy in read {
                    // Which of two policies of one name applies would be chance.
                    if policies.iter().any(|other| other.name == policy.name) {
                        errors.push(format!(
                            "{}: a policy named `{}` is loaded already",
                            file.display(),
                            policy.name
                        ));
                    }
                    policies.push(policy);
                }
            }
            Err(wrong) => errors.extend(wrong.iter().map(ToString::to_string)),
        }
    }
    if !errors.is_empty() {
        let more = errors.len().saturating_sub(SHOWN);
        errors.truncate(SHOWN);
        if more > 0 {
            errors.push(format!("and {more} more"));
        }
        bail!("policies cannot be used\n  {}", errors.join("\n  "));
    }
    Ok(PolicySet::new(policies))
}

/// The files that are meant.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let cannot = || format!("cannot read policy folder {}", path.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(path).with_context(cannot)? {
            let file = entry.with_context(cannot)?.path();
            if is_policy_file(&file) {
                found.push(file);
            }
        }
        if found.is_empty() {
            bail!("policy folder {} has no *.yaml, *.yml or *.json file", path.display());
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// A visible file of a known extension. A mounted ConfigMap has hidden folders beside its files.
fn is_policy_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
    known && !hidden && path.is_file()
}
