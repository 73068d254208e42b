//! What was read of one statement, and what is known from those before it.

use std::collections::BTreeSet;

use super::{Class, Dialect, Hazard, Operation};

/// Pairs of a keyword and a kind of statement that ends in it, such as `("VIEW", "DROP VIEW")`.
macro_rules! shown {
    ($verb:literal: $($object:literal)*) => {
        &[$(($object, concat!($verb, " ", $object)),)*]
    };
    ($($object:literal)*) => { &[$(($object, $object),)*] };
}
pub(super) use shown;

/// What one statement, or one action of it, does.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Keywords only. Being static, they hold nothing of the text.
    pub(super) words: &'static str,
    pub(super) operation: Option<Operation>,
    pub(super) class: Class,
    pub(super) hazards: Vec<&'static Hazard>,
}

impl Reading {
    fn new(words: &'static str, operation: Option<Operation>, class: Class) -> Self {
        Self { words, operation, class, hazards: Vec::new() }
    }

    /// Changes a schema; nothing speaks against it yet.
    pub(super) fn additive(words: &'static str) -> Self {
        Self::new(words, Some(Operation::Apply), Class::Additive)
    }

    /// Touches neither a schema nor rows: an account, an empty database.
    pub(super) fn aside(words: &'static str) -> Self {
        Self::new(words, None, Class::Additive)
    }

    pub(super) fn read_only(words: &'static str) -> Self {
        Self::new(words, Some(Operation::ReadOnly), Class::ReadOnly)
    }

    pub(super) fn data(words: &'static str) -> Self {
        Self::new(words, Some(Operation::Data), Class::Data)
    }

    pub(super) fn unknown(words: &'static str) -> Self {
        Self::new(words, Some(Operation::Unknown), Class::Unknown)
    }

    pub(super) fn destructive(words: &'static str) -> Self {
        Self::new(words, Some(Operation::Destructive), Class::Destructive)
    }

    /// Cannot be undone although no row is lost: code that uses what was there breaks.
    pub(super) fn breaking(words: &'static str, hazard: &'static Hazard) -> Self {
        Self::new(words, Some(Operation::Destructive), Class::Incompatible).because(hazard)
    }

    /// Adds a hazard.
    pub(super) fn because(mut self, hazard: &'static Hazard) -> Self {
        if !self.hazards.contains(&hazard) {
            self.hazards.push(hazard);
        }
        self.class = self.class.max(hazard.class);
        self
    }

    /// Adds a hazard if the condition holds.
    pub(super) fn because_if(self, condition: bool, hazard: &'static Hazard) -> Self {
        if condition { self.because(hazard) } else { self }
    }

    /// Another effect of the same statement; the words of the graver one stand for both.
    pub(super) fn and(mut self, other: Self) -> Self {
        if other.class > self.class {
            self.words = other.words;
        }
        self.operation = self.operation.max(other.operation);
        self.class = self.class.max(other.class);
        for hazard in other.hazards {
            self = self.because(hazard);
        }
        self
    }

    /// All of them together; `None` of none.
    pub(super) fn all(readings: impl Iterator<Item = Self>) -> Option<Self> {
        readings.reduce(Self::and)
    }

    /// The same for something that no code uses yet and that holds no rows.
    pub(super) fn of_new(mut self) -> Self {
        self.hazards.retain(|hazard| hazard.class == Class::Destructive);
        if matches!(self.class, Class::Locking | Class::Incompatible)
            && self.operation == Some(Operation::Apply)
        {
            self.class = Class::Additive;
        }
        self
    }
}

/// What the statements before have done.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) dialect: Dialect,
    /// Tables and views that the same text creates.
    pub(super) created: BTreeSet<String>,
    /// A transaction was begun and not ended.
    pub(super) in_transaction: bool,
}

impl Context {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, created: BTreeSet::new(), in_transaction: false }
    }

    pub(super) fn is_new(&self, name: Option<&String>) -> bool {
        name.is_some_and(|name| self.created.contains(name))
    }

    pub(super) fn is(&self, dialects: &[Dialect]) -> bool {
        dialects.contains(&self.dialect)
    }
}
