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
    let mut causes: Vec<(&str, Entry)> = Vec::new();
    for check in run.with(Outcome::Error) {
        for unseen in &check.unseen {
            let subject = unseen.subject.as_ref();
            if let Some(permission) = &unseen.missing {
                missing.entry(permission).or_default().add(&check.id, subject);
                continue;
            }
            if !causes.iter().any(|(why, _)| *why == unseen.why) {
                causes.push((&unseen.why, Entry::default()));
            }
            for (_, entry) in causes.iter_mut().filter(|(why, _)| *why == unseen.why) {
                entry.add(&check.id, subject);
            }
        }
    }
    not_permitted(page, run, &missing, all);
    for (why, entry) in &causes {
        heading(page, &entry.checks, "could not look", all);
        page.labelled("because", why);
        if !entry.subjects.is_empty() {
            page.labelled("at", &subjects(&entry.subjects, all));
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
    page.labelled("mend", &format!("grant what this prints: seaworthy rbac --profile {profile} --subject User:NAME"));
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
