//! # A new node can join
//!
//! ## Why
//! Joining needs a dozen parts that nothing else uses: cluster-info and its signature, bootstrap tokens, ConfigMaps
//! that new nodes may read, the approval and the signing of their certificates. If one was cleaned up or switched off,
//! this is noticed when a node must be replaced. Here a node joins up to its certificate, in the order of `kubeadm
//! join`.
//!
//! ## Fix
//! Rights of new nodes: DI-08 names the missing binding, and the command that restores it. cluster-info:
//! `kubeadm init phase bootstrap-token --skip-token-print`, which also creates a token for a day (`kubeadm token delete
//! ID`). ConfigMaps: `kubeadm init phase upload-config kubelet --config kubeadm.yaml` with the cluster's own settings;
//! without them kubeadm writes its defaults. The controller-manager signs and approves with
//! `--controllers=*,bootstrapsigner,tokencleaner` and the cluster's CA in `--cluster-signing-cert-file` and
//! `--cluster-signing-key-file`; the API server accepts tokens with `--enable-bootstrap-token-auth=true`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/discovery/token/token.go`, `cmd/kubeadm/app/cmd/phases/join/kubelet.go`,
//! `pkg/controller/certificates/approver/sarapprove.go`, `pkg/apis/certificates/helpers.go`. A token of ten minutes and
//! a request for a certificate of ten minutes are created and removed; a Node is not. The requests go to the
//! kubeconfig's endpoint; another check covers the address in cluster-info (DI-03).

use std::collections::BTreeMap;

use super::helpers::kubeadm_grants::{BY_HAND, named, reading};
use super::helpers::{CREATE, REWRITE, SIGNER};
use crate::certificate::{Certificate, ExtendedKeyUsage};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::bootstrap_tokens::Signature;
use crate::fact::facts::bootstrapper_reviews::{BootstrapperAsks, BootstrapperReviews};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::expectations::{Discovery as Way, Expectations};
use crate::fact::facts::join_rehearsal::{Discovery, GROUP, Issuance, JoinRehearsal, Refetch};
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::trusted_authorities::TrustedAuthorities;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;
use crate::suites::pki::issued::{judge_life, judge_trust};

crate::check!(
    "DI-10",
    "join-rehearsal",
    Critical,
    judge,
    builds_on: ["CP-05", "CP-07", "CP-08", "DI-01", "DI-03", "DI-04", "DI-05", "DI-07", "DI-08", "PK-12"]
);

/// How to restore what a joining kubelet may do.
fn kubelet_bootstrap() -> String {
    named("kubeadm:kubelet-bootstrap").fix_all()
}

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
        verdict.note("nodes join this cluster by a file: cluster-info was not checked");
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
        Finding::new(
            "cluster-info is readable without credentials",
            format!("the API server answers HTTP {}: {}", answered.status, answered.message),
        )
        .impact("kubeadm join cannot find the cluster")
        .fix(match answered.status {
            404 => CREATE.to_owned(),
            401 => "on each control-plane node, remove --anonymous-auth=false from \
                    /etc/kubernetes/manifests/kube-apiserver.yaml, or allow the path \
                    /api/v1/namespaces/kube-public/configmaps/cluster-info in anonymous.conditions of the file of \
                    --authentication-config"
                .to_owned(),
            _ => named("kubeadm:bootstrap-signer-clusterinfo").fix_all(),
        })
    }) {
        return;
    }
    let token = &rehearsal.token;
    verdict.expect(cluster_info(), *signature == Signature::Verified, || match signature {
        Signature::Missing => Finding::new(
            "cluster-info is signed with a new token",
            format!("there was no jws-kubeconfig-{token} within {} s", waited_ms / 1000),
        )
        .impact("kubeadm join waits for the signature until it gives up")
        .fix(SIGNER),
        _ => Finding::new(
            "the signature of cluster-info with a new token belongs to its text",
            format!("jws-kubeconfig-{token} is the signature of another text"),
        )
        .impact("kubeadm join treats cluster-info as forged and gives up")
        .fix(format!("check that proxies between here and the API server do not change or cache answers; {SIGNER}")),
    });
    match authorities {
        Err(why) => verdict.find(
            cluster_info(),
            Finding::new("cluster-info contains the cluster's CAs", why.as_str())
                .impact("kubeadm join cannot verify the API server")
                .fix(REWRITE),
        ),
        Ok(published) => {
            if let Some(trusted) = verdict.known(cluster_info, trusted) {
                let pins = |certificates: &[Certificate]| -> Vec<String> {
                    certificates.iter().filter_map(|one| one.describe().ok()).map(|one| one.spki_sha256).collect()
                };
                let (published, trusted) = (pins(published), pins(&trusted.0));
                verdict.expect(cluster_info(), published.iter().any(|pin| trusted.contains(pin)), || {
                    let evidence = |what: &'static str, pins: Vec<String>| {
                        pins.into_iter().map(move |pin| format!("pin {pin}: {what}"))
                    };
                    Finding::new("cluster-info contains a CA of the API server", "it contains only other CAs")
                        .evidence(evidence("in cluster-info", published.clone()))
                        .evidence(evidence("a CA of the API server", trusted.clone()))
                        .impact("kubeadm join --discovery-token-ca-cert-hash refuses the cluster")
                        .fix(REWRITE)
                });
            }
        }
    }
    let Some(refetch) = &rehearsal.refetch else { return };
    let Some(Refetch { endpoint, trust, identical }) = verdict.seen(cluster_info, refetch) else { return };
    verdict.expect(Subject::address(endpoint), trust.is_ok(), || {
        let why = trust.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Finding::new("a CA in cluster-info verifies the API server's certificate", why)
            .impact("kubeadm join does not trust the API server")
            .fix(REWRITE)
    });
    if let Some(identical) = identical {
        verdict.expect(cluster_info(), *identical, || {
            Finding::new(
                "cluster-info is the same text with and without verifying the API server",
                "the two answers differ",
            )
            .impact("something between here and the API server may change what new nodes read, or it was just changed")
            .fix(format!(
                "repeat the run; if they differ again, compare with the answer on a control-plane node: curl -sk \
                 https://{endpoint}/api/v1/namespaces/kube-public/configmaps/cluster-info"
            ))
        });
    }
}

fn judge_identity(verdict: &mut Verdict, rehearsal: &JoinRehearsal) {
    let Some(identity) = verdict.seen(|| bearer(rehearsal), &rehearsal.identity) else { return };
    let expected = format!("system:bootstrap:{}", rehearsal.token);
    let has_groups = ["system:bootstrappers", GROUP].iter().all(|group| identity.groups.iter().any(|one| one == group));
    verdict.expect(bearer(rehearsal), identity.user.as_ref() == Some(&expected) && has_groups, || {
        Finding::new(
            format!("a new token is authenticated as {expected}, in the groups system:bootstrappers and {GROUP}"),
            identity.words(),
        )
        .impact("kubeadm join cannot log in with a token")
        .fix(
            "on each control-plane node, set --enable-bootstrap-token-auth=true in \
             /etc/kubernetes/manifests/kube-apiserver.yaml",
        )
    });
}

/// Whether the API server has already refused the token. Behind a load balancer another API server may still accept it.
fn is_refused(rehearsal: &JoinRehearsal) -> bool {
    rehearsal.identity.as_ref().is_ok_and(|identity| identity.user.is_none())
}

fn judge_reading(verdict: &mut Verdict, rehearsal: &JoinRehearsal, kube_proxy: Result<&KubeProxyConfig, &Unobserved>) {
    if is_refused(rehearsal) {
        return;
    }
    if let Some(lookup) = verdict.seen(|| bearer(rehearsal), &rehearsal.lookup) {
        match lookup.status {
            404 => verdict.confirm(),
            403 => verdict.find(
                bearer(rehearsal),
                Finding::new("a new token may get nodes", format!("HTTP 403: {}", lookup.message))
                    .impact("kubeadm join cannot check whether a node of its name exists, and gives up")
                    .fix(named("kubeadm:get-nodes").fix_all()),
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
                // kubeadm does not deploy kube-proxy here.
                Err(Unobserved::Absent { .. }) => continue,
                Err(why) => {
                    verdict.unseen(subject(), why);
                    continue;
                }
            }
        }
        verdict.expect(subject(), answer.status == 200, || {
            let finding = Finding::new(
                "a new token may read the ConfigMap",
                format!("HTTP {}: {}", answer.status, answer.message),
            )
            .fix(restored(map, answer.status));
            if map == "kube-proxy" {
                // kubeadm continues with defaults.
                finding.impact("kubeadm join continues without it, with a warning").severity(Severity::Minor)
            } else {
                finding.impact("kubeadm join cannot learn how nodes are configured, and gives up")
            }
        });
    }
}

/// How to restore a ConfigMap that new nodes read, or the right to read it.
fn restored(map: &str, status: u16) -> String {
    match (reading(map).filter(|_| status == 403), map) {
        (Some(grant), _) => grant.fix_all(),
        (None, "kube-proxy") => again("addon kube-proxy"),
        (None, "kubelet-config") => again("upload-config kubelet"),
        (None, _) => {
            "kubeadm init phase upload-config kubeadm --config kubeadm.yaml, with the ClusterConfiguration from \
                      which the cluster was built"
                .to_owned()
        }
    }
}

fn judge_request(verdict: &mut Verdict, rehearsal: &JoinRehearsal, reviews: Result<&BootstrapperReviews, &Unobserved>) {
    let Some(request) = verdict.seen(|| bearer(rehearsal), &rehearsal.request) else { return };
    if request.status == 401 && is_refused(rehearsal) {
        return;
    }
    if !verdict.expect(bearer(rehearsal), request.status < 300, || {
        Finding::new(
            "a new token may ask for a node's certificate",
            format!("HTTP {}: {}", request.status, request.message),
        )
        .impact("the kubelet of a new node gets no certificate: kubeadm join waits for it until it gives up")
        .fix(kubelet_bootstrap())
    }) {
        return;
    }
    let Some(issuance) = &rehearsal.issuance else { return };
    let subject = || Subject::cluster_object("CertificateSigningRequest", format!("{}-node", rehearsal.node));
    let Some(Issuance { conditions, certificate, waited_ms }) = verdict.seen(subject, issuance) else { return };
    let seconds = waited_ms / 1000;
    if let Some(denied) = conditions.get("Denied") {
        let seen = format!("it was denied: {} {}", denied.reason, denied.message);
        verdict.find(
            subject(),
            Finding::new("the request of a new node for its certificate is approved", seen)
                .impact("new nodes get no certificate")
                .fix(
                    "find the controller or policy that denies requests of signer \
                     kubernetes.io/kube-apiserver-client-kubelet; the reason above is its own",
                ),
        );
        return;
    }
    if !verdict.expect(subject(), conditions.contains_key("Approved"), || {
        let expected = "the request of a new node for its certificate is approved automatically";
        let pending = format!("it is still pending after {seconds} s");
        let may = reviews.ok().and_then(|reviews| reviews.0.get(&BootstrapperAsks::NewNode)?.decided().ok());
        if may.is_some_and(|answer| !answer.allowed) {
            let reason = "a token may not create certificatesigningrequests/nodeclient";
            return Finding::new(expected, format!("{pending}: {reason}"))
                .impact(BY_HAND)
                .fix(named("kubeadm:node-autoapprove-bootstrap").fix_all())
                .severity(Severity::Minor);
        }
        Finding::new(expected, pending)
            .impact("kubeadm join waits for the certificate until someone runs kubectl certificate approve")
            .fix(format!("{SIGNER}; the approver is csrapproving, which * includes unless -csrapproving is listed"))
    }) {
        return;
    }
    verdict.expect(subject(), certificate.is_some(), || {
        let seen = match conditions.get("Failed") {
            Some(failed) => format!("the signer failed: {} {}", failed.reason, failed.message),
            None => format!("it was approved, and there is no certificate after {seconds} s"),
        };
        Finding::new("the controller-manager signs the certificate of a new node", seen)
            .impact("no node joins, and existing kubelets stop working when their certificates expire")
            .fix(
                "on each control-plane node, in /etc/kubernetes/manifests/kube-controller-manager.yaml, remove \
                 -csrsigning from --controllers and set --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt and \
                 --cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
            )
    });
}

fn judge_certificate(
    verdict: &mut Verdict,
    rehearsal: &JoinRehearsal,
    issuance: &Issuance,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    clock: &Clock,
) {
    let subject = || Subject::user(format!("system:node:{}", rehearsal.node));
    let unreadable = |why: String| {
        Finding::new("the certificate that the cluster issues to a new node can be read", why)
            .impact("no node joins")
            .fix(SIGNER_OF_NODES)
    };
    let chain = match &issuance.certificate {
        None => return,
        Some(Ok(chain)) => chain,
        Some(Err(why)) => {
            verdict.find(subject(), unreadable(why.clone()));
            return;
        }
    };
    let leaf = match chain.first().map(Certificate::describe) {
        Some(Ok(leaf)) => leaf,
        Some(Err(why)) => {
            verdict.find(subject(), unreadable(why.to_string()));
            return;
        }
        None => return,
    };
    let expected = format!("system:node:{}", rehearsal.node);
    let is_as_asked = leaf.common_name.as_ref() == Some(&expected) && leaf.organizations == ["system:nodes"];
    verdict.expect(subject(), is_as_asked, || {
        Finding::new(
            format!("the certificate names CN={expected}, O=system:nodes"),
            format!("it names {}", leaf.subject),
        )
        .impact("the API server does not treat the kubelet as a node")
        .fix(SIGNER_OF_NODES)
    });
    verdict.expect(subject(), leaf.extended_key_usages.contains(&ExtendedKeyUsage::ClientAuth), || {
        Finding::new("the certificate is for clients (clientAuth)", "it is not")
            .evidence(leaf.extended_key_usages.iter().map(|usage| format!("extended key usage {usage}")))
            .impact("the API server refuses the certificate: no node joins")
            .fix(SIGNER_OF_NODES)
    });
    judge_life(verdict, subject(), &leaf);
    let impact = "the API server refuses every certificate that the controller-manager signs: no node joins, and \
                  existing nodes stop working when they renew theirs";
    judge_trust(verdict, subject(), chain, authorities, clock.server, impact);
}

/// How to find what signs certificates of nodes otherwise than the controller-manager does.
const SIGNER_OF_NODES: &str = "find what else signs for kubernetes.io/kube-apiserver-client-kubelet, and stop it: \
     kubectl get csr -o wide, and kubectl get clusterroles -o yaml | grep -B12 certificatesigningrequests/status";

fn judge_removal(verdict: &mut Verdict, rehearsal: &JoinRehearsal) {
    match &rehearsal.withdrawal {
        None => {}
        Some(Err(why)) => verdict.unseen(cluster_info(), why),
        Some(Ok(vanished)) => {
            verdict.expect(cluster_info(), vanished.is_some(), || {
                Finding::new(
                    "the signature of a deleted token is removed from cluster-info",
                    format!("jws-kubeconfig-{} is still there 30 s after the token was deleted", rehearsal.token),
                )
                .impact("the bootstrap signer does not run: the next token will not be signed")
                .fix(SIGNER)
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
            .note(format!("the signature took {} ms, the certificate {} ms", waits["signature"], waits["certificate"]));
    }
}

#[cfg(test)]
mod tests;
