//! The whole object, as JSON, which is YAML too.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::name::name;
use super::result::{Detail, ReportResult, SOURCE, state};
use crate::check::Outcome;
use crate::report::Gathered;

/// How many bytes the object may have. etcd takes 1.5 MB, and the API server adds its own fields.
const LARGEST: usize = 1_000_000;
/// How much of each check is shown, the most first: the first that fits is taken.
const DETAILS: [Detail; 3] = [
    Detail { message: 2000, resources: 10 },
    Detail { message: 400, resources: 2 },
    Detail { message: 100, resources: 0 },
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterReport<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    source: &'static str,
    summary: BTreeMap<&'static str, usize>,
    results: Vec<ReportResult<'a>>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    name: String,
    labels: BTreeMap<&'static str, &'static str>,
    annotations: BTreeMap<&'static str, &'a str>,
}

impl<'a> ClusterReport<'a> {
    fn new(run: &'a Gathered, detail: Detail) -> Option<Self> {
        let started = run.started.as_ref()?;
        let mut summary: BTreeMap<_, _> = Outcome::ALL.into_iter().map(|outcome| (state(outcome), 0)).collect();
        for timed in run.checks() {
            *summary.entry(state(timed.check.outcome)).or_default() += 1;
        }
        *summary.entry(state(Outcome::Error)).or_default() += run.unjudged().len();
        let judged = run.checks().into_iter().map(|timed| ReportResult::judged(&timed.check, started.at, detail));
        let unjudged = run.unjudged().into_iter().map(|planned| ReportResult::unjudged(planned, started.at));
        Some(Self {
            api_version: "openreports.io/v1alpha1",
            kind: "ClusterReport",
            metadata: Metadata {
                name: name(&[&started.cluster.name, &started.profile]),
                labels: [("app.kubernetes.io/managed-by", SOURCE)].into(),
                annotations: [
                    ("seaworthy/cluster", started.cluster.name.as_str()),
                    ("seaworthy/profile", &started.profile),
                    ("seaworthy/version", &started.seaworthy),
                ]
                .into(),
            },
            source: SOURCE,
            summary,
            results: judged.chain(unjudged).collect(),
        })
    }
}

/// Writes the object, with less of each check where it would be too large.
pub(in crate::report) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    for detail in DETAILS {
        let Some(report) = ClusterReport::new(run, detail) else { return Ok(()) };
        text = serde_json::to_vec_pretty(&report)?;
        if text.len() <= LARGEST {
            break;
        }
    }
    to.write_all(&text)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::check::Subject;
    use crate::event::Event;
    use crate::report::testing::{self, events, finding, judged};

    fn written(events: &[Event]) -> (Value, usize) {
        let text = testing::written(write, &testing::gathered(events));
        (serde_json::from_str(&text).unwrap(), text.len())
    }

    #[test]
    fn the_summary_counts_the_results() {
        for events in [events(), events().into_iter().take(7).collect()] {
            let (report, _) = written(&events);
            let results = report["results"].as_array().unwrap();
            assert_eq!(results.len(), crate::report::testing::checks().len(), "each selected check is one result");
            for (state, count) in report["summary"].as_object().unwrap() {
                let counted = results.iter().filter(|result| result["result"] == state.as_str()).count();
                assert_eq!(count, counted, "{state}");
            }
        }
    }

    #[test]
    fn it_conforms_to_the_schema_of_its_api() {
        let schema = include_str!("../../../reports/openreports.schema.json");
        let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
        let (report, _) = written(&events());
        let errors: Vec<_> = validator.iter_errors(&report).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut wrong = report.clone();
        wrong["results"][0]["result"] = "blocked".into();
        assert!(!validator.is_valid(&wrong), "the API refuses other results");
        wrong = report.clone();
        wrong["results"][0]["severities"] = "high".into();
        assert!(!validator.is_valid(&wrong), "the API drops unknown fields");
        wrong = report;
        wrong["results"][0]["properties"]["x"] = 1.into();
        assert!(!validator.is_valid(&wrong), "properties are texts");
    }

    #[test]
    fn a_thousand_broken_nodes_fit_into_one_object() {
        let mut events = events();
        for n in 0..1000 {
            let mut check = judged(&format!("X-{n}"), "x", "x", Outcome::Fail);
            check.findings = vec![finding(Subject::cluster(), &"\"\n".repeat(1000)); 20];
            check.findings[0].subjects = (0..1000).map(|n| Subject::node(format!("node-{n:0200}"))).collect();
            events.insert(5, Event::CheckJudged { at_ms: 0, check });
        }
        let (report, size) = written(&events);
        assert!(size <= LARGEST, "{size}");
        let first = &report["results"].as_array().unwrap()[20];
        assert!(first["message"].as_str().unwrap().ends_with(" more bytes)"));
    }
}
