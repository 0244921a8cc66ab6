//! # The ports of scheduler and controller-manager are closed to pods
//!
//! ## Why
//! Only the node itself needs them. Open to pods, they expose metrics of the whole cluster, and are one more server to attack
//! next to the keys of the control plane. The old ports without TLS never asked for a credential.
//!
//! ## Fix
//! Set `--bind-address=127.0.0.1` in `/etc/kubernetes/manifests/kube-scheduler.yaml` and `kube-controller-manager.yaml`, as
//! kubeadm does, and remove `/metrics` from `--authorization-always-allow-paths`. If monitoring needs the metrics, let a
//! firewall admit only the monitoring system.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/controlplane/manifests.go`, `pkg/cluster/ports/ports.go`. Tried by probe
//! pods without credentials. A pod's failure to connect counts only where a port of that node answers or refuses the same pod.
//! An open port that refuses anonymous requests is informational. Kubernetes 1.24 and later does not listen on 8080, 10251 or
//! 10252: a server on 8080 is another program, which is informational too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Answers, Endpoint, Fault, Got, Met};
use crate::fact::facts::probe_reports::endpoints::METRICS;
use crate::fact::facts::server_version::ServerVersion;
use crate::ports::{INSECURE_API_SERVER, KUBE_CONTROLLER_MANAGER, LEADERS, RETIRED};
use crate::seen::Unobserved;
use crate::suites::node_path::{reaches, silent};
use crate::version::Version;

crate::check!("CP-09", "closed-ports", Major, judge, blocked_by: ["CN-04"]);

/// The first release that listens nowhere without TLS.
const RETIRED_SINCE: Version = Version::minor(24);

/// The answers of one port to the pods that reached its node.
#[derive(Default)]
struct Port {
    /// The nodes of the pods, by the status that they got.
    answered: BTreeMap<u16, BTreeSet<String>>,
    /// How many could not connect.
    closed: usize,
    /// An answer that is neither.
    strange: Option<Fault>,
}

fn judge(reports: &ProbeReports, nodes: &Nodes, server: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    let targets: Vec<(&String, IpAddr)> =
        nodes.control_plane().flat_map(|(name, node)| node.internal_addresses().map(move |ip| (name, ip))).collect();
    if targets.is_empty() {
        return verdict.does_not_apply("no node has the control-plane role: the control plane is managed");
    }
    let mut pods: Vec<(&String, &Answers)> = Vec::new();
    for (node, report) in &reports.0 {
        let answers = verdict.seen(|| Subject::node(node), &report.answers);
        pods.extend(answers.map(|answers| (node, answers)));
    }
    for (name, ip) in targets {
        let through: Vec<_> = pods.iter().filter(|(_, answers)| reaches(answers, ip)).collect();
        if through.is_empty() {
            verdict.unseen(Subject::node(name), &silent(reports, name, ip));
            continue;
        }
        for port in LEADERS.into_iter().chain(RETIRED) {
            let at = SocketAddr::new(ip, port);
            let endpoint =
                if LEADERS.contains(&port) { Endpoint::https(at, METRICS) } else { Endpoint::http(at, METRICS) };
            let met = through.iter().filter_map(|(node, answers)| Some((*node, answers.reached.at(&endpoint)?)));
            let seen = seen(met);
            if LEADERS.contains(&port) {
                judge_leader(&mut verdict, name, at, &seen);
            } else {
                judge_retired(&mut verdict, name, at, &seen, server.version);
            }
        }
    }
    verdict
}

fn seen<'a>(met: impl Iterator<Item = (&'a String, &'a Got<Met>)>) -> Port {
    let mut seen = Port::default();
    for (node, met) in met {
        match met {
            Ok(Met::Status(status)) => drop(seen.answered.entry(*status).or_default().insert(node.clone())),
            Err(Fault::Refused | Fault::TimedOut | Fault::Reset | Fault::NoRoute) => seen.closed += 1,
            Ok(_) => seen.strange = Some(Fault::Other("an answer of an unexpected kind".into())),
            Err(fault) => seen.strange = Some(fault.clone()),
        }
    }
    seen
}

/// Counts a port that no pod could connect to; false if there are answers to judge.
fn is_decided(verdict: &mut Verdict, name: &str, at: SocketAddr, seen: &Port) -> bool {
    if !seen.answered.is_empty() {
        return false;
    }
    let why = match &seen.strange {
        Some(fault) => Unobserved::invalid(at.to_string(), fault),
        None if seen.closed == 0 => Unobserved::invalid(at.to_string(), "no probe tried it"),
        None => {
            verdict.confirm();
            return true;
        }
    };
    verdict.unseen(Subject::node(name), &why);
    true
}

fn judge_leader(verdict: &mut Verdict, name: &str, at: SocketAddr, seen: &Port) {
    if is_decided(verdict, name, at, seen) {
        return;
    }
    let component = if at.port() == KUBE_CONTROLLER_MANAGER { "kube-controller-manager" } else { "kube-scheduler" };
    let fix = format!("on {name}, set --bind-address=127.0.0.1 in /etc/kubernetes/manifests/{component}.yaml");
    let expected = format!("port {} of {component} is closed to pods", at.port());
    let finding = if seen.answered.contains_key(&200) {
        Finding::new(expected, format!("{at} serves its metrics to pods without a credential"))
            .evidence(answers(seen))
            .impact("any pod can read metrics of the whole cluster, and whatever else this port serves anonymously")
            .fix(format!("{fix}, and remove {METRICS} from --authorization-always-allow-paths"))
    } else {
        Finding::new(expected, format!("{at} is open to pods, and refuses anonymous requests"))
            .evidence(answers(seen))
            .impact("any pod can attack one more server next to the keys of the control plane")
            .fix(fix)
            .info()
    };
    verdict.find(Subject::node(name), finding);
}

/// What pods got, by the node that they run on.
fn answers(port: &Port) -> impl Iterator<Item = String> {
    let each = |(status, nodes): (&u16, &BTreeSet<String>)| {
        nodes.iter().map(|node| format!("HTTP {status} to a pod on {node}")).collect::<Vec<_>>()
    };
    port.answered.iter().flat_map(each)
}

fn judge_retired(verdict: &mut Verdict, name: &str, at: SocketAddr, seen: &Port, server: Version) {
    if is_decided(verdict, name, at, seen) {
        return;
    }
    let finding = Finding::new(
        format!("nothing answers without TLS at port {}, which Kubernetes no longer uses", at.port()),
        format!("a server at {at} answers pods"),
    )
    .evidence(answers(seen))
    .fix(format!(
        "on {name}, find the program (ss -ltnp 'sport = :{}') and stop it or bind it to 127.0.0.1",
        at.port()
    ));
    verdict.find(
        Subject::node(name),
        if server < RETIRED_SINCE {
            finding.impact("anyone who reaches this port is an administrator").severity(Severity::Critical)
        } else if at.port() == INSECURE_API_SERVER {
            finding.impact("any pod can talk to a program on the node that is not part of Kubernetes").info()
        } else {
            finding.impact("another program poses as part of the control plane, or forwards its port")
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::testing;
    use crate::ports::{KUBE_SCHEDULER, KUBELET};

    const IP: [u8; 4] = [10, 77, 0, 11];

    fn reports(changed: &[(Endpoint, Got<Met>)]) -> ProbeReports {
        let ip = IpAddr::from(IP);
        let mut reached: BTreeMap<Endpoint, Got<Met>> = [(Endpoint::tcp((ip, KUBELET)), Ok(Met::Open))].into();
        reached.extend(LEADERS.map(|port| (Endpoint::https((ip, port), METRICS), Err(Fault::Refused))));
        reached.extend(RETIRED.map(|port| (Endpoint::http((ip, port), METRICS), Err(Fault::TimedOut))));
        reached.extend(changed.iter().cloned());
        let answers = Answers { reached: reached.into_iter().collect(), ..Answers::default() };
        testing::reports([("n2", answers)])
    }

    fn nodes() -> Nodes {
        let node = Node {
            labels: [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into(),
            addresses: vec![("InternalIP".into(), IpAddr::from(IP).to_string())],
            ..Node::default()
        };
        Nodes([("n1".to_owned(), node)].into())
    }

    fn judged(changed: &[(Endpoint, Got<Met>)], version: &str) -> Verdict {
        let server = ServerVersion { git: version.into(), version: version.parse().unwrap() };
        judge(&reports(changed), &nodes(), &server)
    }

    fn answered(endpoint: Endpoint, status: u16) -> Vec<Finding> {
        judged(&[(endpoint, Ok(Met::Status(status)))], "v1.37.2").findings(Severity::Major)
    }

    fn scheduler() -> Endpoint {
        Endpoint::https((IpAddr::from(IP), KUBE_SCHEDULER), METRICS)
    }

    fn plain(port: u16) -> Endpoint {
        Endpoint::http((IpAddr::from(IP), port), METRICS)
    }

    #[test]
    fn closed_ports_of_a_node_that_is_reached_pass() {
        let verdict = judged(&[], "v1.37.2");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (5, vec![]));
    }

    #[test]
    fn a_port_that_refuses_anonymous_requests_is_informational() {
        let guarded = answered(scheduler(), 403);
        assert_eq!(guarded[0].severity, Severity::Info);
        assert_eq!(guarded[0].seen, "10.77.0.11:10259 is open to pods, and refuses anonymous requests");
        assert_eq!(guarded[0].evidence, ["HTTP 403 to a pod on n2"]);
        let open = answered(scheduler(), 200);
        assert_eq!(open[0].severity, Severity::Major);
        assert!(open[0].fix.contains("kube-scheduler.yaml, and remove /metrics"), "{open:?}");
    }

    #[test]
    fn retired_ports_are_judged_by_the_version() {
        assert_eq!(answered(plain(8080), 200)[0].severity, Severity::Info);
        assert_eq!(answered(plain(10252), 404)[0].severity, Severity::Major);
        let old = judged(&[(plain(8080), Ok(Met::Status(200)))], "v1.19.0").findings(Severity::Major);
        assert_eq!(old[0].severity, Severity::Critical);
    }

    #[test]
    fn nothing_passes_without_a_control() {
        let silence = |endpoint| (endpoint, Err(Fault::TimedOut));
        let kubelet = || silence(Endpoint::tcp((IpAddr::from(IP), KUBELET)));
        let leaders = LEADERS.map(|port| silence(Endpoint::https((IpAddr::from(IP), port), METRICS)));
        let silent = judged(&[&leaders[..], &[kubelet()]].concat(), "v1.37.2").gaps().remove(0);
        assert!(silent.why.to_string().contains("the pods on n2 get no answer"), "{silent:?}");
        assert!(judged(&[kubelet()], "v1.37.2").saw_everything(), "other ports refuse");
        let mut lost = reports(&[]);
        let silent = testing::report("q", Err(Unobserved::unreachable("pod q", "it was evicted")));
        lost.0.insert("n3".into(), silent);
        let version = ServerVersion { git: "v1.37.2".into(), version: Version::minor(37) };
        assert_eq!(judge(&lost, &nodes(), &version).gaps().len(), 1, "a probe that failed has seen nothing");
        let strange = judged(&[(scheduler(), Err(Fault::Other("no TLS".into())))], "v1.37.2");
        assert_eq!((strange.gaps().len(), strange.observations()), (1, 4));
        assert!(
            judge(
                &reports(&[]),
                &Nodes::default(),
                &ServerVersion { git: "v1.37.2".into(), version: Version::minor(37) }
            )
            .reason()
            .is_some()
        );
    }
}
