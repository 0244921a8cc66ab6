//! Judges the recordings of real clusters in `fixtures/`: healthy ones must be found healthy, and each fault must be seen.

#[path = "fault/mod.rs"]
#[expect(dead_code, reason = "applying and reverting faults is for tests/faults.rs")]
mod fault;

use std::fs;
use std::path::{Path, PathBuf};

use fault::Fault;
use seaworthy::check::{Judged, Outcome, Severity};
use seaworthy::event::Events;
use seaworthy::recording::Recording;
use seaworthy::run::{Observer, Plan, Source};
use seaworthy::suites;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Judges what a recording was made for, or some of it.
async fn judge(path: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Judged> {
    let recording = Recording::read(path).expect("a fixture is a recording");
    let ids = recording.header.checks.iter().filter(|id| wanted(id));
    let plan = Plan::new(ids.map(|id| suites::check(id).expect("an id is never taken away")).collect::<Vec<_>>());
    let observer = Observer::new(plan.facts.clone(), Source::Recorded(recording), Events::channel().0);
    observer.settle(plan.checks.iter().flat_map(|check| (check.needs)()).collect()).await;
    plan.checks.iter().map(|check| check.judged(&plan.facts, Severity::Minor)).collect()
}

#[tokio::test]
async fn healthy_clusters_are_found_healthy() {
    let mut clusters = 0;
    for entry in fs::read_dir(fixtures().join("healthy")).expect("there are recordings of healthy clusters") {
        let path = entry.expect("a folder can be read").path();
        for check in judge(&path, |_| true).await {
            let fine = matches!(check.outcome, Outcome::Pass | Outcome::Skip | Outcome::Warn);
            assert!(fine, "{}: {} is {}: {check:?}", path.display(), check.id, check.outcome);
        }
        clusters += 1;
    }
    assert!(clusters >= 3, "one node, three nodes and a highly available cluster, not {clusters}");
}

/// The other healthy clusters have no policy engine, no node of them was lost, and none is under systemd: CN-06, HA-06 and
/// KL-08 skip there.
#[tokio::test]
async fn a_policy_engine_enforces_a_control_plane_survives_and_nodes_are_started_at_boot() {
    for (id, recording) in [("CN-06", "policy-engine"), ("HA-06", "control-plane-loss"), ("KL-08", "under-systemd")] {
        let judged = judge(&fixtures().join(format!("healthy/{recording}.json.gz")), |_| true).await;
        let outcomes: Vec<_> = judged.iter().map(|check| (check.id.as_str(), check.outcome)).collect();
        assert_eq!(outcomes, [(id, Outcome::Pass)], "{judged:?}");
    }
}

#[tokio::test]
async fn every_fault_is_seen_by_the_checks_that_it_names() {
    let mut wrong = Vec::new();
    for fault in Fault::all() {
        let path = fixtures().join("faults").join(format!("{}.json.gz", fault.slug));
        if path.exists() {
            let named = |id: &str| fault.expected.iter().any(|expected| expected.id == id);
            let missing = fault.missing(&judge(&path, named).await);
            wrong.extend(missing.into_iter().map(|text| format!("{}: {text}", fault.slug)));
        } else {
            wrong.push(format!("{}: it has no recording; `just record {}` makes it", fault.slug, fault.slug));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recording_belongs_to_a_fault() {
    let faults = Fault::all();
    for entry in fs::read_dir(fixtures().join("faults")).expect("there are recordings of faults") {
        let name = entry.expect("a folder can be read").file_name().to_string_lossy().into_owned();
        assert!(
            faults.iter().any(|fault| name == format!("{}.json.gz", fault.slug)),
            "{name} has no script in tests/faults"
        );
    }
}

#[test]
fn every_check_has_a_fault_that_turns_it_red() {
    let faults = Fault::all();
    let red = |id: &str| faults.iter().any(|fault| fault.expected.iter().any(|expected| expected.id == id));
    let never: Vec<_> = suites::checks().map(|check| check.id).filter(|id| !red(id)).collect();
    assert!(never.is_empty(), "no fault turns these red: {never:?}");
}
