//! # Every server has its own key
//!
//! ## Why
//! Nodes that were cloned from one image with `/var/lib/kubelet/pki` or `/etc/kubernetes/pki` in it share a private
//! key: anyone who gets it from one of them can pose as all others, and no key can be replaced alone. A serving
//! certificate that is also valid for clients makes a stolen server key a login.
//!
//! ## Fix
//! Kubelets: on all but one of the nodes, remove `/var/lib/kubelet/pki/kubelet.crt` and `kubelet.key` (or
//! `kubelet-server-current.pem`) and restart the kubelet. API servers: remove `/etc/kubernetes/pki/apiserver.crt` and
//! `apiserver.key` on one of the nodes, `kubeadm init phase certs apiserver --config kubeadm.yaml` (with the cluster's
//! own settings, as PK-01 shows), restart the static pod. etcd: the same with `etcd/server.*`, `etcd/peer.*` and the
//! phases `certs etcd-server` or `certs etcd-peer`. And remove the keys from the image.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/certlist.go`. Some installers give all API servers one key on purpose, such as K3s and
//! some that came before kubeadm; a member of etcd may use one pair for clients and for its peers.

use std::collections::{BTreeMap, BTreeSet};

use super::helpers::instances::is_out_of_reach;
use super::helpers::server::Server;
use crate::certificate::{Certificate, Description, ExtendedKeyUsage};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::etcd_handshakes::EtcdHandshakes;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::handshake::Handshake;
use crate::seen::{Seen, Unobserved};

crate::check!("PK-13", "one-key-per-server", Major, judge, builds_on: ["KL-12"], blocked_by: ["PK-09"]);

/// The servers by the key of their certificate.
type Keys = BTreeMap<String, BTreeSet<Server>>;

fn judge(
    api: &ApiServerHandshakes,
    kubelets: &KubeletHandshakes,
    etcd: Result<&EtcdHandshakes, &Unobserved>,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let mut keys = Keys::new();
    let clients =
        authorities.ok().and_then(|known| known.client.as_ref()?.as_ref().ok()).map_or(&[][..], Vec::as_slice);
    if let Err(why) = authorities
        && !matches!(why, Unobserved::Absent { .. })
    {
        verdict.unseen(Subject::object("ConfigMap", "kube-system", "extension-apiserver-authentication"), why);
    } else if clients.is_empty() {
        verdict.note("whether a serving certificate is also a login was not checked: the CA for clients is unknown");
    }
    match &api.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) => {
            let shown = instances.iter().map(|(address, seen)| (Server::Api(address.to_string()), seen));
            collect(&mut verdict, &mut keys, shown, clients);
        }
    }
    let shown = kubelets.0.iter().map(|(node, seen)| (Server::Kubelet(node.clone()), seen));
    collect(&mut verdict, &mut keys, shown, clients);
    match etcd {
        Ok(etcd) => {
            for (pod, why) in etcd.unknown() {
                verdict.unseen(Subject::object("Pod", "kube-system", pod), why);
            }
            let shown = etcd
                .dialled()
                .flat_map(|(node, member)| member.presented.values().map(|seen| (Server::Etcd(node.clone()), seen)));
            // A member is a client of the others as well, with the same certificate.
            collect(&mut verdict, &mut keys, shown, &[]);
        }
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    for (key, servers) in keys {
        judge_key(&mut verdict, &key, &servers);
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply("no API server, kubelet or member of etcd can be reached from here");
    }
    verdict
}

/// Collects the keys of servers of one kind. That none of them can be reached from here is a note.
fn collect<'a>(
    verdict: &mut Verdict,
    keys: &mut Keys,
    shown: impl Iterator<Item = (Server, &'a Seen<Handshake>)>,
    clients: &[Certificate],
) {
    let shown: Vec<_> = shown.collect();
    let none_in_reach = shown.iter().all(|(_, seen)| is_out_of_reach(seen));
    for (server, seen) in shown {
        if none_in_reach {
            let note = format!("{} cannot be reached from here: its key was not checked", server.kind());
            verdict.note_about(server.subject(), note);
            continue;
        }
        let Some(handshake) = verdict.seen(|| server.subject(), seen) else { continue };
        match handshake.leaf().describe() {
            Ok(leaf) => {
                judge_usage(verdict, &server, handshake.leaf(), &leaf, clients);
                keys.entry(leaf.spki_sha256).or_default().insert(server);
            }
            Err(malformed) => {
                let finding = Finding::new(format!("{} presents a certificate", server.kind()), malformed.to_string())
                    .impact("no client can connect")
                    .fix(server.replace_pair());
                verdict.find(server.subject(), finding);
            }
        }
    }
}

fn judge_key(verdict: &mut Verdict, key: &str, servers: &BTreeSet<Server>) {
    let Some(last) = servers.last().filter(|_| servers.len() > 1) else { return verdict.confirm() };
    let expected = "a key for each server";
    let seen = format!("{} servers have the key {}", servers.len(), key.get(..23).unwrap_or(key));
    let fix = format!(
        "on all but one of them; {}. Then remove the key from the image that they came from",
        last.replace_pair()
    );
    let finding = if servers.iter().all(|server| matches!(server, Server::Api(_))) {
        Finding::new(expected, seen).impact("some installers share it on purpose; kubeadm does not").fix(fix).info()
    } else {
        Finding::new(expected, seen).impact("anyone who gets the key of one can pose as the others").fix(fix)
    };
    verdict.find_together(servers.iter().map(Server::subject), 1, finding.evidence(servers));
}

/// A certificate that the CA for clients signed and that is valid for clients is a login.
fn judge_usage(
    verdict: &mut Verdict,
    server: &Server,
    certificate: &Certificate,
    leaf: &Description,
    clients: &[Certificate],
) {
    if !clients.iter().any(|authority| certificate.is_signed_by(authority)) {
        return;
    }
    let usages = &leaf.extended_key_usages;
    let is_login = usages.is_empty()
        || usages.iter().any(|usage| matches!(usage, ExtendedKeyUsage::ClientAuth | ExtendedKeyUsage::Any));
    verdict.expect(server.subject(), !is_login, || {
        let user = leaf.common_name.as_deref().unwrap_or("a user without a name");
        Finding::new(
            format!("{} has a certificate that is valid for servers only (serverAuth)", server.kind()),
            if usages.is_empty() { "it is valid for every use" } else { "it is valid for clients too" },
        )
        .impact("anyone who gets its key can also log in to the API server")
        .fix(format!("let the signer set the extended key usage serverAuth only; then, {}", server.replace_pair()))
        .evidence([format!("with the key of {server}, one can log in as {user}")])
        .severity(Severity::Minor)
    });
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::certificate::testing::{Authority, Leaf};
    use crate::check::testing::notes;
    use crate::fact::facts::etcd_handshakes::EtcdMember;
    use crate::suites::pki::testing::{handshakes, presented};

    fn kubelets<const N: usize>(shown: [(&str, Seen<Handshake>); N]) -> KubeletHandshakes {
        KubeletHandshakes(shown.into_iter().map(|(node, seen)| (node.to_owned(), seen)).collect())
    }

    fn judged(api: &[(&str, &Leaf)], kubelets: &KubeletHandshakes, etcd: Option<&Leaf>, ca: &Authority) -> Verdict {
        let mut seen = handshakes(presented(&ca.leaf(&["x"])), []);
        seen.instances = Ok(api.iter().map(|(at, leaf)| (at.parse().unwrap(), presented(leaf))).collect());
        let etcd = EtcdHandshakes(
            etcd.map(|leaf| {
                let presented = [2379, 2380].map(|port| (port, presented(leaf))).into();
                ("n1".to_owned(), Ok(EtcdMember { address: [10, 77, 0, 11].into(), presented }))
            })
            .into_iter()
            .collect(),
        );
        let known = AuthenticationAuthorities {
            client: Some(Ok(vec![ca.certificate.clone()])),
            request_header: None,
            ..AuthenticationAuthorities::default()
        };
        judge(&seen, kubelets, Ok(&etcd), Ok(&known))
    }

    #[test]
    fn separate_keys_pass_and_one_member_may_use_one_twice() {
        let ca = Authority::new("kubernetes");
        let leaves: Vec<_> = (0..4).map(|_| ca.leaf(&["x"])).collect();
        let shown = kubelets([("n1", presented(&leaves[1])), ("n2", presented(&leaves[2]))]);
        let verdict = judged(&[("10.77.0.11:6443", &leaves[0])], &shown, Some(&leaves[3]), &ca);
        assert!(verdict.findings(Severity::Major).is_empty(), "{verdict:?}");
        assert_eq!(verdict.observations(), 3 + 4);
    }

    #[test]
    fn a_key_on_two_nodes_is_found() {
        let ca = Authority::new("kubernetes");
        let (api, shared) = (ca.leaf(&["x"]), ca.leaf(&["x"]));
        let shown = kubelets([("n2", presented(&shared)), ("n3", presented(&shared))]);
        let findings = judged(&[("10.77.0.11:6443", &api)], &shown, None, &ca).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects, [Subject::node("n2"), Subject::node("n3")]);
        assert_eq!(findings[0].evidence, ["the kubelet of n2", "the kubelet of n3"]);
    }

    #[test]
    fn api_servers_that_share_are_info() {
        let ca = Authority::new("kubernetes");
        let shared = ca.leaf(&["x"]);
        let instances = [("10.77.0.11:6443", &shared), ("10.77.0.12:6443", &shared)];
        let findings = judged(&instances, &kubelets([]), None, &ca).findings(Severity::Major);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn a_serving_certificate_that_is_a_login_is_minor() {
        let ca = Authority::new("kubernetes");
        let login = ca.leaf_with(&["n2"], &PKCS_ECDSA_P256_SHA256, |params| {
            params.distinguished_name.push(DnType::CommonName, "system:node:n2");
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        });
        let findings = judged(&[], &kubelets([("n2", presented(&login))]), None, &ca).findings(Severity::Major);
        assert_eq!(findings[0].severity, Severity::Minor);
        assert_eq!(findings[0].evidence, ["with the key of the kubelet of n2, one can log in as system:node:n2"]);
    }

    #[test]
    fn a_refused_fact_is_inconclusive() {
        let ca = Authority::new("kubernetes");
        let mut api = handshakes(presented(&ca.leaf(&["x"])), []);
        api.instances = Ok([("10.77.0.11:6443".parse().unwrap(), presented(&ca.leaf(&["x"])))].into());
        let gaps = |why: &Unobserved| judge(&api, &kubelets([]), Err(why), Err(why)).gaps().len();
        assert_eq!(gaps(&Unobserved::Refused { missing: "list pods".into(), message: "no".into() }), 1);
        assert_eq!(gaps(&Unobserved::absent("etcd is hidden")), 0);
    }

    #[test]
    fn out_of_reach_is_a_note_and_one_that_is_silent_is_inconclusive() {
        let ca = Authority::new("kubernetes");
        let api = ca.leaf(&["x"]);
        let far = || Err(Unobserved::unreachable("n3", "refused"));
        let none = judged(&[("10.77.0.11:6443", &api)], &kubelets([("n3", far())]), None, &ca);
        assert_eq!((none.gaps().len(), notes(&none).len()), (0, 1));
        let one = judged(&[("10.77.0.11:6443", &api)], &kubelets([("n2", presented(&api)), ("n3", far())]), None, &ca);
        assert_eq!(one.gaps().len(), 1);

        let nothing = judged(&[], &kubelets([("n3", far())]), None, &ca);
        assert!(nothing.reason().unwrap().contains("can be reached from here"), "{nothing:?}");
    }
}
