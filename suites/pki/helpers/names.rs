//! The names that a server's certificate lacks.

use std::fmt::Display;

use crate::certificate::Description;

/// The names, of those that clients dial, that a certificate does not cover.
pub(crate) fn missing<N: AsRef<str>>(leaf: &Description, dialled: impl IntoIterator<Item = N>) -> Vec<N> {
    dialled.into_iter().filter(|name| !leaf.covers(name.as_ref())).collect()
}

/// How many names are missing.
pub(crate) fn lacks<N>(missing: &[N]) -> String {
    match missing.len() {
        1 => "the certificate lacks 1 name".to_owned(),
        count => format!("the certificate lacks {count} names"),
    }
}

/// Which names are missing at a server.
pub(crate) fn missing_at<N: Display>(at: impl Display, missing: impl IntoIterator<Item = N>) -> Vec<String> {
    missing.into_iter().map(|name| format!("{at}: no {name}")).collect()
}

/// Which names a server's certificate has instead.
pub(crate) fn valid_at(at: impl Display, leaf: &Description) -> Vec<String> {
    leaf.names().iter().map(|name| format!("{at}: valid for {name}")).collect()
}
