//! What is being done to an object, and by whom.

/// What the API server was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an existing one, or of a subresource.
    Update,
    /// A removal.
    Delete,
    /// `exec`, `attach`, `port-forward`, `proxy`.
    Connect,
}

/// One change of one object, before it happens.
///
/// Object texts are JSON as received; they are parsed by
/// [`decision::validate`](crate::decision::validate), so that an object that does not parse is a
/// verdict and not an error.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What is being done.
    pub operation: Operation,
    /// Namespace of the object; empty when it is cluster-scoped.
    pub namespace: &'a str,
    /// Name of the object; empty when the API server has not generated it yet.
    pub name: &'a str,
    /// The part of the object that is changed, such as `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// Name of the user who asks, as the API server authenticated it. Empty for a file.
    pub user: &'a str,
    /// The object as it will be stored.
    pub object: Option<&'a str>,
    /// The object as it is stored now (UPDATE and DELETE).
    pub old_object: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// The creation of `object` by nobody in particular: what a manifest in Git amounts to.
    pub fn create(namespace: &'a str, name: &'a str, object: &'a str) -> Self {
        Self {
            operation: Operation::Create,
            namespace,
            name,
            subresource: "",
            user: "",
            object: Some(object),
            old_object: None,
        }
    }
}
