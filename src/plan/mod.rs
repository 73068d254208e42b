//! A whole release: what is in it, and how Argo CD or Helm rolls it out.
//!
//! [`Release`] puts the objects of one application into the order in which they are applied, and
//! answers what rules over a set ask: what comes before what, and is it waited for.

mod application;
mod around;
mod backup;
mod health;
mod index;
mod member;
mod notes;
pub mod order;
mod reference;
mod release;
pub mod report;

pub use application::Application;
pub use around::Around;
pub use backup::is_backup_kind;
pub use health::is_waited_for;
pub use member::Member;
pub(crate) use member::is_data_store;
pub use notes::Note;
pub use reference::{Reference, Referenced, provided, references};
pub use release::{Engine, LeftOut, Place, Release, Rollout, Run, Stage, Step};
