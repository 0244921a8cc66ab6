//! # Component configurations are as kubeadm wrote them
//!
//! ## Why
//! At an upgrade kubeadm writes the configuration of kubelets and kube-proxy anew only if nobody has changed it. One that
//! was edited by hand is kept as it is, with settings that the new release may not know any more.
//!
//! ## Fix
//! `kubectl -n kube-system get configmap kube-proxy -o yaml` (or `kubelet-config`). To give it back to kubeadm: put the
//! change into a file for `kubeadm upgrade apply --config`, or delete the edit. To keep it: compare it with `kubeadm config
//! print init-defaults --component-configs KubeletConfiguration,KubeProxyConfiguration` before each upgrade.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/componentconfigs/checksums.go` (annotation
//! `kubeadm.kubernetes.io/component-config.hash`: SHA-256 over the values in the order of their keys). Without the
//! annotation somebody gave the configuration to kubeadm in a file, which is told and nothing to mend.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::authorship::Authorship;
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;

crate::check!("AD-02", "component-configs", Info, judge);

fn judge(proxy: Option<&KubeProxyConfig>, kubelets: Option<&KubeletDefaults>) -> Verdict {
    if proxy.is_none() && kubelets.is_none() {
        return Verdict::not_applicable(
            "kubeadm did not build it: there is neither ConfigMap kube-proxy nor kubelet-config in kube-system",
        );
    }
    let mut verdict = Verdict::new();
    for (name, authorship) in [
        ("kube-proxy", proxy.map(|proxy| &proxy.authorship)),
        ("kubelet-config", kubelets.map(|kubelets| &kubelets.authorship)),
    ] {
        let subject = Subject::object("ConfigMap", "kube-system", name);
        match authorship {
            None => verdict.note(format!("there is no ConfigMap {name}")),
            Some(Authorship::Generated) => verdict.confirm(),
            Some(Authorship::Supplied) => {
                verdict.confirm();
                verdict.note(format!("{name} was given to kubeadm in a file: it keeps it at upgrades"));
            }
            Some(Authorship::Edited { written, now }) => verdict.find(
                subject,
                Finding::new(
                    format!("the content that kubeadm wrote, {}", short(written)),
                    format!("another, {}: it was edited by hand", short(now)),
                )
                .so("the next upgrade keeps it as it is, whatever the new release needs")
                .mend(format!(
                    "kubectl -n kube-system get configmap {name} -o yaml, and move the change to kubeadm's file"
                )),
            ),
        }
    }
    verdict
}

/// As much of a checksum as tells two apart.
fn short(checksum: &str) -> String {
    checksum.chars().take("sha256:".len() + 12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;

    fn judged(authorship: Authorship) -> Verdict {
        let proxy = KubeProxyConfig { authorship, ..KubeProxyConfig::default() };
        let kubelets = KubeletDefaults { authorship: Authorship::Generated, ..KubeletDefaults::default() };
        judge(Some(&proxy), Some(&kubelets))
    }

    #[test]
    fn what_kubeadm_wrote_or_was_given_passes() {
        for authorship in [Authorship::Generated, Authorship::Supplied] {
            let verdict = judged(authorship);
            assert_eq!((verdict.observations(), verdict.findings(Severity::Info)), (2, vec![]));
        }
    }

    #[test]
    fn an_edit_by_hand_is_told() {
        let edited =
            Authorship::Edited { written: "sha256:0123456789abcdef".into(), now: "sha256:fedcba9876543210".into() };
        let findings = judged(edited).findings(Severity::Info);
        assert_eq!(findings[0].seen, "another, sha256:fedcba987654: it was edited by hand");
    }

    #[test]
    fn another_distribution_is_not_judged() {
        assert!(judge(None, None).reason().is_some());
    }
}
