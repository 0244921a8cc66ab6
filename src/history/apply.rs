//! Marks the findings that do not count, because they are accepted or known.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{Baseline, CHECK, Waivers};
use crate::check::{Cause, Finding, Judged, Outcome, Root, Severity, Subject, Verdict, Waived};

/// What does not count.
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    /// What someone has accepted; none where no file was given.
    pub waivers: Option<Waivers>,
    /// What an earlier run has found.
    pub baseline: Option<Baseline>,
    /// Whether that run was cut off: what it had not judged looks new.
    pub is_partial: bool,
}

impl Acceptance {
    /// Marks the findings that do not count, and what follows from them. What only some subjects of a finding are accepted for
    /// becomes a finding of its own. Root causes of which nothing counts are taken out.
    pub fn apply(&self, judged: &mut [Judged], roots: &mut Vec<Root>, gate: Severity, today: Date) {
        for check in &mut *judged {
            self.mark(check, today);
        }
        let waived: BTreeMap<Cause, Waived> = judged.iter().flat_map(accepted).collect();
        for check in &mut *judged {
            follow(check, &waived);
            check.outcome = outcome(check, &waived, gate);
        }
        let counts = |root: &Root| judged.iter().any(|check| check.id == root.check && has_own(check));
        roots.retain(counts);
        for root in roots {
            root.explains = judged.iter().map(|check| explained(check, &root.check)).sum();
        }
    }

    fn mark(&self, check: &mut Judged, today: Date) {
        let mut parts = Vec::new();
        for finding in &mut check.findings {
            let mut groups: BTreeMap<Option<Waived>, Vec<Subject>> = BTreeMap::new();
            for subject in &finding.subjects {
                let why = self.accepted(&check.id, finding, subject, today);
                groups.entry(why).or_default().push(subject.clone());
            }
            // What counts stays where it is: others may follow from it.
            let mut groups = groups.into_iter();
            let Some((why, subjects)) = groups.next() else { continue };
            for (why, subjects) in groups {
                parts.push(narrowed(finding, why, subjects));
            }
            *finding = narrowed(finding, why, subjects);
        }
        check.findings.extend(parts);
    }

    /// Why a finding about a subject does not count, if it does not.
    fn accepted(&self, check: &str, finding: &Finding, subject: &Subject, today: Date) -> Option<Waived> {
        let waivers = self.waivers.iter().flat_map(|waivers| &waivers.0);
        let mut waivers = waivers.filter(|waiver| !waiver.is_expired(today));
        if let Some(waiver) = waivers.find(|waiver| waiver.matches(check, finding, subject)) {
            let (owner, expires) = (Some(waiver.owner.clone()), Some(waiver.expires));
            return Some(Waived { reason: waiver.reason.clone(), owner, expires });
        }
        let baseline = self.baseline.as_ref().filter(|baseline| baseline.knows(check, finding, subject))?;
        let reason = format!("known since the run of {}", baseline.at.strftime("%Y-%m-%d %H:%M UTC"));
        Some(Waived { reason, owner: None, expires: None })
    }

    /// What the check of waivers finds, where waivers were given: before findings are marked.
    pub fn check(&self, judged: &[Judged], gate: Severity, today: Date) -> Option<Judged> {
        let mut verdict = Verdict::new();
        for waiver in &self.waivers.as_ref()?.0 {
            let subject = || Subject::cluster_object("waiver", &waiver.origin);
            let words = format!("{} {}", waiver.check, waiver.subject);
            let about: Vec<_> = judged.iter().filter(|check| waiver.is_about(&check.id)).collect();
            let is_completed = |check: &&Judged| {
                check.unseen.is_empty() && matches!(check.outcome, Outcome::Pass | Outcome::Warn | Outcome::Fail)
            };
            let may_match = about.is_empty() || !about.iter().all(is_completed);
            let matches = about.iter().any(|check| {
                let mut findings =
                    check.findings.iter().flat_map(|finding| finding.subjects.iter().map(move |s| (finding, s)));
                findings.any(|(finding, subject)| waiver.matches(&check.id, finding, subject))
            });
            if waiver.is_expired(today) {
                verdict.find(
                    subject(),
                    Finding::new(
                        "a waiver is removed or renewed before it expires",
                        format!("the waiver of {words} expired on {}", waiver.expires),
                    )
                    .evidence([format!("reason: {}", waiver.reason), format!("owner: {}", waiver.owner)])
                    .impact("what it accepted counts again")
                    .fix(format!(
                        "in {}, remove the entry, or agree with {} on a later day",
                        waiver.origin, waiver.owner
                    )),
                );
            } else if matches || may_match {
                verdict.confirm();
            } else {
                verdict.find(
                    subject(),
                    Finding::new("a waiver matches a finding", format!("no finding matches {words}"))
                        .evidence([format!("reason: {}", waiver.reason), format!("owner: {}", waiver.owner)])
                        .impact("it would hide the next finding that it happens to match")
                        .fix(format!("in {}, remove the entry, or correct its check and subject", waiver.origin)),
                );
            }
        }
        if self.waivers.as_ref()?.0.is_empty() {
            verdict = Verdict::not_applicable("the files of waivers have no entry");
        }
        Some(Judged::new(&CHECK, Ok(verdict), gate))
    }
}

fn narrowed(finding: &Finding, waived: Option<Waived>, subjects: Vec<Subject>) -> Finding {
    let mut part = Finding { subjects, waived, ..finding.clone() };
    part.narrow();
    part
}

/// The findings of a check that do not count, as causes of others.
fn accepted(check: &Judged) -> Vec<(Cause, Waived)> {
    let findings = check.findings.iter().enumerate();
    let causes = findings.filter_map(|(i, finding)| {
        Some((Cause { check: check.id.clone(), finding: Some(i) }, finding.waived.clone()?))
    });
    causes.collect()
}

/// Marks what follows from a finding that does not count: it comes back with it.
fn follow(check: &mut Judged, waived: &BTreeMap<Cause, Waived>) {
    for finding in check.findings.iter_mut().filter(|finding| finding.waived.is_none()) {
        finding.waived = finding.cause.as_ref().and_then(|cause| waived.get(cause)).cloned();
    }
}

/// What is left of an outcome when what is accepted does not count.
fn outcome(check: &Judged, waived: &BTreeMap<Cause, Waived>, gate: Severity) -> Outcome {
    let follows = |cause: &Option<Cause>| cause.as_ref().is_some_and(|cause| waived.contains_key(cause));
    let changes = check.findings.iter().any(|finding| finding.waived.is_some())
        || check.unseen.iter().any(|unseen| follows(&unseen.cause));
    let open: Vec<&Finding> = check.findings.iter().filter(|finding| finding.waived.is_none()).collect();
    let unseen: Vec<_> = check.unseen.iter().filter(|unseen| !follows(&unseen.cause)).collect();
    if !changes || open.iter().any(|finding| finding.severity >= gate) {
        check.outcome
    } else if unseen.iter().any(|unseen| unseen.cause.is_none()) {
        Outcome::Error
    } else if !unseen.is_empty() {
        Outcome::Blocked
    } else if open.is_empty() {
        Outcome::Waived
    } else {
        Outcome::Warn
    }
}

/// Whether a check has a result that counts and follows from nothing.
fn has_own(check: &Judged) -> bool {
    check.findings.iter().any(|finding| finding.waived.is_none() && finding.cause.is_none())
        || check.unseen.iter().any(|unseen| unseen.cause.is_none())
}

/// How many results of a check follow from a root and count.
fn explained(check: &Judged, root: &str) -> usize {
    let counting = check.findings.iter().filter(|finding| finding.waived.is_none());
    let causes = counting.map(|finding| &finding.cause).chain(check.unseen.iter().map(|unseen| &unseen.cause));
    causes.flatten().filter(|cause| cause.check == root).count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::outcome::Unseen;
    use crate::seen::Unobserved;

    const TODAY: Date = jiff::civil::date(2026, 11, 30);

    fn finding(subjects: &[&str], severity: Severity) -> Finding {
        let mut verdict = Verdict::new();
        let all = subjects.iter().map(|name| Subject::node(*name));
        verdict.find_together(all, 1, Finding::new("x", "y").fix("z").severity(severity));
        verdict.findings(Severity::Major).remove(0)
    }

    fn judged(id: &str, findings: Vec<Finding>) -> Judged {
        let check = crate::suites::check(id).unwrap();
        let mut judged = Judged::new(check, Err(Unobserved::Interrupted), Severity::Minor);
        judged.unseen.clear();
        judged.outcome = if findings.is_empty() { Outcome::Pass } else { Outcome::Fail };
        judged.findings = findings;
        judged
    }

    fn waivers(entries: &[(&str, &str, &str)]) -> Acceptance {
        let entries = entries.iter().map(|(check, subject, expires)| {
            format!("- {{check: '{check}', subject: '{subject}', reason: r, owner: o, expires: {expires}}}\n")
        });
        let text = format!("waivers:\n{}", entries.collect::<String>());
        Acceptance { waivers: Some(Waivers::parse(&text, Path::new("w"), TODAY).unwrap()), ..Acceptance::default() }
    }

    fn apply(acceptance: &Acceptance, mut all: Vec<Judged>) -> Vec<Judged> {
        acceptance.apply(&mut all, &mut Vec::new(), Severity::Minor, TODAY);
        all
    }

    #[test]
    fn a_waiver_hides_nothing_that_it_does_not_match() {
        let of = |entries: &[(&str, &str, &str)]| {
            apply(&waivers(entries), vec![judged("KL-01", vec![finding(&["n1", "n2"], Severity::Major)])]).remove(0)
        };
        for none in
            [("KL-01", "Node n3", "2027-01-01"), ("KL-02", "Node *", "2027-01-01"), ("KL-01", "Node *", "2026-11-29")]
        {
            assert_eq!(of(&[none]).outcome, Outcome::Fail, "{none:?}");
        }
        assert_eq!(of(&[("KL-0?", "Node *", "2026-11-30")]).outcome, Outcome::Waived);
        let partly = of(&[("KL-01", "Node n2", "2027-01-01")]);
        assert_eq!((partly.outcome, partly.findings.len()), (Outcome::Fail, 2));
        assert_eq!((&partly.findings[0].subjects, &partly.findings[0].waived), (&vec![Subject::node("n1")], &None));
        assert_eq!(partly.findings[1].waived.as_ref().unwrap().owner.as_deref(), Some("o"));
    }

    #[test]
    fn what_follows_from_an_accepted_finding_is_accepted_with_it() {
        let cause = Some(Cause { check: "KL-01".into(), finding: Some(0) });
        let follows = Finding { cause: cause.clone(), ..finding(&["n1"], Severity::Critical) };
        let unseen = Unseen { subjects: Vec::new(), why: "w".into(), missing: None, cause };
        let blocked = Judged { outcome: Outcome::Blocked, unseen: vec![unseen], ..judged("KL-09", Vec::new()) };
        let all =
            vec![judged("KL-01", vec![finding(&["n1"], Severity::Major)]), judged("DN-04", vec![follows]), blocked];
        let mut roots = vec![Root { check: "KL-01".into(), severity: Severity::Major, explains: 2, place: None }];
        let mut accepted = all.clone();
        waivers(&[("KL-01", "*", "2027-01-01")]).apply(&mut accepted, &mut roots, Severity::Minor, TODAY);
        let outcomes: Vec<_> = accepted.iter().map(|check| check.outcome).collect();
        assert_eq!((outcomes, roots), (vec![Outcome::Waived; 3], vec![]));
        let outcomes: Vec<_> =
            apply(&waivers(&[("DN-04", "*", "2027-01-01")]), all).iter().map(|c| c.outcome).collect();
        assert_eq!(outcomes, [Outcome::Fail, Outcome::Waived, Outcome::Blocked]);
    }

    #[test]
    fn expired_waivers_and_those_that_match_nothing_are_findings() {
        let all = [judged("KL-01", vec![finding(&["n1"], Severity::Major)]), judged("KL-02", Vec::new())];
        let found = |entries: &[(&str, &str, &str)]| waivers(entries).check(&all, Severity::Minor, TODAY).unwrap();
        assert_eq!(found(&[("KL-01", "Node n1", "2027-01-01")]).outcome, Outcome::Pass);
        assert_eq!(
            found(&[("KL-01", "Node n1", "2026-01-01")]).findings[0].seen,
            "the waiver of KL-01 Node n1 expired on 2026-01-01"
        );
        assert_eq!(found(&[("KL-02", "Node n1", "2027-01-01")]).findings[0].seen, "no finding matches KL-02 Node n1");
        assert_eq!(found(&[("DN-04", "*", "2027-01-01")]).outcome, Outcome::Pass, "it did not run");
        assert!(Acceptance::default().check(&all, Severity::Minor, TODAY).is_none());
    }

    #[test]
    fn what_an_earlier_run_found_is_known_and_a_worse_one_is_new() {
        let before = judged("KL-01", vec![finding(&["n1"], Severity::Minor)]);
        let baseline = Some(Baseline::new(jiff::Timestamp::UNIX_EPOCH, &[before]));
        let of = |subjects: &[&str], severity| {
            let acceptance = Acceptance { baseline: baseline.clone(), ..Acceptance::default() };
            apply(&acceptance, vec![judged("KL-01", vec![finding(subjects, severity)])]).remove(0)
        };
        assert_eq!(of(&["n1"], Severity::Minor).outcome, Outcome::Waived);
        assert_eq!(of(&["n1"], Severity::Major).outcome, Outcome::Fail);
        let more = of(&["n1", "n2"], Severity::Minor);
        assert_eq!((more.outcome, &more.findings[0].subjects), (Outcome::Fail, &vec![Subject::node("n2")]));
        assert!(more.findings[1].waived.is_some() && more.findings[0].waived.is_none());
    }
}
