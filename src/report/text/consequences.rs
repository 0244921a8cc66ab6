//! What follows from a root cause.

use super::page::{INDENT, Page};
use super::style::{FAINT, PLAIN};
use crate::check::{Judged, Outcome};
use crate::report::{Gathered, plain, shortened};

/// Writes what follows from the findings of a check: one line with the checks, or with `all` a line for each result.
pub(super) fn write(page: &mut Page, run: &Gathered, root: &Judged, all: bool) {
    let follows = |check: &&Judged| check.causes().any(|cause| cause.check == root.id);
    let checks: Vec<&Judged> = run.checks().into_iter().map(|timed| &timed.check).filter(follows).collect();
    if checks.is_empty() {
        return;
    }
    let number: usize = checks.iter().map(|check| check.causes().filter(|cause| cause.check == root.id).count()).sum();
    let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
    let results = if number == 1 { "1 result".into() } else { format!("{number} results") };
    let hint = if all { "" } else { " (-v lists them)" };
    // Only a failing check is certain to explain what follows from it.
    let explains = match root.outcome {
        Outcome::Fail => format!("explains {results}"),
        _ => format!("{results} may follow from it"),
    };
    page.paragraph(INDENT, PLAIN, &format!("{explains}: {}{hint}", shortened::items(&ids, " ", all)));
    if all {
        for check in checks {
            for line in plain::consequences(check, &root.id) {
                page.paragraph(INDENT + 2, FAINT, &format!("{} {line}", check.id));
            }
        }
    }
}
