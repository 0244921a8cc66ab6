//! # The control plane survives the loss of one of its nodes
//!
//! ## Why
//! etcd needs more than half of its members. With three members, one may fail; with two, the loss of either stops the
//! whole cluster, which is worse than having one. A second API server does not help clients that are configured with
//! the first.
//!
//! ## Fix
//! `kubeadm token create --print-join-command --certificate-key $(kubeadm init phase upload-certs --upload-certs | tail
//! -1)` prints the command that joins another control-plane node. If the endpoint is one node's address: put a load
//! balancer or a virtual address in front of all API servers, set `controlPlaneEndpoint` in ConfigMap
//! kube-system/kubeadm-config, add its name to `apiServer.certSANs`, renew the certificates, and change `server` in
//! every kubeconfig.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/>;
//! <https://etcd.io/docs/latest/faq/> (failure tolerance); kubernetes/kubeadm `docs/ha-considerations.md`. One
//! control-plane node with workers is a choice, and so an info finding. Zones are compared only where nodes have zone
//! labels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::Pods;

crate::check!("HA-01", "failure-tolerance", Major, judge);

/// Prints the command that joins another control-plane node.
const JOIN: &str = "kubeadm token create --print-join-command --certificate-key $(kubeadm init phase upload-certs \
    --upload-certs | tail -1)";
/// How an address in front of all API servers becomes the endpoint.
const MOVE_THE_ENDPOINT: &str = "put a load balancer or a virtual address in front of all API servers; set \
     controlPlaneEndpoint to it and add its name to apiServer.certSANs (kubectl -n kube-system edit configmap \
     kubeadm-config); renew the certificates as PK-01 shows; then change server in every kubeconfig";

/// The check that takes a control-plane node away: nothing else fails because there are few of them.
const DRILL: &[&str] = &["HA-06"];
/// The checks of clients that use the control-plane endpoint.
const OF_THE_ENDPOINT: &[&str] = &["DI-03", "HA-02", "HA-06", "SN-08"];

fn judge(nodes: &Nodes, pods: &Pods, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let planes: BTreeMap<&str, &Node> = nodes.control_plane().map(|(name, node)| (name.as_str(), node)).collect();
    if planes.is_empty() {
        return Verdict::not_applicable("no node is marked as a control-plane node: the control plane is managed");
    }
    if nodes.0.len() == 1 {
        let only = planes.into_keys().collect::<String>();
        return Verdict::not_applicable(format!("{only} is the only node: nothing can take its place"));
    }
    let mut verdict = Verdict::new();
    // Where members have nodes of their own, as RKE2 allows, HA-03 judges them alone.
    let is_plane = |member: &&str| nodes.0.get(*member).is_none_or(Node::is_control_plane);
    let members = members(pods, kubeadm).filter(|members| members.is_empty() || members.iter().any(is_plane));
    judge_count(&mut verdict, &planes, members.is_some());
    if planes.len() > 1 {
        if let Some(members) = &members {
            judge_members(&mut verdict, &planes, members);
        }
        judge_zones(&mut verdict, &planes);
        if let Some(kubeadm) = kubeadm {
            judge_endpoint(&mut verdict, nodes, kubeadm);
        }
    }
    verdict
}

/// The nodes with a member of a stacked etcd; none where etcd runs elsewhere or cannot be seen.
fn members<'a>(pods: &'a Pods, kubeadm: Option<&KubeadmConfig>) -> Option<BTreeSet<&'a str>> {
    if kubeadm.is_some_and(|kubeadm| kubeadm.external_etcd) {
        return None;
    }
    let etcd = pods.static_pods("etcd");
    let members: BTreeSet<&str> = etcd.filter_map(|pod| pod.node.as_deref()).collect();
    (!members.is_empty() || kubeadm.is_some()).then_some(members)
}

fn judge_count(verdict: &mut Verdict, planes: &BTreeMap<&str, &Node>, stacked: bool) {
    let count = planes.len();
    let first = planes.keys().next().copied().unwrap_or_default();
    let expected = "three or five control-plane nodes";
    let finding = match count {
        1 => Finding::new(expected, "one")
            .impact(
                "while it is down, nothing is scheduled, repaired or changed; its disk holds the only copy of the \
                 cluster's data",
            )
            .fix(format!("join two more control-plane nodes; on {first}, this prints the command: {JOIN}"))
            .info(),
        2 if stacked => Finding::new(expected, "two, each with a member of etcd")
            .impact("the loss of either stops the whole control plane: two are less available than one")
            .fix(format!("join a third control-plane node; on {first}, this prints the command: {JOIN}")),
        count if count % 2 == 0 && stacked => Finding::new(expected, format!("{count}, each with a member of etcd"))
            .impact(format!("they survive no more failures than {} would, and one more of them can fail", count - 1))
            .fix(format!("join one more control-plane node; on {first}, this prints the command: {JOIN}"))
            .info(),
        _ => return verdict.confirm(),
    };
    verdict.find_together(planes.keys().map(|plane| Subject::node(*plane)), 1, finding.explains_only(DRILL));
}

fn judge_members(verdict: &mut Verdict, planes: &BTreeMap<&str, &Node>, members: &BTreeSet<&str>) {
    let without: Vec<&str> = planes.keys().copied().filter(|plane| !members.contains(plane)).collect();
    if without.is_empty() {
        return verdict.confirm();
    }
    verdict.find_together(
        without.iter().map(|plane| Subject::node(*plane)),
        1,
        Finding::new(
            "every control-plane node has a member of etcd",
            format!("{} of {} control-plane nodes have none", without.len(), planes.len()),
        )
        .impact("etcd survives fewer failures than the number of control-plane nodes suggests")
        .explains_only(DRILL)
        .fix(
            "on each of these nodes: ls /etc/kubernetes/manifests/etcd.yaml; crictl ps -a --name etcd (HA-03 has more)",
        ),
    );
}

fn judge_zones(verdict: &mut Verdict, planes: &BTreeMap<&str, &Node>) {
    let mut zones: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, node) in planes {
        match node.zone() {
            Some(zone) => zones.entry(zone).or_default().push(name),
            None => return verdict.note("zones were not checked: not every control-plane node has a zone label"),
        }
    }
    let half = planes.len() / 2;
    for (zone, inside) in zones {
        if inside.len() <= half {
            verdict.confirm();
            continue;
        }
        verdict.find_together(
            inside.iter().map(|plane| Subject::node(*plane)),
            1,
            Finding::new(
                "no zone has more than half of the control-plane nodes",
                format!("{} of {} are in zone {zone}", inside.len(), planes.len()),
            )
            .impact(format!("when zone {zone} fails, so does the control plane"))
            .explains_only(DRILL)
            .fix("join control-plane nodes in other zones, until none has more than half of them")
            .info(),
        );
    }
}

fn judge_endpoint(verdict: &mut Verdict, nodes: &Nodes, kubeadm: &KubeadmConfig) {
    let subject = Subject::object("ConfigMap", "kube-system", "kubeadm-config");
    let expected = "controlPlaneEndpoint is an address in front of all API servers";
    let Some(endpoint) = kubeadm.control_plane_endpoint.as_deref() else {
        return verdict.find(
            subject,
            Finding::new(expected, "it is not set")
                .impact("kubelets and clients are configured with one API server, and lose the cluster when it fails")
                .explains_only(OF_THE_ENDPOINT)
                .fix(MOVE_THE_ENDPOINT),
        );
    };
    let host = host(endpoint);
    let address: Option<IpAddr> = host.parse().ok();
    let owner = nodes.0.iter().find(|(name, node)| {
        name.eq_ignore_ascii_case(host)
            || node.addresses.iter().any(|(_, own)| own.eq_ignore_ascii_case(host))
            || address.is_some_and(|address| node.internal_addresses().any(|own| own == address))
    });
    match owner {
        None => verdict.confirm(),
        Some((owner, _)) => verdict.find(
            subject,
            Finding::new(expected, format!("it is {endpoint}, which is {owner}"))
                .impact(format!("all kubelets and clients lose the cluster when {owner} fails"))
                .explains_only(OF_THE_ENDPOINT)
                .fix(MOVE_THE_ENDPOINT),
        ),
    }
}

/// The host of `host:port`, `[address]:port` or either without a port.
fn host(endpoint: &str) -> &str {
    if let Some(rest) = endpoint.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match endpoint.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        _ => endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::in_full;
    use crate::fact::facts::nodes::ZONE;
    use crate::fact::facts::pods::Pod;
    use crate::object_ref::NamespacedName;

    /// Control-plane nodes n1, n2, … in these zones, and one worker.
    fn nodes(zones: &[Option<&str>]) -> Nodes {
        let plane = |i: usize, zone: Option<&str>| {
            let mut node = Node { addresses: vec![("InternalIP".into(), format!("10.77.0.1{i}"))], ..Node::default() };
            node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
            node.labels.extend(zone.map(|zone| (ZONE.to_owned(), zone.to_owned())));
            (format!("n{i}"), node)
        };
        let planes = zones.iter().enumerate().map(|(i, zone)| plane(i + 1, *zone));
        Nodes(planes.chain([("w1".to_owned(), Node::default())]).collect())
    }

    fn etcd(on: &[&str]) -> Pods {
        let member = |node: &str| Pod {
            namespace: "kube-system".into(),
            name: format!("etcd-{node}"),
            labels: [("component".to_owned(), "etcd".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
            node: Some(node.into()),
            ..Pod::default()
        };
        Pods(on.iter().map(|node| (NamespacedName::new("kube-system", format!("etcd-{node}")), member(node))).collect())
    }

    fn kubeadm(endpoint: Option<&str>) -> KubeadmConfig {
        KubeadmConfig { control_plane_endpoint: endpoint.map(str::to_owned), ..KubeadmConfig::default() }
    }

    const API: Option<&str> = Some("api.bed.test:6443");

    #[test]
    fn three_behind_one_name_pass() {
        let verdict = judge(&nodes(&[None; 3]), &etcd(&["n1", "n2", "n3"]), Some(&kubeadm(API)));
        assert_eq!((verdict.observations(), in_full(&verdict)), (3, vec![]));
        let zones = [Some("a"), Some("b"), Some("c")];
        assert!(in_full(&judge(&nodes(&zones), &etcd(&["n1", "n2", "n3"]), Some(&kubeadm(API)))).is_empty());
    }

    #[test]
    fn one_is_info_and_two_are_worse() {
        assert_eq!(in_full(&judge(&nodes(&[None]), &etcd(&["n1"]), Some(&kubeadm(None)))), ["info Node n1: one"]);
        let verdict = judge(&nodes(&[None; 2]), &etcd(&["n1", "n2"]), Some(&kubeadm(API)));
        assert_eq!(in_full(&verdict), ["major Node n1, n2: two, each with a member of etcd"]);
        let external = KubeadmConfig { external_etcd: true, ..kubeadm(API) };
        assert!(in_full(&judge(&nodes(&[None; 2]), &Pods::default(), Some(&external))).is_empty());
        assert!(judge(&Nodes(nodes(&[None]).0.into_iter().take(1).collect()), &etcd(&["n1"]), None).reason().is_some());
    }

    #[test]
    fn a_member_that_is_missing_is_found() {
        let verdict = judge(&nodes(&[None; 3]), &etcd(&["n1", "n3"]), Some(&kubeadm(API)));
        assert_eq!(in_full(&verdict), ["major Node n2: 1 of 3 control-plane nodes have none"]);
    }

    #[test]
    fn members_on_nodes_of_their_own_are_not_judged_here() {
        let verdict = judge(&nodes(&[None; 2]), &etcd(&["w1"]), None);
        assert_eq!(in_full(&verdict), Vec::<String>::new());
    }

    #[test]
    fn an_endpoint_that_is_one_node_is_found() {
        for (endpoint, count) in [
            (Some("10.77.0.12:6443"), 1),
            (Some("n3"), 1),
            (None, 1),
            (Some("10.77.0.100:6443"), 0),
            (Some("[fd00::1]:6443"), 0),
        ] {
            let verdict = judge(&nodes(&[None; 3]), &etcd(&["n1", "n2", "n3"]), Some(&kubeadm(endpoint)));
            assert_eq!(in_full(&verdict).len(), count, "{endpoint:?}");
        }
    }

    #[test]
    fn a_zone_with_the_majority_is_info() {
        let zones = [Some("a"), Some("a"), Some("b")];
        let verdict = judge(&nodes(&zones), &etcd(&["n1", "n2", "n3"]), Some(&kubeadm(API)));
        assert_eq!(in_full(&verdict), ["info Node n1, n2: 2 of 3 are in zone a"]);
    }

    #[test]
    fn a_managed_control_plane_is_not_judged() {
        assert!(judge(&Nodes([("w1".to_owned(), Node::default())].into()), &Pods::default(), None).reason().is_some());
    }
}
