//! # No request for a certificate is stuck
//!
//! ## Why
//! Kubelets request their certificates: the first one when they join, the next when four fifths of a year have
//! passed. If requests are not approved or signed, no node can join, and the existing nodes fail one after the other.
//! A kubelet whose serving certificate is not approved has none: no logs, no exec, no metrics.
//!
//! ## Fix
//! Approved and not signed: kube-controller-manager must run with the controller csrsigning (`--controllers=*`) and
//! have the CA's certificate and key (`--cluster-signing-cert-file`, `--cluster-signing-key-file`); with an external CA
//! its signer must run. Kubelet client requests that are not approved: csrapproving must run, and the
//! ClusterRoleBindings `kubeadm:node-autoapprove-bootstrap` and `kubeadm:node-autoapprove-certificate-rotation` must
//! exist. Kubernetes itself never approves kubelet serving requests: run an approver that checks them, or compare the
//! requested names with the node's (`kubectl get csr NAME -o jsonpath='{.spec.request}' | base64 -d | openssl req
//! -noout -text`, `kubectl get node NODE -o wide`), and only then `kubectl certificate approve NAME`.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>; kubernetes/kubernetes
//! `pkg/controller/certificates/approver/sarapprove.go`, `…/signer/signer.go`, `…/cleaner/cleaner.go`: pending requests
//! are removed after a day, decided ones after an hour, so that an empty list proves nothing. Approval and signature
//! take a second; a controller that failed over has done so within two minutes. A person may take ten.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::helpers::lifetime::length;
use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::certificate_signing_requests::{CertificateSigningRequests, SigningRequest};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::seen::{Seen, Unobserved};

crate::check!("PK-09", "stuck-signing-requests", Major, judge, builds_on: ["CP-05", "CP-07"]);

/// The signer of kubelets' client certificates, whose requests Kubernetes approves itself.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The signer of kubelets' serving certificates, whose requests a person or an approver must approve.
const SERVING: &str = "kubernetes.io/kubelet-serving";
/// How long a controller may take.
const MACHINE: SignedDuration = SignedDuration::from_mins(2);
/// How long a person may take.
const PERSON: SignedDuration = SignedDuration::from_mins(10);

/// Why a request has no certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stuck {
    Failed,
    NotSigned,
    NotApproved,
}

/// Requests that are stuck for the same reason, and how long each has waited: by reason, by signer, and by whether the
/// kubelets that sent them present no certificate meanwhile.
type ByCause<'a> = BTreeMap<(Stuck, &'a str, bool), Vec<(&'a SigningRequest, SignedDuration)>>;

fn judge(
    requests: &CertificateSigningRequests,
    kubelets: Result<&KubeletHandshakes, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    // The list itself counts as seen: it may be empty.
    verdict.confirm();
    let mute = mute(kubelets);
    let mut stuck = ByCause::new();
    for request in &requests.0 {
        let presents_none = request.signer == SERVING && node(&request.user).is_some_and(|node| mute.contains(node));
        match state(request, clock.server) {
            Ok(()) => verdict.confirm(),
            Err((why, since)) if since >= patience(why, request, presents_none) => {
                stuck.entry((why, &request.signer, presents_none)).or_default().push((request, since));
            }
            Err((why, _)) => match kubelets {
                // One that presents no certificate at all must not wait.
                Err(unseen) if why == Stuck::NotApproved && request.signer == SERVING && !unseen.is_skip() => {
                    verdict.unseen(subject(request), unseen);
                }
                _ => verdict.note_about(subject(request), "it still waits, and may wait a while longer"),
            },
        }
    }
    for ((why, signer, presents_none), requests) in stuck {
        let subjects = requests.iter().map(|(request, _)| subject(request));
        let finding = difference(why, signer, presents_none, requests[0].0);
        let waits = requests.iter().map(|(request, since)| (subject(request), evidence(why, request, *since)));
        let finding = finding.evidence_of(waits);
        verdict.find_together(subjects, requests.len(), finding);
    }
    if requests.0.is_empty() {
        verdict.note("no pending requests; old ones are garbage-collected, so this proves little");
    }
    verdict
}

fn subject(request: &SigningRequest) -> Subject {
    Subject::cluster_object("CertificateSigningRequest", &request.name)
}

/// The nodes whose kubelet speaks TLS and presents no certificate.
fn mute(kubelets: Result<&KubeletHandshakes, &Unobserved>) -> BTreeSet<String> {
    let is_mute =
        |seen: &Seen<_>| matches!(seen, Err(Unobserved::Invalid { cause, .. }) if cause.contains("the alert"));
    let kubelets = kubelets.map(|kubelets| kubelets.0.iter()).into_iter().flatten();
    kubelets.filter(|(_, seen)| is_mute(seen)).map(|(name, _)| name.clone()).collect()
}

/// Whether the request was issued or denied; else why not, and since when.
fn state(request: &SigningRequest, now: Timestamp) -> Result<(), (Stuck, SignedDuration)> {
    let since =
        |at: Option<Timestamp>| at.or(request.created).map_or(SignedDuration::ZERO, |at| now.duration_since(at));
    if let Some(failed) = request.condition("Failed") {
        return Err((Stuck::Failed, since(failed.at)));
    }
    match (request.issued, request.condition("Denied"), request.condition("Approved")) {
        (true, _, _) | (_, Some(_), _) => Ok(()),
        (false, None, Some(approved)) => Err((Stuck::NotSigned, since(approved.at))),
        (false, None, None) => Err((Stuck::NotApproved, since(request.created))),
    }
}

/// How long a request may wait.
fn patience(why: Stuck, request: &SigningRequest, presents_none: bool) -> SignedDuration {
    match (why, request.signer.as_str()) {
        (Stuck::Failed, _) => SignedDuration::ZERO,
        (Stuck::NotSigned, _) | (Stuck::NotApproved, CLIENT) => MACHINE,
        (Stuck::NotApproved, SERVING) if presents_none => SignedDuration::ZERO,
        (Stuck::NotApproved, SERVING) => PERSON,
        // People request certificates too, and wait for people.
        (Stuck::NotApproved, _) => SignedDuration::MAX,
    }
}

fn node(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:")
}

/// The finding about requests that are stuck for the same reason, of which one is the example.
fn difference(why: Stuck, signer: &str, presents_none: bool, example: &SigningRequest) -> Difference {
    let of_kubernetes = signer.starts_with("kubernetes.io/");
    let name = &example.name;
    match why {
        Stuck::Failed => Finding::new(format!("a certificate signed by {signer}"), "the signer failed")
            .impact("the client that sent the request gets no certificate")
            .fix(format!(
                "correct what the signer's message names, delete the request, and send it again: kubectl describe csr \
                 {name}"
            )),
        Stuck::NotSigned => {
            let expected = format!("{signer} signs within seconds of the approval");
            let finding = Finding::new(expected, "the request was approved and not signed");
            if of_kubernetes {
                finding.impact("nothing signs: nodes cannot join, and existing nodes lose their certificates").fix(
                    "check --controllers and --cluster-signing-* of kube-controller-manager, and its log: kubectl -n \
                     kube-system logs -l component=kube-controller-manager --tail=-1 | grep -i csrsigning",
                )
            } else {
                finding
                    .impact("the signer of that name does not run")
                    .fix(format!("install or start the signer {signer}; kubectl describe csr {name} shows the request"))
            }
        }
        Stuck::NotApproved => {
            let expected = format!("requests to {signer} are approved or denied");
            let finding = Finding::new(expected, "the request is neither approved nor denied");
            match (signer, presents_none) {
                (SERVING, true) => finding
                    .impact(
                        "the kubelet presents no certificate at all: logs, exec, port-forward and metrics of its \
                        pods fail",
                    )
                    .fix(compare_first(example)),
                (SERVING, false) => finding
                    .impact(
                        "no approver of serving certificates runs: once the kubelet's present certificate expires, its \
                         logs and metrics fail",
                    )
                    .fix(compare_first(example)),
                _ => finding.impact("the node cannot join, or loses its certificate when that expires").fix(
                    "check that both bindings exist and that --controllers of kube-controller-manager includes \
                     csrapproving: kubectl get clusterrolebindings kubeadm:node-autoapprove-bootstrap \
                     kubeadm:node-autoapprove-certificate-rotation",
                ),
            }
        }
    }
}

/// How to approve a serving certificate by hand: a client with a certificate for another server's name can pose as it.
fn compare_first(example: &SigningRequest) -> String {
    let (name, user) = (&example.name, &example.user);
    let node = node(user).unwrap_or(user);
    format!(
        "for each request, as here for {name}: compare the requested names, kubectl get csr {name} -o \
         jsonpath='{{.spec.request}}' | base64 -d | openssl req -noout -text, with those of the node, kubectl get node \
         {node} -o wide; only if they match: kubectl certificate approve {name}"
    )
}

fn evidence(why: Stuck, request: &SigningRequest, since: SignedDuration) -> String {
    let ago = if since < SignedDuration::from_mins(1) { "just now".into() } else { format!("{} ago", length(since)) };
    let what = match why {
        Stuck::Failed => match request.condition("Failed") {
            Some(failed) => format!("failed {ago}: {}", format!("{} {}", failed.reason, failed.message).trim()),
            None => format!("failed {ago}"),
        },
        Stuck::NotSigned => format!("approved {ago}"),
        Stuck::NotApproved => format!("created {ago}"),
    };
    format!("{} of {}, {what}", request.name, request.user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::{notes, seen};
    use crate::fact::facts::certificate_signing_requests::RequestCondition;
    use crate::suites::pki::testing::{clock, now};

    fn request(signer: &str, minutes: i64, decided: Option<&str>) -> SigningRequest {
        let at = Some(now() - SignedDuration::from_mins(minutes));
        SigningRequest {
            name: "csr-x".into(),
            signer: signer.into(),
            user: "system:node:n3".into(),
            created: at,
            conditions: decided
                .map(|kind| RequestCondition { kind: kind.into(), at, ..RequestCondition::default() })
                .into_iter()
                .collect(),
            issued: false,
        }
    }

    fn judged(requests: Vec<SigningRequest>, kubelet: Option<Unobserved>) -> Verdict {
        let kubelets = KubeletHandshakes(kubelet.map(|why| ("n3".to_owned(), Err(why))).into_iter().collect());
        judge(&CertificateSigningRequests(requests), Ok(&kubelets), &clock())
    }

    fn evidence(verdict: &Verdict) -> Vec<String> {
        verdict.findings(Severity::Major).into_iter().flat_map(|finding| finding.evidence).collect()
    }

    #[test]
    fn issued_denied_and_new_requests_pass() {
        let issued = SigningRequest { issued: true, ..request(CLIENT, 50, Some("Approved")) };
        let requests = vec![
            issued,
            request(CLIENT, 50, Some("Denied")),
            request(CLIENT, 1, None),
            request(SERVING, 9, None),
            request("kubernetes.io/kube-apiserver-client", 500, None),
        ];
        let verdict = judged(requests, None);
        assert_eq!((seen(&verdict).len(), verdict.observations(), notes(&verdict).len()), (0, 3, 1));
        assert!(notes(&judged(Vec::new(), None))[0].contains("proves little"));
    }

    #[test]
    fn whether_a_request_may_wait_is_not_known_without_what_its_kubelet_presents() {
        let judged = |requests, why: &Unobserved| judge(&CertificateSigningRequests(requests), Err(why), &clock());
        assert_eq!(judged(vec![request(SERVING, 9, None)], &Unobserved::Interrupted).gaps().len(), 1);
        assert_eq!(judged(vec![request(CLIENT, 1, None)], &Unobserved::Interrupted).gaps().len(), 0);
        assert_eq!(judged(vec![request(SERVING, 9, None)], &Unobserved::absent("none")).gaps().len(), 0);
    }

    #[test]
    fn a_request_that_is_not_signed_is_found() {
        let verdict = judged(vec![request(CLIENT, 3, Some("Approved"))], None);
        assert_eq!(seen(&verdict), ["the request was approved and not signed"]);
        assert_eq!(evidence(&verdict), ["csr-x of system:node:n3, approved 3 minutes ago"]);
    }

    #[test]
    fn requests_with_one_cause_are_one_finding() {
        let other = SigningRequest { name: "csr-y".into(), ..request(CLIENT, 18, None) };
        let verdict = judged(vec![request(CLIENT, 3, None), other], None);
        assert_eq!(seen(&verdict), ["the request is neither approved nor denied"]);
        assert_eq!(verdict.findings(Severity::Major)[0].subjects.len(), 2);
        assert_eq!(
            evidence(&verdict),
            ["csr-x of system:node:n3, created 3 minutes ago", "csr-y of system:node:n3, created 18 minutes ago"]
        );
    }

    #[test]
    fn a_serving_request_has_ten_minutes_unless_the_kubelet_presents_nothing() {
        assert_eq!(seen(&judged(vec![request(SERVING, 11, None)], None)).len(), 1);
        let alert = "the server declined with the alert internal_error";
        let mute = Unobserved::invalid("10.77.0.13:10250", alert);
        let verdict = judged(vec![request(SERVING, 1, None)], Some(mute));
        assert!(verdict.findings(Severity::Major)[0].impact.as_deref().unwrap().contains("no certificate at all"));
    }

    #[test]
    fn a_signer_that_failed_is_quoted() {
        let mut failed = request(SERVING, 0, Some("Failed"));
        failed.conditions[0].message = "the subject is wrong".into();
        let quoted = evidence(&judged(vec![failed], None));
        assert_eq!(quoted, ["csr-x of system:node:n3, failed just now: the subject is wrong"]);
    }
}
