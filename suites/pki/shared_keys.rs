//! # Every server has a key of its own
//!
//! ## Why
//! Nodes that were cloned from one image with `/var/lib/kubelet/pki` or `/etc/kubernetes/pki` in it share a private key:
//! whoever gets at one of them can pose as all others, and none can be replaced alone. A serving certificate that may be
//! used by clients too makes a stolen server key a login.
//!
//! ## Fix
//! Kubelets: on all but one of the nodes that are named, remove `/var/lib/kubelet/pki/kubelet.crt` and `kubelet.key` (or
//! `kubelet-server-current.pem`) and restart the kubelet. API servers: remove `/etc/kubernetes/pki/apiserver.crt` and
//! `apiserver.key` on one of the nodes, `kubeadm init phase certs apiserver --config kubeadm.yaml` (with the cluster's own
//! settings, as PK-01 shows), restart the static pod. etcd: likewise with `etcd/server.*`, `etcd/peer.*` and the phases
//! `certs etcd-server` or `certs etcd-peer`. And clean the image.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/certlist.go`. API servers may share a key where an installer means it so, as K3S does
//! and some that came before kubeadm; a member of etcd may use one pair for clients and for its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::instances::is_out_of_reach;
use crate::certificate::{Certificate, Description, ExtendedKeyUsage};
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::cluster::handshake::Handshake;
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::etcd_handshakes::EtcdHandshakes;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::seen::{Seen, Unobserved};

crate::check!("PK-13", "one-key-per-server", Major, judge);

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Server {
    Api(String),
    Kubelet(String),
    /// By node: both its ports may share a key.
    Etcd(String),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(address) => write!(f, "the API server {address}"),
            Self::Kubelet(node) => write!(f, "the kubelet of {node}"),
            Self::Etcd(node) => write!(f, "the etcd of {node}"),
        }
    }
}

/// The servers by the key that they have shown.
#[derive(Default)]
struct Keys(BTreeMap<String, BTreeSet<Server>>);

fn judge(
    api: &ApiServerHandshakes,
    kubelets: &KubeletHandshakes,
    etcd: Result<&EtcdHandshakes, &Unobserved>,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let mut keys = Keys::default();
    let clients =
        authorities.ok().and_then(|known| known.client.as_ref()?.as_ref().ok()).map_or(&[][..], Vec::as_slice);
    if let Err(why) = authorities
        && !matches!(why, Unobserved::Absent { .. })
    {
        verdict.unseen(Subject::object("ConfigMap", "kube-system", "extension-apiserver-authentication"), why);
    } else if clients.is_empty() {
        verdict.note("the authority of client certificates is not known: whether a server's certificate is a login is not judged");
    }
    match &api.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) => {
            let shown = instances.iter().map(|(address, seen)| (Server::Api(address.to_string()), seen));
            keys.take(&mut verdict, "API server", shown, clients);
        }
    }
    let shown = kubelets.0.iter().map(|(node, seen)| (Server::Kubelet(node.clone()), seen));
    keys.take(&mut verdict, "kubelet", shown, clients);
    match etcd {
        Ok(etcd) => {
            for (pod, why) in etcd.unknown() {
                verdict.unseen(Subject::object("Pod", "kube-system", pod), why);
            }
            let shown = etcd
                .dialled()
                .flat_map(|(node, member)| member.presented.values().map(|seen| (Server::Etcd(node.clone()), seen)));
            // A member is a client of the others as well, with the same certificate.
            keys.take(&mut verdict, "member of etcd", shown, &[]);
        }
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(Subject::cluster_object("etcd", "of the control plane"), why),
    }
    keys.tell(&mut verdict);
    if verdict.observations() == 0 && verdict.saw_everything() {
        return Verdict::not_applicable(format!(
            "no server was seen: {}",
            verdict.notes().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ));
    }
    verdict
}

impl Keys {
    /// Takes the keys of servers of one kind; where none of them can be reached from here, that is a note.
    fn take<'a>(
        &mut self,
        verdict: &mut Verdict,
        kind: &str,
        shown: impl Iterator<Item = (Server, &'a Seen<Handshake>)>,
        clients: &[Certificate],
    ) {
        let shown: Vec<_> = shown.collect();
        if !shown.is_empty() && shown.iter().all(|(_, seen)| is_out_of_reach(seen)) {
            let servers: BTreeSet<_> = shown.iter().map(|(server, _)| server).collect();
            return verdict.note(format!("no {kind} can be reached from here: {}", names(servers)));
        }
        for (server, seen) in shown {
            let subject = || Subject::address(&server);
            let Some(handshake) = verdict.seen(subject, seen) else { continue };
            match handshake.leaf().describe() {
                Ok(leaf) => {
                    judge_usage(verdict, &server, handshake.leaf(), &leaf, clients);
                    self.0.entry(leaf.spki_sha256).or_default().insert(server);
                }
                Err(malformed) => verdict.find(subject(), Finding::new("a certificate", malformed.to_string())),
            }
        }
    }

    fn tell(self, verdict: &mut Verdict) {
        for (key, servers) in self.0 {
            let all_api = servers.iter().all(|server| matches!(server, Server::Api(_)));
            verdict.expect(Subject::address(names(&servers)), servers.len() == 1, || {
                let finding = Finding::new(
                    "a key for each server",
                    format!("the same key at {} servers: {}", servers.len(), key.get(..23).unwrap_or(&key)),
                );
                if all_api {
                    finding.so("some installers share it on purpose; kubeadm does not").info()
                } else {
                    finding.so("whoever gets at the key of one can pose as the others")
                }
            });
        }
    }
}

/// A certificate of the clients' authority that may be used by clients is a login.
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
    verdict.expect(Subject::address(server), !is_login, || {
        let seen: Vec<_> = usages.iter().map(ToString::to_string).collect();
        Finding::new(
            "a serving certificate for serving alone (serverAuth)",
            if seen.is_empty() { "one for every use".to_owned() } else { format!("one for {}", seen.join(", ")) },
        )
        .so(format!("with this key one can log in as {}", leaf.common_name.as_deref().unwrap_or("nobody")))
        .severity(Severity::Minor)
    });
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::certificate::testing::{Authority, Leaf};
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
    fn keys_of_their_own_pass_and_one_member_may_use_one_twice() {
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
        assert_eq!(findings[0].subjects[0].to_string(), "the kubelet of n2, the kubelet of n3");
    }

    #[test]
    fn api_servers_that_share_are_a_remark() {
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
        assert_eq!(findings[0].impact.as_deref(), Some("with this key one can log in as system:node:n2"));
    }

    #[test]
    fn what_may_not_be_read_is_undecided() {
        let ca = Authority::new("kubernetes");
        let mut api = handshakes(presented(&ca.leaf(&["x"])), []);
        api.instances = Ok([("10.77.0.11:6443".parse().unwrap(), presented(&ca.leaf(&["x"])))].into());
        let undecided = |why: &Unobserved| judge(&api, &kubelets([]), Err(why), Err(why)).gaps().len();
        assert_eq!(undecided(&Unobserved::Refused { missing: "list pods".into(), message: "no".into() }), 1);
        assert_eq!(undecided(&Unobserved::absent("etcd is hidden")), 0);
    }

    #[test]
    fn out_of_reach_is_a_note_and_one_that_is_silent_is_undecided() {
        let ca = Authority::new("kubernetes");
        let api = ca.leaf(&["x"]);
        let far = || Err(Unobserved::unreachable("n3", "refused"));
        let none = judged(&[("10.77.0.11:6443", &api)], &kubelets([("n3", far())]), None, &ca);
        assert_eq!((none.gaps().len(), crate::check::testing::notes(&none).len()), (0, 1));
        let one = judged(&[("10.77.0.11:6443", &api)], &kubelets([("n2", presented(&api)), ("n3", far())]), None, &ca);
        assert_eq!(one.gaps().len(), 1);

        let nothing = judged(&[], &kubelets([("n3", far())]), None, &ca);
        assert!(nothing.reason().unwrap().contains("no kubelet can be reached from here"), "{nothing:?}");
    }
}
