//! `sidecar-blocks-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, job_migrations,
    parameters,
};
use crate::model::{Container, ContainerList, Fact, Labels, PodTemplate};

pub(super) static RULE: Rule = Rule {
    id: "sidecar-blocks-migration",
    summary: "a sidecar that does not end keeps a migration Job from completing",
    why: "A Job is complete when every container of its Pod has ended. The proxy of a mesh, or of a \
          cloud database, runs on when the migration is done: the hook never ends, and the release \
          hangs until the deadline fails a migration that succeeded. Sidecars that are \
          initContainers with `restartPolicy: Always` end by themselves; Istio injects such since \
          1.27 on clusters that have them, Linkerd when it is told to. Labels of the namespace count \
          where they are known; annotations of the namespace are not seen.",
    fix: "Keep the mesh out of the Job (label `sidecar.istio.io/inject: \"false\"`, annotation \
          `linkerd.io/inject: disabled`), have it inject native sidecars \
          (`sidecar.istio.io/nativeSidecar: \"true\"`, \
          `config.beta.linkerd.io/proxy-enable-native-sidecar: \"true\"`), or move a proxy of your \
          own to `initContainers` with `restartPolicy: Always`. Where every mesh injects native \
          sidecars, set `nativeSidecars: true`.",
    sources: &[
        "https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/",
        "https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/",
        "https://learn.microsoft.com/azure/aks/istio-native-sidecar",
        "https://linkerd.io/2/features/native-sidecars",
        "https://cloud.google.com/sql/docs/postgres/connect-kubernetes-engine",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Jobs,
    places: Place::EVERYWHERE,
    example: example!("sidecar-blocks-migration"),
    configure: configure::<SidecarBlocksMigration>,
    parameters: parameters::<SidecarBlocksMigration>,
};

/// The rule's parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct SidecarBlocksMigration {
    /// Whether the meshes here inject native sidecars, which end with the Job.
    native_sidecars: bool,
}

impl Check for SidecarBlocksMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for (_job, migration) in job_migrations(context) {
            let template = migration.template;
            if ends_its_sidecars(template) {
                continue;
            }
            let words = &migration.main.words;
            for proxy in template.containers.iter().filter(|container| is_proxy(container)) {
                findings.object(
                    &RULE,
                    proxy.path.to_string(),
                    &proxy.name,
                    format!("container `{}` does not end when `{words}` is done", proxy.name),
                    "make it an initContainer with restartPolicy: Always",
                );
            }
            if self.native_sidecars {
                continue;
            }
            let at = if template.path.is_empty() {
                "metadata".into()
            } else {
                format!("{}.metadata", template.path)
            };
            match injection(template, &context.facts.namespace_labels) {
                Injection::No => {}
                Injection::Perhaps(why) => findings.undecided(&RULE, at, why.to_owned()),
                Injection::By(mesh, mend) => findings.object(
                    &RULE,
                    at,
                    mesh,
                    format!("the sidecar that {mesh} injects may not end when `{words}` is done"),
                    mend,
                ),
            }
        }
    }
}

/// Whether a mesh puts a sidecar into the Pods.
enum Injection<'a> {
    No,
    /// The namespace decides, and this is why nobody knows what it says.
    Perhaps(&'a str),
    /// The mesh, and how to keep it out.
    By(&'static str, &'static str),
}

const ISTIO: Injection<'static> = Injection::By(
    "Istio",
    "label the Pod sidecar.istio.io/inject: \"false\", or have a native one",
);
const LINKERD: Injection<'static> =
    Injection::By("Linkerd", "annotate the Pod linkerd.io/inject: disabled, or have a native one");

/// What the template says counts before what its namespace says.
fn injection<'a>(template: &PodTemplate<'_>, namespace: &'a Fact<&Labels>) -> Injection<'a> {
    let said = |key: &str| template.labels.get(key).or_else(|| template.annotations.get(key));
    let istio = said("sidecar.istio.io/inject");
    let linkerd = said("linkerd.io/inject");
    let is = |value: Option<&str>, wanted: &str| value == Some(wanted);
    let istio_native = is(said("sidecar.istio.io/nativeSidecar"), "true");
    let linkerd_native = ["beta", "alpha"].iter().any(|stage| {
        is(said(&format!("config.{stage}.linkerd.io/proxy-enable-native-sidecar")), "true")
    });
    if !linkerd_native && matches!(linkerd, Some("enabled" | "ingress")) {
        return LINKERD;
    }
    if istio_native || istio == Some("false") {
        return Injection::No;
    }
    if istio == Some("true") || said("istio.io/rev").is_some() {
        return ISTIO;
    }
    match namespace {
        Fact::Known(labels) => {
            let injects = labels.get("istio-injection").is_some_and(|value| value == "enabled")
                || (labels.contains_key("istio.io/rev")
                    && !labels.contains_key("istio.io/dataplane-mode"));
            if injects { ISTIO } else { Injection::No }
        }
        Fact::Unknown(why) => Injection::Perhaps(why),
        Fact::NotAsked => Injection::No,
    }
}

/// Last segments of the images of proxies that run until they are told to end.
const PROXIES: &[&str] =
    &["cloud-sql-proxy", "cloudsql-proxy", "gce-proxy", "alloydb-auth-proxy", "proxyv2"];

/// True for a proxy that is an ordinary container and so has to end for the Job to end.
fn is_proxy(container: &Container<'_>) -> bool {
    let name = container.image.split(['@']).next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let image = last.split(':').next().unwrap_or_default();
    container.list == ContainerList::Main && PROXIES.contains(&image)
}

/// Words by which a container ends the sidecars beside it: an address that ends a proxy, a wrapper
/// that does, or a signal.
const ENDERS: &[&str] =
    &["quitquitquit", "linkerd-await", "4191/shutdown", "graceful_shutdown", "pkill", "killall"];

/// True when some container of the Pod ends the sidecars itself.
fn ends_its_sidecars(template: &PodTemplate<'_>) -> bool {
    template.containers.iter().any(|container| {
        let words = container.command.iter().chain(&container.args);
        words.into_iter().any(|word| ENDERS.iter().any(|ender| word.contains(ender)))
    })
}
