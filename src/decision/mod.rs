//! The verdict on one change, and the patch that fills in defaults.
//!
//! [`validate()`], [`validate_release()`] and [`mutate()`], and [`create()`] and [`mend()`], which stand on
//! them, are the only entries for a change; [`grant()`] is that for an approval that is made. All are plain, total functions of the policies, the change, the facts and the
//! present time: the webhook, `check` and every test call the same ones.
//!
//! # Order of precedence
//!
//! 1. Only CREATE and UPDATE are judged; of subresources only `ephemeralcontainers`.
//! 2. The most specific policy that matches the namespace applies. None: admitted.
//! 3. What a controller creates for an owner that was judged is not judged again.
//! 4. An UPDATE that changes nothing that the policy reads is admitted.
//! 5. An object that cannot be read is a finding of its own at the policy's level.
//! 6. Every rule runs; its level is capped by the policy's.
//! 7. On UPDATE a finding that the old object already had does not refuse (the ratchet), unless
//!    the update resumes a suspended Job, which is when it starts to matter.
//! 8. A finding that an exception of the namespace covers, and that would refuse or warn, is
//!    reported only. What cannot be read is never excused; what needs an approval only where the
//!    policy says so.

mod assess;
mod controllers;
mod create;
mod fill;
mod granting;
mod mend;
mod mutate;
mod registered;
mod release;
mod running;
mod settle;
mod validate;
mod verdict;

pub use crate::policy::UNREADABLE_OBJECT;
pub use assess::assess_member;
pub use controllers::{BUILT_IN_CONTROLLERS, BuiltInController};
pub use create::{Created, create};
pub use granting::{Granting, grant};
pub use mend::{Mended, Step, mend};
pub use mutate::{Mutation, mutate};
pub use registered::{REGISTERED, Registered};
pub use release::validate_release;
pub use running::{JOB, Running, migrated_at_start, running};
pub use validate::validate;
pub use verdict::{Effect, Judged, Outcome, Verdict, Wants, Work};
