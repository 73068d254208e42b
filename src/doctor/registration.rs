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
use kube::{Api, Client};

use super::{Grade, Installation, Symptom};
use crate::decision::REGISTERED;

const CHECK: &str = "registration";
/// The longest that a webhook of ours should be waited for, in seconds.
const LONGEST: i32 = 10;
/// The label that the API server writes on every namespace itself.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One webhook as it is registered.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    /// Its name.
    pub(super) name: String,
    /// Where it leads.
    pub(super) client: WebhookClientConfig,
    failure_policy: String,
    timeout: i32,
    rules: Vec<RuleWithOperations>,
    selector: Option<LabelSelector>,
    validates: bool,
}

/// Reads both configurations and the definitions.
pub(super) async fn look(
    client: &Client,
    installation: &Installation,
    seen: &mut Vec<Symptom>,
) -> Vec<Registered> {
    let name = &installation.name;
    let mut registered = Vec::new();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    match validating.get_opt(name).await {
        Err(error) => seen.push(Symptom::unread(CHECK, "the validating configuration", &error)),
        Ok(None) => seen.push(missing("ValidatingWebhookConfiguration", name)),
        Ok(Some(found)) => {
            registered.extend(found.webhooks.into_iter().flatten().map(|hook| Registered {
                name: hook.name,
                client: hook.client_config,
                failure_policy: hook.failure_policy.unwrap_or_else(|| "Fail".to_owned()),
                timeout: hook.timeout_seconds.unwrap_or(10),
                rules: hook.rules.unwrap_or_default(),
                selector: hook.namespace_selector,
                validates: true,
            }));
        }
    }
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
    match mutating.get_opt(name).await {
        Err(error) => seen.push(Symptom::unread(CHECK, "the mutating configuration", &error)),
        Ok(None) => seen.push(missing("MutatingWebhookConfiguration", name)),
        Ok(Some(found)) => {
            registered.extend(found.webhooks.into_iter().flatten().map(|hook| Registered {
                name: hook.name,
                client: hook.client_config,
                failure_policy: hook.failure_policy.unwrap_or_else(|| "Fail".to_owned()),
                timeout: hook.timeout_seconds.unwrap_or(10),
                rules: hook.rules.unwrap_or_default(),
                selector: hook.namespace_selector,
                validates: false,
            }));
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
        format!("there is no {kind} `{name}`: the API server asks nobody"),
        "register it: `webhooks.register=true` in the chart, or `tidegate webhook-config`",
    )
}

fn judge(hook: &Registered, installation: &Installation, seen: &mut Vec<Symptom>) {
    let before = seen.len();
    let Registered { name, failure_policy, timeout, .. } = hook;
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
    if (main || !hook.validates) && hook.selector.is_some() {
        let excluded = excluded(hook.selector.as_ref());
        for namespace in ["kube-system", &installation.namespace] {
            if !excluded.contains(namespace) {
                let says = format!(
                    "`{name}` is asked about namespace {namespace}: without a server neither can be mended"
                );
                let mend = format!("exclude it by {NAME_LABEL} in its namespaceSelector");
                seen.push(Symptom::new(CHECK, Grade::Failure, says, mend));
            }
        }
    }
    if seen.len() == before {
        seen.push(Symptom::ok(
            CHECK,
            format!("`{name}` is registered, {failure_policy}, {timeout} s"),
        ));
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
fn excluded(selector: Option<&LabelSelector>) -> BTreeSet<&str> {
    let expressions = selector.and_then(|selector| selector.match_expressions.as_ref());
    let by_name = expressions
        .into_iter()
        .flatten()
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
