//! What was judged, back in the order of the files, piece by piece.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    judge::{Judged, JudgedPart, Terms},
    set,
};
use crate::{
    policy::{Exception, Place},
    render::{Counts, Entry, InputError, Located, Remark},
};

/// Takes the next entry of a report.
pub(super) type Take<'t> = dyn FnMut(Entry) -> anyhow::Result<()> + 't;

/// Hands entries on as soon as everything that stands before them has been judged, and keeps no
/// more than what has to wait.
pub(super) struct InOrder<'t> {
    terms: &'t Terms,
    now: Timestamp,
    /// By the place of a file: its parts, of files that come after one that is not judged yet.
    waiting: BTreeMap<usize, Vec<Result<JudgedPart, InputError>>>,
    /// The first file that is not handed on yet.
    next: usize,
    /// How many objects were handed on.
    objects: usize,
    counts: Counts,
    /// The first file that could be read, and its place.
    first: Option<(usize, String)>,
    /// There was nothing to read so far.
    is_empty: bool,
    excuses: Excuses,
}

impl<'t> InOrder<'t> {
    pub(super) fn new(terms: &'t Terms, now: Timestamp) -> Self {
        Self {
            terms,
            now,
            waiting: BTreeMap::new(),
            next: 0,
            objects: 0,
            counts: Counts::default(),
            first: None,
            is_empty: true,
            excuses: Excuses::default(),
        }
    }

    /// Takes what files come to, which are those at `places`.
    ///
    /// # Errors
    ///
    /// Those of `take`.
    pub(super) fn add(
        &mut self,
        judged: Judged,
        places: &[usize],
        take: &mut Take<'_>,
    ) -> anyhow::Result<()> {
        let Judged { parts, files, first, is_empty } = judged;
        self.counts.files = self.counts.files.saturating_add(files);
        self.is_empty &= is_empty;
        if let Some(first) = first
            && self.first.as_ref().is_none_or(|(place, _)| first.0 < *place)
        {
            self.first = Some(first);
        }
        // There are files with nothing in them.
        for place in places {
            self.waiting.entry(*place).or_default();
        }
        for (place, part) in parts {
            self.waiting.entry(place).or_default().push(part);
        }
        while let Some(parts) = self.waiting.remove(&self.next) {
            self.next = self.next.saturating_add(1);
            for part in parts {
                self.hand_on(part, take)?;
            }
        }
        Ok(())
    }

    fn hand_on(
        &mut self,
        part: Result<JudgedPart, InputError>,
        take: &mut Take<'_>,
    ) -> anyhow::Result<()> {
        let JudgedPart { entries, counts, objects } = match part {
            Ok(part) => part,
            Err(error) => return take(Entry::Error(error)),
        };
        for mut entry in entries {
            if let Entry::Object(object) = &mut entry {
                object.number = object.number.saturating_add(self.objects);
                object.findings.iter().for_each(|found| self.excuses.add(found));
            }
            take(entry)?;
        }
        self.objects = self.objects.saturating_add(objects);
        self.counts.add(counts);
        Ok(())
    }

    /// Hands on what is said after all of them; how much there was, and what is to be said of the
    /// exceptions.
    ///
    /// # Errors
    ///
    /// Those of `take`.
    pub(super) fn finish(self, take: &mut Take<'_>) -> anyhow::Result<(Counts, Vec<Remark>)> {
        for error in self.terms.unknown() {
            take(Entry::Error(error.clone()))?;
        }
        if self.is_empty {
            take(Entry::Error(set::nothing(self.first.as_ref().map_or("", |(_, file)| file))))?;
        }
        let exceptions = self.terms.policies.exceptions().iter();
        let remarks = exceptions.filter_map(|(_, one)| self.excuses.remark(one, self.now));
        Ok((self.counts, remarks.collect()))
    }
}

/// What exceptions were good for: for each that covers a finding, why it does not hold, if so.
#[derive(Debug, Default)]
struct Excuses {
    used: BTreeMap<(Place, String), Option<String>>,
}

impl Excuses {
    fn add(&mut self, found: &Located) {
        let Some(excuse) = &found.excuse else { return };
        let fails = self.used.entry(key(&excuse.exception)).or_default();
        if fails.is_none() {
            fails.clone_from(&excuse.fails);
        }
    }

    /// That an exception excuses nothing: it can go, or somebody counts on it in vain.
    fn remark(&self, exception: &Exception, now: Timestamp) -> Option<Remark> {
        let used = self.used.get(&key(exception));
        let title = exception.title();
        let (warns, message) = if let Some(Some(why)) = used {
            (true, format!("{title} does not hold, because {why}"))
        } else if exception.expires <= now {
            let expired = exception.expires;
            (true, format!("{title} expired at {expired}: mend what it excused, or delete it"))
        } else if used.is_none() {
            (false, format!("{title} excuses nothing of what was checked"))
        } else {
            return None;
        };
        let Place { file, line, column } = &exception.place;
        Some(Remark { file: file.to_string(), line: *line, column: *column, warns, message })
    }
}

fn key(exception: &Exception) -> (Place, String) {
    (exception.place.clone(), exception.name.clone())
}
