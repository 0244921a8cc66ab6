//! What became of the objects that the run created.

use std::collections::BTreeMap;

use super::page::Page;
use super::style::{FAINT, STRONG};
use crate::event::CleanedUp;

/// Writes a line for what is deleted everywhere, and one for each thing that is left behind.
pub(super) fn write(page: &mut Page, cleaned_up: &[CleanedUp]) {
    let mut removed: BTreeMap<(bool, bool), Vec<&str>> = BTreeMap::new();
    for CleanedUp { namespace, left, finalizing, earlier } in cleaned_up {
        match left {
            None => removed.entry((*earlier, *finalizing)).or_default().extend(namespace.as_deref()),
            Some(left) => {
                let place = namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
                page.paragraph(0, STRONG, &format!("left behind{place}: {left}"));
            }
        }
    }
    for ((earlier, finalizing), namespaces) in removed {
        let what = if earlier { "what earlier runs had left" } else { "everything that the run created" };
        let (place, them) = match namespaces.as_slice() {
            [] => (String::new(), ""),
            [one] => (format!(" in {one}"), "namespace"),
            [first, others @ ..] => (format!(" in {first} and {} more", others.len()), "namespaces"),
        };
        let rest = if finalizing { format!("; Kubernetes is deleting the empty {them}") } else { String::new() };
        page.paragraph(0, FAINT, &format!("removed {what}{place}{rest}"));
    }
}
