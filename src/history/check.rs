//! # Waivers are current and match a finding
//!
//! ## Why
//! A waiver accepts a finding for a while. One that has expired accepts nothing any more: the finding counts again. One that
//! matches nothing is left over from a problem that was fixed, or has a mistake in it, and would hide the next finding that
//! it happens to match.
//!
//! ## Fix
//! Remove the entry from the file, or correct its check and subject. To accept a finding for longer, fix what it shows or
//! write a later date, at most a year from now.
//!
//! ## Source
//! The files that `--waivers` names. A waiver whose check did not run, or could not be completed, is not expected to match.

use crate::check::documentation::{head, head_length};
use crate::check::{Check, Severity};
use crate::seen::Unobserved;

/// The check of waivers. It is judged when all others are: it belongs to no suite, and needs no fact.
pub static CHECK: Check = {
    const SOURCE: &str = include_str!("check.rs");
    const LENGTH: usize = head_length(SOURCE);
    const HEAD: [u8; LENGTH] = head(SOURCE);
    Check {
        id: "WV-01",
        name: "waivers",
        severity: Severity::Minor,
        suite: "waivers",
        file: "src/history/check.rs",
        head: match str::from_utf8(&HEAD) {
            Ok(head) => head,
            Err(_) => panic!("a part of a text that ends between lines is a text"),
        },
        builds_on: &[],
        blocked_by: &[],
        needs: Vec::new,
        judge: |_| Err(Unobserved::absent("no waivers")),
    }
};
