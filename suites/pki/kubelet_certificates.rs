//! # The kubelets' serving certificates are valid
//!
//! ## Why
//! The API server dials kubelets for logs, exec and port-forward, metrics-server for the numbers that autoscaling
//! needs. A certificate that has expired, or that was made for an address which the node no longer has, breaks every
//! client that verifies it. A kubelet's self-signed certificate cannot be verified at all: clients trust anyone who
//! takes over the address of a node.
//!
//! ## Fix
//! Self-signed, which is kubeadm's default: set `serverTLSBootstrap: true` in ConfigMap kube-system/kubelet-config and
//! in `/var/lib/kubelet/config.yaml` of each node, restart the kubelets, and approve their requests, by hand (`kubectl
//! get csr`; PK-09 shows what to check first) or with an approver that checks them; then give the API server
//! `--kubelet-certificate-authority`. Expired and self-signed: remove `/var/lib/kubelet/pki/kubelet.crt` and
//! `kubelet.key` on the node and restart the kubelet. Signed by the cluster's CA for another address: remove
//! `/var/lib/kubelet/pki/kubelet-server-current.pem`, restart the kubelet and approve its request.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#kubelet-serving-certs>;
//! kubernetes/kubernetes `cmd/kubelet/app/server.go`, `staging/src/k8s.io/client-go/util/cert/cert.go` (self-signed
//! ones last a year and are made only where the file is missing), `pkg/kubelet/certificate/kubelet.go`. Less than 14
//! days left is major, or a tenth of the certificate's life where that is less. With KEP-4872 API servers will verify
//! the common name: see the notes.

use std::collections::BTreeMap;

use super::helpers::instances::is_out_of_reach;
use super::helpers::lifetime::{least, left, length, remainder};
use super::helpers::names::{lacks, missing, missing_at, valid_at};
use crate::certificate::{Chain, Description, Distrust, verify};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::trusted_authorities::TrustedAuthorities;
use crate::handshake::Handshake;
use crate::seen::{Seen, Unobserved};

crate::check!(
    "PK-08",
    "kubelet-certificates",
    Major,
    judge,
    builds_on: ["KL-13", "PK-09", "PK-14"],
    blocked_by: ["KL-16"]
);

/// Makes a kubelet sign its own certificate again.
const SIGN_AGAIN: &str =
    "on the node: mv /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet.key /root/, and restart the kubelet";
/// Makes a kubelet request a certificate of the cluster again.
const REQUEST_AGAIN: &str = "on the node: mv /var/lib/kubelet/pki/kubelet-server-current.pem /root/, and restart the \
     kubelet; then approve its request as PK-09 shows: kubectl get csr";

fn judge(
    kubelets: &KubeletHandshakes,
    from_pods: Result<&ProbeReports, &Unobserved>,
    nodes: &Nodes,
    authorities: &TrustedAuthorities,
    clock: &Clock,
) -> Verdict {
    let presented: BTreeMap<&String, Seen<Chain>> =
        kubelets.0.iter().map(|(name, seen)| (name, presented(name, seen, from_pods))).collect();
    if !presented.is_empty() && presented.values().all(is_out_of_reach) {
        return Verdict::not_applicable("the API server answers, but no kubelet can be reached from here");
    }
    let mut verdict = Verdict::new();
    for (name, seen) in &presented {
        let (Some(chain), Some(node)) = (verdict.seen(|| Subject::node(*name), seen), nodes.0.get(*name)) else {
            continue;
        };
        match chain.leaf().describe() {
            Err(malformed) => {
                let finding = Finding::new("a certificate", malformed.to_string())
                    .impact("logs, exec and metrics of the node's pods fail")
                    .fix(SIGN_AGAIN);
                verdict.find(Subject::node(*name), finding);
            }
            Ok(leaf) => {
                judge_lifetime(&mut verdict, name, &leaf, clock);
                judge_issuer(&mut verdict, (name, node), (chain, &leaf), authorities, clock);
            }
        }
    }
    verdict
}

/// What the kubelet presents to this program or, where it cannot be reached from here, to a pod on its node.
fn presented(node: &str, from_here: &Seen<Handshake>, from_pods: Result<&ProbeReports, &Unobserved>) -> Seen<Chain> {
    let why = match from_here {
        Ok(handshake) => return Ok(handshake.chain.clone()),
        Err(why) => why,
    };
    let from_pod = from_pods.ok().and_then(|reports| reports.0.get(node)?.answers.as_ref().ok());
    let leaf =
        from_pod.and_then(|answers| answers.kubelet.values().find_map(|kubelet| kubelet.certificate.clone().ok()));
    leaf.and_then(|leaf| Chain::try_from(vec![leaf]).ok()).ok_or_else(|| why.clone())
}

fn judge_lifetime(verdict: &mut Verdict, name: &str, leaf: &Description, clock: &Clock) {
    let limit = least(leaf, 14, 10);
    let left = left(leaf, clock.server);
    verdict.expect(Subject::node(name), left >= limit, || {
        let (impact, fix) = if is_self_made(leaf) {
            ("the kubelet does not renew it; metrics-server and other clients that check the date fail", SIGN_AGAIN)
        } else {
            ("its rotation is stuck; the API server and metrics-server fail to reach the kubelet", REQUEST_AGAIN)
        };
        Finding::new(
            format!("a serving certificate that lasts for at least {}", length(limit)),
            if left.is_negative() { "it has expired" } else { "it expires soon" },
        )
        .impact(impact)
        .fix(fix)
        .evidence([format!("{name}: {} {}", leaf.subject, remainder(leaf, clock.server))])
    });
}

fn judge_issuer(
    verdict: &mut Verdict,
    (name, node): (&str, &Node),
    (chain, leaf): (&Chain, &Description),
    authorities: &TrustedAuthorities,
    clock: &Clock,
) {
    let expected = "a serving certificate that the cluster's CA signed";
    if is_self_made(leaf) {
        let finding = Finding::new(expected, "the kubelet signed it itself")
            .impact("no client can verify the kubelet, and nothing renews the certificate after its year")
            .fix(
                "set serverTLSBootstrap: true in /var/lib/kubelet/config.yaml of each node and in ConfigMap \
                 kube-system/kubelet-config, restart the kubelets, and approve their requests as PK-09 shows",
            )
            .info();
        return verdict.find(Subject::node(name), finding);
    }
    match verify(chain, &authorities.0, None, clock.server) {
        // The date was judged already.
        Ok(()) | Err(Distrust::Expired { .. }) => {}
        Err(Distrust::UnknownIssuer { .. }) => {
            let finding = Finding::new(expected, "a CA that the cluster does not publish signed it")
                .impact("only clients that are configured with that CA can verify the kubelet")
                .fix(format!(
                    "if that CA is intended, give it to the API server as --kubelet-certificate-authority; else \
                     {REQUEST_AGAIN}"
                ))
                .info();
            return verdict.find(Subject::node(name), finding);
        }
        Err(distrust) => {
            let finding = Finding::new("a serving certificate that clients accept", distrust.to_string())
                .impact("clients that verify the kubelet fail: metrics-server, and the API server if it verifies")
                .fix(REQUEST_AGAIN);
            verdict.find(Subject::node(name), finding);
        }
    }
    let dialled = node.addresses.iter().filter(|(kind, _)| kind == "InternalIP" || kind == "Hostname");
    let lacking = missing(leaf, dialled.map(|(_, address)| address));
    verdict.expect(Subject::node(name), lacking.is_empty(), || {
        Finding::new("a serving certificate for the node's addresses", lacks(&lacking))
            .impact("clients that verify the kubelet fail: metrics-server, and the API server if it verifies")
            .fix(REQUEST_AGAIN)
            .evidence(missing_at(name, &lacking))
            .evidence(valid_at(name, leaf))
    });
    if leaf.common_name.as_deref() != Some(&format!("system:node:{name}")) {
        verdict.note_about(
            Subject::node(name),
            "the common name of its serving certificate is not system:node:NAME: API servers with the feature \
             KubeletCertCNValidation refuse this kubelet",
        );
    }
}

/// Whether the kubelet made it for itself, as `n1@1795442329` of `n1-ca@1795442329`.
fn is_self_made(leaf: &Description) -> bool {
    let host = leaf.common_name.as_deref().and_then(|name| name.rsplit_once('@')).map(|(host, _)| host);
    leaf.self_issued || host.is_some_and(|host| leaf.issuer.starts_with(&format!("CN={host}-ca@")))
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, IsCa, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::certificate::testing::{Authority, Leaf, self_signed, years};
    use crate::check::Severity;
    use crate::check::testing::{notes, seen_of};
    use crate::fact::facts::probe_reports::answers::{Answers, KubeletAnswer};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::suites::pki::testing::{clock, presented};

    fn signed(ca: &Authority, node: &str, names: &[&str]) -> Leaf {
        ca.leaf_with(names, &PKCS_ECDSA_P256_SHA256, |params| {
            params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
        })
    }

    fn judged<const N: usize>(ca: &Authority, kubelets: [(&str, Seen<Handshake>); N]) -> Verdict {
        judged_with(ca, kubelets, Err(&Unobserved::Interrupted))
    }

    fn judged_with<const N: usize>(
        ca: &Authority,
        kubelets: [(&str, Seen<Handshake>); N],
        from_pods: Result<&ProbeReports, &Unobserved>,
    ) -> Verdict {
        let node = |name: &str| Node {
            addresses: vec![("InternalIP".into(), "10.77.0.12".into()), ("Hostname".into(), name.into())],
            ..Node::default()
        };
        let nodes = Nodes(kubelets.iter().map(|(name, _)| ((*name).to_owned(), node(name))).collect());
        let kubelets = KubeletHandshakes(kubelets.into_iter().map(|(name, seen)| (name.to_owned(), seen)).collect());
        judge(&kubelets, from_pods, &nodes, &TrustedAuthorities(vec![ca.certificate.clone()]), &clock())
    }

    #[test]
    fn a_certificate_of_the_cluster_for_the_node_passes() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&ca, [("n2", presented(&signed(&ca, "n2", &["n2", "10.77.0.12"])))]);
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!((verdict.observations(), notes(&verdict).len()), (2, 0));
    }

    #[test]
    fn self_signed_ones_are_one_info_finding() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&ca, ["n1", "n2"].map(|name| (name, presented(&self_signed(&[name], IsCa::NoCa)))));
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
        assert_eq!(seen_of(&verdict), ["Node n1, n2: the kubelet signed it itself"]);
    }

    #[test]
    fn an_expired_one_is_found_whatever_its_issuer() {
        let ca = Authority::new("kubernetes");
        let expired = ca.leaf_with(&["n2", "10.77.0.12"], &PKCS_ECDSA_P256_SHA256, years(2020, 2021));
        let findings = judged(&ca, [("n2", presented(&expired))]).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "Node n2");
        assert!(finding.evidence[0].contains("days ago, at 2021-12-31T00:00:00Z"), "{finding:?}");
    }

    #[test]
    fn one_for_an_old_address_is_found() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&ca, [("n2", presented(&signed(&ca, "n2", &["n2", "10.77.0.62"])))]);
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.seen, "the certificate lacks 1 name");
        assert_eq!(finding.evidence, ["n2: no 10.77.0.12", "n2: valid for 10.77.0.62", "n2: valid for n2"]);
    }

    #[test]
    fn another_name_is_a_note_and_another_ca_is_info() {
        let (ca, company) = (Authority::new("kubernetes"), Authority::new("company"));
        let names = ["n2", "10.77.0.12"];
        assert!(notes(&judged(&ca, [("n2", presented(&ca.leaf(&names)))]))[0].contains("KubeletCertCNValidation"));
        let findings = judged(&ca, [("n2", presented(&company.leaf(&names)))]).findings(Severity::Major);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn one_silent_kubelet_is_inconclusive_and_none_at_all_is_out_of_reach() {
        let ca = Authority::new("kubernetes");
        let silent = || Err(Unobserved::unreachable("10.77.0.13:10250", "the connection was refused"));
        let one = judged(&ca, [("n2", presented(&signed(&ca, "n2", &["n2", "10.77.0.12"]))), ("n3", silent())]);
        assert_eq!(one.gaps()[0].subjects[0].to_string(), "Node n3");
        assert!(judged(&ca, [("n3", silent())]).reason().unwrap().contains("no kubelet can be reached"));
    }

    #[test]
    fn a_kubelet_that_only_its_pods_reach_is_judged_by_their_handshake() {
        let ca = Authority::new("kubernetes");
        let expired = ca.leaf_with(&["n3", "10.77.0.12"], &PKCS_ECDSA_P256_SHA256, years(2020, 2021));
        let answer = KubeletAnswer { certificate: Ok(expired.certificate), anonymous: BTreeMap::new() };
        let answers = Answers { kubelet: BTreeMap::from([([10, 77, 0, 12].into(), answer)]), ..Answers::default() };
        let reports = reports([("n3", answers)]);
        let silent = Err(Unobserved::unreachable("10.77.0.13:10250", "the connection was refused"));
        let findings = judged_with(&ca, [("n3", silent)], Ok(&reports)).findings(Severity::Major);
        assert!(findings[0].evidence[0].contains("days ago, at 2021-12-31T00:00:00Z"), "{findings:?}");
    }
}
