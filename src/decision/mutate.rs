//! The patch that fills in what a hook Job leaves out.
//!
//! Add only: a value that is set is never changed, so Argo CD sees no difference and a second call
//! adds nothing. What was added is recorded in the annotation `tidegate.dev/defaulted`.

use std::{borrow::Cow, collections::BTreeSet};

use json_patch::{
    AddOperation, Patch, PatchOperation,
    jsonptr::{PointerBuf, Token},
};
use serde_json::{Value, json};

use super::{create::Looked, verdict::Outcome};
use crate::{
    detect::{Confidence, Detection},
    model::{
        Amount, Change, ChangeOperation, ConfigMaps, Container, ContainerList, Facts, Object,
        PodTemplate, Quantity, ResourceList, StringMap, WorkloadKind, annotation,
    },
    policy::{Defaults, Policy, PolicySet, ResourceDefaults, ResourceName},
};

const TOOL_LABEL: &str = "tidegate.dev/tool";
const OPERATION_LABEL: &str = "tidegate.dev/operation";

/// What mutation answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// Why there is a patch, or none.
    pub outcome: Outcome,
    /// The policy that applied.
    pub policy: Option<String>,
    /// The operations; empty when nothing is to be added.
    pub patch: Patch,
    /// Paths of what the patch adds, with the value, such as `spec.activeDeadlineSeconds=1800`;
    /// without labels and the record itself.
    pub added: Vec<String>,
}

impl Mutation {
    fn none(outcome: Outcome) -> Self {
        Self { outcome, policy: None, patch: Patch(Vec::new()), added: Vec::new() }
    }

    /// True when there is nothing to add.
    pub fn is_empty(&self) -> bool {
        self.patch.0.is_empty()
    }

    /// The object with everything filled in, as the API server would go on with it. As it was when
    /// there is nothing to add, or when the patch does not fit, which for the object that it was
    /// made for it always does.
    pub fn applied<'j>(&self, json: &'j str) -> Cow<'j, str> {
        if self.is_empty() {
            return Cow::Borrowed(json);
        }
        let Ok(mut value) = serde_json::from_str::<Value>(json) else {
            return Cow::Borrowed(json);
        };
        match json_patch::patch(&mut value, &self.patch) {
            Ok(()) => serde_json::to_string(&value).map_or(Cow::Borrowed(json), Cow::Owned),
            Err(_) => Cow::Borrowed(json),
        }
    }
}

/// Works out what to fill in on a hook Job that is being created.
///
/// Total, like [`validate`](super::validate()): anything else than the creation of a hook Job that
/// migrates, backs up or verifies gets an empty patch.
pub fn mutate(policies: &PolicySet, change: &Change<'_>, facts: &Facts<'_>) -> Mutation {
    mutate_looked(policies, change, facts, None)
}

/// The same for an object that was `looked` at already, without ConfigMaps.
pub(super) fn mutate_looked(
    policies: &PolicySet,
    change: &Change<'_>,
    facts: &Facts<'_>,
    looked: Option<Looked<'_>>,
) -> Mutation {
    if change.operation != ChangeOperation::Create || !change.subresource.is_empty() {
        return Mutation::none(Outcome::NotJudged);
    }
    let selection = policies.select(change.namespace, facts);
    let Some(policy) = selection.policy else { return Mutation::none(Outcome::NoPolicy) };
    // Nothing is changed on a guess about which policy applies.
    if selection.uncertain {
        return Mutation::none(Outcome::NotJudged);
    }
    let parsed;
    let object = if let Some(looked) = looked {
        looked.object
    } else {
        let Ok(object) = Object::parse(change.object.unwrap_or_default()) else {
            return Mutation::none(Outcome::NotJudged);
        };
        parsed = object;
        &parsed
    };
    if object.workload != WorkloadKind::Job || !object.hooks.is_hook() {
        return Mutation::none(Outcome::NotJudged);
    }
    // What another controller manages is that controller's to fill in.
    if object.metadata.owner_references.iter().any(|owner| owner.controller) {
        return Mutation::none(Outcome::ControllerChild);
    }
    // What is filled in depends on the object alone: a ConfigMap can change after admission.
    let found;
    let detections = if let Some(detections) = looked.and_then(|looked| looked.detections) {
        detections
    } else {
        found = policy.detector.detect(object, ConfigMaps::NONE);
        &found
    };
    let certain = detections.iter().filter(|found| found.main.confidence > Confidence::Name);
    let Some(main) = certain.max_by_key(|found| found.operation()) else {
        return Mutation::none(Outcome::NotJudged);
    };
    write(policy, object, main)
}

/// Everything that is left out of a hook Job, most of all of what its container `main` needs.
fn write(policy: &Policy, object: &Object<'_>, main: &Detection<'_>) -> Mutation {
    let mut writer = Writer { patch: Vec::new(), added: Vec::new() };
    let defaults = &policy.defaults;
    let operation = main.operation();
    let filled = Filled {
        deadline: defaults.deadline(operation),
        resources: defaults.resources(operation, object.metadata.annotation(annotation::SIZE)),
        defaults,
    };
    for template in &object.templates {
        writer.job(&filled, template);
    }
    if defaults.labels {
        writer.labels(object, main);
    }
    writer.record(object);
    Mutation {
        outcome: Outcome::Admitted,
        policy: Some(policy.name.clone()),
        patch: Patch(writer.patch),
        added: writer.added,
    }
}

/// What is filled in on one Job.
struct Filled<'p> {
    defaults: &'p Defaults,
    deadline: Option<u32>,
    resources: &'p ResourceDefaults,
}

struct Writer {
    patch: Vec<PatchOperation>,
    added: Vec<String>,
}

impl Writer {
    /// Adds `value` at `path`, whose parent is there.
    fn add(&mut self, path: &[&str], value: Value) {
        let path = PointerBuf::from_tokens(path.iter().map(|part| Token::new(*part)));
        self.patch.push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// Adds `entries` to the map at `path`, or the whole map where there is none.
    fn add_to_map(&mut self, path: &[&str], exists: bool, entries: &[(&str, Value)]) {
        if entries.is_empty() {
            return;
        }
        if exists {
            for (key, value) in entries {
                let mut path = path.to_vec();
                path.push(key);
                self.add(&path, value.clone());
            }
        } else {
            let map = entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
            self.add(path, Value::Object(map.collect()));
        }
        self.note(&field_path(path), entries);
    }

    /// Notes what was added at the path `base`.
    fn note(&mut self, base: &str, entries: &[(&str, Value)]) {
        let noted = entries.iter().map(|(key, value)| match value {
            Value::String(text) => [base, ".", key, "=", text].concat(),
            other => format!("{base}.{key}={other}"),
        });
        self.added.extend(noted);
    }

    fn job(&mut self, filled: &Filled<'_>, template: &PodTemplate<'_>) {
        let defaults = filled.defaults;
        if let (Some(seconds), Some(job)) = (filled.deadline, &template.job)
            && job.active_deadline_seconds.is_none()
        {
            self.add_to_map(&["spec"], true, &[("activeDeadlineSeconds", json!(seconds))]);
        }
        let spec = ["spec", "template", "spec"];
        if let Some(mount) = defaults.automount_service_account_token
            && template.spec.automount_service_account_token.is_none()
            && template.spec.service_account_name.as_ref().is_none_or(|name| name.is_empty())
        {
            self.add_to_map(&spec, true, &[("automountServiceAccountToken", json!(mount))]);
        }
        let pod_is_non_root = self.pod_security(defaults, template);
        for container in &template.containers {
            if matches!(container.list, ContainerList::Ephemeral | ContainerList::DeploymentHook) {
                continue;
            }
            self.container_security(defaults, template, container, pod_is_non_root);
            // What the Pod has as a whole bounds its containers: more could not be admitted.
            if template.spec.resources.is_none() {
                self.resources(filled.resources, container);
            }
        }
    }

    /// Fills in the Pod's security context. True when non-root holds for the whole Pod.
    fn pod_security(&mut self, defaults: &Defaults, template: &PodTemplate<'_>) -> bool {
        let have = template.spec.security_context.clone().unwrap_or_default();
        let any_root = have.run_as_user == Some(0)
            || template.containers.iter().any(|container| uid(container) == Some(0));
        let mut entries = Vec::new();
        if let Some(non_root) = defaults.run_as_non_root
            && have.run_as_non_root.is_none()
            && !any_root
        {
            entries.push(("runAsNonRoot", json!(non_root)));
        }
        let linux = !template.spec.is_windows();
        if let Some(user) = defaults.run_as_user
            && have.run_as_user.is_none()
            && !any_root
            && linux
        {
            entries.push(("runAsUser", json!(user)));
        }
        if let Some(profile) = &defaults.seccomp_profile
            && have.seccomp_profile.is_none()
            && linux
        {
            entries.push(("seccompProfile", json!({ "type": profile })));
        }
        let path = ["spec", "template", "spec", "securityContext"];
        self.add_to_map(&path, template.spec.security_context.is_some(), &entries);
        have.run_as_non_root.is_some() || !any_root
    }

    fn container_security(
        &mut self,
        defaults: &Defaults,
        template: &PodTemplate<'_>,
        container: &Container<'_>,
        pod_is_non_root: bool,
    ) {
        let have = container.security_context.clone().unwrap_or_default();
        let pod_user = template.spec.security_context.as_ref().and_then(|pod| pod.run_as_user);
        let mut entries = Vec::new();
        if let Some(non_root) = defaults.run_as_non_root
            && !pod_is_non_root
            && have.run_as_non_root.is_none()
            && uid(container).or(pod_user) != Some(0)
        {
            entries.push(("runAsNonRoot", json!(non_root)));
        }
        let linux = !template.spec.is_windows();
        if let Some(allow) = defaults.allow_privilege_escalation
            && have.allow_privilege_escalation.is_none()
            && !have.needs_escalation()
            && linux
        {
            entries.push(("allowPrivilegeEscalation", json!(allow)));
        }
        let index = container.path.index().unwrap_or(0).to_string();
        let context = [&container_path(container, &index)[..], &["securityContext"]].concat();
        if let Some(drop) = &defaults.drop_capabilities
            && have.privileged != Some(true)
            && linux
        {
            match &have.capabilities {
                None => entries.push(("capabilities", json!({ "drop": drop }))),
                Some(capabilities) if capabilities.drop.is_none() => {
                    let inside = [&context[..], &["capabilities"]].concat();
                    self.add_to_map(&inside, true, &[("drop", json!(drop))]);
                }
                Some(_) => {}
            }
        }
        self.add_to_map(&context, container.security_context.is_some(), &entries);
    }

    /// Requests and limits. A request is never put above a limit, nor a limit below a request:
    /// the API server would refuse the Job.
    fn resources(&mut self, defaults: &ResourceDefaults, container: &Container<'_>) {
        let have = container.resources.as_ref();
        let requests = have.and_then(|resources| resources.requests.as_ref());
        let limits = have.and_then(|resources| resources.limits.as_ref());
        let mut more_requests = Vec::new();
        let mut more_limits = Vec::new();
        for name in [ResourceName::Cpu, ResourceName::Memory] {
            let request = amount(requests, name);
            let limit = amount(limits, name);
            if limit.is_some() {
                // Where only the limit is set, the API server makes it the request too.
                continue;
            }
            if request.is_none()
                && let Some(text) = defaults.requests.get(&name)
            {
                more_requests.push((name.as_str(), json!(text)));
            }
            if let Some(text) = defaults.limits.get(&name) {
                let wanted = text.parse::<Quantity>().ok();
                let value = match request {
                    Some(request) if request.quantity() > wanted => request.to_string(),
                    _ => text.clone(),
                };
                more_limits.push((name.as_str(), json!(value)));
            }
        }
        let index = container.path.index().unwrap_or(0).to_string();
        let resources = [&container_path(container, &index)[..], &["resources"]].concat();
        let inside = |key| [&resources[..], &[key]].concat();
        if have.is_none() {
            let mut map = serde_json::Map::new();
            for (key, entries) in [("requests", more_requests), ("limits", more_limits)] {
                if !entries.is_empty() {
                    self.note(&field_path(&inside(key)), &entries);
                    let entries = entries.into_iter().map(|(name, value)| (name.to_owned(), value));
                    map.insert(key.to_owned(), Value::Object(entries.collect()));
                }
            }
            if !map.is_empty() {
                self.add(&resources, Value::Object(map));
            }
            return;
        }
        self.add_to_map(&inside("requests"), requests.is_some(), &more_requests);
        self.add_to_map(&inside("limits"), limits.is_some(), &more_limits);
    }

    /// Labels for network policies, log queries and metrics, on the Job and on its Pods.
    fn labels(&mut self, object: &Object<'_>, main: &Detection<'_>) {
        let mut wanted = vec![
            (TOOL_LABEL, label_value(main.main.tool)),
            (OPERATION_LABEL, main.operation().as_str().to_owned()),
        ];
        if main.operation().is_migration() {
            wanted.push((annotation::MIGRATION_LABEL, "true".to_owned()));
        }
        let missing = |have: Option<&StringMap<'_>>| -> Vec<(&str, Value)> {
            wanted
                .iter()
                .filter(|(key, _)| have.is_none_or(|labels| labels.get(key).is_none()))
                .map(|(key, value)| (*key, json!(value)))
                .collect()
        };
        let before = self.added.len();
        let have = object.metadata.labels.as_ref();
        self.add_to_map(&["metadata", "labels"], have.is_some(), &missing(have));
        if let Some(template) = object.templates.first() {
            let entries = missing(Some(&template.labels));
            let metadata = ["spec", "template", "metadata"];
            let labels = ["spec", "template", "metadata", "labels"];
            if template.has_metadata {
                self.add_to_map(&labels, !template.labels.is_empty(), &entries);
            } else {
                let map: serde_json::Map<_, _> =
                    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                self.add(&metadata, json!({ "labels": map }));
            }
        }
        self.added.truncate(before);
    }

    /// Writes down what was added, for whoever wonders where it came from.
    fn record(&mut self, object: &Object<'_>) {
        if self.added.is_empty() {
            return;
        }
        let have = object.metadata.annotations.as_ref();
        let earlier = have.and_then(|annotations| annotations.get(annotation::DEFAULTED));
        let mut paths: BTreeSet<&str> = self.added.iter().map(|entry| path_part(entry)).collect();
        paths
            .extend(earlier.into_iter().flat_map(|text| text.split(',')).filter(|p| !p.is_empty()));
        let record = json!(paths.into_iter().collect::<Vec<_>>().join(","));
        let path = ["metadata", "annotations"];
        let added = std::mem::take(&mut self.added);
        self.add_to_map(&path, have.is_some(), &[(annotation::DEFAULTED, record)]);
        self.added = added;
    }
}

fn path_part(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(path, _)| path)
}

fn uid(container: &Container<'_>) -> Option<i64> {
    container.security_context.as_ref().and_then(|context| context.run_as_user)
}

fn amount<'r>(list: Option<&'r ResourceList<'r>>, name: ResourceName) -> Option<&'r Amount<'r>> {
    match name {
        ResourceName::Cpu => list?.cpu.as_ref(),
        ResourceName::Memory => list?.memory.as_ref(),
    }
}

/// The tokens of the JSON pointer to a container of a Job, which stands at `index` of its list.
fn container_path<'i>(container: &Container<'_>, index: &'i str) -> [&'i str; 5] {
    let list = match container.list {
        ContainerList::Init | ContainerList::Sidecar => "initContainers",
        ContainerList::Main | ContainerList::Ephemeral | ContainerList::DeploymentHook => {
            "containers"
        }
    };
    ["spec", "template", "spec", list, index]
}

/// `["spec", "containers", "0"]` as people write it: `spec.containers[0]`.
fn field_path(tokens: &[&str]) -> String {
    let mut path = String::with_capacity(64);
    for token in tokens {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            path.extend(["[", token, "]"]);
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(token);
        }
    }
    path
}

/// A tool's id as a label value: at most 63 of `[A-Za-z0-9._-]`, alphanumeric at both ends.
fn label_value(id: &str) -> String {
    let value: String = id
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "._-".contains(char) { char } else { '-' })
        .take(63)
        .collect();
    value.trim_matches(|char: char| !char.is_ascii_alphanumeric()).to_owned()
}
