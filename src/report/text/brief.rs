//! What is only worth knowing, a line for each check: the same on every run of a cluster, it must not hide a fault.

use super::bounded::Block;
use super::page::{INDENT, Page};
use super::style::{self, PLAIN};
use crate::check::{Judged, Outcome, Severity};
use crate::report::{Gathered, plain};

/// Whether a line is enough for a check: all that it found is information, and nothing follows from that.
pub(super) fn is_enough(run: &Gathered, check: &Judged) -> bool {
    let is_info = check.findings.iter().all(|finding| finding.severity == Severity::Info);
    is_info && !run.roots.iter().any(|root| root.check == check.id && root.explains > 0)
}

/// These checks, in one block.
pub(super) fn block(checks: &[&Judged], width: usize) -> Option<Block> {
    if checks.is_empty() {
        return None;
    }
    let mut page = Page::new(width, false);
    let warn = (style::outcome(Outcome::Warn), style::word(Outcome::Warn));
    page.words(&[(warn.0, &warn.1), (PLAIN, "info"), (PLAIN, "(-v shows impact and fix)")], INDENT);
    for check in checks {
        page.labelled(&check.id, &plain::line(check));
    }
    page.blank();
    Some(Block { ids: checks.iter().map(|check| check.id.clone()).collect(), text: page.finish() })
}
