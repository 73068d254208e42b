//! `unrestricted-egress`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters,
    run_to_completion,
};
use crate::model::Fact;

pub(super) static RULE: Rule = Rule {
    id: "unrestricted-egress",
    summary: "no NetworkPolicy limits what the Pod of a migration may reach",
    why: "A migration has the most powerful database credentials of the application and runs whatever \
          its image brought along. With egress only to the database and to DNS a stolen password has \
          nowhere to go. NetworkPolicies are known to a set of manifests and to a cluster: for one \
          file alone the rule is silent. Policies of a mesh or of the network plugin (Cilium, Calico) \
          are not seen.",
    fix: "Add a NetworkPolicy with `policyTypes: [Egress]` that selects the Pods (mutation labels them \
          `tidegate.dev/migration`) and lets them reach the database and DNS.",
    sources: &["https://kubernetes.io/docs/concepts/services-networking/network-policies/"],
    since: "0.1.0",
    level: Level::Audit,
    topic: Topic::Security,
    places: &[Place::Manifests, Place::Cluster],
    example: example!("unrestricted-egress"),
    configure: configure::<UnrestrictedEgress>,
    parameters: parameters::<UnrestrictedEgress>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UnrestrictedEgress {}

impl Check for UnrestrictedEgress {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let Some(migration) = run_to_completion(context).next() else { return };
        let at = migration.template.spec_path.to_string();
        match &context.facts.egress_is_limited {
            Fact::NotAsked | Fact::Known(true) => {}
            Fact::Unknown(why) => findings.undecided(&RULE, at, why.clone()),
            Fact::Known(false) => findings.object(
                &RULE,
                at,
                "egress",
                format!("the Pod of `{}` may reach everything", migration.main.words),
                "add a NetworkPolicy that lets it reach the database and DNS only",
            ),
        }
    }
}
