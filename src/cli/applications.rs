//! The Argo CD applications of a set, by what is asked for.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use crate::plan::Application;

/// Applications in the order of the set.
#[derive(Debug, Default)]
pub(super) struct Applications {
    list: Vec<Application>,
    /// By name: the first of that name.
    by_name: BTreeMap<String, usize>,
    /// By the path of a folder or chart: the first that is made from it.
    by_path: BTreeMap<PathBuf, usize>,
}

impl Applications {
    pub(super) fn add(&mut self, application: Application) {
        let place = self.list.len();
        self.by_name.entry(application.name.clone()).or_insert(place);
        for path in application.paths.iter().map(Path::new) {
            if path.components().any(|part| matches!(part, Component::Normal(_))) {
                self.by_path.entry(path.to_owned()).or_insert(place);
            }
        }
        self.list.push(application);
    }

    /// The only one there is.
    pub(super) fn only(&self) -> Option<&Application> {
        match self.list.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The first of a name.
    pub(super) fn named(&self, name: &str) -> Option<&Application> {
        self.list.get(*self.by_name.get(name)?)
    }

    /// The application that is made from a folder: the first that names it, or one that it is in.
    pub(super) fn of(&self, folder: &Path) -> Option<&Application> {
        let mut first: Option<usize> = None;
        for folder in folder.ancestors().filter(|_| !self.by_path.is_empty()) {
            // What it ends with, from the whole of it on.
            let mut parts = folder.components();
            loop {
                let place = self.by_path.get(parts.as_path()).copied();
                first = first.into_iter().chain(place).min();
                if parts.next().is_none() {
                    break;
                }
            }
        }
        self.list.get(first?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(name: &str, paths: &[&str]) -> Application {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        Application { name: name.to_owned(), paths, ..Application::default() }
    }

    #[test]
    fn a_folder_belongs_to_the_first_application_that_names_it_or_one_above() {
        let mut all = Applications::default();
        assert!(all.of(Path::new("a")).is_none() && all.only().is_none());
        for (name, paths) in [
            ("none", &["", ".", "/"][..]),
            ("inner", &["shop/inner"]),
            ("shop", &["x", "shop/"]),
            ("dotted", &["./dotted"]),
            ("late", &["late"]),
            ("late", &["other"]),
        ] {
            all.add(application(name, paths));
        }
        for (folder, name) in [
            ("repo/shop", Some("shop")),
            ("/abs/repo/shop/base", Some("shop")),
            ("repo/shop/inner/deep", Some("inner")),
            ("repo/workshop", None),
            ("./dotted", Some("dotted")),
            ("repo/dotted", None),
            ("repo/./x//y", Some("shop")),
            ("", None),
            (".", None),
        ] {
            let own = all.of(Path::new(folder)).map(|own| own.name.as_str());
            assert_eq!(own, name, "{folder}");
        }
        assert_eq!(all.named("late").unwrap().paths, ["late"]);
        assert!(all.named("nobody").is_none() && all.only().is_none());
    }
}
