//! Approvals of the cluster beside a change, and what becomes of those that cover one Job only.

use std::time::Instant;

use super::{App, engine::Judgement, review::Review};
use crate::model::{Fact, Facts};

/// How often a change is judged again because another used its approval meanwhile.
const AGAIN: usize = 3;

/// Judges a change among the approvals of its namespace. One that may cover a single Job counts as
/// used from here on, so that of two Jobs that are judged at the same moment it covers the first.
pub(super) fn judge(
    app: &App,
    review: &Review<'_>,
    facts: &Facts<'_>,
    may_look: bool,
    judge: impl Fn(&Facts<'_>) -> Judgement,
) -> Judgement {
    for _ in 0..AGAIN {
        let now = Instant::now();
        let approvals = app.cluster.approvals.of(&review.namespace, now);
        let approvals = match &approvals {
            Fact::Known(all) => Fact::Known(all.as_slice()),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::NotAsked => Fact::NotAsked,
        };
        let judgement = judge(&Facts { approvals, ..facts.clone() });
        let spent = &judgement.work.spent;
        // What is judged again once something was looked up takes nothing yet.
        let again = may_look && !judgement.work.wants.is_empty();
        if again || !judgement.allowed || review.dry_run || spent.is_empty() {
            return judgement;
        }
        if app.cluster.approvals.spend(&review.namespace, spent, &judgement.work.uid, now) {
            return judgement;
        }
    }
    let busy = Fact::Unknown("others use up the approvals of its namespace at this moment".into());
    judge(&Facts { approvals: busy, ..facts.clone() })
}
