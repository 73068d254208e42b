//! The webhook configurations and the definitions of our kinds.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::admissionregistration::v1::{
        MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
        WebhookClientConfig,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use serde::Deserialize;

use super::{Grade, Installation, Symptom};
use crate::decision::REGISTERED;

const CHECK: &str = "registration";
/// The longest that a webhook of ours should be waited for, in seconds.
const LONGEST: i32 = 10;
/// The label that the API server writes on every namespace itself.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One webhook as it is registered, with what the API server takes where nothing is said.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    /// Its name.
    pub(super) name: String,
    /// Where it leads.
    pub(super) client_config: WebhookClientConfig,
    #[serde(default = "fail")]
    failure_policy: String,
    #[serde(default = "ten")]
    timeout_seconds: i32,
    #[serde(default)]
    rules: Vec<RuleWithOperations>,
    #[serde(default)]
    namespace_selector: LabelSelector,
}

fn fail() -> String {
    "Fail".to_owned()
}

fn ten() -> i32 {
    10
}

/// Reads both configurations and the definitions.
pub(super) async fn look(
    client: &Client,
    installation: &Installation,
    seen: &mut Vec<Symptom>,
) -> Vec<Registered> {
    let name = &installation.name;
    let mut registered = Vec::new();
    for kind in [
        ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        ApiResource::erase::<MutatingWebhookConfiguration>(&()),
    ] {
        match Api::<DynamicObject>::all_with(client.clone(), &kind).get_opt(name).await {
            Err(error) => seen.push(Symptom::unread(CHECK, &format!("the {}", kind.kind), &error)),
            Ok(None) => seen.push(missing(&kind.kind, name)),
            Ok(Some(found)) => {
                let webhooks = found.data.get("webhooks").cloned().unwrap_or_default();
                let webhooks: Option<Vec<Registered>> =
                    serde_json::from_value(webhooks).unwrap_or_default();
                let webhooks = webhooks.unwrap_or_default();
                if webhooks.is_empty() {
                    seen.push(missing(&kind.kind, name));
                }
                registered.extend(webhooks);
            }
        }
    }
    for hook in &registered {
        judge(hook, installation, seen);
    }
    definitions(client, seen).await;
    registered
}

fn missing(kind: &str, name: &str) -> Symptom {
    Symptom::new(
        CHECK,
        Grade::Failure,
        format!("there is no {kind} `{name}` with webhooks: the API server asks nobody"),
        "register it: `webhooks.register=true` in the chart, or `tidegate webhook-config`",
    )
}

fn judge(hook: &Registered, installation: &Installation, seen: &mut Vec<Symptom>) {
    let before = seen.len();
    let Registered { name, failure_policy, timeout_seconds: timeout, .. } = hook;
    let main = name == "validate.tidegate.dev";
    if main && failure_policy != "Fail" {
        let says = format!(
            "`{name}` has failurePolicy {failure_policy}: while no server answers, everything is let in unseen"
        );
        seen.push(Symptom::new(CHECK, Grade::Warning, says, "set it to Fail where you enforce"));
    }
    if *timeout > LONGEST {
        let says = format!(
            "`{name}` is waited for for {timeout} s, and every change waits so long while no server answers"
        );
        seen.push(Symptom::new(CHECK, Grade::Warning, says, "set timeoutSeconds to 5"));
    }
    if main {
        let asked = asked(&hook.rules);
        let left_out: Vec<_> = wanted().into_iter().filter(|it| !asked.contains(it)).collect();
        if !left_out.is_empty() {
            let says = format!("`{name}` does not ask about {}", left_out.join(", "));
            let mend = "apply the configuration of this version again";
            seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
        }
    }
    // Documents and approvals are asked about everywhere.
    if main || name == "mutate.tidegate.dev" {
        judge_namespaces(name, &hook.namespace_selector, installation, seen);
    }
    if seen.len() == before {
        seen.push(Symptom::ok(
            CHECK,
            format!("`{name}` is registered, {failure_policy}, {timeout} s"),
        ));
    }
}

/// Whether the namespaces that have to be are left out, and no others by a label of somebody's.
fn judge_namespaces(
    name: &str,
    selector: &LabelSelector,
    installation: &Installation,
    seen: &mut Vec<Symptom>,
) {
    let excluded = excluded(selector);
    for namespace in ["kube-system", &installation.namespace] {
        if !excluded.contains(namespace) {
            let says = format!(
                "`{name}` is asked about namespace {namespace}: without a server neither can be mended"
            );
            let mend = format!("exclude it by {NAME_LABEL} in its namespaceSelector");
            seen.push(Symptom::new(CHECK, Grade::Failure, says, mend));
        }
    }
    let expressions = selector.match_expressions.iter().flatten().map(|it| it.key.as_str());
    let labels = selector.match_labels.iter().flatten().map(|(key, _)| key.as_str());
    let others: BTreeSet<_> = expressions.chain(labels).filter(|key| *key != NAME_LABEL).collect();
    if !others.is_empty() {
        let says = format!(
            "`{name}` is also kept from namespaces by {}: whoever may set it on one gets past the gate",
            others.into_iter().collect::<Vec<_>>().join(", ")
        );
        let mend = "leave it if your platform adds it (AKS does), else apply the configuration of this version again";
        seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
    }
}

/// `group/resource` of everything that this version wants to be asked about.
fn wanted() -> Vec<String> {
    let all = REGISTERED.iter();
    all.flat_map(|registered| {
        let group = registered.group;
        registered.resources.iter().map(move |resource| format!("{group}/{resource}"))
    })
    .collect()
}

fn asked(rules: &[RuleWithOperations]) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            asked.extend(rule.resources.iter().flatten().map(|name| format!("{group}/{name}")));
        }
    }
    asked
}

/// The namespaces that a selector leaves out by the label that nobody can forge.
fn excluded(selector: &LabelSelector) -> BTreeSet<&str> {
    let expressions = selector.match_expressions.iter().flatten();
    let by_name = expressions
        .filter(|expression| expression.key == NAME_LABEL && expression.operator == "NotIn");
    by_name.flat_map(|expression| expression.values.iter().flatten()).map(String::as_str).collect()
}

async fn definitions(client: &Client, seen: &mut Vec<Symptom>) {
    const CHECK: &str = "definitions";
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for wanted in crate::policy::custom_resource_definitions() {
        let name =
            wanted.pointer("/metadata/name").and_then(|name| name.as_str()).unwrap_or_default();
        let found = match api.get_opt(name).await {
            Err(error) => {
                seen.push(Symptom::unread(CHECK, name, &error));
                continue;
            }
            Ok(None) => {
                let says = format!("{name} is not installed");
                let mend = "kubectl apply --server-side -f the output of `tidegate policy crd`";
                seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
                continue;
            }
            Ok(Some(found)) => found,
        };
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let have = serde_json::to_value(&found).unwrap_or_default();
        let fields = |value: &serde_json::Value| -> BTreeSet<String> {
            let fields = value.pointer(spec).and_then(|fields| fields.as_object().cloned());
            fields
                .map(|fields| fields.into_iter().map(|(name, _)| name).collect())
                .unwrap_or_default()
        };
        let (wanted, have) = (fields(&wanted), fields(&have));
        if wanted == have {
            seen.push(Symptom::ok(CHECK, format!("{name} is installed")));
        } else {
            let differ: Vec<_> = wanted.symmetric_difference(&have).cloned().collect();
            let says = format!("{name} is of another version: {}", differ.join(", "));
            let mend = "apply the definitions of this version: Helm does not upgrade those of a folder `crds`";
            seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
        }
    }
}
