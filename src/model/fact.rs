//! What a cluster knows and a manifest does not.

use std::{borrow::Cow, collections::BTreeMap};

use super::ConfigMaps;

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
    /// The ConfigMaps that the object may refer to: scripts, statements and variables stand in
    /// them. One that is not in reach is not known, whatever it holds.
    pub config_maps: ConfigMaps<'a>,
}

impl<'a> Facts<'a> {
    /// Facts of which only the namespace's labels were looked for.
    pub fn new(namespace_labels: Fact<&'a Labels>) -> Self {
        Self { namespace_labels, config_maps: ConfigMaps::NONE }
    }
}
