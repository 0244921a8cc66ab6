//! What could not be checked: one entry for each cause, however many checks it affects.

use std::collections::{BTreeMap, BTreeSet};

use super::bounded::Block;
use super::page::{INDENT, Page};
use super::style::{self, PLAIN, STRONG};
use crate::check::outcome::Unseen;
use crate::check::{Outcome, Subject};
use crate::report::folded::Folded;
use crate::report::{Gathered, shortened};

/// A cause, with the checks and the things that it affects.
#[derive(Default)]
struct Entry<'a> {
    checks: BTreeSet<&'a str>,
    subjects: BTreeSet<&'a Subject>,
}

impl<'a> Entry<'a> {
    fn add(&mut self, check: &'a str, unseen: &'a Unseen) {
        self.checks.insert(check);
        self.subjects.extend(&unseen.subjects);
    }

    fn ids(&self) -> Vec<&'a str> {
        self.checks.iter().copied().collect()
    }
}

/// Everything that could not be checked, a block for each cause.
pub(super) fn blocks(run: &Gathered, width: usize, all: bool) -> Vec<Block> {
    let mut missing: BTreeMap<&str, Entry> = BTreeMap::new();
    let mut causes: Folded<'_, Entry> = Folded::default();
    let inconclusive = run.checks().into_iter().map(|timed| &timed.check);
    for check in inconclusive.filter(|check| matches!(check.outcome, Outcome::Error | Outcome::Blocked)) {
        for unseen in
            check.unseen.iter().filter(|unseen| unseen.cause.as_ref().is_none_or(|cause| cause.finding.is_none()))
        {
            match &unseen.missing {
                Some(permission) => missing.entry(permission).or_default().add(&check.id, unseen),
                None => causes.entry(unseen).add(&check.id, unseen),
            }
        }
    }
    let mut blocks = Vec::new();
    let mut block = |ids: Vec<&str>, write: &dyn Fn(&mut Page)| {
        let mut page = Page::new(width, all);
        write(&mut page);
        page.blank();
        blocks.push(Block { ids: ids.into_iter().map(str::to_owned).collect(), text: page.finish() });
    };
    if !missing.is_empty() {
        let checks: BTreeSet<&str> = missing.values().flat_map(|entry| entry.checks.iter().copied()).collect();
        block(checks.into_iter().collect(), &|page| not_permitted(page, run, &missing, all));
    }
    for (why, entry) in causes.iter() {
        block(entry.ids(), &|page| {
            heading(page, &entry.ids(), "could not be checked", all);
            page.labelled("because", why);
            if !entry.subjects.is_empty() {
                page.labelled("at", &shortened::subjects(entry.subjects.iter().copied(), all));
            }
        });
    }
    let unjudged: Vec<_> = run.unjudged().into_iter().map(|planned| planned.id.as_str()).collect();
    if !unjudged.is_empty() {
        block(unjudged.clone(), &|page| {
            heading(page, &unjudged, "not judged", all);
            page.labelled("because", "the run was cut off");
        });
    }
    blocks
}

fn not_permitted(page: &mut Page, run: &Gathered, missing: &BTreeMap<&str, Entry>, all: bool) {
    let checks: BTreeSet<&str> = missing.values().flat_map(|entry| entry.checks.iter().copied()).collect();
    heading(page, &checks.into_iter().collect::<Vec<_>>(), "not permitted", all);
    for (permission, entry) in missing {
        page.labelled("lacks", &format!("{permission}  ({})", shortened::items(&entry.ids(), " ", all)));
    }
    let profile = run.started.as_ref().map_or("audit", |started| started.profile.as_str());
    let command = format!("seaworthy rbac --profile {profile} --subject User:NAME");
    page.labelled(
        "fix",
        &format!(
            "apply the rules that this command prints: {command}, with the --select, --skip and --namespace of the run"
        ),
    );
}

fn heading(page: &mut Page, checks: &[&str], what: &str, all: bool) {
    let style = style::outcome(Outcome::Error);
    page.words(
        &[(style, &style::word(Outcome::Error)), (PLAIN, what), (STRONG, &shortened::items(checks, " ", all))],
        INDENT,
    );
}
