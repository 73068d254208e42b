//! The way from the API server to a server that answers.

use k8s_openapi::{
    api::{
        apps::v1::Deployment, core::v1::Service, discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, Client, api::ListParams};

use super::{Grade, Installation, Symptom, registration::Registered, started::Started};

const CHECK: &str = "servers";

/// Looks at everything on the way; how the servers are started, as far as that can be read.
pub(super) async fn look(
    client: &Client,
    installation: &Installation,
    registered: &[Registered],
    seen: &mut Vec<Symptom>,
) -> Started {
    for Registered { name, client_config: to, .. } in registered {
        let Some(service) = &to.service else { continue };
        // All webhooks lead to one Service; the first that does not is worth a word of its own.
        let at = (service.namespace.as_str(), service.name.as_str());
        if at != (installation.namespace.as_str(), installation.name.as_str()) {
            let says = format!("`{name}` leads to Service {}/{}", at.0, at.1);
            let mend = "name the installation with --namespace and --name, or register it again";
            seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
        }
    }
    let port = registered.iter().find_map(|hook| hook.client_config.service.as_ref()?.port);
    service(client, installation, port.unwrap_or(443), seen).await;
    endpoints(client, installation, seen).await;
    let started = deployment(client, installation, seen).await;
    budget(client, installation, seen).await;
    started
}

async fn service(
    client: &Client,
    Installation { namespace, name, .. }: &Installation,
    port: i32,
    seen: &mut Vec<Symptom>,
) {
    let api = Api::<Service>::namespaced(client.clone(), namespace);
    seen.push(match api.get_opt(name).await {
        Err(error) => Symptom::unread(CHECK, "the Service", &error),
        Ok(None) => Symptom::new(
            CHECK,
            Grade::Failure,
            format!("there is no Service {namespace}/{name}"),
            "install it again, or take the webhook configurations away",
        ),
        Ok(Some(service)) => {
            let spec = service.spec.unwrap_or_default();
            if spec.ports.iter().flatten().any(|own| own.port == port) {
                Symptom::ok(CHECK, format!("Service {namespace}/{name} has port {port}"))
            } else {
                let says = format!(
                    "Service {namespace}/{name} has no port {port}, which the webhooks lead to"
                );
                Symptom::new(CHECK, Grade::Failure, says, "register it with the Service's port")
            }
        }
    });
}

async fn endpoints(
    client: &Client,
    Installation { namespace, name, .. }: &Installation,
    seen: &mut Vec<Symptom>,
) {
    let api = Api::<EndpointSlice>::namespaced(client.clone(), namespace);
    let of = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    let slices = match api.list(&of).await {
        Ok(slices) => slices,
        Err(error) => return seen.push(Symptom::unread(CHECK, "the endpoints", &error)),
    };
    let endpoints = slices.items.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| {
        // Nobody has said otherwise: it counts as ready.
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    seen.push(match ready.count() {
        0 => Symptom::new(
            CHECK,
            Grade::Failure,
            format!("no server is ready behind Service {namespace}/{name}"),
            format!("kubectl -n {namespace} get pods, and /readyz says what they wait for"),
        ),
        1 => Symptom::new(
            CHECK,
            Grade::Warning,
            "one server is ready: a node that goes takes the gate with it",
            "run three replicas on different nodes",
        ),
        count => Symptom::ok(CHECK, format!("{count} servers are ready")),
    });
}

async fn deployment(
    client: &Client,
    Installation { namespace, name, .. }: &Installation,
    seen: &mut Vec<Symptom>,
) -> Started {
    let api = Api::<Deployment>::namespaced(client.clone(), namespace);
    match api.get_opt(name).await {
        Err(error) => seen.push(Symptom::unread(CHECK, "the Deployment", &error)),
        Ok(None) => seen.push(Symptom::new(
            CHECK,
            Grade::Warning,
            format!("there is no Deployment {namespace}/{name}"),
            "name the installation with --namespace and --name",
        )),
        Ok(Some(found)) => {
            seen.push(version(&found));
            return Started::of(found);
        }
    }
    Started::default()
}

async fn budget(
    client: &Client,
    Installation { namespace, name, .. }: &Installation,
    seen: &mut Vec<Symptom>,
) {
    let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), namespace);
    match budgets.get_opt(name).await {
        Err(error) => seen.push(Symptom::unread(CHECK, "the PodDisruptionBudget", &error)),
        Ok(None) => seen.push(Symptom::new(
            CHECK,
            Grade::Warning,
            "there is no PodDisruptionBudget: a drain may take all servers at once",
            "install the one of the chart (maxUnavailable: 1)",
        )),
        Ok(Some(budget)) => {
            let at_most = budget.spec.and_then(|spec| spec.max_unavailable);
            if at_most == Some(IntOrString::Int(0)) {
                let says = "the PodDisruptionBudget lets no server go: a drain waits for ever";
                seen.push(Symptom::new(CHECK, Grade::Warning, says, "set maxUnavailable to 1"));
            }
        }
    }
}

/// Whether the servers are of the version that asks.
fn version(deployment: &Deployment) -> Symptom {
    let own = env!("CARGO_PKG_VERSION");
    let labels = deployment.metadata.labels.as_ref();
    let theirs = labels.and_then(|labels| labels.get("app.kubernetes.io/version"));
    match theirs {
        Some(theirs) if theirs == own => Symptom::ok(CHECK, format!("they are of version {own}")),
        Some(theirs) => Symptom::new(
            CHECK,
            Grade::Warning,
            format!("they are of version {theirs}, and this program is of {own}"),
            "use the program of the servers' version: verdicts may differ",
        ),
        None => Symptom::new(
            CHECK,
            Grade::Unknown,
            "the Deployment does not say its version (app.kubernetes.io/version)",
            "",
        ),
    }
}
