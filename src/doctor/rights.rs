//! What the account of the servers may do.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{Grade, Installation, Symptom};
use crate::cluster::rbac::{self, Access};

const CHECK: &str = "rights";

pub(super) async fn look(client: &Client, installation: &Installation, seen: &mut Vec<Symptom>) {
    let Installation { namespace, name, .. } = installation;
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let api = Api::<SubjectAccessReview>::all(client.clone());
    let before = seen.len();
    for Access { group, resources, verbs, own_namespace, why } in rbac::serving() {
        for (resource, verb) in
            resources.iter().flat_map(|resource| verbs.iter().map(move |verb| (resource, verb)))
        {
            let (resource, subresource) = match resource.split_once('/') {
                Some((resource, sub)) => (resource, Some(sub.to_owned())),
                None => (*resource, None),
            };
            let asked = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(user.clone()),
                    resource_attributes: Some(ResourceAttributes {
                        group: Some(group.to_owned()),
                        resource: Some(resource.to_owned()),
                        subresource,
                        verb: Some((*verb).to_owned()),
                        namespace: own_namespace.then(|| namespace.clone()),
                        ..ResourceAttributes::default()
                    }),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let allowed = match api.create(&PostParams::default(), &asked).await {
                Ok(answer) => answer.status.map(|status| status.allowed),
                Err(error) => {
                    return seen.push(Symptom::unread(CHECK, "what the servers may do", &error));
                }
            };
            if allowed == Some(false) {
                let what = if group.is_empty() {
                    resource.to_owned()
                } else {
                    format!("{resource}.{group}")
                };
                let says = format!("the servers may not {verb} {what}: {why}");
                let mend = "give them the ClusterRole of the chart; what a value leaves out on purpose may stay";
                seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
            }
        }
    }
    if seen.len() == before {
        seen.push(Symptom::ok(CHECK, format!("{user} may do what it has to")));
    }
}
