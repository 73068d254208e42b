//! What an object is once everything is mended that needs no person.

use jiff::Timestamp;
use serde_json::Value;

use super::{Effect, Judged, UNREADABLE_OBJECT, Verdict, mutate, validate};
use crate::{
    model::{Change, Facts, Object},
    policy::PolicySet,
    rules::Repair,
    source::path,
};

/// How often what was mended is judged again: one repair can make a Job a hook, which mutation
/// then fills in.
const ROUNDS: usize = 8;

/// How often an object is read to give fields quotes; each reading finds one that needs them.
const QUOTES: usize = 64;

/// An object that was mended.
#[derive(Clone, Debug, PartialEq)]
pub struct Mended {
    /// The object as it is to be.
    pub value: Value,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// One thing that was mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A string without quotes, which Kubernetes takes for something else, got them.
    Quoted {
        /// Path of the field.
        at: String,
    },
    /// What admission would fill in.
    FilledIn {
        /// Path and value, such as `spec.activeDeadlineSeconds=1800`.
        what: String,
    },
    /// What a rule found was repaired.
    Repaired {
        /// The rule.
        rule: &'static str,
        /// What was done, as the finding asks for it.
        mend: String,
    },
}

/// Mends what needs no person: what mutation fills in, and what rules offer a [`Repair`] for.
///
/// `written` is how the scalar at a path is written in its file; where it does not know, the value
/// is written as JSON. Nothing is mended that an exception covers or that a rule at level `Off`
/// would find. Mended twice is mended once. Total, like [`validate()`].
pub fn mend(
    policies: &PolicySet,
    change: &Change<'_>,
    facts: &Facts<'_>,
    now: Timestamp,
    written: &dyn Fn(&str) -> Option<String>,
) -> Option<Mended> {
    let mut value: Value = serde_json::from_str(change.object?).ok()?;
    let mut steps = Vec::new();
    for _ in 0..ROUNDS {
        let json = value.to_string();
        let mutation = mutate(policies, &Change { object: Some(&json), ..*change }, facts);
        let filled_in = mutation.applied(&json);
        let verdict =
            validate(policies, &Change { object: Some(&filled_in), ..*change }, facts, now);
        let before = steps.len();
        if !mutation.is_empty() {
            value = serde_json::from_str(&filled_in).ok()?;
            let added = mutation.added.iter().cloned();
            steps.extend(added.map(|what| Step::FilledIn { what }));
        }
        if verdict.findings.iter().any(|finding| finding.rule == UNREADABLE_OBJECT) {
            steps.extend(quote(&mut value, written));
        } else {
            steps.extend(repair(&mut value, &verdict));
        }
        if steps.len() == before && mutation.is_empty() {
            break;
        }
    }
    Some(Mended { value, steps })
}

/// Makes strings of the fields that keep the object from being read.
fn quote(value: &mut Value, written: &dyn Fn(&str) -> Option<String>) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..QUOTES {
        let json = value.to_string();
        let Err(error) = Object::parse(&json) else { break };
        let Some(field) = path::get_mut(value, &error.path).filter(|_| error.wants_quotes) else {
            break;
        };
        let before = steps.len();
        match field {
            Value::Object(map) => {
                for (key, value) in map {
                    let at = format!("{}[{key}]", error.path);
                    steps.extend(quoted(value, &at, written).then_some(Step::Quoted { at }));
                }
            }
            value => {
                let at = error.path;
                steps.extend(quoted(value, &at, written).then_some(Step::Quoted { at }));
            }
        }
        if steps.len() == before {
            break;
        }
    }
    steps
}

/// Makes a string of a number or a boolean.
fn quoted(value: &mut Value, at: &str, written: &dyn Fn(&str) -> Option<String>) -> bool {
    if !value.is_number() && !value.is_boolean() {
        return false;
    }
    *value = Value::String(written(at).unwrap_or_else(|| value.to_string()));
    true
}

/// Makes the repairs of annotations, or, where there are none, the others: whether the object is a
/// hook decides what else is filled in.
fn repair(value: &mut Value, verdict: &Verdict) -> Vec<Step> {
    let offered = verdict.findings.iter().filter_map(|judged| {
        let excused = matches!(judged.effect, Effect::Excepted | Effect::Ratcheted);
        Some((judged, judged.repair.as_ref().filter(|_| !excused)?))
    });
    let (first, others): (Vec<_>, Vec<_>) =
        offered.partition(|(_, repair)| repair.at.starts_with("metadata."));
    let steps = make(value, &first);
    if steps.is_empty() { make(value, &others) } else { steps }
}

fn make(value: &mut Value, repairs: &[(&Judged, &Repair)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (judged, repair) in repairs {
        if changes(repair, value) {
            steps
                .push(Step::Repaired { rule: judged.rule, mend: judged.mend.clone().into_owned() });
        }
    }
    steps
}

/// Makes a repair. False where it cannot be made or changes nothing.
fn changes(repair: &Repair, value: &mut Value) -> bool {
    let before = path::get(value, &repair.at).cloned();
    repair.apply(value) && path::get(value, &repair.at) != before.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{Fact, Labels},
        policy::built_in,
    };

    fn mended(object: &Value, written: &dyn Fn(&str) -> Option<String>) -> Mended {
        let policies = PolicySet::new(vec![built_in()]);
        let labels = Labels::new();
        let json = object.to_string();
        let change = Change::create("shop", "a", &json);
        let facts = Facts::new(Fact::Known(&labels));
        mend(&policies, &change, &facts, Timestamp::UNIX_EPOCH, written).unwrap()
    }

    fn job(annotations: &Value) -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "a", "annotations": annotations},
            "spec": {"template": {"spec": {"containers": [
                {"name": "a", "image": "i:1", "command": ["flyway", "migrate"], "args": [true]}
            ]}}}
        })
    }

    #[test]
    fn what_becomes_a_hook_is_filled_in_like_one() {
        let object = job(&json!({"argocd.argoproj.io/hook": "presync", "wave": -1}));
        let written = |path: &str| (path == "metadata.annotations[wave]").then(|| "-01".to_owned());
        let Mended { value, steps } = mended(&object, &written);
        let annotations = &value["metadata"]["annotations"];
        assert_eq!(annotations["wave"], "-01", "as it is written");
        assert_eq!(annotations["argocd.argoproj.io/hook"], "PreSync");
        assert_eq!(value["spec"]["template"]["spec"]["containers"][0]["args"], json!(["true"]));
        assert_eq!(value["spec"]["activeDeadlineSeconds"], 1800);
        assert_eq!(value["spec"]["backoffLimit"], 1);
        assert!(steps.contains(&Step::Quoted { at: "metadata.annotations[wave]".to_owned() }));
        let again = mended(&value, &written);
        assert_eq!(again, Mended { value, steps: Vec::new() });
    }

    #[test]
    fn every_field_that_needs_quotes_gets_them() {
        let hook = json!({"argocd.argoproj.io/hook": "PreSync"});
        let mut object = job(&hook);
        let args = &mut object["spec"]["template"]["spec"]["containers"][0]["args"];
        *args = (0..20).map(|number: u8| json!(number)).collect();
        let Mended { value, steps } = mended(&object, &|_| None);
        let want: Value = (0..20).map(|number: u8| json!(number.to_string())).collect();
        assert_eq!(value["spec"]["template"]["spec"]["containers"][0]["args"], want);
        let is_quoted = |step: &&Step| matches!(step, Step::Quoted { .. });
        assert_eq!(steps.iter().take_while(is_quoted).count(), 20, "in one round: {steps:?}");
    }

    #[test]
    fn what_cannot_be_read_stays() {
        for object in [json!({"metadata": {"labels": [1]}}), json!([]), json!(1), json!(null)] {
            assert_eq!(mended(&object, &|_| None), Mended { value: object, steps: Vec::new() });
        }
    }
}
