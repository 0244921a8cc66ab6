//! What became of the objects that the run created.

use super::page::Page;
use super::style::{FAINT, STRONG};
use crate::event::CleanedUp;

/// Writes one line: that all is deleted, or what is left behind.
pub(super) fn write(page: &mut Page, CleanedUp { namespace, left, finalizing, earlier }: &CleanedUp) {
    let place = namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    let rest = if *finalizing { "; Kubernetes is deleting the empty namespace" } else { "" };
    let what = if *earlier { "what an earlier run had left" } else { "everything that the run created" };
    match left {
        None => page.paragraph(0, FAINT, &format!("removed {what}{place}{rest}")),
        Some(left) => page.paragraph(0, STRONG, &format!("left behind{place}: {left}")),
    }
}
