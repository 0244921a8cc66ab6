//! Annotations of a GitHub workflow: commands on its standard output, which the page of the run shows.
//!
//! A step may make ten of each level, and the rest is silently dropped: causes come first, and the last one counts the rest.
//! What follows from a cause has no annotation of its own.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Gathered;
use super::causes_first::causes_first;
use super::conclusion::unfinished;
use super::excerpt::{TEXT, about, excerpt, line};
use crate::check::{Judged, Outcome, Severity};

/// How many annotations of a level a step may make.
const SHOWN: usize = 10;
/// How many characters of a title are shown.
const TITLE: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Error,
    Warning,
    Notice,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

struct Annotation {
    title: String,
    message: String,
}

/// Writes the commands.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let mut levels: BTreeMap<Level, Vec<Annotation>> = BTreeMap::new();
    let title = "seaworthy".to_owned();
    if let Some(message) = unfinished(run) {
        levels.entry(Level::Error).or_default().push(Annotation { title, message: excerpt(&message, TEXT) });
    }
    for (level, annotation) in causes_first(run).into_iter().flat_map(of) {
        levels.entry(level).or_default().push(annotation);
    }
    for (level, annotations) in &levels {
        let shown = if annotations.len() > SHOWN { SHOWN - 1 } else { annotations.len() };
        for annotation in &annotations[..shown] {
            write_command(to, *level, annotation)?;
        }
        let rest = annotations.len() - shown;
        if rest > 0 {
            let message = format!("{rest} more are not shown, since a step may make {SHOWN} annotations of a level");
            write_command(to, *level, &Annotation { title: "seaworthy".into(), message })?;
        }
    }
    Ok(())
}

/// What is not as it should be and follows from nothing else.
fn of(check: &Judged) -> Vec<(Level, Annotation)> {
    let findings =
        check.findings.iter().filter(|finding| finding.cause.is_none() && finding.waived.is_none()).map(|finding| {
            let level = match (check.outcome, finding.severity) {
                (Outcome::Fail, Severity::Major | Severity::Critical) => Level::Error,
                (Outcome::Fail, Severity::Minor | Severity::Info) => Level::Warning,
                (_, severity) => {
                    if severity == Severity::Info {
                        Level::Notice
                    } else {
                        Level::Warning
                    }
                }
            };
            let subjects = about(&finding.subjects);
            let mut message = format!("{subjects}: expected {}, seen {}", finding.expected, finding.seen);
            for (label, part) in [("impact", finding.impact.as_ref()), ("fix", Some(&finding.fix))] {
                if let Some(part) = part.filter(|part| !part.is_empty()) {
                    message = format!("{}\n{label}: {}", excerpt(&message, TEXT), excerpt(part, TEXT));
                }
            }
            let title = format!("{} {}: {}", line(&check.id, TITLE), finding.severity, check.title);
            (level, Annotation { title: line(&title, TITLE), message })
        });
    let unseen = check.unseen.iter().filter(|unseen| unseen.cause.is_none());
    let not_checked = unseen.clone().next().map(|first| {
        let (title, why) = (format!("{} not checked: {}", line(&check.id, TITLE), check.title), line(&first.why, TEXT));
        let message = match (about(&first.subjects), unseen.count()) {
            (subjects, 1) if subjects.is_empty() => why,
            (subjects, 1) => format!("{subjects}: {why}"),
            (_, number) => format!("{number} things could not be checked, such as: {why}"),
        };
        (Level::Warning, Annotation { title: line(&title, TITLE), message })
    });
    findings.chain(not_checked).collect()
}

fn write_command(to: &mut dyn Write, level: Level, annotation: &Annotation) -> io::Result<()> {
    let Annotation { title, message } = annotation;
    writeln!(to, "::{} title={}::{}", level.name(), property(title), data(message))
}

/// The message of a command: it ends with the line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command: it ends at a comma, and all of them at two colons.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;
    use crate::event::Event;
    use crate::report::testing;

    fn written(run: &Gathered) -> Vec<String> {
        testing::written(write, run).lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_level_is_that_of_the_finding() {
        let lines = written(&testing::gathered(&testing::events()));
        assert!(
            lines[0].starts_with("::error title=PK-02 critical%3A The title of PK-02::10.77.0.11:6443"),
            "{}",
            lines[0]
        );
        assert!(lines[0].contains("%0Afix: Add the name"), "{}", lines[0]);
        assert!(lines.iter().any(|line| line.starts_with("::warning title=AA-01 not checked%3A ")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("::notice title=DN-01 info%3A ")), "{lines:?}");
    }

    #[test]
    fn the_last_annotation_of_a_level_counts_the_rest() {
        let mut events = testing::events();
        let mut check = testing::checks().remove(2);
        check.unseen.clear();
        let mut lines = |number: usize| {
            check.findings = (0..number).map(|i| testing::finding(Subject::node(format!("n{i}")), "none")).collect();
            events.truncate(1);
            events.push(Event::CheckJudged { at_ms: 1, check: check.clone() });
            events.push(testing::events().remove(14));
            written(&testing::gathered(&events))
        };
        let all = lines(10);
        assert!(all.len() == 10 && all[9].contains("Node n9"), "{all:?}");
        let cut = lines(11);
        assert!(cut.len() == 10 && cut[9].contains("::2 more are not shown"), "{cut:?}");
    }

    #[test]
    fn no_text_ends_its_command() {
        assert_eq!(data("a%\r\n::error::b"), "a%25%0D%0A::error::b");
        assert_eq!(property("a,b::c%"), "a%2Cb%3A%3Ac%25");
    }

    #[test]
    fn a_run_that_was_cut_off_is_an_error() {
        let lines = written(&testing::gathered(&testing::events()[..6]));
        assert!(lines[0].starts_with("::error title=seaworthy::The run was cut off"), "{lines:?}");
    }
}
