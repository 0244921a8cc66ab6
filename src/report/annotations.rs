//! Annotations of GitHub Actions: workflow commands on the standard output, which the page of the run shows.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::conclusion::Conclusion;
use super::{Gathered, plain};
use crate::check::{Judged, Outcome};

/// How many annotations of a level GitHub shows of a step.
const SHOWN: usize = 10;

/// Writes the annotations: failing checks in the order of their causes, then what could not be checked, then warnings.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(text(run).as_bytes())
}

fn text(run: &Gathered) -> String {
    let mut text = String::new();
    let roots = run
        .failing()
        .into_iter()
        .filter(|check| check.findings.iter().any(|finding| finding.cause.is_none() && finding.waived.is_none()));
    level(&mut text, "error", &roots.collect::<Vec<_>>());
    let warnings = [Outcome::Error, Outcome::Warn].map(|outcome| run.with(outcome)).concat();
    level(&mut text, "warning", &warnings);
    let Conclusion { verdict, details, .. } = Conclusion::of(run);
    _ = writeln!(text, "::notice title={}::{}", property(&format!("seaworthy: {verdict}")), message(&details));
    text
}

fn level(text: &mut String, level: &str, checks: &[&Judged]) {
    // The last one counts those that are not shown.
    let shown = if checks.len() > SHOWN { SHOWN - 1 } else { checks.len() };
    for check in &checks[..shown] {
        let title = property(&format!("{} {}", check.id, check.name));
        let fix = check.findings.first().map(|finding| format!("\nfix: {}", finding.fix)).unwrap_or_default();
        _ = writeln!(text, "::{level} title={title}::{}", message(&format!("{}{fix}", plain::line(check))));
    }
    if shown < checks.len() {
        let ids: Vec<&str> = checks[shown..].iter().map(|check| check.id.as_str()).collect();
        let title = format!("{} more checks", ids.len());
        _ = writeln!(text, "::{level} title={}::{}", property(&title), message(&ids.join(" ")));
    }
}

/// The text after a command, as the runner reads it.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn no_text_begins_another_command() {
        assert_eq!(message("50%\n::error::x"), "50%25%0A::error::x");
        assert_eq!(property("a,b: c"), "a%2Cb%3A c");
    }

    #[test]
    fn more_than_ten_are_counted_in_the_tenth() {
        let mut run = testing::gathered(&testing::events());
        let check = run.failing()[0].clone();
        for i in 0..14 {
            testing::add(&mut run, Judged { id: format!("ZZ-{i:02}"), ..check.clone() });
        }
        let text = text(&run);
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("::error ")).collect();
        assert_eq!(errors.len(), SHOWN);
        assert!(errors[9].starts_with("::error title=6 more checks::ZZ-"), "{}", errors[9]);
    }
}
