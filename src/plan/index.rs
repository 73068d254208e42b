//! The members of a release by what is asked of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Reference, Referenced};
use crate::model::ImageReference;

/// Found once, so that rules need not look through a release for every object of it.
#[derive(Debug, Default)]
pub(super) struct Index<'m> {
    migrations: Vec<usize>,
    backups: Vec<usize>,
    /// By namespace.
    applications: BTreeMap<&'m str, Vec<usize>>,
    /// By namespace and repository: the applications that run an image of it.
    by_repository: BTreeMap<(&'m str, &'m str), Vec<usize>>,
    /// By namespace and a word for a database: the applications that may use it.
    by_database: BTreeMap<(&'m str, String), Vec<usize>>,
    /// By kind, namespace and name.
    providers: BTreeMap<Referenced, BTreeMap<&'m str, BTreeMap<String, Vec<usize>>>>,
}

impl<'m> Index<'m> {
    pub(super) fn new(members: &[Member<'m>]) -> Self {
        let mut index = Self::default();
        for (place, member) in members.iter().enumerate() {
            if member.is_migration_step() {
                index.migrations.push(place);
            }
            if member.is_backup() {
                index.backups.push(place);
            }
            if member.is_application() {
                index.add_application(place, member);
            }
            if let Some((kind, name)) = &member.provides {
                let of_kind = index.providers.entry(*kind).or_default();
                let names = of_kind.entry(member.namespace).or_default();
                names.entry(name.clone()).or_default().push(place);
            }
        }
        index
    }

    fn add_application(&mut self, place: usize, member: &Member<'m>) {
        let namespace = member.namespace;
        self.applications.entry(namespace).or_default().push(place);
        let repositories: BTreeSet<&'m str> = member.images().map(repository).collect();
        for repository in repositories {
            self.by_repository.entry((namespace, repository)).or_default().push(place);
        }
        for word in member.database.iter().flat_map(crate::model::Database::words) {
            self.by_database.entry((namespace, word)).or_default().push(place);
        }
    }

    pub(super) fn migrations(&self) -> &[usize] {
        &self.migrations
    }

    pub(super) fn backups(&self) -> &[usize] {
        &self.backups
    }

    pub(super) fn providers(&self, namespace: &str, reference: &Reference<'_>) -> &[usize] {
        let names = self.providers.get(&reference.kind).and_then(|kind| kind.get(namespace));
        names.and_then(|names| names.get(reference.name)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn dependents(&self, members: &[Member<'_>], migration: &Member<'_>) -> Vec<usize> {
        let namespace = migration.namespace;
        let repositories = migration.migrating_images().map(repository);
        let by_image = repositories
            .filter_map(|repository| self.by_repository.get(&(namespace, repository)))
            .flatten();
        let mut known: BTreeSet<usize> = by_image.copied().collect();
        if let Some(database) = &migration.database {
            for word in database.words() {
                let users = self.by_database.get(&(namespace, word)).into_iter().flatten();
                known.extend(users.filter(|user| {
                    let own = members.get(**user).and_then(|member| member.database.as_ref());
                    own.is_some_and(|own| own.is_same_as(database))
                }));
            }
        }
        if known.is_empty() {
            return self.applications.get(namespace).cloned().unwrap_or_default();
        }
        known.into_iter().collect()
    }
}

fn repository(image: &str) -> &str {
    ImageReference::parse(image).repository
}
