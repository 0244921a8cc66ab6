//! No check passes without what it needs: each fact of a healthy cluster is made unobservable in turn.

use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::check::{Check, Judged, Outcome, Severity};
use crate::event::Events;
use crate::recording::Recording;
use crate::run::{Observer, Plan, Source};
use crate::seen::Unobserved;
use crate::suites;

/// Recordings of healthy clusters in which, together, every check passes that passes anywhere.
const HEALTHY: [&str; 5] = ["three-nodes", "high-availability", "policy-engine", "control-plane-loss", "under-systemd"];

/// Checks that pass without a fact which they take: what they assert holds without it.
const WITHOUT: &[(&str, &str)] = &[];

async fn judged(recording: &Value, checks: Vec<&'static Check>) -> Vec<Judged> {
    let recording = Recording::parse(recording.to_string().as_bytes(), Path::new("edited")).unwrap();
    let plan = Plan::new(checks);
    let observer = Observer::new(plan.facts.clone(), Source::Recorded(recording), Events::channel().0);
    observer.settle(plan.checks.iter().flat_map(|check| (check.needs)()).collect()).await;
    plan.checks.iter().map(|check| check.judged(&plan.facts, Severity::Minor)).collect()
}

fn passing(judged: &[Judged]) -> Vec<&'static Check> {
    let passing = judged.iter().filter(|check| check.outcome == Outcome::Pass);
    passing.map(|check| suites::check(&check.id).unwrap()).collect()
}

#[tokio::test]
async fn no_check_passes_without_what_it_needs() {
    let mut without: Vec<(&str, String)> = Vec::new();
    let mut tried = 0;
    for name in HEALTHY {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/healthy/{name}.json.gz"));
        let healthy: Value = serde_json::from_reader(GzDecoder::new(std::fs::File::open(path).unwrap())).unwrap();
        let ids: Vec<String> = serde_json::from_value(healthy["checks"].clone()).unwrap();
        let seen = judged(&healthy, ids.iter().filter_map(|id| suites::check(id)).collect()).await;
        let passing = passing(&seen);
        for fact in healthy["facts"].as_object().unwrap().keys() {
            let takes = |check: &&&'static Check| Plan::new(vec![**check]).facts.names().any(|name| name == fact);
            let takers: Vec<&'static Check> = passing.iter().filter(takes).copied().collect();
            if takers.is_empty() || fact == "expectations" {
                continue;
            }
            let mut blind = healthy.clone();
            let why = Unobserved::timed_out(format!("observing {fact}"), Duration::from_secs(15));
            blind["facts"][fact] = json!({ "Err": why });
            for check in judged(&blind, takers).await {
                tried += 1;
                let pair = (suites::check(&check.id).unwrap().id, fact.clone());
                if check.outcome == Outcome::Pass && !without.contains(&pair) {
                    without.push(pair);
                }
            }
        }
    }
    without.sort();
    let known: Vec<_> = WITHOUT.iter().map(|(check, fact)| (*check, (*fact).to_owned())).collect();
    assert_eq!(without, known);
    assert!(tried > 500, "only {tried} pairs of a check and a fact");
}
