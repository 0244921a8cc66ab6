//! How clusters are called: by the shortest name that no other cluster of the fleet has.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::text::wrap::printable;

/// How many characters a label may have. Some names have no other bound.
const LONGEST: usize = 100;
/// How many bytes the name of a file may have without its extension.
const LONGEST_FILE: usize = 120;

/// A label for each cluster, of the names that it may have, the one that people use first. Where clusters share a name, each
/// takes its next one; where all are shared, a number tells them apart.
pub(crate) fn labels(names: &[Vec<String>]) -> Vec<String> {
    let mut chosen = vec![0; names.len()];
    loop {
        let labels: Vec<String> = names.iter().zip(&chosen).map(|(names, at)| label(names, *at)).collect();
        let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
        for label in &labels {
            *shared.entry(label).or_default() += 1;
        }
        let mut changed = false;
        for ((label, names), at) in labels.iter().zip(names).zip(&mut chosen) {
            if shared[label.as_str()] > 1 && *at + 1 < names.len() {
                *at += 1;
                changed = true;
            }
        }
        if !changed {
            return numbered(labels);
        }
    }
}

/// A name as one short line that does nothing to a terminal.
fn label(names: &[String], at: usize) -> String {
    let line = one_line(names.get(at).map(String::as_str).unwrap_or_default(), LONGEST);
    if line.is_empty() { "unnamed".to_owned() } else { line }
}

/// The beginning of a foreign text as one line that does nothing to a terminal.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let short: String = text.chars().take(most).collect();
    printable(&short).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn numbered(labels: Vec<String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    labels.into_iter().map(|label| unused(&label, " #", &mut taken)).collect()
}

/// The name, with a number if it is taken already. It is taken then, also in capital letters.
fn unused(name: &str, before_number: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}{before_number}{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| taken.insert(name.to_lowercase())).expect("there is no end of numbers")
}

/// The names of files for these labels, without extension: made of characters that every file system takes, and told apart
/// also where it does not distinguish capital letters.
pub(crate) fn file_names(labels: &[String]) -> Vec<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let mut taken = BTreeSet::new();
    let names = labels.iter().map(|label| {
        let plain: String = label.chars().map(|c| if is_plain(c) { c } else { '_' }).take(LONGEST_FILE).collect();
        // Hidden files are not found again.
        let plain = plain.strip_prefix('.').map_or(plain.clone(), |rest| format!("_{rest}"));
        unused(&plain, "-", &mut taken)
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(names: &[&[&str]]) -> Vec<String> {
        labels(&names.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect::<Vec<_>>())
    }

    #[test]
    fn clusters_of_one_name_are_told_apart_by_where_they_come_from() {
        let same = "kubernetes-admin@kubernetes";
        assert_eq!(of(&[&[same, "a"], &[same, "b"], &["c", "d"]]), ["a", "b", "c"]);
        assert_eq!(of(&[&["x", "admin", "eu/admin"], &["x", "admin", "us/admin"]]), ["eu/admin", "us/admin"]);
        assert_eq!(of(&[&["x"], &["x"], &["X"]]), ["x", "x #2", "X #3"]);
        assert_eq!(of(&[&["x", "y"], &["y"], &["x", "z"]]), ["y", "y #2", "z"]);
    }

    #[test]
    fn a_label_is_one_short_line() {
        let hostile = format!("a\u{1b}[2J\nb\u{202e}{}", "x".repeat(1_000_000));
        let label = &of(&[&[hostile.as_str()]])[0];
        assert!(label.starts_with("a\u{fffd}[2J b\u{fffd}x") && label.chars().count() <= LONGEST, "{label}");
        assert_eq!(of(&[&[""], &[" \n"]]), ["unnamed", "unnamed #2"]);
    }

    #[test]
    fn files_have_plain_names() {
        let labels = ["eu/admin", "eu_admin", "EU_admin", "..", "../../etc/x", "kubernetes-admin@bed"];
        let expected = ["eu_admin", "eu_admin-2", "EU_admin-3", "_.", "_._.._etc_x", "kubernetes-admin@bed"];
        assert_eq!(file_names(&labels.map(str::to_owned)), expected);
    }

    proptest! {
        #[test]
        fn labels_and_files_differ_whatever_the_names(names in prop::collection::vec(prop::collection::vec(".{0,4}", 0..4), 0..20)) {
            let labels = labels(&names);
            let files = file_names(&labels);
            for all in [&labels, &files] {
                let folded: BTreeSet<_> = all.iter().map(|name| name.to_lowercase()).collect();
                prop_assert_eq!(folded.len(), names.len());
            }
            let is_safe = |name: &String| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
            prop_assert!(files.iter().all(is_safe), "{:?}", files);
        }
    }
}
