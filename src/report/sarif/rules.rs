//! Rules: the checks, as code scanning lists them.

use serde_json::{Value, json};

use crate::check::{Judged, Severity};
use crate::report::documentation;
use crate::report::excerpt::line;
use crate::report::markdown::escape::text;

/// How many characters code scanning takes of a name, and of a tag as well.
const NAME: usize = 200;
/// How many it takes of a description, less what is added to one that is cut.
const DESCRIPTION: usize = 950;

/// The rules, each once.
#[derive(Default)]
pub(super) struct Rules(Vec<(String, Value)>);

impl Rules {
    /// The place of the rule for findings of a check that have this severity. Code scanning takes the severity of an alert from
    /// its rule, so findings of another severity than their check's have a rule of their own.
    pub(super) fn index(&mut self, check: &Judged, severity: Severity) -> usize {
        let id = line(&check.id, NAME);
        let id = if severity == check.severity { id } else { format!("{id}/{severity}") };
        if let Some(place) = self.0.iter().position(|(known, _)| *known == id) {
            return place;
        }
        let rule = rule(&id, check, severity);
        self.0.push((id, rule));
        self.0.len() - 1
    }

    /// The id of a rule.
    pub(super) fn id(&self, index: usize) -> &str {
        &self.0[index].0
    }

    /// All of them.
    pub(super) fn finish(self) -> Vec<Value> {
        self.0.into_iter().map(|(_, rule)| rule).collect()
    }
}

fn rule(id: &str, check: &Judged, severity: Severity) -> Value {
    let (title, suite) = (line(&check.title, DESCRIPTION), line(&check.suite, NAME));
    let (explained, link) = (line(&check.id, NAME), line(&documentation::link(check), DESCRIPTION));
    let mut rule = json!({
        "id": id,
        "name": line(&check.name, NAME),
        "shortDescription": { "text": title },
        "fullDescription": { "text": title },
        "help": {
            "text": format!("{title}.\n\nWhy it matters and how to fix it: seaworthy explain {explained}, or {link}"),
            "markdown": format!(
                "{}.\n\nWhy it matters and how to fix it: `seaworthy explain` {}, or {}",
                text(&title), text(&explained), text(&link)
            ),
        },
        "defaultConfiguration": { "level": level(severity) },
        "properties": {
            "tags": ["kubernetes", "security", suite],
            "security-severity": score(severity),
        },
    });
    // A path in a checkout is not a URI by itself.
    if link.starts_with("https://") {
        rule["helpUri"] = link.into();
    }
    rule
}

/// The level of a result.
pub(super) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::Major => "error",
        Severity::Minor => "warning",
        Severity::Info => "note",
    }
}

/// The score that code scanning shows as critical, high, medium and low.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::Major => "8.0",
        Severity::Minor => "5.0",
        Severity::Info => "2.0",
    }
}
