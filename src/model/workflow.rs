//! Argo Workflows: their templates hold containers, but are no Pod specs.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Container, ContainerList, ParseError, PodSpec, PodTemplate,
    object::read,
    pod::{ContainerPath, null_is_default},
    workload::TemplateMetadata,
};

/// The templates of a CronWorkflow.
pub(super) fn of_cron(spec: &str) -> Result<Vec<PodTemplate<'_>>, ParseError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw<'a> {
        #[serde(borrow, default)]
        workflow_spec: Option<&'a RawValue>,
    }
    let raw: Raw<'_> = read(spec, "spec")?;
    match raw.workflow_spec {
        Some(inner) => templates(inner.get(), "spec.workflowSpec"),
        None => Ok(Vec::new()),
    }
}

#[derive(Deserialize)]
struct Workflow<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    templates: Vec<Step<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    #[serde(borrow, default)]
    container: Option<Container<'a>>,
    #[serde(borrow, default)]
    script: Option<Container<'a>>,
    #[serde(borrow, default)]
    container_set: Option<ContainerSet<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    init_containers: Vec<Container<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    sidecars: Vec<Container<'a>>,
    #[serde(borrow, default)]
    metadata: Option<TemplateMetadata<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerSet<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    containers: Vec<Container<'a>>,
}

/// The templates of a Workflow spec that stands at `path`.
pub(super) fn templates<'a>(spec: &'a str, path: &str) -> Result<Vec<PodTemplate<'a>>, ParseError> {
    let workflow: Workflow<'a> = read(spec, path)?;
    Ok(workflow
        .templates
        .into_iter()
        .enumerate()
        .map(|(index, step)| step.at(format!("{path}.templates[{index}]").into()))
        .collect())
}

impl<'a> Step<'a> {
    fn at(self, base: Cow<'static, str>) -> PodTemplate<'a> {
        let set = self.container_set.unwrap_or_default();
        let mut containers = Vec::new();
        for (list, field, of) in [
            (ContainerList::Init, "initContainers", self.init_containers),
            (ContainerList::Main, "containerSet.containers", set.containers),
            (ContainerList::Sidecar, "sidecars", self.sidecars),
        ] {
            for (index, mut container) in of.into_iter().enumerate() {
                container.list = list;
                container.path = ContainerPath { base: base.clone(), field, index: Some(index) };
                containers.push(container);
            }
        }
        for (field, of) in [("container", self.container), ("script", self.script)] {
            let Some(mut container) = of else { continue };
            container.path = ContainerPath { base: base.clone(), field, index: None };
            containers.push(container);
        }
        let has_metadata = self.metadata.is_some();
        let TemplateMetadata { labels, annotations } = self.metadata.unwrap_or_default();
        PodTemplate {
            path: base.clone(),
            spec_path: base,
            labels,
            annotations,
            spec: PodSpec::default(),
            containers,
            job: None,
            has_metadata,
        }
    }
}
