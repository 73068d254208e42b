//! Fixtures of rules: YAML whose first lines may give parameters and facts.
//!
//! - `# params: {…}`: parameters of the rule
//! - `# facts: {…}`: what stands around the object. What is not named was not asked; `unknown` was
//!   asked and could not be told.
//! - `# release: {…}`: the objects are one release, of the `engine` (`argocd` or `helm`) that is named
//!   or that they are written for. Those of a rule over releases always are.
//! - `# before: {…}`: what was different in the release before this one, by `Kind/name`: `null` for
//!   what was not in it, `image` of the first container.

use serde_json::{Value, json};
use tidegate::{
    detect::Detector,
    model::{
        ActiveMigration, Backup, ConfigMaps, Database, DatabaseSecret, Fact, Facts, Labels, Object,
    },
    plan::{Application, Engine, Member, Release},
    policy::{Requirements, Subject, assess},
    rules::{Context, Findings, Place, Rule, SetContext, SetFindings},
    source::documents,
};

/// The present of every fixture.
const NOW: &str = "2026-06-01T12:00:00Z";

/// What a fixture gives a rule.
pub(crate) struct Fixture {
    /// Parameters of the rule.
    pub(crate) params: Value,
    /// The objects.
    pub(crate) objects: Vec<Value>,
    facts: Around,
    release: Option<Value>,
    before: Option<Value>,
}

/// What stands around the objects of a fixture.
#[derive(Default)]
struct Around {
    labels: Option<Fact<Labels>>,
    active: Option<Fact<Vec<ActiveMigration>>>,
    backups: Option<Fact<Vec<Backup>>>,
    egress: Option<Fact<bool>>,
    secrets: Option<Fact<Vec<DatabaseSecret>>>,
}

impl Fixture {
    /// Reads a fixture.
    pub(crate) fn parse(text: &str) -> Self {
        let comment = |key: &str| {
            let mut lines = text.lines().take_while(|line| line.starts_with('#'));
            lines.find_map(|line| line.strip_prefix(key)).map(value)
        };
        Self {
            params: comment("# params: ").unwrap_or_else(|| json!({})),
            objects: documents(text).into_iter().map(|one| one.unwrap().value().clone()).collect(),
            facts: Around::parse(comment("# facts: ").unwrap_or_else(|| json!({}))),
            release: comment("# release: "),
            before: comment("# before: "),
        }
    }

    /// What a rule finds in each of the objects, alone and beside the others.
    pub(crate) fn run_all(&self, rule: &Rule) -> Vec<Findings> {
        let is_release = rule.places.contains(&Place::Release) || self.release.is_some();
        if !is_release {
            return self.objects.iter().map(|object| self.run(rule, object)).collect();
        }
        self.run_beside(rule)
    }

    /// What a rule finds in each of the objects of a release.
    pub(crate) fn run_beside(&self, rule: &Rule) -> Vec<Findings> {
        let texts: Vec<String> = self.objects.iter().map(Value::to_string).collect();
        let objects: Vec<Object<'_>> = texts.iter().map(|it| Object::parse(it).unwrap()).collect();
        let release = self.as_release(&objects);
        let around = tidegate::plan::Around::of(&release);
        let mut all: Vec<Findings> = Vec::new();
        for (number, object) in objects.iter().enumerate() {
            let mut facts = self.facts.facts();
            around.add_to(number, &mut facts);
            all.push(self.run_with(rule, object, &facts));
        }
        let old: Vec<String> = self.objects_before().iter().map(Value::to_string).collect();
        let old: Vec<Object<'_>> = old.iter().map(|it| Object::parse(it).unwrap()).collect();
        let before = self.as_release(&old);
        let before = self.before.is_some().then_some(&before);
        let context = SetContext { release: &release, before, now: NOW.parse().unwrap() };
        let mut beside = SetFindings::default();
        (rule.configure)(self.params.clone()).unwrap().check_set(&context, &mut beside);
        for (member, Findings { found, undecided }) in beside.into_members() {
            all[member].found.extend(found);
            all[member].undecided.extend(undecided);
        }
        all
    }

    fn objects_before(&self) -> Vec<Value> {
        let Some(before) = &self.before else { return Vec::new() };
        let before = before.as_object().unwrap();
        let mut objects = self.objects.clone();
        for (subject, old) in before {
            let is_it = |object: &Value| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                *subject
                    == format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
            };
            let place = objects.iter().position(is_it);
            let place = place.unwrap_or_else(|| panic!("there is no {subject}"));
            match old.get("image") {
                Some(image) => {
                    let pod = &mut objects[place]["spec"]["template"]["spec"];
                    pod["containers"][0]["image"] = image.clone();
                }
                None => drop(objects.remove(place)),
            }
        }
        objects
    }

    /// `Kind/name` of an object.
    pub(crate) fn subject(&self, index: usize) -> String {
        let object = &self.objects[index];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let name = &object["metadata"];
        let name = text(&name["name"]).or_else(|| text(&name["generateName"]));
        format!("{}/{}", text(&object["kind"]).unwrap(), name.unwrap_or_default())
    }

    /// The objects as one release.
    pub(crate) fn as_release<'o>(&'o self, objects: &'o [Object<'o>]) -> Release<'o> {
        let members: Vec<Member<'o>> = objects
            .iter()
            .enumerate()
            .map(|(number, object)| {
                let facts = self.facts.facts();
                Member::new(number, object, namespace(object), Detector::built_in(), facts)
            })
            .collect();
        let said = self.release.as_ref().and_then(|release| release["engine"].as_str());
        let engine = match said {
            Some("argocd") => Engine::ArgoCd,
            Some("helm") => Engine::Helm,
            Some(other) => panic!("{other} is no engine"),
            None => Engine::of(members.iter()),
        };
        let application = objects.iter().find_map(Application::of);
        Release::new(None, engine, application, "shop", members)
    }

    /// What a rule finds in one of the objects.
    pub(crate) fn run(&self, rule: &Rule, object: &Value) -> Findings {
        let json = object.to_string();
        self.run_with(rule, &Object::parse(&json).unwrap(), &self.facts.facts())
    }

    fn run_with(&self, rule: &Rule, object: &Object<'_>, facts: &Facts<'_>) -> Findings {
        let detections = Detector::built_in().detect(object, ConfigMaps::NONE);
        let now = NOW.parse().unwrap();
        let namespace = namespace(object);
        let subject =
            Subject { object, detections: &detections, facts, namespace, requester: "", now };
        let approval = assess(&Requirements::default(), &subject);
        let context = Context {
            object,
            namespace,
            is_update: false,
            detector: Detector::built_in(),
            detections: &detections,
            approval: &approval,
            facts,
            now,
        };
        let mut findings = Findings::default();
        (rule.configure)(self.params.clone()).unwrap().check(&context, &mut findings);
        findings
    }
}

fn namespace<'o>(object: &'o Object<'_>) -> &'o str {
    match object.metadata.namespace.as_str() {
        "" => "shop",
        namespace => namespace,
    }
}

impl Around {
    fn parse(mut facts: Value) -> Self {
        let mut take = |key: &str| {
            let given = facts.as_object_mut().unwrap().remove(key);
            given.map(|given| match given.as_str() {
                Some("unknown") => Fact::Unknown("the API server cannot be reached".into()),
                _ => Fact::Known(given),
            })
        };
        let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
        let around = Self {
            labels: take("namespaceLabels")
                .map(|fact| known(fact, |labels| serde_json::from_value(labels).unwrap())),
            active: take("activeMigrations").map(|fact| {
                list(fact, |one| ActiveMigration {
                    kind: if one["kind"] == "Deployment" { "Deployment" } else { "Job" },
                    namespace: text(one, "namespace"),
                    name: text(one, "name"),
                    database: database(one),
                })
            }),
            backups: take("backups").map(|fact| {
                list(fact, |one| Backup {
                    database: database(one),
                    completed: text(one, "completed").parse().unwrap(),
                })
            }),
            egress: take("egressIsLimited").map(|fact| known(fact, |v| v.as_bool().unwrap())),
            secrets: take("runtimeSecrets").map(|fact| {
                list(fact, |one| DatabaseSecret {
                    name: text(one, "name"),
                    key: one["key"].as_str().map(str::to_owned),
                })
            }),
        };
        assert_eq!(facts, json!({}), "facts that no fixture knows");
        around
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            active_migrations: borrowed(self.active.as_ref(), Vec::as_slice),
            backups: borrowed(self.backups.as_ref(), Vec::as_slice),
            egress_is_limited: borrowed(self.egress.as_ref(), |limited| *limited),
            runtime_secrets: borrowed(self.secrets.as_ref(), Vec::as_slice),
            ..Facts::new(borrowed(self.labels.as_ref(), |labels| labels))
        }
    }
}

/// `database: NAME`, or `secret: {name, key}` of the namespace `shop`.
fn database(of: &Value) -> Database {
    let Some(secret) = of.get("secret") else {
        return Database::declared(of["database"].as_str().unwrap());
    };
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "spec": {"template": {"spec": {"containers": [{"name": "other", "env": [
            {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": secret}}
        ]}]}}}
    });
    let json = job.to_string();
    let object = Object::parse(&json).unwrap();
    Database::of(&object, "shop", object.templates[0].containers.iter()).unwrap()
}

fn value(text: &str) -> Value {
    documents(text).remove(0).unwrap().value().clone()
}

fn known<T>(fact: Fact<Value>, read: impl Fn(Value) -> T) -> Fact<T> {
    match fact {
        Fact::Known(value) => Fact::Known(read(value)),
        Fact::Unknown(why) => Fact::Unknown(why),
        Fact::NotAsked => Fact::NotAsked,
    }
}

fn list<T>(fact: Fact<Value>, read: impl Fn(&Value) -> T) -> Fact<Vec<T>> {
    known(fact, |values| values.as_array().unwrap().iter().map(&read).collect())
}

fn borrowed<'a, T, U>(fact: Option<&'a Fact<T>>, get: impl Fn(&'a T) -> U) -> Fact<U> {
    match fact {
        Some(Fact::Known(value)) => Fact::Known(get(value)),
        Some(Fact::Unknown(why)) => Fact::Unknown(why.clone()),
        Some(Fact::NotAsked) | None => Fact::NotAsked,
    }
}
