//! # The controller-manager signs certificates and bootstrap discovery
//!
//! ## Why
//! Joining depends on controllers that are off by default. Without `bootstrapsigner`, discovery with tokens fails; without
//! `tokencleaner`, expired tokens stay; without the signing controllers and their CA, kubelets cannot get or renew certificates.
//! All of it looks healthy until the next node joins or the first certificate expires.
//!
//! ## Fix
//! On the node that the finding names, edit `/etc/kubernetes/manifests/kube-controller-manager.yaml`. kubeadm writes:
//! `--controllers=*,bootstrapsigner,tokencleaner`, `--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt`,
//! `--cluster-signing-key-file=/etc/kubernetes/pki/ca.key`, `--root-ca-file=/etc/kubernetes/pki/ca.crt`,
//! `--use-service-account-credentials=true`. To regenerate the file with the cluster's own settings,
//! which loses flags that were set by hand and are not in the ConfigMap's extraArgs:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! cp /etc/kubernetes/manifests/kube-controller-manager.yaml /root/ &&
//! kubeadm init phase control-plane controller-manager --config kubeadm.yaml
//! ```
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/controlplane/manifests.go`, `cmd/kube-controller-manager/names`;
//! <https://github.com/kubernetes/kubeadm/issues/2329>. Empty signing files are informational: kubeadm writes them if
//! the CA's key is kept elsewhere, and an external signer is used. Judged only for control planes that kubeadm built.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::rbac::{ROLE, Rbac};
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;

crate::check!("CP-07", "bootstrap-controllers", Major, judge);

/// A controller that joining needs: its old and its current name, whether `*` includes it, and the impact without it.
struct Needed(&'static str, &'static str, bool, &'static str);

const CONTROLLERS: [Needed; 5] = [
    Needed(
        "bootstrapsigner",
        "bootstrap-signer-controller",
        false,
        "kubeadm join with a new token waits forever for a signature",
    ),
    Needed("tokencleaner", "token-cleaner-controller", false, "expired bootstrap tokens are not deleted"),
    Needed(
        "csrsigning",
        "certificatesigningrequest-signing-controller",
        true,
        "kubelets cannot get or renew their certificates",
    ),
    Needed(
        "csrapproving",
        "certificatesigningrequest-approving-controller",
        true,
        "an administrator must approve every certificate of a kubelet",
    ),
    Needed(
        "root-ca-cert-publisher",
        "root-ca-certificate-publisher-controller",
        true,
        "pods in new namespaces get no CA and cannot verify the API server",
    ),
];
const SIGNING: [&str; 2] = ["cluster-signing-cert-file", "cluster-signing-key-file"];
/// The kubelet client signer may have its own pair instead.
const KUBELET_CLIENT: [&str; 2] =
    ["cluster-signing-kubelet-client-cert-file", "cluster-signing-kubelet-client-key-file"];
const SIGNER_ROLE: ObjectRef = ObjectRef::fixed_in("kube-system", ROLE, "system:controller:bootstrap-signer");

fn judge(pods: &Pods, kubeadm: Option<&KubeadmConfig>, rbac: Result<&Rbac, &Unobserved>) -> Verdict {
    if kubeadm.is_none() {
        return Verdict::not_applicable(
            "not a kubeadm control plane: ConfigMap kube-system/kubeadm-config does not exist",
        );
    }
    let managers: Vec<&Pod> = pods.static_pods("kube-controller-manager").collect();
    if managers.is_empty() {
        return Verdict::not_applicable(
            "no controller-manager runs as a static pod in kube-system, so its flags are not visible",
        );
    }
    let mut verdict = Verdict::new();
    for pod in managers {
        let subject = Subject::object("Pod", &pod.namespace, &pod.name);
        if pod.has_flags() {
            judge_flags(&mut verdict, pod, &subject);
        } else {
            verdict.unseen(subject, &Unobserved::invalid("the command line of the pod", "it has no flags"));
        }
    }
    let role = Subject::from(SIGNER_ROLE);
    match rbac {
        Ok(rbac) => {
            verdict.expect(role, rbac.roles.contains_key(&SIGNER_ROLE), || {
                Finding::new(
                    "the Role that lets the bootstrap signer read tokens exists, as API servers create it when they start",
                    "it does not exist",
                )
                .impact("the bootstrap signer cannot read tokens, so kubeadm join with a new token fails")
                .fix("restart one API server: it recreates its default roles")
            });
        }
        Err(why) => verdict.unseen(role, why),
    }
    verdict
}

fn judge_flags(verdict: &mut Verdict, pod: &Pod, subject: &Subject) {
    let node = pod.node.as_deref().unwrap_or("its node");
    let fix = |flag: &str| {
        format!(
            "on {node}, set --{flag} in /etc/kubernetes/manifests/kube-controller-manager.yaml; or regenerate the file: {}",
            again("control-plane controller-manager")
        )
    };
    let written: Vec<&str> = pod.flag("controllers").iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    let shown =
        if written.is_empty() { "no --controllers".into() } else { format!("--controllers={}", written.join(",")) };
    for Needed(old, new, is_usual, without) in CONTROLLERS {
        let named = |name: &str| name == old || name == new;
        let off = written.iter().any(|word| word.strip_prefix('-').is_some_and(named));
        let all = written.is_empty() || written.contains(&"*");
        let on = written.iter().any(|word| named(word)) || is_usual && all;
        verdict.expect(subject.clone(), on && !off, || {
            Finding::new(format!("controller {old} is enabled"), shown.clone()).impact(without).fix(fix("controllers"))
        });
    }
    let given =
        |flags: [&str; 2]| flags.iter().all(|flag| pod.flag(flag).last().is_some_and(|value| !value.is_empty()));
    verdict.expect(subject.clone(), given(SIGNING) || given(KUBELET_CLIENT), || {
        Finding::new(
            format!("--{} and --{} name the CA's certificate and key", SIGNING[0], SIGNING[1]),
            SIGNING.map(|flag| format!("--{flag}={}", pod.flag(flag).last().unwrap_or(&""))).join(" "),
        )
        .impact("the cluster signs no certificates: without an external signer, kubelets can neither join nor renew")
        .fix(fix(&SIGNING.join(" and --")))
        .info()
    });
    verdict.expect(subject.clone(), pod.flag("root-ca-file").last().is_some_and(|file| !file.is_empty()), || {
        Finding::new("--root-ca-file names the CA that pods are given", "the flag is missing")
            .impact("pods get no CA and cannot verify the API server")
            .fix(fix("root-ca-file"))
    });
    verdict.expect(subject.clone(), pod.flag("use-service-account-credentials").last() == Some(&"true"), || {
        Finding::new("--use-service-account-credentials=true", "it is not set")
            .impact("every controller has all permissions of the controller-manager")
            .fix(fix("use-service-account-credentials"))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::pods::testing::static_pod;

    const KUBEADM: [&str; 5] = [
        "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
        "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
        "--controllers=*,bootstrapsigner,tokencleaner",
        "--root-ca-file=/etc/kubernetes/pki/ca.crt",
        "--use-service-account-credentials=true",
    ];

    fn judged(flags: &[&str]) -> Verdict {
        let pods = Pods([static_pod("kube-controller-manager", "n1", flags)].into());
        let rbac = Rbac { roles: [(SIGNER_ROLE, Vec::new())].into(), ..Rbac::default() };
        judge(&pods, Some(&KubeadmConfig::default()), Ok(&rbac))
    }

    fn with(at: usize, flag: &str) -> Vec<Finding> {
        let mut flags = KUBEADM.to_vec();
        flags[at] = flag;
        judged(&flags).findings(Severity::Major)
    }

    #[test]
    fn what_kubeadm_writes_passes() {
        let verdict = judged(&KUBEADM);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (9, vec![]));
        assert!(with(2, "--controllers=*,bootstrap-signer-controller,token-cleaner-controller").is_empty());
    }

    #[test]
    fn controllers_that_are_off_are_found() {
        assert_eq!(with(2, "--controllers=*").len(), 2);
        let findings = with(2, "--controllers=*,bootstrapsigner,tokencleaner,-csrsigning");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].expected, "controller csrsigning is enabled");
        let fix = &findings[0].fix;
        assert!(fix.starts_with("on n1, set --controllers in") && fix.ends_with("--config kubeadm.yaml"), "{fix}");
        assert_eq!(with(2, "--controllers=bootstrapsigner,tokencleaner").len(), 3);
    }

    #[test]
    fn a_ca_that_is_kept_elsewhere_is_a_note() {
        let findings = with(1, "--cluster-signing-key-file=");
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!(
            findings[0].seen,
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt --cluster-signing-key-file="
        );
    }

    #[test]
    fn other_flags_that_are_missing_are_found() {
        assert!(with(3, "--v=2")[0].expected.contains("--root-ca-file"));
        assert!(
            with(4, "--use-service-account-credentials=false")[0]
                .expected
                .contains("--use-service-account-credentials")
        );
    }

    #[test]
    fn what_does_not_show_is_not_a_pass() {
        assert!(judge(&Pods::default(), None, Ok(&Rbac::default())).reason().is_some());
        assert!(judge(&Pods::default(), Some(&KubeadmConfig::default()), Ok(&Rbac::default())).reason().is_some());
        let pods = Pods([static_pod("kube-controller-manager", "n1", &[])].into());
        let verdict = judge(&pods, Some(&KubeadmConfig::default()), Err(&Unobserved::Interrupted));
        assert_eq!(verdict.gaps().len(), 2);
    }
}
