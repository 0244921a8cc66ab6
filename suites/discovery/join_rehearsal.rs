//! # A new node can join
//!
//! ## Why
//! Joining takes a dozen parts that nothing else uses: cluster-info and its signature, bootstrap tokens, ConfigMaps that
//! new nodes may read, the approval and the signing of their certificates. One that was cleaned up or switched off is
//! noticed when a node must be replaced. Here a node joins up to its certificate, in the order of `kubeadm join`.
//!
//! ## Fix
//! Rights of new nodes: DI-08 names the binding that is missing, and the command that writes it again. cluster-info:
//! `kubeadm init phase bootstrap-token --skip-token-print`, which leaves a token that is good for a day (`kubeadm token
//! delete ID`). ConfigMaps: `kubeadm init phase upload-config kubelet --config kubeadm.yaml` with the cluster's own
//! settings; without them kubeadm writes its defaults. The controller-manager signs and approves with
//! `--controllers=*,bootstrapsigner,tokencleaner` and the cluster's CA in `--cluster-signing-cert-file` and `--cluster-signing-key-file`; tokens are accepted with
//! `--enable-bootstrap-token-auth=true` of the API server.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/discovery/token/token.go`, `cmd/kubeadm/app/cmd/phases/join/kubelet.go`,
//! `pkg/controller/certificates/approver/sarapprove.go`, `pkg/apis/certificates/helpers.go`. A token of ten minutes and a
//! request for a certificate of ten minutes are made and removed; no Node is. Dialled is the kubeconfig's endpoint: where
//! cluster-info sends nodes is another check's.

use std::collections::BTreeMap;

use super::kubeadm_grants::{BY_HAND, reading};
use crate::certificate::{Certificate, Description, ExtendedKeyUsage};
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::bootstrap_tokens::Signature;
use crate::fact::facts::bootstrapper_reviews::{BootstrapperAsks, BootstrapperReviews};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::expectations::{Discovery as Way, Expectations};
use crate::fact::facts::join_rehearsal::{Discovery, JoinRehearsal, Refetch};
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::trusted_authorities::TrustedAuthorities;
use crate::join::request::Issuance;
use crate::join::token::GROUP;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;
use crate::suites::pki::issued::{judge_life, judge_trust};

crate::check!("DI-10", "join-rehearsal", Critical, judge);

/// Writes the rights of new nodes and cluster-info again.
const RIGHTS: &str = "kubeadm init phase bootstrap-token --skip-token-print, which leaves a token that is good for a day: kubeadm token delete ID";

fn judge(
    rehearsal: &JoinRehearsal,
    expectations: &Expectations,
    trusted: Result<&TrustedAuthorities, &Unobserved>,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    reviews: Result<&BootstrapperReviews, &Unobserved>,
    kube_proxy: Result<&KubeProxyConfig, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    if expectations.discovery == Way::File {
        verdict.note("nodes find this cluster by a file: cluster-info was not judged");
    } else {
        judge_discovery(&mut verdict, rehearsal, trusted);
    }
    judge_identity(&mut verdict, rehearsal);
    judge_reading(&mut verdict, rehearsal, kube_proxy);
    judge_request(&mut verdict, rehearsal, reviews);
    if let Some(Ok(issuance)) = &rehearsal.issuance {
        judge_certificate(&mut verdict, rehearsal, issuance, authorities, clock);
    }
    judge_removal(&mut verdict, rehearsal);
    verdict
}

fn cluster_info() -> Subject {
    Subject::object("ConfigMap", "kube-public", "cluster-info")
}

fn bearer(rehearsal: &JoinRehearsal) -> Subject {
    Subject::user(format!("system:bootstrap:{}", rehearsal.token))
}

fn judge_discovery(
    verdict: &mut Verdict,
    rehearsal: &JoinRehearsal,
    trusted: Result<&TrustedAuthorities, &Unobserved>,
) {
    let Some(Discovery { answered, signature, authorities, waited_ms }) =
        verdict.seen(cluster_info, &rehearsal.discovery)
    else {
        return;
    };
    if !verdict.expect(cluster_info(), answered.status == 200, || {
        Finding::new("readable without credentials", format!("HTTP {}: {}", answered.status, answered.message))
            .so("kubeadm join cannot learn where the cluster is")
            .mend(RIGHTS)
    }) {
        return;
    }
    let token = &rehearsal.token;
    verdict.expect(cluster_info(), *signature == Signature::Verified, || match signature {
        Signature::Missing => Finding::new(
            format!("signed with a new token, {token}"),
            format!("there was no jws-kubeconfig-{token} for {} s", waited_ms / 1000),
        )
        .so("kubeadm join waits for the signature until it gives up")
        .mend("give the controller-manager --controllers=*,bootstrapsigner,tokencleaner"),
        _ => Finding::new(
            format!("the signature by token {token} is of the text that is there"),
            format!("jws-kubeconfig-{token} is of another text"),
        )
        .so("kubeadm join takes cluster-info for a forgery and gives up"),
    });
    match authorities {
        Err(why) => verdict.find(
            cluster_info(),
            Finding::new("it names the cluster's certificate authorities", why.as_str())
                .so("kubeadm join cannot know the API server"),
        ),
        Ok(told) => {
            if let Some(trusted) = verdict.known(cluster_info, trusted) {
                let pins = |certificates: &[Certificate]| -> Vec<String> {
                    certificates.iter().filter_map(|one| one.describe().ok()).map(|one| one.spki_sha256).collect()
                };
                let (told, pinned) = (pins(told), pins(&trusted.0));
                verdict.expect(cluster_info(), told.iter().any(|pin| pinned.contains(pin)), || {
                    Finding::new(
                        format!("it names an authority with the pin {}", pinned.join(" or ")),
                        format!(
                            "the pins of those that it names: {}",
                            if told.is_empty() { "none".into() } else { told.join(", ") }
                        ),
                    )
                    .so("kubeadm join --discovery-token-ca-cert-hash refuses the cluster")
                    .mend(format!("kubectl -n kube-public delete configmap cluster-info; {RIGHTS}"))
                });
            }
        }
    }
    let Some(refetch) = &rehearsal.refetch else { return };
    let Some(Refetch { endpoint, trust, identical }) = verdict.seen(cluster_info, refetch) else { return };
    verdict.expect(Subject::address(endpoint), trust.is_ok(), || {
        let why = trust.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Finding::new("a certificate from an authority that cluster-info names", why)
            .so("kubeadm join does not trust the API server that it was sent to")
    });
    if let Some(identical) = identical {
        verdict.expect(cluster_info(), *identical, || {
            Finding::new("the same text, byte for byte, with and without trust", "two different texts").so(
                "somebody between here and the API server changes what new nodes are told, or it was changed just now",
            )
        });
    }
}

fn judge_identity(verdict: &mut Verdict, rehearsal: &JoinRehearsal) {
    let Some(identity) = verdict.seen(|| bearer(rehearsal), &rehearsal.identity) else { return };
    let expected = format!("system:bootstrap:{}", rehearsal.token);
    let has_groups = ["system:bootstrappers", GROUP].iter().all(|group| identity.groups.iter().any(|one| one == group));
    verdict.expect(bearer(rehearsal), identity.user.as_ref() == Some(&expected) && has_groups, || {
        Finding::new(format!("known as {expected}, in the groups system:bootstrappers, {GROUP}"), identity.words())
            .so("kubeadm join cannot log in with a token")
            .mend("give the API server --enable-bootstrap-token-auth=true, as kubeadm writes it")
    });
}

/// Whether the token was told to be refused already. Behind a load balancer another instance may refuse it later on.
fn is_known_as_nobody(rehearsal: &JoinRehearsal) -> bool {
    rehearsal.identity.as_ref().is_ok_and(|identity| identity.user.is_none())
}

fn judge_reading(verdict: &mut Verdict, rehearsal: &JoinRehearsal, kube_proxy: Result<&KubeProxyConfig, &Unobserved>) {
    if is_known_as_nobody(rehearsal) {
        return;
    }
    if let Some(lookup) = verdict.seen(|| bearer(rehearsal), &rehearsal.lookup) {
        match lookup.status {
            404 => verdict.confirm(),
            403 => verdict.find(
                bearer(rehearsal),
                Finding::new("may get nodes", format!("HTTP 403: {}", lookup.message))
                    .so("kubeadm join cannot see whether a node of its name exists, and gives up")
                    .mend(RIGHTS),
            ),
            status => {
                let cause = format!("HTTP {status} for a node that does not exist: {}", lookup.message);
                verdict.unseen(bearer(rehearsal), &Unobserved::invalid("the API server", cause));
            }
        }
    }
    for (map, seen) in &rehearsal.config_maps {
        let subject = || Subject::object("ConfigMap", "kube-system", map);
        let Some(answer) = verdict.seen(subject, seen) else { continue };
        if map == "kube-proxy" && answer.status != 200 {
            match kube_proxy {
                Ok(_) => {}
                // kubeadm was told to leave kube-proxy to others.
                Err(Unobserved::Absent { .. }) => continue,
                Err(why) => {
                    verdict.unseen(subject(), why);
                    continue;
                }
            }
        }
        let grant = reading(map).filter(|_| answer.status == 403);
        let mend = match (grant, map.as_str()) {
            (Some(grant), _) => format!("{}; {}", grant.mend_role(), grant.mend()),
            (None, "kube-proxy") => again("addon kube-proxy"),
            (None, "kubelet-config") => again("upload-config kubelet"),
            (None, _) => "kubeadm init phase upload-config kubeadm --config kubeadm.yaml, with the ClusterConfiguration that the \
                  cluster was made with"
                .to_owned(),
        };
        verdict.expect(subject(), answer.status == 200, || {
            let finding = Finding::new(
                format!("readable by {}", bearer(rehearsal)),
                format!("HTTP {}: {}", answer.status, answer.message),
            )
            .mend(mend);
            if map == "kube-proxy" {
                // kubeadm goes on with defaults.
                finding.so("kubeadm join goes on without it, with a warning").severity(Severity::Minor)
            } else {
                finding.so("kubeadm join cannot learn how nodes are configured, and gives up")
            }
        });
    }
}

fn judge_request(verdict: &mut Verdict, rehearsal: &JoinRehearsal, reviews: Result<&BootstrapperReviews, &Unobserved>) {
    let Some(request) = verdict.seen(|| bearer(rehearsal), &rehearsal.request) else { return };
    if request.status == 401 && is_known_as_nobody(rehearsal) {
        return;
    }
    if !verdict.expect(bearer(rehearsal), request.status < 300, || {
        Finding::new("may ask for a node's certificate", format!("HTTP {}: {}", request.status, request.message))
            .so("the kubelet of a new node gets no certificate: kubeadm join waits for it until it gives up")
            .mend(RIGHTS)
    }) {
        return;
    }
    let Some(issuance) = &rehearsal.issuance else { return };
    let subject = || Subject::cluster_object("CertificateSigningRequest", format!("{}-node", rehearsal.node));
    let Some(Issuance { conditions, certificate, waited_ms }) = verdict.seen(subject, issuance) else { return };
    let seconds = waited_ms / 1000;
    if let Some(denied) = conditions.get("Denied") {
        let seen = format!("denied: {} {}", denied.reason, denied.message);
        verdict.find(subject(), Finding::new("approved", seen).so("new nodes get no certificate"));
        return;
    }
    if !verdict.expect(subject(), conditions.contains_key("Approved"), || {
        let finding = Finding::new("approved without anybody's doing", format!("still pending after {seconds} s"));
        let may = reviews.ok().and_then(|reviews| reviews.0.get(&BootstrapperAsks::NewNode)?.decided().ok());
        let finding = match may {
            Some(answer) if !answer.allowed => {
                return Finding::new(
                    "approved without anybody's doing",
                    format!("still pending after {seconds} s: the bearer may not create certificatesigningrequests/nodeclient"),
                )
                .so(BY_HAND)
                .mend(RIGHTS)
                .severity(Severity::Minor);
            }
            Some(_) => finding.mend(
                "the bearer has the right: look for csrapproving in --controllers and the log of the controller-manager",
            ),
            None => finding,
        };
        finding.so("kubeadm join waits for the certificate until somebody runs kubectl certificate approve")
    }) {
        return;
    }
    verdict.expect(subject(), certificate.is_some(), || {
        let seen = match conditions.get("Failed") {
            Some(failed) => format!("the signer failed: {} {}", failed.reason, failed.message),
            None => format!("approved, and no certificate after {seconds} s"),
        };
        Finding::new("a certificate, signed by the controller-manager", seen)
            .so("kubelets get no certificate: no node joins, and those of today stop working when their certificates expire")
            .mend("look for csrsigning in --controllers, for --cluster-signing-cert-file and the log of the controller-manager")
    });
}

fn judge_certificate(
    verdict: &mut Verdict,
    rehearsal: &JoinRehearsal,
    issuance: &Issuance,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    clock: &Clock,
) {
    let subject = || Subject::cluster_object("certificate of", format!("system:node:{}", rehearsal.node));
    let chain = match &issuance.certificate {
        None => return,
        Some(Ok(chain)) => chain,
        Some(Err(why)) => {
            verdict.find(subject(), Finding::new("a readable certificate", why.as_str()));
            return;
        }
    };
    let leaf = match chain.first().map(Certificate::describe) {
        Some(Ok(leaf)) => leaf,
        Some(Err(why)) => {
            verdict.find(subject(), Finding::new("a readable certificate", why.to_string()));
            return;
        }
        None => return,
    };
    let expected = format!("system:node:{}", rehearsal.node);
    let is_as_asked = leaf.common_name.as_ref() == Some(&expected) && leaf.organizations == ["system:nodes"];
    verdict.expect(subject(), is_as_asked, || {
        Finding::new(format!("CN={expected}, O=system:nodes"), leaf.subject.clone())
    });
    verdict.expect(subject(), leaf.extended_key_usages.contains(&ExtendedKeyUsage::ClientAuth), || {
        Finding::new("for clients (clientAuth)", usages(&leaf))
    });
    judge_life(verdict, subject(), &leaf);
    let so = "the API server refuses every certificate that the controller-manager signs: no node joins, and those of today \
              stop working";
    judge_trust(verdict, subject(), chain, authorities, clock.server, so);
}

fn usages(leaf: &Description) -> String {
    if leaf.extended_key_usages.is_empty() {
        return "no extended key usage".into();
    }
    names(leaf.extended_key_usages.iter().map(ToString::to_string))
}

fn judge_removal(verdict: &mut Verdict, rehearsal: &JoinRehearsal) {
    match &rehearsal.withdrawal {
        None => {}
        Some(Err(why)) => verdict.unseen(cluster_info(), why),
        Some(Ok(vanished)) => {
            verdict.expect(cluster_info(), vanished.is_some(), || {
                Finding::new(
                    format!("no signature by token {} once it is deleted", rehearsal.token),
                    "it is still there after 30 s",
                )
                .so("the bootstrap signer is not at work: the next token will not be signed")
                .severity(Severity::Major)
            });
        }
    }
    for (object, why) in &rehearsal.left {
        verdict.unseen(Subject::cluster_object("the removal of", object), why);
    }
    let waits: BTreeMap<&str, u64> = [
        ("signature", rehearsal.discovery.as_ref().ok().map(|seen| seen.waited_ms)),
        ("certificate", rehearsal.issuance.as_ref().and_then(|seen| seen.as_ref().ok()).map(|seen| seen.waited_ms)),
    ]
    .into_iter()
    .filter_map(|(what, waited)| Some((what, waited?)))
    .collect();
    if waits.len() == 2 {
        verdict
            .note(format!("signature after {} ms, certificate after {} ms", waits["signature"], waits["certificate"]));
    }
}

#[cfg(test)]
mod tests;
