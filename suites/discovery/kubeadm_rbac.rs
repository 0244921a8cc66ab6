//! # kubeadm's roles and bindings are as kubeadm wrote them
//!
//! ## Why
//! Each of them serves one step: joining, renewing a certificate, an add-on. A missing one is noticed only when the
//! next node joins or the next certificate expires. One that was widened gives that right to anyone who finds a token.
//!
//! ## Fix
//! Missing or changed: the finding has the command that restores it. An extra subject: remove it from the binding with
//! `kubectl edit`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken`, `phases/uploadconfig`, `phases/kubelet`,
//! `phases/addons`, `phases/copycerts`, `phases/kubeconfig`; `test/e2e_kubeadm` asserts the same. Bindings of add-ons
//! that do not run may be missing.

use super::helpers::kubeadm_grants::{ALL, KubeadmGrant, Reads, When};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::expectations::{Discovery, Expectations};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubelet_client_reviews::is_bound_in;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{Binding, PolicyRule, Rbac};
use crate::fact::facts::server_version::ServerVersion;
use crate::holder::Holder;
use crate::suites::rights::{details, object, remove};
use crate::version::Version;

crate::check!(
    "DI-08",
    "kubeadm-rbac",
    Major,
    judge,
    builds_on: ["AA-18", "AA-19", "AA-22", "DI-02", "DI-07"]
);

fn judge(rbac: &Rbac, _: &KubeadmConfig, pods: &Pods, expectations: &Expectations, version: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    for grant in ALL {
        match rbac.bindings.get(&grant.binding) {
            Some(binding) => judge_binding(&mut verdict, rbac, grant, binding),
            None if is_expected(grant, pods, expectations, version.version) => {
                verdict.find(
                    Subject::from(&grant.binding),
                    Finding::new(is_granted(grant), "the binding does not exist")
                        .impact(grant.without)
                        .fix(grant.fix())
                        .severity(grant.severity()),
                );
            }
            None => {}
        }
    }
    judge_strangers(&mut verdict, rbac);
    verdict
}

/// What a binding should grant, and to which one or two subjects.
fn is_granted(grant: &KubeadmGrant) -> String {
    let holders: Vec<_> = grant.holders.iter().map(Holder::to_string).collect();
    format!("{} is granted to {}", grant.role, holders.join(" and "))
}

fn is_expected(grant: &KubeadmGrant, pods: &Pods, expectations: &Expectations, version: Version) -> bool {
    let runs = |app| pods.labelled("kube-system", "k8s-app", app).next().is_some();
    match grant.when {
        When::Always => true,
        When::TokenDiscovery => expectations.discovery == Discovery::Token,
        When::CoreDns => runs("kube-dns"),
        When::KubeProxy => runs("kube-proxy"),
        When::KubeletClientWithoutGroup => is_bound_in(version),
        When::UploadedCertificates => false,
    }
}

fn judge_binding(verdict: &mut Verdict, rbac: &Rbac, grant: &KubeadmGrant, binding: &Binding) {
    let subject = || Subject::from(&grant.binding);
    let manager = rbac.manager(&grant.binding);
    let grants_its_role = verdict.expect(subject(), binding.role == grant.role, || {
        Finding::new(format!("the binding grants {}", grant.role), format!("it grants {}", binding.role))
            .impact(grant.without)
            .fix(grant.fix())
            .managed_by(manager)
    });
    let missing: Vec<_> = grant.holders.iter().filter(|holder| !binding.holders.contains(holder)).collect();
    verdict.expect(subject(), missing.is_empty(), || {
        Finding::new(is_granted(grant), "a subject is missing from the binding")
            .evidence(missing.iter().map(|holder| format!("{holder} is missing")))
            .impact(grant.without)
            .fix(grant.fix())
            .managed_by(manager)
            .severity(grant.severity())
    });
    let extra: Vec<_> = binding.holders.iter().filter(|holder| !grant.holders.contains(holder)).collect();
    verdict.expect(subject(), extra.is_empty(), || {
        Finding::new(format!("{} and to no other subject", is_granted(grant)), "it is also granted to others")
            .evidence(details(&extra, &[]))
            .impact("these subjects have rights that are meant for others")
            .fix(remove(&grant.binding, &extra))
            .managed_by(manager)
    });
    if grants_its_role {
        judge_role(verdict, rbac, grant, binding);
    }
}

fn judge_role(verdict: &mut Verdict, rbac: &Rbac, grant: &KubeadmGrant, binding: &Binding) {
    let subject = Subject::from(&binding.role);
    let Some(has) = rbac.rules(&binding.role) else {
        return verdict.find(
            subject,
            Finding::new("the role that the binding grants exists", "it does not exist")
                .impact(grant.without)
                .fix(grant.fix_role()),
        );
    };
    let Some(reads) = grant.reads else { return verdict.confirm() };
    verdict.expect(subject.clone(), has.iter().any(|rule| reads.is_in(rule)), || {
        Finding::new(format!("the role lets its subjects {reads}"), "it does not")
            .evidence(details(&[], has))
            .impact(grant.without)
            .fix(grant.fix_role())
            .managed_by(rbac.manager(&binding.role))
    });
    let more: Vec<_> = has.iter().filter(|rule| !reads.is_all_of(rule)).cloned().collect();
    verdict.expect(subject, more.is_empty(), || {
        Finding::new(format!("the role lets its subjects {reads}, and nothing else"), "it permits more")
            .evidence(details(&[], &more))
            .impact("subjects of the binding have more rights than they need")
            .fix(grant.fix_role())
            .managed_by(rbac.manager(&binding.role))
    });
}

/// Bindings with kubeadm's prefix that no supported kubeadm writes.
fn judge_strangers(verdict: &mut Verdict, rbac: &Rbac) {
    let bindings = rbac.grants().filter(|grant| grant.object.name.starts_with("kubeadm:"));
    let mut strangers = bindings.filter(|found| ALL.iter().all(|grant| grant.binding != *found.object)).peekable();
    if strangers.peek().is_none() {
        verdict.confirm();
    }
    for stranger in strangers {
        let binding = object(stranger.object);
        verdict.find(
            stranger.object.into(),
            Finding::new("a binding whose name begins with kubeadm: is kubeadm's", "no supported kubeadm creates it")
                .evidence([format!("grants {}", stranger.binding.role)])
                .impact("it remains from an old version, or someone chose a name that looks like kubeadm's")
                .fix(format!("kubectl describe {binding}; if nothing needs it: kubectl delete {binding}"))
                .managed_by(stranger.manager)
                .severity(Severity::Info),
        );
    }
}

impl Reads {
    /// Whether a rule permits it.
    fn is_in(self, rule: &PolicyRule) -> bool {
        let Self(resource, name) = self;
        let named = rule.names.is_empty() || name.is_some_and(|name| rule.names.iter().any(|one| one == name));
        rule.permits("get", "", resource) && named
    }

    /// Whether a rule permits nothing else.
    fn is_all_of(self, rule: &PolicyRule) -> bool {
        let Self(resource, name) = self;
        let only = |all: &[String], one: &str| all.iter().all(|each| each == one);
        only(&rule.verbs, "get")
            && only(&rule.groups, "")
            && only(&rule.resources, resource)
            && rule.urls.is_empty()
            && name.is_none_or(|name| !rule.names.is_empty() && only(&rule.names, name))
    }
}

impl std::fmt::Display for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(resource, Some(name)) => write!(f, "get {resource} named {name}"),
            Self(resource, None) => write!(f, "get {resource}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::rbac::testing::rule;
    use crate::object_ref::NamespacedName;
    use crate::object_ref::ObjectRef;

    fn healthy() -> Rbac {
        let mut rbac = Rbac::default();
        for grant in ALL.iter().filter(|grant| grant.when != When::UploadedCertificates) {
            let rule = grant.reads.map(|Reads(resource, name)| PolicyRule {
                names: name.into_iter().map(str::to_owned).collect(),
                ..rule(&["get"], "", &[resource])
            });
            let binding = Binding { role: grant.role.clone(), holders: grant.holders.to_vec() };
            rbac.roles.insert(grant.role.clone(), rule.into_iter().collect());
            rbac.bindings.insert(grant.binding.clone(), binding);
        }
        rbac
    }

    fn pods() -> Pods {
        let pod = |app: &str| {
            let labels = [("k8s-app".to_owned(), app.to_owned())].into();
            (
                NamespacedName::new("kube-system", app.to_owned()),
                Pod { namespace: "kube-system".into(), labels, ..Pod::default() },
            )
        };
        Pods(["kube-dns", "kube-proxy"].map(pod).into())
    }

    fn judged(rbac: &Rbac, pods: &Pods, version: &str) -> Vec<Finding> {
        let version = ServerVersion { git: version.into(), version: version.parse().unwrap() };
        judge(rbac, &KubeadmConfig::default(), pods, &Expectations::default(), &version).findings(Severity::Major)
    }

    fn without(name: &str) -> Rbac {
        healthy().without_binding(name)
    }

    #[test]
    fn the_bindings_of_kubeadm_pass() {
        assert!(judged(&healthy(), &pods(), "v1.37.2").is_empty());
    }

    #[test]
    fn a_missing_binding_names_the_step_that_fails() {
        let findings = judged(&without("kubeadm:kubelet-bootstrap"), &pods(), "v1.37.2");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding kubeadm:kubelet-bootstrap");
        assert_eq!(findings[0].impact.as_deref(), Some("a joining kubelet cannot request its certificate"));
        assert_eq!(
            findings[0].fix,
            "kubectl create clusterrolebinding kubeadm:kubelet-bootstrap --clusterrole=system:node-bootstrapper \
                 --group=system:bootstrappers:kubeadm:default-node-token --dry-run=client -o yaml | \
                 kubectl auth reconcile -f -"
        );
    }

    #[test]
    fn approval_by_hand_is_minor() {
        let findings = judged(&without("kubeadm:node-autoapprove-bootstrap"), &pods(), "v1.37.2");
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Minor));
        assert!(findings[0].impact.as_deref().unwrap().contains("which some clusters intend"));
    }

    #[test]
    fn bindings_of_an_add_on_may_be_missing_without_it() {
        let rbac = without("kubeadm:node-proxier");
        assert_eq!(judged(&rbac, &pods(), "v1.37.2").len(), 1);
        assert!(judged(&rbac, &Pods::default(), "v1.37.2").is_empty());
    }

    #[test]
    fn the_right_to_call_kubelets_is_a_binding_since_certain_versions() {
        let rbac = without("kubeadm:apiserver-kubelet-client");
        let found = |version| judged(&rbac, &pods(), version).len();
        assert_eq!(["v1.35.4", "v1.35.5", "v1.36.0", "v1.36.1", "v1.37.0"].map(found), [0, 1, 0, 1, 1]);
    }

    #[test]
    fn an_extra_subject_is_found() {
        let holders = [
            "Group system:bootstrappers:kubeadm:default-node-token",
            "Group system:nodes",
            "Group system:authenticated",
        ];
        let path = "kube-system/kubeadm:nodes-kubeadm-config";
        let rbac = healthy().with_binding(path, "Role kubeadm:nodes-kubeadm-config", &holders);
        let findings = judged(&rbac, &pods(), "v1.37.2");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].evidence, ["granted to Group system:authenticated"]);
        assert_eq!(
            findings[0].fix.as_str(),
            "remove Group system:authenticated from the binding: kubectl edit rolebinding kubeadm:nodes-kubeadm-config \
             -n kube-system"
        );
    }

    #[test]
    fn a_missing_subject_and_another_role_are_found() {
        let rbac = healthy()
            .with_binding("kube-system/kubeadm:kubelet-config", "Role kubeadm:kubelet-config", &["Group system:nodes"])
            .with_role("edit", Vec::new())
            .with_binding("kubeadm:node-proxier", "ClusterRole edit", &["ServiceAccount kube-system/kube-proxy"]);
        let seen: Vec<_> = judged(&rbac, &pods(), "v1.37.2").into_iter().map(|finding| finding.seen).collect();
        assert_eq!(seen, ["a subject is missing from the binding", "it grants ClusterRole edit"]);
    }

    #[test]
    fn no_fix_is_a_phase_that_writes_kubeadms_defaults() {
        for grant in ALL {
            for fix in [grant.fix(), grant.fix_role()] {
                assert!(!fix.contains("kubeadm init phase") || fix.ends_with("--config kubeadm.yaml"), "{fix}");
            }
        }
    }

    #[test]
    fn a_widened_or_missing_role_is_found() {
        let all = rule(&["get", "list"], "", &["configmaps"]);
        let findings = judged(&healthy().with_role("kube-system/kube-proxy", vec![all]), &pods(), "v1.37.2");
        assert_eq!((findings.len(), findings[0].subjects[0].to_string().as_str()), (1, "Role kube-system/kube-proxy"));
        assert_eq!(findings[0].seen, "it permits more");
        assert_eq!(findings[0].evidence, ["permits: get, list configmaps"]);
        assert_eq!(
            findings[0].fix,
            "kubectl create role kube-proxy -n kube-system --verb=get --resource=configmaps \
                 --resource-name=kube-proxy --dry-run=client -o yaml | \
                 kubectl auth reconcile --remove-extra-permissions -f -"
        );
        let mut missing = healthy();
        missing.roles.remove(&ObjectRef::fixed("ClusterRole", "kubeadm:get-nodes"));
        assert_eq!(judged(&missing, &pods(), "v1.37.2")[0].seen, "it does not exist");
    }

    #[test]
    fn a_stranger_in_kubeadms_name_is_information() {
        let rbac = healthy().with_binding("kubeadm:helper", "ClusterRole edit", &["User alice"]);
        let findings = judged(&rbac, &pods(), "v1.37.2");
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!(findings[0].evidence, ["grants ClusterRole edit"]);
    }
}
