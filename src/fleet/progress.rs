//! What is shown while a fleet is asked, on the standard error: a bar on a terminal, otherwise a line for each cluster that is
//! done.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::Row;
use super::row::Verdict;
use crate::check::Outcome;
use crate::report::progress::TICK;
use crate::report::text::wrap::printable;

/// How far a fleet has been asked.
pub(crate) struct Progress {
    start: Instant,
    number: usize,
    done: usize,
    verdicts: BTreeMap<Verdict, usize>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// So many clusters are asked from now on.
    pub(crate) fn new(number: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} clusters  {elapsed}  {msg}");
            let bar = ProgressBar::new(number as u64).with_style(style.expect("the template is a constant"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { start: Instant::now(), number, done: 0, verdicts: BTreeMap::new(), bar }
    }

    /// One of them is done.
    pub(crate) fn done(&mut self, row: &Row) {
        self.done += 1;
        *self.verdicts.entry(row.verdict()).or_default() += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
            let counts = self.verdicts.iter().map(|(verdict, number)| format!("{number} {}", verdict.name()));
            bar.set_message(counts.collect::<Vec<_>>().join(", "));
            return;
        }
        let Self { start, number, done, .. } = self;
        let seconds = start.elapsed().as_secs_f64();
        let line = format!("{done} of {number} after {seconds:.1} s: {}: {}", row.member.label, words(row));
        // A fleet is asked even if no one reads its standard error.
        _ = writeln!(io::stderr(), "{}", printable(&line).replace('\n', " "));
    }

    /// How long it took so far, in milliseconds.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        crate::milliseconds::milliseconds(self.start.elapsed())
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What became of a cluster.
fn words(row: &Row) -> String {
    if let Some(why) = &row.failed {
        return format!("{}: {why}", row.verdict().name());
    }
    let counts = [Outcome::Fail, Outcome::Error].map(|outcome| format!("{} {outcome}", row.number(outcome)));
    format!("{}: {}", row.verdict().name(), counts.join(", "))
}
