//! Pod templates and their containers, reduced to what rules ask for.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer};

use super::{
    EnvFrom, EnvVar, Quantity, StringMap, Text, Volume, env,
    json::Cursor,
    object::{once, optional},
};

/// One Pod template inside an object, with the Job around it where there is one.
#[derive(Debug)]
pub struct PodTemplate<'a> {
    /// Path of the template itself, such as `spec.template`. Empty for a bare Pod.
    pub path: Cow<'static, str>,
    /// Path of the Pod spec, such as `spec.template.spec`.
    pub spec_path: Cow<'static, str>,
    /// Labels of the Pods.
    pub labels: StringMap<'a>,
    /// Annotations of the Pods.
    pub annotations: StringMap<'a>,
    /// Everything of the Pod spec that is not a container.
    pub spec: PodSpec<'a>,
    /// Every container, in the order init, main, ephemeral, lifecycle hook.
    pub containers: Vec<Container<'a>>,
    /// The Job spec that wraps this template, if one does.
    pub job: Option<Job>,
    /// True when the template has `metadata.labels`; a patch needs the parent to exist.
    pub has_metadata: bool,
}

impl<'a> PodTemplate<'a> {
    /// The containers that the Pod is for: neither what runs before nor what runs beside them.
    pub fn main_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.containers.iter().filter(|container| container.list == ContainerList::Main)
    }
}

/// The part of a Job spec that rules ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Path of the Job spec, such as `spec` or `spec.jobTemplate.spec`.
    pub path: Cow<'static, str>,
    /// `activeDeadlineSeconds`, in seconds. Absent means no limit: Kubernetes has no default.
    pub active_deadline_seconds: Option<i64>,
    /// `backoffLimit`: retries after the first failure. The API server's default is 6.
    pub backoff_limit: Option<i64>,
    /// `parallelism`: Pods at once. The API server's default is 1.
    pub parallelism: Option<i64>,
    /// `completions`: successful Pods wanted. Absent with `parallelism` above 1 is a work queue.
    pub completions: Option<i64>,
    /// `suspend`: true while no Pod may run.
    pub suspend: bool,
    /// `ttlSecondsAfterFinished`, in seconds.
    pub ttl_seconds_after_finished: Option<i64>,
}

/// The part of a Pod spec that rules ask for, without its containers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec<'a> {
    /// `restartPolicy`; the API server's default is `Always`.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    /// `activeDeadlineSeconds` of the Pod, in seconds from the moment that it has a node. It bounds
    /// one Pod, not the Job around it.
    pub active_deadline_seconds: Option<i64>,
    /// The Pod's own `securityContext`.
    pub security_context: Option<SecurityContext>,
    /// `hostNetwork`.
    #[serde(deserialize_with = "null_is_default")]
    pub host_network: bool,
    /// `hostPID`.
    #[serde(rename = "hostPID", deserialize_with = "null_is_default")]
    pub host_pid: bool,
    /// `hostIPC`.
    #[serde(rename = "hostIPC", deserialize_with = "null_is_default")]
    pub host_ipc: bool,
    /// `serviceAccountName`, or its old spelling `serviceAccount`.
    #[serde(borrow)]
    pub service_account_name: Option<Text<'a>>,
    /// `automountServiceAccountToken`.
    pub automount_service_account_token: Option<bool>,
    /// `imagePullSecrets`.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub image_pull_secrets: Vec<PullSecret<'a>>,
    /// `volumes`, reduced to what they mount.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub volumes: Vec<Volume<'a>>,
    /// `resources` of the Pod as a whole, which bound those of its containers.
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    #[serde(borrow)]
    os: Option<NamedSource<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) init_containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) ephemeral_containers: Vec<Container<'a>>,
}

impl PodSpec<'_> {
    /// True for a Pod that says it runs on Windows, where the API server refuses what only Linux
    /// has: seccomp, capabilities, privilege escalation and numeric users.
    pub fn is_windows(&self) -> bool {
        self.os.as_ref().is_some_and(|os| os.name == "windows")
    }
}

impl<'a> PodSpec<'a> {
    /// Reads the Pod spec that is next where it is as it should be. None for anything else, of which the
    /// parser says what is wrong.
    pub(super) fn scan(cursor: &mut Cursor<'a>) -> Option<Self> {
        let [mut restart_policy, mut active_deadline_seconds, mut security_context] = [None; 3];
        let [mut host_network, mut host_pid, mut host_ipc, mut service_account_name] = [None; 4];
        let [mut automount_service_account_token, mut image_pull_secrets] = [None; 2];
        let [mut volumes, mut resources, mut os] = [None; 3];
        let (mut init_containers, mut containers, mut ephemeral_containers) = (None, None, None);
        cursor.enter().ok()?;
        while let Some(key) = cursor.key().ok()? {
            let list = match key.as_ref() {
                "initContainers" => Some(&mut init_containers),
                "containers" => Some(&mut containers),
                "ephemeralContainers" => Some(&mut ephemeral_containers),
                _ => None,
            };
            if let Some(list) = list {
                once(list, Self::scan_containers(cursor)?)?;
                continue;
            }
            let value = cursor.value().ok()?;
            let slot = match key.as_ref() {
                "restartPolicy" => &mut restart_policy,
                "activeDeadlineSeconds" => &mut active_deadline_seconds,
                "securityContext" => &mut security_context,
                "hostNetwork" => &mut host_network,
                "hostPID" => &mut host_pid,
                "hostIPC" => &mut host_ipc,
                "serviceAccountName" => &mut service_account_name,
                "automountServiceAccountToken" => &mut automount_service_account_token,
                "imagePullSecrets" => &mut image_pull_secrets,
                "volumes" => &mut volumes,
                "resources" => &mut resources,
                "os" => &mut os,
                _ => continue,
            };
            once(slot, value)?;
        }
        Some(Self {
            restart_policy: or_default(restart_policy)?,
            active_deadline_seconds: or_default(active_deadline_seconds)?,
            security_context: or_default(security_context)?,
            host_network: or_default(host_network)?,
            host_pid: or_default(host_pid)?,
            host_ipc: or_default(host_ipc)?,
            service_account_name: or_default(service_account_name)?,
            automount_service_account_token: or_default(automount_service_account_token)?,
            image_pull_secrets: or_default(image_pull_secrets)?,
            volumes: or_default(volumes)?,
            resources: or_default(resources)?,
            os: or_default(os)?,
            init_containers: init_containers.unwrap_or_default(),
            containers: containers.unwrap_or_default(),
            ephemeral_containers: ephemeral_containers.unwrap_or_default(),
        })
    }

    fn scan_containers(cursor: &mut Cursor<'a>) -> Option<Vec<Container<'a>>> {
        let mut containers = Vec::new();
        cursor.enter_list().ok()?;
        while cursor.element().ok()? {
            containers.push(Container::scan(cursor)?);
        }
        Some(containers)
    }
}

/// A reference to a ConfigMap or a Secret as a whole.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedSource<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) name: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) optional: bool,
}

/// An entry of `imagePullSecrets`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PullSecret<'a> {
    /// Name of the Secret.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
}

/// The list of a Pod spec that a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerList {
    /// `initContainers`, run one after another before the rest.
    Init,
    /// `initContainers` with `restartPolicy: Always`: a native sidecar, not a step.
    Sidecar,
    /// `containers`.
    Main,
    /// `ephemeralContainers`, added to a running Pod by `kubectl debug`.
    Ephemeral,
    /// A lifecycle hook of an OpenShift DeploymentConfig, which runs in a Pod of its own.
    DeploymentHook,
}

/// Where a container stands: `spec.template.spec.initContainers[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPath {
    pub(super) base: Cow<'static, str>,
    pub(super) field: &'static str,
    pub(super) index: Option<usize>,
}

impl ContainerPath {
    /// The index in its list; none for a container that stands alone.
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// The path of one of its fields.
    pub fn of(&self, field: &str) -> String {
        let length = self.base.len().saturating_add(self.field.len()).saturating_add(field.len());
        // Dots, brackets, and an index of a few digits.
        let mut path = String::with_capacity(length.saturating_add(8));
        // Writing to a text cannot fail.
        if self.write(&mut path).is_ok() {
            path.push('.');
        }
        path.push_str(field);
        path
    }

    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if !self.base.is_empty() {
            out.write_str(&self.base)?;
            out.write_char('.')?;
        }
        out.write_str(self.field)?;
        let Some(index) = self.index else { return Ok(()) };
        write!(out, "[{index}]")
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// One container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Which list it stands in.
    #[serde(skip, default = "main_list")]
    pub list: ContainerList,
    /// Where exactly.
    #[serde(skip)]
    pub path: ContainerPath,
    /// `name`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// `image`, as written.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub image: Text<'a>,
    /// `command`: replaces the image's entrypoint.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub command: Vec<Text<'a>>,
    /// `args`: replaces the image's default arguments.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub args: Vec<Text<'a>>,
    /// `workingDir`.
    #[serde(borrow, default)]
    pub working_dir: Option<Text<'a>>,
    /// `env`, in order: a later variable may refer to an earlier one.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub env: Vec<EnvVar<'a>>,
    /// `envFrom`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub env_from: Vec<EnvFrom<'a>>,
    /// `resources`, if the map is there.
    #[serde(borrow, default)]
    pub resources: Option<Resources<'a>>,
    /// `securityContext`.
    #[serde(default)]
    pub security_context: Option<SecurityContext>,
    /// `volumeMounts`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub volume_mounts: Vec<VolumeMount<'a>>,
    /// The script of an Argo Workflow `script` template: a file that `command` is given.
    #[serde(borrow, default)]
    pub source: Option<Text<'a>>,
    #[serde(borrow, default)]
    restart_policy: Option<Text<'a>>,
    #[serde(borrow, default)]
    lifecycle: Option<Lifecycle<'a>>,
}

impl<'a> Container<'a> {
    /// Reads the container that is next where it is as it should be. None for anything else, of which the
    /// parser says what is wrong.
    fn scan(cursor: &mut Cursor<'a>) -> Option<Self> {
        let [mut name, mut image, mut command, mut args, mut working_dir, mut env_from] = [None; 6];
        let [mut resources, mut security_context, mut volume_mounts, mut source] = [None; 4];
        let [mut restart_policy, mut lifecycle] = [None; 2];
        let mut env = None;
        cursor.enter().ok()?;
        while let Some(key) = cursor.key().ok()? {
            let slot = match key.as_ref() {
                "env" if cursor.is_at_list() => {
                    once(&mut env, env::scan(cursor)?)?;
                    continue;
                }
                "env" => return None,
                "name" => &mut name,
                "image" => &mut image,
                "command" => &mut command,
                "args" => &mut args,
                "workingDir" => &mut working_dir,
                "envFrom" => &mut env_from,
                "resources" => &mut resources,
                "securityContext" => &mut security_context,
                "volumeMounts" => &mut volume_mounts,
                "source" => &mut source,
                "restartPolicy" => &mut restart_policy,
                "lifecycle" => &mut lifecycle,
                _ => {
                    cursor.value().ok()?;
                    continue;
                }
            };
            once(slot, cursor.value().ok()?)?;
        }
        Some(Self {
            list: ContainerList::Main,
            path: ContainerPath::default(),
            name: or_default(name)?,
            image: or_default(image)?,
            command: or_default(command)?,
            args: or_default(args)?,
            working_dir: or_default(working_dir)?,
            env: env.unwrap_or_default(),
            env_from: or_default(env_from)?,
            resources: or_default(resources)?,
            security_context: or_default(security_context)?,
            volume_mounts: or_default(volume_mounts)?,
            source: or_default(source)?,
            restart_policy: or_default(restart_policy)?,
            lifecycle: or_default(lifecycle)?,
        })
    }
}

/// A value that may be left out; none where it is of another type.
pub(super) fn or_default<'a, T: Deserialize<'a> + Default>(raw: Option<&'a str>) -> Option<T> {
    optional(raw).ok().map(Option::unwrap_or_default)
}

impl Container<'_> {
    /// The command of the `postStart` lifecycle hook, if it executes one.
    pub fn post_start(&self) -> Option<&[Text<'_>]> {
        let exec = self.lifecycle.as_ref()?.post_start.as_ref()?.exec.as_ref()?;
        (!exec.command.is_empty()).then_some(exec.command.as_slice())
    }

    /// A main container of which nothing is known but its name, image and command.
    pub(super) fn running<'a>(
        name: Text<'a>,
        image: Text<'a>,
        command: Vec<Text<'a>>,
    ) -> Container<'a> {
        Container {
            list: ContainerList::Main,
            path: ContainerPath::default(),
            name,
            image,
            command,
            args: Vec::new(),
            working_dir: None,
            env: Vec::new(),
            env_from: Vec::new(),
            resources: None,
            security_context: None,
            volume_mounts: Vec::new(),
            source: None,
            restart_policy: None,
            lifecycle: None,
        }
    }

    /// True for an init container with `restartPolicy: Always`.
    pub(super) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_ref().is_some_and(|policy| policy == "Always")
    }
}

fn main_list() -> ContainerList {
    ContainerList::Main
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lifecycle<'a> {
    #[serde(borrow)]
    post_start: Option<Handler<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Handler<'a> {
    #[serde(borrow)]
    exec: Option<Exec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exec<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    command: Vec<Text<'a>>,
}

/// One `volumeMounts` entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount<'a> {
    /// Name of the volume.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    /// Where it is mounted.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub mount_path: Text<'a>,
    /// The part of the volume that is mounted.
    #[serde(borrow)]
    pub sub_path: Option<Text<'a>>,
    /// The same with variables in it.
    #[serde(borrow)]
    pub sub_path_expr: Option<Text<'a>>,
}

/// `resources` of a container: CPU and memory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources<'a> {
    /// `requests`, if the map is there.
    #[serde(borrow)]
    pub requests: Option<ResourceList<'a>>,
    /// `limits`, if the map is there.
    #[serde(borrow)]
    pub limits: Option<ResourceList<'a>>,
}

/// CPU and memory of a `requests` or `limits` map.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceList<'a> {
    /// CPU, in cores.
    #[serde(borrow)]
    pub cpu: Option<Amount<'a>>,
    /// Memory, in bytes.
    #[serde(borrow)]
    pub memory: Option<Amount<'a>>,
}

/// A quantity as it stands in a manifest: text or a bare number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Amount<'a> {
    /// `512Mi`, `100m`.
    #[serde(borrow)]
    Text(Cow<'a, str>),
    /// `1`.
    Integer(i64),
    /// `0.5`.
    Float(f64),
}

impl Amount<'_> {
    /// What the text stands for; none where it is no quantity, which the API server refuses.
    pub fn quantity(&self) -> Option<Quantity> {
        self.to_string().parse().ok()
    }
}

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
        }
    }
}

/// `securityContext` of a Pod or a container: what decides whether it runs as root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContext {
    /// `runAsNonRoot`.
    pub run_as_non_root: Option<bool>,
    /// `runAsUser`: a numeric UID; 0 is root.
    pub run_as_user: Option<i64>,
    /// `privileged` (containers only).
    pub privileged: Option<bool>,
    /// `allowPrivilegeEscalation` (containers only).
    pub allow_privilege_escalation: Option<bool>,
    /// `capabilities` (containers only).
    pub capabilities: Option<Capabilities>,
    /// `seccompProfile`, if the key is there.
    pub seccomp_profile: Option<SeccompProfile>,
}

impl SecurityContext {
    /// True for a privileged container and for one with `SYS_ADMIN`: beside these the API server
    /// refuses `allowPrivilegeEscalation: false`.
    pub fn needs_escalation(&self) -> bool {
        let mut added = self.capabilities.iter().flat_map(|capabilities| &capabilities.add);
        self.privileged == Some(true)
            || added.any(|name| matches!(name.as_str(), "SYS_ADMIN" | "CAP_SYS_ADMIN"))
    }
}

/// `capabilities` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Added to the runtime's default set.
    #[serde(deserialize_with = "null_is_default")]
    pub add: Vec<String>,
    /// Dropped from it; `ALL` drops everything. Absent is not the same as empty: a patch may
    /// fill in only what is absent.
    pub drop: Option<Vec<String>>,
}

/// `seccompProfile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SeccompProfile {
    /// `RuntimeDefault`, `Localhost` or `Unconfined`.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
}

/// Reads `null` as the default, as the API server does for lists and maps.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
