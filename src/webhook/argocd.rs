//! Which Argo CD Application an object belongs to, as far as Argo CD itself says so.

use std::collections::BTreeMap;

use super::review::Review;
use crate::{cluster::Application, model::annotation::TRACKING_ID};

/// The label that Argo CD tracks by where it does not by annotation, and that charts set as well.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// Longest name that an object can have, in bytes.
const LONGEST: usize = 253;

/// Texts of metadata.
pub(super) type Texts = BTreeMap<String, String>;

/// The Application of what is asked for, where Argo CD in `namespace` asks.
///
/// Anybody can write an annotation or a label, and would so write Events on the Application of
/// somebody else: both count only where a service account of Argo CD's own namespace asks. A
/// tracking id counts for the object that it names, as for Argo CD: a copied one is another's.
pub(super) fn application(
    namespace: &str,
    review: &Review<'_>,
    annotations: &Texts,
    labels: &Texts,
) -> Option<Application> {
    let account = review.user.strip_prefix("system:serviceaccount:")?;
    let (home, _) = account.split_once(':')?;
    if namespace.is_empty() || home != namespace {
        return None;
    }
    let instance = match annotations.get(TRACKING_ID) {
        Some(id) => tracked(id, review)?,
        None => labels.get(INSTANCE)?,
    };
    // An Application of another namespace than Argo CD's own goes by both.
    let (home, name) = instance.split_once('_').unwrap_or((namespace, instance));
    let is_name = |text: &str| {
        let is_part = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        };
        !text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_part)
    };
    let fits = is_name(home) && is_name(name);
    fits.then(|| Application { namespace: home.to_owned(), name: name.to_owned() })
}

/// `APPLICATION` of `APPLICATION:GROUP/KIND:NAMESPACE/NAME`, where the rest is about the object. The
/// name is empty where it is still to be generated.
fn tracked<'t>(id: &'t str, review: &Review<'_>) -> Option<&'t str> {
    let mut parts = id.splitn(3, ':');
    let (application, kind, place) = (parts.next()?, parts.next()?, parts.next()?);
    let (group, kind) = kind.split_once('/')?;
    let (namespace, name) = place.split_once('/')?;
    let is_its = (group, kind, namespace)
        == (review.kind.group.as_ref(), review.kind.kind.as_ref(), review.namespace.as_ref())
        && (name.is_empty() || name == review.name);
    is_its.then_some(application)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::review::Parsed;

    const CONTROLLER: &str = "system:serviceaccount:argocd:argocd-application-controller";

    fn found(user: &str, id: Option<&str>, label: Option<&str>) -> Option<String> {
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
               "operation":"CREATE","kind":{{"group":"batch","version":"v1","kind":"Job"}},
               "name":"migrate","namespace":"shop","userInfo":{{"username":"{user}"}}}}}}"#
        );
        let Parsed::Review(review) = Parsed::read(body.as_bytes()) else { panic!("{body}") };
        let texts = |key: &str, value: Option<&str>| {
            value.map(|value| (key.to_owned(), value.to_owned())).into_iter().collect()
        };
        let (annotations, labels) = (texts(TRACKING_ID, id), texts(INSTANCE, label));
        let found = application("argocd", &review, &annotations, &labels)?;
        Some(format!("{}/{}", found.namespace, found.name))
    }

    #[test]
    fn an_application_is_known_by_what_argo_cd_writes() {
        for (id, label, want) in [
            (Some("shop:batch/Job:shop/migrate"), None, Some("argocd/shop")),
            (Some("teams_shop:batch/Job:shop/migrate"), None, Some("teams/shop")),
            (Some("shop:batch/Job:shop/"), None, Some("argocd/shop")),
            (None, Some("shop"), Some("argocd/shop")),
            (None, Some("teams_shop"), Some("teams/shop")),
            // An id beside the label is what counts, also where it is about something else.
            (Some("other:batch/Job:shop/copied"), Some("shop"), None),
            (Some("other:batch/Job:elsewhere/migrate"), None, None),
            (Some("other:apps/Deployment:shop/migrate"), None, None),
            (Some("shop"), None, None),
            (Some("../x:batch/Job:shop/migrate"), None, None),
            (Some("_shop:batch/Job:shop/migrate"), None, None),
            (None, None, None),
        ] {
            assert_eq!(found(CONTROLLER, id, label).as_deref(), want, "{id:?} {label:?}");
        }
    }

    #[test]
    fn nobody_but_argo_cd_says_whose_an_object_is() {
        let id = Some("shop:batch/Job:shop/migrate");
        for user in [
            "alice",
            "",
            "system:serviceaccount:shop:argocd-application-controller",
            "system:serviceaccount:argocd",
            "system:serviceaccount:argocd-fake:x",
        ] {
            assert_eq!(found(user, id, Some("shop")), None, "{user}");
        }
    }
}
