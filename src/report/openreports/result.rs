//! What became of one check, as a result of a policy. A check is one result, however many findings it has.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::check::{Judged, Outcome, Severity, Subject};
use crate::compliance;
use crate::event::Planned;
use crate::report::documentation;

/// How much of a check is shown.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// How many bytes a message may have.
    pub message: usize,
    /// How many objects are named.
    pub resources: usize,
}

/// A result.
#[derive(Debug, Serialize)]
pub struct ReportResult<'a> {
    source: &'static str,
    policy: &'a str,
    rule: &'a str,
    category: &'a str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    scored: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    timestamp: Time,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    properties: BTreeMap<&'a str, String>,
}

#[derive(Debug, Serialize)]
struct Time {
    seconds: i64,
    nanos: i32,
}

/// An object that a finding is about.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
}

/// The name of an outcome there. What is blocked was not decided, as what is skipped: its property says which it is.
pub const fn state(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Fail => "fail",
        Outcome::Error => "error",
        Outcome::Warn => "warn",
        Outcome::Skip | Outcome::Blocked | Outcome::Waived => "skip",
        Outcome::Pass => "pass",
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Major => "high",
        Severity::Minor => "medium",
        Severity::Info => "info",
    }
}

impl<'a> ReportResult<'a> {
    /// A check that was judged.
    pub fn judged(check: &'a Judged, at: Timestamp, detail: Detail) -> Self {
        let mut properties = BTreeMap::from([
            ("documentation", documentation::link(check)),
            ("outcome", check.outcome.name().to_owned()),
            ("findings", check.findings.len().to_string()),
        ]);
        for (framework, ids) in compliance::of(&check.id) {
            properties.insert(framework, ids.join(", "));
        }
        let mut causes: Vec<_> = check.causes().map(|cause| cause.check.as_str()).collect();
        causes.sort_unstable();
        causes.dedup();
        if !causes.is_empty() {
            properties.insert("follows-from", causes.join(", "));
        }
        let mut resources: Vec<_> = check.findings.iter().flat_map(|finding| &finding.subjects).collect();
        resources.retain(|subject| is_object(subject));
        resources.sort();
        resources.dedup();
        if let Some(further) = resources.len().checked_sub(detail.resources).filter(|further| *further > 0) {
            properties.insert("further-resources", further.to_string());
        }
        let worst = check.findings.iter().map(|finding| finding.severity).max().unwrap_or(check.severity);
        Self {
            source: SOURCE,
            policy: &check.id,
            rule: &check.name,
            category: &check.suite,
            result: state(check.outcome),
            severity: Some(severity(worst)),
            scored: true,
            message: shortened(message(check), detail.message),
            timestamp: time(at),
            resources: resources.into_iter().take(detail.resources).map(resource).collect(),
            properties,
        }
    }

    /// A check that the run did not come to judge.
    pub fn unjudged(check: &'a Planned, at: Timestamp) -> Self {
        Self {
            source: SOURCE,
            policy: &check.id,
            rule: &check.name,
            category: &check.suite,
            result: state(Outcome::Error),
            severity: None,
            scored: true,
            message: "the run ended before it was judged".into(),
            timestamp: time(at),
            resources: Vec::new(),
            properties: BTreeMap::new(),
        }
    }
}

/// What reports by this program name as their source.
pub(super) const SOURCE: &str = "seaworthy";

fn time(at: Timestamp) -> Time {
    Time { seconds: at.as_second(), nanos: at.subsec_nanosecond().max(0) }
}

/// Objects have a kind of Kubernetes; addresses, users and zones are named in the message.
fn is_object(subject: &Subject) -> bool {
    subject.kind.starts_with(|letter: char| letter.is_ascii_uppercase())
        && subject.kind.chars().all(|letter| letter.is_ascii_alphanumeric())
        && !subject.name.is_empty()
}

fn resource(subject: &Subject) -> Resource<'_> {
    let core = ["Node", "Pod", "Service", "ConfigMap", "Secret", "Namespace", "ServiceAccount", "PersistentVolume"];
    Resource {
        api_version: core.contains(&subject.kind.as_str()).then_some("v1"),
        kind: &subject.kind,
        namespace: subject.namespace.as_deref(),
        name: &subject.name,
    }
}

fn message(check: &Judged) -> String {
    let mut lines = vec![check.title.clone()];
    for finding in &check.findings {
        let about = crate::check::subject::listed(finding.subjects.iter().take(5));
        lines.push(format!("{about}: expected {}, seen {}. Fix: {}", finding.expected, finding.seen, finding.fix));
    }
    lines.extend(check.unseen.iter().map(|unseen| format!("not checked: {}", unseen.why)));
    lines.extend(check.reason.clone());
    lines.join("\n")
}

/// A text of at most so many bytes, which ends with how many are missing.
fn shortened(text: String, longest: usize) -> String {
    if text.len() <= longest {
        return text;
    }
    let kept = longest.saturating_sub(40);
    let kept = (0..=kept).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}\u{2026} ({} more bytes)", &text[..kept], text.len() - kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{finding, judged};

    const DETAIL: Detail = Detail { message: 2000, resources: 10 };

    fn result(check: &Judged) -> serde_json::Value {
        let at = "2026-11-23T14:00:00.5Z".parse().unwrap();
        serde_json::to_value(ReportResult::judged(check, at, DETAIL)).unwrap()
    }

    #[test]
    fn a_check_is_one_result_with_its_objects() {
        let mut check = judged("AA-19", "cluster-admins", "authn-authz", Outcome::Fail);
        let subjects = ["n2", "n1"].map(Subject::node).to_vec();
        check.findings = vec![finding(Subject::user("jane"), "x"), finding(Subject::cluster(), "y")];
        check.findings[1].subjects = subjects;
        let result = result(&check);
        assert_eq!((&result["result"], &result["severity"]), (&"fail".into(), &"critical".into()));
        assert_eq!(result["timestamp"], serde_json::json!({ "seconds": 1_795_442_400, "nanos": 500_000_000 }));
        let node = |name| serde_json::json!({ "apiVersion": "v1", "kind": "Node", "name": name });
        assert_eq!(result["resources"], serde_json::json!([node("n1"), node("n2")]), "a user is not an object");
        assert_eq!(result["properties"]["cis-1.12"], "5.1.1");
        assert_eq!(result["properties"]["findings"], "2");
        assert!(result["message"].as_str().unwrap().contains("user jane: expected"));
    }

    #[test]
    fn what_is_blocked_is_a_skip_that_says_so() {
        let result = result(&judged("PK-02", "x", "pki", Outcome::Blocked));
        assert_eq!((&result["result"], &result["properties"]["outcome"]), (&"skip".into(), &"blocked".into()));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut check = judged("PK-02", "x", "pki", Outcome::Fail);
        check.findings = vec![finding(Subject::cluster(), &"\u{20ac}".repeat(2000))];
        check.findings[0].subjects = (0..25).map(|n| Subject::node(format!("n{n}"))).collect();
        let result = result(&check);
        assert_eq!(result["resources"].as_array().unwrap().len(), 10);
        assert_eq!(result["properties"]["further-resources"], "15");
        let message = result["message"].as_str().unwrap();
        assert!(message.len() <= 2000 && message.ends_with(" more bytes)"), "{}", message.len());
    }
}
