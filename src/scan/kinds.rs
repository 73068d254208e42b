//! Which kinds a scan lists, and in which order.

use crate::decision::REGISTERED;

/// A kind to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// The versions that are read.
    pub versions: &'static [&'static str],
    /// Its plural name, as in a URL.
    pub resource: &'static str,
    /// False for a cluster-scoped kind.
    pub namespaced: bool,
}

impl Kind {
    /// `deployments.apps`, as kubectl names it.
    pub fn title(&self) -> String {
        match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        }
    }
}

/// Owners before what they make, so that it is known of every owner whether it was judged. What
/// keeps running comes before what runs to an end, so that it is known which Secrets of databases
/// are in use when migrations are judged.
const ORDER: &[(&str, &[&str])] = &[
    ("serving.knative.dev", &["services", "configurations", "revisions"]),
    (
        "apps.kruise.io",
        &["uniteddeployments", "clonesets", "statefulsets", "daemonsets", "sidecarsets"],
    ),
    ("argoproj.io", &["rollouts", "experiments"]),
    ("apps.openshift.io", &["deploymentconfigs"]),
    ("apps", &["deployments", "statefulsets", "daemonsets", "replicasets"]),
    ("", &["replicationcontrollers"]),
    ("argoproj.io", &["clusterworkflowtemplates", "workflowtemplates"]),
    ("argoproj.io", &["cronworkflows", "workflows"]),
    ("argoproj.io", &["clusteranalysistemplates", "analysistemplates", "analysisruns"]),
    ("db.atlasgo.io", &["atlasschemas", "atlasmigrations"]),
    ("databases.schemahero.io", &["databases"]),
    ("flyway.davidkarlsen.com", &["migrations"]),
    ("keda.sh", &["scaledjobs"]),
    ("jobset.x-k8s.io", &["jobsets"]),
    ("apps.kruise.io", &["advancedcronjobs", "broadcastjobs"]),
    ("batch", &["cronjobs", "jobs"]),
    ("", &["podtemplates", "pods"]),
];

/// Every kind that the webhook is registered for, in the order in which they are listed.
pub fn kinds() -> impl Iterator<Item = Kind> {
    let pairs =
        ORDER.iter().flat_map(|(group, resources)| resources.iter().map(move |it| (*group, *it)));
    pairs.filter_map(|(group, resource)| {
        let of = |it: &&crate::decision::Registered| {
            it.group == group && it.resources.contains(&resource)
        };
        let registered = REGISTERED.iter().find(of)?;
        let namespaced = registered.scope == "Namespaced";
        Some(Kind { group, versions: registered.versions, resource, namespaced })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everything_that_is_registered_is_listed_once() {
        let listed: Vec<_> = kinds().map(|kind| (kind.group, kind.resource)).collect();
        let registered: BTreeSet<_> = REGISTERED
            .iter()
            .flat_map(|it| it.resources.iter().map(move |resource| (it.group, *resource)))
            .filter(|(_, resource)| !resource.contains('/'))
            .collect();
        assert_eq!(listed.len(), registered.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), registered);
    }

    #[test]
    fn owners_come_first() {
        let listed: Vec<_> = kinds().map(|kind| kind.title()).collect();
        let place = |title: &str| listed.iter().position(|it| it == title).unwrap();
        for chain in [
            &["deployments.apps", "replicasets.apps", "pods"][..],
            &["statefulsets.apps", "pods"],
            &["daemonsets.apps", "pods"],
            &["cronjobs.batch", "jobs.batch", "pods"],
            &["deploymentconfigs.apps.openshift.io", "replicationcontrollers", "pods"],
            &["rollouts.argoproj.io", "experiments.argoproj.io", "replicasets.apps"],
            &["experiments.argoproj.io", "analysisruns.argoproj.io", "jobs.batch"],
            &["cronworkflows.argoproj.io", "workflows.argoproj.io", "pods"],
            &[
                "services.serving.knative.dev",
                "configurations.serving.knative.dev",
                "revisions.serving.knative.dev",
                "deployments.apps",
            ],
            &["uniteddeployments.apps.kruise.io", "clonesets.apps.kruise.io", "pods"],
            &["advancedcronjobs.apps.kruise.io", "broadcastjobs.apps.kruise.io", "pods"],
            &["scaledjobs.keda.sh", "jobs.batch"],
            &["jobsets.jobset.x-k8s.io", "jobs.batch"],
        ] {
            assert!(chain.windows(2).all(|two| place(two[0]) < place(two[1])), "{chain:?}");
        }
    }
}
