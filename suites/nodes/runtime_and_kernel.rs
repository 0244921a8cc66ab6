//! # Container runtimes and kernels meet the kubelets' requirements
//!
//! ## Why
//! A container runtime that is too old for its kubelet stops working with the next upgrade, and a kernel that is too old for
//! the service proxy's mode leaves the node without Services. Both show only when the node restarts.
//!
//! ## Fix
//! Upgrade the runtime before the kubelet, node by node: `kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`,
//! install the package containerd.io (or cri-o of the cluster's minor version), `systemctl restart containerd kubelet`,
//! `kubectl uncordon NODE`. For an old kernel, upgrade the operating system; until then, set `mode: iptables` in ConfigMap
//! kube-system/kube-proxy.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/container-runtimes/>; kubernetes/kubernetes `CHANGELOG-1.36`
//! (1.36 is the last minor version that supports containerd 1.x); <https://kubernetes.io/docs/reference/networking/virtual-ips/> (nftables
//! needs Linux 5.13); kubernetes/system-validators `validators/types_unix.go` (kernels 4.19, 5.4, 5.10, 5.15 and 6.x).
//! The API does not show whether a node runs cgroup v1; KL-06 covers what its kubelet tolerates.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::nodes::{Machine, Nodes};
use crate::seen::{Seen, Unobserved};
use crate::version::Version;

crate::check!("KL-11", "runtime-and-kernel", Major, judge);

/// The first kubelet that needs containerd 2.
const NEEDS_CONTAINERD_2: Version = Version::minor(37);
/// The first kernel with all that kube-proxy's nftables mode uses.
const NFTABLES: (u64, u64) = (5, 13);
/// The long-term kernels that kubeadm accepts in addition to 6 and later.
const VALIDATED: [(u64, u64); 4] = [(4, 19), (5, 4), (5, 10), (5, 15)];

fn judge(nodes: &Nodes, proxy: Result<&KubeProxyConfig, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let nftables = nftables(proxy);
    for (name, node) in nodes.0.iter().filter(|(_, node)| !node.is_virtual()) {
        let Some(machine) = &node.machine else {
            let why = Unobserved::invalid(format!("Node {name}"), "its kubelet has not reported its machine");
            verdict.unseen(Subject::node(name), &why);
            continue;
        };
        let kind = format!("{}, {}, {} ({})", machine.runtime, machine.kernel, node.os_image, node.architecture);
        *kinds.entry(kind).or_default() += 1;
        match node.kubelet_version.parse() {
            Ok(kubelet) => judge_runtime(&mut verdict, name, kubelet, machine),
            Err(cause) => {
                verdict.unseen(Subject::node(name), &Unobserved::invalid("the kubelet's version", cause));
            }
        }
        if node.operating_system == "linux" {
            judge_kernel(&mut verdict, name, machine, &nftables);
        }
    }
    // Each combination once: a longer list shows a mixed cluster.
    for (kind, count) in kinds {
        verdict.note(format!("{count} of {kind}"));
    }
    verdict
}

fn judge_runtime(verdict: &mut Verdict, node: &str, kubelet: Version, machine: &Machine) {
    let Some((runtime, version)) = machine.runtime.split_once("://") else {
        let why = Unobserved::invalid(format!("Node {node}"), format!("its runtime is {:?}", machine.runtime));
        return verdict.unseen(Subject::node(node), &why);
    };
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u64>().ok());
    if runtime != "containerd" {
        return verdict.confirm();
    }
    let Some(major) = major else {
        let why = Unobserved::invalid(format!("Node {node}"), format!("its runtime is {:?}", machine.runtime));
        return verdict.unseen(Subject::node(node), &why);
    };
    verdict.expect(Subject::node(node), major >= 2, || {
        let finding = Finding::new("containerd 2 or later", format!("containerd {version} with kubelet {kubelet}"))
            .fix("on these nodes, one after the other: drain, install containerd 2, restart containerd and the kubelet, uncordon");
        if kubelet >= NEEDS_CONTAINERD_2 {
            finding
                .impact("this combination is untested and lacks functions that the kubelet uses")
                .severity(Severity::Minor)
        } else {
            finding.impact("Kubernetes 1.36 is the last version that supports it: upgrade it before the kubelet").info()
        }
    });
}

/// Whether kube-proxy uses nftables; without its ConfigMap, the kernel is not judged for kube-proxy.
fn nftables(proxy: Result<&KubeProxyConfig, &Unobserved>) -> Seen<bool> {
    match proxy {
        Ok(config) => config.mode().map(|mode| mode == "nftables"),
        Err(Unobserved::Absent { .. }) => Ok(false),
        Err(why) => Err(why.clone()),
    }
}

fn judge_kernel(verdict: &mut Verdict, node: &str, machine: &Machine, nftables: &Seen<bool>) {
    let Some(kernel) = release(&machine.kernel) else {
        let why = Unobserved::invalid(format!("Node {node}"), format!("its kernel is {:?}", machine.kernel));
        return verdict.unseen(Subject::node(node), &why);
    };
    let (major, minor) = kernel;
    match nftables {
        // The proxy's mode matters only if the kernel may be too old for it.
        Err(why) if kernel < NFTABLES => verdict.unseen(Subject::node(node), why),
        Err(_) | Ok(false) => {}
        Ok(true) => {
            verdict.expect(Subject::node(node), kernel >= NFTABLES, || {
                Finding::new("Linux 5.13 or later for kube-proxy in nftables mode", format!("Linux {major}.{minor}"))
                    .impact("kube-proxy does not start on these nodes, so Services do not work")
                    .fix("upgrade the kernel of these nodes, or set mode: iptables in ConfigMap kube-system/kube-proxy")
            });
        }
    }
    verdict.expect(Subject::node(node), major >= 6 || VALIDATED.contains(&kernel), || {
        Finding::new("a long-term kernel that kubeadm validates: 4.19, 5.4, 5.10, 5.15, 6.x", machine.kernel.clone())
            .impact("kubeadm warns about it, and bug fixes that the kubelet relies on may be missing")
            .fix("upgrade the operating system of these nodes to a kernel of this list")
            .info()
    });
}

/// Major and minor of a kernel's release, as `6.1.0-18-amd64`.
fn release(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::kube_proxy_config::testing::in_mode;
    use crate::fact::facts::nodes::Node;

    fn nodes(kubelet: &str, runtime: &str, kernel: &str) -> Nodes {
        let machine = Machine { runtime: runtime.into(), kernel: kernel.into(), ..Machine::default() };
        let node = Node {
            operating_system: "linux".into(),
            kubelet_version: kubelet.into(),
            machine: Some(machine),
            ..Node::default()
        };
        Nodes(["n1", "n2"].map(|name| (name.to_owned(), node.clone())).into())
    }

    fn judged(nodes: &Nodes, mode: &str) -> Vec<(String, Severity)> {
        let proxy = in_mode(mode);
        let findings = judge(nodes, Ok(&proxy)).findings(Severity::Major);
        findings.into_iter().map(|finding| (finding.seen, finding.severity)).collect()
    }

    #[test]
    fn what_is_current_passes() {
        assert_eq!(judged(&nodes("v1.37.2", "containerd://2.4.2", "6.18.44-fc"), "nftables"), []);
        assert_eq!(judged(&nodes("v1.36.0", "cri-o://1.36.1", "5.15.0-105-generic"), ""), []);
        let verdict = judge(&nodes("v1.37.2", "containerd://2.4.2", "6.1.0"), Err(&Unobserved::Interrupted));
        assert_eq!(verdict.gaps(), []);
        assert_eq!(crate::check::testing::notes(&verdict), ["2 of containerd://2.4.2, 6.1.0,  ()"]);
    }

    #[test]
    fn containerd_1_is_over_with_1_37() {
        let old = |kubelet| judged(&nodes(kubelet, "containerd://1.7.28", "6.1.0"), "");
        let findings = old("v1.37.0");
        assert_eq!(findings, [("containerd 1.7.28 with kubelet 1.37.0".to_owned(), Severity::Minor)]);
        assert_eq!(old("v1.36.0")[0].1, Severity::Info);
        assert_eq!(old("v1.36.0-eks-1")[0].1, Severity::Info);
    }

    #[test]
    fn a_kernel_must_suit_the_proxy() {
        let old = nodes("v1.37.2", "containerd://2.4.2", "5.10.0-30-amd64");
        assert_eq!(judged(&old, "iptables"), []);
        assert_eq!(judged(&old, "nftables"), [("Linux 5.10".to_owned(), Severity::Major)]);
        let odd = nodes("v1.37.2", "containerd://2.4.2", "5.19.17");
        assert_eq!(judged(&odd, ""), [("5.19.17".to_owned(), Severity::Info)]);
    }

    #[test]
    fn a_kernel_is_inconclusive_when_it_would_matter_what_the_proxy_uses() {
        let old = nodes("v1.37.2", "containerd://2.4.2", "5.10.0");
        assert_eq!(judge(&old, Err(&Unobserved::Interrupted)).gaps().len(), 1);
        assert_eq!(judge(&old, Err(&Unobserved::absent("k3s"))).gaps().len(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_inconclusive() {
        for (runtime, kernel) in [("", "6.1.0"), ("containerd://latest", "6.1.0"), ("containerd://2.0.0", "linux")] {
            assert_eq!(judge(&nodes("v1.37.2", runtime, kernel), Err(&Unobserved::Interrupted)).gaps().len(), 2);
        }
    }
}
