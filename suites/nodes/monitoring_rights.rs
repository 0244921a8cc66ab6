//! What a kubelet answers to an account that has some of its rights.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubelet_monitoring::{CLOSED, OPEN};
use crate::fact::facts::nodes::Node;
use crate::fact::facts::probe_reports::answers::Got;
use crate::seen::{Seen, Unobserved};
use crate::version::Version;

/// The right that all kubelets support.
const METRICS: &str = "nodes/metrics";
/// The first kubelet that supports the others.
const FINE_GRAINED: Version = Version::minor(33);

/// Judges the answers of a kubelet that refuses tokens without rights.
pub(super) fn judge(
    verdict: &mut Verdict,
    name: &str,
    node: Option<&Node>,
    statuses: &Seen<BTreeMap<String, Got<u16>>>,
) {
    let Some(statuses) = verdict.seen(|| Subject::node(name), statuses) else { return };
    let version = node.map(|node| node.kubelet_version.as_str()).unwrap_or_default().parse::<Version>();
    let version = match version {
        Ok(version) => version,
        Err(why) => {
            return verdict.unseen(Subject::node(name), &Unobserved::invalid("the version of the kubelet", why));
        }
    };
    let mut refused: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, right) in OPEN.into_iter().filter(|(_, right)| version >= FINE_GRAINED || *right == METRICS) {
        match status(statuses, path) {
            Ok(200) => verdict.confirm(),
            Ok(403) => drop(refused.insert(path, right)),
            Ok(status) => verdict.unseen(Subject::node(name), &Unobserved::invalid(path, format!("HTTP {status}"))),
            Err(why) => verdict.unseen(Subject::node(name), &why),
        }
    }
    if !refused.is_empty() {
        let list = |of: Vec<&str>| of.join(", ");
        verdict.expect(Subject::node(name), false, || {
            let (paths, rights) = (list(refused.keys().copied().collect()), list(refused.values().copied().collect()));
            Finding::new(
                format!("GET {paths} at the kubelet with the token of an account that may get {rights} answers 200"),
                "it answers 403",
            )
            .impact("monitoring needs nodes/proxy for these nodes, which also allows running commands in their pods")
            .fix(
                "remove KubeletFineGrainedAuthz: false from featureGates in /var/lib/kubelet/config.yaml; if it is not set, \
                 find the authorizer of the API server that denies the right (--authorization-config)",
            )
            .severity(Severity::Major)
        });
    }
    match status(statuses, CLOSED) {
        Ok(status) => {
            verdict.expect(Subject::node(name), status == 403, || {
                Finding::new(
                    format!(
                        "GET {CLOSED} at the kubelet with the token of an account that may only get metrics answers 403"
                    ),
                    format!("it answers {status}"),
                )
                .impact("accounts that may monitor these nodes can read their pods")
                .fix("find the authorizer of the API server that allows more than RBAC (--authorization-config)")
            });
        }
        Err(why) => verdict.unseen(Subject::node(name), &why),
    }
}

fn status(statuses: &BTreeMap<String, Got<u16>>, path: &str) -> Seen<u16> {
    match statuses.get(path) {
        // The account is new, while other tokens are accepted.
        Some(Ok(401)) => Err(Unobserved::invalid(
            format!("GET {path} at the kubelet"),
            "401: the kubelet does not accept the new account yet",
        )),
        Some(Ok(status)) => Ok(*status),
        Some(Err(fault)) => Err(Unobserved::unreachable(format!("GET {path} at the kubelet"), fault)),
        None => Err(Unobserved::invalid(format!("GET {path} at the kubelet"), "it was not asked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::answers::Fault;

    fn judged(version: &str, statuses: &[(&str, Got<u16>)]) -> Verdict {
        let node = Node { kubelet_version: version.into(), ..Node::default() };
        let statuses = statuses.iter().map(|(path, status)| ((*path).to_owned(), status.clone())).collect();
        let mut verdict = Verdict::new();
        judge(&mut verdict, "n1", Some(&node), &Ok(statuses));
        verdict
    }

    fn findings(verdict: &Verdict) -> Vec<(Severity, String)> {
        verdict.findings(Severity::Critical).into_iter().map(|finding| (finding.severity, finding.expected)).collect()
    }

    #[test]
    fn who_has_a_right_gets_what_it_is_to_and_nothing_else() {
        let verdict = judged(
            "v1.37.2",
            &[("/configz", Ok(200)), ("/healthz", Ok(200)), ("/metrics", Ok(200)), ("/pods", Ok(403))],
        );
        assert_eq!((verdict.observations(), findings(&verdict)), (4, vec![]));
        assert!(verdict.saw_everything());
    }

    #[test]
    fn a_kubelet_without_finer_rights_is_one_finding_unless_it_is_too_old_to_know_them() {
        let answers = [("/configz", Ok(403)), ("/healthz", Ok(403)), ("/metrics", Ok(200)), ("/pods", Ok(403))];
        let verdict = judged("v1.34.1", &answers);
        let [(Severity::Major, expected)] = &findings(&verdict)[..] else { panic!("{verdict:?}") };
        assert!(expected.contains("GET /configz, /healthz") && expected.contains("nodes/configz, nodes/healthz"));
        assert_eq!((verdict.observations(), verdict.gaps().len()), (3, 0));
        let old = judged("v1.32.9", &answers);
        assert_eq!((old.observations(), findings(&old)), (2, vec![]));
    }

    #[test]
    fn an_authorizer_that_allows_more_is_critical() {
        let answers = [("/configz", Ok(200)), ("/healthz", Ok(200)), ("/metrics", Ok(200)), ("/pods", Ok(200))];
        assert_eq!(findings(&judged("v1.37.2", &answers))[0].0, Severity::Critical);
    }

    #[test]
    fn what_shows_nothing_is_inconclusive() {
        for status in [Ok(401), Ok(500), Err(Fault::TimedOut)] {
            let answers = ["/configz", "/healthz", "/metrics"].map(|path| (path, status.clone()));
            let verdict = judged("v1.37.2", &answers);
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 4), "{status:?}");
        }
        assert_eq!(judged("unknown", &[]).gaps().len(), 1);
    }
}
