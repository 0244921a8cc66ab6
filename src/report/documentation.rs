//! Where the documentation of a check is.

use crate::check::Judged;

/// The page that `tests/docs.rs` keeps current.
const PAGE: &str = "docs/checks.md";

/// The section about a check: at this version in the repository that `Cargo.toml` names, or else in any checkout.
pub(crate) fn link(check: &Judged) -> String {
    let section = format!("{PAGE}#{}", check.id.to_lowercase());
    match env!("CARGO_PKG_REPOSITORY") {
        "" => section,
        repository => format!("{repository}/blob/v{}/{section}", env!("CARGO_PKG_VERSION")),
    }
}
