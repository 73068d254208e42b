//! What tidegate asks a cluster for: the rights that the server needs, one by one, and why.
//!
//! The tests compare what is really asked for with this list, and the manifests of the deployment
//! can be compared with it too.

use crate::{decision::REGISTERED, report::Dialect};

/// A right on some resources of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural names, perhaps with a subresource.
    pub resources: Vec<&'static str>,
    /// What is done with them.
    pub verbs: &'static [&'static str],
    /// True when only the server's own namespace is meant.
    pub own_namespace: bool,
    /// True for what decisions can do without: a value of the chart (`facts`) asks for it, and where it is
    /// missing a fact is unknown.
    pub optional: bool,
    /// What for.
    pub why: &'static str,
}

const fn verbs(verbs: &'static [&'static str]) -> &'static [&'static str] {
    verbs
}

fn access(
    group: &'static str,
    resources: &[&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Access {
    Access {
        group,
        resources: resources.to_vec(),
        verbs,
        own_namespace: false,
        optional: false,
        why,
    }
}

const READ: &[&str] = verbs(&["list", "watch"]);
const LIST: &[&str] = verbs(&["list"]);
const GET: &[&str] = verbs(&["get"]);

const BACKUP: &str = "a backup that a migration names";

/// What is looked up for the few objects that need it.
fn looked_up() -> Vec<Access> {
    let optional = |access| Access { optional: true, ..access };
    let scripts = "scripts and statements of migrations; only those that one refers to";
    vec![
        access("batch", &["jobs"], GET, "a Job that a migration names as its backup"),
        optional(access("snapshot.storage.k8s.io", &["volumesnapshots"], GET, BACKUP)),
        optional(access("velero.io", &["backups"], GET, BACKUP)),
        optional(access("postgresql.cnpg.io", &["backups"], GET, BACKUP)),
        optional(access("", &["configmaps"], GET, scripts)),
    ]
}

/// What verdicts need.
pub fn serving() -> Vec<Access> {
    let mut all = vec![
        access("", &["namespaces"], READ, "policies select namespaces by label"),
        access(
            "tidegate.dev",
            &["migrationpolicies", "migrationexceptions", "migrationapprovals"],
            READ,
            "what is in force",
        ),
        access(
            "tidegate.dev",
            &[
                "migrationpolicies/status",
                "migrationexceptions/status",
                "migrationapprovals/status",
            ],
            verbs(&["patch"]),
            "whether a document is in force stands in its status",
        ),
        access("batch", &["jobs"], READ, "one migration of a database runs at a time"),
        access(
            "apps",
            &["deployments", "statefulsets", "daemonsets"],
            READ,
            "one that migrates in an initContainer does so while it rolls out",
        ),
        access(
            "events.k8s.io",
            &["events"],
            verbs(&["create", "patch"]),
            "refusals, for those who did not see the answer",
        ),
        access(
            "argoproj.io",
            &["applications"],
            GET,
            "what Argo CD is refused is told at its Application too",
        ),
        Access {
            own_namespace: true,
            ..access(
                "coordination.k8s.io",
                &["leases"],
                verbs(&["create", "get", "patch"]),
                "one replica writes status and reports",
            )
        },
    ];
    all.extend(looked_up());
    all
}

/// What a scan reads.
pub fn scanning() -> Vec<Access> {
    let mut all = vec![
        access("", &["namespaces"], verbs(&["get", "list"]), "labels decide which policy applies"),
        access(
            "tidegate.dev",
            &["migrationpolicies", "migrationexceptions", "migrationapprovals"],
            LIST,
            "what is in force",
        ),
        access(
            "networking.k8s.io",
            &["networkpolicies"],
            LIST,
            "whether what a migration may reach is limited",
        ),
    ];
    all.extend(looked_up());
    for registered in REGISTERED {
        let resources = registered.resources.iter().copied().filter(|it| !it.contains('/'));
        let resources: Vec<&str> = resources.collect();
        if !resources.is_empty() {
            all.push(access(registered.group, &resources, LIST, "what runs is judged"));
        }
    }
    all
}

/// What keeping a certificate needs (`--tls-secret`): of the Secret and the configurations of its own
/// name.
pub fn certificate() -> Vec<Access> {
    vec![
        Access {
            own_namespace: true,
            ..access(
                "",
                &["secrets"],
                verbs(&["create", "get", "list", "update", "watch"]),
                "the certificate that the servers keep",
            )
        },
        access(
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            verbs(&["get", "list", "update", "watch"]),
            "the authority that the API server trusts",
        ),
    ]
}

/// What writing reports needs.
pub fn reporting() -> Vec<Access> {
    let mut all = vec![access(
        "admissionregistration.k8s.io",
        &["validatingwebhookconfigurations"],
        GET,
        "it owns the reports, so that they go with the installation",
    )];
    for dialect in Dialect::ALL {
        all.push(access(
            dialect.group(),
            &[dialect.plural("any"), dialect.plural("")],
            verbs(&["create", "delete", "get", "list", "patch"]),
            "reports are compared, written where they have changed, and removed",
        ));
    }
    all
}
