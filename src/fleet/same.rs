//! When two clusters have the same cause: when what was expected and seen differs only in names of things and in addresses.

use std::net::{IpAddr, SocketAddr};

/// What stands in the place of a name or an address.
pub(super) const ANY: &str = "\u{2026}";

/// A text without these names, which are those of what it is about and of its cluster, and without addresses. Everything else
/// stays: numbers and times of two clusters are two causes.
pub(super) fn without_names(text: &str, names: &[&str]) -> String {
    let mut names: Vec<&str> = names.iter().copied().filter(|name| is_distinct(name)).collect();
    // A name may be part of another one.
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    names.dedup();
    let text = names.into_iter().fold(text.to_owned(), |text, name| without(&text, name));
    let words = text.split_inclusive(|c: char| !(c.is_alphanumeric() || "-.:[]".contains(c)));
    let anonymous = words.map(|word| {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ']');
        let is_address = bare.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok();
        if is_address { word.replacen(bare, ANY, 1) } else { word.to_owned() }
    });
    anonymous.collect()
}

/// Whether a name is hardly a word of the text: `a` and `the` are names of clusters and nodes, too.
fn is_distinct(name: &str) -> bool {
    name.chars().count() > 3 || name.chars().any(|c| !c.is_alphabetic())
}

/// The text with each occurrence of the name replaced that is not a part of a longer name.
fn without(text: &str, name: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let begins = !before.chars().next_back().is_some_and(is_inside);
        let mut next = after.chars();
        let ends = match next.next() {
            Some('.') => !next.next().is_some_and(char::is_alphanumeric),
            other => !other.is_some_and(is_inside),
        };
        clean.push_str(before);
        clean.push_str(if begins && ends { ANY } else { name });
        rest = after;
    }
    clean + rest
}

/// Whether a character beside a name makes it a part of a longer one.
fn is_inside(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_are_set_aside_and_times_are_not() {
        let same = |one: &str, of: &[&str], other: &str, of_other: &[&str]| {
            without_names(one, of) == without_names(other, of_other)
        };
        assert!(same("n1 (10.0.0.1:6443) refuses n1.", &["n1"], "w-2 ([fd00::1]:6443) refuses w-2.", &["w-2"]));
        assert!(same("prod-1/x: n1, n1-a", &["n1", "n1-a", "prod-1"], "eu-2/x: node, w2", &["eu-2", "w2", "node"]));
        assert!(!same("n1 is not n10", &["n1"], "n2 is not n20", &["n2"]), "a longer name is another one");
        assert!(!same("expires at 2027-01-01T00:00:00Z", &[], "expires at 2027-01-02T00:00:00Z", &[]));
        assert!(same("a CA expires", &["a"], "a CA expires", &["b"]), "a word is no name");
        assert!(!same("8 of 12 succeed", &[], "2 of 12 succeed", &[]));
    }

    proptest! {
        #[test]
        fn any_text_and_any_names_end(text in ".{0,60}", names in prop::collection::vec(".{0,5}", 0..5)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let clean = without_names(&text, &names);
            prop_assert!(clean.len() <= text.len().max(1) * ANY.len());
        }
    }
}
