//! The members of a release by what is asked of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Reference, Referenced};
use crate::model::ImageReference;

/// Found once, so that rules need not look through a release for every object of it.
#[derive(Debug, Default)]
pub(super) struct Index<'m> {
    migrations: Vec<usize>,
    backups: Vec<usize>,
    /// By namespace. Those that start first are first, here and in the other lists of applications.
    applications: BTreeMap<&'m str, Vec<usize>>,
    /// By namespace and repository: the applications that run an image of it.
    by_repository: BTreeMap<(&'m str, &'m str), Vec<usize>>,
    /// By namespace and a word for a database: the applications that may use it.
    by_database: BTreeMap<(&'m str, String), Vec<usize>>,
    /// By kind, namespace and name.
    providers: BTreeMap<Referenced, BTreeMap<&'m str, BTreeMap<String, Vec<usize>>>>,
}

impl<'m> Index<'m> {
    /// `start` is when a member starts.
    pub(super) fn new(members: &[Member<'m>], start: impl Fn(usize) -> usize) -> Self {
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
        let lists = index.applications.values_mut().chain(index.by_repository.values_mut());
        for list in lists.chain(index.by_database.values_mut()) {
            list.sort_by_key(|place| start(*place));
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

    /// The applications that need what a migration does, in lists in which those that start first
    /// are first: those that run its image, those that use its database; where none is known to, all
    /// of its namespace.
    ///
    /// Who uses the same database is found out while a list is read, because most readers stop at
    /// the first.
    pub(super) fn dependents<'i>(
        &'i self,
        members: &'i [Member<'m>],
        migration: &'i Member<'m>,
    ) -> Vec<impl Iterator<Item = usize> + use<'i, 'm>> {
        let namespace = migration.namespace;
        let database = migration.database.as_ref();
        let is_dependent = move |place: usize, by_database: bool| {
            let own = members.get(place).and_then(|member| member.database.as_ref());
            let is_same = own.zip(database).is_some_and(|(one, other)| one.is_same_as(other));
            !by_database || is_same
        };
        let repositories: BTreeSet<&str> = migration.migrating_images().map(repository).collect();
        let by_image = repositories.into_iter().filter_map(|repository| {
            Some((self.by_repository.get(&(namespace, repository))?, false))
        });
        let words = database.iter().flat_map(|database| database.words());
        let by_database =
            words.filter_map(|word| Some((self.by_database.get(&(namespace, word))?, true)));
        let mut lists: Vec<(&[usize], bool)> = by_image
            .chain(by_database)
            .map(|(list, check)| (list.as_slice(), check))
            .filter(|(list, check)| list.iter().any(|place| is_dependent(*place, *check)))
            .collect();
        if lists.is_empty() {
            lists.extend(self.applications.get(namespace).map(|list| (list.as_slice(), false)));
        }
        lists
            .into_iter()
            .map(|(list, check)| list.iter().copied().filter(move |it| is_dependent(*it, check)))
            .collect()
    }
}

fn repository(image: &str) -> &str {
    ImageReference::parse(image).repository
}
