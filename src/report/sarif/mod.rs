//! SARIF 2.1.0, within the limits of GitHub's code scanning.
//!
//! Each finding is a result, with those that follow from others; so is what could not be checked, since code scanning takes
//! what is missing in an upload for fixed.

mod location;
mod result;
mod rules;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use self::rules::Rules;
use super::Gathered;
use super::causes_first::causes_first;
use super::conclusion::unfinished;
use super::excerpt::{TEXT, excerpt};
use crate::event::RunStarted;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// How many results code scanning stores. It refuses a file with five times as many.
const RESULTS: usize = 5000;
/// How many bytes the results may have: code scanning takes 10 MB, compressed.
const BYTES: usize = 8_000_000;

/// Writes the log.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let Some(started) = &run.started else { return Ok(()) };
    let mut rules = Rules::default();
    for timed in run.checks() {
        rules.index(&timed.check, timed.check.severity);
    }
    let (results, left_out) = results(run, &mut rules)?;
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "seaworthy",
                "semanticVersion": excerpt(&started.seaworthy, TEXT),
                "rules": rules.finish(),
            }},
            // The last part names the run, what is before it the category, in which a later upload replaces an earlier one.
            "automationDetails": { "id": excerpt(&format!("seaworthy/{}/{}", started.cluster.name, started.at), TEXT) },
            "invocations": [invocation(run, started, left_out)],
            "results": results,
            "properties": {
                "cluster": excerpt(&started.cluster.name, TEXT),
                "clusterVersion": excerpt(&started.cluster.version, TEXT),
                "profile": excerpt(&started.profile, TEXT),
            },
        }],
    });
    serde_json::to_writer_pretty(&mut *to, &log)?;
    to.write_all(b"\n")
}

/// The results, the causes first, and how many did not fit.
fn results(run: &Gathered, rules: &mut Rules) -> io::Result<(Vec<Value>, usize)> {
    let (mut results, mut left_out, mut bytes) = (Vec::new(), 0, 0);
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for check in causes_first(run) {
        let findings = check.findings.iter().map(|finding| result::of_finding(check, finding, run));
        for draft in findings.chain(check.unseen.iter().map(|unseen| result::of_unseen(check, unseen, run))) {
            let copies = known.entry(draft.fingerprint.clone()).or_default();
            *copies += 1;
            let index = rules.index(check, draft.severity);
            let result = draft.finish(rules.id(index), index, *copies);
            bytes += serde_json::to_vec(&result)?.len();
            if results.len() < RESULTS && bytes <= BYTES {
                results.push(result);
            } else {
                left_out += 1;
            }
        }
    }
    Ok((results, left_out))
}

fn invocation(run: &Gathered, started: &RunStarted, left_out: usize) -> Value {
    let mut notifications = Vec::new();
    let unfinished = unfinished(run);
    let successful = unfinished.is_none();
    notifications.extend(unfinished.map(|why| notification("error", &why)));
    if left_out > 0 {
        let why = format!("{left_out} more results do not fit into this file: the report in JSON has them all.");
        notifications.push(notification("warning", &why));
    }
    let mut invocation = json!({
        "executionSuccessful": successful,
        "startTimeUtc": started.at,
        "toolExecutionNotifications": notifications,
    });
    if let Some(finished) = &run.finished {
        invocation["exitCode"] = finished.exit_code.into();
    }
    invocation
}

fn notification(level: &str, text: &str) -> Value {
    json!({ "level": level, "message": { "text": result::message(text) } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;
    use crate::event::Event;
    use crate::report::testing;

    fn written(run: &Gathered) -> Value {
        serde_json::from_str(&testing::written(write, run)).unwrap()
    }

    #[test]
    fn each_finding_and_each_gap_is_a_result_with_a_rule_of_its_severity() {
        let log = written(&testing::gathered(&testing::events()));
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        let of = |check: &crate::check::Judged| check.findings.len() + check.unseen.len();
        assert_eq!(results.len(), testing::checks().iter().map(of).sum::<usize>());
        for result in results {
            let rule = &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
            assert_eq!(result["kind"] == "open", result["level"] == "none", "only a failure has a level");
        }
        assert_eq!(results[0]["ruleId"], "PK-02");
        assert_eq!(results[0]["level"], "error");
        assert_eq!(results[1]["ruleId"], "PK-02/minor", "a finding that is milder than its check");
        assert_eq!(results[1]["level"], "warning");
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    }

    #[test]
    fn a_run_that_was_cut_off_is_not_successful() {
        let log = written(&testing::gathered(&testing::events()[..6]));
        let invocation = &log["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], false);
        let why = invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap();
        assert_eq!(why, "The run was cut off before its end: 2 of 10 checks were judged.");
    }

    #[test]
    fn more_results_than_code_scanning_stores_are_counted() {
        let mut events = testing::events();
        let mut check = testing::checks().remove(2);
        check.findings =
            (0..RESULTS + 7).map(|i| testing::finding(Subject::node(format!("n{i}")), "no certificate")).collect();
        events.truncate(1);
        events.push(Event::CheckJudged { at_ms: 1, check });
        let log = written(&testing::gathered(&events));
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), RESULTS);
        let notifications = log["runs"][0]["invocations"][0]["toolExecutionNotifications"].to_string();
        assert!(notifications.contains("8 more results do not fit"), "{notifications}");
    }

    #[test]
    fn results_that_share_a_fingerprint_are_numbered() {
        let mut events = testing::events();
        let mut check = testing::checks().remove(2);
        check.unseen.clear();
        check.findings = ["one", "another"].map(|seen| testing::finding(Subject::node("n1"), seen)).into();
        events.truncate(1);
        events.push(Event::CheckJudged { at_ms: 1, check });
        let log = written(&testing::gathered(&events));
        let hash = |i: usize| log["runs"][0]["results"][i]["partialFingerprints"]["primaryLocationLineHash"].clone();
        let first = hash(0).as_str().unwrap().to_owned();
        assert!(first.len() == 34 && first.ends_with(":1"), "{first}");
        assert_eq!(hash(1), format!("{}:2", &first[..32]));
    }
}
