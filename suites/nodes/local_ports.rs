//! # The kubelets' unauthenticated ports are not reachable
//!
//! ## Why
//! The read-only port 10255 shows all pods and their environment to anyone who can connect, without a credential and without a
//! log line. The health port 10248 is meant for the node itself.
//!
//! ## Fix
//! In `/var/lib/kubelet/config.yaml` on the node that is named, remove `readOnlyPort` and set
//! `healthzBindAddress: 127.0.0.1`; look for `--read-only-port` in `/var/lib/kubelet/kubeadm-flags.env` and `systemctl cat
//! kubelet`; restart the kubelet. Let clients use port 10250 with a service account that may `get nodes/metrics`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/apis/config/types.go` (`ReadOnlyPort`, 0 unless set by file; the flag's default
//! was 10255), `pkg/cluster/ports/ports.go`. That a port is closed counts only where another port of
//! the same node answers or refuses the same client.

use std::net::IpAddr;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubelet_ports::{KubeletPorts, Port};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::Endpoint;
use crate::ports::{KUBELET_HEALTHZ, KUBELET_READ_ONLY};
use crate::seen::{Seen, Unobserved};
use crate::suites::node_path::reaches;

use super::reach::out_of_reach;

crate::check!("KL-05", "kubelet-local-ports", Critical, judge, blocked_by: ["KL-13", "KL-16"]);

fn judge(
    nodes: &Nodes,
    from_here: Result<&KubeletPorts, &Unobserved>,
    from_pods: Result<&ProbeReports, &Unobserved>,
) -> Verdict {
    let here = |name: &String| view_from_here(name, KUBELET_READ_ONLY, from_here).err();
    if let Some(why) = out_of_reach(nodes.0.keys().map(here)).filter(|_| from_pods.is_err_and(Unobserved::is_skip)) {
        return Verdict::not_applicable(format!("no kubelet is reachable from here: {why}"));
    }
    let mut verdict = Verdict::new();
    for (name, node) in &nodes.0 {
        for port in [KUBELET_READ_ONLY, KUBELET_HEALTHZ] {
            let views = [view_from_here(name, port, from_here), view_from_pods(node, port, from_pods)];
            judge_port(&mut verdict, name, port, views);
        }
    }
    verdict
}

/// Open if any view shows it open; closed if one shows it closed and none open.
fn judge_port(verdict: &mut Verdict, node: &str, port: u16, views: [Seen<bool>; 2]) {
    let open = match views {
        [Ok(here), Ok(pods)] => here || pods,
        [Ok(open), Err(_)] | [Err(_), Ok(open)] => open,
        [Err(why), Err(_)] => return verdict.unseen(Subject::node(node), &why),
    };
    verdict.expect(Subject::node(node), !open, || {
        if port == KUBELET_READ_ONLY {
            Finding::new("port 10255, the kubelet's read-only port, is closed", "port 10255 accepts connections")
                .impact("anyone who can connect can read all pods of these nodes and their environment, without a credential")
                .fix("on these nodes, remove readOnlyPort from /var/lib/kubelet/config.yaml, then systemctl restart kubelet")
        } else {
            Finding::new("port 10248, the kubelet's health port, is closed to others", "port 10248 accepts connections")
                .impact("anyone who can connect can see whether the kubelet is healthy")
                .fix("on these nodes, set healthzBindAddress: 127.0.0.1 in /var/lib/kubelet/config.yaml, then systemctl restart kubelet")
                .severity(Severity::Minor)
        }
    });
}

fn view_from_here(node: &str, port: u16, kubelets: Result<&KubeletPorts, &Unobserved>) -> Seen<bool> {
    let ports = kubelets.map_err(Clone::clone)?.0.get(node);
    let ports = ports.ok_or_else(|| Unobserved::invalid(format!("Node {node}"), "it was not dialled"))?;
    let ports = ports.as_ref().map_err(Clone::clone)?;
    ports.api.clone()?;
    let met = if port == KUBELET_READ_ONLY { &ports.read_only } else { &ports.health };
    met.as_ref().map(|met| *met == Port::Open).map_err(Clone::clone)
}

/// What the probes that reach the node see.
fn view_from_pods(node: &Node, port: u16, reports: Result<&ProbeReports, &Unobserved>) -> Seen<bool> {
    let reports = reports.map_err(Clone::clone)?;
    let answers = || reports.0.values().filter_map(|report| report.answers.as_ref().ok());
    let views: Vec<bool> = node
        .internal_addresses()
        .flat_map(|ip: IpAddr| {
            answers().filter_map(move |answers| {
                answers.reached.is_open(&Endpoint::tcp((ip, port))).ok().filter(|_| reaches(answers, ip))
            })
        })
        .collect();
    if views.is_empty() {
        return Err(Unobserved::invalid("the probes", "none of them reaches the node"));
    }
    Ok(views.contains(&true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::kubelet_ports::Ports;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, Got, Met};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::ports::KUBELET;

    fn nodes() -> Nodes {
        let node =
            |last: u8| Node { addresses: vec![("InternalIP".into(), format!("10.77.0.{last}"))], ..Node::default() };
        Nodes([("n1".to_owned(), node(11)), ("n2".to_owned(), node(12))].into())
    }

    #[expect(clippy::unnecessary_wraps, reason = "facts hold what was seen, or why not")]
    fn ports(read_only: Port, health: Port) -> Seen<Ports> {
        Ok(Ports { address: [10, 77, 0, 11].into(), api: Ok(()), read_only: Ok(read_only), health: Ok(health) })
    }

    fn here(seen: [Seen<Ports>; 2]) -> KubeletPorts {
        KubeletPorts(["n1", "n2"].map(str::to_owned).into_iter().zip(seen).collect())
    }

    fn judged(seen: [Seen<Ports>; 2]) -> Verdict {
        judge(&nodes(), Ok(&here(seen)), Err(&Unobserved::Interrupted))
    }

    #[test]
    fn closed_and_filtered_ports_pass() {
        let verdict = judged([ports(Port::Closed, Port::Closed), ports(Port::Silent, Port::Silent)]);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (4, vec![]));
    }

    #[test]
    fn a_read_only_port_is_found_on_all_nodes_at_once() {
        let open = || ports(Port::Open, Port::Closed);
        let findings = judged([open(), open()]).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (crate::check::subject::listed(&findings[0].subjects).as_str(), findings[0].severity),
            ("Node n1, n2", Severity::Critical)
        );
        let findings = judged([ports(Port::Closed, Port::Open), open()]).findings(Severity::Critical);
        assert_eq!(findings.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Critical, Severity::Minor]);
    }

    #[test]
    fn a_port_that_only_pods_reach_is_found_by_them() {
        let reports = |control: Got<Met>, read_only: Got<Met>| {
            let met = [12, 11].into_iter().flat_map(|last| {
                let at = |port| Endpoint::tcp(([10, 77, 0, last], port));
                let closed = || control.clone().and(Err(Fault::Refused));
                let read_only = if last == 12 { read_only.clone() } else { closed() };
                [(at(KUBELET), control.clone()), (at(KUBELET_READ_ONLY), read_only), (at(KUBELET_HEALTHZ), closed())]
            });
            let answers = Answers { reached: met.collect(), ..Answers::default() };
            reports([("n1", answers)])
        };
        let filtered = || ports(Port::Silent, Port::Silent);
        let judged = |reports| judge(&nodes(), Ok(&here([filtered(), filtered()])), Ok(&reports));
        let verdict = judged(reports(Ok(Met::Open), Ok(Met::Open)));
        assert_eq!(verdict.findings(Severity::Critical)[0].subjects[0], Subject::node("n2"));
        assert!(judged(reports(Ok(Met::Open), Err(Fault::Refused))).findings(Severity::Critical).is_empty());
        // Without the control, closed means nothing.
        let unreached = reports(Err(Fault::NoRoute), Err(Fault::NoRoute));
        let verdict = judge(&nodes(), Err(&Unobserved::Interrupted), Ok(&unreached));
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
    }

    #[test]
    fn a_node_that_cannot_be_reached_does_not_pass() {
        let refused = Unobserved::unreachable("10.77.0.12:10250", "connection refused");
        let ports = Ports {
            address: [10, 77, 0, 12].into(),
            api: Err(refused.clone()),
            read_only: Err(refused.clone()),
            health: Err(refused),
        };
        let verdict = judged([Ok(ports), Err(Unobserved::Interrupted)]);
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 2));
    }
}
