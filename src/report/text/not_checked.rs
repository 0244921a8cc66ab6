//! What could not be checked: one entry for each cause, however many checks it affects.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{INDENT, Page};
use super::style::{self, PLAIN, STRONG};
use crate::check::outcome::Unseen;
use crate::check::{Outcome, Subject};
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

/// Writes everything that could not be checked.
pub(super) fn write(page: &mut Page, run: &Gathered, all: bool) {
    let mut missing: BTreeMap<&str, Entry> = BTreeMap::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut causes: Vec<(&str, Entry)> = Vec::new();
    let undecided = run.checks().into_iter().map(|timed| &timed.check);
    for check in undecided.filter(|check| matches!(check.outcome, Outcome::Error | Outcome::Blocked)) {
        for unseen in
            check.unseen.iter().filter(|unseen| unseen.cause.as_ref().is_none_or(|cause| cause.finding.is_none()))
        {
            if let Some(permission) = &unseen.missing {
                missing.entry(permission).or_default().add(&check.id, unseen);
                continue;
            }
            let place = *places.entry(anonymous(&unseen.why, &unseen.subjects)).or_insert(causes.len());
            if place == causes.len() {
                causes.push((&unseen.why, Entry::default()));
            }
            causes[place].1.add(&check.id, unseen);
        }
    }
    not_permitted(page, run, &missing, all);
    for (why, entry) in &causes {
        heading(page, &entry.ids(), "could not be checked", all);
        page.labelled("because", why);
        if !entry.subjects.is_empty() {
            page.labelled("at", &shortened::subjects(entry.subjects.iter().copied(), all));
        }
        page.blank();
    }
    let unjudged: Vec<_> = run.unjudged().into_iter().map(|planned| planned.id.as_str()).collect();
    if !unjudged.is_empty() {
        heading(page, &unjudged, "not judged", all);
        page.labelled("because", "the run was cut off");
        page.blank();
    }
}

/// A cause without the name of its subject: the same cause on three nodes is one.
fn anonymous(why: &str, subjects: &[Subject]) -> String {
    let name = match subjects {
        [one] => one.name.as_str(),
        _ => "",
    };
    let words = why.split_inclusive(|c: char| !(c.is_alphanumeric() || "-.:[]".contains(c)));
    let anonymous = words.map(|word| {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ']');
        if !name.is_empty() && bare == name { word.replacen(name, "\u{2026}", 1) } else { word.to_owned() }
    });
    anonymous.collect()
}

fn not_permitted(page: &mut Page, run: &Gathered, missing: &BTreeMap<&str, Entry>, all: bool) {
    if missing.is_empty() {
        return;
    }
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
    page.blank();
}

fn heading(page: &mut Page, checks: &[&str], what: &str, all: bool) {
    let style = style::outcome(Outcome::Error);
    page.words(
        &[(style, &style::word(Outcome::Error)), (PLAIN, what), (STRONG, &shortened::items(checks, " ", all))],
        INDENT,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_on_two_nodes_is_one() {
        let at = |node: &str, why: &str| anonymous(why, &[Subject::node(node)]);
        assert_eq!(at("n1", "the probe on n1: no such host"), at("n2", "the probe on n2: no such host"));
        assert_ne!(at("n1", "n1 and n2 differ"), at("n2", "n1 and n2 differ"));
        assert_eq!(at("n1", "n10 is not n1-a"), "n10 is not n1-a");
        assert_eq!(anonymous("why", &[]), "why");
    }
}
