//! # Instance metadata is not reachable from ordinary pods
//!
//! ## Why
//! A cloud tells each of its instances who it is, at 169.254.169.254: with the credentials of the role, the account or the
//! managed identity that the instance has, and with the user data that it was started with. A pod that gets through to
//! there acts as its node at the provider: it reads images and disks, and at some providers joins the cluster as a node.
//!
//! ## Fix
//! First give the pods that use their node's identity one of their own: IRSA or Pod Identity at AWS, workload identity at
//! Google and Azure. Then close the address:
//! AWS, for the instances that are there and in the launch template of those to come: `aws ec2
//! modify-instance-metadata-options --instance-id INSTANCE --http-tokens required --http-put-response-hop-limit 1`.
//! GKE: `gcloud container clusters update CLUSTER --workload-pool PROJECT.svc.id.goog`, then `gcloud container node-pools
//! update POOL --cluster CLUSTER --workload-metadata GKE_METADATA`. AKS: `az aks update --resource-group GROUP --name CLUSTER
//! --enable-imds-restriction` (a preview, which some add-ons do not support), then `az aks upgrade --resource-group GROUP
//! --name CLUSTER --node-image-only`. Elsewhere, or besides: a policy of the whole
//! cluster (Calico's `GlobalNetworkPolicy`, Cilium's `CiliumClusterwideNetworkPolicy`) that denies pods egress to
//! 169.254.169.254/32 and fd00:ec2::254/128. A `NetworkPolicy` closes one namespace; pods of a new one, such as those
//! that look here, still get through.
//!
//! ## Source
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html> and
//! <https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html>: with the hop limit 1 the
//! answer to a request for a session is dropped on its way to a pod, and without a session all answers are 401.
//! <https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity>: its server answers pods at the same address,
//! and names the workload identity pool (`PROJECT.svc.id.goog`), not the node's account.
//! <https://learn.microsoft.com/azure/aks/imds-restriction>,
//! <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>. Probes ask for statuses and the names
//! of accounts, and for no credential. That nothing answers counts only where the same pod reached something else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::check::finding::Difference;
use crate::check::{Finding, Folded, Severity, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::metadata_questions::{self, is_of};
use crate::probe::Answers;
use crate::probe::answer::{AwsSession, GoogleAccounts, Metadata, MetadataAnswer};
use crate::probe::fault::Fault;
use crate::seen::Unobserved;

crate::check!("CI-01", "instance-metadata", Critical, judge);

/// The label of nodes on which Google's server knows pods, and answers each as its own account.
const WORKLOAD_IDENTITY: &str = "iam.gke.io/gke-metadata-server-enabled";

fn judge(nodes: &Nodes, reports: &ProbeReports) -> Verdict {
    let mut seen = Seen { verdict: Verdict::new(), folded: Folded::new(), notes: BTreeMap::new() };
    for (name, report) in &reports.0 {
        let Some(answers) = seen.verdict.seen(|| Subject::node(name), &report.answers) else { continue };
        let Some(node) = nodes.0.get(name) else {
            let why = Unobserved::invalid(format!("Node {name}"), "a probe ran on it, and it is not among the nodes");
            seen.verdict.unseen(Subject::node(name), &why);
            continue;
        };
        if answers.metadata.is_empty() {
            let fact = "what pods meet at their instance's metadata".to_owned();
            seen.verdict.unseen(Subject::node(name), &Unobserved::NotRecorded { fact });
            continue;
        }
        for question in metadata_questions::of(node) {
            seen.judge_address(name, node, question.at, answers);
        }
    }
    seen.folded.tell(&mut seen.verdict);
    for (note, nodes) in seen.notes {
        seen.verdict.note(format!("{}: {note}", Subject::nodes(&nodes)));
    }
    seen.verdict
}

/// What was seen so far.
struct Seen {
    verdict: Verdict,
    folded: Folded,
    /// By what is told, the nodes that it is about.
    notes: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    fn judge_address(&mut self, name: &str, node: &Node, at: SocketAddr, answers: &Answers) {
        match answers.metadata.get(&at) {
            None => {
                let fact = format!("what pods meet at {at}");
                self.verdict.unseen(Subject::node(name), &Unobserved::NotRecorded { fact });
            }
            Some(Err(fault @ (Fault::Refused | Fault::TimedOut | Fault::Reset | Fault::NoRoute))) => {
                if reaches_anything(answers) {
                    self.verdict.confirm();
                } else {
                    let why = format!("{fault}, and the same pod reached neither the API server nor the kubelet");
                    self.verdict.unseen(Subject::node(name), &Unobserved::unreachable(at.to_string(), why));
                }
            }
            Some(Err(fault)) => {
                self.verdict.unseen(Subject::node(name), &Unobserved::unreachable(at.to_string(), fault));
            }
            Some(Ok(MetadataAnswer::Open)) => self.folded.expect(&mut self.verdict, name, false, || wire_server(at)),
            Some(Ok(MetadataAnswer::Serves(metadata))) => self.judge_server(name, node, at, metadata),
        }
    }

    fn judge_server(&mut self, name: &str, node: &Node, at: SocketAddr, metadata: &Metadata) {
        let open = [aws(node, at, metadata), google(node, at, metadata), azure(node, at, metadata)];
        let mut closed = true;
        for finding in open.into_iter().flatten() {
            closed = false;
            self.folded.expect(&mut self.verdict, name, false, || finding);
        }
        if !closed {
            return;
        }
        // Of a session, silence is an answer: with a hop limit of 1 it does not come as far as a pod.
        let google = metadata.google.as_ref().map(|google| google.status).map_err(Clone::clone);
        let told = [("AWS", &metadata.aws), ("Google", &google), ("Azure", &metadata.azure)];
        for (whose, status) in told {
            let unclear = match status {
                Ok(500..) => "it answers with an error of its own".to_owned(),
                Ok(_) => continue,
                Err(fault) => fault.to_string(),
            };
            let target = format!("{at}, asked as {whose}'s clients ask");
            return self.verdict.unseen(Subject::node(name), &Unobserved::unreachable(target, unclear));
        }
        self.verdict.confirm();
        let remark = match &metadata.google {
            Ok(GoogleAccounts { status: 200, .. }) => {
                format!("{at} answers as the server of Google's workload identity, and not in the name of the node")
            }
            _ => format!("somebody answers at {at}, and gives pods nothing of what AWS, Google and Azure serve there"),
        };
        self.notes.entry(remark).or_default().insert(name.to_owned());
    }
}

/// Whether the pod's own network works: who reaches nothing learns nothing of what is closed.
fn reaches_anything(answers: &Answers) -> bool {
    answers.api.as_ref().is_some_and(|api| api.connected > 0)
        || answers.kubelet.values().any(|kubelet| kubelet.certificate.is_ok())
}

fn aws(node: &Node, at: SocketAddr, metadata: &Metadata) -> Option<Difference> {
    let role = match &metadata.aws_session {
        Ok(AwsSession { status: 200, role: Some(role) }) => Some(role),
        _ => None,
    };
    let what = match role {
        Some(Ok(true)) => ", and the instance has a role",
        Some(Ok(false)) => ", and the instance has no role",
        Some(Err(_)) => ", and does not tell whether the instance has a role",
        None => "",
    };
    let how = match (&metadata.aws, role) {
        (Ok(200), Some(_)) => "it answers without a session and with one",
        (Ok(200), None) => "it answers without a session",
        (_, Some(_)) => "it gives a session",
        (_, None) => return None,
    };
    let finding = Finding::new(format!("no metadata for pods at {at}, as AWS serves them"), format!("{how}{what}"));
    let finding = match role {
        Some(Ok(true)) => {
            finding.so("every pod of the node takes the credentials of the role, and acts as its node at AWS")
        }
        Some(Ok(false)) => finding.so("every pod of the node reads its user data, which may hold secrets"),
        Some(Err(_)) | None => {
            finding.so("every pod of the node reads its user data, and takes the credentials of a role if it has one")
        }
    };
    let elsewhere = node.provider_id.is_some() && !is_of(node, "aws");
    let finding = finding.mend(if elsewhere {
        deny(at)
    } else {
        format!(
            "give the pods that need a role one of their own; then aws ec2 modify-instance-metadata-options --instance-id \
             INSTANCE --http-tokens required --http-put-response-hop-limit 1; or {}",
            deny(at)
        )
    });
    let critical = metadata.aws == Ok(200) || role.is_some_and(|role| *role == Ok(true));
    Some(if critical { finding } else { finding.severity(Severity::Major) })
}

fn google(node: &Node, at: SocketAddr, metadata: &Metadata) -> Option<Difference> {
    let Ok(GoogleAccounts { status: 200, names }) = &metadata.google else { return None };
    let of_nodes: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| name.ends_with("gserviceaccount.com")).collect();
    let of_pods = names.iter().any(|name| name.ends_with(".svc.id.goog"))
        || node.labels.get(WORKLOAD_IDENTITY).is_some_and(|enabled| enabled == "true");
    if of_nodes.is_empty() && of_pods {
        return None;
    }
    let expected = format!("no metadata for pods at {at}, as Google serves them, but those of workload identity");
    let mend = format!(
        "on GKE, gcloud container clusters update CLUSTER --workload-pool PROJECT.svc.id.goog, then gcloud container \
         node-pools update POOL --cluster CLUSTER --workload-metadata GKE_METADATA; elsewhere {}",
        deny(at)
    );
    Some(if of_nodes.is_empty() {
        Finding::new(expected, "it answers, and names no account")
            .so("every pod of the node reads its attributes, which may hold secrets")
            .mend(mend)
            .severity(Severity::Major)
    } else {
        Finding::new(expected, format!("it names the node's account, {}", of_nodes.join(", ")))
            .so("every pod of the node takes tokens of that account, and acts as its node at Google")
            .mend(mend)
    })
}

fn azure(node: &Node, at: SocketAddr, metadata: &Metadata) -> Option<Difference> {
    (metadata.azure == Ok(200)).then(|| {
        let elsewhere = node.provider_id.is_some() && !is_of(node, "azure");
        Finding::new(format!("no metadata for pods at {at}, as Azure serves them"), "it describes the instance")
            .so("every pod of the node takes tokens of the managed identities that its node has")
            .mend(if elsewhere {
                deny(at)
            } else {
                format!(
                    "on AKS, az aks update --resource-group GROUP --name CLUSTER --enable-imds-restriction, then az aks \
                     upgrade --resource-group GROUP --name CLUSTER --node-image-only; or {}",
                    deny(at)
                )
            })
    })
}

fn wire_server(at: SocketAddr) -> Difference {
    Finding::new(format!("{at}, Azure's WireServer, closed to pods"), "it accepts connections")
        .so("pods reach what hands the instance's agent its configuration, secrets of its extensions among it")
        .mend(format!(
            "on AKS, take up a node image that drops it: az aks upgrade --resource-group GROUP --name CLUSTER \
             --node-image-only; or {}, TCP port 80, and not DNS at port 53",
            deny(at)
        ))
        .severity(Severity::Major)
}

fn deny(at: SocketAddr) -> String {
    let whole = match at.ip() {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    format!("deny pods egress to {}/{whole} by a policy of the whole cluster", at.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::metadata_questions::{IPV4, IPV6, WIRE_SERVER};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::probe::answer::{ApiAnswer, KubeletAnswer};
    use crate::probe::fault::Got;

    const REFUSED: Got<u16> = Ok(404);

    fn api(connected: u32) -> ApiAnswer {
        ApiAnswer {
            large: None,
            connected,
            tried: 1,
            fault: None,
            serials: Vec::new(),
            names: [].into(),
            version: Ok(200),
            latency: None,
            instances: [].into(),
        }
    }

    /// The answers of a pod that reaches the API server, and meets this at the address that all clouds use.
    fn answers(met: Got<MetadataAnswer>) -> Answers {
        let nobody = |ip: IpAddr| (SocketAddr::new(ip, 80), Err(Fault::TimedOut));
        let mut metadata = BTreeMap::from([nobody(IPV4), nobody(IPV6)]);
        metadata.insert((IPV4, 80).into(), met);
        Answers { api: Some(api(1)), metadata, ..Answers::default() }
    }

    fn serves(metadata: Metadata) -> Answers {
        answers(Ok(MetadataAnswer::Serves(metadata)))
    }

    fn refuses() -> Metadata {
        Metadata {
            aws: REFUSED,
            aws_session: Ok(AwsSession { status: 404, role: None }),
            google: Ok(GoogleAccounts { status: 404, names: Vec::new() }),
            azure: REFUSED,
        }
    }

    fn session(role: Got<bool>) -> Metadata {
        Metadata { aws: Ok(401), aws_session: Ok(AwsSession { status: 200, role: Some(role) }), ..refuses() }
    }

    fn names(names: &[&str]) -> Metadata {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Metadata { google: Ok(GoogleAccounts { status: 200, names }), ..refuses() }
    }

    fn judged_on(node: &Node, answers: &[Answers]) -> Verdict {
        let name = |i| format!("n{}", i + 1);
        let nodes = (0..answers.len()).map(|i| (name(i), node.clone())).collect();
        judge(&Nodes(nodes), &reports(answers.iter().enumerate().map(|(i, answers)| (name(i), answers.clone()))))
    }

    fn judged(answers: Answers) -> Verdict {
        judged_on(&Node::default(), &[answers])
    }

    fn severities(verdict: &Verdict) -> Vec<Severity> {
        verdict.findings(Severity::Critical).into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn what_is_closed_passes_only_where_something_else_is_reached() {
        for fault in [Fault::TimedOut, Fault::Refused, Fault::NoRoute] {
            let closed = answers(Err(fault));
            let verdict = judged(closed.clone());
            assert_eq!((verdict.observations(), verdict.gaps().len(), severities(&verdict)), (2, 0, vec![]));
            let verdict = judged(Answers { api: Some(api(0)), ..closed });
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 2));
        }
        // The kubelet's refusal to connect is no control.
        let kubelet = KubeletAnswer { certificate: Err(Fault::TimedOut), anonymous: [].into() };
        let deaf = Answers { api: None, kubelet: [(IPV4, kubelet)].into(), ..answers(Err(Fault::TimedOut)) };
        assert_eq!(judged(deaf).observations(), 0);
        let strange = judged(answers(Err(Fault::Other("strange".into()))));
        assert_eq!((strange.observations(), strange.gaps().len()), (1, 1));
    }

    #[test]
    fn what_was_not_asked_does_not_pass() {
        let verdict = judged(Answers { metadata: [].into(), ..answers(Err(Fault::TimedOut)) });
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
        assert!(matches!(verdict.gaps()[0].why, Unobserved::NotRecorded { .. }));
        let azure = Node { provider_id: Some("azure:///x".into()), ..Node::default() };
        let verdict = judged_on(&azure, &[answers(Err(Fault::TimedOut))]);
        assert_eq!((verdict.observations(), verdict.gaps().len()), (2, 1), "the WireServer was not dialled");
    }

    #[test]
    fn a_role_and_an_open_first_version_are_critical_and_a_bare_session_major() {
        for (metadata, severity) in [
            (session(Ok(true)), Severity::Critical),
            (session(Ok(false)), Severity::Major),
            (session(Err(Fault::TimedOut)), Severity::Major),
            (Metadata { aws: Ok(200), aws_session: Err(Fault::TimedOut), ..refuses() }, Severity::Critical),
            (Metadata { aws: Ok(200), ..session(Ok(false)) }, Severity::Critical),
        ] {
            assert_eq!(severities(&judged(serves(metadata.clone()))), [severity], "{metadata:?}");
        }
    }

    #[test]
    fn one_finding_is_told_of_all_nodes_and_mended_at_their_own_provider() {
        let two = [serves(session(Ok(true))), serves(session(Ok(true)))];
        let mend = |id: &str| {
            let node = Node { provider_id: Some(id.into()), ..Node::default() };
            let findings = judged_on(&node, &two).findings(Severity::Critical);
            assert_eq!(
                (findings.len(), crate::check::subject::listed(&findings[0].subjects)),
                (1, "Node n1, n2".into())
            );
            findings[0].fix.clone()
        };
        assert!(mend("aws:///a/i-0abc").contains("--http-tokens required --http-put-response-hop-limit 1"));
        assert_eq!(mend("openstack:///x"), "deny pods egress to 169.254.169.254/32 by a policy of the whole cluster");
    }

    #[test]
    fn a_hop_limit_that_keeps_sessions_from_pods_passes_with_a_note() {
        for session in [Err(Fault::TimedOut), Ok(AwsSession { status: 403, role: None })] {
            let verdict = judged(serves(Metadata { aws: Ok(401), aws_session: session, ..refuses() }));
            assert_eq!((verdict.observations(), verdict.gaps().len(), severities(&verdict)), (2, 0, vec![]));
            assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
        }
    }

    #[test]
    fn a_server_that_is_open_and_not_understood_is_undecided() {
        let silent = || Err(Fault::TimedOut);
        for metadata in [
            Metadata { aws: silent(), ..refuses() },
            Metadata { google: Err(Fault::Stranger("this is no list of accounts".into())), ..refuses() },
            Metadata { azure: Ok(503), ..refuses() },
        ] {
            let verdict = judged(serves(metadata));
            assert_eq!(
                (verdict.observations(), verdict.gaps().len(), crate::check::testing::notes(&verdict).len()),
                (1, 1, 0)
            );
        }
    }

    #[test]
    fn the_nodes_account_is_critical_and_workload_identity_passes() {
        let node_account = "12-compute@developer.gserviceaccount.com";
        let verdict = judged(serves(names(&[node_account])));
        assert!(verdict.findings(Severity::Critical)[0].seen.contains(node_account));
        assert_eq!(severities(&verdict), [Severity::Critical]);
        // As it is where pods have an identity of their own, and the probe's has none.
        let pool = judged(serves(names(&["p.svc.id.goog"])));
        assert_eq!((severities(&pool), crate::check::testing::notes(&pool).len(), pool.gaps().len()), (vec![], 1, 0));
        assert_eq!(severities(&judged(serves(names(&[])))), [Severity::Major]);
        let labels = [(WORKLOAD_IDENTITY.to_owned(), "true".to_owned())].into();
        let node = Node { labels, ..Node::default() };
        assert_eq!(severities(&judged_on(&node, &[serves(names(&[]))])), []);
        assert_eq!(severities(&judged_on(&node, &[serves(names(&[node_account]))])), [Severity::Critical]);
    }

    #[test]
    fn azures_description_is_critical_and_its_wire_server_major() {
        let mut answers = serves(Metadata { azure: Ok(200), ..refuses() });
        answers.metadata.insert((WIRE_SERVER, 80).into(), Ok(MetadataAnswer::Open));
        let node = Node { provider_id: Some("azure:///x".into()), ..Node::default() };
        let verdict = judged_on(&node, &[answers]);
        assert_eq!((severities(&verdict), verdict.observations()), (vec![Severity::Critical, Severity::Major], 3));
    }
}
