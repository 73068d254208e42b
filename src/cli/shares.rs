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
    order::{InOrder, Take},
    parallel,
    progress::Progress,
    releases::{self, ReleaseArgs},
    set::{Set, SetArgs},
    surroundings::Surroundings,
};
use crate::{
    policy::PolicySet,
    render::{Counts, InputError, Remark},
    source,
};

/// How many bytes of manifests are a share: enough that beginning one costs nothing.
pub(super) const SHARE: usize = 128 << 10;
/// A share of more bytes, which is a release that large, is worked on by every core.
const LARGE: usize = 1 << 20;

/// How many files are looked at before what they tell is kept.
const NOTED: usize = 1_024;

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
    /// Judges every object, in shares of about so many bytes, and hands on what each comes to in the
    /// order of the files; how much there was, and what is to be said of the exceptions. The size of
    /// the shares changes nothing of that.
    ///
    /// # Errors
    ///
    /// Those of `take`.
    pub(super) fn run(
        self,
        share: usize,
        take: &mut Take<'_>,
    ) -> anyhow::Result<(Counts, Vec<Remark>)> {
        let inputs = self.args.inputs();
        let sizes = parallel::map(&inputs, Input::size);
        let total = sizes.iter().map(|size| size.unwrap_or(0)).fold(0, usize::saturating_add);
        if total <= share || self.release.is_one() {
            return self.whole(inputs, take);
        }
        let survey = Survey::of(self.args, inputs, sizes);
        let shares = survey.shares(share);
        if shares.len() <= 1 {
            return self.whole(survey.inputs, take);
        }
        let terms = Terms::of(self.policies, &survey.around, self.args.default_namespace());
        let progress = Progress::new(survey.inputs.len());
        let mut order = InOrder::new(&terms, self.now);
        let judge = |share: &Share| self.share(&survey, share, &terms, &progress);
        // A large share is worked on by every core, and small ones side by side.
        for shares in shares.chunk_by(|one, next| one.bytes.max(next.bytes) <= LARGE) {
            if let [large] = shares {
                order.add(judge(large), &large.places, take)?;
                continue;
            }
            let judge = |share: &Share| (judge(share), share.places.clone());
            parallel::in_order(shares, judge, |(judged, places)| order.add(judged, &places, take))?;
        }
        progress.end();
        order.finish(take)
    }

    fn whole(
        self,
        inputs: Vec<Input>,
        take: &mut Take<'_>,
    ) -> anyhow::Result<(Counts, Vec<Remark>)> {
        let places: Vec<usize> = (0..inputs.len()).collect();
        let sources = input::read_all(inputs);
        let set = Set::read(self.args, &sources);
        let terms = Terms::of(self.policies, set.around(), self.args.default_namespace());
        let judged = terms.judge_alone(&set, self.release, self.fixes, self.now);
        let mut order = InOrder::new(&terms, self.now);
        order.add(judged, &places, take)?;
        order.finish(take)
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
    sizes: Vec<Option<usize>>,
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
    fn of(args: &SetArgs, mut inputs: Vec<Input>, mut sizes: Vec<Option<usize>>) -> Self {
        let mut around = Surroundings::default();
        let mut tracked = BTreeSet::new();
        let mut first: usize = 0;
        // What is noted of a file is more than what is kept of it.
        for (inputs, sizes) in inputs.chunks_mut(NOTED).zip(sizes.chunks_mut(NOTED)) {
            let files: Vec<_> = inputs.iter().zip(&*sizes).collect();
            let noted = parallel::map(&files, |(input, size)| Noted::of(input, size.is_some()));
            for ((place, noted), (input, size)) in
                (first..).zip(noted).zip(inputs.iter_mut().zip(sizes))
            {
                if noted.is_tracked {
                    tracked.insert(place);
                }
                if let Some(read) = noted.read {
                    *input = Input::Read(Box::new(read));
                }
                *size = Some(noted.size);
                for mut seen in noted.seen {
                    around.see(args, place, &mut seen);
                }
            }
            first = first.saturating_add(NOTED);
        }
        around.complete(args);
        Self { inputs, sizes, around: Arc::new(around), tracked }
    }

    /// The files by what may be one release, and those put together until a share is full; in the
    /// order of the first file of each, so that little has to wait for what stands before it.
    fn shares(&self, full: usize) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut open = Share { places: Vec::new(), bytes: 0 };
        for places in self.releases() {
            let sizes = places.iter().filter_map(|place| self.sizes.get(*place));
            let bytes = sizes.flatten().fold(0, |sum: usize, size| sum.saturating_add(*size));
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
        shares.sort_by_key(|share| share.places.iter().min().copied());
        shares
    }

    /// Files that can have objects of one release in common, in order of the first of each.
    fn releases(&self) -> Vec<Vec<usize>> {
        let applications = self.around.applications();
        // The only application deploys the only release there is, whichever that is.
        if applications.only().is_some() {
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
                let own = applications.of(folder);
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
    fn of(input: &Input, can_be_read_again: bool) -> Self {
        let read = input.read();
        let mut noted = Self::of_text(&read);
        if !can_be_read_again {
            noted.read = Some(read.into_owned());
        }
        noted
    }

    fn of_text(read: &Result<Source, InputError>) -> Self {
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
    use crate::{
        policy::built_in,
        render::{self, Entry, Report},
    };

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
            let mut report = Report::default();
            let keep = &mut |entry| {
                report.add(entry);
                Ok(())
            };
            let (counts, remarks) = check.run(share, keep).unwrap();
            report.totals.counts = counts;
            report.totals.remarks = remarks;
            let json = render::text_of(render::Json::default(), &report);
            format!("{json}\n{}\n{counts:#?}", render::sarif(&report))
        };
        let reports = [usize::MAX, 0, 700, 3_000].map(report);
        let inputs = args.inputs();
        let sizes: Vec<_> = inputs.iter().map(Input::size).collect();
        (reports.into(), Survey::of(args, inputs, sizes).shares(0).len())
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
    fn little_is_judged_before_what_stands_before_it_is_handed_on() {
        let name = |number: usize| format!("{number:04}/job.yaml");
        let files: Vec<_> = (0..400).map(|number| (name(number), job("old", HOOK))).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (&**name, text.clone())).collect();
        let folder = folder(&files);
        let line = Line::parse_from(["check", folder.path().to_str().unwrap()]);
        let policies = PolicySet::new(vec![built_in()]);
        let (args, release, now) = (&line.set, line.release, Timestamp::MIN);
        let check = Check { args, policies: &policies, release, fixes: false, now };
        let mut names = Vec::new();
        let take = &mut |entry| {
            let Entry::Object(object) = entry else { panic!("{entry:?}") };
            if names.is_empty() {
                fs::write(folder.path().join(name(399)), job("new", HOOK)).unwrap();
            }
            names.push(object.name);
            Ok(())
        };
        let (counts, _) = check.run(0, take).unwrap();
        assert_eq!((counts.files, counts.checked), (400, 400));
        assert_eq!(names.pop().as_deref(), Some("new"), "it was judged before anything was told");
        assert!(names.len() == 399 && names.iter().all(|name| name == "old"), "{names:?}");
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
