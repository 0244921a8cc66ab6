//! Text for people: what is wrong in how many clusters, then the clusters, the worst first.

use std::path::Path;

use unicode_width::UnicodeWidthStr;

use super::verdict;
use crate::check::Outcome;
use crate::fleet::cause::{Cause, Key};
use crate::fleet::row::{self, Verdict};
use crate::fleet::{Joint, Row};
use crate::report::shortened;
use crate::report::text::bounded::{self, Block};
use crate::report::text::page::{INDENT, Page};
use crate::report::text::style::{self, FAINT, PLAIN, STRONG};
use crate::report::text::summary::{elapsed, grouped};
use crate::report::text::wrap::printable;

/// How many causes of one check are shown unless all are wanted.
const CAUSES: usize = 3;
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

/// How a joint report is shown.
pub(crate) struct Shown<'a> {
    /// How many columns there are.
    pub width: usize,
    /// Whether all of it is wanted.
    pub all: bool,
    /// The files that were written, each with what it is.
    pub files: &'a [(&'static str, &'a Path)],
    /// How long all of it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// The joint report. Fixes are shown as long as there is room for all of them.
pub(crate) fn text(joint: &Joint, shown: &Shown<'_>) -> String {
    let Shown { width, all, .. } = *shown;
    let mut header = Page::new(width, all);
    head(&mut header, joint);
    let mut end = Page::new(width, all);
    table(&mut end, joint, shown);
    summary(&mut end, joint, shown);
    let end = end.finish();
    let mut parts = blocks(joint, width, all, Detail::Fixes);
    if !all && bounded::leaves_out(&parts, &end) {
        parts = blocks(joint, width, all, Detail::Seen);
    }
    header.finish() + &bounded::bounded(parts, &end, all)
}

/// How much is shown of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// What was expected and seen.
    Seen,
    /// Also what the check asserts, and the fix.
    Fixes,
}

fn head(page: &mut Page, joint: &Joint) {
    let program = format!("seaworthy {}", env!("CARGO_PKG_VERSION"));
    let number = joint.number();
    let clusters = if number == 1 { "1 cluster".to_owned() } else { format!("{number} clusters") };
    let mut profiles: Vec<&str> =
        joint.rows().map(|row| row.profile.as_str()).filter(|name| !name.is_empty()).collect();
    profiles.sort_unstable();
    profiles.dedup();
    let profiles = profiles.join(", ");
    page.words(&[(FAINT, &program), (STRONG, &clusters), (PLAIN, &profiles)], INDENT);
    page.blank();
}

fn blocks(joint: &Joint, width: usize, all: bool, detail: Detail) -> Vec<Block> {
    let block = |group: &Vec<(&Key, &Cause)>| {
        let mut page = Page::new(width, all);
        check(&mut page, joint, group, all, detail);
        page.blank();
        Block { ids: vec![group[0].0.check.clone()], text: page.finish() }
    };
    let groups = joint.causes_by_check();
    let is_brief = |group: &&Vec<(&Key, &Cause)>| !all && group[0].1.outcome == Outcome::Warn;
    let (below_gate, others): (Vec<_>, Vec<_>) = groups.iter().partition(is_brief);
    let mut blocks: Vec<Block> = others.into_iter().map(block).collect();
    blocks.extend(brief(joint, &below_gate, width));
    blocks
}

/// A check with its causes.
fn check(page: &mut Page, joint: &Joint, group: &[(&Key, &Cause)], all: bool, detail: Detail) {
    let (key, first) = group[0];
    let (name, title) = joint.check(&key.check).map_or(("", ""), |check| (check.name.as_str(), check.title.as_str()));
    let affected = in_clusters(Joint::affected(group).len(), joint);
    page.words(
        &[
            (style::outcome(first.outcome), &style::word(first.outcome)),
            (STRONG, &key.check),
            (PLAIN, name),
            (style::outcome(first.outcome), key.severity.name()),
            (STRONG, &affected),
        ],
        INDENT,
    );
    if detail == Detail::Fixes {
        page.paragraph(INDENT, PLAIN, title);
    }
    let shown = if all { group.len() } else { group.len().min(CAUSES) };
    for (i, (key, cause)) in group[..shown].iter().enumerate() {
        if i > 0 && detail == Detail::Fixes {
            page.blank();
        }
        one(page, joint, key, cause, all, detail);
    }
    if shown < group.len() {
        let rest = Joint::affected(&group[shown..]).len();
        let causes = if group.len() - shown == 1 { "cause" } else { "causes" };
        let text = format!("and {} more {causes}, {} (-v lists them)", group.len() - shown, in_clusters(rest, joint));
        page.paragraph(INDENT, PLAIN, &text);
    }
}

/// One cause: its words are those of the first cluster where others have other names.
fn one(page: &mut Page, joint: &Joint, key: &Key, cause: &Cause, all: bool, detail: Detail) {
    let common = cause.common_subject();
    if let Some(about) = common.filter(|about| !about.is_empty()) {
        page.paragraph(INDENT, STRONG, about);
    }
    let words = &cause.words;
    let expected = if cause.same_words { &words.expected } else { &key.expected };
    if let Some(expected) = expected {
        page.labelled("expected", expected);
    }
    let label = if expected.is_some() { "seen" } else { "why" };
    page.labelled(label, if cause.same_words { &words.seen } else { &key.seen });
    if all && let Some(impact) = &words.impact {
        page.labelled("impact", impact);
    }
    let names: Vec<(&str, &str)> = joint.labelled(cause).collect();
    if let Some(fix) = words.fix.as_ref().filter(|_| detail == Detail::Fixes) {
        let first = names.first().map_or("", |(name, _)| name);
        page.labelled("fix", &if cause.same_fix { fix.clone() } else { format!("in {first}: {fix}") });
    }
    let names = names.into_iter().map(|(name, about)| match common {
        None if !about.is_empty() => format!("{name} ({about})"),
        _ => name.to_owned(),
    });
    let names: Vec<String> = names.collect();
    page.labelled(if names.len() == 1 { "cluster" } else { "clusters" }, &shortened::items(&names, ", ", all));
}

/// What is below the gate, a line for each check.
fn brief(joint: &Joint, groups: &[&Vec<(&Key, &Cause)>], width: usize) -> Option<Block> {
    if groups.is_empty() {
        return None;
    }
    let mut page = Page::new(width, false);
    let words = [(style::outcome(Outcome::Warn), style::word(Outcome::Warn)), (PLAIN, "below the gate".into())];
    let words: Vec<_> = words.iter().map(|(style, word)| (*style, word.as_str())).collect();
    page.words(&[words.as_slice(), &[(PLAIN, "(-v shows what was seen)")]].concat(), INDENT);
    for group in groups {
        let key = group[0].0;
        let title = joint.check(&key.check).map_or("", |check| check.title.as_str());
        let text = format!("{title}: not {}", in_clusters(Joint::affected(group).len(), joint));
        page.labelled(&key.check, &text);
    }
    page.blank();
    Some(Block { ids: groups.iter().map(|group| group[0].0.check.clone()).collect(), text: page.finish() })
}

fn in_clusters(number: usize, joint: &Joint) -> String {
    match (number, joint.number()) {
        (1, 1) => "in the cluster".to_owned(),
        (number, all) if number == all => format!("in all {all} clusters"),
        (number, all) => format!("in {number} of {all} clusters"),
    }
}

/// The clusters that are not all right, the worst first, and the names of the others.
fn table(page: &mut Page, joint: &Joint, shown: &Shown<'_>) {
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

/// The last lines: where the reports are, and what there is to say of all clusters.
fn summary(page: &mut Page, joint: &Joint, shown: &Shown<'_>) {
    if !shown.files.is_empty() {
        let files: Vec<_> = shown.files.iter().map(|(name, path)| format!("{name}: {}", path.display())).collect();
        page.paragraph(0, FAINT, &files.join("   "));
    }
    let further: usize = joint.rows().map(|row| row.further).sum();
    if further > 0 {
        let text = format!("{} more results are not among the causes: their clusters have too many", grouped(further));
        page.paragraph(0, FAINT, &text);
    }
    let (worst, numbers) = verdict(joint);
    let colour = match worst {
        Verdict::NotSeaworthy => Outcome::Fail,
        Verdict::Seaworthy => Outcome::Pass,
        Verdict::NotChecked | Verdict::Inconclusive | Verdict::Interrupted => Outcome::Error,
    };
    let causes = joint.causes().iter().filter(|(_, cause)| cause.outcome == Outcome::Fail).count();
    let causes = match causes {
        0 => String::new(),
        1 => "; 1 cause".to_owned(),
        some => format!("; {} causes", grouped(some)),
    };
    let (judged, elapsed) = (grouped(joint.judged()), elapsed(shown.elapsed_ms));
    let text = format!("{numbers}{causes}; {judged} checks in {elapsed}");
    page.lead(style::outcome(colour), &format!("{}:", worst.name()), INDENT, &text);
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
