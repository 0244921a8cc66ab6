//! Lists in words, cut where a reader has seen enough. Only reports do this: judges and machine-readable formats keep all.

use std::fmt::Write;

use crate::check::Subject;
use crate::check::subject::listed;

/// How many items are written out.
const ENOUGH: usize = 8;
/// How many characters of an item of evidence are.
const LONG: usize = 120;
/// How many characters of evidence are: about four lines.
const ROOM: usize = 320;

/// The items with `separator` between them. Unless `all` are wanted, beyond the eighth only how many more there are.
pub fn items(items: &[impl AsRef<str>], separator: &str, all: bool) -> String {
    let shown = &items[..shown(items.len(), all)];
    let words: Vec<&str> = shown.iter().map(AsRef::as_ref).collect();
    with_rest(words.join(separator), items.len() - shown.len())
}

/// The items of evidence. Unless `all` are wanted, a long one is cut, and beyond the eighth, or where there is no more room,
/// only how many more there are.
pub fn evidence(items: &[String], all: bool) -> String {
    if all {
        return items.join("; ");
    }
    let mut words: Vec<String> = Vec::new();
    let mut room = ROOM;
    for item in &items[..shown(items.len(), all)] {
        let item = beginning(item);
        let length = item.chars().count();
        if !words.is_empty() && length > room {
            break;
        }
        room = room.saturating_sub(length);
        words.push(item);
    }
    let rest = items.len() - words.len();
    with_rest(words.join("; "), rest)
}

fn beginning(item: &str) -> String {
    match item.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", &item[..end]),
        None => item.to_owned(),
    }
}

/// The subjects, the kind once for those that share it: `Node n1, n2 and 3 more`.
pub fn subjects<'a>(subjects: impl IntoIterator<Item = &'a Subject>, all: bool) -> String {
    let subjects: Vec<&Subject> = subjects.into_iter().collect();
    let shown = shown(subjects.len(), all);
    with_rest(listed(subjects[..shown].iter().copied()), subjects.len() - shown)
}

/// How many to write out. Counting a single one that is left takes as much room as naming it.
fn shown(number: usize, all: bool) -> usize {
    if all || number <= ENOUGH + 1 { number } else { ENOUGH }
}

fn with_rest(mut words: String, rest: usize) -> String {
    if rest > 0 {
        _ = write!(words, " and {rest} more");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_unless_all_is_wanted() {
        let names: Vec<String> = (1..=5000).map(|i| format!("n{i}")).collect();
        assert_eq!(items(&names[..2], ", ", false), "n1, n2");
        assert_eq!(items(&names[..9], " ", false), "n1 n2 n3 n4 n5 n6 n7 n8 n9");
        assert_eq!(items(&names, ", ", false), "n1, n2, n3, n4, n5, n6, n7, n8 and 4992 more");
        assert!(items(&names, ", ", true).ends_with("n5000"));
        let nodes: Vec<Subject> = names.iter().take(12).map(Subject::node).collect();
        assert_eq!(subjects(&nodes, false), "Node n1, n2, n3, n4, n5, n6, n7, n8 and 4 more");
    }

    #[test]
    fn a_long_item_is_cut_unless_all_is_wanted() {
        let rule = format!("get {}", "é".repeat(200));
        let rule = [rule];
        assert_eq!(evidence(&rule, false), format!("get {}…", "é".repeat(LONG - 4)));
        assert_eq!(evidence(&rule, true), rule[0]);
    }

    #[test]
    fn evidence_takes_a_few_lines_unless_all_is_wanted() {
        let short: Vec<String> = (1..=12).map(|i| format!("n{i}: off")).collect();
        assert!(evidence(&short, false).ends_with("n8: off and 4 more"), "{}", evidence(&short, false));
        let long: Vec<String> = (1..=12).map(|i| format!("n{i}: {}", "x".repeat(100))).collect();
        let shown = evidence(&long, false);
        assert!(shown.len() < ROOM + 40 && shown.ends_with("x and 9 more"), "{shown}");
        assert_eq!(evidence(&long, true), long.join("; "));
    }

    #[test]
    fn kinds_and_namespaces_are_named_where_they_change() {
        let config = |name: &str| Subject::object("ConfigMap", "kube-system", name);
        let mixed = [config("a"), config("b"), Subject::node("n1"), Subject::cluster()];
        assert_eq!(subjects(&mixed, false), "ConfigMap kube-system/a, b, Node n1, the cluster");
    }
}
