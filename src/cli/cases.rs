//! Cases of policies: found, put together, and played on every core.

use std::{
    collections::BTreeMap,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    input,
    manifests::{self, Manifest, Seen, is_cluster_scoped},
    parallel, policies,
};
use crate::{
    decision,
    model::{ActiveMigration, ConfigMap, ConfigMapSet},
    policy::{LoadError, PolicySet},
    policy_test::{
        self, ActiveGiven, Case, FactsGiven, ObjectFrom, Observed, Request, Scene, Suite, compare,
    },
    render::{
        InputError,
        tested::{TestReport, TestedCase, TestedSuite},
    },
    source::{self, Position, did_you_mean},
};

/// The policy of a test that names none.
const POLICY_FILE: &str = "policy.yaml";
/// Where Kubernetes puts an object that names no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// Runs every case of the files and folders; of those only the ones whose `FILE: NAME` contains
/// `filter`.
pub(super) fn run(paths: &[PathBuf], filter: Option<&str>) -> TestReport {
    let mut report = TestReport::default();
    let (suites, wanted) = read(paths, filter, &mut report.errors);
    let mut stage = Stage::default();
    let mut ready: Vec<Ready<'_>> = Vec::new();
    for (number, suite) in suites.iter().enumerate() {
        report.suites.push(TestedSuite {
            file: suite.file.clone(),
            name: suite.test.metadata.name.clone(),
            cases: Vec::new(),
        });
        let cases = wanted.get(number).map(Vec::as_slice).unwrap_or_default();
        match stage.suite(number, suite, cases) {
            Ok(cases) => {
                for case in cases {
                    match case {
                        Ok(case) => ready.push(case),
                        Err(error) => report.errors.push(unreadable(error)),
                    }
                }
            }
            Err(error) => report.errors.push(unreadable(error)),
        }
    }
    let played: Vec<Result<Observed, InputError>> = parallel::map(&ready, Ready::play);
    for (ready, played) in ready.iter().zip(played) {
        match (played, report.suites.get_mut(ready.number)) {
            (Ok(observed), Some(suite)) => suite.cases.push(TestedCase {
                name: ready.case.name.clone(),
                position: ready.position,
                differences: compare(&ready.case.expect, &observed),
                observed,
            }),
            (Err(error), _) => report.errors.push(error),
            (Ok(_), None) => {}
        }
    }
    report.suites.retain(|suite| !suite.cases.is_empty());
    report
}

/// Every test of the paths, and which of its cases are wanted.
fn read(
    paths: &[PathBuf],
    filter: Option<&str>,
    errors: &mut Vec<InputError>,
) -> (Vec<Suite>, Vec<Vec<usize>>) {
    let (mut suites, mut wanted) = (Vec::new(), Vec::new());
    for source in input::read(paths) {
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let parsed = policy_test::parse(&source.text, &source.name);
        // In a folder most files are something else; a file that is named is meant.
        let named = paths.iter().any(|path| path.as_os_str() == source.name.as_str());
        if named && parsed.suites.is_empty() && parsed.errors.is_empty() {
            errors.push(nothing(&source.name));
        }
        errors.extend(parsed.errors.into_iter().map(unreadable));
        suites.extend(parsed.suites);
    }
    for suite in &suites {
        let fits = |case: &Case| {
            filter.is_none_or(|text| format!("{}: {}", suite.file, case.name).contains(text))
        };
        let cases = suite.test.spec.cases.iter().enumerate();
        wanted.push(cases.filter(|(_, case)| fits(case)).map(|(index, _)| index).collect());
    }
    if wanted.iter().all(Vec::is_empty) && errors.is_empty() {
        let place = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        errors.push(match filter {
            Some(text) if !suites.is_empty() => InputError {
                file: place,
                position: None,
                message: format!("no case contains `{text}` (--run)"),
            },
            _ => nothing(&place),
        });
    }
    (suites, wanted)
}

fn nothing(file: &str) -> InputError {
    let message = format!("there is no document of kind {} in it", policy_test::KIND);
    InputError { file: file.to_owned(), position: None, message }
}

fn unreadable(error: LoadError) -> InputError {
    let LoadError { file, line, column, field, message } = error;
    let message = if field.is_empty() { message } else { format!("{field}: {message}") };
    InputError { file, position: Some(Position { line, column, offset: 0 }), message }
}

/// A case that can be played.
struct Ready<'s> {
    number: usize,
    suite: &'s Suite,
    case: &'s Case,
    position: Position,
    policies: Arc<PolicySet>,
    scene: Scene,
}

impl Ready<'_> {
    fn play(&self) -> Result<Observed, InputError> {
        // A fault of ours in one case must not lose the others.
        catch_unwind(AssertUnwindSafe(|| self.scene.play(&self.policies))).map_err(|_panic| {
            InputError {
                file: self.suite.file.clone(),
                position: Some(self.position),
                message: "tidegate failed on this case: a fault of tidegate's".to_owned(),
            }
        })
    }
}

/// What cases share: policies and manifests are read once.
#[derive(Default)]
struct Stage {
    policies: BTreeMap<Vec<PathBuf>, Result<Arc<PolicySet>, String>>,
    manifests: BTreeMap<PathBuf, Result<Arc<Vec<Manifest>>, String>>,
}

impl Stage {
    fn suite<'s>(
        &mut self,
        number: usize,
        suite: &'s Suite,
        wanted: &[usize],
    ) -> Result<Vec<Result<Ready<'s>, LoadError>>, LoadError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let policies = self.policies(suite)?;
        let custom = policies.policies().flat_map(|policy| policy.custom.rules());
        let custom: Vec<&str> = custom.map(|rule| rule.id).collect();
        let case = |index: &usize| Some((*index, suite.test.spec.cases.get(*index)?));
        Ok(wanted
            .iter()
            .filter_map(case)
            .map(|(index, case)| {
                let path = format!("spec.cases[{index}]");
                if let Some(error) = suite.unknown_rule(case, &path, &custom) {
                    return Err(error);
                }
                Ok(Ready {
                    number,
                    suite,
                    case,
                    position: suite.position(&path),
                    policies: Arc::clone(&policies),
                    scene: self.scene(suite, case, &path, &policies)?,
                })
            })
            .collect())
    }

    fn policies(&mut self, suite: &Suite) -> Result<Arc<PolicySet>, LoadError> {
        let field = "spec.policies";
        let paths = match &suite.test.spec.policies {
            Some(paths) => paths.iter().map(|path| beside(suite, path)).collect(),
            None => vec![nearest_policy(&suite.file).ok_or_else(|| {
                let message = format!(
                    "is left out, and there is no {POLICY_FILE} beside this file or in a folder above"
                );
                suite.error(field, message)
            })?],
        };
        let loaded = self.policies.entry(paths).or_insert_with_key(|paths| {
            policies::load(paths).map(Arc::new).map_err(|error| format!("{error:#}"))
        });
        loaded.clone().map_err(|message| suite.error(field, message))
    }

    fn scene(
        &mut self,
        suite: &Suite,
        case: &Case,
        path: &str,
        policies: &PolicySet,
    ) -> Result<Scene, LoadError> {
        let object =
            self.object(suite, case.object.as_ref(), case.object_from.as_ref(), path, "objectFrom");
        let old = self.object(
            suite,
            case.old_object.as_ref(),
            case.old_object_from.as_ref(),
            path,
            "oldObjectFrom",
        );
        let (object, old_object) = (object?, old?);
        let namespace = namespace(suite, case, object.as_ref().or(old_object.as_ref()));
        let (facts, at) = suite.facts(case, path);
        let config_maps = self.config_maps(suite, facts, &at, &namespace)?;
        let given = facts.active_migrations.iter().flatten().enumerate();
        let active = given.map(|(index, given)| {
            let field = format!("{at}.activeMigrations[{index}]");
            self.active(suite, case, given, &namespace, policies)
                .map_err(|message| suite.error(&field, message))
        });
        let active = active.collect::<Result<Vec<_>, _>>()?;
        let request = Request { object, old_object, namespace, config_maps, active };
        Scene::new(suite, case, request)
            .map_err(|problem| suite.error(&format!("{path}.{}", problem.field), problem.message))
    }

    /// An object that stands in the case or in a file.
    fn object(
        &mut self,
        suite: &Suite,
        inline: Option<&Value>,
        from: Option<&ObjectFrom>,
        path: &str,
        field: &str,
    ) -> Result<Option<Value>, LoadError> {
        let Some(from) = from else { return Ok(inline.cloned()) };
        self.pick(suite, from)
            .map(Some)
            .map_err(|message| suite.error(&format!("{path}.{field}"), message))
    }

    fn pick(&mut self, suite: &Suite, from: &ObjectFrom) -> Result<Value, String> {
        let ObjectFrom { file, kind, name } = from;
        let manifests = self.manifests(&beside(suite, file))?;
        let fits = |manifest: &&Manifest| {
            kind.as_ref().is_none_or(|kind| *kind == manifest.kind)
                && name.as_ref().is_none_or(|name| *name == manifest.name)
        };
        let found: Vec<&Manifest> = manifests.iter().filter(fits).collect();
        match found.as_slice() {
            [one] => serde_json::from_str(&one.json)
                .map_err(|_deep| format!("the object in {file} is nested too deeply")),
            [] => Err(format!("{file} {}", holds(&manifests, kind.as_deref(), name.as_deref()))),
            several => {
                let names: Vec<String> = several.iter().map(|one| subject(one)).collect();
                let names = names.join(", ");
                Err(format!("{file} holds {names}: say which with `kind` and `name`"))
            }
        }
    }

    /// A migration that runs: by the name of its database, or the Job of a manifest.
    fn active(
        &mut self,
        suite: &Suite,
        case: &Case,
        given: &ActiveGiven,
        namespace: &str,
        policies: &PolicySet,
    ) -> Result<ActiveMigration, String> {
        let Some(from) = &given.object_from else {
            return given.named(namespace).ok_or_else(|| "needs `name` and `database`".to_owned());
        };
        let object = self.pick(suite, from)?;
        let own = |field: &str| object.pointer(field).and_then(Value::as_str).map(str::to_owned);
        let name = given.name.clone().or_else(|| own("/metadata/name")).unwrap_or_default();
        let home = given.namespace.clone().or_else(|| own("/metadata/namespace"));
        let namespace = home.unwrap_or_else(|| namespace.to_owned());
        let labels = suite.namespace_labels(case);
        let running = decision::running(policies, &namespace, labels, &object.to_string());
        let database = running.and_then(|running| running.database).ok_or_else(|| {
            format!("{}/{name} is no Job that migrates a database that it tells of", from.file)
        })?;
        Ok(ActiveMigration { kind: decision::JOB, namespace, name, database })
    }

    fn config_maps(
        &mut self,
        suite: &Suite,
        facts: &FactsGiven,
        at: &str,
        namespace: &str,
    ) -> Result<ConfigMapSet, LoadError> {
        let mut set = ConfigMapSet::default();
        let text = |object: &Value, pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
        };
        for (index, object) in facts.config_maps.iter().enumerate() {
            let is = |field: &str, want: &str| object.get(field).is_some_and(|have| have == want);
            let map = ConfigMap::parse(&object.to_string());
            let name = text(object, "/metadata/name");
            match (map, name) {
                (Some(map), Some(name)) if is("apiVersion", "v1") && is("kind", "ConfigMap") => {
                    let own = text(object, "/metadata/namespace");
                    set.add(own.as_deref().unwrap_or(namespace), &name, 0, map);
                }
                _ => {
                    let field = format!("{at}.configMaps[{index}]");
                    return Err(suite.error(&field, "is no v1 ConfigMap with a name"));
                }
            }
        }
        for (index, file) in facts.files.iter().enumerate() {
            let field = format!("{at}.files[{index}]");
            let manifests = self.manifests(&beside(suite, file));
            let manifests = manifests.map_err(|message| suite.error(&field, message))?;
            for manifest in manifests.iter() {
                if let Some(map) = &manifest.config_map {
                    let own = manifest.namespace.as_deref();
                    set.add(own.unwrap_or(namespace), &manifest.name, 0, map.clone());
                }
            }
        }
        Ok(set)
    }

    /// Every object of a file or folder.
    fn manifests(&mut self, path: &Path) -> Result<Arc<Vec<Manifest>>, String> {
        if let Some(read) = self.manifests.get(path) {
            return read.clone();
        }
        let read = read_manifests(path).map(Arc::new);
        self.manifests.insert(path.to_owned(), read.clone());
        read
    }
}

fn read_manifests(path: &Path) -> Result<Vec<Manifest>, String> {
    let mut found = Vec::new();
    for file in input::read(&[path.to_owned()]) {
        let file = file.map_err(|error| error.to_string())?;
        for chunk in source::chunks(&file.text) {
            let before = found.len();
            let mut broken = None;
            for seen in manifests::read(&chunk, &file.name) {
                match seen {
                    Seen::Manifest(manifest) => found.push(manifest),
                    Seen::Broken(error) => broken = broken.or(Some(error)),
                    Seen::Own | Seen::Foreign | Seen::Exception(_) => {}
                }
            }
            // Of a key that stands twice the last one counts, as for the API server; `check` is
            // there to say so.
            if let Some(error) = broken.filter(|_| found.len() == before) {
                return Err(format!("{}:{error}", file.name));
            }
        }
    }
    Ok(found)
}

fn subject(manifest: &Manifest) -> String {
    format!("{}/{}", manifest.kind, manifest.name)
}

/// What a file holds instead of what was looked for.
fn holds(manifests: &[Manifest], kind: Option<&str>, name: Option<&str>) -> String {
    if manifests.is_empty() {
        return "holds no object".to_owned();
    }
    let want = [kind, name].into_iter().flatten().collect::<Vec<_>>().join("/");
    let subjects: Vec<String> = manifests.iter().map(subject).collect();
    let meant = did_you_mean(&want, subjects.iter().map(String::as_str));
    format!("holds no {want}{meant}")
}

/// The namespace that the request is for; empty for a cluster-scoped kind.
fn namespace(suite: &Suite, case: &Case, object: Option<&Value>) -> String {
    let text = |pointer: &str| {
        let value = object?.pointer(pointer)?.as_str()?;
        (!value.is_empty()).then_some(value)
    };
    let kind = (text("/apiVersion").unwrap_or_default(), text("/kind").unwrap_or_default());
    let namespace = match &case.namespace {
        Some(namespace) => namespace,
        None if is_cluster_scoped(kind.0, kind.1) => "",
        None => text("/metadata/namespace")
            .or(suite.test.spec.namespace.as_deref())
            .unwrap_or(DEFAULT_NAMESPACE),
    };
    namespace.to_owned()
}

/// A path that is written in a file, from where we are.
fn beside(suite: &Suite, path: &str) -> PathBuf {
    Path::new(&suite.file).parent().unwrap_or(Path::new("")).join(path)
}

/// The `policy.yaml` beside a file, or in the nearest folder above.
fn nearest_policy(file: &str) -> Option<PathBuf> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = fs::canonicalize(folder).ok()?;
    let found = folder.ancestors().map(|up| up.join(POLICY_FILE)).find(|path| path.is_file())?;
    // As a user would write it, where that can be.
    let here = env::current_dir().and_then(fs::canonicalize).unwrap_or_default();
    Some(found.strip_prefix(here).map(Path::to_owned).unwrap_or(found))
}
