//! By what a finding is known again in a later run.

use aws_lc_rs::digest::{Context, SHA256};

use super::outcome::Unseen;
use super::{Finding, Subject};

/// How many bytes of the digest are kept: enough that no two findings of any number of clusters share them.
const BYTES: usize = 16;

impl Finding {
    /// Names the finding of this check: 32 hexadecimal digits that stay the same from run to run for as long as the same is
    /// expected of the same subjects.
    ///
    /// What was seen, the evidence, the impact, the fix and the severity do not count: they hold counts, times and addresses
    /// that differ each time although nothing new is wrong, and words that a release improves. Neither does the cause: a finding
    /// is the same one when its root is fixed or found. So findings of one check that differ only in these share a fingerprint.
    pub fn fingerprint(&self, check: &str) -> String {
        of(check, &self.expected, &self.subjects)
    }
}

impl Unseen {
    /// Names what this check could not see: the same for as long as it is about the same subjects, for whatever reason they
    /// are not seen. No finding has this fingerprint, since each expects something.
    pub fn fingerprint(&self, check: &str) -> String {
        of(check, "", &self.subjects)
    }
}

fn of(check: &str, expected: &str, subjects: &[Subject]) -> String {
    let mut digest = Context::new(&SHA256);
    // The length of each text comes before it, so that no two lists of texts are the same bytes.
    let mut add = |text: &str| {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    add(check);
    add(expected);
    let mut subjects: Vec<_> = subjects.iter().collect();
    subjects.sort_unstable();
    for subject in subjects {
        add(&subject.kind);
        // No namespace has an empty name.
        add(subject.namespace.as_deref().unwrap_or_default());
        add(&subject.name);
    }
    hex(&digest.finish().as_ref()[..BYTES])
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use crate::check::{Cause, Finding, Severity, Subject, Verdict};

    fn finding(subjects: &[Subject], expected: &str) -> Finding {
        let mut verdict = Verdict::new();
        verdict.find_together(subjects.iter().cloned(), 1, Finding::new(expected, "seen").fix("fix it"));
        verdict.findings(Severity::Major).remove(0)
    }

    #[test]
    fn a_fingerprint_stays_the_same_from_release_to_release() {
        let found = finding(&[Subject::object("Secret", "kube-system", "a"), Subject::node("n1")], "it expires");
        assert_eq!(found.fingerprint("DI-06"), "2c8656c60aacca1eb421b42d67a6e76e");
    }

    #[test]
    fn only_the_check_the_subjects_and_what_is_expected_count() {
        let (n1, n2) = (Subject::node("n1"), Subject::node("n2"));
        let one = finding(&[n1.clone(), n2.clone()], "a");
        let of_one = one.fingerprint("XX-01");
        let later = Finding {
            subjects: vec![n2, n1.clone()],
            seen: "3 of 5".into(),
            evidence: vec!["at 12:00".into()],
            impact: Some("worse".into()),
            fix: "another".into(),
            severity: Severity::Critical,
            cause: Some(Cause { check: "YY-01".into(), finding: None }),
            ..one.clone()
        };
        assert_eq!(later.fingerprint("XX-01"), of_one);
        let others = [
            one.fingerprint("XX-02"),
            Finding { expected: "b".into(), ..one.clone() }.fingerprint("XX-01"),
            Finding { subjects: vec![n1], ..one }.fingerprint("XX-01"),
        ];
        assert!(!others.contains(&of_one), "{others:?}");
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let of = |kind: &str, name: &str| finding(&[Subject::cluster_object(kind, name)], "a").fingerprint("XX-01");
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
