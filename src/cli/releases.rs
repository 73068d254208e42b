//! The objects of a set as the releases that they belong to.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    ffi::OsStr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use jiff::Timestamp;

use super::{
    applications::Applications,
    manifests::Manifest,
    parallel,
    set::{Part, Set},
};
use crate::{
    decision::{self, Verdict},
    detect::Detector,
    model::{Facts, Object},
    plan::{Application, Around, Engine, Member, Release},
    policy::PolicySet,
    rules::SetContext,
};

pub(super) use crate::model::annotation::TRACKING_ID;

/// How a set is rolled out.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    /// Who rolls the manifests out [default: Argo CD, unless only Helm's hooks are among them]
    #[arg(long, value_enum, value_name = "ENGINE")]
    engine: Option<EngineName>,

    /// What one release is, of manifests that no Argo CD application claims [default: a folder, or a
    /// file where two files of a folder have several workloads in common]
    #[arg(long, value_enum, value_name = "BY")]
    split: Option<Split>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Split {
    /// Everything is one release
    None,
    /// The manifests of a folder
    Folder,
    /// The manifests of a file
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EngineName {
    /// Argo CD: phases and waves
    Argocd,
    /// Helm: hooks by weight, around the resources
    Helm,
}

impl ReleaseArgs {
    /// True when everything is one release, whatever it is.
    pub(super) fn is_one(self) -> bool {
        self.split == Some(Split::None)
    }
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Argocd => Self::ArgoCd,
            EngineName::Helm => Self::Helm,
        }
    }
}

/// Every object of a set, read.
pub(super) struct Objects<'s> {
    list: Vec<Entry<'s>>,
}

struct Entry<'s> {
    /// By which the rest of the set knows it.
    number: usize,
    part: &'s Part<'s>,
    manifest: &'s Manifest,
    object: Object<'s>,
}

impl<'s> Objects<'s> {
    /// Reads every object. One that cannot be read is left out: it has a finding of its own.
    pub(super) fn read(set: &'s Set<'s>) -> Self {
        let manifests: Vec<_> = set.manifests().enumerate().collect();
        let objects = parallel::map(&manifests, |(_, (_, manifest))| {
            catch_unwind(AssertUnwindSafe(|| Object::parse(&manifest.json).ok())).ok().flatten()
        });
        let list = manifests.into_iter().zip(objects).filter_map(|((number, at), object)| {
            let (part, manifest) = at;
            Some(Entry { number, part, manifest, object: object? })
        });
        Self { list: list.collect() }
    }

    /// The releases that the objects belong to, in the order of the input.
    pub(super) fn releases<'o>(
        &'o self,
        set: &'o Set<'_>,
        policies: &'o PolicySet,
        args: ReleaseArgs,
    ) -> Vec<Release<'o>> {
        let entries: Vec<&'o Entry<'_>> = self.list.iter().collect();
        let members = parallel::map(&entries, |entry| {
            let entry: &'o Entry<'_> = entry;
            // A fault of ours in one object must not lose the others; it is reported with it.
            let look = || entry.member(set, policies);
            catch_unwind(AssertUnwindSafe(look)).ok()
        });
        let applications = set.around().applications();
        let homes = Homes::new(&self.list, applications, args.split);
        let mut order: Vec<Home> = Vec::new();
        let mut groups: BTreeMap<Home, Vec<Member<'o>>> = BTreeMap::new();
        for (entry, member) in self.list.iter().zip(members) {
            let Some(member) = member else { continue };
            if Application::of(&entry.object).is_some() {
                continue;
            }
            match groups.entry(homes.of(entry)) {
                btree_map::Entry::Vacant(vacant) => {
                    order.push(vacant.key().clone());
                    vacant.insert(vec![member]);
                }
                btree_map::Entry::Occupied(mut occupied) => occupied.get_mut().push(member),
            }
        }
        let only = applications.only().filter(|_| groups.len() == 1);
        let releases = order.into_iter().filter_map(|home| {
            let members = groups.remove(&home)?;
            let own = match &home {
                Home::Application(name) => applications.named(name),
                // One Application and nothing that says otherwise: it is what it deploys.
                Home::Path(_) => only,
            };
            let engine = args.engine.map_or_else(
                || if own.is_some() { Engine::ArgoCd } else { Engine::of(members.iter()) },
                Engine::from,
            );
            let namespace = own.and_then(|own| own.namespace.as_deref());
            let namespace = namespace.unwrap_or_else(|| set.default_namespace());
            Some(Release::new(home.name(), engine, own.cloned(), namespace, members))
        });
        releases.collect()
    }
}

/// What an object is released with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    /// The objects of an Argo CD application.
    Application(String),
    /// The objects of a folder or a file, from the folder that all are in; empty for all of them.
    Path(String),
}

impl Home {
    fn name(self) -> Option<String> {
        match self {
            Self::Application(name) => Some(name),
            Self::Path(path) => Some(path).filter(|path| !path.is_empty()),
        }
    }
}

/// The members of releases, by number.
pub(super) fn by_number<'r, 'm>(releases: &'r [Release<'m>]) -> BTreeMap<usize, &'r Member<'m>> {
    let members = releases.iter().flat_map(|release| &release.members);
    members.map(|member| (member.number, member)).collect()
}

/// Where the objects of a set are released.
struct Homes<'h> {
    applications: &'h Applications,
    split: Option<Split>,
    /// The folder that every file is in.
    common: &'h Path,
    /// Folders in which two files have workloads in common.
    of_files: BTreeSet<&'h OsStr>,
}

impl<'h> Homes<'h> {
    fn new(list: &'h [Entry<'_>], applications: &'h Applications, split: Option<Split>) -> Self {
        let mut folders = list.iter().map(Entry::folder);
        let first = folders.next().unwrap_or(Path::new(""));
        let common = folders.fold(first, |common, folder| {
            let is_in = folder.as_os_str() == common.as_os_str();
            let mut above = common.ancestors();
            above.find(|it| is_in || folder.starts_with(it)).unwrap_or(Path::new(""))
        });
        // One workload in two files may be a slip; two are the same application once more.
        let mut shared: BTreeMap<(&OsStr, &str, &str), usize> = BTreeMap::new();
        let mut seen: BTreeMap<_, &str> = BTreeMap::new();
        for entry in list.iter().filter(|entry| !entry.object.templates.is_empty()) {
            let (object, file) = (&entry.object, entry.part.file.name.as_str());
            let metadata = &object.metadata;
            let name = (metadata.namespace.as_str(), metadata.name.as_str());
            let folder = entry.folder().as_os_str();
            let key = (folder, object.api_version.as_str(), object.kind.as_str(), name);
            let first = *seen.entry(key).or_insert(file);
            if !metadata.name.is_empty() && first != file {
                let count = shared.entry((folder, first, file)).or_default();
                *count = count.saturating_add(1);
            }
        }
        let of_files = shared
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|((folder, ..), _)| *folder)
            .collect();
        Self { applications, split, common, of_files }
    }

    fn of(&self, entry: &Entry<'_>) -> Home {
        if let Some(name) = entry.application() {
            return Home::Application(name);
        }
        let folder = entry.folder();
        if let Some(own) = self.applications.of(folder) {
            return Home::Application(own.name.clone());
        }
        let path = match self.split {
            Some(Split::None) => return Home::Path(String::new()),
            Some(Split::File) => Path::new(&entry.part.file.name),
            None if self.of_files.contains(folder.as_os_str()) => Path::new(&entry.part.file.name),
            None | Some(Split::Folder) => folder,
        };
        let path = path.strip_prefix(self.common).unwrap_or(path);
        Home::Path(path.to_string_lossy().into_owned())
    }
}

impl Entry<'_> {
    fn folder(&self) -> &Path {
        Path::new(&self.part.file.name).parent().unwrap_or(Path::new(""))
    }

    /// The application that Argo CD counts it among.
    fn application(&self) -> Option<String> {
        let id = self.object.metadata.annotation(TRACKING_ID)?;
        let (name, _) = id.split_once(':')?;
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn member<'o>(&'o self, set: &'o Set<'_>, policies: &'o PolicySet) -> Member<'o> {
        let namespace = set.namespace(self.manifest);
        let facts = set.facts(self.part, self.manifest);
        // Where no policy is for the namespace, the built-in tools count.
        let policy = policies.select(namespace, &facts).policy;
        let detector = policy.map_or(&**Detector::built_in(), |policy| &*policy.detector);
        Member::new(self.number, &self.object, namespace, detector, facts)
    }
}

/// What the releases of a set tell about its objects, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Beside {
    around: Vec<Around>,
    /// By number: which of them knows the object.
    known_to: BTreeMap<usize, usize>,
    verdicts: BTreeMap<usize, Verdict>,
}

impl Beside {
    /// Judges the objects of each release beside each other, and beside what was there `before`.
    pub(super) fn judge(
        policies: &PolicySet,
        releases: &[Release<'_>],
        before: &[Release<'_>],
        now: Timestamp,
    ) -> Self {
        let mut beside = Self::default();
        let alone = releases.len() == 1;
        let by_name: BTreeMap<_, _> = before.iter().map(|old| (&old.name, old)).collect();
        let decided = parallel::map(releases, |release| {
            let before = match before {
                // Where there is but one on each side, that is it, whatever its name.
                [only] if alone => Some(only),
                _ => by_name.get(&release.name).copied(),
            };
            let context = SetContext { release, before, now };
            let decide = || (Around::of(release), decision::validate_release(policies, &context));
            catch_unwind(AssertUnwindSafe(decide)).ok()
        });
        for (release, decided) in releases.iter().zip(decided) {
            // Nothing is said of a release that a fault of ours stops; each object is judged still.
            let Some((around, verdicts)) = decided else { continue };
            let place = beside.around.len();
            beside.known_to.extend(around.numbers().map(|number| (number, place)));
            beside.around.push(around);
            beside.verdicts.extend(verdicts.into_iter().filter_map(|(index, verdict)| {
                Some((release.members.get(index)?.number, verdict))
            }));
        }
        beside
    }

    /// What is known about an object because of those beside it.
    pub(super) fn add_to<'f>(&'f self, number: usize, facts: &mut Facts<'f>) {
        let place = self.known_to.get(&number);
        if let Some(around) = place.and_then(|place| self.around.get(*place)) {
            around.add_to(number, facts);
        }
    }

    /// What was found in an object beside the others.
    pub(super) fn verdict(&self, number: usize) -> Option<&Verdict> {
        self.verdicts.get(&number)
    }
}
