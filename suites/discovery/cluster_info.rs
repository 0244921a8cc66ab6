//! # cluster-info contains where the cluster is, and nothing else
//!
//! ## Why
//! A node that joins with a token reads ConfigMap kube-public/cluster-info before it has any credential, and so can
//! everyone else. Without exactly one cluster with its URL and its CA no node joins. A user in it, with a token or a
//! key, is published to anyone who reaches the API server.
//!
//! ## Fix
//! Let kubeadm write it again, from a kubeconfig of which it uses only the cluster:
//!
//! ```text
//! kubectl -n kube-public delete configmap cluster-info
//! kubeadm init phase bootstrap-token --skip-token-print
//! ```
//!
//! The phase also creates a token, which `kubeadm token delete ID` removes. Revoke a credential that was published:
//! delete the token, or rotate the CA that signed the certificate.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/clusterinfo/clusterinfo.go`;
//! `cmd/kubeadm/app/util/kubeconfig/kubeconfig.go` (`GetClusterFromKubeConfig`: the cluster has no name).

use super::helpers::{REWRITE, judge_missing};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::seen::Unobserved;

crate::check!("DI-01", "cluster-info", Major, judge);

fn judge(
    info: Option<&ClusterInfo>,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    match info {
        Some(info) => judge_content(&mut verdict, info),
        None => judge_missing(&mut verdict, kubeadm, expectations),
    }
    verdict
}

fn judge_content(verdict: &mut Verdict, info: &ClusterInfo) {
    let subject = || Subject::object("ConfigMap", "kube-public", "cluster-info");
    let no_join = "no node can join with a token";
    let kubeconfig = match &info.kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(why) => {
            let finding = Finding::new("cluster-info has a kubeconfig under the key kubeconfig", why);
            return verdict.find(subject(), finding.impact(no_join).fix(REWRITE));
        }
    };

    let clusters = &kubeconfig.clusters;
    verdict.expect(subject(), clusters.len() == 1, || {
        Finding::new("cluster-info has exactly one cluster", format!("it has {} clusters", clusters.len()))
            .impact("joining nodes do not know which one is meant")
            .fix(REWRITE)
    });
    if let [cluster] = &clusters[..] {
        verdict.expect(subject(), cluster.name.is_empty(), || {
            Finding::new("the cluster in cluster-info has no name", format!("it is named {:?}", cluster.name))
                .impact("kubeadm join does not find it")
                .fix(REWRITE)
        });
        for (what, why) in
            [("a server to join", cluster.server.as_ref().err()), ("its CA", cluster.authorities.as_ref().err())]
        {
            verdict.expect(subject(), why.is_none(), || {
                Finding::new(format!("the cluster in cluster-info has {what}"), why.cloned().unwrap_or_default())
                    .impact(no_join)
                    .fix(REWRITE)
            });
        }
        verdict.expect(subject(), !cluster.skips_verification, || {
            Finding::new("joining nodes verify the server", "cluster-info has insecure-skip-tls-verify: true")
                .impact("nodes may join whatever server answers at that address")
                .fix(REWRITE)
        });
    }
    verdict.expect(subject(), kubeconfig.users.is_empty(), || {
        let held = |(name, credentials): (&String, &Vec<String>)| match &credentials[..] {
            [] => name.clone(),
            credentials => format!("{name} with {}", credentials.join(", ")),
        };
        let finding =
            Finding::new("cluster-info has no users", "it has users").evidence(kubeconfig.users.iter().map(held));
        if kubeconfig.users.values().any(|credentials| !credentials.is_empty()) {
            finding
                .impact("anyone who reaches the API server can use the published credential")
                .fix(format!(
                    "revoke the credential first: delete the token, or rotate the CA that signed the certificate; then \
                     {REWRITE}"
                ))
                .severity(Severity::Critical)
        } else {
            finding.impact("user names are published to anyone who reaches the API server").fix(REWRITE)
        }
    });
    verdict.expect(subject(), kubeconfig.contexts.is_empty(), || {
        Finding::new("cluster-info has no contexts", "it has contexts")
            .evidence(&kubeconfig.contexts)
            .impact("kubeadm join ignores them; someone has edited cluster-info by hand")
            .fix(REWRITE)
            .severity(Severity::Minor)
    });
    verdict.expect(subject(), info.other_keys.is_empty(), || {
        Finding::new("cluster-info has no other keys than kubeconfig and the signatures", "it has other keys")
            .evidence(&info.other_keys)
            .impact("everyone can read their content")
            .fix(
                "remove those keys that are not meant to be public: kubectl -n kube-public edit configmap cluster-info",
            )
            .info()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use crate::check::testing::seen_of;
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::fact::facts::expectations::Discovery;

    fn judged(info: &ClusterInfo) -> Verdict {
        judge(Some(info), Ok(&KubeadmConfig::default()), &Expectations::default())
    }

    /// What kubeadm writes, changed.
    fn findings(change: impl FnOnce(&mut ClusterInfo)) -> Vec<Finding> {
        let mut info = cluster_info("https://10.77.0.11:6443", vec![Certificate::from_der([1])]);
        change(&mut info);
        judged(&info).findings(Severity::Major)
    }

    #[test]
    fn the_text_of_kubeadm_passes() {
        assert!(findings(|_| {}).is_empty());
        assert_eq!(judged(&cluster_info("https://10.77.0.11:6443", Vec::new())).observations(), 8);
    }

    #[test]
    fn a_cluster_of_kubeadm_must_have_it_unless_nodes_join_by_a_file() {
        let kubeadm = KubeadmConfig::default();
        let token = Expectations::default();
        let missing = judge(None, Ok(&kubeadm), &token);
        assert_eq!(
            seen_of(&missing),
            ["ConfigMap kube-public/cluster-info: it does not exist, although kubeadm built this cluster"]
        );
        let file = Expectations { discovery: Discovery::File, ..Expectations::default() };
        assert!(judge(None, Ok(&kubeadm), &file).reason().is_some_and(|reason| reason.contains("by a file")));
        let foreign = Unobserved::absent("configmaps \"kubeadm-config\" not found");
        assert!(judge(None, Err(&foreign), &token).reason().is_some());
        let unknown = judge(None, Err(&Unobserved::Interrupted), &token);
        assert_eq!((unknown.observations(), unknown.gaps().len()), (0, 1));
    }

    #[test]
    fn a_published_credential_is_critical_and_its_user_named() {
        let findings = findings(|info| {
            let users = &mut info.kubeconfig.as_mut().unwrap().users;
            users.insert("kubernetes-admin".into(), vec!["token".into()]);
        });
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((&*finding.evidence[0], finding.severity), ("kubernetes-admin with token", Severity::Critical));
    }

    #[test]
    fn content_that_prevents_joining_is_found() {
        let unreadable = findings(|info| info.kubeconfig = Err("there is no such key".into()));
        assert_eq!(unreadable[0].seen, "there is no such key");
        let empty = findings(|info| info.kubeconfig.as_mut().unwrap().clusters.clear());
        assert_eq!(empty[0].seen, "it has 0 clusters");
        let named = findings(|info| info.kubeconfig.as_mut().unwrap().clusters[0].name = "bed".into());
        assert_eq!(named[0].seen, "it is named \"bed\"");
        let without = findings(|info| {
            info.kubeconfig.as_mut().unwrap().clusters[0].authorities =
                Err("it has no certificate-authority-data".into());
        });
        assert_eq!(
            (&*without[0].expected, &*without[0].seen),
            ("the cluster in cluster-info has its CA", "it has no certificate-authority-data")
        );
    }

    #[test]
    fn another_key_is_information() {
        let findings = findings(|info| info.other_keys.push("notes".into()));
        assert_eq!((&*findings[0].evidence[0], findings[0].severity), ("notes", Severity::Info));
    }
}
