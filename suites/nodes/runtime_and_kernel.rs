//! # Container runtimes and kernels fit what the kubelets need
//!
//! ## Why
//! A kubelet that is newer than its container runtime knows of stops working with the next upgrade, and a kernel that is
//! too old for the service proxy's mode leaves the node without Services. Both show only when the node restarts.
//!
//! ## Fix
//! Upgrade the runtime before the kubelet, node by node: `kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`,
//! install the package
//! containerd.io (or cri-o of the cluster's minor), `systemctl restart containerd kubelet`, `kubectl uncordon NODE`. For
//! an old kernel, upgrade the operating system; until then `mode: iptables` in the ConfigMap kube-system/kube-proxy.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/container-runtimes/>; kubernetes/kubernetes `CHANGELOG-1.36`
//! (containerd 1.x has its last minor with 1.36); <https://kubernetes.io/docs/reference/networking/virtual-ips/> (nftables
//! needs Linux 5.13); kubernetes/system-validators `validators/types_unix.go` (kernels 4.19, 5.4, 5.10, 5.15 and 6.x).
//! Whether a node runs cgroup v1 does not show in the API: what its kubelet tolerates is part of KL-06.

use std::collections::BTreeMap;

use crate::check::{Finding, Folded, Severity, Subject, Verdict};
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::nodes::{Machine, Nodes};
use crate::seen::{Seen, Unobserved};
use crate::version::Version;

crate::check!("KL-11", "runtime-and-kernel", Major, judge);

/// The first kubelet that needs containerd 2.
const NEEDS_CONTAINERD_2: Version = Version::minor(37);
/// The first kernel with all that kube-proxy's nftables mode uses.
const NFTABLES: (u64, u64) = (5, 13);
/// The long-term kernels that kubeadm accepts besides 6 and later.
const VALIDATED: [(u64, u64); 4] = [(4, 19), (5, 4), (5, 10), (5, 15)];

fn judge(nodes: &Nodes, proxy: Result<&KubeProxyConfig, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let mut folded = Folded::new();
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
            Ok(kubelet) => judge_runtime(&mut verdict, &mut folded, name, kubelet, machine),
            Err(cause) => {
                verdict.unseen(Subject::node(name), &Unobserved::invalid("the kubelet's version", cause));
            }
        }
        if node.operating_system == "linux" {
            judge_kernel(&mut verdict, &mut folded, name, machine, &nftables);
        }
    }
    folded.tell(&mut verdict);
    // Each combination once: a mixed cluster is told by its list being longer than one.
    for (kind, count) in kinds {
        verdict.note(format!("{count} of {kind}"));
    }
    verdict
}

fn judge_runtime(verdict: &mut Verdict, folded: &mut Folded, node: &str, kubelet: Version, machine: &Machine) {
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
    folded.expect(verdict, node, major >= 2, || {
        let finding = Finding::new("containerd 2 or later", format!("containerd {version} under a kubelet {kubelet}"))
            .mend("drain the node, install containerd 2, restart containerd and the kubelet, uncordon the node");
        if kubelet >= NEEDS_CONTAINERD_2 {
            finding
                .so("nobody tests this kubelet with it, and what the kubelet asks of it is not there")
                .severity(Severity::Minor)
        } else {
            finding.so("1.36 is the last minor that supports it: upgrade it before the kubelet").info()
        }
    });
}

/// Whether kube-proxy works with nftables; without kubeadm's ConfigMap it is not kube-proxy's kernel that is judged.
fn nftables(proxy: Result<&KubeProxyConfig, &Unobserved>) -> Seen<bool> {
    match proxy {
        Ok(config) => Ok(config.mode == "nftables"),
        Err(Unobserved::Absent { .. }) => Ok(false),
        Err(why) => Err(why.clone()),
    }
}

fn judge_kernel(verdict: &mut Verdict, folded: &mut Folded, node: &str, machine: &Machine, nftables: &Seen<bool>) {
    let Some(kernel) = release(&machine.kernel) else {
        let why = Unobserved::invalid(format!("Node {node}"), format!("its kernel is {:?}", machine.kernel));
        return verdict.unseen(Subject::node(node), &why);
    };
    let (major, minor) = kernel;
    match nftables {
        // What the proxy needs matters only where the kernel may not have it.
        Err(why) if kernel < NFTABLES => verdict.unseen(Subject::node(node), why),
        Err(_) | Ok(false) => {}
        Ok(true) => folded.expect(verdict, node, kernel >= NFTABLES, || {
            Finding::new("Linux 5.13 or later for kube-proxy in nftables mode", format!("Linux {major}.{minor}"))
                .so("kube-proxy does not start there, so Services do not work")
                .mend("upgrade the kernel, or set mode: iptables in ConfigMap kube-system/kube-proxy")
        }),
    }
    folded.expect(verdict, node, major >= 6 || VALIDATED.contains(&kernel), || {
        Finding::new("a long-term kernel that kubeadm validates: 4.19, 5.4, 5.10, 5.15, 6.x", machine.kernel.clone())
            .so("kubeadm warns of it; bug fixes that the kubelet counts on may be missing")
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
        let proxy = KubeProxyConfig { mode: mode.into(), ..KubeProxyConfig::default() };
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
        assert_eq!(findings, [("containerd 1.7.28 under a kubelet 1.37.0".to_owned(), Severity::Minor)]);
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
    fn a_kernel_is_undecided_when_it_would_matter_what_the_proxy_uses() {
        let old = nodes("v1.37.2", "containerd://2.4.2", "5.10.0");
        assert_eq!(judge(&old, Err(&Unobserved::Interrupted)).gaps().len(), 1);
        assert_eq!(judge(&old, Err(&Unobserved::absent("k3s"))).gaps().len(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_undecided() {
        for (runtime, kernel) in [("", "6.1.0"), ("containerd://latest", "6.1.0"), ("containerd://2.0.0", "linux")] {
            assert_eq!(judge(&nodes("v1.37.2", runtime, kernel), Err(&Unobserved::Interrupted)).gaps().len(), 2);
        }
    }
}
