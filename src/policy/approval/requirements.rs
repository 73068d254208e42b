//! What an approval needs, as it stands in a policy.

use std::{collections::BTreeMap, fmt};

use jiff::SignedDuration;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{detect::Operation, model::annotation, policy::Signatures};

/// How much memory a ticket pattern may take once compiled, in bytes: many times what any sane one
/// takes.
const PATTERN_SIZE: usize = 1 << 20;

/// What an approval needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the policy document")]
pub struct Requirements {
    /// Fields that must be there and not empty. Default: `[approved-by, ticket]`.
    pub require: Vec<ApprovalField>,
    /// Whether the approval must name the digest of exactly what will run. Default: true.
    pub bind_to_digest: bool,
    /// Whether the approval must name the namespace that the object goes to. One that names a
    /// namespace never holds in another. Default: true.
    pub bind_to_namespace: bool,
    /// The longest time from now until an approval ends, such as `72h` or `30m`: an approval that
    /// ends later is refused, so that none is given for ever. Default: `72h`.
    #[schemars(with = "String")]
    pub max_age: MaxAge,
    /// A regular expression that the whole ticket must match. Left out: any text.
    #[schemars(with = "Option<String>")]
    pub ticket_pattern: Option<TicketPattern>,
    /// The least length of a reason, in characters, of an approval as of a backup waiver.
    /// Default: 1.
    pub min_reason_length: usize,
    /// Who may approve: names as they stand in `tidegate.dev/approved-by`; `*` stands for any
    /// ASCII text and `?` for one ASCII character. Left out: everybody. A manifest does not tell who belongs to a group.
    pub approvers: Vec<String>,
    /// Whether whoever asks the API server must be somebody else than the approver. In `check`
    /// nobody knows who will ask, so `onUndecided` settles it. Left out: of a `MigrationApproval`,
    /// whose approver the API server knows, and not of annotations.
    pub separation_of_duties: Option<bool>,
    /// What a `MigrationApproval` of the cluster counts for. Default: `Accept`.
    pub resources: ResourceUse,
    /// Whether a `MigrationApproval` covers one Job only, the first that runs under it. Annotations
    /// cannot be used up, so that it needs `resources: Require`. Default: false.
    pub single_use: bool,
    /// Whether `tidegate.dev/risk` may declare less than what was detected. Default: false.
    pub risk_may_lower: bool,
    /// Whether an approval must be signed, and by whom.
    pub signatures: Signatures,
    /// What differs for an operation. Destructive steps, contract steps and rollbacks always need
    /// an approval; migrations of unknown effect do where `unknown` stands here.
    pub operations: BTreeMap<GatedOperation, OperationRequirements>,
}

impl Default for Requirements {
    fn default() -> Self {
        Self {
            require: vec![ApprovalField::ApprovedBy, ApprovalField::Ticket],
            bind_to_digest: true,
            bind_to_namespace: true,
            max_age: MaxAge(SignedDuration::from_hours(72)),
            ticket_pattern: None,
            min_reason_length: 1,
            approvers: Vec::new(),
            separation_of_duties: None,
            resources: ResourceUse::Accept,
            single_use: false,
            risk_may_lower: false,
            signatures: Signatures::default(),
            operations: BTreeMap::new(),
        }
    }
}

/// What a `MigrationApproval` of the cluster counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResourceUse {
    /// As much as annotations do; it satisfies `signatures.required`, because the API server
    /// knows its approver.
    #[default]
    Accept,
    /// It is the only approval that counts: annotations approve nothing.
    Require,
    /// Nothing.
    Ignore,
}

/// An operation that an approval can be asked for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GatedOperation {
    /// Drops or empties by design, or reverts everything.
    Destructive,
    /// The second half of expand and contract.
    Contract,
    /// Reverts one or more steps.
    Rollback,
    /// A migration is recognised, its effect is not.
    Unknown,
}

impl GatedOperation {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Destructive, Self::Contract, Self::Rollback, Self::Unknown];

    /// The operation that is meant.
    pub fn operation(self) -> Operation {
        match self {
            Self::Destructive => Operation::Destructive,
            Self::Contract => Operation::Contract,
            Self::Rollback => Operation::Rollback,
            Self::Unknown => Operation::Unknown,
        }
    }
}

/// What differs for one operation; what is left out is as for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OperationRequirements {
    /// In place of `approvals.require`.
    pub require: Option<Vec<ApprovalField>>,
    /// In place of `approvals.maxAge`.
    #[schemars(with = "Option<String>")]
    pub max_age: Option<MaxAge>,
    /// In place of `approvals.approvers`.
    pub approvers: Option<Vec<String>>,
}

/// What counts for one operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effective<'r> {
    pub(super) all: &'r Requirements,
    pub(super) require: &'r [ApprovalField],
    pub(super) max_age: MaxAge,
    pub(super) approvers: &'r [String],
}

impl Requirements {
    /// The same, whoever approves.
    #[must_use]
    pub fn for_anybody(&self) -> Self {
        let mut requirements = self.clone();
        requirements.approvers.clear();
        for own in requirements.operations.values_mut() {
            own.approvers = None;
        }
        requirements
    }

    /// Whether any operation asks for the field.
    pub fn requires(&self, field: ApprovalField) -> bool {
        let own = self.operations.values().filter_map(|own| own.require.as_ref());
        own.chain([&self.require]).any(|require| require.contains(&field))
    }

    /// What an approval of `operation` needs; none when the operation needs no approval.
    pub(super) fn of(&self, operation: GatedOperation) -> Option<Effective<'_>> {
        let own = self.operations.get(&operation);
        if own.is_none() && operation == GatedOperation::Unknown {
            return None;
        }
        Some(Effective {
            all: self,
            require: own.and_then(|own| own.require.as_deref()).unwrap_or(&self.require),
            max_age: own.and_then(|own| own.max_age).unwrap_or(self.max_age),
            approvers: own.and_then(|own| own.approvers.as_deref()).unwrap_or(&self.approvers),
        })
    }
}

/// A field of an approval that a policy may require.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalField {
    /// `tidegate.dev/approved-by`.
    ApprovedBy,
    /// `tidegate.dev/approval-ticket`.
    Ticket,
    /// `tidegate.dev/approval-reason`.
    Reason,
    /// `tidegate.dev/approved-content`.
    Content,
    /// `tidegate.dev/backup` or `tidegate.dev/backup-waiver`.
    Backup,
}

impl ApprovalField {
    /// The annotations of which one holds it.
    pub fn annotations(self) -> &'static [&'static str] {
        match self {
            Self::ApprovedBy => &[annotation::APPROVED_BY],
            Self::Ticket => &[annotation::TICKET],
            Self::Reason => &[annotation::REASON],
            Self::Content => &[annotation::CONTENT],
            Self::Backup => &[annotation::BACKUP, annotation::BACKUP_WAIVER],
        }
    }
}

/// The longest time that an approval may hold.
///
/// **Unit:** written with a unit, as `72h`, `30m` or `1h30m`; never a bare number.
///
/// **Range:** above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaxAge(pub SignedDuration);

impl TryFrom<String> for MaxAge {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let duration: SignedDuration =
            text.parse().map_err(|_error| "is not a duration such as `72h` or `30m`".to_owned())?;
        if duration.is_positive() { Ok(Self(duration)) } else { Err("must be above zero".into()) }
    }
}

impl From<MaxAge> for String {
    fn from(age: MaxAge) -> Self {
        age.to_string()
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A regular expression that a whole ticket must match.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TicketPattern {
    text: String,
    regex: Regex,
}

impl TicketPattern {
    /// Whether the whole of `ticket` matches.
    pub fn matches(&self, ticket: &str) -> bool {
        self.regex.is_match(ticket)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for TicketPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |error: &regex::Error| {
            let last = error.to_string();
            let last = last.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("is no regular expression: {last}")
        };
        // By itself first, so that no bracket of it can close the one around it.
        let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_SIZE).build();
        build(&text).map_err(|error| wrong(&error))?;
        let regex = build(&format!(r"\A(?:{text})\z")).map_err(|error| wrong(&error))?;
        Ok(Self { text, regex })
    }
}

impl From<TicketPattern> for String {
    fn from(pattern: TicketPattern) -> Self {
        pattern.text
    }
}

impl PartialEq for TicketPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TicketPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_age_needs_a_unit() {
        assert!(MaxAge::try_from("72".to_owned()).is_err());
        assert!(MaxAge::try_from("-1h".to_owned()).is_err());
        let age = MaxAge::try_from("1h30m".to_owned()).unwrap();
        assert_eq!(age.to_string(), "1h 30m");
        assert_eq!(MaxAge::try_from(String::from(age)), Ok(age), "as it is written again");
    }

    #[test]
    fn what_one_operation_asks_for_counts_and_who_may_approve_can_be_left_out() {
        let mut requirements = Requirements { approvers: vec!["a".into()], ..Default::default() };
        let own = OperationRequirements {
            require: Some(vec![ApprovalField::Reason]),
            approvers: Some(vec!["b".into()]),
            max_age: None,
        };
        requirements.operations.insert(GatedOperation::Rollback, own.clone());
        assert!(requirements.requires(ApprovalField::Ticket), "for the others");
        assert!(requirements.requires(ApprovalField::Reason), "for one");
        assert!(!requirements.requires(ApprovalField::Content));
        let anybody = requirements.for_anybody();
        let own = OperationRequirements { approvers: None, ..own };
        let operations = [(GatedOperation::Rollback, own)].into();
        assert_eq!(anybody, Requirements { operations, ..Requirements::default() });
        assert_ne!(anybody, requirements);
    }

    #[test]
    fn a_ticket_pattern_is_for_the_whole_ticket() {
        let pattern = TicketPattern::try_from("DB-[0-9]+|OPS-1".to_owned()).unwrap();
        assert!(pattern.matches("DB-12") && pattern.matches("OPS-1"));
        for other in ["xDB-12", "DB-12x", "DB-12\n", "db-12", ""] {
            assert!(!pattern.matches(other), "{other:?}");
        }
        let again = TicketPattern::try_from(String::from(pattern.clone())).unwrap();
        assert_eq!(again, pattern, "as it is written again");
        assert_ne!(TicketPattern::try_from("DB-[0-9]+".to_owned()).unwrap(), pattern);
        for wrong in ["(", "a)(b", "\\", "(?:x{1000}){1000}"] {
            assert!(TicketPattern::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
