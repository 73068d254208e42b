//! `inline-credentials`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Context, Findings, Level, Place, Rule, Topic, configure, example, parameters};
use crate::{
    detect::{Confidence, Detection, Operation, Site},
    model::EnvVar,
};

pub(super) static RULE: Rule = Rule {
    id: "inline-credentials",
    summary: "a password stands in a variable, an argument or a URL",
    why: "What is written in a manifest is in Git, in every backup of etcd, in `kubectl describe`, in \
          the Job's Pod and in the process list. A migration's credentials may change the schema, so \
          this is the password to lose least.",
    fix: "Put the value into a Secret and refer to it: `valueFrom.secretKeyRef` for a variable, and \
          `$(VARIABLE)` in arguments. Then rotate the password: it has been published.",
    sources: &["https://kubernetes.io/docs/concepts/security/secrets-good-practices/"],
    since: "0.1.0",
    level: Level::Deny,
    topic: Topic::Security,
    places: Place::EVERYWHERE,
    example: example!("inline-credentials"),
    configure: configure::<InlineCredentials>,
    parameters: parameters::<InlineCredentials>,
};

/// The rule has no parameters.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InlineCredentials {}

impl Check for InlineCredentials {
    fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        // What only waits or looks, such as `pg_isready` beside an application, is not ours to stop.
        let ours = context.detections.iter().filter(|found| {
            let operation = found.operation();
            found.main.confidence > Confidence::Name
                && found.site == Site::Command
                && (operation.is_migration() || operation == Operation::Backup)
        });
        for detection in ours {
            variables(detection, findings);
            words(detection, findings);
        }
    }
}

const MEND: &str = "take it from a Secret with secretKeyRef, and rotate it";

fn variables(detection: &Detection<'_>, findings: &mut Findings) {
    for (index, var) in detection.container.env.iter().enumerate() {
        let Some(kind) = credential_in_variable(var) else { continue };
        findings.container(
            &RULE,
            detection,
            &format!("env[{index}]"),
            &var.name,
            format!("variable `{}` holds {kind} in clear text", var.name),
            MEND,
        );
    }
}

fn words(detection: &Detection<'_>, findings: &mut Findings) {
    let container = detection.container;
    for (field, list) in [("command", &container.command), ("args", &container.args)] {
        for (index, word) in list.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| list.get(before));
            let split = before.is_some_and(|flag| is_password_flag(flag) && is_literal(word));
            let kind = if split { Some("a password") } else { credential_in_text(word) };
            let Some(kind) = kind else { continue };
            findings.container(
                &RULE,
                detection,
                &format!("{field}[{index}]"),
                field,
                format!("{kind} stands in clear text in {field} of `{}`", container.name),
                MEND,
            );
        }
    }
}

/// What kind of credential a variable holds as a literal.
fn credential_in_variable(var: &EnvVar<'_>) -> Option<&'static str> {
    let value = var.value.as_deref()?;
    if !is_literal(value) {
        return None;
    }
    if is_secret_name(&var.name) {
        return Some("a password");
    }
    credential_in_text(value)
}

/// True for a name by which people call what must not be known.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // A file, a path or the name of a Secret says where the password is, not what it is.
    if ["_FILE", "_PATH", "_NAME", "_KEY_ID", "_REF", "_LENGTH", "_ENABLED"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        return false;
    }
    ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY"]
        .iter()
        .any(|part| name.contains(part))
        || ["_PWD", "_PASS"].iter().any(|end| name.ends_with(end))
        || name == "PGPASS"
}

/// True for text that is there to be read, and not a reference to a variable.
fn is_literal(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    let reference = value.starts_with('$') || (value.starts_with("{{") && value.ends_with("}}"));
    !value.is_empty() && !reference
}

fn is_password_flag(word: &str) -> bool {
    let flag = word.trim_start_matches('-');
    flag.len() < word.len()
        && matches!(
            flag.to_ascii_lowercase().as_str(),
            "password" | "passwd" | "db-password" | "database-password" | "root-password" | "pwd"
        )
}

/// What kind of credential stands in a text: a URL with a password, or `password=…`.
fn credential_in_text(text: &str) -> Option<&'static str> {
    if has_url_password(text) {
        return Some("a URL with a password");
    }
    has_password_assignment(text).then_some("a password")
}

/// `scheme://user:password@host`, unless the password is a variable.
fn has_url_password(text: &str) -> bool {
    // Nearly no word has an `@`, and to look for one byte is much cheaper than for a text.
    text.contains('@')
        && text.match_indices("://").any(|(at, mark)| {
            let Some(rest) = text.get(at.saturating_add(mark.len())..) else { return false };
            let end = rest
                .find(|char: char| {
                    char.is_whitespace() || matches!(char, '/' | '?' | '"' | '\'' | '`')
                })
                .unwrap_or(rest.len());
            let authority = rest.get(..end).unwrap_or_default();
            authority
                .rsplit_once('@')
                .and_then(|(user, _host)| user.split_once(':'))
                .is_some_and(|(_user, password)| is_literal(password))
        })
}

/// `password=…` in a connection string, a flag or an assignment, unless it is a variable.
fn has_password_assignment(text: &str) -> bool {
    if !text.contains('=') {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    ["password", "passwd", "mysql_pwd"].iter().any(|name| {
        lower.match_indices(name).any(|(at, _)| {
            let after = at.saturating_add(name.len());
            let Some(value) = text.get(after..).and_then(|rest| rest.strip_prefix('=')) else {
                return false;
            };
            let end = value
                .find(|char: char| char.is_whitespace() || matches!(char, '&' | ';' | ')'))
                .unwrap_or(value.len());
            is_literal(value.get(..end).unwrap_or_default())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_text_are_seen_and_references_are_not() {
        for (text, want) in [
            ("postgres://app:s3cret@db/app", true),
            ("postgres://app:$(PASSWORD)@db/app", false),
            ("postgres://app:${PASSWORD}@db/app", false),
            ("postgres://app@db/app", false),
            ("postgres://db:5432/app", false),
            ("https://example.com/a@b:c", false),
            ("see http://x y postgres://u:p@h", true),
            ("-password=s3cret", true),
            ("--password=$DB_PASSWORD", false),
            ("jdbc:mysql://h/db?user=u&password=s3cret", true),
            ("PGPASSWORD=s3cret psql -c 'select 1'", true),
            ("PGPASSWORD=\"$PW\" psql", false),
            ("PGPASSWORD= psql", false),
            ("echo password", false),
        ] {
            assert_eq!(credential_in_text(text).is_some(), want, "{text}");
        }
    }

    #[test]
    fn names_that_point_at_a_secret_are_not_secrets() {
        for (name, want) in [
            ("PGPASSWORD", true),
            ("FLYWAY_PASSWORD", true),
            ("MYSQL_PWD", true),
            ("DB_PASS", true),
            ("POSTGRES_PASSWORD_FILE", false),
            ("SECRET_NAME", false),
            ("DB_USER", false),
            ("PWD", false),
            ("COMPASS", false),
        ] {
            assert_eq!(is_secret_name(name), want, "{name}");
        }
    }
}
