//! # kubeadm-config and the labels and taints of control-plane nodes match reality
//!
//! ## Why
//! kubeadm reads this ConfigMap for every join and upgrade: a wrong version, range or domain ends up in the next control-plane
//! node and the next certificate. Labels and taints keep workloads and load balancers away from control-plane nodes, and tools
//! find the control plane by them.
//!
//! ## Fix
//! Correct the ConfigMap (`kubectl -n kube-system edit configmap kubeadm-config`), or finish an interrupted upgrade (`kubeadm
//! upgrade apply`). Labels and taints of a node: `kubeadm init phase mark-control-plane --node-name NODE`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/uploadconfig`, `cmd/kubeadm/app/phases/markcontrolplane`,
//! `test/e2e_kubeadm/controlplane_nodes_test.go`; the label and taint `node-role.kubernetes.io/master` ended with 1.25,
//! the key ClusterStatus with 1.22. A missing taint is informational, and reported only if there are other nodes.

use std::collections::BTreeSet;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::server_version::ServerVersion;
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("CP-08", "kubeadm-config", Minor, judge, builds_on: ["CP-02"]);

/// The command that opens the ConfigMap.
const EDIT: &str = "kubectl -n kube-system edit configmap kubeadm-config";
const CURRENT_API: &str = "kubeadm.k8s.io/v1beta4";
const ROLE: &str = "node-role.kubernetes.io/control-plane";
const OLD_ROLE: &str = "node-role.kubernetes.io/master";
const NO_LOAD_BALANCER: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The first release whose kubeadm writes the current API.
const CURRENT_SINCE: Version = Version::minor(31);

fn judge(
    kubeadm: Option<&KubeadmConfig>,
    server: &ServerVersion,
    oldest: &OldestApiServer,
    service: &KubernetesService,
    kubelets: Option<&KubeletDefaults>,
    nodes: &Nodes,
    pods: &Pods,
) -> Verdict {
    let Some(kubeadm) = kubeadm else { return judge_missing(pods) };
    let mut verdict = Verdict::new();
    judge_version(&mut verdict, kubeadm, server.version, oldest.0);
    judge_networking(&mut verdict, kubeadm, service, kubelets);
    for (field, cause) in &kubeadm.unread {
        verdict.unseen(config(), &Unobserved::invalid(format!("field {field} of ClusterConfiguration"), cause));
    }
    verdict.expect(config(), !kubeadm.keys.iter().any(|key| key == "ClusterStatus"), || {
        Finding::new("no key ClusterStatus", "the key exists")
            .impact("it is left over from before 1.22, and nothing updates it")
            .fix("kubectl -n kube-system patch configmap kubeadm-config --type json -p '[{\"op\": \"remove\", \"path\": \"/data/ClusterStatus\"}]'")
    });
    let hosts: BTreeSet<&str> = pods.static_pods("kube-apiserver").filter_map(|pod| pod.node.as_deref()).collect();
    let is_host = |name: &str, node: &Node| node.is_control_plane() || hosts.contains(name);
    let has_workers = nodes.0.iter().any(|(name, node)| !is_host(name, node));
    for (name, node) in nodes.0.iter().filter(|(name, node)| is_host(name, node)) {
        judge_marks(&mut verdict, name, node, has_workers);
    }
    for (name, node) in &nodes.0 {
        let has_taint = node.taints.iter().any(|taint| taint.key == OLD_ROLE);
        verdict.expect(Subject::node(name), !has_taint && !node.labels.contains_key(OLD_ROLE), || {
            let mark = if has_taint { "taint" } else { "label" };
            Finding::new(format!("no {mark} {OLD_ROLE}, which ended with 1.25"), format!("the node has this {mark}"))
                .impact("workloads that select or tolerate it do not run on nodes that join from now on")
                .fix(format!("kubectl {mark} node {name} {OLD_ROLE}-"))
                .info()
        });
    }
    verdict
}

fn judge_missing(pods: &Pods) -> Verdict {
    if !pods.show_kubeadm() {
        return Verdict::not_applicable(
            "ConfigMap kube-system/kubeadm-config does not exist, and kubeadm did not write the manifest of an API \
             server: it is not a kubeadm cluster",
        );
    }
    let mut verdict = Verdict::new();
    verdict.find(
        config(),
        Finding::new(
            "the ConfigMap with the configuration from which kubeadm built the cluster",
            "it does not exist, although kubeadm wrote the manifests of the API servers",
        )
        .impact("no node can join, and kubeadm upgrade refuses to run; checks that need its values skip")
        .fix(
            "write the ClusterConfiguration again (kubeadm config print init-defaults shows its form; version, ranges, \
             endpoint and extraArgs must be those in /etc/kubernetes/manifests), then on a control-plane node: kubeadm \
             init phase upload-config kubeadm --config kubeadm.yaml",
        )
        .severity(Severity::Major),
    );
    verdict
}

fn config() -> Subject {
    Subject::object("ConfigMap", "kube-system", "kubeadm-config")
}

fn judge_version(verdict: &mut Verdict, kubeadm: &KubeadmConfig, server: Version, oldest: Version) {
    if kubeadm.unread.contains_key("kubernetesVersion") {
        return;
    }
    let written: Result<Version, _> = kubeadm.kubernetes_version.parse();
    // During an upgrade both versions are right.
    let is_true = written.is_ok_and(|written| [server, oldest].iter().any(|real| real.minor == written.minor));
    verdict.expect(config(), is_true, || {
        Finding::new(
            format!("kubernetesVersion {server}, like the API server"),
            match kubeadm.kubernetes_version.as_str() {
                "" => "kubernetesVersion is not set".to_owned(),
                version => format!("kubernetesVersion {version}"),
            },
        )
        .impact("the next control-plane node that joins gets this version, and upgrades start from it")
        .fix(format!("finish the upgrade (kubeadm upgrade apply v{server}), or correct it: {EDIT}"))
    });
    if server >= CURRENT_SINCE {
        verdict.expect(config(), kubeadm.api_version == CURRENT_API, || {
            Finding::new(format!("apiVersion {CURRENT_API}"), format!("apiVersion {}", kubeadm.api_version))
                .impact("a later kubeadm cannot read it")
                .fix("the next `kubeadm upgrade apply` converts it; `kubeadm config migrate` does it now")
                .info()
        });
    }
}

fn judge_networking(
    verdict: &mut Verdict,
    kubeadm: &KubeadmConfig,
    service: &KubernetesService,
    kubelets: Option<&KubeletDefaults>,
) {
    if let Some(subnet) = &kubeadm.service_subnet {
        let ranges: Result<Vec<Cidr>, _> = subnet.split(',').map(str::parse).collect();
        let holds = ranges.is_ok_and(|ranges| ranges.iter().any(|range| range.contains(service.cluster_ip)));
        verdict.expect(config(), holds, || {
            Finding::new(
                format!(
                    "networking.serviceSubnet contains {}, the address of Service default/kubernetes",
                    service.cluster_ip
                ),
                format!("networking.serviceSubnet {subnet}"),
            )
            .impact("the next control-plane node allocates other Service addresses, and its certificate lacks the right one")
            .fix(format!("write the range of --service-cluster-ip-range of kube-apiserver: {EDIT}"))
            .severity(Severity::Major)
        });
    }
    let given = kubelets.and_then(|kubelets| kubelets.cluster_domain.as_deref());
    if let (Some(domain), Some(given)) = (&kubeadm.dns_domain, given) {
        let bare = |domain: &str| domain.trim_end_matches('.').to_ascii_lowercase();
        verdict.expect(config(), bare(domain) == bare(given), || {
            Finding::new(
                format!("networking.dnsDomain {given}, the clusterDomain of ConfigMap kubelet-config"),
                format!("networking.dnsDomain {domain}"),
            )
            .impact("the next API server certificate lacks the name that pods use")
            .fix(format!("write dnsDomain: {given}: {EDIT}"))
            .severity(Severity::Major)
        });
    }
}

fn judge_marks(verdict: &mut Verdict, name: &str, node: &Node, has_workers: bool) {
    let fix = format!("kubeadm init phase mark-control-plane --node-name {name}");
    let missing: Vec<&str> =
        [ROLE, NO_LOAD_BALANCER].into_iter().filter(|label| !node.labels.contains_key(*label)).collect();
    let is_known = node.is_control_plane();
    verdict.expect(Subject::node(name), missing.is_empty(), || {
        let finding = Finding::new(
            format!("the labels {ROLE} and {NO_LOAD_BALANCER}"),
            format!("missing: {}", missing.join(", ")),
        )
        .fix(&fix);
        if is_known {
            finding.impact("external load balancers send Service traffic to it, which it may not serve").info()
        } else {
            finding.impact("an API server runs here, but tools that look for the control plane do not find it")
        }
    });
    if has_workers {
        let is_tainted = node.taints.iter().any(|taint| taint.key == ROLE && taint.effect == "NoSchedule");
        verdict.expect(Subject::node(name), is_tainted, || {
            Finding::new(format!("the taint {ROLE}:NoSchedule"), "the taint is missing")
                .impact("any pod may be scheduled on the control-plane node, and a container escape there exposes the CA keys")
                .fix(&fix)
                .info()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::kubernetes_service::testing::kubernetes_service;
    use crate::fact::facts::nodes::Taint;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::pods::testing::static_pod;

    fn kubeadm() -> KubeadmConfig {
        KubeadmConfig {
            api_version: CURRENT_API.into(),
            kubernetes_version: "v1.37.2".into(),
            service_subnet: Some("10.96.0.0/12".into()),
            dns_domain: Some("cluster.local".into()),
            keys: vec!["ClusterConfiguration".into()],
            ..KubeadmConfig::default()
        }
    }

    fn control_plane() -> Node {
        Node {
            labels: [ROLE, NO_LOAD_BALANCER].map(|label| (label.to_owned(), String::new())).into(),
            taints: vec![Taint { key: ROLE.into(), value: None, effect: "NoSchedule".into() }],
            ..Node::default()
        }
    }

    fn judged(kubeadm: &KubeadmConfig, node: Node, others: bool) -> Verdict {
        let version: Version = "v1.37.2".parse().unwrap();
        let service = kubernetes_service([10, 96, 0, 1]);
        let kubelets = KubeletDefaults { cluster_domain: Some("cluster.local".into()), ..KubeletDefaults::default() };
        let mut nodes = Nodes([("n1".to_owned(), node)].into());
        if others {
            nodes.0.insert("n2".into(), Node::default());
        }
        judge(
            Some(kubeadm),
            &ServerVersion { git: "v1.37.2".into(), version },
            &OldestApiServer(version),
            &service,
            Some(&kubelets),
            &nodes,
            &Pods([static_pod("kube-apiserver", "n1", &[])].into()),
        )
    }

    fn lie(change: impl FnOnce(&mut KubeadmConfig)) -> Vec<Finding> {
        let mut kubeadm = kubeadm();
        change(&mut kubeadm);
        judged(&kubeadm, control_plane(), true).findings(Severity::Minor)
    }

    #[test]
    fn what_kubeadm_writes_passes() {
        let verdict = judged(&kubeadm(), control_plane(), true);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (9, vec![]));
    }

    #[test]
    fn a_cluster_of_kubeadm_has_its_configuration() {
        let (name, mut pod) = static_pod("kube-apiserver", "n1", &[]);
        let reason = |pod: &Pod| judge_missing(&Pods([(name.clone(), pod.clone())].into()));
        assert!(reason(&pod).reason().is_some_and(|reason| reason.contains("not a kubeadm cluster")));
        let annotation = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint";
        pod.annotations.insert(annotation.into(), "10.77.0.11:6443".into());
        assert_eq!(reason(&pod).findings(Severity::Minor)[0].severity, Severity::Major);
    }

    #[test]
    fn each_lie_is_found() {
        assert_eq!(lie(|kubeadm| kubeadm.kubernetes_version = "v1.35.1".into())[0].seen, "kubernetesVersion v1.35.1");
        assert_eq!(lie(|kubeadm| kubeadm.service_subnet = Some("10.43.0.0/16".into()))[0].severity, Severity::Major);
        assert!(lie(|kubeadm| kubeadm.dns_domain = Some("corp.local".into()))[0].seen.contains("corp.local"));
        assert!(lie(|kubeadm| kubeadm.keys = vec!["ClusterStatus".into()])[0].expected.contains("ClusterStatus"));
        assert_eq!(lie(|kubeadm| kubeadm.api_version = "kubeadm.k8s.io/v1beta3".into())[0].severity, Severity::Info);
    }

    #[test]
    fn marks_are_missed_and_old_ones_are_named() {
        let findings = judged(&kubeadm(), Node::default(), true).findings(Severity::Minor);
        assert_eq!(findings[0].seen, format!("missing: {ROLE}, {NO_LOAD_BALANCER}"));
        assert_eq!(findings[0].severity, Severity::Minor);
        let mut old = control_plane();
        old.labels.insert(OLD_ROLE.into(), String::new());
        let findings = judged(&kubeadm(), old, true).findings(Severity::Minor);
        assert_eq!(findings[0].fix.as_str(), "kubectl label node n1 node-role.kubernetes.io/master-");
    }

    #[test]
    fn a_cluster_of_one_node_needs_no_taint() {
        let untainted = || Node { taints: Vec::new(), ..control_plane() };
        assert!(judged(&kubeadm(), untainted(), false).findings(Severity::Minor).is_empty());
        let findings = judged(&kubeadm(), untainted(), true).findings(Severity::Minor);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
    }
}
