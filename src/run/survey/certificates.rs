//! The certificates that servers present, and those in files of nodes.

use crate::certificate::Certificate;
use crate::event::survey::Expiry;
use crate::fact::Facts;
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::etcd_handshakes::EtcdHandshakes;
use crate::fact::facts::host_reports::{CertificateOnDisk, Content, HostReports};
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::fact::facts::trusted_authorities::TrustedAuthorities;
use crate::ports;

/// What files of kubeadm are for, by the ends of their paths; the first that fits.
const FILES: [(&str, &str); 10] = [
    ("/pki/etcd/ca.crt", "etcd-ca"),
    ("/pki/front-proxy-ca.crt", "front-proxy-ca"),
    ("/pki/ca.crt", "cluster-ca"),
    ("/pki/etcd/server.crt", "etcd-server"),
    ("/pki/etcd/peer.crt", "etcd-peer"),
    ("/pki/apiserver.crt", "api-server"),
    ("/kubelet/pki/kubelet.crt", "kubelet"),
    ("/kubelet-server-current.pem", "kubelet"),
    ("-client.crt", "client"),
    ("-client-current.pem", "client"),
];

/// All that were seen, the first to expire first.
pub(super) fn seen(facts: &Facts) -> Vec<Expiry> {
    let mut seen = Vec::new();
    if let Ok(ApiServerHandshakes { endpoint, instances, .. }) = facts.seen() {
        let instances = instances.iter().flat_map(|instances| instances.values());
        for handshake in [endpoint].into_iter().chain(instances).flatten() {
            seen.extend(expiry("api-server", handshake.address.to_string(), handshake.leaf()));
        }
    }
    if let Ok(KubeletHandshakes(nodes)) = facts.seen() {
        for (node, handshake) in nodes {
            seen.extend(handshake.as_ref().ok().and_then(|shown| expiry("kubelet", node.clone(), shown.leaf())));
        }
    }
    if let Ok(members) = facts.seen::<EtcdHandshakes>() {
        for (node, member) in members.dialled() {
            for (port, handshake) in &member.presented {
                let kind = if *port == ports::ETCD_PEER { "etcd-peer" } else { "etcd-server" };
                seen.extend(handshake.as_ref().ok().and_then(|shown| expiry(kind, node.clone(), shown.leaf())));
            }
        }
    }
    if let Ok(TrustedAuthorities(trusted)) = facts.seen() {
        seen.extend(trusted.iter().filter_map(|ca| expiry("cluster-ca", "the cluster".into(), ca)));
    }
    if let Ok(HostReports(nodes)) = facts.seen() {
        for (node, report) in nodes {
            let files = report.disk.iter().flat_map(|disk| &disk.files);
            seen.extend(files.filter_map(|(path, file)| on_disk(node, path, &file.content)));
        }
    }
    seen.sort();
    seen.dedup();
    seen
}

/// What is not readable has no end that could be drawn: a check reports it.
fn expiry(kind: &str, instance: String, certificate: &Certificate) -> Option<Expiry> {
    let read = certificate.describe().ok()?;
    let (not_before, not_after) = (read.not_before, read.not_after);
    Some(Expiry { not_after, not_before, kind: kind.into(), instance, subject: read.subject })
}

fn on_disk(node: &str, path: &str, content: &Content) -> Option<Expiry> {
    let (kind, held): (&str, &CertificateOnDisk) = match content {
        Content::Certificates { held, .. } => {
            let known = FILES.iter().find(|(end, _)| path.ends_with(end));
            (known.map_or("file", |(_, kind)| kind), held.first()?)
        }
        Content::Kubeconfig { client, .. } => ("client", client.as_deref()?),
        Content::Key | Content::Unreadable { .. } => return None,
    };
    let CertificateOnDisk { from, until, subject, .. } = held;
    let instance = format!("{node}:{path}");
    Some(Expiry { not_after: *until, not_before: *from, kind: kind.into(), instance, subject: subject.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority;

    #[test]
    fn a_certificate_is_listed_with_its_subject_and_end() {
        let seen = expiry("cluster-ca", "the cluster".into(), &Authority::new("kubernetes").certificate).unwrap();
        assert_eq!((seen.kind.as_str(), seen.subject.as_str()), ("cluster-ca", "CN=kubernetes"));
        assert_eq!(
            (seen.not_before.to_string().as_str(), seen.not_after.to_string().as_str()),
            ("1975-01-01T00:00:00Z", "4096-01-01T00:00:00Z")
        );
    }

    #[test]
    fn keys_are_not_listed() {
        assert_eq!(on_disk("n1", "/etc/kubernetes/pki/sa.key", &Content::Key), None);
        let unreadable = Content::Unreadable { because: "EIO".into() };
        assert_eq!(on_disk("n1", "/etc/kubernetes/pki/ca.crt", &unreadable), None);
    }
}
