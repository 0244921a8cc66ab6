//! What changed between two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::check::{Finding, Judged, Outcome, Severity, Subject};

/// What changed between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// What only the new run found, whether or not the old one could see it.
    pub new: Vec<Entry>,
    /// What only the old run found, of checks that the new run completed.
    pub gone: Vec<Entry>,
    /// What both found, with another severity.
    pub changed: Vec<Entry>,
    /// What both found.
    pub unchanged: Vec<Entry>,
    /// The checks of which nothing can be said, by id, and why. What the old run found there is not known to be gone.
    pub incomparable: BTreeMap<String, String>,
}

/// A finding about one or several subjects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// The check.
    pub check: String,
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// The severity; of what is gone, the old one.
    pub severity: Severity,
    /// The severity before, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<Severity>,
    /// What was expected.
    pub expected: String,
    /// What was seen; of what is gone, then.
    pub seen: String,
    /// How to fix it.
    pub fix: String,
}

/// A finding about one subject.
type Single<'a> = (&'a Judged, &'a Finding, &'a Subject);
/// Findings by what makes them the same in both runs.
type Known<'a> = BTreeMap<String, Single<'a>>;
/// The subjects of one finding together, unless its severity differed for some of them: by the check, the finding's place in it,
/// and the severity before.
type Entries<'a> = BTreeMap<(&'a str, usize, Option<Severity>), Entry>;

impl Diff {
    /// What changed from these checks to those.
    pub fn of(old: &[Judged], new: &[Judged]) -> Self {
        let incomparable = incomparable(old, new);
        let (before, after) = (known(old), known(new));
        let is_comparable = |check: &Judged| !incomparable.contains_key(&check.id);
        let [mut new, mut gone, mut changed, mut unchanged] = [const { Entries::new() }; 4];
        for (key, of) in &after {
            match before.get(key) {
                None => add(&mut new, *of, None),
                Some((_, was, _)) if was.severity != of.1.severity => add(&mut changed, *of, Some(was.severity)),
                Some(_) => add(&mut unchanged, *of, None),
            }
        }
        for (key, of) in &before {
            if !after.contains_key(key) && is_comparable(of.0) {
                add(&mut gone, *of, None);
            }
        }
        let [new, gone, changed, unchanged] = [new, gone, changed, unchanged].map(|of| of.into_values().collect());
        Self { new, gone, changed, unchanged, incomparable }
    }

    /// Whether the new run has something that the old one had not, or has it worse.
    pub fn has_news(&self) -> bool {
        !self.new.is_empty() || self.changed.iter().any(|entry| entry.was < Some(entry.severity))
    }
}

fn add<'a>(entries: &mut Entries<'a>, (check, finding, subject): Single<'a>, was: Option<Severity>) {
    let place = check.findings.iter().position(|known| std::ptr::eq(known, finding)).unwrap_or_default();
    let entry = entries.entry((&check.id, place, was)).or_insert_with(|| Entry {
        check: check.id.clone(),
        subjects: Vec::new(),
        severity: finding.severity,
        was,
        expected: finding.expected.clone(),
        seen: finding.seen.clone(),
        fix: finding.fix.clone(),
    });
    entry.subjects.push(subject.clone());
}

fn known(checks: &[Judged]) -> Known<'_> {
    let mut known = Known::new();
    for check in checks {
        for finding in &check.findings {
            for subject in &finding.subjects {
                known.insert(finding.fingerprint_of(&check.id, subject), (check, finding, subject));
            }
        }
    }
    known
}

/// Why nothing can be said of some checks.
fn incomparable(old: &[Judged], new: &[Judged]) -> BTreeMap<String, String> {
    let ids: BTreeSet<&String> = old.iter().chain(new).map(|check| &check.id).collect();
    let why = |id: &String| {
        let find = |checks: &[Judged]| checks.iter().find(|check| check.id == *id).map(undecided);
        match (find(old), find(new)) {
            (None, _) => Some("it did not run in the old run".to_owned()),
            (_, None) => Some("it did not run in the new run".to_owned()),
            (Some(Some(why)), _) => Some(format!("in the old run {why}")),
            (_, Some(Some(why))) => Some(format!("in the new run {why}")),
            _ => None,
        }
    };
    ids.into_iter().filter_map(|id| Some((id.clone(), why(id)?))).collect()
}

/// Why a check did not see all that it is about, if it did not.
fn undecided(check: &Judged) -> Option<&'static str> {
    match check.outcome {
        Outcome::Error => Some("it could not be completed"),
        Outcome::Blocked => Some("it was blocked"),
        Outcome::Skip => Some("it was skipped"),
        _ if !check.unseen.is_empty() => Some("it saw only a part"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;
    use crate::seen::Unobserved;

    fn judged(id: &str, subjects: &[&str], severity: Severity) -> Judged {
        let mut verdict = Verdict::new();
        verdict.confirm();
        if !subjects.is_empty() {
            let all = subjects.iter().map(|name| Subject::node(*name));
            verdict.find_together(all, 1, Finding::new("x", "y").fix("z").severity(severity));
        }
        Judged::new(crate::suites::check(id).unwrap(), Ok(verdict), Severity::Minor)
    }

    fn unseen(id: &str) -> Judged {
        Judged::new(crate::suites::check(id).unwrap(), Err(Unobserved::Interrupted), Severity::Minor)
    }

    fn names(entries: &[Entry]) -> Vec<String> {
        entries
            .iter()
            .map(|entry| format!("{} {}", entry.check, crate::check::subject::listed(&entry.subjects)))
            .collect()
    }

    #[test]
    fn what_is_new_gone_and_worse_is_told_apart() {
        use Severity::{Major, Minor};
        let old = [judged("KL-01", &["n1", "n2"], Minor), judged("KL-02", &["n1"], Minor), judged("KL-03", &[], Minor)];
        let new = [judged("KL-01", &["n2", "n3"], Minor), judged("KL-02", &["n1"], Major), judged("KL-03", &[], Minor)];
        let diff = Diff::of(&old, &new);
        assert_eq!((names(&diff.new), names(&diff.gone)), (vec!["KL-01 Node n3".into()], vec!["KL-01 Node n1".into()]));
        assert_eq!(
            (names(&diff.unchanged), names(&diff.changed)),
            (vec!["KL-01 Node n2".into()], vec!["KL-02 Node n1".into()])
        );
        assert!(diff.incomparable.is_empty() && diff.has_news());
        let same = Diff::of(&new, &new);
        assert!(!same.has_news() && same.gone.is_empty() && same.unchanged.len() == 2);
        assert!(!Diff::of(&new, &[judged("KL-02", &["n1"], Minor)]).has_news(), "it is less bad now");
    }

    #[test]
    fn what_a_run_could_not_see_is_not_gone() {
        let old = [judged("KL-01", &["n1"], Severity::Minor), judged("KL-02", &["n1"], Severity::Minor)];
        let diff = Diff::of(&old, &[unseen("KL-01")]);
        assert!(diff.gone.is_empty() && diff.new.is_empty());
        assert_eq!(diff.incomparable["KL-01"], "in the new run it could not be completed");
        assert_eq!(diff.incomparable["KL-02"], "it did not run in the new run");
        let back = Diff::of(&[unseen("KL-01")], &old);
        assert_eq!(back.new.len(), 2, "whatever the old run could not see, it is seen now");
    }
}
