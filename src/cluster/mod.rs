//! What a cluster knows: gathered by watching, never asked for while a request waits.

mod namespaces;

pub use namespaces::{ClusterError, Lookup, Namespaces, client, connect, watch};
