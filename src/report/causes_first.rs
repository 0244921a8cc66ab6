//! The checks that a reader should look at, in the order in which to look.

use super::Gathered;
use crate::check::{Judged, Outcome};

/// The checks that are not as they should be: those that name root causes first, then the worst.
pub(super) fn causes_first(run: &Gathered) -> Vec<&Judged> {
    let mut checks: Vec<&Judged> = run.checks().into_iter().map(|timed| &timed.check).collect();
    checks.retain(|check| match check.outcome {
        Outcome::Fail | Outcome::Error | Outcome::Blocked | Outcome::Warn | Outcome::Waived => true,
        Outcome::Skip | Outcome::Pass => false,
    });
    let place = |id: &str| run.roots.iter().position(|root| root.check == id).unwrap_or(usize::MAX);
    // Stable: beyond that it is the order of the plan.
    checks.sort_by_cached_key(|check| (place(&check.id), check.outcome));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Root, Severity};
    use crate::report::testing;

    #[test]
    fn roots_come_first_and_what_is_in_order_not_at_all() {
        let mut run = testing::gathered(&testing::events());
        let ids = |run: &Gathered| causes_first(run).iter().map(|check| check.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&run), ["PK-02", "AA-01", "AA-02", "SN-04", "SN-05", "DN-01"]);
        run.roots = vec![Root { check: "SN-05".into(), severity: Severity::Major, explains: 1, place: None }];
        assert_eq!(ids(&run), ["SN-05", "PK-02", "AA-01", "AA-02", "SN-04", "DN-01"]);
    }
}
