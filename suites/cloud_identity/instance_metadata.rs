//! # Instance metadata is not reachable from ordinary pods
//!
//! ## Why
//! A cloud gives each instance its identity at 169.254.169.254: the credentials of the instance's role, account or
//! managed identity, and the user data that it was started with. A pod that reaches this address acts as its node at
//! the provider: it reads images and disks, and at some providers it joins the cluster as a node.
//!
//! ## Fix
//! First give the pods that use their node's identity an identity of their own: IRSA or Pod Identity at AWS, workload
//! identity at Google and Azure. Then close the address: AWS, for the existing instances and in the launch template of
//! future ones: `aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-tokens required
//! --http-put-response-hop-limit 1`. GKE: `gcloud container clusters update CLUSTER --workload-pool
//! PROJECT.svc.id.goog`, then `gcloud container node-pools update POOL --cluster CLUSTER --workload-metadata
//! GKE_METADATA`. AKS: `az aks update --resource-group GROUP --name CLUSTER --enable-imds-restriction` (a preview,
//! which some add-ons do not support), then `az aks upgrade --resource-group GROUP --name CLUSTER --node-image-only`.
//! Elsewhere, or in addition: a cluster-wide policy (Calico's `GlobalNetworkPolicy`, Cilium's
//! `CiliumClusterwideNetworkPolicy`) that denies pods egress to 169.254.169.254/32 and fd00:ec2::254/128. A
//! `NetworkPolicy` closes one namespace only; pods in a new namespace, such as the probes of this check, still reach
//! the address.
//!
//! ## Source
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html> and
//! <https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html>: with the hop limit 1
//! the answer to a request for a session is dropped on its way to a pod, and without a session every answer is 401.
//! <https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity>: its server answers pods at the same
//! address, with the workload identity pool (`PROJECT.svc.id.goog`) instead of the node's account.
//! <https://learn.microsoft.com/azure/aks/imds-restriction>,
//! <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>. Probes ask for statuses and
//! the names of accounts, and for no credential. Silence counts as closed only where the same pod reached something
//! else.

use std::net::{IpAddr, SocketAddr};

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{
    Answers, AwsSession, Fault, GoogleAccounts, Metadata, MetadataAnswer,
};
use crate::fact::facts::probe_reports::metadata_questions::{self, is_of};
use crate::seen::Unobserved;

crate::check!("CI-01", "instance-metadata", Critical, judge, blocked_by: ["CN-04"]);

/// The label of nodes on which Google's server recognises pods, and gives each its own account.
const WORKLOAD_IDENTITY: &str = "iam.gke.io/gke-metadata-server-enabled";

fn judge(nodes: &Nodes, reports: &ProbeReports) -> Verdict {
    let mut verdict = Verdict::new();
    for (name, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(name), &report.answers) else { continue };
        let Some(node) = nodes.0.get(name) else {
            let why =
                Unobserved::invalid(format!("Node {name}"), "a probe ran on it, but it is not in the list of nodes");
            verdict.unseen(Subject::node(name), &why);
            continue;
        };
        if answers.metadata.is_empty() {
            let why = Unobserved::invalid(format!("the probe on {name}"), "it did not ask for instance metadata");
            verdict.unseen(Subject::node(name), &why);
            continue;
        }
        for question in metadata_questions::of(node) {
            judge_address(&mut verdict, (name, node), question.at, answers);
        }
    }
    verdict
}

fn judge_address(verdict: &mut Verdict, (name, node): (&str, &Node), at: SocketAddr, answers: &Answers) {
    match answers.metadata.get(&at) {
        None => {
            let why = Unobserved::invalid(format!("the probe on {name}"), format!("it did not ask {at}"));
            verdict.unseen(Subject::node(name), &why);
        }
        Some(Err(fault @ (Fault::Refused | Fault::TimedOut | Fault::Reset | Fault::NoRoute))) => {
            if reaches_anything(answers) {
                verdict.confirm();
            } else {
                let why = format!("{fault}, and the same pod reached neither the API server nor the kubelet");
                verdict.unseen(Subject::node(name), &Unobserved::unreachable(at.to_string(), why));
            }
        }
        Some(Err(fault)) => verdict.unseen(Subject::node(name), &Unobserved::unreachable(at.to_string(), fault)),
        Some(Ok(MetadataAnswer::Open)) => verdict.find(Subject::node(name), wire_server(at)),
        Some(Ok(MetadataAnswer::Serves(metadata))) => judge_server(verdict, (name, node), at, metadata),
    }
}

fn judge_server(verdict: &mut Verdict, (name, node): (&str, &Node), at: SocketAddr, metadata: &Metadata) {
    let open = [aws(node, at, metadata), google((name, node), at, metadata), azure(node, at, metadata)];
    let mut closed = true;
    for finding in open.into_iter().flatten() {
        closed = false;
        verdict.find(Subject::node(name), finding);
    }
    if !closed {
        return;
    }
    // No answer to a request for a session is an answer: with a hop limit of 1 it does not reach a pod.
    let google = metadata.google.as_ref().map(|google| google.status).map_err(Clone::clone);
    let answers = [("AWS", &metadata.aws), ("Google", &google), ("Azure", &metadata.azure)];
    for (provider, answer) in answers {
        let unclear = match answer {
            Ok(500..) => "it answers with a server error".to_owned(),
            Ok(_) => continue,
            Err(fault) => fault.to_string(),
        };
        let target = format!("{at}, asked as clients of {provider} ask");
        return verdict.unseen(Subject::node(name), &Unobserved::unreachable(target, unclear));
    }
    verdict.confirm();
    let harmless = match &metadata.google {
        Ok(GoogleAccounts { status: 200, .. }) => {
            format!("the server at {at} is Google's workload identity, and does not give pods the node's account")
        }
        _ => format!("a server answers at {at}, but gives pods nothing that AWS, Google or Azure serve there"),
    };
    verdict.note_about(Subject::node(name), harmless);
}

/// Whether the pod's own network works: a pod that reaches nothing does not show that anything is closed.
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
        Some(Ok(true)) => ", and the instance has an IAM role",
        Some(Ok(false)) => ", and the instance has no IAM role",
        Some(Err(_)) => "; whether the instance has an IAM role is unknown",
        None => "",
    };
    let how = match (&metadata.aws, role) {
        (Ok(200), Some(_)) => "IMDSv1 and IMDSv2 answer",
        (Ok(200), None) => "IMDSv1 answers",
        (_, Some(_)) => "IMDSv2 answers",
        (_, None) => return None,
    };
    let impact = match role {
        Some(Ok(true)) => "every pod on the node can take the role's credentials, and act as its node at AWS",
        Some(Ok(false)) => "every pod on the node can read its user data, which may hold secrets",
        Some(Err(_)) | None => {
            "every pod on the node can read its user data, and take the credentials of its role if it has one"
        }
    };
    let elsewhere = node.provider_id.is_some() && !is_of(node, "aws");
    let fix = if elsewhere {
        deny(at)
    } else {
        format!(
            "use pod-level roles (IRSA, Pod Identity); then for each NODE of these: aws ec2 \
             modify-instance-metadata-options --instance-id $(kubectl get node NODE -o jsonpath='{{.spec.providerID}}' \
             | sed 's|.*/||') --http-tokens required --http-put-response-hop-limit 1; or {}",
            deny(at)
        )
    };
    let critical = metadata.aws == Ok(200) || role.is_some_and(|role| *role == Ok(true));
    let severity = if critical { Severity::Critical } else { Severity::Major };
    let expected = format!("pods get no AWS metadata at {at}");
    Some(Finding::new(expected, format!("{how}{what}")).impact(impact).fix(fix).severity(severity))
}

fn google((name, node): (&str, &Node), at: SocketAddr, metadata: &Metadata) -> Option<Difference> {
    let Ok(GoogleAccounts { status: 200, names }) = &metadata.google else { return None };
    let of_nodes: Vec<&String> = names.iter().filter(|name| name.ends_with("gserviceaccount.com")).collect();
    let of_pods = names.iter().any(|name| name.ends_with(".svc.id.goog"))
        || node.labels.get(WORKLOAD_IDENTITY).is_some_and(|enabled| enabled == "true");
    if of_nodes.is_empty() && of_pods {
        return None;
    }
    let expected = format!("pods get no Google metadata at {at} other than those of workload identity");
    let fix = format!(
        "on GKE, gcloud container clusters update CLUSTER --workload-pool PROJECT.svc.id.goog, then gcloud container \
         node-pools update POOL --cluster CLUSTER --workload-metadata GKE_METADATA; elsewhere {}",
        deny(at)
    );
    Some(if of_nodes.is_empty() {
        Finding::new(expected, "it answers, and names no account")
            .impact("every pod on the node can read its attributes, which may hold secrets")
            .fix(fix)
            .severity(Severity::Major)
    } else {
        Finding::new(expected, "it gives pods the node's own account")
            .impact("every pod on the node can take tokens of that account, and act as its node at Google")
            .fix(fix)
            .evidence(of_nodes.iter().map(|account| format!("{name}: {account}")))
    })
}

fn azure(node: &Node, at: SocketAddr, metadata: &Metadata) -> Option<Difference> {
    (metadata.azure == Ok(200)).then(|| {
        let elsewhere = node.provider_id.is_some() && !is_of(node, "azure");
        Finding::new(format!("pods get no Azure metadata at {at}"), "it describes the instance")
            .impact("every pod on the node can take tokens of the node's managed identities")
            .fix(if elsewhere {
                deny(at)
            } else {
                format!(
                    "on AKS, az aks update --resource-group GROUP --name CLUSTER --enable-imds-restriction, then az \
                     aks upgrade --resource-group GROUP --name CLUSTER --node-image-only; or {}",
                    deny(at)
                )
            })
    })
}

fn wire_server(at: SocketAddr) -> Difference {
    Finding::new(format!("{at}, Azure's WireServer, is closed to pods"), "it accepts connections")
        .impact("pods can read the configuration of the instance's agent, including the secrets of its extensions")
        .fix(format!(
            "on AKS, move to a node image that drops this traffic: az aks upgrade --resource-group GROUP --name \
             CLUSTER --node-image-only; or {}, for TCP port 80 only: port 53 is DNS",
            deny(at)
        ))
        .severity(Severity::Major)
}

fn deny(at: SocketAddr) -> String {
    let whole = match at.ip() {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    format!(
        "deny pods egress to {}/{whole} with a cluster-wide policy (Calico GlobalNetworkPolicy, Cilium \
         CiliumClusterwideNetworkPolicy)",
        at.ip()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::subject::listed;
    use crate::check::testing::notes;
    use crate::fact::facts::probe_reports::answers::{ApiAnswer, Got, KubeletAnswer};
    use crate::fact::facts::probe_reports::metadata_questions::{IPV4, IPV6, WIRE_SERVER};
    use crate::fact::facts::probe_reports::testing::reports;

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

    /// The answers of a pod that reaches the API server, and gets this at the address that all clouds use.
    fn answers(met: Got<MetadataAnswer>) -> Answers {
        let silent = |ip: IpAddr| (SocketAddr::new(ip, 80), Err(Fault::TimedOut));
        let mut metadata = BTreeMap::from([silent(IPV4), silent(IPV6)]);
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
    fn a_closed_address_passes_only_where_something_else_is_reached() {
        for fault in [Fault::TimedOut, Fault::Refused, Fault::NoRoute] {
            let closed = answers(Err(fault));
            let verdict = judged(closed.clone());
            assert_eq!((verdict.observations(), verdict.gaps().len(), severities(&verdict)), (2, 0, vec![]));
            let verdict = judged(Answers { api: Some(api(0)), ..closed });
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 2));
        }
        // A kubelet that does not answer is not a control.
        let kubelet = KubeletAnswer { certificate: Err(Fault::TimedOut), anonymous: [].into() };
        let deaf = Answers { api: None, kubelet: [(IPV4, kubelet)].into(), ..answers(Err(Fault::TimedOut)) };
        assert_eq!(judged(deaf).observations(), 0);
        let strange = judged(answers(Err(Fault::Other("strange".into()))));
        assert_eq!((strange.observations(), strange.gaps().len()), (1, 1));
    }

    #[test]
    fn an_address_that_was_not_asked_does_not_pass() {
        let verdict = judged(Answers { metadata: [].into(), ..answers(Err(Fault::TimedOut)) });
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
        assert!(verdict.gaps()[0].why.to_string().ends_with("it did not ask for instance metadata"));
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
    fn all_nodes_share_one_finding_whose_fix_is_their_own_provider_s() {
        let two = [serves(session(Ok(true))), serves(session(Ok(true)))];
        let fix = |id: &str| {
            let node = Node { provider_id: Some(id.into()), ..Node::default() };
            let findings = judged_on(&node, &two).findings(Severity::Critical);
            assert_eq!((findings.len(), listed(&findings[0].subjects)), (1, "Node n1, n2".into()));
            findings[0].fix.clone()
        };
        assert!(fix("aws:///a/i-0abc").contains("--http-tokens required --http-put-response-hop-limit 1"));
        assert!(fix("openstack:///x").starts_with("deny pods egress to 169.254.169.254/32 with a cluster-wide policy"));
    }

    #[test]
    fn a_hop_limit_that_keeps_sessions_from_pods_passes_with_a_note() {
        for session in [Err(Fault::TimedOut), Ok(AwsSession { status: 403, role: None })] {
            let verdict = judged(serves(Metadata { aws: Ok(401), aws_session: session, ..refuses() }));
            assert_eq!((verdict.observations(), verdict.gaps().len(), severities(&verdict)), (2, 0, vec![]));
            assert_eq!(notes(&verdict).len(), 1);
        }
    }

    #[test]
    fn a_server_whose_answer_is_not_understood_is_inconclusive() {
        let silent = || Err(Fault::TimedOut);
        for metadata in [
            Metadata { aws: silent(), ..refuses() },
            Metadata { google: Err(Fault::Stranger("this is not a list of accounts".into())), ..refuses() },
            Metadata { azure: Ok(503), ..refuses() },
        ] {
            let verdict = judged(serves(metadata));
            assert_eq!((verdict.observations(), verdict.gaps().len(), notes(&verdict).len()), (1, 1, 0));
        }
    }

    #[test]
    fn the_nodes_account_is_critical_and_workload_identity_passes() {
        let node_account = "12-compute@developer.gserviceaccount.com";
        let verdict = judged(serves(names(&[node_account])));
        assert_eq!(verdict.findings(Severity::Critical)[0].evidence, [format!("n1: {node_account}")]);
        assert_eq!(severities(&verdict), [Severity::Critical]);
        // This is so where pods have an identity of their own, and the probe has none.
        let pool = judged(serves(names(&["p.svc.id.goog"])));
        assert_eq!((severities(&pool), notes(&pool).len(), pool.gaps().len()), (vec![], 1, 0));
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
