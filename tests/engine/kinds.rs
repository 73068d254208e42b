//! Every kind that runs Pods is read, and every container knows where it stands.

use serde_json::{Value, json};
use tidegate::model::{ContainerList, Object, WorkloadKind};

/// A Pod spec with one container of every list.
fn pod() -> Value {
    json!({
        "initContainers": [
            {"name": "init", "image": "i"},
            {"name": "sidecar", "image": "s", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "main", "image": "m"}],
        "ephemeralContainers": [{"name": "debug", "image": "d"}],
    })
}

fn template() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": pod()})
}

fn job() -> Value {
    json!({"spec": {"activeDeadlineSeconds": 5, "template": template()}})
}

/// apiVersion, kind, the object without them, the kind it is read as, paths of its Pod specs.
fn kinds() -> Vec<(&'static str, &'static str, Value, WorkloadKind, Vec<&'static str>)> {
    use WorkloadKind as K;
    let replicated = || json!({"spec": {"replicas": 2, "template": template()}});
    let plain = vec!["spec.template.spec"];
    let experiment =
        json!({"spec": {"templates": [{"template": template()}, {"template": template()}]}});
    let analysis = json!({"spec": {"metrics": [{"provider": {"prometheus": {}}}, {"provider": {"job": job()}}]}});
    let advanced = json!({"spec": {"template": {"jobTemplate": job()}}});
    let broadcast = json!({"spec": {"template": {"broadcastJobTemplate": job()}}});
    let united =
        |key: &str| json!({"spec": {"template": {key: {"spec": {"template": template()}}}}});
    vec![
        ("v1", "Pod", json!({"spec": pod()}), K::Pod, vec!["spec"]),
        (
            "v1",
            "PodTemplate",
            json!({"template": template()}),
            K::PodTemplate,
            vec!["template.spec"],
        ),
        ("v1", "ReplicationController", replicated(), K::ReplicationController, plain.clone()),
        ("apps/v1", "Deployment", replicated(), K::Deployment, plain.clone()),
        ("apps/v1", "StatefulSet", replicated(), K::StatefulSet, plain.clone()),
        ("apps/v1", "DaemonSet", replicated(), K::DaemonSet, plain.clone()),
        ("apps/v1", "ReplicaSet", replicated(), K::ReplicaSet, plain.clone()),
        ("batch/v1", "Job", job(), K::Job, plain.clone()),
        (
            "batch/v1",
            "CronJob",
            json!({"spec": {"jobTemplate": job()}}),
            K::CronJob,
            vec!["spec.jobTemplate.spec.template.spec"],
        ),
        ("argoproj.io/v1alpha1", "Rollout", replicated(), K::Rollout, plain.clone()),
        (
            "argoproj.io/v1alpha1",
            "Rollout",
            json!({"spec": {"workloadRef": {"kind": "Deployment", "name": "shop"}}}),
            K::Rollout,
            vec![],
        ),
        (
            "argoproj.io/v1alpha1",
            "Experiment",
            experiment,
            K::Experiment,
            vec!["spec.templates[0].template.spec", "spec.templates[1].template.spec"],
        ),
        (
            "argoproj.io/v1alpha1",
            "AnalysisTemplate",
            analysis,
            K::Analysis,
            vec!["spec.metrics[1].provider.job.spec.template.spec"],
        ),
        ("apps.kruise.io/v1alpha1", "CloneSet", replicated(), K::KruiseWorkload, plain.clone()),
        ("apps.kruise.io/v1beta1", "StatefulSet", replicated(), K::KruiseWorkload, plain.clone()),
        ("apps.kruise.io/v1alpha1", "BroadcastJob", replicated(), K::BroadcastJob, plain.clone()),
        (
            "apps.kruise.io/v1alpha1",
            "AdvancedCronJob",
            advanced,
            K::AdvancedCronJob,
            vec!["spec.template.jobTemplate.spec.template.spec"],
        ),
        (
            "apps.kruise.io/v1alpha1",
            "AdvancedCronJob",
            broadcast,
            K::AdvancedCronJob,
            vec!["spec.template.broadcastJobTemplate.spec.template.spec"],
        ),
        (
            "apps.kruise.io/v1alpha1",
            "UnitedDeployment",
            united("advancedStatefulSetTemplate"),
            K::UnitedDeployment,
            vec!["spec.template.advancedStatefulSetTemplate.spec.template.spec"],
        ),
        (
            "apps.kruise.io/v1alpha1",
            "SidecarSet",
            json!({"spec": pod()}),
            K::SidecarSet,
            vec!["spec"],
        ),
        (
            "apps.openshift.io/v1",
            "DeploymentConfig",
            replicated(),
            K::DeploymentConfig,
            plain.clone(),
        ),
        ("serving.knative.dev/v1", "Service", replicated(), K::KnativeService, plain.clone()),
        ("serving.knative.dev/v1", "Configuration", replicated(), K::KnativeService, plain),
        (
            "serving.knative.dev/v1",
            "Revision",
            json!({"spec": pod()}),
            K::KnativeRevision,
            vec!["spec"],
        ),
        (
            "jobset.x-k8s.io/v1alpha2",
            "JobSet",
            json!({"spec": {"replicatedJobs": [{"name": "a", "template": job()}]}}),
            K::JobSet,
            vec!["spec.replicatedJobs[0].template.spec.template.spec"],
        ),
        (
            "keda.sh/v1alpha1",
            "ScaledJob",
            json!({"spec": {"jobTargetRef": {"template": template()}}}),
            K::ScaledJob,
            vec!["spec.jobTargetRef.template.spec"],
        ),
        ("rollouts.kruise.io/v1beta1", "Rollout", json!({"spec": {}}), K::Other, vec![]),
        ("v1", "Service", json!({"spec": {"template": 1}}), K::Other, vec![]),
    ]
}

#[test]
fn every_kind_is_read_with_exact_paths() {
    for (api_version, kind, mut object, workload, paths) in kinds() {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": "x"});
        let text = object.to_string();
        let read = Object::parse(&text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(read.workload, workload, "{api_version} {kind}");
        let found: Vec<_> = read.templates.iter().map(|template| &*template.spec_path).collect();
        assert_eq!(found, paths, "{api_version} {kind}");
        for template in &read.templates {
            let containers: Vec<_> = template
                .containers
                .iter()
                .map(|container| (container.list, container.path.to_string()))
                .collect();
            let base = &template.spec_path;
            assert_eq!(
                containers,
                [
                    (ContainerList::Init, format!("{base}.initContainers[0]")),
                    (ContainerList::Sidecar, format!("{base}.initContainers[1]")),
                    (ContainerList::Main, format!("{base}.containers[0]")),
                    (ContainerList::Ephemeral, format!("{base}.ephemeralContainers[0]")),
                ],
                "{api_version} {kind}"
            );
            for container in &template.containers {
                let pointer = format!(
                    "/{}",
                    container.path.to_string().replace(['.', '['], "/").replace(']', "")
                );
                assert_eq!(object.pointer(&pointer).unwrap()["name"], *container.name, "{pointer}");
            }
        }
    }
}

#[test]
fn a_deployment_config_runs_its_lifecycle_hooks_in_the_image_of_the_named_container() {
    let object = json!({
        "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig",
        "spec": {
            "strategy": {"rollingParams": {"pre": {"execNewPod": {
                "containerName": "main", "command": ["rake", "db:migrate"],
            }}}, "recreateParams": {"mid": {"execNewPod": {"containerName": "gone"}}}},
            "template": template(),
        },
    });
    let text = object.to_string();
    let read = Object::parse(&text).unwrap();
    let hooks: Vec<_> = read.templates[0]
        .containers
        .iter()
        .filter(|container| container.list == ContainerList::DeploymentHook)
        .map(|container| (container.path.to_string(), container.image.as_str()))
        .collect();
    assert_eq!(
        hooks,
        [
            ("spec.strategy.recreateParams.mid.execNewPod".to_owned(), ""),
            ("spec.strategy.rollingParams.pre.execNewPod".to_owned(), "m"),
        ]
    );
}

#[test]
fn the_containers_of_an_argo_workflow_are_found_in_every_place() {
    let steps = json!([
        {"name": "a", "container": {"image": "c"}, "sidecars": [{"name": "s", "image": "s"}]},
        {"name": "b", "script": {"image": "x", "command": ["sh"], "source": "flyway migrate"}},
        {"name": "c", "containerSet": {"containers": [{"name": "y", "image": "y"}]},
         "initContainers": [{"name": "i", "image": "i"}]},
        {"name": "d", "dag": {"tasks": []}},
    ]);
    for (kind, spec, base) in [
        ("Workflow", json!({"templates": steps}), "spec"),
        ("WorkflowTemplate", json!({"templates": steps}), "spec"),
        ("CronWorkflow", json!({"workflowSpec": {"templates": steps}}), "spec.workflowSpec"),
    ] {
        let text =
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "spec": spec}).to_string();
        let read = Object::parse(&text).unwrap();
        let paths: Vec<_> = read
            .templates
            .iter()
            .flat_map(|template| &template.containers)
            .map(|container| container.path.to_string())
            .collect();
        let want = [
            "templates[0].sidecars[0]",
            "templates[0].container",
            "templates[1].script",
            "templates[2].initContainers[0]",
            "templates[2].containerSet.containers[0]",
        ];
        assert_eq!(paths, want.map(|path| format!("{base}.{path}")), "{kind}");
        assert_eq!(read.templates[1].containers[0].source.as_deref(), Some("flyway migrate"));
    }
}

#[test]
fn nulls_are_read_as_kubernetes_reads_them() {
    let text = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "x", "labels": null, "annotations": null, "ownerReferences": null},
        "spec": {"suspend": null, "template": {"metadata": null, "spec": {
            "initContainers": null, "volumes": null, "securityContext": null,
            "containers": [{"name": "c", "image": null, "command": null, "args": null, "env": null,
                "resources": null, "lifecycle": {"postStart": {"exec": null}}}],
        }}},
    })
    .to_string();
    let read = Object::parse(&text).unwrap();
    assert_eq!(read.templates[0].containers.len(), 1);
    assert!(read.templates[0].containers[0].post_start().is_none());
}
