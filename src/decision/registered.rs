//! The kinds that tidegate reads: what the webhook is registered for, and what a scan lists.

/// Kinds of one group that are registered together.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Versions of it that are read.
    pub versions: &'static [&'static str],
    /// Plural names, perhaps with a subresource, as in a URL.
    pub resources: &'static [&'static str],
    /// The operations that are judged.
    pub operations: &'static [&'static str],
    /// `Namespaced` or `Cluster`.
    pub scope: &'static str,
}

impl Registered {
    /// Kinds whose creation and change is judged, in namespaces.
    pub const fn new(
        group: &'static str,
        versions: &'static [&'static str],
        resources: &'static [&'static str],
    ) -> Self {
        Self { group, versions, resources, operations: WRITE, scope: "Namespaced" }
    }

    /// The same kinds, in no namespace.
    #[must_use]
    pub const fn cluster_scoped(self) -> Self {
        Self { scope: "Cluster", ..self }
    }
}

const WRITE: &[&str] = &["CREATE", "UPDATE"];

/// Every kind that tidegate reads, by name; nothing with a `*`, never DELETE, never a status.
pub const REGISTERED: [Registered; 15] = [
    Registered::new("", &["v1"], &["pods", "podtemplates", "replicationcontrollers"]),
    // A rule for Pods does not cover it: it is how `kubectl debug` adds containers.
    Registered {
        operations: &["UPDATE"],
        ..Registered::new("", &["v1"], &["pods/ephemeralcontainers"])
    },
    Registered::new("apps", &["v1"], &["deployments", "statefulsets", "daemonsets", "replicasets"]),
    Registered::new("batch", &["v1"], &["jobs", "cronjobs"]),
    Registered::new(
        "argoproj.io",
        &["v1alpha1"],
        &[
            "rollouts",
            "experiments",
            "analysisruns",
            "analysistemplates",
            "workflows",
            "workflowtemplates",
            "cronworkflows",
        ],
    ),
    Registered::new(
        "argoproj.io",
        &["v1alpha1"],
        &["clusteranalysistemplates", "clusterworkflowtemplates"],
    )
    .cluster_scoped(),
    Registered::new(
        "apps.kruise.io",
        &["v1alpha1", "v1beta1"],
        &[
            "clonesets",
            "statefulsets",
            "daemonsets",
            "broadcastjobs",
            "advancedcronjobs",
            "uniteddeployments",
        ],
    ),
    Registered::new("apps.kruise.io", &["v1alpha1", "v1beta1"], &["sidecarsets"]).cluster_scoped(),
    Registered::new("apps.openshift.io", &["v1"], &["deploymentconfigs"]),
    Registered::new("serving.knative.dev", &["v1"], &["services", "configurations", "revisions"]),
    Registered::new("jobset.x-k8s.io", &["v1alpha2"], &["jobsets"]),
    Registered::new("keda.sh", &["v1alpha1"], &["scaledjobs"]),
    // Operators that migrate without a Pod of ours to see.
    Registered::new("db.atlasgo.io", &["v1alpha1"], &["atlasschemas", "atlasmigrations"]),
    Registered::new("databases.schemahero.io", &["v1alpha4"], &["databases"]),
    Registered::new("flyway.davidkarlsen.com", &["v1alpha1"], &["migrations"]),
];
