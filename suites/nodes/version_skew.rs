//! # Every kubelet is within the supported version skew
//!
//! ## Why
//! A kubelet that is newer than its API server sends fields and calls that the server does not support; one that is too old
//! uses APIs that the server has removed. Both break pods in ways that no error message explains.
//!
//! ## Fix
//! For a kubelet that is too old: `kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`; on the node install the package
//! kubeadm of the control plane's version, run `kubeadm upgrade node`, install the package kubelet of that version,
//! `systemctl restart kubelet`; `kubectl uncordon NODE`. If a kubelet is newer than
//! an API server, upgrade the control plane, one minor version at a time (`kubeadm upgrade apply`).
//!
//! ## Source
//! <https://kubernetes.io/releases/version-skew-policy/> (three minors, two for a kubelet before 1.25; the oldest API
//! server counts), KEP-3935

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("KL-02", "kubelet-version-skew", Major, judge);

fn judge(nodes: &Nodes, oldest: &OldestApiServer) -> Verdict {
    let mut verdict = Verdict::new();
    let mut misfits: BTreeMap<Version, Vec<&str>> = BTreeMap::new();
    let mut minors: BTreeMap<u64, usize> = BTreeMap::new();
    for (name, node) in &nodes.0 {
        let kubelet: Version = match node.kubelet_version.parse() {
            Ok(version) => version,
            Err(cause) => {
                verdict.unseen(Subject::node(name), &Unobserved::invalid("the kubelet's version", cause));
                continue;
            }
        };
        *minors.entry(kubelet.minor).or_default() += 1;
        if fits(kubelet, oldest.0) {
            verdict.confirm();
        } else {
            misfits.entry(kubelet).or_default().push(name);
        }
    }
    for (kubelet, sharing) in misfits {
        let relation = if kubelet.minor > oldest.0.minor { "newer" } else { "older" };
        let distance = match kubelet.minor.abs_diff(oldest.0.minor) {
            1 => "1 minor version".to_owned(),
            minors => format!("{minors} minor versions"),
        };
        verdict.find_together(
            sharing.iter().map(|node| Subject::node(*node)),
            sharing.len(),
            Finding::new(
                format!("kubelet 1.{} to 1.{}", oldest.0.minor.saturating_sub(patience(kubelet)), oldest.0.minor),
                format!("kubelet {kubelet}, {distance} {relation} than the API server {}", oldest.0),
            )
            .impact("pods on these nodes may fail in ways that no error message explains")
            .fix(upgrade(kubelet, oldest.0, &sharing)),
        );
    }
    let spread: Vec<String> = minors.iter().map(|(minor, count)| format!("{count} of 1.{minor}")).collect();
    verdict.note(format!("kubelets: {}", spread.join(", ")));
    verdict
}

/// Upgrades whichever is older.
fn upgrade(kubelet: Version, oldest: Version, nodes: &[&str]) -> String {
    if kubelet.minor > oldest.minor {
        return format!(
            "upgrade the API servers to 1.{} (kubeadm upgrade apply, one minor version at a time); kubelets come after them",
            kubelet.minor
        );
    }
    let (node, each) = match nodes {
        [only] => (*only, ""),
        _ => ("NODE", "for one NODE after the other: "),
    };
    format!(
        "{each}kubectl drain {node} --ignore-daemonsets --delete-emptydir-data; on it install kubeadm {oldest}, kubeadm upgrade \
         node, install kubelet {oldest}, systemctl restart kubelet; kubectl uncordon {node}"
    )
}

/// How many minor versions a kubelet may be older than the API server.
fn patience(kubelet: Version) -> u64 {
    if kubelet < Version::minor(25) { 2 } else { 3 }
}

fn fits(kubelet: Version, oldest: Version) -> bool {
    kubelet.major == oldest.major && kubelet.minor <= oldest.minor && oldest.minor - kubelet.minor <= patience(kubelet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;

    fn judged(kubelets: &[(&str, &str)], oldest: &str) -> Verdict {
        let node = |version: &str| Node { kubelet_version: version.into(), ..Node::default() };
        let nodes = Nodes(kubelets.iter().map(|(name, version)| ((*name).to_owned(), node(version))).collect());
        judge(&nodes, &OldestApiServer(oldest.parse().unwrap()))
    }

    #[test]
    fn three_minors_older_is_as_good_as_equal() {
        let verdict = judged(&[("n1", "v1.37.9"), ("n2", "v1.34.0-eks-1"), ("n3", "v1.36.1+k3s1")], "v1.37.2");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (3, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict), ["kubelets: 1 of 1.34, 1 of 1.36, 1 of 1.37"]);
    }

    #[test]
    fn four_minors_older_and_one_newer_are_not() {
        let findings =
            judged(&[("n1", "v1.38.0"), ("n2", "v1.33.9"), ("n3", "v1.33.9")], "v1.37.2").findings(Severity::Major);
        assert_eq!(crate::check::subject::listed(&findings[0].subjects), "Node n2, n3");
        assert_eq!(findings[0].seen, "kubelet 1.33.9, 4 minor versions older than the API server 1.37.2");
        assert_eq!(findings[1].subjects[0], Subject::node("n1"));
        assert_eq!(findings[1].seen, "kubelet 1.38.0, 1 minor version newer than the API server 1.37.2");
        assert_eq!(findings[1].expected, "kubelet 1.34 to 1.37");
        let fixes: Vec<_> = findings.iter().map(|finding| finding.fix.as_str()).collect();
        assert!(fixes[0].starts_with("for one NODE after the other: kubectl drain NODE"), "{fixes:?}");
        assert!(fixes[1].starts_with("upgrade the API servers to 1.38"), "{fixes:?}");
    }

    #[test]
    fn kubelets_before_1_25_had_two_minors() {
        assert!(judged(&[("n1", "v1.24.1")], "v1.26.0").findings(Severity::Major).is_empty());
        assert_eq!(judged(&[("n1", "v1.24.1")], "v1.27.0").findings(Severity::Major).len(), 1);
    }

    #[test]
    fn a_version_that_cannot_be_read_is_inconclusive() {
        assert_eq!(judged(&[("n1", "unknown")], "v1.37.2").gaps().len(), 1);
    }
}
