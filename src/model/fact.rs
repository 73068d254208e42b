//! What a cluster knows and a manifest does not.

use std::{borrow::Cow, collections::BTreeMap};

/// A fact, or why it is not known.
///
/// Not knowing is never read as "nothing there": what depends on an unknown fact is undecided, and
/// the policy's `onUndecided` settles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// It is this.
    Known(T),
    /// Nobody could tell, and this is why: a clause that reads on after "because".
    Unknown(Cow<'static, str>),
}

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Everything that was gathered before a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Labels of the object's namespace. Known and empty for a cluster-scoped object.
    pub namespace_labels: Fact<&'a Labels>,
}
