//! Runs a plan: observes what the checks need and judges each check the moment its facts are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::profile::allowing;
use super::{ExitCode, Observer, Plan, Source};
use crate::check::{Check, Judged, Outcome, Severity};
use crate::cluster::Cluster;
use crate::event::{Event, Events, RunFinished, RunStarted};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::{Facts, Observe, Parameter};
use crate::milliseconds::milliseconds;
use crate::seen::{Access, Unobserved};

/// For how long at most everything else waits until the probes run.
const HEAD_START: Duration = Duration::from_secs(2);

/// A run that is about to begin.
pub struct Run {
    /// What is to be done.
    pub plan: Plan,
    /// Where facts come from.
    pub source: Source,
    /// Findings of this severity and above fail the run.
    pub gate: Severity,
    /// The ids of checks that were asked for by name: one of them that may not look says what would let it.
    pub named: BTreeSet<&'static str>,
    /// What the first event says.
    pub started: RunStarted,
}

/// What a run concluded.
pub struct Conclusion {
    /// The checks with their outcomes, in the plan's order.
    pub judged: Vec<Judged>,
    /// The facts, for a recording.
    pub facts: Arc<Facts>,
    /// What the process should end with.
    pub exit_code: ExitCode,
}

/// Runs, and tells everything to `events`.
pub async fn run(run: Run, events: Events) -> Conclusion {
    let Run { plan: Plan { checks, facts }, source, gate, named, started } = run;
    let start = Instant::now();
    let cluster = match &source {
        Source::Live { live, .. } => Some(live.cluster.clone()),
        Source::Recorded(_) => None,
    };
    events.send(Event::RunStarted(started));
    let observer = Observer::new(facts.clone(), source, events.clone());
    let judge = async |check: &'static Check| {
        observer.settle((check.needs)()).await;
        let mut judged = check.judged(observer.facts(), gate);
        if named.contains(check.id) {
            hint(check, &mut judged, observer.facts());
        }
        events.send(Event::CheckJudged { at_ms: milliseconds(start.elapsed()), check: judged.clone() });
        judged
    };
    let (judged, ()) = tokio::join!(
        async {
            if let Some(cluster) = &cluster {
                // A node that starts no pod delays the rest no longer than this.
                let _ = timeout(HEAD_START, cluster.others_may_begin()).await;
            }
            // What disrupts comes when everything else is observed, and alone.
            let (disruptive, others): (Vec<&Check>, Vec<&Check>) =
                checks.iter().copied().partition(|check| disrupts(check));
            let mut judged = join_all(others.into_iter().map(&judge)).await;
            for check in disruptive {
                judged.push(judge(check).await);
            }
            judged.sort_by_key(|judged| checks.iter().position(|check| check.id == judged.id));
            judged
        },
        start_probes(&observer, cluster.as_ref()),
    );
    let interrupted = cluster.as_ref().is_some_and(Cluster::is_cancelled);
    let exit_code =
        if interrupted { ExitCode::Interrupted } else { ExitCode::of(judged.iter().map(|check| check.outcome)) };
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for check in &judged {
        *counts.entry(check.outcome).or_default() += 1;
    }
    events.send(Event::RunFinished(RunFinished {
        counts,
        observations: judged
            .iter()
            .filter(|check| check.outcome == Outcome::Pass)
            .map(|check| check.observations)
            .sum(),
        elapsed_ms: milliseconds(start.elapsed()),
        requests: cluster.map_or(0, |cluster| cluster.requests()),
        exit_code: exit_code as u8,
        interrupted,
    }));
    Conclusion { judged, facts, exit_code }
}

fn disrupts(check: &'static Check) -> bool {
    Plan::new(vec![check]).accesses().contains(&Access::Disrupt)
}

/// Observes what probes see, if anybody needs it, before all else: nothing takes longer, and what is asked at the same
/// time delays the pods.
async fn start_probes(observer: &Arc<Observer>, cluster: Option<&Cluster>) {
    if observer.facts().nodes().contains_key(ProbeReports::NAME) {
        observer.settle(vec![<&ProbeReports as Parameter>::need()]).await;
    }
    if let Some(cluster) = cluster {
        cluster.let_others_begin();
    }
}

/// Adds to the reason of a check that was skipped for the profile's sake what would let it look.
fn hint(check: &'static Check, judged: &mut Judged, facts: &Facts) {
    let Some(reason) = &mut judged.reason else { return };
    let nodes = Plan::new(vec![check]).facts.nodes();
    let why = facts.not_allowed(&nodes).find(|why| why.to_string() == *reason);
    if let Some(Unobserved::NotAllowed { access, .. }) = why {
        *reason = format!("{reason}: a run with {} does", allowing(*access));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites;

    #[test]
    fn what_disrupts_is_told_by_the_facts_that_a_check_takes() {
        let ids: Vec<_> = suites::checks().filter(|check| disrupts(check)).map(|check| check.id).collect();
        assert_eq!(ids, ["HA-06"]);
    }
}
