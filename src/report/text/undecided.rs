//! What could not be looked at: one entry for each cause, however many checks it keeps from looking.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::subjects;
use super::page::{INDENT, Page};
use super::style::{self, PLAIN, STRONG};
use crate::check::{Outcome, Subject};
use crate::report::Gathered;

/// How many ids a heading lists unless all are wanted.
const ENOUGH: usize = 12;

/// A cause, with the checks that it keeps from looking.
#[derive(Default)]
struct Entry<'a> {
    checks: Vec<&'a str>,
    subjects: Vec<&'a Subject>,
}

impl<'a> Entry<'a> {
    fn add(&mut self, check: &'a str, subject: Option<&'a Subject>) {
        if !self.checks.contains(&check) {
            self.checks.push(check);
        }
        if let Some(subject) = subject
            && !self.subjects.contains(&subject)
        {
            self.subjects.push(subject);
        }
    }
}

/// Writes everything that could not be looked at.
pub fn write(page: &mut Page, run: &Gathered, all: bool) {
    let mut missing: BTreeMap<&str, Entry> = BTreeMap::new();
    let mut causes: Vec<(String, &str, Entry)> = Vec::new();
    for check in run.with(Outcome::Error) {
        for unseen in &check.unseen {
            let subject = unseen.subject.as_ref();
            if let Some(permission) = &unseen.missing {
                missing.entry(permission).or_default().add(&check.id, subject);
                continue;
            }
            let cause = anonymous(&unseen.why, subject);
            if !causes.iter().any(|(known, ..)| *known == cause) {
                causes.push((cause.clone(), &unseen.why, Entry::default()));
            }
            for (_, _, entry) in causes.iter_mut().filter(|(known, ..)| *known == cause) {
                entry.add(&check.id, subject);
            }
        }
    }
    not_permitted(page, run, &missing, all);
    for (_, why, entry) in &causes {
        heading(page, &entry.checks, "could not look", all);
        page.labelled("because", why);
        match entry.subjects.as_slice() {
            [] => {}
            [one] => page.labelled("at", &one.to_string()),
            [first, others @ ..] => {
                page.labelled("at", &format!("{first}, and likewise at {}", subjects(others, all)));
            }
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

/// A cause without the name of what it is about: the same cause on three nodes is one.
fn anonymous(why: &str, subject: Option<&Subject>) -> String {
    let name = subject.map_or("", |subject| subject.name.as_str());
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
    let checks: Vec<_> = checks.into_iter().collect();
    heading(page, &checks, "not permitted", all);
    for (permission, entry) in missing {
        page.labelled("lacks", &format!("{permission}  ({})", list(&entry.checks, all)));
    }
    let profile = run.started.as_ref().map_or("audit", |started| started.profile.as_str());
    let command = format!("seaworthy rbac --profile {profile} --subject User:NAME");
    page.labelled(
        "mend",
        &format!("grant what this prints: {command}, with the --select, --skip and --namespace of the run"),
    );
    page.blank();
}

fn heading(page: &mut Page, checks: &[&str], what: &str, all: bool) {
    let style = style::outcome(Outcome::Error);
    page.words(&[(style, &style::word(Outcome::Error)), (PLAIN, what), (STRONG, &list(checks, all))], INDENT);
}

fn list(checks: &[&str], all: bool) -> String {
    match checks.len() {
        many if many > ENOUGH && !all => format!("{} and {} more", checks[..ENOUGH].join(" "), many - ENOUGH),
        _ => checks.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_on_two_nodes_is_one() {
        let at = |node: &str, why: &str| anonymous(why, Some(&Subject::node(node)));
        assert_eq!(at("n1", "the probe on n1: no such host"), at("n2", "the probe on n2: no such host"));
        assert_ne!(at("n1", "n1 and n2 differ"), at("n2", "n1 and n2 differ"));
        assert_eq!(at("n1", "n10 is not n1-a"), "n10 is not n1-a");
        assert_eq!(anonymous("why", None), "why");
    }
}
