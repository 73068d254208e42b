//! Which kinds run Pods, and for how long.
//!
//! A kind is told by its group and name together: Kruise has a StatefulSet and a Rollout of its own.

use crate::model::GroupVersionKind;

/// A kind that runs Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// Nothing that tidegate reads Pods from.
    Other,
    /// `v1` Pod.
    Pod,
    /// `v1` PodTemplate.
    PodTemplate,
    /// `v1` ReplicationController.
    ReplicationController,
    /// `apps` Deployment.
    Deployment,
    /// `apps` StatefulSet.
    StatefulSet,
    /// `apps` DaemonSet.
    DaemonSet,
    /// `apps` ReplicaSet.
    ReplicaSet,
    /// `batch` Job.
    Job,
    /// `batch` CronJob.
    CronJob,
    /// `argoproj.io` Rollout.
    Rollout,
    /// `argoproj.io` Experiment.
    Experiment,
    /// `argoproj.io` AnalysisTemplate, ClusterAnalysisTemplate and AnalysisRun.
    Analysis,
    /// `argoproj.io` Workflow, WorkflowTemplate and ClusterWorkflowTemplate.
    Workflow,
    /// `argoproj.io` CronWorkflow.
    CronWorkflow,
    /// `apps.kruise.io` CloneSet, StatefulSet and DaemonSet.
    KruiseWorkload,
    /// `apps.kruise.io` BroadcastJob.
    BroadcastJob,
    /// `apps.kruise.io` AdvancedCronJob.
    AdvancedCronJob,
    /// `apps.kruise.io` UnitedDeployment.
    UnitedDeployment,
    /// `apps.kruise.io` SidecarSet.
    SidecarSet,
    /// `apps.openshift.io` DeploymentConfig.
    DeploymentConfig,
    /// `serving.knative.dev` Service and Configuration.
    KnativeService,
    /// `serving.knative.dev` Revision.
    KnativeRevision,
    /// `jobset.x-k8s.io` JobSet.
    JobSet,
    /// `keda.sh` ScaledJob.
    ScaledJob,
}

/// How often the Pods of a workload run, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// To completion, once per object.
    Once,
    /// To completion, again and again: on a schedule or on events.
    Repeated,
    /// Until stopped, and again on every restart, node failure and scale-up.
    LongRunning,
    /// As its `restartPolicy` says: a bare Pod, or a template that others make Pods from.
    AsWritten,
}

impl WorkloadKind {
    /// The kind that a group and name stand for.
    pub fn of(gvk: &GroupVersionKind<'_>) -> Self {
        match (gvk.group, gvk.kind) {
            ("", "Pod") => Self::Pod,
            ("", "PodTemplate") => Self::PodTemplate,
            ("", "ReplicationController") => Self::ReplicationController,
            ("apps" | "extensions", "Deployment") => Self::Deployment,
            ("apps", "StatefulSet") => Self::StatefulSet,
            ("apps" | "extensions", "DaemonSet") => Self::DaemonSet,
            ("apps" | "extensions", "ReplicaSet") => Self::ReplicaSet,
            ("batch", "Job") => Self::Job,
            ("batch", "CronJob") => Self::CronJob,
            ("argoproj.io", "Rollout") => Self::Rollout,
            ("argoproj.io", "Experiment") => Self::Experiment,
            ("argoproj.io", "AnalysisTemplate" | "ClusterAnalysisTemplate" | "AnalysisRun") => {
                Self::Analysis
            }
            ("argoproj.io", "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate") => {
                Self::Workflow
            }
            ("argoproj.io", "CronWorkflow") => Self::CronWorkflow,
            ("apps.kruise.io", "CloneSet" | "StatefulSet" | "DaemonSet") => Self::KruiseWorkload,
            ("apps.kruise.io", "BroadcastJob") => Self::BroadcastJob,
            ("apps.kruise.io", "AdvancedCronJob") => Self::AdvancedCronJob,
            ("apps.kruise.io", "UnitedDeployment") => Self::UnitedDeployment,
            ("apps.kruise.io", "SidecarSet") => Self::SidecarSet,
            ("apps.openshift.io", "DeploymentConfig") => Self::DeploymentConfig,
            ("serving.knative.dev", "Service" | "Configuration") => Self::KnativeService,
            ("serving.knative.dev", "Revision") => Self::KnativeRevision,
            ("jobset.x-k8s.io", "JobSet") => Self::JobSet,
            ("keda.sh", "ScaledJob") => Self::ScaledJob,
            _ => Self::Other,
        }
    }

    /// How often its Pods run.
    pub fn lifetime(self) -> Lifetime {
        match self {
            Self::Job | Self::BroadcastJob | Self::JobSet | Self::Workflow | Self::Analysis => {
                Lifetime::Once
            }
            Self::CronJob | Self::CronWorkflow | Self::AdvancedCronJob | Self::ScaledJob => {
                Lifetime::Repeated
            }
            Self::Other | Self::Pod | Self::PodTemplate => Lifetime::AsWritten,
            Self::ReplicationController
            | Self::Deployment
            | Self::StatefulSet
            | Self::DaemonSet
            | Self::ReplicaSet
            | Self::Rollout
            | Self::Experiment
            | Self::KruiseWorkload
            | Self::UnitedDeployment
            | Self::SidecarSet
            | Self::DeploymentConfig
            | Self::KnativeService
            | Self::KnativeRevision => Lifetime::LongRunning,
        }
    }
}
