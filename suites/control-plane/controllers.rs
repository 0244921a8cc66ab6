//! # The controller-manager signs certificates and bootstrap discovery
//!
//! ## Why
//! Joining rests on controllers that are off unless asked for: without `bootstrapsigner` no token is signed for discovery,
//! without `tokencleaner` expired tokens stay, without the signing controllers and their CA no kubelet gets a
//! certificate or renews one. All of it looks healthy until the next node joins or the first certificate runs out.
//!
//! ## Fix
//! On the node that the finding names edit `/etc/kubernetes/manifests/kube-controller-manager.yaml`; what kubeadm writes:
//! `--controllers=*,bootstrapsigner,tokencleaner`, `--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt`,
//! `--cluster-signing-key-file=/etc/kubernetes/pki/ca.key`, `--root-ca-file=/etc/kubernetes/pki/ca.crt`,
//! `--use-service-account-credentials=true`. To write the file anew with the cluster's own settings, which
//! loses flags that were set by hand and are not among the ConfigMap's extraArgs:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! cp /etc/kubernetes/manifests/kube-controller-manager.yaml /root/ &&
//! kubeadm init phase control-plane controller-manager --config kubeadm.yaml
//! ```
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/controlplane/manifests.go`, `cmd/kube-controller-manager/names`;
//! <https://github.com/kubernetes/kubeadm/issues/2329>. Empty signing files are a remark: kubeadm writes them where the
//! CA's key is kept elsewhere, and then somebody outside must sign. Judged only where kubeadm built the control plane.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::rbac::{ROLE, Rbac};
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;

crate::check!("CP-07", "bootstrap-controllers", Major, judge);

/// A controller that joining needs: its names of old and of now, whether `*` includes it, and what fails without it.
struct Needed(&'static str, &'static str, bool, &'static str);

const CONTROLLERS: [Needed; 5] = [
    Needed(
        "bootstrapsigner",
        "bootstrap-signer-controller",
        false,
        "kubeadm join with a new token waits for a signature that never comes",
    ),
    Needed("tokencleaner", "token-cleaner-controller", false, "bootstrap tokens stay after they have expired"),
    Needed(
        "csrsigning",
        "certificatesigningrequest-signing-controller",
        true,
        "no kubelet gets a certificate, and none renews its own",
    ),
    Needed(
        "csrapproving",
        "certificatesigningrequest-approving-controller",
        true,
        "the certificate of each kubelet waits for an administrator's approval",
    ),
    Needed(
        "root-ca-cert-publisher",
        "root-ca-certificate-publisher-controller",
        true,
        "pods of new namespaces are given no CA and cannot verify the API",
    ),
];
const SIGNING: [&str; 2] = ["cluster-signing-cert-file", "cluster-signing-key-file"];
/// Signers that may have a pair of their own instead.
const KUBELET_CLIENT: [&str; 2] =
    ["cluster-signing-kubelet-client-cert-file", "cluster-signing-kubelet-client-key-file"];
const SIGNER_ROLE: ObjectRef = ObjectRef::fixed_in("kube-system", ROLE, "system:controller:bootstrap-signer");

fn judge(pods: &Pods, kubeadm: Option<&KubeadmConfig>, rbac: Result<&Rbac, &Unobserved>) -> Verdict {
    if kubeadm.is_none() {
        return Verdict::not_applicable("kubeadm did not build this control plane: there is no kubeadm-config");
    }
    let managers: Vec<&Pod> = pods.static_pods("kube-controller-manager").collect();
    if managers.is_empty() {
        return Verdict::not_applicable(
            "no controller-manager runs as a static pod of kube-system: its flags do not show",
        );
    }
    let mut verdict = Verdict::new();
    for pod in managers {
        let subject = Subject::object("Pod", &pod.namespace, &pod.name);
        if pod.has_flags() {
            judge_flags(&mut verdict, pod, &subject);
        } else {
            verdict.unseen(subject, &Unobserved::invalid("its command line", "it shows no flag"));
        }
    }
    let role = Subject::from(SIGNER_ROLE);
    match rbac {
        Ok(rbac) => {
            verdict.expect(role, rbac.roles.contains_key(&SIGNER_ROLE), || {
                Finding::new(
                    "the right to read tokens, which API servers write when they start",
                    "there is no such Role",
                )
                .so("the bootstrap signer cannot read tokens, and new ones are never signed")
                .mend("restart an API server: it writes its roles again unless they are annotated otherwise")
            });
        }
        Err(why) => verdict.unseen(role, why),
    }
    verdict
}

fn judge_flags(verdict: &mut Verdict, pod: &Pod, subject: &Subject) {
    let node = pod.node.as_deref().unwrap_or("its node");
    let mend = || {
        format!(
            "on {node}: set it in /etc/kubernetes/manifests/kube-controller-manager.yaml; or have kubeadm write that anew, where {}",
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
            Finding::new(format!("the controller {old}"), shown.clone()).so(without).mend(mend())
        });
    }
    let given =
        |flags: [&str; 2]| flags.iter().all(|flag| pod.flag(flag).last().is_some_and(|value| !value.is_empty()));
    verdict.expect(subject.clone(), given(SIGNING) || given(KUBELET_CLIENT), || {
        Finding::new(
            format!("--{} and --{} name the CA's pair", SIGNING[0], SIGNING[1]),
            SIGNING.map(|flag| format!("--{flag}={}", pod.flag(flag).last().unwrap_or(&""))).join(" "),
        )
        .so("the cluster signs no certificate: somebody outside must, or no kubelet joins and none renews")
        .mend(mend())
        .info()
    });
    verdict.expect(subject.clone(), pod.flag("root-ca-file").last().is_some_and(|file| !file.is_empty()), || {
        Finding::new("--root-ca-file names the CA that pods are given", "no such flag")
            .so("pods are given no CA and cannot verify the API")
            .mend(mend())
    });
    verdict.expect(subject.clone(), pod.flag("use-service-account-credentials").last() == Some(&"true"), || {
        Finding::new("--use-service-account-credentials=true", "it is not set")
            .so("every controller has all the rights of the controller-manager")
            .mend(mend())
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
        assert_eq!(findings[0].expected, "the controller csrsigning");
        let mend = &findings[0].fix;
        assert!(mend.starts_with("on n1: set it in") && mend.ends_with("--config kubeadm.yaml"), "{mend}");
        assert_eq!(with(2, "--controllers=bootstrapsigner,tokencleaner").len(), 3);
    }

    #[test]
    fn a_ca_that_is_kept_elsewhere_is_a_remark() {
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
    fn what_does_not_show_is_no_pass() {
        assert!(judge(&Pods::default(), None, Ok(&Rbac::default())).reason().is_some());
        assert!(judge(&Pods::default(), Some(&KubeadmConfig::default()), Ok(&Rbac::default())).reason().is_some());
        let pods = Pods([static_pod("kube-controller-manager", "n1", &[])].into());
        let verdict = judge(&pods, Some(&KubeadmConfig::default()), Err(&Unobserved::Interrupted));
        assert_eq!(verdict.gaps().len(), 2);
    }
}
