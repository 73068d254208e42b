//! `mutable-migration-image`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::ImageReference;

pub(super) static RULE: Rule = Rule {
    id: "mutable-migration-image",
    summary: "the image of a migration can change under its name",
    why: "What was reviewed and approved is a name. Without a tag, or with `latest`, the next retry may \
          pull other migrations, an approval covers what nobody has seen, a revert in Git brings back \
          nothing, and Argo CD sees no change when there is one.",
    fix: "Name a version or the commit, or best the digest: `app@sha256:…`. Set `requireDigest` where \
          tags can be pushed again.",
    sources: &[
        "https://kubernetes.io/docs/concepts/containers/images/#image-names",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/best_practices/",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Security,
    places: Place::EVERYWHERE,
    example: example!("mutable-migration-image"),
    configure: configure::<MutableMigrationImage>,
    parameters: parameters::<MutableMigrationImage>,
};

/// The rule's parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct MutableMigrationImage {
    /// Whether a tag is not enough: tags can be pushed again.
    require_digest: bool,
    /// Tags that are known to move.
    mutable_tags: Vec<String>,
}

impl Default for MutableMigrationImage {
    fn default() -> Self {
        Self { require_digest: false, mutable_tags: vec!["latest".to_owned()] }
    }
}

impl Check for MutableMigrationImage {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        for migration in run_to_completion(context) {
            let container = migration.container;
            let ImageReference { tag, digest, .. } = ImageReference::parse(&container.image);
            if digest.is_some() || container.image.is_empty() {
                continue;
            }
            let name = &container.name;
            let (evidence, what, mend) = match tag {
                None => (
                    "none",
                    format!("the image of migration container `{name}` has no tag: it is `latest`"),
                    "name a version or a digest",
                ),
                Some(tag) if self.mutable_tags.iter().any(|mutable| mutable == tag) => (
                    tag,
                    format!("the tag `{tag}` of migration container `{name}` moves"),
                    "name a version or a digest",
                ),
                Some(tag) if self.require_digest => (
                    tag,
                    format!("the image of migration container `{name}` has no digest"),
                    "add @sha256:… to the image",
                ),
                Some(_) => continue,
            };
            findings.container(&RULE, migration, "image", evidence, what, mend);
        }
    }
}
