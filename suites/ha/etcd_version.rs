//! # All members of etcd have one version, and it fits the release
//!
//! ## Why
//! Members of different versions use the features of the oldest one only; an etcd that an upgrade missed lacks fixes
//! that the API server has come to rely on.
//!
//! ## Fix
//! `kubeadm upgrade apply` (on the first control-plane node) and `kubeadm upgrade node` (on the others) upgrade etcd
//! too; if you ran them with `--etcd-upgrade=false`, run them again without it. Upgrade one minor at a time, and never
//! downgrade.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/constants/constants.go` (`SupportedEtcdVersion`, which a patch of kubeadm may
//! raise within the minor, so only minors are compared), `MinExternalEtcdVersion`;
//! <https://etcd.io/docs/latest/upgrades/>. The versions are those of the images of static pods: the version of an
//! external etcd cannot be seen.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("HA-05", "etcd-version", Minor, judge, blocked_by: ["HA-03"]);

/// The minors of etcd 3 that kubeadm deploys with each minor of Kubernetes: the oldest and the newest.
const FITTING: [(u64, u64, u64); 4] = [(34, 6, 6), (35, 6, 6), (36, 6, 7), (37, 7, 7)];

fn judge(pods: &Pods, oldest: &OldestApiServer, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let members: Vec<_> = pods.static_pods("etcd").collect();
    if members.is_empty() {
        let why = match kubeadm {
            Some(kubeadm) if kubeadm.external_etcd => "etcd runs outside of the cluster",
            _ => "no static pod of kube-system runs etcd",
        };
        return Verdict::not_applicable(why);
    }
    let mut verdict = Verdict::new();
    let mut versions: BTreeMap<Version, Vec<&str>> = BTreeMap::new();
    for pod in &members {
        let image = pod.containers.iter().find(|container| container.name == "etcd").map(|c| c.image.as_str());
        if let Some(version) = image.and_then(Version::of_image) {
            versions.entry(version).or_default().push(pod.node.as_deref().unwrap_or(&pod.name));
        } else {
            let subject = Subject::object("Pod", &pod.namespace, &pod.name);
            let why = Unobserved::invalid(subject.to_string(), format!("its image {image:?} has no version"));
            verdict.unseen(subject, &why);
        }
    }
    if versions.len() > 1
        && let Some((oldest, on)) = versions.first_key_value()
    {
        let all = versions.iter().flat_map(|(version, on)| on.iter().map(move |node| format!("{version} on {node}")));
        verdict.find_together(
            on.iter().map(|node| Subject::node(*node)),
            1,
            Finding::new("all members have one version", format!("{} versions, the oldest {oldest}", versions.len()))
                .impact("etcd has only the features of the oldest member: an upgrade did not finish")
                .fix("on each of these nodes: kubeadm upgrade node")
                .evidence(all),
        );
    } else if !versions.is_empty() {
        verdict.confirm();
    }
    judge_release(&mut verdict, &versions, oldest.0.minor);
    verdict
}

fn judge_release(verdict: &mut Verdict, versions: &BTreeMap<Version, Vec<&str>>, minor: u64) {
    let Some((_, least, most)) = FITTING.iter().find(|(of, ..)| *of == minor) else {
        return verdict
            .note(format!("the version was not checked: this program has no etcd version for Kubernetes 1.{minor}"));
    };
    let fitting = if least == most { format!("etcd 3.{least}") } else { format!("etcd 3.{least} or 3.{most}") };
    for (version, on) in versions {
        let nodes = on.iter().map(|node| Subject::node(*node));
        let expected = format!("{fitting}, as kubeadm deploys it with Kubernetes 1.{minor}");
        if version.major == 3 && (*least..=*most).contains(&version.minor) {
            verdict.confirm();
        } else if (version.major, version.minor) < (3, *least) {
            let finding = Finding::new(expected, version.to_string())
                .impact("an upgrade missed it, and the next one may not support it any more")
                .fix(
                    "on the first control-plane node: kubeadm upgrade apply without --etcd-upgrade=false; then on each \
                     of these nodes that is not the first: kubeadm upgrade node",
                );
            verdict.find_together(nodes, 1, finding);
        } else {
            let finding = Finding::new(expected, version.to_string())
                .impact("this release of Kubernetes was not tested with it")
                .fix("do not downgrade etcd: upgrade Kubernetes to a release that kubeadm deploys with this version")
                .severity(Severity::Info);
            verdict.find_together(nodes, 1, finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::subject::listed;
    use crate::check::testing::notes;
    use crate::fact::facts::pods::{Container, Pod};

    fn judged(images: &[&str], api: &str) -> Verdict {
        let member = |(i, image): (usize, &&str)| {
            let container = Container { name: "etcd".into(), image: (*image).into(), ..Container::default() };
            let pod = Pod {
                namespace: "kube-system".into(),
                name: format!("etcd-n{}", i + 1),
                labels: [("component".to_owned(), "etcd".to_owned())].into(),
                annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
                node: Some(format!("n{}", i + 1).into()),
                containers: vec![container],
                ..Pod::default()
            };
            (pod.key(), pod)
        };
        let pods = Pods(images.iter().enumerate().map(member).collect());
        judge(&pods, &OldestApiServer(api.parse().unwrap()), None)
    }

    fn seen(verdict: &Verdict) -> Vec<String> {
        let shown = |f: Finding| format!("{} {}: {}", f.severity, listed(&f.subjects), f.seen);
        verdict.findings(Severity::Minor).into_iter().map(shown).collect()
    }

    #[test]
    fn what_kubeadm_deploys_passes() {
        for (image, api) in [
            ("registry.k8s.io/etcd:3.7.0-0", "v1.37.2"),
            ("registry.k8s.io/etcd:3.6.8-0", "v1.36.2"),
            ("registry.k8s.io/etcd:3.6.6-0", "v1.36.0"),
            ("registry.k8s.io/etcd:3.6.5-0", "v1.34.3"),
        ] {
            let verdict = judged(&[image; 3], api);
            assert_eq!((verdict.observations(), seen(&verdict)), (2, vec![]), "{image}");
        }
    }

    #[test]
    fn a_version_that_does_not_fit_is_found() {
        let verdict = judged(&["registry.k8s.io/etcd:3.5.24-0"], "v1.37.2");
        assert_eq!(seen(&verdict), ["minor Node n1: 3.5.24"]);
        let verdict = judged(&["registry.k8s.io/etcd:3.8.0-0"], "v1.37.2");
        assert_eq!(seen(&verdict), ["info Node n1: 3.8.0"]);
    }

    #[test]
    fn members_that_differ_are_found() {
        let verdict = judged(&["etcd:3.6.5-0", "etcd:3.6.8-0", "etcd:3.6.8-0"], "v1.36.2");
        assert_eq!(seen(&verdict), ["minor Node n1: 2 versions, the oldest 3.6.5"]);
        let evidence = &verdict.findings(Severity::Minor)[0].evidence;
        assert_eq!(evidence, &["3.6.5 on n1", "3.6.8 on n2", "3.6.8 on n3"]);
    }

    #[test]
    fn an_unknown_release_and_an_unknown_version_are_not_guessed() {
        let unknown = notes(&judged(&["etcd:3.9.0-0"], "v1.42.0"));
        assert_eq!(unknown, ["the version was not checked: this program has no etcd version for Kubernetes 1.42"]);
        assert_eq!(judged(&["etcd@sha256:abc"], "v1.37.2").gaps().len(), 1);
        assert!(judged(&[], "v1.37.2").reason().is_some());
    }
}
