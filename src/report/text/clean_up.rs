//! What became of the objects that the run created.

use super::page::Page;
use super::style::{FAINT, STRONG};

/// Writes one line: that all is gone, or what is left behind.
pub fn write(page: &mut Page, namespace: &str, left: Option<&str>) {
    match left {
        None => page.paragraph(0, FAINT, &format!("everything that the run created in {namespace} is removed")),
        Some(left) => page.paragraph(0, STRONG, &format!("left behind in {namespace}: {left}")),
    }
}
