//! Markdown for job summaries and comments on pull requests: the root causes first, and no longer than GitHub takes.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::conclusion::Conclusion;
use super::{Gathered, documentation, plain, shortened};
use crate::check::{Finding, Judged, Outcome};

/// How many bytes a comment may have. GitHub counts 65,536 characters; a job summary may be longer.
const LIMIT: usize = 65_536;
/// What is kept free for the end.
const ROOM_FOR_END: usize = 4096;
/// How many findings of a check are written out.
const FINDINGS: usize = 10;
/// Takes away the meaning of `@` and `#` before a word, and is not seen.
const WORD_JOINER: char = '\u{2060}';

/// Writes the report.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(text(run).as_bytes())
}

fn text(run: &Gathered) -> String {
    let mut text = head(run);
    let checks = run.checks().into_iter().map(|timed| &timed.check);
    let roots = run.failing().into_iter().filter(|check| has_own(check));
    let others = checks.filter(|check| check.outcome != Outcome::Fail && has_own(check));
    let mut left_out = 0;
    for check in roots.chain(others) {
        let block = block(run, check);
        if left_out > 0 || text.len() + block.len() > LIMIT - ROOM_FOR_END {
            left_out += 1;
        } else {
            text.push_str(&block);
        }
    }
    if left_out > 0 {
        let checks = if left_out == 1 { "1 more check".into() } else { format!("{left_out} more checks") };
        _ = writeln!(text, "**{checks}** did not fit here: the other reports have all.\n");
    }
    text.push_str(&table(run));
    text
}

/// Whether a check has a result that does not follow from another.
fn has_own(check: &Judged) -> bool {
    check.findings.iter().any(is_own) || check.unseen.iter().any(|unseen| unseen.cause.is_none())
}

/// Whether a finding counts, and follows from nothing.
fn is_own(finding: &Finding) -> bool {
    finding.cause.is_none() && finding.waived.is_none()
}

fn head(run: &Gathered) -> String {
    let Conclusion { verdict, outcome, details } = Conclusion::of(run);
    let mut text = format!("## {} {verdict}\n\n{}\n\n", sign(outcome), escaped(&details));
    if let Some(started) = &run.started {
        let name = if started.cluster.name.is_empty() { "no cluster" } else { &started.cluster.name };
        _ = writeln!(
            text,
            "{} {} · profile {} · {} · seaworthy {}\n",
            code(name),
            escaped(&started.cluster.version),
            code(&started.profile),
            started.at.strftime("%Y-%m-%d %H:%M UTC"),
            escaped(&started.seaworthy)
        );
        if let Some(failed) = &started.failed {
            _ = writeln!(text, "**The run could not begin:** {}\n", escaped(failed));
        }
    }
    text
}

/// What a check found, and what follows from it.
fn block(run: &Gathered, check: &Judged) -> String {
    let mut text = format!("### {} {}: {}\n\n", sign(check.outcome), check.id, escaped(&check.title));
    let own: Vec<&Finding> = check.findings.iter().filter(|finding| is_own(finding)).collect();
    for finding in own.iter().take(FINDINGS) {
        described(&mut text, finding);
    }
    if own.len() > FINDINGS {
        _ = writeln!(text, "{} more findings: the other reports have them.\n", own.len() - FINDINGS);
    }
    for unseen in check.unseen.iter().filter(|unseen| unseen.cause.is_none()).take(FINDINGS) {
        let subjects = match unseen.subjects.as_slice() {
            [] => String::new(),
            some => format!("**{}** ", escaped(&shortened::subjects(some, false))),
        };
        _ = writeln!(text, "- {subjects}could not be checked: {}\n", escaped(&unseen.why));
    }
    let follows = |other: &&Judged| other.causes().any(|cause| cause.check == check.id);
    let consequences: Vec<_> = run.checks().into_iter().map(|timed| &timed.check).filter(follows).collect();
    if !consequences.is_empty() {
        let lines: Vec<_> = consequences
            .iter()
            .flat_map(|other| {
                let lines = plain::consequences(other, &check.id);
                lines.into_iter().map(|line| format!("- {}: {}", other.id, escaped(&line)))
            })
            .collect();
        let results =
            if lines.len() == 1 { "1 result follows".into() } else { format!("{} results follow", lines.len()) };
        let ids: Vec<&str> = consequences.iter().map(|other| other.id.as_str()).collect();
        _ = writeln!(text, "<details><summary>{results} from it: {}</summary>\n", shortened::items(&ids, " ", true));
        for line in lines.iter().take(FINDINGS) {
            _ = writeln!(text, "{line}");
        }
        if lines.len() > FINDINGS {
            _ = writeln!(text, "- and {} more", lines.len() - FINDINGS);
        }
        text.push_str("\n</details>\n\n");
    }
    text
}

fn described(text: &mut String, finding: &Finding) {
    let subjects = escaped(&shortened::subjects(&finding.subjects, false));
    _ = writeln!(text, "**{subjects}** ({})\n", finding.severity);
    _ = writeln!(text, "- expected: {}", escaped(&finding.expected));
    _ = writeln!(text, "- seen: {}", escaped(&finding.seen));
    if !finding.evidence.is_empty() {
        _ = writeln!(text, "- evidence: {}", escaped(&shortened::evidence(&finding.evidence, false)));
    }
    if let Some(impact) = &finding.impact {
        _ = writeln!(text, "- impact: {}", escaped(impact));
    }
    _ = writeln!(text, "- fix:\n\n{}", fenced(&finding.fix));
}

/// How many checks have each outcome, and the reasons of those that were skipped.
fn table(run: &Gathered) -> String {
    let mut text = String::from("| outcome | checks | which |\n|---|---:|---|\n");
    for outcome in Outcome::ALL {
        let checks = run.with(outcome);
        let ids: Vec<String> =
            checks.iter().map(|check| format!("[{}]({})", check.id, documentation::link(check))).collect();
        let which = match outcome {
            Outcome::Pass | Outcome::Skip => String::new(),
            _ => shortened::items(&ids, " ", false),
        };
        _ = writeln!(text, "| {outcome} | {} | {which} |", checks.len());
    }
    let unjudged = run.unjudged().len();
    if unjudged > 0 {
        _ = writeln!(text, "| not judged | {unjudged} | the run was cut off |");
    }
    text
}

const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Fail => "❌",
        Outcome::Error => "❓",
        Outcome::Blocked => "⏸️",
        Outcome::Warn => "⚠️",
        Outcome::Waived => "🤝",
        Outcome::Skip => "⏭️",
        Outcome::Pass => "✅",
    }
}

/// A text without meaning for Markdown, HTML or GitHub, in one line. It never begins one: what has a meaning only there stays.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !escaped.is_empty() {
            escaped.push(' ');
        }
        for c in word.chars() {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '@' | '#' => escaped.extend(['\\', c, WORD_JOINER]),
                '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => escaped.extend(['\\', c]),
                c => escaped.push(c),
            }
        }
    }
    escaped
}

/// A name as code, in one line.
fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fence = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A text as a block of code.
pub(crate) fn fenced(text: &str) -> String {
    let fence = "`".repeat((longest_run(text) + 1).max(3));
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    format!("  {fence}text\n{}\n  {fence}\n", lines.join("\n"))
}

/// The most backticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;
    use crate::report::testing;

    #[test]
    fn what_has_a_meaning_loses_it() {
        assert_eq!(escaped("a|b\n<b>*x*</b>"), "a\\|b &lt;b&gt;\\*x\\*&lt;/b&gt;");
        assert_eq!(escaped("@team #12"), "\\@\u{2060}team \\#\u{2060}12");
        assert_eq!(code("a`b``"), "``` a`b`` ```");
        assert!(fenced("```\nrm").starts_with("  ````text\n  ```\n"));
    }

    #[test]
    fn a_long_report_is_cut_and_says_so() {
        let mut run = testing::gathered(&testing::events());
        let check = run.failing()[0].clone();
        let finding = testing::finding(Subject::node("n1"), &"x".repeat(2000));
        for i in 0..60 {
            let id = format!("ZZ-{i:02}");
            testing::add(&mut run, Judged { id, findings: vec![finding.clone(); 3], ..check.clone() });
        }
        let text = text(&run);
        assert!(text.len() <= LIMIT, "{}", text.len());
        assert!(text.contains("did not fit here") && text.contains("| fail | 61 |"), "{text}");
    }
}
