//! Policies from `--policy`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    detect::Detector,
    policy::{self, Exception, ExceptionSet, Place, Policy, PolicySet},
};

/// Most errors that are shown at once.
const SHOWN: usize = 50;

/// Reads every policy of these files and folders, with the exceptions in them; where there is no
/// policy, the built-in one applies.
///
/// Of a folder every `*.yaml`, `*.yml` and `*.json` directly in it is read, in order of name.
///
/// # Errors
///
/// When something cannot be read, a folder has no such file, or a policy or an exception is wrong:
/// with file, line, column and field.
pub fn load(paths: &[PathBuf]) -> anyhow::Result<PolicySet> {
    load_all(paths, None)
}

/// As [`load`]; exceptions that name no namespace are for `namespace`.
///
/// # Errors
///
/// As [`load`], and when neither says the namespace of an exception.
pub fn load_all(paths: &[PathBuf], namespace: Option<&str>) -> anyhow::Result<PolicySet> {
    Detector::check_built_in().context("this build is broken: its catalogue of tools is wrong")?;
    let mut policies: Vec<Policy> = Vec::new();
    let mut exceptions: Vec<Exception> = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    for file in files(paths)? {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("cannot read policy {}", file.display()))?;
        let loaded = match policy::read(&text, &file.display().to_string()) {
            Ok(loaded) => loaded,
            Err(wrong) => {
                errors.extend(wrong.iter().map(ToString::to_string));
                continue;
            }
        };
        if loaded.policies.is_empty() && loaded.exceptions.is_empty() {
            errors.push(format!("{}: there is no policy in it", file.display()));
        }
        for policy in loaded.policies {
            // Which of two policies of one name applies would be chance.
            if policies.iter().any(|other| other.name == policy.name) {
                let name = &policy.name;
                errors
                    .push(format!("{}: a policy named `{name}` is loaded already", file.display()));
            }
            policies.push(policy);
        }
        exceptions.extend(loaded.exceptions);
    }
    if policies.is_empty() {
        policies.push(policy::built_in());
    }
    let policies = PolicySet::new(policies);
    if errors.is_empty() {
        // A rule that only a broken policy brings would be called unknown.
        errors.extend(check(&policies, &exceptions, namespace));
    }
    if !errors.is_empty() {
        bail!("policies cannot be used\n  {}", shown(errors).join("\n  "));
    }
    Ok(policies.with_exceptions(ExceptionSet::new(exceptions, namespace.unwrap_or_default())))
}

/// What cannot be seen in one document alone.
fn check(policies: &PolicySet, exceptions: &[Exception], namespace: Option<&str>) -> Vec<String> {
    let mut errors = Vec::new();
    for exception in exceptions {
        if exception.namespace.is_none() && namespace.is_none() {
            let Place { file, line, column } = &exception.place;
            let name = &exception.name;
            errors.push(format!(
                "{file}:{line}:{column}: metadata.namespace: is missing: exception `{name}` must \
                 say which namespace it is for"
            ));
        }
        for (Place { file, line, column }, message) in policies.unknown_rules(exception) {
            errors.push(format!("{file}:{line}:{column}: spec.rules: {message}"));
        }
    }
    errors
}

/// The first errors, and how many more there are.
fn shown(mut errors: Vec<String>) -> Vec<String> {
    let more = errors.len().saturating_sub(SHOWN);
    errors.truncate(SHOWN);
    if more > 0 {
        errors.push(format!("and {more} more"));
    }
    errors
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
