//! How dangerous a statement is, and why.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a statement means for the data and for code that runs meanwhile.
///
/// The order is the order of severity: of the statements of one text, the greatest speaks for it.
/// `Unknown` stands right below `Destructive`, because it may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Changes neither schema nor rows.
    ReadOnly,
    /// Changes rows.
    Data,
    /// Running code goes on, nothing is lost, locks are short.
    Additive,
    /// Nothing is lost, but a lock is strong or long, or the table is written anew.
    Locking,
    /// No rows are lost, but code that runs now may break.
    Incompatible,
    /// It could not be told.
    Unknown,
    /// Data is lost.
    Destructive,
}

impl Class {
    /// The word, as it is in JSON and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Data => "data",
            Self::Additive => "additive",
            Self::Locking => "locking",
            Self::Incompatible => "incompatible",
            Self::Unknown => "unknown",
            Self::Destructive => "destructive",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One danger of a statement, as linters of migrations name it.
#[derive(Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Squawk's name where it has one, such as `adding-required-field`; else Atlas's, such as
    /// `MY110`; else our own.
    pub code: &'static str,
    /// Other linters' names for the same, such as Atlas's `MF103`.
    pub also: &'static [&'static str],
    /// How bad it is.
    pub class: Class,
    /// What goes wrong: one plain sentence without a full stop.
    pub reason: &'static str,
    /// How to mend it: a clause in the imperative, without a full stop.
    pub mend: &'static str,
}

impl Hazard {
    /// The code and its other names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.code].into_iter().chain(self.also.iter().copied())
    }
}

impl Serialize for &'static Hazard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let mut fields = serializer.serialize_struct("Hazard", 4)?;
        fields.serialize_field("code", self.code)?;
        fields.serialize_field("also", self.also)?;
        fields.serialize_field("class", &self.class)?;
        fields.serialize_field("reason", self.reason)?;
        fields.end()
    }
}
