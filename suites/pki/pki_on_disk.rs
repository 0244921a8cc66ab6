//! # The certificates, kubeconfigs and keys on the nodes' disks are in order
//!
//! ## Why
//! Most certificates of a cluster are never served: those by which the API server logs in at kubelets, at etcd and at
//! aggregated APIs, and those in the kubeconfigs of the administrator, the controller-manager and the scheduler. They
//! expire all the same, mostly on one day. And whoever can read the key of an authority can become anybody.
//!
//! ## Fix
//! Dates: `kubeadm certs check-expiration`, then `kubeadm certs renew NAME` and restart the static pod that uses it: nothing
//! runs with `admin.conf` or `super-admin.conf`. Another
//! authority: make the file anew (`kubeadm init phase certs NAME --config kubeadm.yaml`, `kubeadm init phase kubeconfig
//! NAME --config kubeadm.yaml`, with the cluster's own settings, as PK-01 shows). Permissions: `chown root:root` and
//! `chmod 600`. `super-admin.conf`: keep it off the node, since no RBAC can take its rights away.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/renewal/manager.go`, `cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go`
//! (`getKubeConfigSpecsBase`), `cmd/kubeadm/app/phases/kubeletfinalize`. Limits as for the API servers' certificates. The
//! files are read by a pod on each node that mounts `/etc/kubernetes` and `/var/lib/kubelet/pki` read-only; certificates
//! are described there, private keys are looked at from outside only, so that whether a key belongs to its certificate is
//! not judged. Without that access, PK-04, PK-08 and PK-15 see what is served, PK-10 what kubelets log in with, and
//! nobody sees the rest. kubeadm itself leaves `super-admin.conf` behind, which is why it is a remark.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::lifetime::{is_early, least, left, length, remainder};
use crate::check::{Finding, Folded, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::host_reports::{Disk, HostReports};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::probe::host::answer::{CertificateOnDisk, Content, DiskFile};
use crate::seen::Unobserved;

crate::check!("PK-17", "pki-on-disk", Major, judge);

/// Where kubeadm keeps certificates.
const PKI: &str = "/etc/kubernetes/pki/";
/// The link to the kubelet's present client certificate.
const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// The kubelet's kubeconfig.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// The kubeconfig that no RBAC can restrict.
const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// The three authorities of kubeadm.
const CA: &str = "/etc/kubernetes/pki/ca.crt";
const FRONT_PROXY_CA: &str = "/etc/kubernetes/pki/front-proxy-ca.crt";
const ETCD_CA: &str = "/etc/kubernetes/pki/etcd/ca.crt";

/// The files that hold a certificate: the path, the authority that signs it, the name by which kubeadm renews it, and
/// what ends with it.
const CERTIFICATES: [(&str, &str, &str, &str); 12] = [
    ("/etc/kubernetes/pki/apiserver.crt", CA, "apiserver", "every client of this API server fails"),
    (
        "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
        CA,
        "apiserver-kubelet-client",
        "logs, exec and port-forward fail on every node",
    ),
    (
        "/etc/kubernetes/pki/front-proxy-client.crt",
        FRONT_PROXY_CA,
        "front-proxy-client",
        "aggregated APIs such as metrics-server refuse this API server",
    ),
    (
        "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        ETCD_CA,
        "apiserver-etcd-client",
        "this API server loses its database",
    ),
    ("/etc/kubernetes/pki/etcd/server.crt", ETCD_CA, "etcd-server", "API servers refuse this member of etcd"),
    ("/etc/kubernetes/pki/etcd/peer.crt", ETCD_CA, "etcd-peer", "the other members of etcd refuse this one"),
    (
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        ETCD_CA,
        "etcd-healthcheck-client",
        "etcd cannot be looked at from its own node",
    ),
    ("/etc/kubernetes/admin.conf", CA, "admin.conf", "the administrator cannot log in from this node"),
    (SUPER_ADMIN, CA, "super-admin.conf", "the last resort of the administrator is gone"),
    (
        "/etc/kubernetes/controller-manager.conf",
        CA,
        "controller-manager.conf",
        "the controller-manager of this node cannot log in",
    ),
    ("/etc/kubernetes/scheduler.conf", CA, "scheduler.conf", "the scheduler of this node cannot log in"),
    (KUBELET_CLIENT, CA, "", "the node is lost: its kubelet cannot log in"),
];

fn judge(reports: &HostReports, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>, clock: &Clock) -> Verdict {
    let Some(kubeadm) = kubeadm else {
        return Verdict::not_applicable(
            "kubeadm did not make this cluster (no ConfigMap kube-system/kubeadm-config): its certificates lie elsewhere",
        );
    };
    let usual = |dir: &&str| dir.trim_end_matches('/') == PKI.trim_end_matches('/');
    if let Some(elsewhere) = kubeadm.certificates_dir.as_deref().filter(|dir| !usual(dir)) {
        return Verdict::not_applicable(format!(
            "certificatesDir of kubeadm-config is {elsewhere}: only {PKI} is read"
        ));
    }
    let mut verdict = Verdict::new();
    let mut folded = Folded::new();
    for (name, report) in &reports.0 {
        let Some(disk) = verdict.seen(|| Subject::node(name), &report.disk) else { continue };
        for (path, why) in &disk.unlisted {
            let why = Unobserved::invalid(format!("{path} on {name}"), why);
            verdict.unseen(Subject::node(name), &why);
        }
        let looked = Look { node: name, disk, now: clock.server };
        let is_control_plane = nodes.0.get(name).is_some_and(Node::is_control_plane);
        looked.presence(&mut verdict, &mut folded, is_control_plane);
        looked.contents(&mut verdict, &mut folded);
        looked.permissions(&mut verdict, &mut folded);
        looked.kubelet_conf(&mut verdict, &mut folded);
    }
    folded.tell(&mut verdict);
    verdict
}

/// What lies on one node's disk.
struct Look<'a> {
    node: &'a str,
    disk: &'a Disk,
    now: Timestamp,
}

impl Look<'_> {
    /// A control-plane node without its certificates is one where nothing was seen.
    fn presence(&self, verdict: &mut Verdict, folded: &mut Folded, is_control_plane: bool) {
        if is_control_plane {
            let found = self.disk.files.keys().any(|path| path.starts_with(PKI));
            folded.expect(verdict, self.node, found, || {
                Finding::new(format!("certificates in {PKI}"), "none, though the node is marked as control plane")
                    .so("nothing can be said about its certificates")
            });
        }
        folded.expect(verdict, self.node, !self.disk.files.contains_key(SUPER_ADMIN), || {
            Finding::new("no credential of system:masters on the node", SUPER_ADMIN)
                .so("whoever reads it is root of the cluster for a year, and no RBAC can take that away")
                .mend(format!("move {SUPER_ADMIN} to a safe place off the node"))
                .info()
        });
    }

    fn contents(&self, verdict: &mut Verdict, folded: &mut Folded) {
        let known = CERTIFICATES.iter().flat_map(|(path, authority, ..)| [*path, *authority]).chain([KUBELET_CONF]);
        for path in known.collect::<BTreeSet<_>>() {
            if let Some(Content::Unreadable { because }) = self.disk.files.get(path).map(|file| &file.content) {
                let why = Unobserved::invalid(format!("{path} on {}", self.node), because);
                verdict.unseen(Subject::node(self.node), &why);
            }
        }
        for (path, authority, name, consequence) in CERTIFICATES {
            if let Some(certificate) = self.disk.files.get(path).and_then(first) {
                let renewal = match name {
                    "" => "kubectl get csr: its request waits, see PK-09".to_owned(),
                    "admin.conf" | "super-admin.conf" => {
                        format!(
                            "kubeadm certs renew {name}, and copy it to wherever it is used; nothing is to be restarted"
                        )
                    }
                    _ => format!("kubeadm certs renew {name}, then restart the static pods of the control plane"),
                };
                self.validity(verdict, folded, (path, certificate), consequence, &renewal);
                self.authority(verdict, folded, (path, certificate), authority, consequence);
                self.strength(verdict, folded, (path, certificate));
            }
        }
    }

    fn validity(
        &self,
        verdict: &mut Verdict,
        folded: &mut Folded,
        (path, certificate): (&str, &CertificateOnDisk),
        consequence: &str,
        renewal: &str,
    ) {
        // A kubelet renews its own when a tenth of its life is left, at the latest.
        let (days, share) = if path == KUBELET_CLIENT { (30, 12) } else { (30, 3) };
        let (major, critical) = (least(certificate, days, share), least(certificate, 7, share.max(10)));
        let (left, early) = (left(certificate, self.now), is_early(certificate, self.now));
        folded.expect(verdict, self.node, left >= major && !early, || {
            Finding::new(
                format!("a certificate in {path} that is valid for at least {}", length(major)),
                format!("{} {}", certificate.subject, remainder(certificate, self.now)),
            )
            .so(if early || left.is_negative() { consequence.to_owned() } else { format!("after that, {consequence}") })
            .mend(renewal)
            .severity(if early || left < critical { Severity::Critical } else { Severity::Major })
        });
    }

    fn authority(
        &self,
        verdict: &mut Verdict,
        folded: &mut Folded,
        (path, certificate): (&str, &CertificateOnDisk),
        authority: &str,
        consequence: &str,
    ) {
        // An external authority need not lie on the node.
        if !self.disk.files.contains_key(authority) {
            return;
        }
        folded.expect(verdict, self.node, certificate.signed_by.iter().any(|signer| signer == authority), || {
            let signers = match &certificate.signed_by[..] {
                [] => "none of those on this node".to_owned(),
                signers => signers.join(", "),
            };
            Finding::new(
                format!("a certificate in {path} that {authority} has signed"),
                format!("{} of {}, signed by {signers}", certificate.subject, certificate.issuer),
            )
            .so(consequence)
        });
    }

    fn strength(&self, verdict: &mut Verdict, folded: &mut Folded, (path, certificate): (&str, &CertificateOnDisk)) {
        folded.expect(verdict, self.node, certificate.refused_signature.is_none(), || {
            let algorithm = certificate.refused_signature.as_deref().unwrap_or_default();
            Finding::new(format!("a signature with SHA-256 or better in {path}"), algorithm)
                .so("everything written in Go refuses it")
        });
        let weak = certificate.rsa_bits.is_some_and(|bits| bits < 2048);
        folded.expect(verdict, self.node, !weak, || {
            Finding::new(format!("a key of RSA 2048 or better in {path}"), certificate.key.clone())
                .so("it can be factored")
                .severity(Severity::Minor)
        });
    }

    fn permissions(&self, verdict: &mut Verdict, folded: &mut Folded) {
        for (path, file) in &self.disk.files {
            if !holds_a_key(file) {
                continue;
            }
            let (others, group) = (file.mode & 0o007 != 0, file.mode & 0o070 != 0);
            folded.expect(verdict, self.node, !others && !group, || {
                let finding = Finding::new(
                    format!("{path} for its owner alone (0600)"),
                    format!("{:04o}, of user {} and group {}", file.mode, file.owner.0, file.owner.1),
                )
                .mend(format!("chmod 600 {path}"));
                match (others, is_authority_key(path)) {
                    (true, true) => finding
                        .so("every process on the node can make itself a certificate for anybody")
                        .severity(Severity::Critical),
                    (true, false) => finding.so("every process on the node can read this key"),
                    (false, _) => finding.so("every process of that group can read this key").severity(Severity::Minor),
                }
            });
        }
    }

    fn kubelet_conf(&self, verdict: &mut Verdict, folded: &mut Folded) {
        let Some(file) = self.disk.files.get(KUBELET_CONF) else { return };
        let Content::Kubeconfig { client, refers_to, .. } = &file.content else { return };
        let refers = refers_to.as_deref() == Some(KUBELET_CLIENT);
        folded.expect(verdict, self.node, refers, || {
            let seen = match (client, refers_to) {
                (Some(client), _) => {
                    format!("a certificate in the file itself, which {}", remainder(client.as_ref(), self.now))
                }
                (None, Some(path)) => format!("a reference to {path}"),
                (None, None) => "no client certificate".to_owned(),
            };
            Finding::new(format!("{KUBELET_CONF} that refers to {KUBELET_CLIENT}"), seen)
                .so("the kubelet starts with a certificate that nobody renews, and one day does not start any more")
                .mend(format!(
                    "kubeadm init phase kubelet-finalize all, or set client-certificate and client-key in {KUBELET_CONF} to {KUBELET_CLIENT}"
                ))
        });
    }
}

/// The certificate of a file's owner.
fn first(file: &DiskFile) -> Option<&CertificateOnDisk> {
    match &file.content {
        Content::Certificates { held, .. } => held.first(),
        Content::Kubeconfig { client, .. } => client.as_deref(),
        Content::Key | Content::Unreadable { .. } => None,
    }
}

/// Whether a private key, or what is as good as one, lies in the file.
fn holds_a_key(file: &DiskFile) -> bool {
    match &file.content {
        Content::Key => true,
        Content::Certificates { and_key, .. } | Content::Kubeconfig { and_key, .. } => *and_key,
        Content::Unreadable { .. } => false,
    }
}

/// Whether whoever has this key can make certificates or tokens for anybody.
fn is_authority_key(path: &str) -> bool {
    ["/ca.key", "/front-proxy-ca.key", "/sa.key"].iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fact::facts::host_reports::HostReport;
    use crate::seen::Seen;
    use crate::suites::pki::testing::clock;

    fn certificate(from: &str, until: &str, signed_by: &str) -> CertificateOnDisk {
        CertificateOnDisk {
            subject: "CN=x".into(),
            issuer: "CN=kubernetes".into(),
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
            key: "RSA 2048".into(),
            rsa_bits: Some(2048),
            refused_signature: None,
            names: Vec::new(),
            authority: false,
            signed_by: vec![signed_by.into()],
        }
    }

    fn good(signed_by: &str) -> CertificateOnDisk {
        certificate("2026-11-01T00:00:00Z", "2027-11-01T00:00:00Z", signed_by)
    }

    fn file(mode: u32, content: Content) -> DiskFile {
        DiskFile { mode, owner: (0, 0), content }
    }

    fn held(certificate: CertificateOnDisk) -> Content {
        Content::Certificates { held: vec![certificate], and_key: false }
    }

    fn kubelet_conf(client: Option<CertificateOnDisk>) -> Content {
        let refers_to = client.is_none().then(|| KUBELET_CLIENT.to_owned());
        Content::Kubeconfig { client: client.map(Box::new), refers_to, and_key: false }
    }

    fn node() -> BTreeMap<String, DiskFile> {
        let current = Content::Certificates { held: vec![good(CA)], and_key: true };
        [
            (CA, file(0o644, held(good(CA)))),
            (FRONT_PROXY_CA, file(0o644, held(good(FRONT_PROXY_CA)))),
            ("/etc/kubernetes/pki/ca.key", file(0o600, Content::Key)),
            ("/etc/kubernetes/pki/front-proxy-client.crt", file(0o644, held(good(FRONT_PROXY_CA)))),
            (KUBELET_CONF, file(0o600, kubelet_conf(None))),
            (KUBELET_CLIENT, file(0o600, current)),
        ]
        .map(|(path, file)| (path.to_owned(), file))
        .into()
    }

    fn judged(disk: Seen<Disk>) -> Verdict {
        let report = HostReport { disk, ..HostReport::unseen() };
        let labels = BTreeMap::from([("node-role.kubernetes.io/control-plane".to_owned(), String::new())]);
        let nodes = Nodes(BTreeMap::from([("n1".to_owned(), Node { labels, ..Node::default() })]));
        judge(
            &HostReports(BTreeMap::from([("n1".to_owned(), report)])),
            &nodes,
            Some(&KubeadmConfig::default()),
            &clock(),
        )
    }

    fn findings(change: impl FnOnce(&mut BTreeMap<String, DiskFile>)) -> Vec<(Severity, String)> {
        let mut files = node();
        change(&mut files);
        let found = judged(Ok(Disk { files, unlisted: BTreeMap::new() })).findings(Severity::Major);
        found.into_iter().map(|finding| (finding.severity, format!("{}: {}", finding.expected, finding.seen))).collect()
    }

    #[test]
    fn a_node_in_order_passes() {
        assert_eq!(findings(|_| {}), []);
    }

    #[test]
    fn dates_and_another_authority_are_found() {
        let client = "/etc/kubernetes/pki/front-proxy-client.crt";
        let set = |certificate| {
            move |files: &mut BTreeMap<String, DiskFile>| {
                files.insert(client.into(), file(0o644, held(certificate)));
            }
        };
        let soon = findings(set(certificate("2025-12-01T00:00:00Z", "2026-12-10T00:00:00Z", FRONT_PROXY_CA)));
        assert_eq!(soon.len(), 1);
        assert!(soon[0].0 == Severity::Major && soon[0].1.contains("expires in 16 days"), "{soon:?}");
        let expired = findings(set(certificate("2025-11-01T00:00:00Z", "2026-11-20T00:00:00Z", FRONT_PROXY_CA)));
        assert!(expired[0].0 == Severity::Critical && expired[0].1.contains("expired 3 days ago"), "{expired:?}");
        let early = findings(set(certificate("2026-11-24T00:00:00Z", "2027-11-20T00:00:00Z", FRONT_PROXY_CA)));
        assert!(early[0].0 == Severity::Critical && early[0].1.contains("is not valid before"), "{early:?}");
        let other = findings(set(good(CA)));
        assert!(other[0].1.ends_with("signed by /etc/kubernetes/pki/ca.crt"), "{other:?}");
    }

    #[test]
    fn what_others_may_read_is_found() {
        let mode = |path: &'static str, mode| {
            move |files: &mut BTreeMap<String, DiskFile>| {
                if let Some(file) = files.get_mut(path) {
                    file.mode = mode;
                }
            }
        };
        assert_eq!(findings(mode("/etc/kubernetes/pki/ca.key", 0o644))[0].0, Severity::Critical);
        assert_eq!(findings(mode(KUBELET_CLIENT, 0o604))[0].0, Severity::Major);
        assert_eq!(findings(mode(KUBELET_CLIENT, 0o640))[0].0, Severity::Minor);
        assert_eq!(findings(mode(KUBELET_CONF, 0o644)), [], "it holds no key");
    }

    #[test]
    fn a_kubelet_that_starts_with_an_old_certificate_and_super_admin_are_found() {
        let found = findings(|files| {
            files.insert(KUBELET_CONF.into(), file(0o600, kubelet_conf(Some(good(CA)))));
        });
        assert!(found[0].1.contains("a certificate in the file itself"), "{found:?}");
        let super_admin = Content::Kubeconfig { client: Some(Box::new(good(CA))), refers_to: None, and_key: true };
        let found = findings(|files| drop(files.insert(SUPER_ADMIN.into(), file(0o600, super_admin))));
        assert_eq!(found[0].0, Severity::Info);
    }

    #[test]
    fn what_could_not_be_read_is_undecided() {
        let mut files = node();
        files.insert(CA.into(), file(0o644, Content::Unreadable { because: "permission denied".into() }));
        let unlisted = BTreeMap::from([("/var/lib/kubelet/pki".to_owned(), "permission denied".to_owned())]);
        assert_eq!(judged(Ok(Disk { unlisted, files })).gaps().len(), 2);
        let verdict = judged(Err(Unobserved::unreachable("the kubelet", "it did not start the probe")));
        assert_eq!((verdict.gaps().len(), verdict.observations()), (1, 0));
        let none = judged(Ok(Disk::default()));
        assert_eq!(none.findings(Severity::Major).len(), 1);
    }

    #[test]
    fn it_does_not_apply_where_the_certificates_lie_elsewhere() {
        let judged = |dir: &str| {
            let kubeadm = KubeadmConfig { certificates_dir: Some(dir.into()), ..KubeadmConfig::default() };
            judge(&HostReports(BTreeMap::new()), &Nodes::default(), Some(&kubeadm), &clock())
        };
        assert!(judged("/var/lib/minikube/certs").reason().unwrap().contains("/var/lib/minikube/certs"));
        assert!(judged("/etc/kubernetes/pki").reason().is_none());
    }
}
