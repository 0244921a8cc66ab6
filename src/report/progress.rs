//! What is shown while a run goes on, on the standard error: a bar on a terminal, otherwise a line for each suite that
//! is done.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{OutputError, Report};
use crate::check::Outcome;
use crate::event::Event;

/// The progress that fits the standard error.
pub fn progress() -> Box<dyn Report> {
    if io::stderr().is_terminal() { Box::new(Live::default()) } else { Box::new(Lines::new(io::stderr())) }
}

/// How often what moves is drawn.
pub(crate) const TICK: Duration = Duration::from_millis(120);

/// A bar over the checks, and a line for each fact that is being observed. All of it is gone at the end.
#[derive(Default)]
struct Live {
    screen: MultiProgress,
    checks: Option<ProgressBar>,
    facts: BTreeMap<String, ProgressBar>,
    wrong: BTreeMap<Outcome, usize>,
}

impl Report for Live {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        match event {
            Event::RunStarted(started) => {
                let bar = self.screen.add(ProgressBar::new(started.checks.len() as u64));
                bar.set_style(style("{bar:30} {pos}/{len} checks  {elapsed}  {msg}"));
                bar.enable_steady_tick(TICK);
                self.checks = Some(bar);
            }
            Event::FactStarted { fact } => {
                let line = ProgressBar::new_spinner().with_message(fact.clone());
                let line = match &self.checks {
                    Some(checks) => self.screen.insert_before(checks, line),
                    None => self.screen.add(line),
                };
                line.set_style(style("{spinner} {msg}  {elapsed}"));
                line.enable_steady_tick(TICK);
                self.facts.insert(fact.clone(), line);
            }
            Event::FactObserved { fact, .. } => {
                if let Some(line) = self.facts.remove(fact) {
                    line.finish_and_clear();
                }
            }
            Event::CheckJudged { check, .. } => {
                *self.wrong.entry(check.outcome).or_default() += 1;
                if let Some(bar) = &self.checks {
                    bar.inc(1);
                    bar.set_message(counts(&self.wrong, |outcome| outcome <= Outcome::Warn));
                }
            }
            // The verdict comes now, and has the terminal to itself.
            Event::RunFinished(_) => {
                self.checks = None;
                let _ = self.screen.clear();
            }
            Event::CausesFound { .. } | Event::Surveyed(_) | Event::CleanedUp(_) => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        // A terminal that is gone needs no clearing.
        let _ = self.screen.clear();
        Ok(())
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}

fn counts(counts: &BTreeMap<Outcome, usize>, shown: impl Fn(Outcome) -> bool) -> String {
    let counts: Vec<_> =
        counts.iter().filter(|(outcome, _)| shown(**outcome)).map(|(outcome, n)| format!("{n} {outcome}")).collect();
    counts.join(", ")
}

/// A line for each suite that is done.
struct Lines<W> {
    to: W,
    suites: Vec<Suite>,
}

struct Suite {
    name: String,
    open: usize,
    counts: BTreeMap<Outcome, usize>,
}

impl<W: Write> Lines<W> {
    fn new(to: W) -> Self {
        Self { to, suites: Vec::new() }
    }
}

impl<W: Write + Send> Report for Lines<W> {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        match event {
            // What was not observed is judged at once.
            Event::RunStarted(started) if started.failed.is_none() => {
                for planned in &started.checks {
                    match self.suites.iter_mut().find(|suite| suite.name == planned.suite) {
                        Some(suite) => suite.open += 1,
                        None => {
                            self.suites.push(Suite { name: planned.suite.clone(), open: 1, counts: BTreeMap::new() });
                        }
                    }
                }
            }
            Event::CheckJudged { at_ms, check } => {
                let Some(suite) = self.suites.iter_mut().find(|suite| suite.name == check.suite) else {
                    return Ok(());
                };
                *suite.counts.entry(check.outcome).or_default() += 1;
                suite.open = suite.open.saturating_sub(1);
                if suite.open == 0 {
                    let seconds = Duration::from_millis(*at_ms).as_secs_f64();
                    // A run goes on even if no one reads its standard error.
                    let _ =
                        writeln!(self.to, "{} after {seconds:.1} s: {}", suite.name, counts(&suite.counts, |_| true));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        Ok(())
    }
}
