//! # No two nodes share an identity
//!
//! ## Why
//! Machines that were cloned without a new `/etc/machine-id` or firmware id look like one machine: DHCP gives both the same
//! address, network plugins that derive addresses and keys from the id collide, and logs and metrics of two nodes mix. Two nodes
//! with one address or one pod range get each other's packets.
//!
//! ## Fix
//! For every clone but one, one after the other: `kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`; on the node
//! `rm -f /var/lib/dbus/machine-id && systemd-id128 new > /etc/machine-id && reboot`; `kubectl uncordon NODE`.
//! `systemd-machine-id-setup` would take the old id from there, or from the virtual machine's UUID, which is cloned too: give
//! the machine a new UUID in the hypervisor while it is off. For a duplicate address, set `--node-ip` of the kubelet in
//! `/var/lib/kubelet/kubeadm-flags.env`. For a duplicate pod range, CN-03 shows how a node gets another; look for a second
//! allocator (a controller-manager with another `--cluster-cidr`).
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/> (unique MAC address and
//! product_uuid for every node), machine-id(5). Firmware ids and boot ids are shared by nodes that are containers of one
//! host (kind, k3d, minikube with the docker driver), so a shared one is informational there.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::{Machine, Node, Nodes};
use crate::seen::Unobserved;
use crate::suites::node_ranges::{another, easiest};

crate::check!("KL-12", "node-identity", Major, judge, blocked_by: ["CN-03"]);

/// What must differ from node to node.
struct Identity {
    /// Its name.
    name: &'static str,
    /// The impact if two nodes share one.
    impact: &'static str,
    /// The values of a node.
    of: fn(&Node) -> Vec<String>,
    /// Whether nodes that are containers of one host share it.
    of_host: bool,
}

const MACHINE_ID: &str = "machine id";
const SYSTEM_UUID: &str = "system UUID";
const POD_RANGE: &str = "pod range";
const ADDRESS: &str = "InternalIP";

const IDENTITIES: [Identity; 6] = [
    Identity {
        name: MACHINE_ID,
        impact: "they were cloned: DHCP, network plugins and monitoring treat them as one machine",
        of: |node| of_machine(node, |machine| &machine.machine_id),
        of_host: false,
    },
    Identity {
        name: SYSTEM_UUID,
        impact: "they were cloned: tools that identify machines by their firmware treat them as one",
        of: |node| of_machine(node, |machine| &machine.system_uuid),
        of_host: true,
    },
    Identity {
        name: "boot id",
        impact: "two kubelets run on one kernel, or one machine was restored from another's memory",
        // Windows reports a counter instead.
        of: |node| {
            if node.operating_system == "windows" { Vec::new() } else { of_machine(node, |machine| &machine.boot_id) }
        },
        of_host: true,
    },
    Identity {
        name: ADDRESS,
        impact: "packets for one of them arrive at the other",
        of: |node| node.internal_addresses().map(|address| address.to_string()).collect(),
        of_host: false,
    },
    Identity {
        name: POD_RANGE,
        impact: "their pods get the same addresses, and only one of them is reachable",
        of: |node| node.pod_cidrs.clone(),
        of_host: false,
    },
    Identity {
        name: "provider id",
        impact: "the cloud provider treats them as one machine, and removes both when it is deleted",
        of: |node| node.provider_id.iter().filter(|id| !id.is_empty()).cloned().collect(),
        of_host: false,
    },
];

fn judge(nodes: &Nodes) -> Verdict {
    if nodes.0.len() == 1 {
        return Verdict::not_applicable("the cluster has only one node");
    }
    let mut verdict = Verdict::new();
    for (name, node) in &nodes.0 {
        if node.machine.is_none() {
            let why = Unobserved::invalid(format!("Node {name}"), "its kubelet has not reported its machine");
            verdict.unseen(Subject::node(name), &why);
        }
    }
    let on_one_host = on_one_host(nodes);
    // Clones by their machine ids: a UUID that the same nodes share has the same cause, and is part of that finding.
    let mut clones: BTreeSet<Vec<&str>> = BTreeSet::new();
    for identity in &IDENTITIES {
        for (value, sharing) in holders(nodes, identity) {
            let is_known = identity.name == SYSTEM_UUID && clones.contains(&sharing);
            if sharing.len() == 1 || is_known {
                verdict.confirm();
            } else {
                let finding = shared(identity, &value, &sharing, nodes, on_one_host);
                let finding = if identity.of_host && on_one_host { finding.info() } else { finding };
                verdict.find_together(sharing.iter().map(|node| Subject::node(*node)), 1, finding);
            }
            if identity.name == MACHINE_ID && !on_one_host {
                clones.insert(sharing);
            }
        }
    }
    verdict
}

/// The nodes that have each value of an identity.
fn holders<'a>(nodes: &'a Nodes, identity: &Identity) -> BTreeMap<String, Vec<&'a str>> {
    let mut holders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, node) in &nodes.0 {
        for value in (identity.of)(node) {
            holders.entry(value).or_default().push(name);
        }
    }
    holders
}

fn shared(identity: &Identity, value: &str, sharing: &[&str], nodes: &Nodes, on_one_host: bool) -> Difference {
    let is_machine = identity.name == MACHINE_ID;
    let uuid = of_same_nodes(sharing, nodes).filter(|_| is_machine && !on_one_host);
    let with_uuid = uuid.as_ref().map(|uuid| format!(", and the system UUID {uuid}")).unwrap_or_default();
    let finding = Finding::new(
        format!("every node has its own {}", identity.name),
        format!("{} nodes have the {} {value}{with_uuid}", sharing.len(), identity.name),
    )
    .impact(identity.impact)
    .same_as(if identity.name == POD_RANGE { &["CN-03"] } else { &[] });
    // Only an address leads connections to another node.
    let finding = if identity.name == ADDRESS { finding } else { finding.explains_only(&[]) };
    match easiest(sharing, nodes) {
        Some(_) if is_machine => finding.fix(new_machine_id(sharing, nodes, uuid.is_some())),
        Some(node) if identity.name == POD_RANGE => finding.fix(another(node, nodes)),
        _ => finding.fix(format!(
            "give all but one of these nodes another {}; `seaworthy explain KL-12` shows how",
            identity.name
        )),
    }
}

/// The system UUID that exactly these nodes share.
fn of_same_nodes(sharing: &[&str], nodes: &Nodes) -> Option<String> {
    let uuids = IDENTITIES.iter().find(|identity| identity.name == SYSTEM_UUID)?;
    holders(nodes, uuids).into_iter().find(|(_, others)| others[..] == *sharing).map(|(uuid, _)| uuid)
}

/// Keeps one of the clones as it is, one of the control plane if there is one.
fn new_machine_id(sharing: &[&str], nodes: &Nodes, with_uuid: bool) -> String {
    let is_plane = |name: &&&str| nodes.0.get(**name).is_some_and(Node::is_control_plane);
    let kept = sharing.iter().find(is_plane).or(sharing.first()).copied().unwrap_or_default();
    let others: Vec<&str> = sharing.iter().copied().filter(|name| *name != kept).collect();
    let (node, each) = match others[..] {
        [only] => (only, String::new()),
        _ => ("NODE", format!("for NODE in {}, one after the other: ", others.join(", "))),
    };
    let uuid = if with_uuid { "shut it down, give it a new UUID in the hypervisor and start it; " } else { "" };
    format!(
        "{each}kubectl drain {node} --ignore-daemonsets --delete-emptydir-data; {uuid}on {node}: rm -f /var/lib/dbus/machine-id && \
         systemd-id128 new > /etc/machine-id && reboot; kubectl uncordon {node}"
    )
}

fn of_machine(node: &Node, field: fn(&Machine) -> &String) -> Vec<String> {
    node.machine.iter().map(field).filter(|value| !value.is_empty()).cloned().collect()
}

/// Whether the nodes are containers of one host: all share one boot of one kernel.
fn on_one_host(nodes: &Nodes) -> bool {
    let is_container = |node: &Node| {
        node.provider_id.as_deref().is_some_and(|id| id.starts_with("kind://") || id.starts_with("k3s://"))
            || node.labels.contains_key("minikube.k8s.io/name")
    };
    let boots: BTreeSet<&String> =
        nodes.0.values().filter_map(|node| node.machine.as_ref()).map(|machine| &machine.boot_id).collect();
    boots.len() == 1 && nodes.0.values().all(is_container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen_of;

    fn node(number: u8) -> Node {
        Node {
            addresses: vec![("InternalIP".into(), format!("10.77.0.1{number}"))],
            pod_cidrs: vec![format!("10.244.{number}.0/24")],
            machine: Some(Machine {
                machine_id: format!("c82561ec{number}"),
                system_uuid: format!("uuid-{number}"),
                boot_id: format!("boot-{number}"),
                ..Machine::default()
            }),
            ..Node::default()
        }
    }

    fn nodes(change: impl Fn(&mut [Node; 3])) -> Nodes {
        let mut all = [node(1), node(2), node(3)];
        change(&mut all);
        let mut all = all.into_iter();
        Nodes(["n1", "n2", "n3"].map(|name| (name.to_owned(), all.next().unwrap())).into())
    }

    #[test]
    fn machines_of_their_own_pass() {
        let verdict = judge(&nodes(|_| ()));
        assert_eq!((verdict.observations(), seen_of(&verdict)), (15, vec![]));
    }

    #[test]
    fn clones_are_one_finding() {
        let verdict = judge(&nodes(|all| {
            for node in all {
                node.machine.as_mut().unwrap().machine_id = "cafe".into();
            }
        }));
        assert_eq!(seen_of(&verdict), ["Node n1, n2, n3: 3 nodes have the machine id cafe"]);
        let fix = verdict.findings(Severity::Major).remove(0).fix;
        assert!(fix.starts_with("for NODE in n2, n3, one after the other: kubectl drain NODE"), "{fix}");
    }

    #[test]
    fn a_machine_id_and_a_uuid_that_were_cloned_together_are_one_finding() {
        let verdict = judge(&nodes(|all| {
            for node in &mut all[1..] {
                let machine = node.machine.as_mut().unwrap();
                (machine.machine_id, machine.system_uuid) = ("cafe".into(), "beef".into());
            }
        }));
        assert_eq!(seen_of(&verdict), ["Node n2, n3: 2 nodes have the machine id cafe, and the system UUID beef"]);
        let fix = verdict.findings(Severity::Major).remove(0).fix;
        assert!(fix.starts_with("kubectl drain n3") && fix.contains("new UUID"), "{fix}");
    }

    #[test]
    fn shared_addresses_and_ranges_are_found() {
        let verdict = judge(&nodes(|all| {
            all[1].addresses = all[0].addresses.clone();
            all[2].pod_cidrs = all[0].pod_cidrs.clone();
        }));
        assert_eq!(
            seen_of(&verdict),
            [
                "Node n1, n2: 2 nodes have the InternalIP 10.77.0.11",
                "Node n1, n3: 2 nodes have the pod range 10.244.1.0/24"
            ]
        );
    }

    #[test]
    fn containers_of_one_host_share_its_firmware() {
        let verdict = judge(&nodes(|all| {
            for (number, node) in all.iter_mut().enumerate() {
                node.provider_id = Some(format!("kind://docker/kind/n{number}"));
                node.machine.as_mut().unwrap().boot_id = "one".into();
            }
        }));
        assert_eq!(verdict.findings(Severity::Major)[0].severity, Severity::Info);
    }

    #[test]
    fn a_node_that_reports_no_machine_does_not_pass() {
        assert_eq!(judge(&nodes(|all| all[2].machine = None)).gaps().len(), 1);
    }

    #[test]
    fn one_node_is_unique() {
        assert!(judge(&Nodes([("n1".to_owned(), node(1))].into())).reason().is_some());
    }
}
