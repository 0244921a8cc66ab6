//! Runs a plan: observes what the checks need and judges each check the moment its facts are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::timeout;

use super::in_time::in_time;
use super::profile::allowing;
use super::survey::survey;
use super::{ExitCode, Observer, Plan, Source};
use crate::cause::{Departed, Graph, Obstacles, Places, Restarts, fold};
use crate::check::{Check, Judged, Outcome, Root, Severity};
use crate::event::{Cost, Event, Events, Planned, RunFinished, RunStarted};
use crate::fact::{Facts, Node, Stage};
use crate::history::{self, Acceptance};
use crate::live::{Live, Phase};
use crate::milliseconds::milliseconds;
use crate::recording::Recording;
use crate::seen::Unobserved;
use crate::suites;

/// For how long at most everything else waits until what is observed first is under way: a node that starts no pod delays
/// the rest no longer than this.
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
    /// The findings that do not count.
    pub acceptance: Acceptance,
}

impl Run {
    /// The run that judges these checks of a recording as its own run did.
    pub fn judging(recording: Recording, checks: Vec<&'static Check>) -> Self {
        Self {
            gate: recording.header.gate,
            named: BTreeSet::new(),
            started: RunStarted::judging(&recording, &checks),
            acceptance: Acceptance::default(),
            plan: Plan::new(checks),
            source: Source::Recorded(recording),
        }
    }
}

/// What a run concluded.
pub struct Conclusion {
    /// The checks with their outcomes, in the plan's order.
    pub judged: Vec<Judged>,
    /// The checks that name root causes, the first to look at first.
    pub roots: Vec<Root>,
    /// The facts, for a recording.
    pub facts: Arc<Facts>,
    /// What the run cost the cluster, or the recorded one.
    pub cost: Cost,
    /// What the process should end with.
    pub exit_code: ExitCode,
}

/// Runs, and reports everything to `events`.
pub async fn run(run: Run, events: Events) -> Conclusion {
    let Run { plan: Plan { checks, facts }, source, gate, named, mut started, acceptance } = run;
    let start = Instant::now();
    let (live, not_begun) = match &source {
        Source::Live { live: Ok(live), .. } => (Some(live.clone()), None),
        Source::Live { live: Err(why), .. } => (None, Some(why.exit_code)),
        Source::Recorded(_) => (None, None),
    };
    let recorded = match &source {
        Source::Recorded(recording) => recording.header.cost.clone(),
        Source::Live { .. } => Cost::default(),
    };
    if acceptance.waivers.is_some() {
        started.checks.push(Planned::from(&history::CHECK));
    }
    let is_partial = acceptance.is_partial;
    events.send(Event::RunStarted(started));
    let observer = Observer::new(facts.clone(), source, events.clone());
    let (early, late): (Vec<&Check>, Vec<&Check>) =
        checks.iter().copied().partition(|check| stage(check) < Stage::Last);
    let (last, alone): (Vec<&Check>, Vec<&Check>) = late.iter().copied().partition(|check| stage(check) == Stage::Last);
    // What the others need is observed.
    let most_seen = Phase::default();
    if early.is_empty() {
        most_seen.end();
    }
    let unsettled = AtomicUsize::new(checks.len());
    let judge = async |check: &'static Check| {
        observer.settle((check.needs)()).await;
        let left = unsettled.fetch_sub(1, Ordering::Relaxed) - 1;
        if left == late.len() {
            most_seen.end();
        }
        if left == 0 {
            end_observation(live.as_deref());
        }
        let mut judged = judged(check, observer.facts(), gate, live.as_ref()).await;
        if named.contains(check.id) {
            hint(check, &mut judged, observer.facts());
        }
        events.send(Event::CheckJudged { at_ms: milliseconds(start.elapsed()), check: judged.clone() });
        judged
    };
    let (judged, ()) = tokio::join!(
        async {
            if let Some(live) = &live {
                let _ = timeout(HEAD_START, live.head_start.ended()).await;
            }
            let after_others = async {
                most_seen.ended().await;
                let mut judged = join_all(last.iter().copied().map(&judge)).await;
                for check in &alone {
                    judged.push(judge(check).await);
                }
                judged
            };
            let (mut judged, of_late) = tokio::join!(join_all(early.iter().copied().map(&judge)), after_others);
            judged.extend(of_late);
            judged.sort_by_key(|judged| checks.iter().position(|check| check.id == judged.id));
            judged
        },
        observe_first(&observer, live.as_deref()),
    );
    // Without checks, too.
    end_observation(live.as_deref());
    let at_ms = milliseconds(start.elapsed());
    let (judged, roots) = explained(judged, &facts, gate, acceptance, (&events, at_ms), live.as_ref()).await;
    if let Some(survey) = survey(&facts) {
        events.send(Event::Surveyed(survey));
    }
    let interrupted = live.as_ref().is_some_and(|live| live.cluster.is_cancelled());
    let exit_code = match not_begun {
        Some(exit_code) => exit_code,
        None if interrupted => ExitCode::Interrupted,
        None => match ExitCode::of(judged.iter().map(|check| check.outcome)) {
            // What seems to be all known is not, if only a part of it was.
            ExitCode::Seaworthy if is_partial => ExitCode::Inconclusive,
            code => code,
        },
    };
    let cost = live.as_deref().map_or(recorded, Live::cost);
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
        cost: cost.clone(),
        exit_code: exit_code as u8,
        interrupted: exit_code == ExitCode::Interrupted,
    }));
    Conclusion { judged, roots, facts, cost, exit_code }
}

/// Judges. In a live run that happens on a thread of its own, since a run must end in time whatever a judge is doing.
async fn judged(check: &'static Check, facts: &Arc<Facts>, gate: Severity, live: Option<&Arc<Live>>) -> Judged {
    let Some(live) = live else { return check.judged(facts, gate) };
    let of = facts.clone();
    match in_time(live, &format!("judging {}", check.id), move || check.judged(&of, gate)).await {
        Ok(judged) => judged,
        Err(why) => Judged::new(check, Err(why), gate),
    }
}

/// Finds root causes among what was judged, marks what does not count, and reports what both change. A run that must end
/// before that has none.
async fn explained(
    judged: Vec<Judged>,
    facts: &Arc<Facts>,
    gate: Severity,
    acceptance: Acceptance,
    (events, at_ms): (&Events, u64),
    live: Option<&Arc<Live>>,
) -> (Vec<Judged>, Vec<Root>) {
    let (mut folded, of) = (judged.clone(), facts.clone());
    let fold = move || {
        let (graph, places) = (Graph::new(suites::checks()), Places::of(&of));
        Departed::of(&of).excuse(&mut folded, &places, gate);
        let mut roots = fold(&mut folded, &graph, &places, &Restarts::of(&of), &Obstacles::of(&of), gate);
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let waivers = acceptance.check(&folded, gate, today);
        acceptance.apply(&mut folded, &mut roots, gate, today);
        (folded, roots, waivers)
    };
    let found = match live {
        None => Ok(fold()),
        Some(live) => in_time(live, "finding root causes", fold).await,
    };
    let Ok((mut folded, mut roots, waivers)) = found else { return (judged, Vec::new()) };
    let changed: Vec<_> =
        folded.iter().zip(&judged).filter(|(now, was)| now != was).map(|(now, _)| now.clone()).collect();
    if let Some(check) = waivers {
        events.send(Event::CheckJudged { at_ms, check: check.clone() });
        if check.outcome == Outcome::Fail {
            roots.push(Root { check: check.id.clone(), severity: check.severity, explains: 0, place: None });
        }
        folded.push(check);
    }
    events.send(Event::CausesFound { roots: roots.clone(), checks: changed });
    (folded, roots)
}

/// The stage of the last fact that a check needs.
fn stage(check: &'static Check) -> Stage {
    Plan::new(vec![check]).facts.nodes().values().map(Node::stage).max().unwrap_or(Stage::Any)
}

/// Observes what comes first. Its head start is over when it says so, and at the latest when it is observed.
async fn observe_first(observer: &Arc<Observer>, live: Option<&Live>) {
    let nodes = observer.facts().nodes();
    observer.settle_nodes(nodes.into_values().filter(|node| node.stage() == Stage::First)).await;
    if let Some(live) = live {
        live.head_start.end();
    }
}

/// From now on the cluster is asked nothing more: what the run created may go, while judging continues.
fn end_observation(live: Option<&Live>) {
    if let Some(live) = live {
        live.observation.end();
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
    use crate::seen::Access;
    use crate::suites;

    #[test]
    fn a_check_is_alone_when_it_needs_what_disrupts() {
        for check in suites::checks() {
            let disrupts = Plan::new(vec![check]).accesses().contains(&Access::Disrupt);
            assert_eq!(stage(check) == Stage::Alone, disrupts, "{}", check.id);
        }
        let at = |at| suites::checks().filter(|check| stage(check) == at).map(|check| check.id).collect::<Vec<_>>();
        assert_eq!((at(Stage::Last), at(Stage::Alone)), (vec!["KL-01"], vec!["HA-06"]));
    }
}
