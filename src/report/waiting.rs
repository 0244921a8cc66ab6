//! What is waited for before a run begins, on the standard error: one line that changes on a terminal, otherwise a line for
//! each change.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::TICK;

/// What is waited for.
pub struct Waiting {
    words: &'static str,
    bar: Option<ProgressBar>,
    shown: String,
}

impl Waiting {
    /// Nothing yet. These words come before what is waited for.
    pub fn new(words: &'static str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}  {elapsed}");
            let bar = ProgressBar::new_spinner().with_style(style.expect("the template is a constant"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { words, bar, shown: String::new() }
    }

    /// Shows what is waited for now.
    pub fn show(&mut self, what: &str) {
        if self.shown == what {
            return;
        }
        what.clone_into(&mut self.shown);
        let line = format!("{}{what}", self.words);
        match &self.bar {
            Some(bar) => bar.set_message(line),
            // A run goes on even if no one reads its standard error.
            None => _ = writeln!(io::stderr(), "{line}"),
        }
    }

    /// Clears the line.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
