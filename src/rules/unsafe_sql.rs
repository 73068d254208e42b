//! `unsafe-sql`

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    Check, Context, Findings, Level, Place, Rule, Topic, configure, example, fingerprint,
    parameters,
};
use crate::detect::{
    Confidence, Detection, FileRef, Invocation,
    sql::{Class, HAZARDS, Hazard, Statement},
};

/// How many findings one object gets; the rest are counted.
const MAX_FINDINGS: usize = 10;

pub(super) static RULE: Rule = Rule {
    id: "unsafe-sql",
    summary: "SQL locks a table for long or breaks code that is running",
    why: "During a rollout the old code runs on the new schema. A column that it does not fill, a \
          name that is gone or a type that changed makes it fail; an index that is built under a \
          lock makes every request wait until the connections run out. Linters of migrations know \
          these statements, and the rule names them by the codes of squawk and Atlas. Statements \
          that lose data are not repeated here: `unapproved-destructive-migration` refuses them.",
    fix: "Do it in steps that the running code survives: add before you require, build indexes \
          concurrently, validate constraints apart from adding them, and rename by adding a new \
          name first. `docs/sql-codes.md` has every code with its remedy; one that does not matter \
          here goes into `ignoreCodes`.",
    sources: &[
        "https://squawkhq.com/docs/rules",
        "https://atlasgo.io/lint/analyzers",
        "https://www.postgresql.org/docs/current/explicit-locking.html",
        "https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html",
    ],
    since: "0.1.0",
    level: Level::Warn,
    topic: Topic::Sql,
    places: Place::EVERYWHERE,
    example: example!("unsafe-sql"),
    configure: configure::<UnsafeSql>,
    parameters: parameters::<UnsafeSql>,
};

/// The rule's parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct UnsafeSql {
    /// Codes that are not reported, as squawk or Atlas name them.
    #[schemars(with = "Vec<String>")]
    ignore_codes: Vec<Code>,
}

/// The code of a hazard, under any of its names.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Code(String);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let known = || HAZARDS.iter().flat_map(|hazard| hazard.names());
        if known().any(|name| name == code) {
            return Ok(Self(code));
        }
        let distance =
            |name: &str| strsim::damerau_levenshtein(&code.to_lowercase(), &name.to_lowercase());
        let nearest = known().map(|name| (distance(name), name)).min();
        let nearest = nearest.filter(|(distance, name)| distance.saturating_mul(2) <= name.len());
        let hint =
            nearest.map_or_else(String::new, |(_, name)| format!(" (did you mean `{name}`?)"));
        Err(D::Error::custom(format_args!("there is no code `{code}`{hint}")))
    }
}

impl UnsafeSql {
    /// True for what is to be reported: what loses data is gated, not reported.
    fn reports(&self, hazard: &Hazard) -> bool {
        matches!(hazard.class, Class::Locking | Class::Incompatible)
            && !hazard.names().any(|name| self.ignore_codes.iter().any(|code| code.0 == name))
    }
}

impl Check for UnsafeSql {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let commands = context.detections.iter().flat_map(|detection| {
            let known = |invocation: &&Invocation<'_>| invocation.confidence > Confidence::Name;
            detection.invocations.iter().filter(known).map(move |found| (detection, found))
        });
        let dangers = commands.flat_map(|(detection, invocation)| {
            invocation.seen().flat_map(move |(file, statement)| {
                let hazards = statement.hazards.iter().filter(|hazard| self.reports(hazard));
                hazards.map(move |hazard| (detection, invocation, (file, statement), *hazard))
            })
        });
        let mut more = 0_usize;
        let mut last = None;
        // It hashes all that a container runs: once for each container, not for each statement.
        let mut runs: Option<(&Detection<'_>, String)> = None;
        for (count, (detection, invocation, seen, hazard)) in dangers.enumerate() {
            if count < MAX_FINDINGS {
                let runs = match &mut runs {
                    Some((of, runs)) if std::ptr::eq(*of, detection) => runs,
                    other => &mut other.insert((detection, fingerprint(detection))).1,
                };
                report(findings, detection, runs, invocation, seen, hazard);
                last = Some((detection, invocation));
            } else {
                more = more.saturating_add(1);
            }
        }
        if let Some((detection, invocation)) = last.filter(|_| more > 0) {
            findings.container(
                &RULE,
                detection,
                field(detection, invocation),
                format_args!("more|{more}|{}", fingerprint(detection)),
                format!("and {more} more that lock or break running code"),
                "mend those that are named, then check again",
            );
        }
    }
}

/// One finding for one hazard of one statement.
fn report(
    findings: &mut Findings,
    detection: &Detection<'_>,
    runs: &str,
    invocation: &Invocation<'_>,
    (file, Statement { line, words, .. }): (Option<FileRef<'_>>, &Statement),
    hazard: &Hazard,
) {
    let place = match file {
        Some(FileRef { config_map, key }) => format!("{key} in ConfigMap {config_map}"),
        None => "its SQL".to_owned(),
    };
    let found = findings.container(
        &RULE,
        detection,
        field(detection, invocation),
        format_args!("{}|{place}|{line}|{runs}", hazard.code),
        format!(
            "`{}` runs `{words}` (line {line} of {place}), which is {}: {}",
            invocation.words,
            Named(hazard),
            hazard.reason
        ),
        hazard.mend,
    );
    // Over an update a second statement of the kind is new; a baseline counts them, and a line that
    // is put before them changes nothing.
    found.evidence = format!("{}|{place}|{words}|{runs}", hazard.code);
}

/// The field of the container that the command stands in.
fn field<'i>(detection: &Detection<'_>, invocation: &'i Invocation<'_>) -> &'i str {
    let container = detection.container.path.to_string();
    let inside = invocation.path.strip_prefix(&container);
    inside.and_then(|inside| inside.strip_prefix('.')).unwrap_or_default()
}

/// A code with its other names.
struct Named<'h>(&'h Hazard);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code)?;
        if !self.0.also.is_empty() {
            write!(f, " ({})", self.0.also.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_code_is_an_error_that_names_the_nearest() {
        for (code, expected) in [
            (
                "adding-required-feild",
                "there is no code `adding-required-feild` (did you mean `adding-required-field`?)",
            ),
            ("mf103", "there is no code `mf103` (did you mean `MF103`?)"),
            ("everything", "there is no code `everything`"),
        ] {
            let error = (RULE.configure)(json!({"ignoreCodes": [code]})).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.path, "ignoreCodes[0]");
        }
        for hazard in HAZARDS {
            for name in hazard.names() {
                (RULE.configure)(json!({"ignoreCodes": [name]})).unwrap();
            }
        }
    }
}
