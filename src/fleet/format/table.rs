//! The clusters as a table for people: those that are not all right, the worst first, and the names of the others.

use unicode_width::UnicodeWidthStr;

use super::text::Shown;
use crate::check::Outcome;
use crate::fleet::row::{self, Verdict};
use crate::fleet::{Joint, Row};
use crate::report::shortened;
use crate::report::text::page::{INDENT, Page};
use crate::report::text::style::{self, FAINT, PLAIN, STRONG};
use crate::report::text::wrap::printable;

/// How many clusters are in the table unless all are wanted.
const ROWS: usize = 40;
/// The columns of the table after the cluster and its version, which end with numbers.
const NUMBERS: [Outcome; 3] = [Outcome::Fail, Outcome::Error, Outcome::Warn];
/// How wide each of those is.
const NUMBER: usize = 5;
/// How wide a version is shown at most.
const VERSION: usize = 12;
/// How many columns the checks of a cluster take at least.
const CHECKS: usize = 17;

/// The clusters that are not all right, the worst first, and the names of the others.
pub(super) fn table(page: &mut Page, joint: &Joint, shown: &Shown<'_>) {
    let rows = joint.worst_first();
    let (fine, listed): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| !shown.all && row.verdict() == Verdict::Seaworthy);
    let most = if shown.all { listed.len() } else { listed.len().min(ROWS) };
    let columns = Columns::new(shown.width, &listed[..most]);
    if !listed.is_empty() {
        columns.heading(page);
    }
    for row in &listed[..most] {
        columns.row(page, row);
    }
    if most < listed.len() {
        page.paragraph(0, FAINT, &format!("and {} more clusters (-v lists them)", listed.len() - most));
    }
    if !fine.is_empty() {
        let names: Vec<&str> = fine.iter().map(|row| row.member.label.as_str()).collect();
        let what = format!("{} ({}):", Verdict::Seaworthy.name(), fine.len());
        page.lead(style::outcome(Outcome::Pass), &what, INDENT, &shortened::items(&names, ", ", false));
    }
    page.blank();
}

/// How wide the columns of the table are.
struct Columns {
    width: usize,
    label: usize,
    version: usize,
}

impl Columns {
    fn new(width: usize, rows: &[&Row]) -> Self {
        let widest = |of: fn(&Row) -> &str| rows.iter().map(|row| printable(of(row)).width()).max().unwrap_or_default();
        let version = widest(|row| &row.cluster.version).clamp("VERSION".len(), VERSION);
        let numbers = NUMBERS.len() * (NUMBER + 2);
        let room = width.saturating_sub(version + 2 + numbers + 2 + CHECKS).max(12);
        Self { width, label: widest(|row| &row.member.label).clamp("CLUSTER".len(), room), version }
    }

    fn heading(&self, page: &mut Page) {
        let numbers = NUMBERS.map(|outcome| format!("{:>NUMBER$}", style::word(outcome)));
        let cells = [padded("CLUSTER", self.label), padded("VERSION", self.version)];
        let cells: Vec<String> = cells.into_iter().chain(numbers).chain(["CHECKS".into()]).collect();
        page.words(&cells.iter().map(|cell| (FAINT, cell.as_str())).collect::<Vec<_>>(), INDENT);
    }

    fn row(&self, page: &mut Page, row: &Row) {
        let label = padded(&row.member.label, self.label);
        if let Some(why) = &row.failed {
            return page.columns(0, &label, self.label + 2, &briefly(why, row));
        }
        let version = padded(&row.cluster.version, self.version);
        let numbers = NUMBERS.map(|outcome| (outcome, row.number(outcome)));
        let numbers = numbers.map(|(outcome, number)| {
            let style = if number > 0 { style::outcome(outcome) } else { FAINT };
            (style, format!("{number:>NUMBER$}"))
        });
        let used = self.label + 2 + self.version + 2 + NUMBERS.len() * (NUMBER + 2);
        let ids: Vec<&str> =
            row.with(Outcome::Fail).chain(row.with(Outcome::Error)).map(|line| line.id.as_str()).collect();
        let mut words = ids_in(&ids, self.width.saturating_sub(used));
        if row.verdict() == Verdict::Interrupted {
            words = cut(&format!("{} {words}", Verdict::Interrupted.name()), self.width.saturating_sub(used));
        }
        let cells = [(STRONG, label), (PLAIN, version)].into_iter().chain(numbers).chain([(PLAIN, words)]);
        let cells: Vec<_> = cells.collect();
        page.words(&cells.iter().map(|(style, cell)| (*style, cell.as_str())).collect::<Vec<_>>(), INDENT);
    }
}

/// As many ids as fit, and how many more there are.
fn ids_in(ids: &[&str], room: usize) -> String {
    let all = ids.join(" ");
    if all.width() <= room {
        return all;
    }
    let fits = |shown: &usize| format!("{} +{}", ids[..*shown].join(" "), ids.len() - shown).width() <= room;
    let shown = (1..ids.len()).rev().find(fits).unwrap_or(0);
    format!("{} +{}", ids[..shown].join(" "), ids.len() - shown).trim_start().to_owned()
}

/// Why a cluster was not checked, without what its row shows already.
fn briefly(why: &str, row: &Row) -> String {
    let why = why.strip_prefix(&format!("{}: ", row.cluster.server)).unwrap_or(why);
    let server = if row.cluster.server.is_empty() { String::new() } else { format!(" ({})", row.cluster.server) };
    row::cut(&format!("{why}{server}"), 300)
}

fn padded(text: &str, width: usize) -> String {
    let text = cut(&printable(text), width);
    let pad = width.saturating_sub(text.width());
    format!("{text}{:pad$}", "")
}

/// The beginning of a text, in so many columns.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.width() + 2 > width {
            break;
        }
        short.push(c);
    }
    format!("{}\u{2026}", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_into_their_column() {
        let ids = ["PK-05", "AA-18", "DI-06"];
        assert_eq!(ids_in(&ids, 17), "PK-05 AA-18 DI-06");
        assert_eq!(ids_in(&ids, 16), "PK-05 AA-18 +1");
        assert_eq!(ids_in(&ids, 8), "PK-05 +2");
        assert_eq!(ids_in(&ids, 7), "+3");
    }

    #[test]
    fn a_label_is_cut_to_its_column() {
        assert_eq!(padded("prod", 6), "prod  ");
        assert_eq!(padded("production", 6), "produ\u{2026}");
        assert_eq!(cut("日本日本", 5), "日本\u{2026}");
    }
}
