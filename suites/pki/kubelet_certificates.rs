//! # The kubelets' serving certificates are valid
//!
//! ## Why
//! The API server dials kubelets for logs, exec and port-forward, metrics-server for the numbers that autoscaling needs.
//! A certificate that has expired, or that was made for an address which the node no longer has, breaks whichever of
//! them verifies it. A kubelet's self-signed certificate cannot be verified at all: whoever takes over the address of a
//! node is believed.
//!
//! ## Fix
//! Self-signed, which is kubeadm's default: set `serverTLSBootstrap: true` in ConfigMap kube-system/kubelet-config and in
//! `/var/lib/kubelet/config.yaml` of each node, restart the kubelets, and approve their requests, by hand
//! (`kubectl get csr`; PK-09 tells what to look at first) or by an approver that checks them; then give the API server
//! `--kubelet-certificate-authority`. Expired and self-signed: remove `/var/lib/kubelet/pki/kubelet.crt` and `kubelet.key`
//! on the node and restart the kubelet. Of the cluster's CA with a wrong address: remove
//! `/var/lib/kubelet/pki/kubelet-server-current.pem`, restart the kubelet and approve its request.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#kubelet-serving-certs>; kubernetes/kubernetes
//! `cmd/kubelet/app/server.go`, `staging/src/k8s.io/client-go/util/cert/cert.go` (self-signed ones last a year and are made
//! only where the file is missing), `pkg/kubelet/certificate/kubelet.go`. Less than 14 days left is major, or a tenth of
//! the certificate's life where that is less. KEP-4872 will have API servers verify the common name: see the notes.

use std::collections::BTreeMap;

use super::instances::is_out_of_reach;
use super::lifetime::{least, left, length, remainder};
use crate::certificate::{Chain, Description, Distrust, verify};
use crate::check::{Finding, Subject, Verdict, names};
use crate::cluster::handshake::Handshake;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::trusted_authorities::TrustedAuthorities;
use crate::seen::{Seen, Unobserved};

crate::check!("PK-08", "kubelet-certificates", Major, judge);

/// The nodes that a remark is about.
#[derive(Default)]
struct Remarks<'a> {
    self_signed: Vec<&'a str>,
    strange: Vec<&'a str>,
    otherwise_named: Vec<&'a str>,
}

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
        return Verdict::not_applicable(format!(
            "the API server answers, but no kubelet can be reached from here ({})",
            names(kubelets.0.keys())
        ));
    }
    let mut verdict = Verdict::new();
    let mut remarks = Remarks::default();
    for (name, seen) in &presented {
        let (Some(chain), Some(node)) = (verdict.seen(|| Subject::node(*name), seen), nodes.0.get(*name)) else {
            continue;
        };
        match chain.leaf().describe() {
            Err(malformed) => {
                verdict.find(Subject::node(*name), Finding::new("a certificate", malformed.to_string()));
            }
            Ok(leaf) => {
                judge_lifetime(&mut verdict, name, &leaf, clock);
                judge_issuer(&mut verdict, &mut remarks, (name, node), (chain, &leaf), authorities, clock);
            }
        }
    }
    remarks.tell(&mut verdict);
    verdict
}

/// What the kubelet presents to us or, where it cannot be reached from here, to a pod on its node.
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
    verdict.expect(Subject::node(name), left(leaf, clock.server) >= limit, || {
        Finding::new(
            format!("a serving certificate that lasts for at least {}", length(limit)),
            format!("{} {}", leaf.subject, remainder(leaf, clock.server)),
        )
        .so(if is_self_made(leaf) {
            "the kubelet does not renew it by itself; metrics-server and others that look at the date fail"
        } else {
            "its rotation is stuck; the API server and metrics-server fail to reach the kubelet"
        })
    });
}

fn judge_issuer<'a>(
    verdict: &mut Verdict,
    remarks: &mut Remarks<'a>,
    (name, node): (&'a str, &Node),
    (chain, leaf): (&Chain, &Description),
    authorities: &TrustedAuthorities,
    clock: &Clock,
) {
    if is_self_made(leaf) {
        return remarks.self_signed.push(name);
    }
    match verify(chain, &authorities.0, None, clock.server) {
        // The date was judged already.
        Ok(()) | Err(Distrust::Expired { .. }) => {}
        Err(Distrust::UnknownIssuer { .. }) => return remarks.strange.push(name),
        Err(distrust) => verdict
            .find(Subject::node(name), Finding::new("a serving certificate that clients accept", distrust.to_string())),
    }
    let missing: Vec<&str> = node
        .addresses
        .iter()
        .filter(|(kind, _)| kind == "InternalIP" || kind == "Hostname")
        .map(|(_, address)| address.as_str())
        .filter(|address| !leaf.covers(address))
        .collect();
    verdict.expect(Subject::node(name), missing.is_empty(), || {
        Finding::new(
            format!("a serving certificate for the node's {}", missing.join(", ")),
            format!("a certificate for {}", leaf.names()),
        )
        .so("clients that verify the kubelet fail: metrics-server, and the API server where it is told to verify")
    });
    if leaf.common_name.as_deref() != Some(&format!("system:node:{name}")) {
        remarks.otherwise_named.push(name);
    }
}

/// Whether the kubelet made it for itself, as `n1@1795442329` of `n1-ca@1795442329`.
fn is_self_made(leaf: &Description) -> bool {
    let host = leaf.common_name.as_deref().and_then(|name| name.rsplit_once('@')).map(|(host, _)| host);
    leaf.self_issued || host.is_some_and(|host| leaf.issuer.starts_with(&format!("CN={host}-ca@")))
}

impl Remarks<'_> {
    fn tell(&self, verdict: &mut Verdict) {
        if !self.self_signed.is_empty() {
            verdict.find(
                Subject::cluster(),
                Finding::new(
                    "serving certificates of the cluster's CA for the kubelets",
                    format!("certificates that the kubelets signed themselves: {}", names(&self.self_signed)),
                )
                .so("nobody can verify a kubelet, and nothing renews these certificates when their year is over")
                .mend("serverTLSBootstrap: true in the kubelets' configuration, then approve their requests")
                .info(),
            );
        }
        if !self.strange.is_empty() {
            verdict.find(
                Subject::cluster(),
                Finding::new(
                    "serving certificates of the cluster's CA for the kubelets",
                    format!(
                        "certificates of an authority that the cluster does not give out: {}",
                        names(&self.strange)
                    ),
                )
                .so("only clients that are told of that authority can verify these kubelets")
                .info(),
            );
        }
        if !self.otherwise_named.is_empty() {
            verdict.note(format!(
                "the common name is not system:node:NAME on {}: API servers with the feature KubeletCertCNValidation \
                 will refuse these kubelets",
                names(&self.otherwise_named)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, IsCa, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::certificate::testing::{Authority, Leaf, self_signed, years};
    use crate::check::Severity;
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::probe::Answers;
    use crate::probe::answer::KubeletAnswer;
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
        assert_eq!((verdict.observations(), crate::check::testing::notes(&verdict).len()), (2, 0));
    }

    #[test]
    fn self_signed_ones_are_one_remark() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&ca, ["n1", "n2"].map(|name| (name, presented(&self_signed(&[name], IsCa::NoCa)))));
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
        assert!(finding.seen.ends_with("signed themselves: n1, n2"));
    }

    #[test]
    fn an_expired_one_is_found_whoever_signed_it() {
        let ca = Authority::new("kubernetes");
        let expired = ca.leaf_with(&["n2", "10.77.0.12"], &PKCS_ECDSA_P256_SHA256, years(2020, 2021));
        let findings = judged(&ca, [("n2", presented(&expired))]).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "Node n2");
        assert!(finding.seen.contains("days ago, at 2021-12-31T00:00:00Z"), "{}", finding.seen);
    }

    #[test]
    fn one_for_an_old_address_is_found() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&ca, [("n2", presented(&signed(&ca, "n2", &["n2", "10.77.0.62"])))]);
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.expected, "a serving certificate for the node's 10.77.0.12");
        assert_eq!(finding.seen, "a certificate for n2, 10.77.0.62");
    }

    #[test]
    fn another_name_is_a_note_and_another_authority_a_remark() {
        let (ca, company) = (Authority::new("kubernetes"), Authority::new("company"));
        let names = ["n2", "10.77.0.12"];
        assert!(
            crate::check::testing::notes(&judged(&ca, [("n2", presented(&ca.leaf(&names)))]))[0]
                .contains("KubeletCertCNValidation")
        );
        let findings = judged(&ca, [("n2", presented(&company.leaf(&names)))]).findings(Severity::Major);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn one_kubelet_that_does_not_answer_is_undecided_and_none_at_all_is_out_of_reach() {
        let ca = Authority::new("kubernetes");
        let silent = || Err(Unobserved::unreachable("10.77.0.13:10250", "the connection was refused"));
        let one = judged(&ca, [("n2", presented(&signed(&ca, "n2", &["n2", "10.77.0.12"]))), ("n3", silent())]);
        assert_eq!(one.gaps()[0].subjects[0].to_string(), "Node n3");
        assert!(judged(&ca, [("n3", silent())]).reason().unwrap().contains("n3"));
    }

    #[test]
    fn a_kubelet_that_only_its_pods_reach_is_judged_by_what_they_see() {
        let ca = Authority::new("kubernetes");
        let expired = ca.leaf_with(&["n3", "10.77.0.12"], &PKCS_ECDSA_P256_SHA256, years(2020, 2021));
        let answer = KubeletAnswer { certificate: Ok(expired.certificate), anonymous: BTreeMap::new() };
        let answers = Answers { kubelet: BTreeMap::from([([10, 77, 0, 12].into(), answer)]), ..Answers::default() };
        let reports = reports([("n3", answers)]);
        let silent = Err(Unobserved::unreachable("10.77.0.13:10250", "the connection was refused"));
        let findings = judged_with(&ca, [("n3", silent)], Ok(&reports)).findings(Severity::Major);
        assert!(findings[0].seen.contains("days ago, at 2021-12-31T00:00:00Z"), "{findings:?}");
    }
}
