//! # No other listener of the control plane is open to pods
//!
//! ## Why
//! A flag that lets a monitoring system in opens a port to every pod as well. etcd's metrics show how many Secrets and
//! users there are and when they change, and a client port of etcd without TLS gives away all of them. Such a port is
//! not among the usual ones that a scan tries.
//!
//! ## Fix
//! In the component's file in `/etc/kubernetes/manifests`, let the flag name 127.0.0.1 only, as kubeadm does:
//! `--listen-metrics-urls=http://127.0.0.1:2381`, `--bind-address=127.0.0.1`. If monitoring needs the port, let it ask
//! through a proxy on the node that authenticates its clients (kube-rbac-proxy), or let a firewall admit only the
//! monitoring system.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/etcd/local.go`, `cmd/kubeadm/app/phases/controlplane/manifests.go`;
//! <https://etcd.io/docs/latest/op-guide/configuration/>. The flags of the static pods show the listeners, and probe pods
//! without credentials try them. A failure to connect counts only where another port of that node answers or refuses the
//! same pod. The usual ports of etcd (HA-04), of scheduler and controller-manager (CP-09), and those of API servers
//! (AA-17) belong to other checks.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::control_plane_listeners::{ControlPlaneListeners, Listener};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Fault, Got, Met};
use crate::seen::Unobserved;
use crate::suites::node_path::{reaches, silent};

crate::check!("CP-13", "open-listeners", Major, judge, blocked_by: ["CN-04"]);

fn judge(
    listeners: &ControlPlaneListeners,
    pods: &Pods,
    nodes: &Nodes,
    reports: Result<&ProbeReports, &Unobserved>,
) -> Verdict {
    let visible = pods.of_namespace("kube-system").any(|pod| {
        pod.is_mirror() && pod.has_flags() && pod.node.as_deref().is_some_and(|node| nodes.0.contains_key(node))
    });
    if !visible {
        return Verdict::not_applicable("no static pod of the control plane in kube-system shows its flags");
    }
    let mut verdict = Verdict::new();
    if listeners.0.is_empty() {
        verdict.confirm();
        return verdict;
    }
    for (node, listeners) in &listeners.0 {
        for listener in listeners {
            match reports {
                Ok(reports) => judge_listener(&mut verdict, node, listener, reports),
                Err(why) => verdict.unseen(Subject::node(node), why),
            }
        }
    }
    verdict
}

fn judge_listener(verdict: &mut Verdict, node: &str, listener: &Listener, reports: &ProbeReports) {
    let endpoint = listener.endpoint();
    let (mut open, mut closed): (BTreeMap<Open, BTreeSet<&str>>, usize) = (BTreeMap::new(), 0);
    let mut strange = None;
    for (from, report) in &reports.0 {
        let Ok(answers) = &report.answers else { continue };
        match answers.reached.at(&endpoint) {
            None => {}
            Some(met) => match Open::of(met) {
                Some(how) => drop(open.entry(how).or_default().insert(from.as_str())),
                None if is_closed(met) && reaches(answers, listener.at.ip()) => closed += 1,
                None if is_closed(met) => {}
                None => strange = met.as_ref().err(),
            },
        }
    }
    match (open.is_empty(), closed, strange) {
        (true, 0, Some(fault)) => {
            verdict.unseen(Subject::node(node), &Unobserved::invalid(listener.at.to_string(), fault));
        }
        (true, 0, None) => verdict.unseen(Subject::node(node), &silent(reports, node, listener.at.ip())),
        (true, ..) => verdict.confirm(),
        (false, ..) => {
            for (how, from) in open {
                verdict.find(Subject::node(node), finding(node, listener, how, &from));
            }
        }
    }
}

/// What a client without credentials gets from a port that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Open {
    /// An answer.
    Answers(u16),
    /// A TLS handshake without a certificate.
    Handshake,
    /// A refusal for want of credentials.
    Demands,
}

impl Open {
    fn of(met: &Got<Met>) -> Option<Self> {
        match met {
            Ok(Met::Status(401 | 403)) => Some(Self::Demands),
            Ok(Met::Status(status)) => Some(Self::Answers(*status)),
            Ok(Met::Tls(tls)) if tls.demands_certificate() => Some(Self::Demands),
            Ok(Met::Tls(_) | Met::Open) => Some(Self::Handshake),
            Err(_) => None,
        }
    }
}

fn is_closed(met: &Got<Met>) -> bool {
    matches!(met, Err(Fault::Refused | Fault::TimedOut | Fault::Reset | Fault::NoRoute))
}

fn finding(node: &str, listener: &Listener, how: Open, from: &BTreeSet<&str>) -> Difference {
    let Listener { component, flag, at, tls } = listener;
    let is_data = component == "etcd" && *flag != "listen-metrics-urls";
    let seen = match how {
        Open::Answers(status) => format!("{at} answers pods without a credential: HTTP {status}"),
        Open::Handshake => format!("{at} completes a TLS handshake with pods that have no certificate"),
        Open::Demands => format!("{at} is open to pods, and demands a credential"),
    };
    let finding = Finding::new(format!("the listener that --{flag} of {component} opens is closed to pods"), seen)
        .evidence(from.iter().map(|from| format!("{at}: tried by the pod on {from}")));
    let fix = |instead: &str| {
        format!("on {node}, in /etc/kubernetes/manifests/{component}.yaml, {instead} for --{flag}, which opens {at}")
    };
    match how {
        Open::Demands => finding
            .impact("any pod can attack one more server next to the keys of the control plane")
            .fix(fix("name 127.0.0.1"))
            .info(),
        _ if is_data => finding
            .impact("any pod can read every Secret and give itself any right")
            .fix(format!(
                "{}; then replace every Secret: treat them as compromised",
                fix(if *tls { "demand certificates with --client-cert-auth=true" } else { "use https:// URLs" })
            ))
            .severity(Severity::Critical),
        _ => finding
            .impact(
                "any pod reads the metrics of the control plane: which objects exist, how many, and when they change",
            )
            .fix(fix("name 127.0.0.1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::fact::facts::probe_reports::answers::{Answers, Endpoint, TlsMet};
    use crate::fact::facts::probe_reports::testing::reports;

    const AT: ([u8; 4], u16) = ([10, 77, 0, 11], 2381);

    fn judged(flag: &'static str, tls: bool, met: Option<Got<Met>>, control: bool) -> Verdict {
        let listener = Listener { component: "etcd".into(), flag, at: AT.into(), tls };
        let refused = control.then(|| (Endpoint::tcp((AT.0, 10255)), Err(Fault::Refused)));
        let met = met.map(|met| (listener.endpoint(), met));
        let answers = Answers { reached: met.into_iter().chain(refused).collect(), ..Answers::default() };
        judge(
            &ControlPlaneListeners([("n1".to_owned(), vec![listener])].into()),
            &Pods([static_pod("etcd", "n1", &["--x=y"])].into()),
            &Nodes([("n1".to_owned(), Node::default())].into()),
            Ok(&reports([("n2", answers)])),
        )
    }

    fn found(flag: &'static str, tls: bool, met: Got<Met>) -> (Severity, String) {
        let finding = judged(flag, tls, Some(met), true).findings(Severity::Major).remove(0);
        (finding.severity, finding.seen)
    }

    #[test]
    fn metrics_that_pods_read_are_major_and_data_is_critical() {
        let (severity, seen) = found("listen-metrics-urls", false, Ok(Met::Status(200)));
        assert_eq!(
            (severity, &*seen),
            (Severity::Major, "10.77.0.11:2381 answers pods without a credential: HTTP 200")
        );
        assert_eq!(found("listen-client-urls", false, Ok(Met::Status(404))).0, Severity::Critical);
        let open = TlsMet { asks: false, refusal: None, leaf: None };
        assert_eq!(found("listen-client-urls", true, Ok(Met::Tls(open))).0, Severity::Critical);
    }

    #[test]
    fn a_port_that_demands_a_credential_is_information() {
        let refusal = Some("certificate_required".into());
        let demanding = TlsMet { asks: true, refusal, leaf: None };
        assert_eq!(found("listen-client-urls", true, Ok(Met::Tls(demanding))).0, Severity::Info);
        assert_eq!(found("secure-port", true, Ok(Met::Status(403))).0, Severity::Info);
    }

    #[test]
    fn a_port_that_is_closed_passes_only_with_a_control() {
        let closed = |control| judged("listen-metrics-urls", false, Some(Err(Fault::TimedOut)), control);
        assert_eq!((closed(true).observations(), seen_of(&closed(true))), (1, vec![]));
        assert_eq!((closed(false).observations(), closed(false).gaps().len()), (0, 1));
        assert_eq!(judged("listen-metrics-urls", false, None, true).gaps().len(), 1, "not tried");
    }

    #[test]
    fn without_flags_there_is_nothing_to_try() {
        let none = ControlPlaneListeners::default();
        let nodes = Nodes([("n1".to_owned(), Node::default())].into());
        let reports = reports::<&str>([]);
        assert!(judge(&none, &Pods::default(), &nodes, Ok(&reports)).reason().is_some());
        let pods = Pods([static_pod("etcd", "n1", &["--x=y"])].into());
        assert_eq!(judge(&none, &pods, &nodes, Ok(&reports)).observations(), 1);
    }
}
