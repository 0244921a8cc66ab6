//! Text for people: what is wrong in how many clusters, then the clusters, the worst first.

use std::path::Path;

use super::table::table;
use super::verdict;
use crate::check::Outcome;
use crate::fleet::Joint;
use crate::fleet::cause::{Cause, Key};
use crate::fleet::row::Verdict;
use crate::report::conclusion::{elapsed, grouped};
use crate::report::shortened;
use crate::report::text::bounded::{self, Block};
use crate::report::text::page::{INDENT, Page};
use crate::report::text::style::{self, FAINT, PLAIN, STRONG};

/// How many causes of one check are shown unless all are wanted.
const CAUSES: usize = 3;

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
    let causes = Causes { joint, width, all };
    let mut blocks = causes.blocks(Detail::Fixes, usize::MAX);
    if !all && bounded::leaves_out(&blocks, &end) {
        // What has no room is one line for each check.
        let fits = |in_full: &usize| !bounded::leaves_out(&causes.blocks(Detail::Seen, *in_full), &end);
        let in_full = (0..joint.causes_by_check().len()).rev().find(fits).unwrap_or(0);
        blocks = causes.blocks(Detail::Seen, in_full);
    }
    header.finish() + &bounded::bounded(blocks, &end, all)
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

/// The causes of all clusters.
struct Causes<'a> {
    joint: &'a Joint,
    width: usize,
    all: bool,
}

impl Causes<'_> {
    /// So many checks with what was seen, and a line for each other one.
    fn blocks(&self, detail: Detail, in_full: usize) -> Vec<Block> {
        let Self { joint, width, all } = *self;
        let groups = joint.causes_by_check();
        let is_above = |group: &&Vec<(&Key, &Cause)>| all || group[0].1.outcome != Outcome::Warn;
        let (above, below): (Vec<_>, Vec<_>) = groups.iter().partition(is_above);
        let (shown, others) = above.split_at(above.len().min(in_full));
        let mut blocks: Vec<Block> = Vec::new();
        for group in shown {
            let mut page = Page::new(width, all);
            check(&mut page, joint, group, all, detail);
            page.blank();
            blocks.push(Block { ids: vec![group[0].0.check.clone()], text: page.finish() });
        }
        for (outcome, what) in [(Outcome::Fail, "others"), (Outcome::Error, "others")] {
            let of: Vec<_> = others.iter().copied().filter(|group| group[0].1.outcome == outcome).collect();
            blocks.extend(brief(joint, &of, what, width));
        }
        blocks.extend(brief(joint, &below, "below the gate", width));
        blocks
    }
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

/// A line for each of these checks, whose causes have the same outcome.
fn brief(joint: &Joint, groups: &[&Vec<(&Key, &Cause)>], what: &str, width: usize) -> Option<Block> {
    let outcome = groups.first()?[0].1.outcome;
    let mut page = Page::new(width, false);
    let word = style::word(outcome);
    page.words(&[(style::outcome(outcome), &word), (PLAIN, what), (PLAIN, "(-v shows what was seen)")], INDENT);
    for group in groups {
        let key = group[0].0;
        let title = joint.check(&key.check).map_or("", |check| check.title.as_str());
        let not = if outcome == Outcome::Error { "not checked" } else { "not" };
        let text = format!("{title}: {not} {}", in_clusters(Joint::affected(group).len(), joint));
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
