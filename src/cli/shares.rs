//! A large set in shares, so that it need not be in memory as a whole.
//!
//! What is released together is judged together; so a share is whole folders, with what an Argo CD
//! application claims or tracks beside it. What tells something of objects in other shares is found
//! before, in a reading of all files that parses no other documents. A set that is small, or that is
//! one release, is one share.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, btree_map},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    input::{self, Input, Source},
    judge::{Judged, Terms},
    manifests::{self, Seen},
    parallel,
    progress::Progress,
    releases::{self, ReleaseArgs},
    set::{Set, SetArgs},
    surroundings::Surroundings,
};
use crate::{
    policy::PolicySet,
    render::{InputError, Report},
    source,
};

/// How many bytes of manifests are a share: enough that beginning one costs nothing.
pub(super) const SHARE: usize = 128 << 10;
/// A share of more bytes, which is a release that large, is worked on by every core.
const LARGE: usize = 1 << 20;

/// What documents have in them that tell something of others: kinds.
const TELLING: [&str; 4] = ["Namespace", "ConfigMap", "Application", "MigrationException"];

/// What is checked, and how.
#[derive(Clone, Copy)]
pub(super) struct Check<'c> {
    pub(super) args: &'c SetArgs,
    pub(super) policies: &'c PolicySet,
    pub(super) release: ReleaseArgs,
    /// Findings are to tell how their file would have to change.
    pub(super) fixes: bool,
    pub(super) now: Timestamp,
}

impl Check<'_> {
    /// Judges every object, in shares of about so many bytes. Their size changes nothing of the
    /// report.
    pub(super) fn report(self, share: usize) -> Report {
        let inputs = self.args.inputs();
        let sizes = parallel::map(&inputs, Input::size);
        let total = sizes.iter().map(|size| size.unwrap_or(0)).fold(0, usize::saturating_add);
        if total <= share || self.release.is_one() {
            return self.whole(inputs);
        }
        let survey = Survey::of(self.args, inputs, &sizes);
        let shares = survey.shares(share);
        if shares.len() <= 1 {
            return self.whole(survey.inputs);
        }
        let terms = Terms::of(self.policies, &survey.around, self.args.default_namespace());
        let progress = Progress::new(survey.inputs.len());
        let judge = |share: &Share| self.share(&survey, share, &terms, &progress);
        let (large, small): (Vec<Share>, Vec<Share>) =
            shares.into_iter().partition(|share| share.bytes > LARGE);
        let mut judged: Vec<Judged> = large.iter().map(judge).collect();
        judged.extend(parallel::map_large(&small, judge));
        progress.end();
        terms.report(judged, self.now)
    }

    fn whole(self, inputs: Vec<Input>) -> Report {
        let sources = input::read_all(inputs);
        let set = Set::read(self.args, &sources);
        let terms = Terms::of(self.policies, set.around(), self.args.default_namespace());
        let judged = terms.judge_alone(&set, self.release, self.fixes, self.now);
        terms.report(vec![judged], self.now)
    }

    fn share(&self, survey: &Survey, share: &Share, terms: &Terms, progress: &Progress) -> Judged {
        let read = parallel::map(&share.places, |place| {
            survey.inputs.get(*place).map(|input| (*place, input.read()))
        });
        let sources: Vec<(usize, Cow<'_, Result<Source, InputError>>)> =
            read.into_iter().flatten().collect();
        let numbered = sources.iter().map(|(place, source)| (*place, &**source));
        let set = Set::share(self.args, numbered, &survey.around);
        let judged = terms.judge_alone(&set, self.release, self.fixes, self.now);
        for _source in &sources {
            progress.step();
        }
        judged
    }
}

/// Files that are judged together.
struct Share {
    /// Their places among the inputs.
    places: Vec<usize>,
    bytes: usize,
}

/// What a first reading of all files tells.
struct Survey {
    inputs: Vec<Input>,
    sizes: Vec<usize>,
    around: Arc<Surroundings>,
    /// The places of files whose objects may be known to Argo CD by a tracking id.
    tracked: BTreeSet<usize>,
}

/// What a first reading of one file tells.
struct Noted {
    seen: Vec<Seen>,
    is_tracked: bool,
    /// The file, where it can be read only once.
    read: Option<Result<Source, InputError>>,
    size: usize,
}

impl Survey {
    fn of(args: &SetArgs, mut inputs: Vec<Input>, sizes: &[Option<usize>]) -> Self {
        let files: Vec<_> = inputs.iter().zip(sizes).collect();
        let noted = parallel::map(&files, |(input, size)| {
            let read = input.read();
            let mut noted = Noted::of(&read);
            if size.is_none() {
                noted.read = Some(read.into_owned());
            }
            noted
        });
        let mut sizes = Vec::with_capacity(noted.len());
        let mut tracked = BTreeSet::new();
        let mut seen: Vec<(usize, Seen)> = Vec::new();
        for (place, (noted, input)) in noted.into_iter().zip(&mut inputs).enumerate() {
            if noted.is_tracked {
                tracked.insert(place);
            }
            if let Some(read) = noted.read {
                *input = Input::Read(read);
            }
            sizes.push(noted.size);
            seen.extend(noted.seen.into_iter().map(|seen| (place, seen)));
        }
        let documents = seen.iter_mut().map(|(place, seen)| (*place, seen));
        let around = Arc::new(Surroundings::of(args, documents));
        Self { inputs, sizes, around, tracked }
    }

    /// The files by what may be one release, and those put together until a share is full. The
    /// greatest come first.
    fn shares(&self, full: usize) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut open = Share { places: Vec::new(), bytes: 0 };
        for places in self.releases() {
            let sizes = places.iter().filter_map(|place| self.sizes.get(*place));
            let bytes = sizes.fold(0, |sum: usize, size| sum.saturating_add(*size));
            if bytes > full {
                shares.push(Share { places, bytes });
                continue;
            }
            open.places.extend(places);
            open.bytes = open.bytes.saturating_add(bytes);
            if open.bytes >= full {
                shares.push(std::mem::replace(&mut open, Share { places: Vec::new(), bytes: 0 }));
            }
        }
        if !open.places.is_empty() {
            shares.push(open);
        }
        // So that no core is left with a great one when the others are done.
        shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        shares
    }

    /// Files that can have objects of one release in common, in order of the first of each.
    fn releases(&self) -> Vec<Vec<usize>> {
        let applications = self.around.applications();
        // The only application deploys the only release there is, whichever that is.
        if let [_only] = applications {
            return vec![(0..self.inputs.len()).collect()];
        }
        let names: Vec<Cow<'_, str>> = self.inputs.iter().map(Input::name).collect();
        let folder = |name| Path::new(name).parent().unwrap_or(Path::new(""));
        let tracked = self.tracked.iter().filter_map(|place| names.get(*place));
        let tracked: BTreeSet<&Path> = tracked.map(|name| folder(&**name)).collect();
        let mut homes: BTreeMap<&Path, Home<'_>> = BTreeMap::new();
        let mut order: BTreeMap<Home<'_>, usize> = BTreeMap::new();
        let mut releases: Vec<Vec<usize>> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let folder = folder(&**name);
            let home = *homes.entry(folder).or_insert_with(|| {
                let own = releases::claimed_by(applications, folder);
                match own {
                    // Which of the applications it is a tracking id may say.
                    _ if tracked.contains(folder) => Home::Tracked,
                    Some(_) if !tracked.is_empty() => Home::Tracked,
                    Some(own) => Home::Application(&own.name),
                    None => Home::Folder(folder),
                }
            });
            match order.entry(home) {
                btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(releases.len());
                    releases.push(vec![place]);
                }
                btree_map::Entry::Occupied(known) => {
                    releases.get_mut(*known.get()).into_iter().for_each(|list| list.push(place));
                }
            }
        }
        releases
    }
}

/// What files are released with, as far as it can be told without reading them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home<'h> {
    Tracked,
    Application(&'h str),
    Folder(&'h Path),
}

impl Noted {
    fn of(read: &Result<Source, InputError>) -> Self {
        let mut noted = Self { seen: Vec::new(), is_tracked: false, read: None, size: 0 };
        let Ok(source) = read else { return noted };
        noted.size = source.text.len();
        noted.is_tracked = has(&source.text, &[releases::TRACKING_ID]);
        if !has(&source.text, &TELLING) {
            return noted;
        }
        for chunk in source::chunks(&source.text) {
            if has(chunk.text, &TELLING) {
                let seen = manifests::read(&chunk, &source.name);
                noted.seen.extend(seen.into_iter().filter(Surroundings::needs));
            }
        }
        noted
    }
}

/// True when one of some words may stand in a text: as it is, or with escapes for some characters.
fn has(text: &str, words: &[&str]) -> bool {
    let mut escapes =
        text.match_indices('\\').filter_map(|(at, _)| text.as_bytes().get(at..)?.get(1));
    words.iter().any(|word| text.contains(word))
        || escapes.any(|next| matches!(next, b'x' | b'u' | b'U' | b'/' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;
    use crate::{policy::built_in, render};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArgs,
        #[command(flatten)]
        release: ReleaseArgs,
    }

    /// What is reported of files in shares of different sizes, and how many shares the least made.
    fn reports(line: &[&str]) -> (Vec<String>, usize) {
        let line = Line::parse_from([&["check"], line].concat());
        let policies = PolicySet::new(vec![built_in()]);
        let (args, release) = (&line.set, line.release);
        let check = Check { args, policies: &policies, release, fixes: true, now: Timestamp::MIN };
        let report = |share| {
            let report = check.report(share);
            format!("{}\n{}\n{:#?}", render::json(&report), render::sarif(&report), report.counts)
        };
        let reports = [usize::MAX, 0, 700, 3_000].map(report);
        let inputs = args.inputs();
        let sizes: Vec<_> = inputs.iter().map(Input::size).collect();
        (reports.into(), Survey::of(args, inputs, &sizes).shares(0).len())
    }

    fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn job(name: &str, annotations: &str) -> String {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\n\
             spec:\n  template:\n    spec:\n      containers:\n        - name: migrate\n          \
             image: shop:1\n          command: [sh, /scripts/run.sh]\n          volumeMounts: \
             [{{name: scripts, mountPath: /scripts}}]\n      volumes: [{{name: scripts, configMap: \
             {{name: scripts}}}}]\n---\n"
        )
    }

    const HOOK: &str = "argocd.argoproj.io/hook: PreSync";
    const SCRIPTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: {run.sh: rails db:drop}\n";
    const APPLICATION: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: NAME}\nspec: {source: {path: PATH}}\n---\n";

    fn application(name: &str, path: &str) -> String {
        APPLICATION.replace("NAME", name).replace("PATH", path)
    }

    /// Files of which most tell something of objects in other folders. One may be tracked, for all
    /// that is known of it without parsing it.
    fn spread() -> Vec<(&'static str, String)> {
        let tracked = |name: &str| {
            job(name, &format!("{HOOK}, argocd.argoproj.io/tracking-id: 'shop:batch/Job:a/{name}'"))
        };
        let exception = "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationException\n\
             metadata: {name: old}\nspec: {rules: [unapproved-destructive-migration], reason: old, \
             ticket: A-1, expires: '2026-12-31T00:00:00Z'}\n";
        let namespace =
            r#"{"apiVersion": "v1", "kind": "\u004eamespace", "metadata": {"name": "default"}}"#;
        vec![
            ("a/first.yaml", job("one", HOOK) + &job("two", "")),
            ("a/inner/empty.yaml", String::new()),
            ("a/inner/job.yaml", job("one", HOOK)),
            ("a/last.yaml", job("one", HOOK)),
            ("broken/job.yaml", "a: [\n---\n".to_owned() + &job("left", HOOK)),
            ("exceptions/old.yaml", exception.to_owned()),
            ("maps/scripts.yaml", SCRIPTS.to_owned()),
            ("namespaces/default.json", namespace.to_owned()),
            ("t1/job.yaml", tracked("left") + &job("three", HOOK)),
            ("t2/job.yaml", tracked("right")),
            ("values.yaml", "image: shop\n".to_owned()),
        ]
    }

    #[test]
    fn the_size_of_shares_changes_nothing() {
        let alone = spread();
        let with = |more: &[(&'static str, String)]| [&alone[..], more].concat();
        let one = with(&[("apps/one.yaml", application("one", "a"))]);
        let two =
            with(&[("apps/one.yaml", application("one", "a") + &application("shop", "broken"))]);
        for (files, shares) in [(alone, 7), (one, 0), (two, 5)] {
            let folder = folder(&files);
            let path = folder.path().to_str().unwrap();
            for options in [&[][..], &["--split=none"], &["--split=file"], &["--engine=helm"]] {
                let (reports, most) = reports(&[options, &[path, "nowhere.yaml"]].concat());
                assert_eq!(most, shares + 1, "{files:?}");
                assert!(reports.iter().all(|report| *report == reports[0]), "{options:?}");
                assert!(reports[0].contains("unapproved-destructive-migration"), "{}", reports[0]);
            }
        }
    }

    #[test]
    fn manifests_of_the_repository_are_the_same_in_shares() {
        let mut shares = 0;
        for folder in ["tests/manifests", "tests/rules", "tests/traps", "tests/plans", "policies"] {
            let (reports, most) = reports(&[folder]);
            assert!(reports.iter().all(|report| *report == reports[0]), "{folder}");
            shares += most;
        }
        assert!(shares > 40, "{shares}");
    }

    #[test]
    fn nothing_at_all_is_an_error_in_shares_too() {
        let files = [("a/1.yaml", "# nothing\n".to_owned()), ("b/1.yaml", String::new())];
        let folder = folder(&files);
        let (reports, shares) = reports(&[folder.path().to_str().unwrap()]);
        assert_eq!(shares, 2);
        assert!(reports.iter().all(|report| *report == reports[0]));
        assert!(reports[0].contains("there is no document in the input"), "{}", reports[0]);
    }

    #[test]
    fn words_are_found_behind_escapes() {
        for (text, is_there) in [
            ("kind: Namespace", true),
            ("kind: namespace", false),
            (r#"kind: "\x4eamespace""#, true),
            ("kind: \"Name\\\n  space\"", true),
            ("- C:\\temp", false),
            ("", false),
        ] {
            assert_eq!(has(text, &TELLING), is_there, "{text}");
        }
    }
}
