//! # No request for a certificate is stuck
//!
//! ## Why
//! Kubelets ask for their certificates: for the first one when they join, for the next when four fifths of a year have
//! passed. A request that nobody approves or signs means that no node can join, and that the nodes which are there fall
//! out one after the other. A kubelet whose serving certificate is not approved has none: no logs, no exec, no metrics.
//!
//! ## Fix
//! Approved and not signed: kube-controller-manager must run with the controller csrsigning (`--controllers=*`) and have
//! the CA's certificate and key (`--cluster-signing-cert-file`, `--cluster-signing-key-file`); with an external CA its
//! signer must run. Kubelet client requests that are not approved: csrapproving must run, and the ClusterRoleBindings
//! `kubeadm:node-autoapprove-bootstrap` and `kubeadm:node-autoapprove-certificate-rotation` must be there. Kubelet
//! serving requests are never approved by Kubernetes itself: run an approver that checks them, or compare the names that are
//! asked for with the node's (`kubectl get csr NAME -o jsonpath='{.spec.request}' | base64 -d | openssl req -noout -text`,
//! `kubectl get node NODE -o wide`), and only then `kubectl certificate approve NAME`.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>; kubernetes/kubernetes
//! `pkg/controller/certificates/approver/sarapprove.go`, `…/signer/signer.go`, `…/cleaner/cleaner.go`: pending requests are
//! removed after a day, decided ones after an hour, so that none at all proves nothing. Approval and signature take a
//! second; a controller that failed over has done so within two minutes. A person may take ten.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::lifetime::length;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::certificate_signing_requests::{CertificateSigningRequests, SigningRequest};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::seen::{Seen, Unobserved};

crate::check!("PK-09", "stuck-signing-requests", Major, judge);

/// The signer of kubelets' client certificates, whose requests Kubernetes approves itself.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The signer of kubelets' serving certificates, whose requests somebody else must approve.
const SERVING: &str = "kubernetes.io/kubelet-serving";
/// How long a controller may take.
const MACHINE: SignedDuration = SignedDuration::from_mins(2);
/// How long a person may take.
const PERSON: SignedDuration = SignedDuration::from_mins(10);

/// What keeps a request from being served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stuck {
    Failed,
    NotSigned,
    NotApproved,
}

/// A request, and for how long it has waited.
type Waiting<'a> = (&'a SigningRequest, SignedDuration);

fn judge(
    requests: &CertificateSigningRequests,
    kubelets: Result<&KubeletHandshakes, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    // The list itself is what was looked at: there may be no request at all.
    verdict.confirm();
    let mute = mute(kubelets);
    let mut stuck: BTreeMap<(Stuck, &str, &str), Vec<Waiting<'_>>> = BTreeMap::new();
    let mut waiting = BTreeSet::new();
    for request in &requests.0 {
        match state(request, clock.server) {
            Ok(()) => verdict.confirm(),
            Err((why, since)) if is_overdue(why, request, since, &mute) => {
                stuck.entry((why, &request.signer, &request.user)).or_default().push((request, since));
            }
            Err(_) => drop(waiting.insert(request.name.as_str())),
        }
    }
    for ((why, signer, user), requests) in stuck {
        tell(&mut verdict, why, signer, user, &requests, &mute);
    }
    if !waiting.is_empty() {
        let names: Vec<_> = waiting.into_iter().collect();
        verdict.note(format!("still waiting, and not for long: {}", names.join(", ")));
    }
    if requests.0.is_empty() {
        verdict.note("no request at the moment: controllers remove old ones, so that this says little");
    }
    verdict
}

/// The nodes whose kubelet speaks TLS and presents no certificate.
fn mute(kubelets: Result<&KubeletHandshakes, &Unobserved>) -> BTreeSet<String> {
    let is_mute =
        |seen: &Seen<_>| matches!(seen, Err(Unobserved::Invalid { cause, .. }) if cause.contains("the alert"));
    let kubelets = kubelets.map(|kubelets| kubelets.0.iter()).into_iter().flatten();
    kubelets.filter(|(_, seen)| is_mute(seen)).map(|(name, _)| name.clone()).collect()
}

/// Whether the request is served or refused; else why not, and for how long.
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

fn is_overdue(why: Stuck, request: &SigningRequest, since: SignedDuration, mute: &BTreeSet<String>) -> bool {
    let patience = match (why, request.signer.as_str()) {
        (Stuck::Failed, _) => SignedDuration::ZERO,
        (Stuck::NotSigned, _) | (Stuck::NotApproved, CLIENT) => MACHINE,
        (Stuck::NotApproved, SERVING) if node(&request.user).is_some_and(|node| mute.contains(node)) => {
            SignedDuration::ZERO
        }
        (Stuck::NotApproved, SERVING) => PERSON,
        // People ask for certificates too, and wait for people.
        (Stuck::NotApproved, _) => return false,
    };
    since >= patience
}

fn node(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:")
}

fn tell(
    verdict: &mut Verdict,
    why: Stuck,
    signer: &str,
    user: &str,
    requests: &[Waiting<'_>],
    mute: &BTreeSet<String>,
) {
    let Some((oldest, since)) = requests.iter().max_by_key(|(_, since)| *since) else { return };
    let name = &oldest.name;
    let others = match requests.len() {
        1 => String::new(),
        count => format!(", the oldest of {count}"),
    };
    let what = format!("{name} of {user} for {signer}{others}");
    let presents_none = signer == SERVING && node(user).is_some_and(|node| mute.contains(node));
    let finding = match why {
        Stuck::Failed => {
            let condition = oldest.condition("Failed");
            let said = condition.map(|c| format!("{} {}", c.reason, c.message)).unwrap_or_default();
            Finding::new("a signed certificate", format!("{what}: the signer failed: {}", said.trim()))
        }
        Stuck::NotSigned => Finding::new(
            "a certificate within seconds of the approval",
            format!("{what}: approved {} and not signed", ago(*since)),
        )
        .so(if signer.starts_with("kubernetes.io/") {
            "nobody signs: nodes cannot join, and those that are there lose their certificates"
        } else {
            "the signer of that name does not run"
        })
        .mend(if signer.starts_with("kubernetes.io/") {
            "kubectl -n kube-system logs -l component=kube-controller-manager --tail=-1 | grep -i csrsigning".to_owned()
        } else {
            format!("kubectl describe csr {name}")
        }),
        Stuck::NotApproved => {
            let finding = Finding::new(
                "an approval or a denial",
                format!("{what}: neither approved nor denied, made {}", ago(*since)),
            );
            match (signer, presents_none) {
                (SERVING, true) => finding
                    .so("the kubelet presents no certificate at all: logs, exec, port-forward and metrics of its pods fail")
                    .mend(look_first(oldest)),
                (SERVING, false) => finding
                    .so("no approver of serving certificates runs: once the kubelet's present certificate ends, so do logs and metrics")
                    .mend(look_first(oldest)),
                _ => finding
                    .so("the node cannot join, or loses its certificate when that expires")
                    .mend("kubectl get clusterrolebindings kubeadm:node-autoapprove-bootstrap kubeadm:node-autoapprove-certificate-rotation"),
            }
        }
    };
    verdict.find(Subject::cluster_object("CertificateSigningRequest", name), finding);
}

/// How a serving certificate is approved by hand: whoever gets one for a name of somebody else can pose as it.
fn look_first(request: &SigningRequest) -> String {
    let (name, user) = (&request.name, &request.user);
    let node = node(user).unwrap_or(user);
    format!(
        "compare the names that it asks for, kubectl get csr {name} -o jsonpath='{{.spec.request}}' | base64 -d | openssl req \
         -noout -text, with the node's, kubectl get node {node} -o wide; only if each is its own: kubectl certificate approve {name}"
    )
}

fn ago(since: SignedDuration) -> String {
    if since < SignedDuration::from_mins(1) { "just now".into() } else { format!("{} ago", length(since)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen;
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

    #[test]
    fn what_is_served_or_refused_or_young_is_fine() {
        let issued = SigningRequest { issued: true, ..request(CLIENT, 50, Some("Approved")) };
        let requests = vec![
            issued,
            request(CLIENT, 50, Some("Denied")),
            request(CLIENT, 1, None),
            request(SERVING, 9, None),
            request("kubernetes.io/kube-apiserver-client", 500, None),
        ];
        let verdict = judged(requests, None);
        assert_eq!(
            (seen(&verdict).len(), verdict.observations(), crate::check::testing::notes(&verdict).len()),
            (0, 3, 1)
        );
        assert!(crate::check::testing::notes(&judged(Vec::new(), None))[0].contains("says little"));
    }

    #[test]
    fn a_request_that_nobody_signs_is_found() {
        let verdict = judged(vec![request(CLIENT, 3, Some("Approved"))], None);
        assert_eq!(
            seen(&verdict),
            [
                "csr-x of system:node:n3 for kubernetes.io/kube-apiserver-client-kubelet: approved 3 minutes ago and not signed"
            ]
        );
    }

    #[test]
    fn requests_of_one_node_are_one_finding() {
        let verdict = judged(vec![request(CLIENT, 3, None), request(CLIENT, 18, None)], None);
        assert_eq!(
            seen(&verdict),
            [
                "csr-x of system:node:n3 for kubernetes.io/kube-apiserver-client-kubelet, the oldest of 2: neither approved nor denied, made 18 minutes ago"
            ]
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
        assert!(seen(&judged(vec![failed], None))[0].ends_with("the signer failed: the subject is wrong"));
    }
}
