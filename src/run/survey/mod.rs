//! What a run saw of the cluster that reports draw: when certificates expire, and which paths are open.

mod certificates;
mod paths;

use crate::event::Survey;
use crate::fact::Facts;

/// How many certificates are listed, the first to expire first.
const CERTIFICATES: usize = 5000;
/// How many paths are listed, those that are not open first: probes of a thousand nodes try tens of thousands.
const PATHS: usize = 3000;

/// What was seen of it; none where nothing was.
pub(super) fn survey(facts: &Facts) -> Option<Survey> {
    let (mut certificates, mut paths) = (certificates::seen(facts), paths::tried(facts));
    let left_out = [
        cut(&mut certificates, CERTIFICATES, "more certificates, which expire later"),
        cut(&mut paths, PATHS, "more paths, which are no worse than those"),
    ];
    paths.sort_by(|a, b| (a.kind, &a.from, &a.to).cmp(&(b.kind, &b.from, &b.to)));
    let left_out = left_out.into_iter().flatten().collect();
    let is_empty = certificates.is_empty() && paths.is_empty();
    (!is_empty).then_some(Survey { certificates, paths, left_out })
}

/// Keeps the first of them, and states how many are left out.
fn cut<T>(items: &mut Vec<T>, most: usize, what: &str) -> Option<String> {
    let rest = items.len().checked_sub(most).filter(|rest| *rest > 0)?;
    items.truncate(most);
    Some(format!("{rest} {what}, are not listed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let mut items: Vec<u8> = (0..7).collect();
        assert_eq!(cut(&mut items, 7, "more"), None);
        assert_eq!(cut(&mut items, 5, "more paths").as_deref(), Some("2 more paths, are not listed"));
        assert_eq!(items, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_run_that_saw_nothing_has_no_survey() {
        assert_eq!(survey(&Facts::closure([])), None);
    }
}
