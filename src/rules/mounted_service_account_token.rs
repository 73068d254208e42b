//! `mounted-service-account-token`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::{Container, PodTemplate};

pub(super) static RULE: Rule = Rule {
    id: "mounted-service-account-token",
    summary: "a migration gets a token for the Kubernetes API that it does not need",
    why: "A migration talks to a database. The token of its service account is mounted unless somebody \
          says no, and a flaw in the tool or in a dependency of the image then speaks to the API \
          server in the name of the namespace.",
    fix: "Set `automountServiceAccountToken: false` in the Pod. On hook Jobs that name no service \
          account it is filled in at admission where it is absent. Identities of a cloud (IRSA, \
          workload identity) do not need this token.",
    sources: &[
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#opt-out-of-api-credential-automounting",
        "https://kubernetes.io/docs/concepts/security/service-accounts/",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Security,
    places: Place::EVERYWHERE,
    example: example!("mounted-service-account-token"),
    configure: configure::<MountedServiceAccountToken>,
    parameters: parameters::<MountedServiceAccountToken>,
};

/// The rule's parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct MountedServiceAccountToken {
    /// Whether Jobs that name a service account of their own are judged too. Its own
    /// `automountServiceAccountToken` is not seen.
    named_accounts: bool,
}

impl Check for MountedServiceAccountToken {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let mut seen = Vec::new();
        for migration in run_to_completion(context) {
            let PodTemplate { spec, spec_path, containers, .. } = migration.template;
            if seen.contains(&spec_path) {
                continue;
            }
            seen.push(spec_path);
            let account = spec.service_account_name.as_deref().unwrap_or_default();
            let named = !matches!(account, "" | "default");
            if spec.automount_service_account_token == Some(false)
                || (named && !self.named_accounts)
                || containers.iter().any(speaks_to_the_api)
            {
                continue;
            }
            let at = format!("{spec_path}.automountServiceAccountToken");
            findings.object(
                &RULE,
                at.clone(),
                account,
                format!("the Pod of `{}` gets a token for the API server", migration.main.words),
                "set automountServiceAccountToken: false",
            );
            findings.mended_by(Repair::set(at, false));
        }
    }
}

/// Programs and images that need the API server.
const CLIENTS: &[&str] = &["kubectl", "k8s-wait-for", "helm", "oc", "kubernetes-wait"];

/// True for a container that waits for objects of the cluster or changes them.
fn speaks_to_the_api(container: &Container<'_>) -> bool {
    let image = container.image.split(['@', ':']).next().unwrap_or_default();
    let words = container.command.iter().chain(&container.args).flat_map(|text| {
        text.split(|char: char| char.is_whitespace() || matches!(char, ';' | '&' | '|' | '(' | '/'))
    });
    image.split('/').chain(words).any(|word| CLIENTS.contains(&word))
}
