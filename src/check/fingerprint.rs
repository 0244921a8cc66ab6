//! What makes a finding the same one in another run.

use std::fmt::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use regex::Regex;

use super::outcome::Unseen;
use super::{Finding, Subject};

/// How many bytes of the digest are kept.
const LENGTH: usize = 16;

/// The end of the name of a pod that a Deployment or a DaemonSet made, which is another one for each pod. Kubernetes takes
/// only these letters for it (`k8s.io/apimachinery/pkg/util/rand`).
static OF_ONE_POD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(-[4-9bcdf]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$").expect("a constant"));

impl Finding {
    /// The same in each run that finds this again: by the check, the subjects and what was expected of them, not by what was
    /// seen, which may be a time or a count. Pods of one workload are the same. 32 hexadecimal digits.
    pub fn fingerprint(&self, check: &str) -> String {
        self.digest(check, &self.subjects.iter().collect::<Vec<_>>(), None)
    }

    /// That of this finding about one of its subjects: the same, whatever else it is about in another run.
    pub fn fingerprint_of(&self, check: &str, subject: &Subject) -> String {
        self.digest(check, &[subject], None)
    }

    /// The same, but only as long as the same is seen.
    pub fn fingerprint_with_seen(&self, check: &str, subject: &Subject) -> String {
        self.digest(check, &[subject], Some(&self.seen))
    }

    fn digest(&self, check: &str, subjects: &[&Subject], seen: Option<&str>) -> String {
        digest(check, &self.expected, subjects, seen)
    }
}

impl Unseen {
    /// Names what this check could not see: the same for as long as it is about the same subjects, for whatever reason they
    /// are not seen. No finding has this fingerprint, since each expects something.
    pub fn fingerprint(&self, check: &str) -> String {
        digest(check, "", &self.subjects.iter().collect::<Vec<_>>(), None)
    }
}

fn digest(check: &str, expected: &str, subjects: &[&Subject], seen: Option<&str>) -> String {
    let mut subjects: Vec<String> = subjects.iter().map(|subject| lasting(subject)).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let mut digest = Context::new(&SHA256);
    let subjects = subjects.iter().map(String::as_str);
    for part in [check, expected].into_iter().chain(subjects).chain(seen) {
        // The length of each text comes before it, so that no two lists of texts are the same bytes.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finish().as_ref()[..LENGTH].iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// A subject by what it is called as long as it exists.
fn lasting(subject: &Subject) -> String {
    let text = subject.to_string();
    if subject.kind == "Pod" { OF_ONE_POD.replace(&text, "-*").into_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;

    fn finding(subject: Subject, seen: &str) -> Finding {
        let draft = Finding::new("x", seen).fix("y");
        let mut verdict = crate::check::Verdict::new();
        verdict.find(subject, draft);
        verdict.findings(Severity::Major).remove(0)
    }

    #[test]
    fn a_finding_is_the_same_whatever_is_seen() {
        let one = finding(Subject::node("n1"), "40 s ago");
        let other = Finding { seen: "50 s ago".into(), ..one.clone() };
        assert_eq!(one.fingerprint("KL-01"), other.fingerprint("KL-01"));
        let n1 = Subject::node("n1");
        assert_ne!(one.fingerprint_with_seen("KL-01", &n1), other.fingerprint_with_seen("KL-01", &n1));
        let more = Finding { subjects: vec![n1.clone(), Subject::node("n2")], ..one.clone() };
        assert_eq!(one.fingerprint_of("KL-01", &n1), more.fingerprint_of("KL-01", &n1));
        assert_ne!(one.fingerprint("KL-01"), more.fingerprint("KL-01"));
        assert_eq!(one.fingerprint("KL-01").len(), 32);
    }

    #[test]
    fn another_check_subject_or_expectation_is_another_finding() {
        let one = finding(Subject::node("n1"), "x");
        let prints = [
            one.fingerprint("KL-01"),
            one.fingerprint("KL-02"),
            finding(Subject::node("n2"), "x").fingerprint("KL-01"),
            Finding { expected: "y".into(), ..one.clone() }.fingerprint("KL-01"),
        ];
        assert_eq!(prints.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn the_pods_of_a_workload_are_the_same() {
        let of = |name: &str| finding(Subject::object("Pod", "kube-system", name), "x").fingerprint("CP-03");
        assert_eq!(of("coredns-559f6c778d-cmbg5"), of("coredns-6d8c4cb4d-2xk7q"));
        assert_eq!(of("kube-proxy-8zq4b"), of("kube-proxy-mv2lx"));
        assert_ne!(of("etcd-n1"), of("etcd-n2"));
        assert_ne!(of("kube-apiserver-n1"), of("kube-scheduler-n1"));
    }
}
