//! Checks as trials of libtest-mimic, so that what drives tests can drive them: `cargo test`, cargo-nextest, an IDE.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Parser;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::sync::{mpsc, oneshot};

use crate::check::{Check, Judged, Outcome};
use crate::event::{CleanedUp, Event};
use crate::redaction::Redaction;
use crate::report::plain;
use crate::report::text::wrap::printable;

/// How many trials wait for their verdicts at once, unless it is said. They only wait: the run has its own limits.
const WAITING: usize = 16;

/// Parses the arguments that libtest takes.
pub(crate) fn arguments(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let program = OsString::from("seaworthy test --");
    let mut arguments = Arguments::try_parse_from(std::iter::once(program).chain(args))?;
    match arguments.test_threads {
        // libtest-mimic would wait for ever.
        Some(0) => Err(clap::Error::raw(
            clap::error::ErrorKind::ValueValidation,
            "--test-threads 0: without a thread no trial would ever run\n",
        )),
        threads => {
            arguments.test_threads = Some(threads.unwrap_or(WAITING));
            Ok(arguments)
        }
    }
}

/// What a check is called as a trial: without spaces, and unique.
pub(crate) fn name(check: &Check) -> String {
    format!("{}::{}::{}", check.suite, check.id, check.name)
}

/// The checks that the arguments choose to run.
pub(crate) fn chosen(checks: Vec<&'static Check>, arguments: &Arguments) -> Vec<&'static Check> {
    let runs = |check: &&Check| {
        let trial = Trial::test(name(check), || Ok(()));
        !arguments.is_filtered_out(&trial) && !arguments.is_ignored(&trial)
    };
    checks.into_iter().filter(runs).collect()
}

/// Where the verdicts of a run are handed to the trials that wait for them.
#[derive(Default)]
pub(crate) struct Verdicts(BTreeMap<String, oneshot::Sender<Judged>>);

impl Verdicts {
    /// A trial for each check, which waits for that check's verdict.
    pub(crate) fn trials(checks: &[&'static Check]) -> (Self, Vec<Trial>) {
        let mut verdicts = Self::default();
        let trials = checks.iter().map(|check| {
            let (sender, receiver) = oneshot::channel();
            verdicts.0.insert(check.id.into(), sender);
            Trial::ignorable_test(name(check), move || conclude(receiver))
        });
        let trials = trials.collect();
        (verdicts, trials)
    }

    /// Hands out what the run reports, until it has reported everything: what may follow from another check, when that is
    /// known. Returns what its clean-up has left behind.
    pub(crate) async fn hand_out(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        redaction: &Redaction,
    ) -> Vec<String> {
        let mut behind = Vec::new();
        let mut open: BTreeMap<String, Judged> = BTreeMap::new();
        while let Some(event) = events.recv().await {
            match event.redacted(redaction) {
                Event::CheckJudged { check, .. } if matches!(check.outcome, Outcome::Fail | Outcome::Error) => {
                    open.insert(check.id.clone(), check);
                }
                Event::CheckJudged { check, .. } => self.hand(check),
                Event::CausesFound { checks, .. } => {
                    open.extend(checks.into_iter().map(|check| (check.id.clone(), check)));
                    for check in std::mem::take(&mut open).into_values() {
                        self.hand(check);
                    }
                }
                Event::CleanedUp(CleanedUp { namespace, left: Some(left), .. }) => {
                    let place = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
                    behind.push(format!("left behind{place}: {left}"));
                }
                _ => {}
            }
        }
        for check in open.into_values() {
            self.hand(check);
        }
        behind
    }

    fn hand(&mut self, check: Judged) {
        if let Some(trial) = self.0.remove(&check.id) {
            // A trial that is gone wants no verdict.
            let _ = trial.send(check);
        }
    }
}

fn conclude(verdict: oneshot::Receiver<Judged>) -> Result<Completion, Failed> {
    let check = verdict.blocking_recv().map_err(|_| Failed::from("the run ended before this check was judged"))?;
    match check.outcome {
        Outcome::Pass | Outcome::Warn => Ok(Completion::Completed),
        Outcome::Skip | Outcome::Blocked | Outcome::Waived => Ok(Completion::ignored_with(plain::line(&check))),
        Outcome::Fail | Outcome::Error => Err(Failed::from(printable(&plain::text(&check)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Events;
    use crate::report::testing;
    use crate::suites;

    fn parse(args: &[&str]) -> Result<Arguments, clap::Error> {
        arguments(args.iter().map(OsString::from))
    }

    #[test]
    fn no_threads_are_refused() {
        assert!(parse(&["--test-threads", "0"]).unwrap_err().to_string().contains("no trial would ever run"));
        assert_eq!(parse(&["--test-threads=1"]).unwrap().test_threads, Some(1));
        assert!(parse(&["--no-such-flag"]).is_err());
    }

    #[test]
    fn filters_choose_checks() {
        let ids = |args: &[&str]| -> Vec<&str> {
            let checks = chosen(suites::checks().collect(), &parse(args).unwrap());
            checks.iter().map(|check| check.id).collect()
        };
        assert_eq!(ids(&[]).len(), suites::checks().count());
        assert_eq!(ids(&["CP-05"]), ["CP-05"]);
        assert_eq!(ids(&["--exact", "control-plane::CP-05::leader-leases"]), ["CP-05"]);
        assert!(ids(&["control-plane::", "--skip", "CP-"]).is_empty());
        assert!(ids(&["--exact", "CP-05"]).is_empty());
    }

    #[test]
    fn names_are_unique_and_without_spaces() {
        let mut names: Vec<_> = suites::checks().map(name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), suites::checks().count());
        assert!(!names.iter().any(|name| name.contains(' ')));
    }

    #[tokio::test]
    async fn each_trial_gets_its_own_verdict() {
        let checks = testing::checks();
        let (mut verdicts, mut waiting) = (Verdicts::default(), Vec::new());
        let (events, stream) = Events::channel();
        for check in &checks {
            let (sender, receiver) = oneshot::channel();
            verdicts.0.insert(check.id.clone(), sender);
            waiting.push(receiver);
        }
        for check in checks.iter().rev() {
            events.send(Event::CheckJudged { at_ms: 0, check: check.clone() });
        }
        let (namespace, left) = (Some("seaworthy-x".into()), Some("a pod".into()));
        events.send(Event::CleanedUp(CleanedUp { namespace, left, ..CleanedUp::default() }));
        drop(events);
        let behind = verdicts.hand_out(stream, &Redaction::default()).await;
        assert_eq!(behind, ["left behind in seaworthy-x: a pod"]);
        for (check, verdict) in checks.iter().zip(waiting) {
            assert_eq!(verdict.await.unwrap().id, check.id);
        }
    }

    #[tokio::test]
    async fn a_trial_whose_check_is_not_judged_fails() {
        let (sender, receiver) = oneshot::channel::<Judged>();
        drop(sender);
        let lost = tokio::task::spawn_blocking(|| conclude(receiver)).await.unwrap();
        assert_eq!(lost.err().unwrap().message(), Some("the run ended before this check was judged"));
    }
}
