//! # Only the front proxy may act for other users
//!
//! ## Why
//! A client that presents a certificate of the request-header CA can name any user in a header, to the API server and
//! to every aggregated one. If that CA is also the CA of ordinary clients, or if any common name is accepted, every
//! holder of a client certificate, including each kubelet, is an administrator.
//!
//! ## Fix
//! Give the API server a separate CA for proxies, and the names: `kubeadm init phase certs front-proxy-ca`, `kubeadm
//! init phase certs front-proxy-client`; in `/etc/kubernetes/manifests/kube-apiserver.yaml`
//! `--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt` and
//! `--requestheader-allowed-names=front-proxy-client`. API servers only ever add to the ConfigMap: delete it afterwards
//! (`kubectl -n kube-system delete configmap extension-apiserver-authentication`), and they create it again within a
//! minute.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/controller/clusterauthenticationtrust`,
//! `staging/src/k8s.io/apiserver/pkg/authentication/request/headerrequest`,
//! `cmd/kubeadm/app/phases/controlplane/manifests.go`. Aggregated API servers trust the ConfigMap; static pods show
//! each API server's own flags.

use std::collections::BTreeSet;

use crate::certificate::Certificate;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authentication_authorities::{AuthenticationAuthorities, Proxies};
use crate::fact::facts::pods::{Pod, Pods};

crate::check!("PK-07", "front-proxy", Major, judge);

const OPEN: &str = "every holder of a client certificate can act as any user, including administrators";
const ANY_NAME: &str = "any certificate that this CA signs can act as any user";
/// How the ConfigMap follows the flags of the API servers.
const REFRESH: &str = "then let the API servers create the ConfigMap again: kubectl -n kube-system delete configmap \
                       extension-apiserver-authentication";

/// How to separate the CA of proxies from that of clients.
fn separate() -> String {
    format!(
        "on a control-plane node: kubeadm init phase certs front-proxy-ca && kubeadm init phase certs \
         front-proxy-client; copy /etc/kubernetes/pki/front-proxy-* to the others, and on each set \
         --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt in \
         /etc/kubernetes/manifests/kube-apiserver.yaml; {REFRESH}"
    )
}

/// How to set a flag of all API servers.
fn set(flags: &str) -> String {
    format!("on each control-plane node, set {flags} in /etc/kubernetes/manifests/kube-apiserver.yaml; {REFRESH}")
}

fn judge(authorities: &AuthenticationAuthorities, pods: &Pods) -> Verdict {
    let flagged = || pods.static_pods("kube-apiserver").filter(|pod| pod.has_flags());
    let Some(request_header) = &authorities.request_header else {
        if flagged().next().is_some() {
            let mut verdict = Verdict::new();
            verdict.find(
                subject(),
                Finding::new("requestheader-client-ca-file, which kubeadm configures", "it is not set")
                    .impact(
                        "aggregated API servers such as metrics-server do not learn who asks, and refuse every request",
                    )
                    .fix(set("--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt"))
                    .severity(Severity::Minor),
            );
            return verdict;
        }
        return Verdict::not_applicable(
            "extension-apiserver-authentication has no requestheader-client-ca-file: no proxy can act for other users",
        );
    };
    let mut verdict = Verdict::new();
    let proxy_keys = keys(&mut verdict, "requestheader-client-ca-file", request_header);
    let client_keys = if let Some(bundle) = &authorities.client {
        keys(&mut verdict, "client-ca-file", bundle)
    } else {
        verdict.note("there is no client-ca-file: no user logs in with a client certificate");
        Some(BTreeSet::new())
    };
    if let (Some(proxy), Some(client)) = (proxy_keys, client_keys) {
        let shared: Vec<_> = proxy.intersection(&client).collect();
        verdict.expect(subject(), shared.is_empty(), || {
            Finding::new(
                "a CA for proxies that has no key in common with the CA for clients",
                "requestheader-client-ca-file and client-ca-file hold the same key",
            )
            .impact("anyone who gets a client certificate with the right name can act as any user")
            .fix(separate())
            .evidence(shared)
        });
    }
    judge_proxies(&mut verdict, &authorities.proxies);
    for pod in flagged() {
        judge_flags(&mut verdict, pod);
    }
    verdict
}

fn subject() -> Subject {
    Subject::object("ConfigMap", "kube-system", "extension-apiserver-authentication")
}

/// The keys of a bundle; nothing if it is not readable, which is a finding.
fn keys(verdict: &mut Verdict, key: &str, bundle: &Result<Vec<Certificate>, String>) -> Option<BTreeSet<String>> {
    let described = bundle.as_ref().map_err(Clone::clone).and_then(|bundle| {
        let each = bundle.iter().map(|certificate| certificate.describe().map(|authority| authority.spki_sha256));
        each.collect::<Result<BTreeSet<_>, _>>().map_err(|malformed| malformed.to_string())
    });
    let unreadable = |why: String| {
        Finding::new(format!("certificates in {key}"), why)
            .impact("aggregated API servers authenticate no request")
            .fix(format!("on each control-plane node, repair the file of --{key}; {REFRESH}"))
    };
    described.map_err(|why| verdict.find(subject(), unreadable(why))).ok()
}

fn judge_proxies(verdict: &mut Verdict, proxies: &Proxies) {
    let headers = [
        ("requestheader-username-headers", &proxies.username_headers, "X-Remote-User"),
        ("requestheader-group-headers", &proxies.group_headers, "X-Remote-Group"),
    ];
    for (key, list, usual) in headers {
        verdict.expect(subject(), is_given(list.as_ref()), || {
            Finding::new(format!("headers in {key}"), defect(list.as_ref()))
                .impact("aggregated API servers do not learn who sent a request")
                .fix(set(&format!("--{key}={usual}")))
        });
    }
    verdict.expect(subject(), is_given(proxies.allowed_names.as_ref()), || {
        Finding::new(
            "the names of the proxies' certificates in requestheader-allowed-names",
            defect(proxies.allowed_names.as_ref()),
        )
        .impact(ANY_NAME)
        .fix(set("--requestheader-allowed-names=front-proxy-client"))
    });
}

fn is_given(list: Option<&Result<Vec<String>, String>>) -> bool {
    matches!(list, Some(Ok(list)) if !list.is_empty())
}

/// What is wrong with a list that has no entries.
fn defect(list: Option<&Result<Vec<String>, String>>) -> String {
    match list {
        None => "there is no such key".into(),
        Some(Ok(_)) => "an empty list".into(),
        Some(Err(why)) => why.clone(),
    }
}

fn judge_flags(verdict: &mut Verdict, pod: &Pod) {
    let last = |flag: &str| pod.flag(flag).last().copied().unwrap_or_default();
    let (proxy, client) = (last("requestheader-client-ca-file"), last("client-ca-file"));
    if proxy.is_empty() {
        return;
    }
    let subject = || Subject::object("Pod", &pod.namespace, &pod.name);
    let allowed = last("requestheader-allowed-names");
    verdict.expect(subject(), proxy != client, || {
        let (impact, severity) = if allowed.is_empty() {
            (OPEN.to_owned(), Severity::Critical)
        } else {
            (format!("anyone who gets a client certificate for {allowed} can act as any user"), Severity::Major)
        };
        Finding::new("--requestheader-client-ca-file and --client-ca-file that differ", format!("both are {proxy}"))
            .impact(impact)
            .fix(separate())
            .severity(severity)
    });
    verdict.expect(subject(), !allowed.is_empty(), || {
        Finding::new("--requestheader-allowed-names=front-proxy-client", "it is empty, which accepts any name")
            .impact(if proxy == client { OPEN } else { ANY_NAME })
            .fix(set("--requestheader-allowed-names=front-proxy-client"))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority;
    use crate::fact::facts::pods::testing::static_pod;

    fn proxies(names: &[&str]) -> Proxies {
        let list = |all: &[&str]| Some(Ok(all.iter().map(ToString::to_string).collect()));
        Proxies {
            allowed_names: list(names),
            username_headers: list(&["X-Remote-User"]),
            group_headers: list(&["X-Remote-Group"]),
        }
    }

    fn pods(proxy: &str, names: &str) -> Pods {
        let flags = [
            "--client-ca-file=/pki/ca.crt".to_owned(),
            format!("--requestheader-client-ca-file={proxy}"),
            format!("--requestheader-allowed-names={names}"),
        ];
        Pods([static_pod("kube-apiserver", "n1", &flags.each_ref().map(String::as_str))].into())
    }

    fn judged(client: &Authority, proxy: &Authority, proxies: Proxies, pods: &Pods) -> Verdict {
        let bundle = |authority: &Authority| Some(Ok(vec![authority.certificate.clone()]));
        judge(&AuthenticationAuthorities { client: bundle(client), request_header: bundle(proxy), proxies }, pods)
    }

    fn right() -> Pods {
        pods("/pki/front-proxy-ca.crt", "front-proxy-client")
    }

    #[test]
    fn what_kubeadm_writes_passes() {
        let (client, proxy) = (Authority::new("kubernetes"), Authority::new("front-proxy-ca"));
        let verdict = judged(&client, &proxy, proxies(&["front-proxy-client"]), &right());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (6, vec![]));
    }

    #[test]
    fn one_ca_for_both_is_found() {
        let ca = Authority::new("kubernetes");
        let findings = judged(&ca, &ca, proxies(&["front-proxy-client"]), &right()).findings(Severity::Major);
        assert!(findings.len() == 1 && findings[0].evidence[0].contains("sha256:"), "{findings:?}");
        let other = Authority::new("front-proxy-ca");
        let open = pods("/pki/ca.crt", "");
        let findings = judged(&ca, &other, proxies(&["front-proxy-client"]), &open).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (2, Severity::Critical));
        assert_eq!(findings[0].impact.as_deref(), Some(OPEN));
    }

    #[test]
    fn empty_names_and_missing_headers_are_found() {
        let (client, proxy) = (Authority::new("kubernetes"), Authority::new("front-proxy-ca"));
        let findings = judged(&client, &proxy, proxies(&[]), &right()).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "an empty list"));
        let findings = judged(&client, &proxy, Proxies::default(), &Pods::default()).findings(Severity::Major);
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn without_a_ca_for_proxies_there_are_none() {
        let none = AuthenticationAuthorities { client: None, request_header: None, proxies: Proxies::default() };
        assert!(judge(&none, &Pods::default()).reason().is_some());
        let findings = judge(&none, &right()).findings(Severity::Major);
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("it is not set", Severity::Minor));
    }
}
