//! # cluster-info tells joining nodes where the cluster is, and nothing else
//!
//! ## Why
//! A node that joins with a token reads ConfigMap kube-public/cluster-info before it has any credential, and so can
//! everybody else. Without exactly one cluster with its URL and its CA no node joins. A user in it, with a token or a
//! key, is published to whoever reaches the API server.
//!
//! ## Fix
//! Let kubeadm write it anew, from a kubeconfig of which it takes the cluster only:
//!
//! ```text
//! kubectl -n kube-public delete configmap cluster-info
//! kubeadm init phase bootstrap-token --skip-token-print
//! ```
//!
//! The phase also makes a token, which `kubeadm token delete ID` removes. A credential that was published must be
//! revoked: delete the token, or rotate the CA that signed the certificate.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/clusterinfo/clusterinfo.go`;
//! `cmd/kubeadm/app/util/kubeconfig/kubeconfig.go` (`GetClusterFromKubeConfig`: the cluster has no name).

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::cluster_info::ClusterInfo;

crate::check!("DI-01", "cluster-info", Major, judge);

fn judge(info: &ClusterInfo) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::object("ConfigMap", "kube-public", "cluster-info");
    let kubeconfig = match &info.kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(why) => {
            let finding =
                Finding::new("a kubeconfig under the key kubeconfig", why).so("no node can join with a token");
            verdict.find(subject(), finding);
            return verdict;
        }
    };

    let clusters = &kubeconfig.clusters;
    verdict.expect(subject(), clusters.len() == 1, || {
        Finding::new("exactly one cluster", format!("{} clusters", clusters.len()))
            .so("joining nodes do not know which one is meant")
    });
    if let [cluster] = &clusters[..] {
        verdict.expect(subject(), cluster.name.is_empty(), || {
            Finding::new("a cluster without a name", format!("a cluster named {:?}", cluster.name))
                .so("kubeadm join does not find it")
        });
        for (what, why) in
            [("a server to join", cluster.server.as_ref().err()), ("its CA", cluster.authorities.as_ref().err())]
        {
            verdict.expect(subject(), why.is_none(), || {
                Finding::new(what, why.cloned().unwrap_or_default()).so("no node can join with a token")
            });
        }
        verdict.expect(subject(), !cluster.skips_verification, || {
            Finding::new("a server that is verified", "insecure-skip-tls-verify: true")
        });
    }
    verdict.expect(subject(), kubeconfig.users.is_empty(), || {
        let held = |(name, credentials): (&String, &Vec<String>)| match &credentials[..] {
            [] => name.clone(),
            credentials => format!("{name} with {}", credentials.join(", ")),
        };
        let finding = Finding::new("no users", names(kubeconfig.users.iter().map(held)));
        if kubeconfig.users.values().any(|credentials| !credentials.is_empty()) {
            finding
                .so("whoever reaches the API server may use the credential")
                .mend("revoke the credential, then let kubeadm write cluster-info anew")
                .severity(Severity::Critical)
        } else {
            finding
        }
    });
    verdict.expect(subject(), kubeconfig.contexts.is_empty(), || {
        Finding::new("no contexts", names(&kubeconfig.contexts)).severity(Severity::Minor)
    });
    verdict.expect(subject(), info.other_keys.is_empty(), || {
        Finding::new("no keys besides kubeconfig and the signatures", names(&info.other_keys))
            .so("everybody can read what they hold")
            .info()
    });
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use crate::fact::facts::cluster_info::testing::cluster_info;

    /// What kubeadm writes, changed.
    fn findings(change: impl FnOnce(&mut ClusterInfo)) -> Vec<Finding> {
        let mut info = cluster_info("https://10.77.0.11:6443", vec![Certificate::from_der([1])]);
        change(&mut info);
        judge(&info).findings(Severity::Major)
    }

    #[test]
    fn what_kubeadm_writes_passes() {
        assert!(findings(|_| {}).is_empty());
        assert_eq!(judge(&cluster_info("https://10.77.0.11:6443", Vec::new())).observations(), 8);
    }

    #[test]
    fn a_published_credential_is_critical_and_its_user_named() {
        let findings = findings(|info| {
            let users = &mut info.kubeconfig.as_mut().unwrap().users;
            users.insert("kubernetes-admin".into(), vec!["token".into()]);
        });
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((&*finding.seen, finding.severity), ("kubernetes-admin with token", Severity::Critical));
    }

    #[test]
    fn what_keeps_nodes_from_joining_is_found() {
        let unreadable = findings(|info| info.kubeconfig = Err("there is no such key".into()));
        assert_eq!(unreadable[0].seen, "there is no such key");
        let empty = findings(|info| info.kubeconfig.as_mut().unwrap().clusters.clear());
        assert_eq!(empty[0].seen, "0 clusters");
        let named = findings(|info| info.kubeconfig.as_mut().unwrap().clusters[0].name = "bed".into());
        assert_eq!(named[0].seen, "a cluster named \"bed\"");
        let without = findings(|info| {
            info.kubeconfig.as_mut().unwrap().clusters[0].authorities =
                Err("it has no certificate-authority-data".into());
        });
        assert_eq!((&*without[0].expected, &*without[0].seen), ("its CA", "it has no certificate-authority-data"));
    }

    #[test]
    fn another_key_is_a_remark() {
        let findings = findings(|info| info.other_keys.push("notes".into()));
        assert_eq!((&*findings[0].seen, findings[0].severity), ("notes", Severity::Info));
    }
}
