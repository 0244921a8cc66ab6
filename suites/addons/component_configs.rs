//! # The component configurations are the ones that kubeadm wrote
//!
//! ## Why
//! During an upgrade kubeadm regenerates the configuration of kubelets and kube-proxy only if it is unchanged. It keeps an
//! edited one, with settings that the new release may no longer support.
//!
//! ## Fix
//! Look at the edit: `kubectl -n kube-system get configmap kube-proxy -o yaml` (or `kubelet-config`). Either undo it, or keep
//! it and compare it before each upgrade with the output of `kubeadm config print init-defaults --component-configs
//! KubeletConfiguration,KubeProxyConfiguration`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/componentconfigs/checksums.go` (annotation
//! `kubeadm.kubernetes.io/component-config.hash`: SHA-256 over the values in the order of their keys). Without the
//! annotation, the configuration came from a file that was passed to kubeadm: a note, and nothing to fix.

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authorship::Authorship;
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::suites::kubeadm_phase;

crate::check!("AD-02", "component-configs", Info, judge);

/// The ConfigMap with the configuration of kubelets.
const KUBELETS: &str = "kubelet-config";

fn judge(
    proxy: Option<&KubeProxyConfig>,
    kubelets: Option<&KubeletDefaults>,
    kubeadm: Option<&KubeadmConfig>,
) -> Verdict {
    if proxy.is_none() && kubelets.is_none() {
        return Verdict::not_applicable(
            "not a kubeadm cluster: kube-system has neither ConfigMap kube-proxy nor kubelet-config",
        );
    }
    let mut verdict = Verdict::new();
    for (name, found) in [
        ("kube-proxy", proxy.map(|proxy| (&proxy.authorship, &proxy.manager))),
        (KUBELETS, kubelets.map(|kubelets| (&kubelets.authorship, &kubelets.manager))),
    ] {
        let subject = Subject::object("ConfigMap", "kube-system", name);
        match found {
            None if name == KUBELETS && kubeadm.is_some() => verdict.find(
                subject,
                Finding::new("kubeadm reads the configuration of kubelets from it", "it does not exist")
                    .impact("no node can join, and no node can be upgraded")
                    .fix(format!(
                        "on a control-plane node whose kubelet has the right configuration: {}",
                        kubeadm_phase::again("upload-config kubelet")
                    ))
                    .severity(Severity::Major),
            ),
            // Another program may have taken the place of kube-proxy.
            None => verdict.note_about(subject, "the ConfigMap does not exist"),
            Some((Authorship::Generated, _)) => verdict.confirm(),
            Some((Authorship::Supplied, _)) => {
                verdict.confirm();
                verdict.note_about(subject, "came from a file that was passed to kubeadm; upgrades keep it");
            }
            Some((Authorship::Edited { written, now }, manager)) => verdict.find(
                subject,
                Finding::new(
                    format!("the content that kubeadm wrote ({})", short(written)),
                    format!("it was edited ({})", short(now)),
                )
                .impact("the next upgrade keeps it unchanged, whatever the new release needs")
                .fix(format!(
                    "look at it with `kubectl -n kube-system get configmap {name} -o yaml`, and undo the edit or compare \
                     it with kubeadm's defaults before each upgrade"
                ))
                .managed_by(manager.as_ref()),
            ),
        }
    }
    verdict
}

/// Enough of a checksum to distinguish two.
fn short(checksum: &str) -> String {
    checksum.chars().take("sha256:".len() + 12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::Manager;

    fn judged(authorship: Authorship) -> Verdict {
        let manager = Some(Manager::ArgoApplication("proxy".into()));
        let proxy = KubeProxyConfig { authorship, manager, ..KubeProxyConfig::default() };
        let kubelets = KubeletDefaults { authorship: Authorship::Generated, ..KubeletDefaults::default() };
        judge(Some(&proxy), Some(&kubelets), None)
    }

    #[test]
    fn what_kubeadm_wrote_or_was_given_passes() {
        for authorship in [Authorship::Generated, Authorship::Supplied] {
            let verdict = judged(authorship);
            assert_eq!((verdict.observations(), verdict.findings(Severity::Info)), (2, vec![]));
        }
    }

    #[test]
    fn an_edit_is_found() {
        let edited =
            Authorship::Edited { written: "sha256:0123456789abcdef".into(), now: "sha256:fedcba9876543210".into() };
        let findings = judged(edited).findings(Severity::Info);
        assert_eq!(findings[0].seen, "it was edited (sha256:fedcba987654)");
        let source = "; change it in the source of Argo CD Application proxy, because the next sync reverts an edit in \
                      place";
        assert!(findings[0].fix.ends_with(source), "{}", findings[0].fix);
    }

    #[test]
    fn another_distribution_is_not_judged() {
        assert!(judge(None, None, None).reason().is_some());
    }

    #[test]
    fn the_configuration_of_kubelets_must_exist_where_kubeadm_is_used() {
        let (proxy, kubeadm) = (KubeProxyConfig::default(), KubeadmConfig::default());
        assert_eq!(judge(Some(&proxy), None, Some(&kubeadm)).findings(Severity::Info)[0].seen, "it does not exist");
        assert!(judge(Some(&proxy), None, None).findings(Severity::Info).is_empty());
        let kubelets = KubeletDefaults { authorship: Authorship::Generated, ..KubeletDefaults::default() };
        let without_proxy = judge(None, Some(&kubelets), Some(&kubeadm));
        assert!(without_proxy.findings(Severity::Info).is_empty() && without_proxy.notes().len() == 1);
    }
}
