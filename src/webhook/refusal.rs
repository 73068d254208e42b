//! A refusal as an Event: where those look who did not see the answer, because a controller asked.

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    argocd::{self, Texts},
    engine::Judgement,
    review::Review,
};
use crate::{
    cluster::{Events, Happened, NOTE, Regarding, Told},
    model::ChangeOperation,
    report::{Refused, Resource},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: Option<String>,
    owner_references: Option<Vec<Owner>>,
    annotations: Option<Texts>,
    labels: Option<Texts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    #[serde(default)]
    controller: Option<bool>,
}

/// Leaves word of a refusal with what was to be changed; with its owner or its namespace where it was
/// to be created and so is not there. `tidegate approve` looks for it there; whoever watches Argo CD
/// looks at its Application, where it is told as well.
pub(super) fn tell(events: &Events, review: &Review<'_>, judgement: &Judgement) {
    let View { metadata } =
        review.object.and_then(|object| serde_json::from_str(object).ok()).unwrap_or_default();
    let Metadata { uid, owner_references, annotations, labels } = metadata;
    let (annotations, labels) = (annotations.unwrap_or_default(), labels.unwrap_or_default());
    let application = argocd::application(events.argocd(), review, &annotations, &labels);
    let namespace = review.namespace.clone().into_owned();
    let owners = owner_references.unwrap_or_default();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true));
    let regarding = match (review.operation, owner) {
        (ChangeOperation::Update, _) => Regarding {
            api_version: api_version(review),
            kind: review.kind.kind.clone().into_owned(),
            namespace,
            name: review.name.clone().into_owned(),
            uid,
        },
        (_, Some(Owner { api_version, kind, name, uid, .. })) => {
            Regarding { api_version, kind, namespace, name, uid: Some(uid) }
        }
        (_, None) => Regarding {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name: namespace.clone(),
            namespace,
            uid: None,
        },
    };
    events.tell(Told {
        regarding,
        application,
        reason: "MigrationRefused",
        action: "Admit",
        note: note(judgement),
    });
}

/// The first finding. Where an approval is asked for, the digest to approve is in it, however long
/// it is: here `tidegate approve` looks for it.
fn note(judgement: &Judgement) -> String {
    let first = judgement.message.lines().next().unwrap_or_default();
    let more = judgement.message.lines().count().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    let whole = format!("{first}{more}");
    let Some(digest) = judgement.work.wanted_digest.as_deref() else { return whole };
    if whole.len() <= NOTE && whole.contains(digest) {
        return whole;
    }
    let end = format!("{more}; approve {digest}");
    let room = NOTE.saturating_sub(end.len()).saturating_sub('…'.len_utf8());
    match first.get(..first.floor_char_boundary(room)) {
        Some(start) if start.len() < first.len() => format!("{start}…{end}"),
        _ => format!("{first}{end}"),
    }
}

/// Leaves word of a refusal for the history of its namespace.
pub(super) fn remember(happened: &Happened, review: &Review<'_>, judgement: &Judgement) {
    let Some(first) = judgement.findings.iter().find(|noted| noted.refuses) else { return };
    let View { metadata } =
        review.object.and_then(|object| serde_json::from_str(object).ok()).unwrap_or_default();
    happened.refused(Refused {
        resource: Resource {
            api_version: api_version(review),
            kind: review.kind.kind.clone().into_owned(),
            namespace: review.namespace.clone().into_owned(),
            name: review.name.clone().into_owned(),
            uid: metadata.uid.unwrap_or_default(),
        },
        policy: judgement.policy.clone().unwrap_or_default(),
        rule: first.rule,
        message: judgement.message.lines().next().unwrap_or_default().to_owned(),
        at: Timestamp::now(),
    });
}

fn api_version(review: &Review<'_>) -> String {
    let (group, version) = (&review.kind.group, &review.kind.version);
    if group.is_empty() { version.clone().into_owned() } else { format!("{group}/{version}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Work;

    #[test]
    fn a_note_names_the_digest_to_approve_however_long_it_is() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let of = |message: &str, wanted: bool| {
            let wanted_digest = wanted.then(|| digest.clone());
            let work = Work { wanted_digest, ..Work::default() };
            note(&Judgement { message: message.to_owned(), work, ..Judgement::default() })
        };
        let asked = format!("unapproved-rollback: Job/a: ask for {digest}");
        assert_eq!(of(&asked, true), asked);
        assert_eq!(of("root-migration: Job/a", false), "root-migration: Job/a");
        let both = of(&format!("destructive-without-backup: Job/a\n{asked}"), true);
        assert_eq!(
            both,
            format!("destructive-without-backup: Job/a (and 1 more); approve {digest}")
        );
        let long = of(&format!("x: {} {digest}", "\u{e9}".repeat(2_000)), true);
        assert!(long.len() <= NOTE && long.ends_with(&format!("…; approve {digest}")), "{long}");
    }
}
