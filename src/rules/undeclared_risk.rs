//! `undeclared-risk`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{detect::Operation, model::annotation::RISK};

pub(super) static RULE: Rule = Rule {
    id: "undeclared-risk",
    summary: "a migration is recognised, what it will do is not, and nothing says so",
    why: "A script of one's own, inline code or a tool with a verb that depends on its files may add a \
          column or drop a table: from outside nobody can tell, so neither an approval nor a backup \
          is asked for. Whoever wrote it knows.",
    fix: "Say it with the annotation `tidegate.dev/risk`: `apply`, `data`, `declarative`, `contract`, \
          `rollback` or `destructive`. What is declared may raise what is seen; the policy says \
          whether it may lower it.",
    sources: &["https://martinfowler.com/bliki/ParallelChange.html"],
    since: "0.1.0",
    level: Level::Audit,
    topic: Topic::Destructive,
    places: Place::EVERYWHERE,
    example: example!("undeclared-risk"),
    configure: configure::<UndeclaredRisk>,
    parameters: parameters::<UndeclaredRisk>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct UndeclaredRisk {}

impl Check for UndeclaredRisk {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        if context.approval.declared_risk().is_some() {
            return;
        }
        // What is written there and says nothing is not quoted: it may be anything.
        let given = context.object.metadata.annotation(RISK).is_some();
        let mend = if given {
            "write one of apply, data, declarative, contract, rollback, destructive into it"
        } else {
            "annotate it with tidegate.dev/risk, such as apply or destructive"
        };
        let unknown = context.migrations().filter(|found| found.operation() == Operation::Unknown);
        for migration in unknown {
            let (name, words) = (&migration.container.name, &migration.main.words);
            let but = if given { ", and its declared risk is no word that is known" } else { "" };
            let what = format!("what `{words}` of container `{name}` will do is not known{but}");
            findings.container(&RULE, migration, "", words, what, mend);
        }
    }
}
