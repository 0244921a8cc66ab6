//! SARIF 2.1.0 for code scanning: each finding is a result of its check's rule.
//!
//! GitHub wants a file for each result. A cluster has none, so a result is at a path that is made of what it is about, such as
//! `clusters/prod/Node/n3`: the same in each run.

use std::collections::BTreeMap;
use std::io::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Gathered, documentation, shortened};
use crate::check::{Finding, Judged, Outcome, Severity, Subject};

/// How many results GitHub reads of a run.
const RESULTS: usize = 25_000;
/// How many locations of a result are listed. GitHub shows the first.
const LOCATIONS: usize = 10;
/// What a segment of a path is written with.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes the log.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, &log(run))?;
    to.write_all(b"\n")
}

fn log(run: &Gathered) -> Value {
    let checks: Vec<&Judged> = run.checks().into_iter().map(|timed| &timed.check).collect();
    let places: BTreeMap<&str, usize> = checks.iter().enumerate().map(|(i, check)| (check.id.as_str(), i)).collect();
    let cluster = run.started.as_ref().map_or("", |started| started.cluster.name.as_str());
    let root = |check: &Judged| run.roots.iter().position(|root| root.check == check.id).unwrap_or(usize::MAX);
    let mut found: Vec<(&Judged, &Finding)> =
        checks.iter().flat_map(|check| check.findings.iter().map(|finding| (*check, finding))).collect();
    found.sort_by_key(|(check, finding)| (finding.cause.is_some(), root(check), std::cmp::Reverse(finding.severity)));
    let left_out = found.len().saturating_sub(RESULTS);
    let results: Vec<Value> = found
        .iter()
        .take(RESULTS)
        .map(|(check, finding)| result(check, finding, places[check.id.as_str()], cluster))
        .collect();
    let mut notifications: Vec<Value> = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Error)
        .flat_map(|check| check.unseen.iter().map(move |unseen| (check, unseen)))
        .map(|(check, unseen)| {
            let subjects = subjects(&unseen.subjects);
            let text = format!("{}: {subjects}could not be checked: {}", check.id, unseen.why);
            notification("error", &text, Some(&check.id))
        })
        .collect();
    let unjudged = run.unjudged().len();
    if unjudged > 0 {
        notifications.push(notification(
            "error",
            &format!("the run was cut off: {unjudged} checks were not judged"),
            None,
        ));
    }
    if left_out > 0 {
        notifications.push(notification("warning", &format!("{left_out} more results are not listed"), None));
    }
    let mut invocation = json!({
        "executionSuccessful": run.finished.is_some() && run.started.as_ref().is_none_or(|started| started.failed.is_none()),
        "toolExecutionNotifications": notifications,
    });
    if let Some(started) = &run.started {
        invocation["startTimeUtc"] = started.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    if let Some(finished) = &run.finished {
        invocation["exitCode"] = finished.exit_code.into();
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "seaworthy",
                "semanticVersion": run.started.as_ref().map_or(env!("CARGO_PKG_VERSION"), |started| &started.seaworthy),
                "rules": checks.iter().map(|check| rule(check)).collect::<Vec<_>>(),
            }},
            // The results of another cluster or profile do not replace these.
            "automationDetails": { "id": format!("seaworthy/{}/{}/", segment(cluster), profile(run)) },
            "invocations": [invocation],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn profile(run: &Gathered) -> String {
    run.started.as_ref().map_or_else(String::new, |started| segment(&started.profile))
}

fn rule(check: &Judged) -> Value {
    let documentation = documentation::link(check);
    let mut rule = json!({
        "id": check.id,
        "name": check.name,
        "shortDescription": { "text": check.title },
        "help": { "text": format!("seaworthy explain {}, or {documentation}", check.id) },
        "defaultConfiguration": { "level": level(check.severity) },
        "properties": {
            "tags": ["kubernetes", check.suite],
            "precision": "very-high",
            "problem.severity": level(check.severity),
            "security-severity": score(check.severity),
        },
    });
    if documentation.starts_with("https://") {
        rule["helpUri"] = documentation.into();
    }
    rule
}

fn result(check: &Judged, finding: &Finding, rule: usize, cluster: &str) -> Value {
    let print = finding.fingerprint(&check.id);
    let impact = finding.impact.iter().map(|impact| format!("\nImpact: {impact}"));
    let follows = finding.cause.iter().map(|cause| format!("\nFollows from {}.", cause.check));
    let text = format!(
        "{}expected {}, seen {}{}\nFix: {}{}",
        subjects(&finding.subjects),
        finding.expected,
        finding.seen,
        impact.collect::<String>(),
        finding.fix,
        follows.collect::<String>()
    );
    let mut locations: Vec<Value> =
        finding.subjects.iter().take(LOCATIONS).map(|subject| location(cluster, subject)).collect();
    if locations.is_empty() {
        locations.push(location(cluster, &Subject::cluster()));
    }
    let mut result = json!({
        "ruleId": check.id,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "kind": "fail",
        "message": { "text": text },
        "locations": locations,
        // GitHub tells results apart by the first.
        "partialFingerprints": { "primaryLocationLineHash": format!("{print}:1"), "seaworthy/v1": print },
        "properties": {
            "outcome": check.outcome,
            "evidence": finding.evidence,
            "cause": finding.cause,
        },
    });
    if let Some(waived) = &finding.waived {
        let suppression = json!({ "kind": "external", "status": "accepted", "justification": waived.to_string() });
        result["suppressions"] = json!([suppression]);
    }
    result
}

fn location(cluster: &str, subject: &Subject) -> Value {
    let parts =
        [Some("clusters"), Some(cluster), Some(&subject.kind), subject.namespace.as_deref(), Some(&subject.name)];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).map(segment).collect();
    json!({
        "physicalLocation": { "artifactLocation": { "uri": parts.join("/") }, "region": { "startLine": 1 } },
        "logicalLocations": [{ "fullyQualifiedName": subject.to_string(), "kind": "object" }],
    })
}

/// A segment of a path. One of dots alone would lead elsewhere.
fn segment(text: &str) -> String {
    let written = utf8_percent_encode(text, KEPT).to_string();
    if written.chars().all(|c| c == '.') { written.replace('.', "%2E") } else { written }
}

fn notification(level: &str, text: &str, check: Option<&str>) -> Value {
    let mut notification = json!({ "level": level, "message": { "text": text } });
    if let Some(check) = check {
        notification["associatedRule"] = json!({ "id": check });
    }
    notification
}

fn subjects(all: &[Subject]) -> String {
    if all.is_empty() { String::new() } else { format!("{}: ", shortened::subjects(all, false)) }
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::Major => "error",
        Severity::Minor => "warning",
        Severity::Info => "note",
    }
}

/// The score by which GitHub names a severity: critical from 9.0, high from 7.0, medium from 4.0.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::Major => "8.0",
        Severity::Minor => "5.0",
        Severity::Info => "1.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn every_finding_is_a_result_with_a_place_and_a_fingerprint() {
        let log = log(&testing::gathered(&testing::events()));
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), testing::checks().iter().map(|check| check.findings.len()).sum::<usize>());
        let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        for result in results {
            let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            assert!(place.as_str().unwrap().starts_with("clusters/bed/"), "{place}");
            assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], result["ruleId"]);
            assert_eq!(result["partialFingerprints"]["seaworthy/v1"].as_str().unwrap().len(), 32);
        }
    }

    #[test]
    fn no_name_leads_to_another_path() {
        let hostile = Subject::object("Pod", "..", "../../etc/passwd?#%");
        let uri = location("a b", &hostile)["physicalLocation"]["artifactLocation"]["uri"].clone();
        assert_eq!(uri, "clusters/a%20b/Pod/%2E%2E/..%2F..%2Fetc%2Fpasswd%3F%23%25");
    }
}
