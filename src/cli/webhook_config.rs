//! `tidegate webhook-config`

use std::{collections::BTreeMap, fs, io::Write as _, path::PathBuf, str::FromStr};

use anyhow::Context as _;
use hyper::Uri;
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations,
        ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};

use super::exit::Exit;
use crate::decision::{BUILT_IN_CONTROLLERS, REGISTERED, Registered};

/// Seconds that the API server waits for a verdict. All webhooks of a request share 34 s.
const VALIDATE_TIMEOUT: i32 = 5;
/// Seconds that it waits for defaults, which it can do without.
const MUTATE_TIMEOUT: i32 = 2;
/// Namespaces that the cluster itself lives in. A guard that can stop them is worse than no guard.
const EXCLUDED: [&str; 3] = ["kube-system", "kube-node-lease", "kube-public"];
/// Approvals: who approves is written down by us and by nobody else, so this has no exception.
const APPROVALS: Registered =
    Registered::new("tidegate.dev", &["v1alpha1"], &["migrationapprovals"]);
/// The label that the API server writes on every namespace itself, so that nobody can forge it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const CREATE: &[&str] = &["CREATE"];

const EXAMPLES: &str = "\
Examples:
  # Behind a Service, with the authority of its certificate
  tidegate webhook-config --service tidegate/tidegate --ca-bundle ca.crt | kubectl apply -f -

  # On this machine, for a local cluster
  tidegate webhook-config --url https://host.docker.internal:8443 --ca-bundle ca.pem

  # First see what would be refused when tidegate is down: nothing
  tidegate webhook-config --service tidegate/tidegate --ca-bundle ca.crt --failure-policy Ignore

Apply it once the server is ready, and delete it before the server. In an emergency:
  kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration tidegate";

/// Print the webhook configurations that register it with a cluster.
///
/// A `ValidatingWebhookConfiguration` that refuses, also when no server answers (outside the
/// namespaces of the cluster itself), and a `MutatingWebhookConfiguration` that fills in defaults of
/// hook Jobs. Both also ask about approvals, everywhere, and refuse them when no server answers.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The Service that leads to the server [default port: 443]
    #[arg(
        long,
        value_name = "NAMESPACE/NAME[:PORT]",
        required_unless_present = "url",
        conflicts_with = "url"
    )]
    service: Option<Service>,

    /// Where the server is, outside the cluster; /validate and /mutate are added
    #[arg(long, value_name = "HTTPS-URL")]
    url: Option<Uri>,

    /// Authority of the server's certificate, in PEM. Leave it out for cert-manager to fill in
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,

    /// What happens to a change when no server answers
    #[arg(long, value_name = "POLICY", default_value = "Fail")]
    failure_policy: FailurePolicy,

    /// Another namespace to leave out, besides those of the cluster itself and the server's own.
    /// Repeatable
    #[arg(long, value_name = "NAMESPACE")]
    exclude_namespace: Vec<String>,
}

/// What the API server does when the validating webhook fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum FailurePolicy {
    /// The change is refused.
    Fail,
    /// The change is let in.
    Ignore,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    namespace: String,
    name: String,
    port: Option<u16>,
}

impl FromStr for Service {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write it as NAMESPACE/NAME or NAMESPACE/NAME:PORT";
        let (namespace, rest) = text.split_once('/').ok_or(HOW)?;
        let (name, port) = match rest.split_once(':') {
            None => (rest, None),
            Some((name, port)) => (name, Some(port.parse().ok().ok_or(HOW)?)),
        };
        if port == Some(0) || !is_label(namespace) || !is_label(name) {
            return Err(HOW);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }
}

/// A DNS label, as namespaces and Services are named.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Prints both configurations.
///
/// # Errors
///
/// When the authority cannot be read or is none, or the URL cannot be used by an API server.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let text = render(args)?;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

fn render(args: &Args) -> anyhow::Result<String> {
    if let Some(url) = &args.url {
        check_url(url)?;
    }
    if let Some(bad) = args.exclude_namespace.iter().find(|name| !is_label(name)) {
        anyhow::bail!("--exclude-namespace `{bad}` is not the name of a namespace");
    }
    let ca_bundle = args.ca_bundle.as_deref().map(read_bundle).transpose()?;
    let validating = serde_saphyr::to_string(&validating(args, ca_bundle.as_ref()))?;
    let mutating = serde_saphyr::to_string(&mutating(args, ca_bundle.as_ref()))?;
    Ok(format!("---\n{}\n---\n{}\n", validating.trim_end(), mutating.trim_end()))
}

/// The API server's own conditions on a URL: https, a host, no user, query or fragment.
fn check_url(url: &Uri) -> anyhow::Result<()> {
    let user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if url.scheme_str() != Some("https") || url.host().is_none_or(str::is_empty) {
        anyhow::bail!("--url {url} must start with https:// and name a host");
    }
    if url.query().is_some() || user {
        anyhow::bail!("--url must not have a user or a query");
    }
    Ok(())
}

fn read_bundle(path: &std::path::Path) -> anyhow::Result<ByteString> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let pem =
        fs::read(path).with_context(|| format!("cannot read --ca-bundle {}", path.display()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).flatten().count();
    anyhow::ensure!(certificates > 0, "--ca-bundle {} holds no certificate", path.display());
    Ok(ByteString(pem))
}

fn metadata() -> ObjectMeta {
    ObjectMeta {
        name: Some("tidegate".to_owned()),
        labels: Some(map(&[("app.kubernetes.io/name", "tidegate")])),
        // AKS otherwise rewrites the namespace selector, and whoever applies this fights it.
        annotations: Some(map(&[("admissions.enforcer/disabled", "true")])),
        ..ObjectMeta::default()
    }
}

/// Policies and exceptions. One that does not load changes nothing, so that it can be let in while
/// no server answers, as when everything is installed at once.
const DOCUMENTS: [Registered; 2] = [
    Registered::new("tidegate.dev", &["v1alpha1"], &["migrationpolicies"]).cluster_scoped(),
    Registered::new("tidegate.dev", &["v1alpha1"], &["migrationexceptions"]),
];

fn validating(args: &Args, ca_bundle: Option<&ByteString>) -> ValidatingWebhookConfiguration {
    let webhook = ValidatingWebhook {
        name: "validate.tidegate.dev".to_owned(),
        admission_review_versions: owned(&["v1"]),
        client_config: client(args, "/validate", ca_bundle),
        failure_policy: Some(
            match args.failure_policy {
                FailurePolicy::Fail => "Fail",
                FailurePolicy::Ignore => "Ignore",
            }
            .to_owned(),
        ),
        match_conditions: Some(vec![
            condition("not-by-a-node", NOT_BY_A_NODE),
            condition("not-by-a-controller", &not_by_a_controller()),
            condition("spec-or-annotations-changed", CHANGED),
            condition("pod-image-changed", POD_IMAGE_CHANGED),
        ]),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(selector(args)),
        object_selector: None,
        rules: Some(REGISTERED.iter().map(rule).collect()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(VALIDATE_TIMEOUT),
    };
    let approvals = ValidatingWebhook {
        name: "approvals.validate.tidegate.dev".to_owned(),
        admission_review_versions: owned(&["v1"]),
        client_config: client(args, "/approvals/validate", ca_bundle),
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        rules: Some(vec![rule(&APPROVALS)]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(VALIDATE_TIMEOUT),
        ..ValidatingWebhook::default()
    };
    let documents = ValidatingWebhook {
        name: "documents.validate.tidegate.dev".to_owned(),
        admission_review_versions: owned(&["v1"]),
        client_config: client(args, "/validate", ca_bundle),
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        rules: Some(DOCUMENTS.iter().map(rule).collect()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(VALIDATE_TIMEOUT),
        ..ValidatingWebhook::default()
    };
    ValidatingWebhookConfiguration {
        metadata: metadata(),
        webhooks: Some(vec![webhook, approvals, documents]),
    }
}

fn mutating(args: &Args, ca_bundle: Option<&ByteString>) -> MutatingWebhookConfiguration {
    let webhook = MutatingWebhook {
        name: "mutate.tidegate.dev".to_owned(),
        admission_review_versions: owned(&["v1"]),
        client_config: client(args, "/mutate", ca_bundle),
        // What is not filled in is seen by the validating side.
        failure_policy: Some("Ignore".to_owned()),
        match_conditions: Some(vec![condition("hook", HOOK)]),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(selector(args)),
        object_selector: None,
        reinvocation_policy: Some("IfNeeded".to_owned()),
        rules: Some(vec![rule(&Registered {
            group: "batch",
            versions: &["v1"],
            resources: &["jobs"],
            operations: CREATE,
            scope: "Namespaced",
        })]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(MUTATE_TIMEOUT),
    };
    let approvals = MutatingWebhook {
        name: "approvals.mutate.tidegate.dev".to_owned(),
        admission_review_versions: owned(&["v1"]),
        client_config: client(args, "/approvals/mutate", ca_bundle),
        // An approval that nobody was written into is one that anybody could have written.
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        rules: Some(vec![rule(&APPROVALS)]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(VALIDATE_TIMEOUT),
        ..MutatingWebhook::default()
    };
    MutatingWebhookConfiguration { metadata: metadata(), webhooks: Some(vec![webhook, approvals]) }
}

fn client(args: &Args, path: &str, ca_bundle: Option<&ByteString>) -> WebhookClientConfig {
    let service = args.service.as_ref().map(|service| ServiceReference {
        name: service.name.clone(),
        namespace: service.namespace.clone(),
        path: Some(path.to_owned()),
        port: Some(service.port.unwrap_or(443).into()),
    });
    let url =
        args.url.as_ref().map(|url| format!("{}{path}", url.to_string().trim_end_matches('/')));
    WebhookClientConfig { ca_bundle: ca_bundle.cloned(), service, url }
}

fn selector(args: &Args) -> LabelSelector {
    let own = args.service.as_ref().map(|service| service.namespace.clone());
    let mut values = owned(&EXCLUDED);
    for name in own.into_iter().chain(args.exclude_namespace.iter().cloned()) {
        if !values.contains(&name) {
            values.push(name);
        }
    }
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: NAME_LABEL.to_owned(),
            operator: "NotIn".to_owned(),
            values: Some(values),
        }]),
        match_labels: None,
    }
}

fn rule(registered: &Registered) -> RuleWithOperations {
    let Registered { group, versions, resources, operations, scope } = registered;
    RuleWithOperations {
        api_groups: Some(owned(&[group])),
        api_versions: Some(owned(versions)),
        operations: Some(owned(operations)),
        resources: Some(owned(resources)),
        scope: Some((*scope).to_owned()),
    }
}

/// Nodes create only mirrors of Pods that run already.
const NOT_BY_A_NODE: &str =
    r#"!has(request.userInfo.groups) || !("system:nodes" in request.userInfo.groups)"#;

/// An UPDATE that leaves both alone (finalizers, labels, managed fields, owners) gives nothing to
/// judge. Objects without a spec always come.
const CHANGED: &str = r#"request.operation != "UPDATE" || object == null || oldObject == null
|| !has(object.spec) || !has(oldObject.spec) || object.spec != oldObject.spec
|| has(object.metadata.annotations) != has(oldObject.metadata.annotations)
|| (has(object.metadata.annotations) && object.metadata.annotations != oldObject.metadata.annotations)"#;

/// A Pod is updated all the time; what it runs changes only with an image.
const POD_IMAGE_CHANGED: &str = r#"request.operation != "UPDATE" || request.kind.group != "" || request.kind.kind != "Pod"
|| (has(request.subResource) && request.subResource != "")
|| object == null || oldObject == null
|| object.spec.containers.map(c, has(c.image) ? c.image : "") != oldObject.spec.containers.map(c, has(c.image) ? c.image : "")
|| has(object.spec.initContainers) != has(oldObject.spec.initContainers)
|| (has(object.spec.initContainers)
  && object.spec.initContainers.map(c, has(c.image) ? c.image : "") != oldObject.spec.initContainers.map(c, has(c.image) ? c.image : ""))"#;

/// Only hooks get defaults.
const HOOK: &str = r#"object != null && has(object.metadata.annotations)
&& ("argocd.argoproj.io/hook" in object.metadata.annotations || "helm.sh/hook" in object.metadata.annotations)"#;

/// What a controller makes for its owner was judged with the owner. User and owner must fit: an
/// owner reference alone can be written by anyone.
fn not_by_a_controller() -> String {
    let mut rows = Vec::new();
    for controller in BUILT_IN_CONTROLLERS {
        let users = controller.users().map(|user| format!("\"{user}\"")).join(", ");
        let (group, owner) = controller.owner.split_once('/').unwrap_or(("", controller.owner));
        let (_, child) = controller.creates.split_once('/').unwrap_or(("", controller.creates));
        let version = if group.is_empty() {
            r#"o.apiVersion == "v1""#.to_owned()
        } else {
            format!(r#"o.apiVersion.startsWith("{group}/")"#)
        };
        rows.push(format!(
            r#"(request.userInfo.username in [{users}]
    && request.kind.kind == "{child}" && o.kind == "{owner}" && {version})"#
        ));
    }
    format!(
        r"object == null || !has(object.metadata) || !has(object.metadata.ownerReferences) || !has(request.userInfo.username)
|| !object.metadata.ownerReferences.exists(o, has(o.controller) && o.controller && (
  {}))",
        rows.join("\n  || ")
    )
}

fn condition(name: &str, expression: &str) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression: expression.to_owned() }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
