//! What the account of the servers may do.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{Grade, Installation, Symptom, started::Started};
use crate::cluster::{
    LEASE,
    rbac::{self, Access},
};

const CHECK: &str = "rights";

pub(super) async fn look(
    client: &Client,
    installation: &Installation,
    started: &Started,
    seen: &mut Vec<Symptom>,
) {
    let Installation { namespace, name, .. } = installation;
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let api = Api::<SubjectAccessReview>::all(client.clone());
    let mut missing = false;
    // Not given, and nothing that decisions cannot do without.
    let mut left_out = Vec::new();
    for access in needed(started) {
        for spec in questions(&user, &access, installation, started) {
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let answer = match api.create(&PostParams::default(), &review).await {
                Ok(answer) => answer,
                Err(error) => {
                    return seen.push(Symptom::unread(CHECK, "what the servers may do", &error));
                }
            };
            if answer.status.is_none_or(|status| status.allowed) {
                continue;
            }
            let what = words(&review.spec);
            if access.optional {
                left_out.push(what);
                continue;
            }
            missing = true;
            let says = format!("the servers may not {what}: {}", access.why);
            let mend = "give them the roles and bindings of the chart of this version";
            seen.push(Symptom::new(CHECK, Grade::Warning, says, mend));
        }
    }
    if !missing {
        let without = if left_out.is_empty() {
            String::new()
        } else {
            format!("; not {}, which `facts` of the chart gives", left_out.join(", "))
        };
        seen.push(Symptom::ok(CHECK, format!("{user} may do what it has to{without}")));
    }
}

/// Every right that servers started like this need.
fn needed(started: &Started) -> Vec<Access> {
    let mut needed = rbac::serving();
    if started.keeps_certificate() {
        needed.extend(rbac::certificate());
    }
    if started.reports() {
        needed.extend(rbac::scanning());
        needed.extend(rbac::reporting());
    }
    needed
}

/// One question for each resource and verb.
fn questions(
    user: &str,
    access: &Access,
    installation: &Installation,
    started: &Started,
) -> Vec<SubjectAccessReviewSpec> {
    let Access { group, resources, verbs, own_namespace, .. } = access;
    // Of these the roles give one, by its name; what is not there has no name yet.
    let name = match *group {
        "coordination.k8s.io" => Some(LEASE),
        "admissionregistration.k8s.io" => Some(installation.name.as_str()),
        "" if resources.contains(&"secrets") => started.secret(),
        _ => None,
    };
    let each = resources.iter().flat_map(|resource| verbs.iter().map(move |verb| (resource, verb)));
    each.map(|(resource, verb)| {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, sub)) => (resource, Some(sub.to_owned())),
            None => (*resource, None),
        };
        let attributes = ResourceAttributes {
            group: Some((*group).to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            verb: Some((*verb).to_owned()),
            name: name.filter(|_| *verb != "create").map(str::to_owned),
            namespace: own_namespace.then(|| installation.namespace.clone()),
            ..ResourceAttributes::default()
        };
        SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        }
    })
    .collect()
}

/// `list jobs.batch`
fn words(spec: &SubjectAccessReviewSpec) -> String {
    let Some(asked) = &spec.resource_attributes else { return String::new() };
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut text = format!("{} {}", part(&asked.verb), part(&asked.resource));
    for (mark, part) in [('.', &asked.group), ('/', &asked.subresource)] {
        if let Some(part) = part.as_deref().filter(|part| !part.is_empty()) {
            text.push(mark);
            text.push_str(part);
        }
    }
    text
}
