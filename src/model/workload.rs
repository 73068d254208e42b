//! Where the Pod templates are in each of the kinds that run Pods.
//!
//! Adding a kind is one row in [`WorkloadKind::of`] and one arm in [`templates`].

mod kind;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Container, ContainerList, Job, Metadata, ParseError, PodSpec, PodTemplate, StringMap,
    deployment_config,
    json::Cursor,
    object::{once, read},
    pod::{ContainerPath, null_is_default, or_default},
    workflow,
};

pub use kind::{Lifetime, WorkloadKind};

/// The texts that templates are read from.
pub(super) struct Source<'a, 'm> {
    /// `.spec`, or empty.
    pub(super) spec: &'a str,
    /// `.template` (PodTemplate only), or empty.
    pub(super) template: &'a str,
    /// The object's metadata: a bare Pod is its own template.
    pub(super) metadata: &'m Metadata<'a>,
}

type PodTemplates<'a> = Vec<PodTemplate<'a>>;

/// What is read of a workload.
#[derive(Default)]
pub(super) struct Workload<'a> {
    pub(super) templates: PodTemplates<'a>,
    /// `replicas`, where the kind has them and the object says so.
    pub(super) replicas: Option<i64>,
    /// `suspend` of a CronJob.
    pub(super) is_suspended: bool,
}

/// Reads every Pod template of an object.
pub(super) fn templates<'a>(
    kind: WorkloadKind,
    source: &Source<'a, '_>,
) -> Result<Workload<'a>, ParseError> {
    if kind == WorkloadKind::PodTemplate {
        let template = match source.template {
            "" => Vec::new(),
            text => vec![read::<RawTemplate<'a>>(text, "template")?.at("template".into(), None)],
        };
        return Ok(Workload { templates: template, ..Workload::default() });
    }
    if matches!(source.spec, "" | "null") {
        return Ok(Workload::default());
    }
    let templates = match kind {
        WorkloadKind::Other | WorkloadKind::PodTemplate => Vec::new(),
        WorkloadKind::Pod | WorkloadKind::KnativeRevision | WorkloadKind::SidecarSet => {
            vec![bare_pod(source)?]
        }
        WorkloadKind::Job => vec![job(source.spec, "spec".into())?],
        WorkloadKind::CronJob => return cron_job(source.spec),
        WorkloadKind::AdvancedCronJob => advanced_cron_job(source.spec)?,
        WorkloadKind::Experiment => experiment(source.spec)?,
        WorkloadKind::Analysis => analysis(source.spec)?,
        WorkloadKind::Workflow => workflow::templates(source.spec, "spec")?,
        WorkloadKind::CronWorkflow => workflow::of_cron(source.spec)?,
        WorkloadKind::UnitedDeployment => united_deployment(source.spec)?,
        WorkloadKind::JobSet => job_set(source.spec)?,
        WorkloadKind::ScaledJob => scaled_job(source.spec)?,
        WorkloadKind::ReplicationController
        | WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Rollout
        | WorkloadKind::KruiseWorkload
        | WorkloadKind::BroadcastJob
        | WorkloadKind::DeploymentConfig
        | WorkloadKind::KnativeService => return replicated(source.spec),
    };
    Ok(Workload { templates, ..Workload::default() })
}

/// A template as it is written, before it knows where it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawTemplate<'a> {
    #[serde(borrow)]
    metadata: Option<TemplateMetadata<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    spec: PodSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TemplateMetadata<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) labels: StringMap<'a>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) annotations: StringMap<'a>,
}

impl<'a> RawTemplate<'a> {
    /// Reads the template that is next where it is as it should be. None for anything else, of which the
    /// parser says what is wrong.
    fn scan(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut metadata, mut spec) = (None, None);
        cursor.enter().ok()?;
        while let Some(key) = cursor.key().ok()? {
            match key.as_ref() {
                "metadata" => once(&mut metadata, cursor.value().ok()?)?,
                "spec" => once(&mut spec, PodSpec::scan(cursor)?)?,
                _ => drop(cursor.value().ok()?),
            }
        }
        Some(Self { metadata: or_default(metadata)?, spec: spec.unwrap_or_default() })
    }

    fn at(self, path: Cow<'static, str>, job: Option<Job>) -> PodTemplate<'a> {
        let spec_path = match &path {
            Cow::Borrowed("spec.template") => Cow::Borrowed("spec.template.spec"),
            Cow::Borrowed("spec.jobTemplate.spec.template") => {
                Cow::Borrowed("spec.jobTemplate.spec.template.spec")
            }
            path => Cow::Owned(format!("{path}.spec")),
        };
        let has_metadata = self.metadata.is_some();
        let TemplateMetadata { labels, annotations } = self.metadata.unwrap_or_default();
        let mut spec = self.spec;
        let containers = gather(&mut spec, &spec_path);
        PodTemplate { path, spec_path, labels, annotations, spec, containers, job, has_metadata }
    }
}

/// Takes the containers out of a Pod spec and tells each where it stands.
#[expect(clippy::ptr_arg, reason = "a borrowed path is cloned for every container, free of charge")]
fn gather<'a>(spec: &mut PodSpec<'a>, spec_path: &Cow<'static, str>) -> Vec<Container<'a>> {
    let mut containers = std::mem::take(&mut spec.init_containers);
    for (index, container) in containers.iter_mut().enumerate() {
        let sidecar = container.is_sidecar();
        container.list = if sidecar { ContainerList::Sidecar } else { ContainerList::Init };
        container.path =
            ContainerPath { base: spec_path.clone(), field: "initContainers", index: Some(index) };
    }
    for (list, field, more) in [
        (ContainerList::Main, "containers", std::mem::take(&mut spec.containers)),
        (
            ContainerList::Ephemeral,
            "ephemeralContainers",
            std::mem::take(&mut spec.ephemeral_containers),
        ),
    ] {
        for (index, mut container) in more.into_iter().enumerate() {
            container.list = list;
            container.path = ContainerPath { base: spec_path.clone(), field, index: Some(index) };
            containers.push(container);
        }
    }
    containers
}

fn bare_pod<'a>(source: &Source<'a, '_>) -> Result<PodTemplate<'a>, ParseError> {
    let mut fields = Cursor::new(source.spec);
    let scanned = PodSpec::scan(&mut fields).filter(|_| fields.is_at_end());
    let mut spec = scanned.map_or_else(|| read(source.spec, "spec"), Ok)?;
    let spec_path = Cow::Borrowed("spec");
    let containers = gather(&mut spec, &spec_path);
    let Metadata { labels, annotations, .. } = source.metadata;
    Ok(PodTemplate {
        path: Cow::Borrowed(""),
        spec_path,
        labels: labels.clone().unwrap_or_default(),
        annotations: annotations.clone().unwrap_or_default(),
        spec,
        containers,
        job: None,
        has_metadata: true,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replicated<'a> {
    #[serde(default)]
    replicas: Option<i64>,
    #[serde(borrow, default)]
    template: Option<RawTemplate<'a>>,
    #[serde(borrow, default)]
    strategy: Option<&'a RawValue>,
}

impl<'a> Replicated<'a> {
    /// As [`RawTemplate::scan`].
    fn scan(spec: &'a str) -> Option<Self> {
        let [mut replicas, mut strategy] = [None; 2];
        let mut template = None;
        let mut fields = Cursor::new(spec);
        fields.enter().ok()?;
        while let Some(key) = fields.key().ok()? {
            match key.as_ref() {
                "replicas" => once(&mut replicas, fields.value().ok()?)?,
                "strategy" => once(&mut strategy, fields.value().ok()?)?,
                "template" if fields.is_at_object() => {
                    once(&mut template, RawTemplate::scan(&mut fields)?)?;
                }
                "template" => return None,
                _ => drop(fields.value().ok()?),
            }
        }
        fields.is_at_end().then_some(())?;
        Some(Self { replicas: or_default(replicas)?, strategy: or_default(strategy)?, template })
    }
}

/// Everything with `spec.template`. A Rollout with `workloadRef` has none: the Deployment that it
/// refers to is an object of its own and is judged there.
fn replicated(spec: &str) -> Result<Workload<'_>, ParseError> {
    let Replicated { replicas, template, strategy } =
        Replicated::scan(spec).map_or_else(|| read(spec, "spec"), Ok)?;
    let mut templates: Vec<_> =
        template.map(|template| template.at("spec.template".into(), None)).into_iter().collect();
    // Only a DeploymentConfig has lifecycle hooks here; other strategies have no such fields.
    if let Some(strategy) = strategy
        && strategy.get().contains("execNewPod")
    {
        deployment_config::add_hooks(strategy.get(), &mut templates)?;
    }
    Ok(Workload { templates, replicas, is_suspended: false })
}

/// A template with nothing in it but a container, where the object has none.
pub(super) fn without_template(container: Container<'_>) -> PodTemplate<'_> {
    PodTemplate {
        containers: vec![container],
        ..RawTemplate::default().at("spec.template".into(), None)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawJob<'a> {
    active_deadline_seconds: Option<i64>,
    backoff_limit: Option<i64>,
    parallelism: Option<i64>,
    completions: Option<i64>,
    #[serde(deserialize_with = "null_is_default")]
    suspend: bool,
    ttl_seconds_after_finished: Option<i64>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    template: RawTemplate<'a>,
}

impl<'a> RawJob<'a> {
    /// As [`RawTemplate::scan`].
    fn scan(spec: &'a str) -> Option<Self> {
        let [mut active_deadline_seconds, mut backoff_limit, mut parallelism] = [None; 3];
        let [mut completions, mut suspend, mut ttl_seconds_after_finished] = [None; 3];
        let mut template = None;
        let mut fields = Cursor::new(spec);
        fields.enter().ok()?;
        while let Some(key) = fields.key().ok()? {
            let slot = match key.as_ref() {
                "activeDeadlineSeconds" => &mut active_deadline_seconds,
                "backoffLimit" => &mut backoff_limit,
                "parallelism" => &mut parallelism,
                "completions" => &mut completions,
                "suspend" => &mut suspend,
                "ttlSecondsAfterFinished" => &mut ttl_seconds_after_finished,
                "template" => {
                    once(&mut template, RawTemplate::scan(&mut fields)?)?;
                    continue;
                }
                _ => {
                    fields.value().ok()?;
                    continue;
                }
            };
            once(slot, fields.value().ok()?)?;
        }
        fields.is_at_end().then_some(())?;
        Some(Self {
            active_deadline_seconds: or_default(active_deadline_seconds)?,
            backoff_limit: or_default(backoff_limit)?,
            parallelism: or_default(parallelism)?,
            completions: or_default(completions)?,
            suspend: or_default(suspend)?,
            ttl_seconds_after_finished: or_default(ttl_seconds_after_finished)?,
            template: template.unwrap_or_default(),
        })
    }

    fn at(self, path: Cow<'static, str>) -> PodTemplate<'a> {
        let template_path = match &path {
            Cow::Borrowed("spec") => Cow::Borrowed("spec.template"),
            Cow::Borrowed("spec.jobTemplate.spec") => {
                Cow::Borrowed("spec.jobTemplate.spec.template")
            }
            path => Cow::Owned(format!("{path}.template")),
        };
        let job = Job {
            path,
            active_deadline_seconds: self.active_deadline_seconds,
            backoff_limit: self.backoff_limit,
            parallelism: self.parallelism,
            completions: self.completions,
            suspend: self.suspend,
            ttl_seconds_after_finished: self.ttl_seconds_after_finished,
        };
        self.template.at(template_path, Some(job))
    }
}

fn job<'a>(spec: &'a str, path: Cow<'static, str>) -> Result<PodTemplate<'a>, ParseError> {
    let job = RawJob::scan(spec).map_or_else(|| read(spec, &path), Ok)?;
    Ok(job.at(path))
}

/// `{spec: <JobSpec>}`, as CronJob, JobSet and Argo Rollouts embed it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JobTemplate<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    spec: RawJob<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCronJob<'a> {
    #[serde(borrow, default)]
    job_template: JobTemplate<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
}

fn cron_job(spec: &str) -> Result<Workload<'_>, ParseError> {
    let cron: RawCronJob<'_> = read(spec, "spec")?;
    let templates = vec![cron.job_template.spec.at("spec.jobTemplate.spec".into())];
    Ok(Workload { templates, replicas: None, is_suspended: cron.suspend })
}

fn advanced_cron_job(spec: &str) -> Result<PodTemplates<'_>, ParseError> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default)]
        template: Kinds<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Kinds<'a> {
        #[serde(borrow)]
        job_template: Option<JobTemplate<'a>>,
        #[serde(borrow)]
        broadcast_job_template: Option<JobTemplate<'a>>,
    }
    let Raw { template: Kinds { job_template, broadcast_job_template } } = read(spec, "spec")?;
    let mut templates = Vec::new();
    if let Some(job) = job_template {
        templates.push(job.spec.at("spec.template.jobTemplate.spec".into()));
    }
    if let Some(job) = broadcast_job_template {
        templates.push(job.spec.at("spec.template.broadcastJobTemplate.spec".into()));
    }
    Ok(templates)
}

fn job_set(spec: &str) -> Result<PodTemplates<'_>, ParseError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw<'a> {
        #[serde(borrow, default, deserialize_with = "null_is_default")]
        replicated_jobs: Vec<Replicated<'a>>,
    }
    #[derive(Deserialize)]
    struct Replicated<'a> {
        #[serde(borrow, default)]
        template: JobTemplate<'a>,
    }
    let raw: Raw<'_> = read(spec, "spec")?;
    Ok(raw
        .replicated_jobs
        .into_iter()
        .enumerate()
        .map(|(index, job)| {
            job.template.spec.at(format!("spec.replicatedJobs[{index}].template.spec").into())
        })
        .collect())
}

fn scaled_job(spec: &str) -> Result<PodTemplates<'_>, ParseError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw<'a> {
        #[serde(borrow, default)]
        job_target_ref: RawJob<'a>,
    }
    let raw: Raw<'_> = read(spec, "spec")?;
    Ok(vec![raw.job_target_ref.at("spec.jobTargetRef".into())])
}

fn experiment(spec: &str) -> Result<PodTemplates<'_>, ParseError> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default, deserialize_with = "null_is_default")]
        templates: Vec<Named<'a>>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        template: RawTemplate<'a>,
    }
    let raw: Raw<'_> = read(spec, "spec")?;
    Ok(raw
        .templates
        .into_iter()
        .enumerate()
        .map(|(index, named)| {
            named.template.at(format!("spec.templates[{index}].template").into(), None)
        })
        .collect())
}

fn analysis(spec: &str) -> Result<PodTemplates<'_>, ParseError> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default, deserialize_with = "null_is_default")]
        metrics: Vec<Metric<'a>>,
    }
    #[derive(Deserialize)]
    struct Metric<'a> {
        #[serde(borrow, default)]
        provider: Provider<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Provider<'a> {
        #[serde(borrow)]
        job: Option<JobTemplate<'a>>,
    }
    let raw: Raw<'_> = read(spec, "spec")?;
    let mut templates = Vec::new();
    for (index, metric) in raw.metrics.into_iter().enumerate() {
        if let Some(job) = metric.provider.job {
            templates.push(job.spec.at(format!("spec.metrics[{index}].provider.job.spec").into()));
        }
    }
    Ok(templates)
}

fn united_deployment(spec: &str) -> Result<PodTemplates<'_>, ParseError> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, default)]
        template: Kinds<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[expect(clippy::struct_field_names, reason = "the names are the API's")]
    struct Kinds<'a> {
        #[serde(borrow)]
        stateful_set_template: Option<Inner<'a>>,
        #[serde(borrow)]
        advanced_stateful_set_template: Option<Inner<'a>>,
        #[serde(borrow)]
        clone_set_template: Option<Inner<'a>>,
        #[serde(borrow)]
        deployment_template: Option<Inner<'a>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner<'a> {
        #[serde(borrow)]
        spec: InnerSpec<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct InnerSpec<'a> {
        #[serde(borrow)]
        template: RawTemplate<'a>,
    }
    let Raw { template } = read::<Raw<'_>>(spec, "spec")?;
    let mut templates = Vec::new();
    for (inner, path) in [
        (template.stateful_set_template, "spec.template.statefulSetTemplate.spec.template"),
        (
            template.advanced_stateful_set_template,
            "spec.template.advancedStatefulSetTemplate.spec.template",
        ),
        (template.clone_set_template, "spec.template.cloneSetTemplate.spec.template"),
        (template.deployment_template, "spec.template.deploymentTemplate.spec.template"),
    ] {
        if let Some(inner) = inner {
            templates.push(inner.spec.template.at(path.into(), None));
        }
    }
    Ok(templates)
}
