//! What became of the objects that the run created.

use super::page::Page;
use super::style::{FAINT, STRONG};

/// Writes one line: that all is gone, or what is left behind.
pub(super) fn write(page: &mut Page, namespace: Option<&str>, left: Option<&str>) {
    let place = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    match left {
        None => page.paragraph(0, FAINT, &format!("removed everything that the run created{place}")),
        Some(left) => page.paragraph(0, STRONG, &format!("left behind{place}: {left}")),
    }
}
