//! # All members of etcd are of one version, and it fits the release
//!
//! ## Why
//! Members of different versions agree on the oldest one's features, and stay there; an etcd that an upgrade left behind
//! gets no fixes for what the API server has come to rely on.
//!
//! ## Fix
//! `kubeadm upgrade apply` (on the first control-plane node) and `kubeadm upgrade node` (on the others) upgrade etcd along;
//! where `--etcd-upgrade=false` was given, run them again without. One minor after the other, and never back.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/constants/constants.go` (`SupportedEtcdVersion`, which a patch of kubeadm may
//! raise within the minor, so only minors are compared), `MinExternalEtcdVersion`; <https://etcd.io/docs/latest/upgrades/>.
//! Read from the images of static pods: an etcd elsewhere does not show.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("HA-05", "etcd-version", Minor, judge);

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
            let why = Unobserved::invalid(subject.to_string(), format!("its image {image:?} does not tell a version"));
            verdict.unseen(subject, &why);
        }
    }
    let spread: Vec<String> = versions.iter().map(|(version, on)| format!("{version} on {}", names(on))).collect();
    if let Some((_, on)) = versions.first_key_value() {
        verdict.expect(Subject::nodes(on), versions.len() == 1, || {
            Finding::new("members of one version", spread.join("; "))
                .so("the oldest decides what etcd can do, and an upgrade was not finished")
                .mend(format!("kubeadm upgrade node on {}", names(on)))
        });
    }
    judge_release(&mut verdict, &versions, oldest.0.minor);
    verdict
}

fn judge_release(verdict: &mut Verdict, versions: &BTreeMap<Version, Vec<&str>>, minor: u64) {
    let Some((_, least, most)) = FITTING.iter().find(|(of, ..)| *of == minor) else {
        return verdict.note(format!("which etcd belongs to 1.{minor} is not known here"));
    };
    for (version, on) in versions {
        let (least, most) =
            (Version { major: 3, minor: *least, patch: 0 }, Version { major: 3, minor: *most, patch: 0 });
        let at = Version { patch: 0, ..*version };
        verdict.expect(Subject::nodes(on), (least..=most).contains(&at), || {
            let expected = if least == most {
                format!("3.{}", least.minor)
            } else {
                format!("3.{} or 3.{}", least.minor, most.minor)
            };
            let finding =
                Finding::new(format!("etcd {expected}, as kubeadm deploys it with 1.{minor}"), version.to_string());
            if at < least {
                finding.so("an upgrade left it behind, and the next one may not know it any more").mend(format!(
                    "kubeadm upgrade apply without --etcd-upgrade=false, then kubeadm upgrade node on {}",
                    names(on)
                ))
            } else {
                finding.so("this release was not tested with it").severity(Severity::Info)
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::pods::{Container, Pod};

    fn judged(images: &[&str], api: &str) -> Verdict {
        let member = |(i, image): (usize, &&str)| {
            let container = Container { name: "etcd".into(), image: (*image).into(), ..Container::default() };
            let pod = Pod {
                namespace: "kube-system".into(),
                name: format!("etcd-n{}", i + 1),
                labels: [("component".to_owned(), "etcd".to_owned())].into(),
                annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
                node: Some(format!("n{}", i + 1)),
                containers: vec![container],
                ..Pod::default()
            };
            (pod.key(), pod)
        };
        let pods = Pods(images.iter().enumerate().map(member).collect());
        judge(&pods, &OldestApiServer(api.parse().unwrap()), None)
    }

    fn seen(verdict: &Verdict) -> Vec<String> {
        let told = |f: Finding| format!("{} {}: {}", f.severity, f.subjects[0], f.seen);
        verdict.findings(Severity::Minor).into_iter().map(told).collect()
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
    fn one_that_was_left_behind_is_found() {
        let verdict = judged(&["registry.k8s.io/etcd:3.5.24-0"], "v1.37.2");
        assert_eq!(seen(&verdict), ["minor Node n1: 3.5.24"]);
        let verdict = judged(&["registry.k8s.io/etcd:3.8.0-0"], "v1.37.2");
        assert_eq!(seen(&verdict), ["info Node n1: 3.8.0"]);
    }

    #[test]
    fn members_that_differ_are_found() {
        let verdict = judged(&["etcd:3.6.5-0", "etcd:3.6.8-0", "etcd:3.6.8-0"], "v1.36.2");
        assert_eq!(seen(&verdict), ["minor Node n1: 3.6.5 on n1; 3.6.8 on n2, n3"]);
    }

    #[test]
    fn an_unknown_release_and_an_untold_version_are_not_guessed() {
        assert_eq!(
            crate::check::testing::notes(&judged(&["etcd:3.9.0-0"], "v1.42.0")),
            ["which etcd belongs to 1.42 is not known here"]
        );
        assert_eq!(judged(&["etcd@sha256:abc"], "v1.37.2").gaps().len(), 1);
        assert!(judged(&[], "v1.37.2").reason().is_some());
    }
}
