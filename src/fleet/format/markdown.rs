//! Markdown, for the summary of a CI job or a ticket.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::verdict;
use crate::check::Outcome;
use crate::fleet::Joint;
use crate::report::markdown::escape::text as escaped;
use crate::report::shortened;

/// How many bytes the summary of a job and a comment may have.
const MOST: usize = 65_536;
/// How many of them the last line takes, which states what is left out.
const RESERVE: usize = 200;

/// Writes the document.
pub(crate) fn write(joint: &Joint, to: &mut dyn Write) -> io::Result<()> {
    let (worst, numbers) = verdict(joint);
    let mut parts = vec![format!("# {}: {}\n\n", worst.name(), escaped(&numbers)), clusters(joint)];
    parts.extend(joint.causes_by_check().iter().map(|group| {
        let (key, first) = group[0];
        let title = joint.check(&key.check).map_or("", |check| check.title.as_str());
        let affected = Joint::affected(group).len();
        let word = first.outcome.name();
        let mut part = format!("\n## {word}: {} {} ({affected} of {})\n\n", key.check, escaped(title), joint.number());
        for (key, cause) in group {
            let names: Vec<String> = joint.labelled(cause).map(|(name, _)| escaped(name)).collect();
            let about = cause.common_subject().filter(|about| !about.is_empty());
            let about = about.map(|about| format!("{}: ", escaped(about))).unwrap_or_default();
            let seen = if cause.same_words { &cause.words.seen } else { &key.seen };
            _ = writeln!(part, "- **{}** {about}{}", key.severity, escaped(seen));
            let expected = if cause.same_words { &cause.words.expected } else { &key.expected };
            if let Some(expected) = expected {
                _ = writeln!(part, "  - expected: {}", escaped(expected));
            }
            if let Some(fix) = cause.words.fix.as_ref().filter(|_| cause.same_fix) {
                _ = writeln!(part, "  - fix: {}", escaped(fix));
            }
            _ = writeln!(part, "  - clusters: {}", shortened::items(&names, ", ", false));
        }
        part
    }));
    let mut left_out = 0;
    let mut written = 0;
    for part in parts {
        if left_out > 0 || written + part.len() > MOST - RESERVE {
            left_out += 1;
            continue;
        }
        written += part.len();
        to.write_all(part.as_bytes())?;
    }
    if left_out > 0 {
        writeln!(to, "\n{left_out} more parts are left out: the JSON report has everything.")?;
    }
    Ok(())
}

/// How many clusters the table has.
const ROWS: usize = 300;

fn clusters(joint: &Joint) -> String {
    let mut table =
        String::from("| cluster | verdict | version | fail | error | warn | checks |\n|---|---|---|---|---|---|---|\n");
    for row in joint.worst_first().into_iter().take(ROWS) {
        let ids: Vec<&str> =
            row.with(Outcome::Fail).chain(row.with(Outcome::Error)).map(|line| line.id.as_str()).collect();
        let what = row.failed.clone().unwrap_or_else(|| shortened::items(&ids, " ", false));
        _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} |",
            escaped(&row.member.label),
            row.verdict().name(),
            escaped(&row.cluster.version),
            row.number(Outcome::Fail),
            row.number(Outcome::Error),
            row.number(Outcome::Warn),
            escaped(&crate::fleet::row::cut(&what, 160)),
        );
    }
    if joint.number() > ROWS {
        _ = writeln!(table, "\n{} more clusters are left out.", joint.number() - ROWS);
    }
    table
}
