//! An Argo CD Application, as far as it decides how a set is rolled out.

use serde::Deserialize;

use crate::{model::Object, source::mapping};

/// How often an automatic sync is tried again where nothing says.
///
/// **Source:** Argo CD `autoSync`; the reference of automated sync.
const DEFAULT_RETRIES: u32 = 5;

/// `argoproj.io` Application, reduced to what decides how its set is rolled out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// `metadata.name`.
    pub name: String,
    /// `spec.destination.namespace`: of objects that name none.
    pub namespace: Option<String>,
    /// Folders and charts that it is made from: `spec.source.path` and those of `spec.sources`.
    pub paths: Vec<String>,
    /// True with `spec.syncPolicy.automated`, unless that is switched off.
    pub automated: bool,
    /// `spec.syncPolicy.automated.selfHeal`: what drifted is put back, without hooks.
    pub self_heal: bool,
    /// `spec.syncPolicy.automated.prune`: what is no longer in the set is deleted.
    pub prune: bool,
    /// `spec.syncPolicy.retry.limit`, where it says; negative is without limit.
    pub retry_limit: Option<i64>,
    /// `spec.syncPolicy.syncOptions`, as written.
    pub sync_options: Vec<String>,
}

impl Application {
    /// Reads an Application; none for any other kind, or one that cannot be read.
    pub fn of(object: &Object<'_>) -> Option<Self> {
        let gvk = object.gvk();
        if (gvk.group, gvk.kind) != ("argoproj.io", "Application") {
            return None;
        }
        let spec: Spec = mapping::from_str(object.spec).ok()?;
        let sources = spec.source.into_iter().chain(spec.sources.unwrap_or_default());
        let policy = spec.sync_policy.unwrap_or_default();
        let automated = policy.automated.filter(|automated| automated.enabled != Some(false));
        Some(Self {
            name: object.metadata.display_name().to_owned(),
            namespace: spec.destination.and_then(|to| to.namespace).filter(|to| !to.is_empty()),
            paths: sources.filter_map(|source| source.path).collect(),
            self_heal: automated.as_ref().is_some_and(|it| it.self_heal == Some(true)),
            prune: automated.as_ref().is_some_and(|it| it.prune == Some(true)),
            automated: automated.is_some(),
            retry_limit: policy.retry.and_then(|retry| retry.limit),
            sync_options: policy.sync_options.unwrap_or_default(),
        })
    }

    /// How often a failed sync is tried again; none when without limit.
    pub fn retries(&self) -> Option<u32> {
        match self.retry_limit {
            Some(limit) => u32::try_from(limit).ok(),
            None if self.automated => Some(DEFAULT_RETRIES),
            None => Some(0),
        }
    }

    /// True when `option` is among the sync options, such as `CreateNamespace=true`.
    pub fn has_option(&self, option: &str) -> bool {
        self.sync_options.iter().any(|own| own.trim() == option)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    source: Option<Source>,
    sources: Option<Vec<Source>>,
    destination: Option<Destination>,
    sync_policy: Option<SyncPolicy>,
}

#[derive(Deserialize)]
struct Source {
    path: Option<String>,
}

#[derive(Deserialize)]
struct Destination {
    namespace: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SyncPolicy {
    automated: Option<Automated>,
    retry: Option<Retry>,
    sync_options: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Automated {
    enabled: Option<bool>,
    self_heal: Option<bool>,
    prune: Option<bool>,
}

#[derive(Deserialize)]
struct Retry {
    limit: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(spec: &str) -> Application {
        let json = format!(
            r#"{{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{{"name":"shop"}},"spec":{spec}}}"#
        );
        Application::of(&Object::parse(&json).unwrap()).unwrap()
    }

    #[test]
    fn an_automatic_sync_is_tried_again_five_times_unless_it_says() {
        for (policy, retries) in [
            (r"{}", Some(0)),
            (r#"{"automated":{}}"#, Some(5)),
            (r#"{"automated":null}"#, Some(0)),
            (r#"{"automated":{"enabled":false}}"#, Some(0)),
            (r#"{"automated":{},"retry":{"limit":0}}"#, Some(0)),
            (r#"{"retry":{"limit":3}}"#, Some(3)),
            (r#"{"retry":{"limit":-1}}"#, None),
        ] {
            let application = application(&format!(r#"{{"syncPolicy":{policy}}}"#));
            assert_eq!(application.retries(), retries, "{policy}");
        }
    }

    #[test]
    fn what_decides_a_rollout_is_read() {
        let application = application(
            r#"{"source":{"path":"deploy/shop"},"sources":[{"path":"charts/db"},{"chart":"x"}],
                "destination":{"namespace":"shop"},
                "syncPolicy":{"automated":{"selfHeal":true,"prune":true},
                "syncOptions":["CreateNamespace=true"]}}"#,
        );
        assert_eq!(application.paths, ["deploy/shop", "charts/db"]);
        assert_eq!(application.namespace.as_deref(), Some("shop"));
        assert!(application.self_heal && application.prune && application.automated);
        assert!(application.has_option("CreateNamespace=true"));
    }

    #[test]
    fn only_an_application_is_one() {
        let other = r#"{"apiVersion":"app.k8s.io/v1beta1","kind":"Application","spec":{}}"#;
        assert_eq!(Application::of(&Object::parse(other).unwrap()), None);
    }
}
