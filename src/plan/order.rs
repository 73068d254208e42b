//! The order in which Argo CD and Helm apply a set.
//!
//! Sources: gitops-engine `pkg/sync/{sync_tasks,sync_phase,sync_context}.go` as of Argo CD 3.6;
//! Helm `pkg/release/v1/util/{kind_sorter,manifest_sorter}.go` and `pkg/action/hooks.go` as of 4.2.

use std::collections::BTreeMap;

use crate::model::{ArgoPhase, HelmEvent, Hooks};

/// What ordering needs to know of an object.
#[derive(Clone, Debug)]
pub struct Item<'i> {
    /// API group, empty for the core one.
    pub group: &'i str,
    /// `kind`.
    pub kind: &'i str,
    /// The namespace it is applied to: its own, or the one that the release goes to. Argo CD gives
    /// one to every object, also where the kind has none.
    pub namespace: &'i str,
    /// `metadata.name`, or what a name is generated from.
    pub name: &'i str,
    /// Its hook and wave annotations.
    pub hooks: &'i Hooks,
    /// Of a `CustomResourceDefinition`: the group and kind that it defines.
    pub defines: Option<(&'i str, &'i str)>,
}

/// The kinds in the order in which Argo CD applies them inside a wave. Every other kind is last.
const ARGO_KINDS: [&str; 35] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// The kinds that Helm puts around those of [`ARGO_KINDS`], which it shares.
const HELM_FIRST: &str = "PriorityClass";
const HELM_LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// One application of one object. An object that is a hook of two phases is applied twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The place of the object in the set.
    pub item: usize,
    /// The phase it is applied in.
    pub phase: ArgoPhase,
    /// The wave inside the phase.
    pub wave: i64,
    /// True when it is a hook, so that it is waited for and not compared with the cluster.
    pub hook: bool,
    /// True when it was moved to where something needs it, away from its own phase and wave.
    pub moved: bool,
}

/// What Argo CD does with a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgoOrder {
    /// In the order in which they are applied. Those of `SyncFail` run only after a failure.
    pub tasks: Vec<Task>,
    /// Objects that it drops without a word, because their hook annotation holds no word it knows.
    pub dropped: Vec<usize>,
    /// Objects that it leaves alone (`Skip`).
    pub skipped: Vec<usize>,
    /// Objects that are applied only when the Application is deleted.
    pub on_delete: Vec<usize>,
}

/// The order of Argo CD.
pub fn argocd(items: &[Item<'_>]) -> ArgoOrder {
    let mut order = ArgoOrder::default();
    for (index, item) in items.iter().enumerate() {
        let argo = &item.hooks.argo;
        if argo.dropped {
            order.dropped.push(index);
            continue;
        }
        if argo.skipped {
            order.skipped.push(index);
            continue;
        }
        let hook = !argo.phases.is_empty();
        let phases: &[ArgoPhase] = if hook { &argo.phases } else { &[ArgoPhase::Sync] };
        let in_sync =
            |phase: &&ArgoPhase| !matches!(phase, ArgoPhase::PreDelete | ArgoPhase::PostDelete);
        for phase in phases.iter().filter(in_sync) {
            let task = Task { item: index, phase: *phase, wave: argo.wave, hook, moved: false };
            order.tasks.push(task);
        }
        if phases.iter().any(|phase| !in_sync(&phase)) {
            order.on_delete.push(index);
        }
    }
    let item = |task: &Task| items.get(task.item);
    order.tasks.sort_by_key(|task| {
        let item = item(task);
        let kind = item.map_or(ARGO_KINDS.len(), |item| argo_rank(item.kind));
        (task.phase, task.wave, kind, item.map_or("", |item| item.name))
    });
    adjust(
        &mut order.tasks,
        |task| {
            let item =
                item(task).filter(|item| item.kind == "Namespace" && item.group.is_empty())?;
            Some((String::new(), item.name.to_owned()))
        },
        |task| {
            let namespace = item(task)?.namespace;
            (!namespace.is_empty()).then(|| (String::new(), namespace.to_owned()))
        },
    );
    adjust(
        &mut order.tasks,
        |task| {
            let (group, kind) = item(task)?.defines?;
            Some((group.to_owned(), kind.to_owned()))
        },
        |task| item(task).map(|item| (item.group.to_owned(), item.kind.to_owned())),
    );
    order
}

fn argo_rank(kind: &str) -> usize {
    ARGO_KINDS.iter().position(|known| *known == kind).unwrap_or(ARGO_KINDS.len())
}

/// Moves what others need to before the first that needs it; it takes over that one's phase and
/// wave. `provides` and `needs` name the thing in question.
fn adjust(
    tasks: &mut Vec<Task>,
    provides: impl Fn(&Task) -> Option<(String, String)>,
    needs: impl Fn(&Task) -> Option<(String, String)>,
) {
    let mut first: BTreeMap<(String, String), usize> = BTreeMap::new();
    for at in 0..tasks.len() {
        let Some(mut task) = tasks.get(at).copied() else { continue };
        match provides(&task) {
            Some(key) => {
                let Some(target) = first.get(&key).copied() else { continue };
                let Some(user) = tasks.get(target).copied() else { continue };
                tasks.remove(at);
                task.moved |= (task.phase, task.wave) != (user.phase, user.wave);
                (task.phase, task.wave) = (user.phase, user.wave);
                tasks.insert(target, task);
                for place in first.values_mut().filter(|place| **place >= target) {
                    *place = place.saturating_add(1);
                }
            }
            None => {
                if let Some(key) = needs(&task) {
                    first.entry(key).or_insert(at);
                }
            }
        }
    }
}

/// Which of Helm's operations a plan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelmOperation {
    /// The first installation.
    Install,
    /// Every later one.
    Upgrade,
}

/// What Helm does with a set. Hooks run one after another, each waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelmOrder {
    /// Hooks that run before the resources are applied.
    pub before: Vec<usize>,
    /// Resources, applied together in this order.
    pub resources: Vec<usize>,
    /// Hooks that run after them.
    pub after: Vec<usize>,
    /// Manifests that Helm leaves out, because their hook annotation holds an event that it does
    /// not know.
    pub discarded: Vec<usize>,
    /// Hooks of other events, such as tests and rollbacks.
    pub other_events: Vec<usize>,
}

/// The order of Helm.
pub fn helm(items: &[Item<'_>], operation: HelmOperation) -> HelmOrder {
    let (before, after) = match operation {
        HelmOperation::Install => (HelmEvent::PreInstall, HelmEvent::PostInstall),
        HelmOperation::Upgrade => (HelmEvent::PreUpgrade, HelmEvent::PostUpgrade),
    };
    let mut order = HelmOrder::default();
    for (index, item) in items.iter().enumerate() {
        let helm = &item.hooks.helm;
        if helm.discarded {
            order.discarded.push(index);
        } else if !helm.present {
            order.resources.push(index);
        } else {
            let runs = [(before, &mut order.before), (after, &mut order.after)];
            let mut is_other = true;
            for (event, list) in runs {
                if helm.events.contains(&event) {
                    list.push(index);
                    is_other = false;
                }
            }
            if is_other {
                order.other_events.push(index);
            }
        }
    }
    let item = |index: &usize| items.get(*index);
    order.resources.sort_by_key(|index| {
        let kind = item(index).map_or("", |item| item.kind);
        // Kinds that it does not know follow in alphabetical order.
        helm_rank(kind).map_or((usize::MAX, kind), |rank| (rank, ""))
    });
    for hooks in [&mut order.before, &mut order.after] {
        hooks.sort_by_key(|index| item(index).map(|item| (item.hooks.helm.weight, item.name)));
    }
    order
}

fn helm_rank(kind: &str) -> Option<usize> {
    if kind == HELM_FIRST {
        return Some(0);
    }
    let shared = ARGO_KINDS.iter().position(|known| *known == kind);
    let last = HELM_LAST.iter().position(|known| *known == kind);
    let last = last.map(|at| at.saturating_add(ARGO_KINDS.len()));
    shared.or(last).map(|at| at.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{StringMap, Text};

    /// Kind, namespace, name and annotations of each object of a set.
    type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

    fn hooks(rows: &[Row]) -> Vec<Hooks> {
        rows.iter()
            .map(|(.., annotations)| {
                let entries = annotations
                    .iter()
                    .map(|(key, value)| (Text::from(*key), Text::from(*value)))
                    .collect();
                Hooks::parse(&StringMap::from_entries(entries).unwrap())
            })
            .collect()
    }

    fn items<'i>(rows: &[Row], hooks: &'i [Hooks]) -> Vec<Item<'i>> {
        rows.iter()
            .zip(hooks)
            .map(|((kind, namespace, name, _), hooks)| {
                let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
                // A CRD is written as the kind that it defines.
                let defines = kind.strip_prefix("CRD:").map(|kind| ("example.com", kind));
                let kind = if defines.is_some() { "CustomResourceDefinition" } else { kind };
                Item { group, kind, namespace, name, hooks, defines }
            })
            .collect()
    }

    fn argo(rows: &[Row]) -> Vec<String> {
        let hooks = hooks(rows);
        let items = items(rows, &hooks);
        argocd(&items)
            .tasks
            .iter()
            .map(|task| {
                let moved = if task.moved { " moved" } else { "" };
                let name = items[task.item].name;
                format!("{} {} {name}{moved}", task.phase.word(), task.wave)
            })
            .collect()
    }

    const HOOK: &str = "argocd.argoproj.io/hook";
    const WAVE: &str = "argocd.argoproj.io/sync-wave";

    #[test]
    fn the_reference_release_runs_in_order() {
        assert_eq!(
            argo(&[
                ("apps/Deployment", "shop", "app", &[(WAVE, "1")]),
                ("batch/Job", "shop", "verify", &[(HOOK, "PostSync"), (WAVE, "2")]),
                ("batch/Job", "shop", "migrate", &[(HOOK, "PreSync"), (WAVE, "0")]),
                ("batch/Job", "shop", "backup", &[(HOOK, "PreSync"), (WAVE, "-1")]),
                ("batch/Job", "shop", "alarm", &[(HOOK, "SyncFail")]),
            ]),
            [
                "PreSync -1 backup",
                "PreSync 0 migrate",
                "Sync 1 app",
                "PostSync 2 verify",
                "SyncFail 0 alarm",
            ]
        );
    }

    #[test]
    fn a_wave_orders_inside_its_phase_only() {
        assert_eq!(
            argo(&[
                ("apps/Deployment", "shop", "app", &[(WAVE, "-100")]),
                ("batch/Job", "shop", "migrate", &[(HOOK, "PreSync"), (WAVE, "100")]),
            ]),
            ["PreSync 100 migrate", "Sync -100 app"]
        );
    }

    #[test]
    fn in_a_wave_a_deployment_comes_before_a_job_and_custom_resources_last() {
        assert_eq!(
            argo(&[
                ("external-secrets.io/ExternalSecret", "shop", "credentials", &[]),
                ("batch/Job", "shop", "b-migrate", &[]),
                ("batch/Job", "shop", "a-migrate", &[]),
                ("apps/StatefulSet", "shop", "db", &[]),
                ("apps/Deployment", "shop", "app", &[]),
                ("ConfigMap", "shop", "config", &[]),
            ]),
            [
                "Sync 0 config",
                "Sync 0 app",
                "Sync 0 db",
                "Sync 0 a-migrate",
                "Sync 0 b-migrate",
                "Sync 0 credentials",
            ]
        );
    }

    #[test]
    fn a_namespace_moves_to_the_first_that_lives_in_it() {
        assert_eq!(
            argo(&[
                ("Namespace", "", "shop", &[(WAVE, "5")]),
                ("Namespace", "", "other", &[]),
                ("batch/Job", "shop", "migrate", &[(HOOK, "PreSync"), (WAVE, "-1")]),
                ("apps/Deployment", "shop", "app", &[]),
            ]),
            ["PreSync -1 shop moved", "PreSync -1 migrate", "Sync 0 other", "Sync 0 app"]
        );
    }

    #[test]
    fn a_definition_moves_to_the_first_of_its_kind() {
        assert_eq!(
            argo(&[
                ("apiextensions.k8s.io/CRD:Widget", "", "widgets", &[(WAVE, "3")]),
                ("example.com/Widget", "shop", "one", &[(WAVE, "1")]),
                ("other.com/Widget", "shop", "two", &[]),
            ]),
            ["Sync 0 two", "Sync 1 widgets moved", "Sync 1 one"]
        );
    }

    #[test]
    fn what_is_never_applied_is_told_apart() {
        let rows: &[Row] = &[
            ("batch/Job", "shop", "typo", &[(HOOK, "presync")]),
            ("batch/Job", "shop", "skipped", &[(HOOK, "Skip")]),
            ("batch/Job", "shop", "goodbye", &[(HOOK, "PreDelete")]),
            ("batch/Job", "shop", "twice", &[(HOOK, "PreSync,PostSync")]),
        ];
        let hooks = hooks(rows);
        let order = argocd(&items(rows, &hooks));
        assert_eq!((order.dropped, order.skipped, order.on_delete), (vec![0], vec![1], vec![2]));
        let phases: Vec<_> = order.tasks.iter().map(|task| (task.item, task.phase)).collect();
        assert_eq!(phases, [(3, ArgoPhase::PreSync), (3, ArgoPhase::PostSync)]);
    }

    #[test]
    fn helm_runs_hooks_by_weight_and_name_and_resources_by_kind() {
        let rows: &[Row] = &[
            ("batch/Job", "", "b", &[("helm.sh/hook", "pre-install,pre-upgrade")]),
            ("ServiceAccount", "", "c", &[("helm.sh/hook", "pre-upgrade")]),
            (
                "batch/Job",
                "",
                "z",
                &[("helm.sh/hook", "pre-upgrade"), ("helm.sh/hook-weight", "-5")],
            ),
            ("batch/Job", "", "after", &[("helm.sh/hook", "post-install")]),
            ("batch/Job", "", "test", &[("helm.sh/hook", "test")]),
            ("batch/Job", "", "typo", &[("helm.sh/hook", "pre-upgrad")]),
            ("batch/Job", "", "plain", &[]),
            ("apps/Deployment", "", "app", &[]),
            ("zeta.io/Zeta", "", "z1", &[]),
            ("alpha.io/Alpha", "", "a1", &[]),
            ("scheduling.k8s.io/PriorityClass", "", "high", &[]),
            ("admissionregistration.k8s.io/MutatingWebhookConfiguration", "", "hook", &[]),
        ];
        let hooks = hooks(rows);
        let items = items(rows, &hooks);
        let names = |list: &[usize]| list.iter().map(|i| items[*i].name).collect::<Vec<_>>();
        let upgrade = helm(&items, HelmOperation::Upgrade);
        assert_eq!(names(&upgrade.before), ["z", "b", "c"]);
        assert_eq!(names(&upgrade.resources), ["high", "app", "plain", "hook", "a1", "z1"]);
        assert_eq!(names(&upgrade.after), Vec::<&str>::new());
        assert_eq!(names(&upgrade.discarded), ["typo"]);
        assert_eq!(names(&upgrade.other_events), ["after", "test"]);
        let install = helm(&items, HelmOperation::Install);
        assert_eq!(names(&install.before), ["b"]);
        assert_eq!(names(&install.after), ["after"]);
    }
}
