//! # The certificates, kubeconfigs and keys on the nodes' disks are valid and protected
//!
//! ## Why
//! Most certificates of a cluster are never served: those by which the API server logs in to kubelets, to etcd and to
//! aggregated APIs, and those in the kubeconfigs of the administrator, the controller-manager and the scheduler. They
//! expire all the same, mostly on one day. And anyone who can read the key of a CA can pose as any user.
//!
//! ## Fix
//! Dates: `kubeadm certs check-expiration`, then `kubeadm certs renew NAME` and restart the static pod that uses it;
//! nothing runs with `admin.conf` or `super-admin.conf`. Another CA: make the file again (`kubeadm init phase certs
//! NAME --config kubeadm.yaml`, `kubeadm init phase kubeconfig NAME --config kubeadm.yaml`, with the cluster's own
//! settings, as PK-01 shows). Permissions: `chown root:root` and `chmod 600`. `super-admin.conf`: keep it off the node,
//! since RBAC cannot revoke its rights.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/renewal/manager.go`, `cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go`
//! (`getKubeConfigSpecsBase`), `cmd/kubeadm/app/phases/kubeletfinalize`. Limits as for the API servers' certificates. A
//! pod on each node reads the files, which mounts `/etc/kubernetes` and `/var/lib/kubelet/pki` read-only; it describes
//! certificates there, and never opens private keys, so that whether a key belongs to its certificate is not judged.
//! Without that access, PK-04, PK-08 and PK-15 check what is served, PK-10 the kubelets' client certificates, and
//! nothing checks the rest. kubeadm itself leaves `super-admin.conf` behind, which is why it is info.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::helpers::kubeadm_certificates::{CERTIFICATES, Held, KUBELET_CLIENT, SUPER_ADMIN};
use super::helpers::lifetime::{is_early, least, left, length, remainder};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::host_reports::{CertificateOnDisk, Content, Disk, DiskFile, HostReports};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::seen::Unobserved;

crate::check!(
    "PK-17",
    "pki-on-disk",
    Major,
    judge,
    builds_on: ["PK-04", "PK-08", "PK-10", "PK-15"]
);

/// Where kubeadm keeps certificates.
const PKI: &str = "/etc/kubernetes/pki/";
/// The kubelet's kubeconfig.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";

fn judge(reports: &HostReports, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>, clock: &Clock) -> Verdict {
    let Some(kubeadm) = kubeadm else {
        return Verdict::not_applicable(
            "kubeadm did not make this cluster (no ConfigMap kube-system/kubeadm-config): its certificates are \
             elsewhere",
        );
    };
    let usual = |dir: &&str| dir.trim_end_matches('/') == PKI.trim_end_matches('/');
    if let Some(elsewhere) = kubeadm.certificates_dir.as_deref().filter(|dir| !usual(dir)) {
        return Verdict::not_applicable(format!(
            "certificatesDir of kubeadm-config is {elsewhere}: only {PKI} can be read"
        ));
    }
    let mut verdict = Verdict::new();
    for (name, report) in &reports.0 {
        let Some(disk) = verdict.seen(|| Subject::node(name), &report.disk) else { continue };
        for (path, why) in &disk.unlisted {
            let why = Unobserved::invalid(format!("{path} on {name}"), why);
            verdict.unseen(Subject::node(name), &why);
        }
        let look = Look { node: name, disk, now: clock.server };
        let is_control_plane = nodes.0.get(name).is_some_and(Node::is_control_plane);
        look.presence(&mut verdict, is_control_plane);
        look.contents(&mut verdict);
        look.permissions(&mut verdict);
        look.kubelet_conf(&mut verdict);
    }
    verdict
}

/// The files on one node's disk.
struct Look<'a> {
    node: &'a str,
    disk: &'a Disk,
    now: Timestamp,
}

impl Look<'_> {
    fn subject(&self) -> Subject {
        Subject::node(self.node)
    }

    /// On a control-plane node without its certificates, nothing was checked.
    fn presence(&self, verdict: &mut Verdict, is_control_plane: bool) {
        if is_control_plane {
            let found = self.disk.files.keys().any(|path| path.starts_with(PKI));
            verdict.expect(self.subject(), found, || {
                Finding::new(
                    format!("certificates in {PKI}"),
                    "none, though the node is marked as a control-plane node",
                )
                .impact("its certificates could not be checked, and may expire unnoticed")
                .fix(
                    "find out on the node where they are: grep -h pki /etc/kubernetes/manifests/*.yaml; if it is not a \
                         control-plane node, remove its label node-role.kubernetes.io/control-plane",
                )
            });
        }
        verdict.expect(self.subject(), !self.disk.files.contains_key(SUPER_ADMIN), || {
            Finding::new("no credential of system:masters on the node", format!("{SUPER_ADMIN} is there"))
                .impact("anyone who reads it has all rights in the cluster for a year, and RBAC cannot revoke them")
                .fix(format!("move {SUPER_ADMIN} from the node to a safe place"))
                .info()
        });
    }

    fn contents(&self, verdict: &mut Verdict) {
        let known = CERTIFICATES.iter().flat_map(|held| [held.path, held.ca]).chain([KUBELET_CONF]);
        for path in known.collect::<BTreeSet<_>>() {
            if let Some(Content::Unreadable { because }) = self.disk.files.get(path).map(|file| &file.content) {
                let why = Unobserved::invalid(format!("{path} on {}", self.node), because);
                verdict.unseen(self.subject(), &why);
            }
        }
        for held in &CERTIFICATES {
            if let Some(certificate) = self.disk.files.get(held.path).and_then(first) {
                self.validity(verdict, held, certificate);
                self.signer(verdict, held, certificate);
                self.strength(verdict, held, certificate);
            }
        }
    }

    fn validity(&self, verdict: &mut Verdict, held: &Held, certificate: &CertificateOnDisk) {
        let Held { path, consequence, .. } = held;
        // A kubelet renews its own when a tenth of its life is left, at the latest.
        let (days, share) = if *path == KUBELET_CLIENT { (30, 12) } else { (30, 3) };
        let (major, critical) = (least(certificate, days, share), least(certificate, 7, share.max(10)));
        let (left, early) = (left(certificate, self.now), is_early(certificate, self.now));
        verdict.expect(self.subject(), left >= major && !early, || {
            let is_over = early || left.is_negative();
            let seen = match (early, is_over) {
                (true, _) => "it is not valid yet",
                (false, true) => "it has expired",
                (false, false) => "it expires soon",
            };
            Finding::new(format!("a certificate in {path} that is valid for at least {}", length(major)), seen)
                .impact(if is_over { (*consequence).to_owned() } else { format!("once it has expired, {consequence}") })
                .fix(held.renew())
                .evidence([format!("{}: {} {}", self.node, certificate.subject, remainder(certificate, self.now))])
                .severity(if early || left < critical { Severity::Critical } else { Severity::Major })
        });
    }

    fn signer(&self, verdict: &mut Verdict, held: &Held, certificate: &CertificateOnDisk) {
        let Held { path, ca, consequence, .. } = held;
        // An external CA need not be on the node.
        if !self.disk.files.contains_key(*ca) {
            return;
        }
        verdict.expect(self.subject(), certificate.signed_by.iter().any(|signer| signer == ca), || {
            let signers = match &certificate.signed_by[..] {
                [] => "no CA on this node".to_owned(),
                signers => signers.join(" and "),
            };
            Finding::new(format!("a certificate in {path} that {ca} signed"), "another CA signed it")
                .impact(*consequence)
                .fix(held.remake())
                .evidence([format!(
                    "{}: {} of {}, signed by {signers}",
                    self.node, certificate.subject, certificate.issuer
                )])
        });
    }

    fn strength(&self, verdict: &mut Verdict, held: &Held, certificate: &CertificateOnDisk) {
        let path = held.path;
        verdict.expect(self.subject(), certificate.refused_signature.is_none(), || {
            let algorithm = certificate.refused_signature.as_deref().unwrap_or_default();
            Finding::new(format!("a signature with SHA-256 or better in {path}"), algorithm)
                .impact("every program written in Go refuses it")
                .fix(held.remake())
        });
        let weak = certificate.rsa_bits.is_some_and(|bits| bits < 2048);
        verdict.expect(self.subject(), !weak, || {
            Finding::new(format!("a key of RSA 2048 or better in {path}"), certificate.key.clone())
                .impact("the key can be factored")
                .fix(held.remake())
                .severity(Severity::Minor)
        });
    }

    fn permissions(&self, verdict: &mut Verdict) {
        for (path, file) in &self.disk.files {
            if !holds_a_key(file) {
                continue;
            }
            let (others, group) = (file.mode & 0o007 != 0, file.mode & 0o070 != 0);
            verdict.expect(self.subject(), !others && !group, || {
                let (impact, severity) = match (others, is_ca_key(path)) {
                    (true, true) => {
                        ("every process on the node can make a certificate or token for any user", Severity::Critical)
                    }
                    (true, false) => ("every process on the node can read this key", Severity::Major),
                    (false, _) => ("every process of that group can read this key", Severity::Minor),
                };
                Finding::new(
                    format!("only its owner can read {path} (0600)"),
                    format!("{:04o}, of user {} and group {}", file.mode, file.owner.0, file.owner.1),
                )
                .impact(impact)
                .fix(format!("on the node: chown root:root {path} && chmod 600 {path}"))
                .severity(severity)
            });
        }
    }

    fn kubelet_conf(&self, verdict: &mut Verdict) {
        let Some(file) = self.disk.files.get(KUBELET_CONF) else { return };
        let Content::Kubeconfig { client, refers_to, .. } = &file.content else { return };
        let refers = refers_to.as_deref() == Some(KUBELET_CLIENT);
        verdict.expect(self.subject(), refers, || {
            let details = match (client, refers_to) {
                (Some(client), _) => {
                    format!("a certificate in the file itself, which {}", remainder(client.as_ref(), self.now))
                }
                (None, Some(path)) => format!("a reference to {path}"),
                (None, None) => "no client certificate".to_owned(),
            };
            Finding::new(format!("{KUBELET_CONF} refers to {KUBELET_CLIENT}"), "it does not")
                .impact("the kubelet starts with a certificate that nothing renews; once that expires, it cannot start")
                .fix(format!(
                    "on the node: kubeadm init phase kubelet-finalize all, or set client-certificate and client-key in \
                     {KUBELET_CONF} to {KUBELET_CLIENT}"
                ))
                .evidence([format!("{}: {details}", self.node)])
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

/// Whether the file holds a private key.
fn holds_a_key(file: &DiskFile) -> bool {
    match &file.content {
        Content::Key => true,
        Content::Certificates { and_key, .. } | Content::Kubeconfig { and_key, .. } => *and_key,
        Content::Unreadable { .. } => false,
    }
}

/// Whether this key makes certificates or tokens for any user.
fn is_ca_key(path: &str) -> bool {
    ["/ca.key", "/front-proxy-ca.key", "/sa.key"].iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fact::facts::host_reports::HostReport;
    use crate::seen::Seen;
    use crate::suites::pki::helpers::kubeadm_certificates::{CA, FRONT_PROXY_CA};
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

    fn holding(certificate: CertificateOnDisk) -> Content {
        Content::Certificates { held: vec![certificate], and_key: false }
    }

    fn kubelet_conf(client: Option<CertificateOnDisk>) -> Content {
        let refers_to = client.is_none().then(|| KUBELET_CLIENT.to_owned());
        Content::Kubeconfig { client: client.map(Box::new), refers_to, and_key: false }
    }

    fn node() -> BTreeMap<String, DiskFile> {
        let current = Content::Certificates { held: vec![good(CA)], and_key: true };
        [
            (CA, file(0o644, holding(good(CA)))),
            (FRONT_PROXY_CA, file(0o644, holding(good(FRONT_PROXY_CA)))),
            ("/etc/kubernetes/pki/ca.key", file(0o600, Content::Key)),
            ("/etc/kubernetes/pki/front-proxy-client.crt", file(0o644, holding(good(FRONT_PROXY_CA)))),
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
        found
            .into_iter()
            .map(|finding| {
                (finding.severity, format!("{}: {} {}", finding.expected, finding.seen, finding.evidence.concat()))
            })
            .collect()
    }

    #[test]
    fn a_healthy_node_passes() {
        assert_eq!(findings(|_| {}), []);
    }

    #[test]
    fn dates_and_another_ca_are_found() {
        let client = "/etc/kubernetes/pki/front-proxy-client.crt";
        let set = |certificate| {
            move |files: &mut BTreeMap<String, DiskFile>| {
                files.insert(client.into(), file(0o644, holding(certificate)));
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
    fn a_key_that_others_can_read_is_found() {
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
    fn an_embedded_certificate_and_super_admin_are_found() {
        let found = findings(|files| {
            files.insert(KUBELET_CONF.into(), file(0o600, kubelet_conf(Some(good(CA)))));
        });
        assert!(found[0].1.contains("a certificate in the file itself"), "{found:?}");
        let super_admin = Content::Kubeconfig { client: Some(Box::new(good(CA))), refers_to: None, and_key: true };
        let found = findings(|files| drop(files.insert(SUPER_ADMIN.into(), file(0o600, super_admin))));
        assert_eq!(found[0].0, Severity::Info);
    }

    #[test]
    fn a_file_that_could_not_be_read_is_inconclusive() {
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
    fn it_does_not_apply_where_the_certificates_are_elsewhere() {
        let judged = |dir: &str| {
            let kubeadm = KubeadmConfig { certificates_dir: Some(dir.into()), ..KubeadmConfig::default() };
            judge(&HostReports(BTreeMap::new()), &Nodes::default(), Some(&kubeadm), &clock())
        };
        assert!(judged("/var/lib/minikube/certs").reason().unwrap().contains("/var/lib/minikube/certs"));
        assert!(judged("/etc/kubernetes/pki").reason().is_none());
    }
}
