//! # A node requests certificates for itself only
//!
//! ## Why
//! A controller approves nodes' requests for client certificates automatically. A node that may request one in another
//! node's name gets the identity of that node, and everything that its pods may read.
//!
//! ## Fix
//! AA-03 shows whether NodeRestriction is missing: add it to `--enable-admission-plugins` of the API server, on every
//! control-plane node (kubeadm sets it in `/etc/kubernetes/manifests/kube-apiserver.yaml`). If it is on, remove
//! `AllowInsecureKubeletCertificateSigningRequests=true` from `--feature-gates` there.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitCSR`, 1.31). Tried in the node's
//! name with `dryRun=All`; the control is a request for the node's own certificate. The keys are thrown away.

use super::helpers::node_rights::since;
use super::helpers::node_writes::{Guarded, Refused, Tried};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_certificate_requests::{CertificateRequested, NodeCertificateRequests};
use crate::fact::facts::oldest_api_server::OldestApiServer;

crate::check!(
    "AA-15",
    "node-certificate-requests",
    Major,
    judge,
    builds_on: ["AA-03", "AA-04", "AA-18"]
);

const WORDS: &str = "can only create a node CSR with CN=";
const GUARDED: Guarded<CertificateRequested> = Guarded {
    refused: &[
        Refused(CertificateRequested::ForeignClient, "request the client certificate of another node", WORDS),
        Refused(CertificateRequested::ForeignServing, "request the serving certificate of another node", WORDS),
    ],
    impact: "an attacker on one node can become any node",
    fix: "on each control-plane node, in /etc/kubernetes/manifests/kube-apiserver.yaml, remove \
          AllowInsecureKubeletCertificateSigningRequests=true from --feature-gates, and add NodeRestriction to \
          --enable-admission-plugins",
    severity: Severity::Major,
};

fn judge(requests: &NodeCertificateRequests, server: &OldestApiServer) -> Verdict {
    if let Some(too_early) = since(31, server, "a node may request certificates in any name") {
        return too_early;
    }
    let mut verdict = Verdict::new();
    let tried = Tried { node: &requests.node, answers: &requests.answers };
    tried.are_refused(&mut verdict, &GUARDED);
    tried.expect_allowed(&mut verdict, &CertificateRequested::OwnClient, "request its own client certificate");
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::helpers::node_rights::testing::server;
    use super::*;
    use crate::fact::answered::Answered;

    fn judged(own: u16, foreign: u16, minor: u64) -> Verdict {
        let answer = |requested, status: u16| {
            let message = if status == 403 { format!("{WORDS}system:node:n2") } else { String::new() };
            (requested, Ok(Answered { status, message }))
        };
        let answers = [
            answer(CertificateRequested::OwnClient, own),
            answer(CertificateRequested::ForeignClient, foreign),
            answer(CertificateRequested::ForeignServing, 403),
        ];
        judge(&NodeCertificateRequests { node: "n2".into(), answers: answers.into() }, &server(minor))
    }

    #[test]
    fn a_node_requests_its_own_certificates() {
        let verdict = judged(201, 403, 37);
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 3);
    }

    #[test]
    fn a_node_that_becomes_another_is_found() {
        let findings = judged(201, 201, 37).findings(Severity::Major);
        assert_eq!(findings[0].evidence, ["request the client certificate of another node (HTTP 201)"]);
    }

    #[test]
    fn refusals_without_a_control_are_inconclusive() {
        assert_eq!(judged(403, 403, 37).gaps().len(), 1);
    }

    #[test]
    fn before_1_31_it_does_not_apply() {
        assert!(judged(201, 201, 30).reason().is_some());
    }
}
