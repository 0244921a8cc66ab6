//! Where a result is. A cluster has no files, so objects have paths like those of files: `cluster/NAMESPACE/KIND/NAME`.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::check::Subject;
use crate::report::excerpt::{TEXT, line};

/// What is written as it is in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How many characters of a name a path has.
const NAME: usize = 253;
/// How many things are listed.
const LISTED: usize = 100;

/// The location of what is about these: a path of the first, and the names of all.
pub(super) fn location(subjects: &[Subject]) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": subjects.first().map_or_else(|| "cluster".into(), path) },
            // All four numbers are required, although there are no lines.
            "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2 },
        },
    });
    let mut known = BTreeSet::new();
    let named = subjects.iter().map(|subject| (subject, line(&subject.to_string(), TEXT)));
    let named = named.filter(|(_, name)| known.insert(name.clone())).take(LISTED);
    let named: Vec<Value> = named
        .map(|(subject, name)| json!({ "name": line(&subject.name, TEXT), "fullyQualifiedName": name, "kind": "resource" }))
        .collect();
    if !named.is_empty() {
        location["logicalLocations"] = named.into();
    }
    location
}

fn path(subject: &Subject) -> String {
    let parts = [subject.namespace.as_deref().unwrap_or_default(), &subject.kind, &subject.name];
    let parts = parts.into_iter().filter(|part| !part.is_empty()).map(|part| match part {
        // These would lead elsewhere.
        "." | ".." => part.replace('.', "%2E"),
        part => {
            let end = part.char_indices().nth(NAME).map_or(part.len(), |(end, _)| end);
            utf8_percent_encode(&part[..end], PART).to_string()
        }
    });
    let whole = subject.kind == "cluster" && subject.name.is_empty();
    let parts: Vec<String> = if whole { Vec::new() } else { parts.collect() };
    [vec!["cluster".to_owned()], parts].concat().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_path() {
        assert_eq!(path(&Subject::object("Secret", "kube-system", "a")), "cluster/kube-system/Secret/a");
        assert_eq!(path(&Subject::node("n1")), "cluster/Node/n1");
        assert_eq!(path(&Subject::cluster()), "cluster");
        assert_eq!(path(&Subject::address("[fd00::1]:6443")), "cluster/address/%5Bfd00%3A%3A1%5D%3A6443");
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        assert_eq!(path(&Subject::object("../a", "..", "/b?#")), "cluster/%2E%2E/..%2Fa/%2Fb%3F%23");
        let long = path(&Subject::user("é".repeat(1_000_000)));
        assert_eq!(long.len(), "cluster/user/".len() + NAME * 6);
    }

    #[test]
    fn a_thing_is_listed_once_and_a_hundred_are() {
        let nodes: Vec<Subject> = (0..200).map(|i| Subject::node(format!("n{}", i / 2))).collect();
        assert_eq!(location(&nodes)["logicalLocations"].as_array().unwrap().len(), LISTED);
        let twice = [Subject::node("a"), Subject::node("a")];
        assert_eq!(location(&twice)["logicalLocations"].as_array().unwrap().len(), 1);
    }
}
