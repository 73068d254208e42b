//! `root-migration`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Repair, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::{
    detect::Detection,
    model::{PodTemplate, SecurityContext},
};

pub(super) static RULE: Rule = Rule {
    id: "root-migration",
    summary: "a migration runs as root, privileged or in the host's namespaces",
    why: "A migration holds the most powerful database credentials of the application. As root, \
          privileged or in a namespace of the host, a flaw in the tool or in a dependency of the \
          application image reaches the node and every credential on it.",
    fix: "Set `runAsNonRoot: true` (and a numeric `runAsUser` where the image's own user is root), \
          drop `privileged`, `allowPrivilegeEscalation: true`, `hostNetwork`, `hostPID` and \
          `hostIPC`. On hook Jobs `runAsNonRoot` is filled in at admission where it is absent.",
    sources: &["https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Security,
    places: Place::EVERYWHERE,
    example: example!("root-migration"),
    configure: configure::<RootMigration>,
    parameters: parameters::<RootMigration>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RootMigration {}

impl Check for RootMigration {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let mut hosts_reported = Vec::new();
        for migration in run_to_completion(context) {
            container(migration, findings);
            let template = migration.template;
            if !hosts_reported.contains(&&template.spec_path) {
                hosts_reported.push(&template.spec_path);
                host_namespaces(template, findings);
            }
        }
    }
}

fn container(migration: &Detection<'_>, findings: &mut Findings) {
    let name = &migration.container.name;
    let default = SecurityContext::default();
    let own = migration.container.security_context.as_ref().unwrap_or(&default);
    let pod = migration.template.spec.security_context.as_ref().unwrap_or(&default);
    let user = own.run_as_user.or(pod.run_as_user);
    let non_root = own.run_as_non_root.or(pod.run_as_non_root);
    let path = &migration.container.path;
    let mut found = |field: &str, what: String, mend: &'static str, repaired: Option<bool>| {
        findings.container(&RULE, migration, field, field, what, mend);
        if let Some(value) = repaired {
            findings.mended_by(Repair::set(format!("{path}.{field}"), value));
        }
    };
    if user == Some(0) {
        found(
            "securityContext.runAsUser",
            format!("migration container `{name}` runs as UID 0"),
            "set a numeric runAsUser above 0",
            None,
        );
    } else if non_root != Some(true) && user.is_none() {
        found(
            "securityContext.runAsNonRoot",
            format!("nothing keeps migration container `{name}` from running as root"),
            "set runAsNonRoot: true",
            Some(true),
        );
    }
    if own.privileged == Some(true) {
        found(
            "securityContext.privileged",
            format!("migration container `{name}` is privileged"),
            "remove privileged: true",
            None,
        );
    }
    if own.allow_privilege_escalation == Some(true) {
        found(
            "securityContext.allowPrivilegeEscalation",
            format!("migration container `{name}` may escalate its privileges"),
            "set allowPrivilegeEscalation: false",
            (!own.needs_escalation()).then_some(false),
        );
    }
}

fn host_namespaces(template: &PodTemplate<'_>, findings: &mut Findings) {
    for (field, shared) in [
        ("hostNetwork", template.spec.host_network),
        ("hostPID", template.spec.host_pid),
        ("hostIPC", template.spec.host_ipc),
    ] {
        if shared {
            findings.object(
                &RULE,
                format!("{}.{field}", template.spec_path),
                field,
                "the migration shares a namespace of the host",
                format!("remove {field}: true"),
            );
        }
    }
}
