//! # The flags of the control plane survive the next upgrade
//!
//! ## Why
//! kubeadm writes the manifests of the control plane again at each upgrade and on each new control-plane node, from ConfigMap
//! kubeadm-config. A flag that someone added to a manifest is then lost silently: audit logs end, a login by OIDC
//! stops, Secrets that are encrypted can no longer be read.
//!
//! ## Fix
//! `kubectl -n kube-system edit configmap kubeadm-config`: add the flag to `extraArgs` of the component (`apiServer`,
//! `controllerManager`, `scheduler`, `etcd.local`), and the files that it names to `extraVolumes`. Then write the manifest
//! from it on each control-plane node with `kubeadm upgrade node`, or `kubeadm init phase control-plane all --config kubeadm.yaml`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/controlplane/manifests.go`, `cmd/kubeadm/app/phases/etcd/local.go`;
//! <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/>. Flags that kubeadm writes by itself are
//! compared where their value is always the same. Where another check finds a fault of the same control plane, a flag that
//! differs counts as its consequence. Patches (`--patches`) are not visible here, and must be given to each
//! upgrade again.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;

// A flag that another check finds at fault is as a rule the one that was edited in the manifest.
crate::check!(
    "CP-16",
    "lasting-flags",
    Minor,
    judge,
    builds_on: [
        "AA-03", "AA-04", "AA-14", "AA-15", "AA-16", "AA-17", "AA-23", "AA-24", "AA-25", "CP-01", "CP-03", "CP-05", "CP-06",
        "CP-07", "CP-08", "CP-09", "CP-13", "CP-18", "DI-02", "DI-10", "DI-11", "HA-03", "HA-04", "KL-04", "KL-09", "PK-06",
        "PK-07", "PK-12", "PK-14", "PK-15", "PK-16", "SN-02", "SN-03"
    ]
);

/// A component, its place in kubeadm-config, the flags that kubeadm writes, and those whose value is always the same.
struct Component {
    name: &'static str,
    place: &'static str,
    written: &'static [&'static str],
    fixed: &'static [(&'static str, &'static str)],
}

const COMPONENTS: [Component; 4] = [
    Component {
        name: "kube-apiserver",
        place: "apiServer",
        written: &[
            "advertise-address",
            "allow-privileged",
            "authorization-mode",
            "client-ca-file",
            "cloud-provider",
            "enable-admission-plugins",
            "enable-bootstrap-token-auth",
            "etcd-cafile",
            "etcd-certfile",
            "etcd-keyfile",
            "etcd-servers",
            "feature-gates",
            "insecure-port",
            "kubelet-client-certificate",
            "kubelet-client-key",
            "kubelet-preferred-address-types",
            "proxy-client-cert-file",
            "proxy-client-key-file",
            "requestheader-allowed-names",
            "requestheader-client-ca-file",
            "requestheader-extra-headers-prefix",
            "requestheader-group-headers",
            "requestheader-username-headers",
            "secure-port",
            "service-account-issuer",
            "service-account-key-file",
            "service-account-signing-key-file",
            "service-cluster-ip-range",
            "tls-cert-file",
            "tls-private-key-file",
        ],
        fixed: &[
            ("authorization-mode", "Node,RBAC"),
            ("enable-admission-plugins", "NodeRestriction"),
            ("enable-bootstrap-token-auth", "true"),
        ],
    },
    Component {
        name: "kube-controller-manager",
        place: "controllerManager",
        written: &[
            "allocate-node-cidrs",
            "authentication-kubeconfig",
            "authorization-kubeconfig",
            "bind-address",
            "client-ca-file",
            "cloud-provider",
            "cluster-cidr",
            "cluster-name",
            "cluster-signing-cert-file",
            "cluster-signing-key-file",
            "controllers",
            "external-cloud-volume-plugin",
            "feature-gates",
            "kubeconfig",
            "leader-elect",
            "node-cidr-mask-size",
            "node-cidr-mask-size-ipv4",
            "node-cidr-mask-size-ipv6",
            "port",
            "requestheader-client-ca-file",
            "root-ca-file",
            "service-account-private-key-file",
            "service-cluster-ip-range",
            "use-service-account-credentials",
        ],
        fixed: &[("controllers", "*,bootstrapsigner,tokencleaner"), ("use-service-account-credentials", "true")],
    },
    Component {
        name: "kube-scheduler",
        place: "scheduler",
        written: &[
            "authentication-kubeconfig",
            "authorization-kubeconfig",
            "bind-address",
            "feature-gates",
            "kubeconfig",
            "leader-elect",
            "port",
        ],
        fixed: &[],
    },
    Component {
        name: "etcd",
        place: "etcd.local",
        written: &[
            "advertise-client-urls",
            "cert-file",
            "client-cert-auth",
            "data-dir",
            "experimental-initial-corrupt-check",
            "experimental-watch-progress-notify-interval",
            "feature-gates",
            "initial-advertise-peer-urls",
            "initial-cluster",
            "initial-cluster-state",
            "key-file",
            "listen-client-urls",
            "listen-metrics-urls",
            "listen-peer-urls",
            "name",
            "peer-cert-file",
            "peer-client-cert-auth",
            "peer-key-file",
            "peer-trusted-ca-file",
            "snapshot-count",
            "trusted-ca-file",
            "watch-progress-notify-interval",
        ],
        fixed: &[("client-cert-auth", "true"), ("peer-client-cert-auth", "true")],
    },
];

fn judge(pods: &Pods, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let Some(kubeadm) = kubeadm else {
        return Verdict::not_applicable("not a kubeadm cluster: ConfigMap kube-system/kubeadm-config does not exist");
    };
    let mut verdict = Verdict::new();
    let Some(given) = &kubeadm.extra_args else {
        let why = Unobserved::invalid("ConfigMap kube-system/kubeadm-config", "its extraArgs were not recorded");
        verdict.unseen(Subject::object("ConfigMap", "kube-system", "kubeadm-config"), &why);
        return verdict;
    };
    let none = BTreeMap::new();
    for component in &COMPONENTS {
        for pod in pods.static_pods(component.name).filter(|pod| pod.has_flags()) {
            judge_pod(&mut verdict, component, pod, given.get(component.place).unwrap_or(&none));
        }
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply("no component of the control plane runs as a static pod that shows its flags");
    }
    verdict
}

fn judge_pod(verdict: &mut Verdict, component: &Component, pod: &Pod, given: &BTreeMap<String, Vec<String>>) {
    let flags = pod.flag_names();
    let names: BTreeSet<&str> = flags.iter().copied().chain(given.keys().map(String::as_str)).collect();
    let mut lost = Vec::new();
    for name in names {
        let has = pod.flag(name);
        match given.get(name) {
            Some(wanted) if !is_same(&has, wanted) => lost.push(format!(
                "{}: --{name}={}, and kubeadm-config has {}",
                pod.name,
                has.join(","),
                wanted.join(",")
            )),
            Some(_) => {}
            None if !component.written.contains(&name) => {
                lost.push(format!("{}: --{name}={}, which kubeadm-config lacks", pod.name, has.join(",")));
            }
            None => {
                let fixed = component.fixed.iter().find(|(fixed, _)| *fixed == name);
                if let Some((_, usual)) = fixed.filter(|(_, usual)| has.last() != Some(usual)) {
                    lost.push(format!("{}: --{name}={}, and kubeadm writes {usual}", pod.name, has.join(",")));
                }
            }
        }
    }
    verdict.expect(Subject::object("Pod", &pod.namespace, &pod.name), lost.is_empty(), || {
        Finding::new(
            format!("kubeadm-config has the flags of {} that kubeadm does not write by itself", component.name),
            "flags that differ from what kubeadm generates",
        )
        .evidence(lost)
        .impact("the next kubeadm upgrade, and each new control-plane node, silently drops them")
        .fix(format!(
            "add those that are wanted to {}.extraArgs (a list of name and value): kubectl -n kube-system edit configmap \
             kubeadm-config; and remove the others from /etc/kubernetes/manifests/{}.yaml",
            component.place, component.name
        ))
    });
}

/// Whether a flag has the values that it was given, in any order.
fn is_same(has: &[&str], wanted: &[String]) -> bool {
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let mut has = has.to_vec();
    has.sort_unstable();
    wanted.sort_unstable();
    has == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::pods::testing::static_pod;

    fn judged(component: &str, flags: &[&str], place: &str, given: &[(&str, &str)]) -> Verdict {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        let kubeadm =
            KubeadmConfig { extra_args: Some([(place.to_owned(), given)].into()), ..KubeadmConfig::default() };
        judge(&Pods([static_pod(component, "n1", flags)].into()), Some(&kubeadm))
    }

    fn lost(component: &str, flags: &[&str], place: &str, given: &[(&str, &str)]) -> Vec<String> {
        judged(component, flags, place, given)
            .findings(Severity::Minor)
            .into_iter()
            .flat_map(|found| found.evidence)
            .collect()
    }

    #[test]
    fn flags_of_kubeadm_and_of_its_configuration_pass() {
        let flags = ["--secure-port=6443", "--authorization-mode=Node,RBAC", "--profiling=false"];
        assert!(lost("kube-apiserver", &flags, "apiServer", &[("profiling", "false")]).is_empty());
        let etcd = ["--name=n1", "--client-cert-auth=true", "--quota-backend-bytes=8589934592"];
        assert!(lost("etcd", &etcd, "etcd.local", &[("quota-backend-bytes", "8589934592")]).is_empty());
        assert_eq!(judged("kube-scheduler", &["--leader-elect=true"], "scheduler", &[]).observations(), 1);
    }

    #[test]
    fn what_an_upgrade_would_drop_is_named() {
        let lost = |flags: &[&str], given: &[(&str, &str)]| lost("kube-apiserver", flags, "apiServer", given);
        assert_eq!(
            lost(&["--audit-log-path=/var/log/audit.log"], &[]),
            ["kube-apiserver-n1: --audit-log-path=/var/log/audit.log, which kubeadm-config lacks"]
        );
        assert_eq!(
            lost(&["--profiling=false"], &[("profiling", "true")]),
            ["kube-apiserver-n1: --profiling=false, and kubeadm-config has true"]
        );
        assert_eq!(
            lost(&["--authorization-mode=Node,RBAC,Webhook"], &[]),
            ["kube-apiserver-n1: --authorization-mode=Node,RBAC,Webhook, and kubeadm writes Node,RBAC"]
        );
        assert_eq!(
            lost(&["--secure-port=6443"], &[("profiling", "false")]),
            ["kube-apiserver-n1: --profiling=, and kubeadm-config has false"],
            "not applied yet"
        );
    }

    #[test]
    fn without_the_configuration_nothing_passes() {
        let pods = Pods([static_pod("kube-apiserver", "n1", &["--secure-port=6443"])].into());
        assert!(judge(&pods, None).reason().is_some());
        assert_eq!(judge(&pods, Some(&KubeadmConfig::default())).gaps().len(), 1);
        let empty = KubeadmConfig { extra_args: Some(BTreeMap::new()), ..KubeadmConfig::default() };
        assert!(judge(&Pods::default(), Some(&empty)).reason().is_some());
    }
}
