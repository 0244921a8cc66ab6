//! Results: findings, and what could not be checked.

use std::fmt::Write;

use serde_json::{Value, json};

use super::location::location;
use super::rules::level;
use crate::check::outcome::Unseen;
use crate::check::{Cause, Finding, Judged, Severity, Subject};
use crate::report::excerpt::{TEXT, about, excerpt, line};
use crate::report::{Gathered, shortened};

/// A result before it is known which rule is its own, and whether its fingerprint is.
pub(super) struct Draft {
    /// By what it is known again.
    pub(super) fingerprint: String,
    /// How severe it is.
    pub(super) severity: Severity,
    kind: &'static str,
    level: &'static str,
    text: String,
    location: Value,
    related: Option<Value>,
    /// Why it does not count, if it does not.
    accepted: Option<String>,
    properties: Value,
}

impl Draft {
    /// The result. It is one of several with its fingerprint: this copy.
    pub(super) fn finish(self, rule: &str, index: usize, copy: usize) -> Value {
        let mut result = json!({
            "ruleId": rule,
            "ruleIndex": index,
            "kind": self.kind,
            "level": self.level,
            "message": { "text": self.text },
            "locations": [self.location],
            "partialFingerprints": {
                // The only one that code scanning reads, in its notation.
                "primaryLocationLineHash": format!("{}:{copy}", self.fingerprint),
                "seaworthy/v1": self.fingerprint,
            },
            "properties": self.properties,
        });
        if let Some(related) = self.related {
            result["relatedLocations"] = json!([related]);
        }
        if let Some(accepted) = self.accepted {
            let suppression = json!({ "kind": "external", "status": "accepted", "justification": accepted });
            result["suppressions"] = json!([suppression]);
        }
        result
    }
}

/// The result of a finding.
pub(super) fn of_finding(check: &Judged, finding: &Finding, run: &Gathered) -> Draft {
    let subjects = about(&finding.subjects);
    let (expected, seen) = (line(&finding.expected, TEXT), line(&finding.seen, TEXT));
    let mut text = format!("{subjects}: expected {expected}, seen {seen}.");
    let evidence = excerpt(&shortened::evidence(&finding.evidence, false), TEXT);
    let impact = finding.impact.as_deref().map(|impact| excerpt(impact, TEXT));
    let fix = excerpt(&finding.fix, TEXT);
    let parts = [("Evidence", Some(&evidence)), ("Impact", impact.as_ref()), ("Fix", Some(&fix))];
    for (label, part) in parts.into_iter().filter_map(|(label, part)| Some((label, part.filter(|it| !it.is_empty())?)))
    {
        _ = write!(text, "\n{label}: {part}");
    }
    let mut properties = properties(check, &finding.subjects, finding.cause.as_ref());
    properties["severity"] = finding.severity.name().into();
    properties["expected"] = expected.into();
    properties["seen"] = seen.into();
    properties["fix"] = fix.into();
    Draft {
        fingerprint: finding.fingerprint(&check.id),
        severity: finding.severity,
        kind: "fail",
        level: level(finding.severity),
        text: with_cause(&text, finding.cause.as_ref()),
        location: location(&finding.subjects),
        related: finding.cause.as_ref().map(|cause| related(cause, run)),
        accepted: finding.waived.as_ref().map(ToString::to_string),
        properties,
    }
}

/// The result of what could not be checked.
pub(super) fn of_unseen(check: &Judged, unseen: &Unseen, run: &Gathered) -> Draft {
    let subjects = match unseen.subjects.as_slice() {
        [] => String::new(),
        some => format!("{}: ", about(some)),
    };
    let text = format!("{subjects}could not be checked: {}.", line(&unseen.why, TEXT));
    Draft {
        fingerprint: unseen.fingerprint(&check.id),
        severity: check.severity,
        // There was not enough to see to decide; what is open has no level.
        kind: "open",
        level: "none",
        text: with_cause(&text, unseen.cause.as_ref()),
        location: location(&unseen.subjects),
        related: unseen.cause.as_ref().map(|cause| related(cause, run)),
        accepted: None,
        properties: properties(check, &unseen.subjects, unseen.cause.as_ref()),
    }
}

fn properties(check: &Judged, subjects: &[Subject], cause: Option<&Cause>) -> Value {
    let mut properties = json!({ "outcome": check.outcome.name(), "subjects": subjects.len() });
    if let Some(cause) = cause {
        properties["cause"] = json!({ "check": line(&cause.check, TEXT), "finding": cause.finding });
    }
    properties
}

fn with_cause(text: &str, cause: Option<&Cause>) -> String {
    let text = message(text);
    match cause {
        // A link to the location with this id.
        Some(cause) => format!("{text}\nIt follows from [{}](1).", escaped(&line(&cause.check, TEXT))),
        None => text,
    }
}

/// Where the root is.
fn related(cause: &Cause, run: &Gathered) -> Value {
    let root = run.check(&cause.check);
    let finding = root.and_then(|root| root.findings.get(cause.finding?));
    let subjects = match (finding, root.and_then(|root| root.unseen.first())) {
        (Some(finding), _) => finding.subjects.as_slice(),
        (None, Some(unseen)) => unseen.subjects.as_slice(),
        (None, None) => &[],
    };
    let mut related = location(subjects);
    related["id"] = 1.into();
    let title = root.map_or_else(String::new, |root| format!(": {}", line(&root.title, TEXT)));
    related["message"] = json!({ "text": message(&format!("{}{title}", line(&cause.check, TEXT))) });
    related
}

/// A text in which nothing is a link.
pub(super) fn message(text: &str) -> String {
    if text.contains("](") { escaped(text) } else { text.to_owned() }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::report::testing;

    #[test]
    fn no_name_becomes_a_link() {
        assert_eq!(message("a[0] of [x](1)"), "a\\[0\\] of \\[x\\](1)");
        assert_eq!(message("a[0]"), "a[0]");
    }

    #[test]
    fn what_follows_from_a_root_links_to_it() {
        let run = testing::gathered(&testing::events());
        let cause = Some(Cause { check: "PK-02".into(), finding: Some(1) });
        let finding = Finding { cause, ..testing::finding(Subject::cluster(), "a") };
        let check = testing::judged("SN-01", "x", "service-network", Outcome::Blocked);
        let result = of_finding(&check, &finding, &run).finish("SN-01", 0, 1);
        assert!(result["message"]["text"].as_str().unwrap().ends_with("\nIt follows from [PK-02](1)."));
        let related = &result["relatedLocations"][0];
        assert_eq!(related["physicalLocation"]["artifactLocation"]["uri"], "cluster/Node/n3");
        assert_eq!(related["message"]["text"], "PK-02: The title of PK-02");
    }

    #[test]
    fn what_is_seen_does_not_change_the_fingerprint_of_a_result() {
        let run = testing::gathered(&testing::events());
        let check = testing::judged("SN-01", "x", "service-network", Outcome::Fail);
        let hash = |seen: &str| of_finding(&check, &testing::finding(Subject::cluster(), seen), &run).fingerprint;
        assert_eq!(hash("3 of 5"), hash("4 of 5"));
    }
}
