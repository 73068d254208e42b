//! Lifecycle hooks of OpenShift's DeploymentConfigs: commands that run in a Pod of their own.

use serde::Deserialize;

use super::{
    Container, ContainerList, EnvVar, ParseError, PodTemplate, Text,
    object::read,
    pod::{ContainerPath, null_is_default},
    workload::without_template,
};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Strategy<'a> {
    #[serde(borrow)]
    recreate_params: Option<DeploymentHooks<'a>>,
    #[serde(borrow)]
    rolling_params: Option<DeploymentHooks<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeploymentHooks<'a> {
    #[serde(borrow)]
    pre: Option<DeploymentHook<'a>>,
    #[serde(borrow)]
    mid: Option<DeploymentHook<'a>>,
    #[serde(borrow)]
    post: Option<DeploymentHook<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeploymentHook<'a> {
    #[serde(borrow)]
    exec_new_pod: Option<ExecNewPod<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExecNewPod<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    command: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    env: Vec<EnvVar<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    container_name: Text<'a>,
}

pub(super) fn add_hooks<'a>(
    strategy: &'a str,
    templates: &mut Vec<PodTemplate<'a>>,
) -> Result<(), ParseError> {
    let Strategy { recreate_params, rolling_params } = read(strategy, "spec.strategy")?;
    let mut hooks = Vec::new();
    for (params, name) in [(recreate_params, "recreateParams"), (rolling_params, "rollingParams")] {
        let Some(DeploymentHooks { pre, mid, post }) = params else { continue };
        for (hook, moment) in [(pre, "pre"), (mid, "mid"), (post, "post")] {
            let Some(exec) = hook.and_then(|hook| hook.exec_new_pod) else { continue };
            hooks.push((exec, format!("spec.strategy.{name}.{moment}")));
        }
    }
    for (exec, base) in hooks {
        let ExecNewPod { command, env, container_name } = exec;
        let of = templates
            .iter()
            .flat_map(|template| &template.containers)
            .find(|container| container.name == container_name);
        let image = of.map(|container| container.image.clone()).unwrap_or_default();
        let mut container = Container::running(container_name, image, command);
        container.list = ContainerList::DeploymentHook;
        container.path = ContainerPath { base: base.into(), field: "execNewPod", index: None };
        container.env = env;
        match templates.first_mut() {
            Some(template) => template.containers.push(container),
            None => templates.push(without_template(container)),
        }
    }
    Ok(())
}
