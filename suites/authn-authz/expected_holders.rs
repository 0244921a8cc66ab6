//! Who is expected to have which right: the allow-lists of the checks about bindings, as data with their reasons.

use crate::fact::facts::rbac::{Grant, PolicyRule};

/// A binding that is as it should be.
pub(super) struct Expected {
    /// The namespace; none for a ClusterRoleBinding.
    namespace: Option<&'static str>,
    /// The name.
    name: &'static str,
    /// The role.
    role: &'static str,
    /// Those who may have it, of the ones that a table is about.
    holders: &'static [&'static str],
    /// All the resources that the role may speak of.
    resources: &'static [&'static str],
}

const fn cluster(
    name: &'static str,
    role: &'static str,
    holders: &'static [&'static str],
    resources: &'static [&'static str],
) -> Expected {
    Expected { namespace: None, name, role, holders, resources }
}

const fn namespaced(namespace: &'static str, expected: Expected) -> Expected {
    Expected { namespace: Some(namespace), ..expected }
}

const NODES: &[&str] = &["Group system:nodes"];
const EVERYBODY: &[&str] = &["Group system:unauthenticated", "Group system:authenticated"];

/// What nodes get by RBAC besides what the Node authorizer lets them do.
pub(super) const OF_NODES: &[Expected] = &[
    // kubeadm: a kubelet renews its own certificate.
    cluster(
        "kubeadm:node-autoapprove-certificate-rotation",
        "ClusterRole system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        NODES,
        &["certificatesigningrequests/selfnodeclient"],
    ),
    // kubeadm upgrade node and kubeadm join of a control-plane node read how the cluster was built.
    namespaced(
        "kube-system",
        cluster("kubeadm:nodes-kubeadm-config", "Role kubeadm:nodes-kubeadm-config", NODES, &["configmaps"]),
    ),
    namespaced("kube-system", cluster("kubeadm:kubelet-config", "Role kubeadm:kubelet-config", NODES, &["configmaps"])),
    // Talos: a kubelet asks for its certificate, and renews it.
    cluster(
        "system-bootstrap-node-bootstrapper",
        "ClusterRole system:node-bootstrapper",
        NODES,
        &["certificatesigningrequests"],
    ),
    cluster(
        "system-bootstrap-node-renewal",
        "ClusterRole system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        NODES,
        &["certificatesigningrequests/selfnodeclient"],
    ),
    // EKS: a kubelet asks for its serving certificate.
    cluster("eks:node-bootstrapper", "ClusterRole eks:node-bootstrapper", NODES, &["certificatesigningrequests"]),
];

/// What everybody gets, logged in or not.
pub(super) const OF_EVERYBODY: &[Expected] = &[
    // Load balancers and probes ask for health, clients for the version.
    cluster("system:public-info-viewer", "ClusterRole system:public-info-viewer", EVERYBODY, &[]),
    // Whoever can log in may ask who they are and what they may do.
    cluster(
        "system:basic-user",
        "ClusterRole system:basic-user",
        &["Group system:authenticated"],
        &["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"],
    ),
    // Clients find out which APIs there are.
    cluster("system:discovery", "ClusterRole system:discovery", &["Group system:authenticated"], &[]),
    // Pods verify each other's tokens and certificates.
    cluster(
        "system:service-account-issuer-discovery",
        "ClusterRole system:service-account-issuer-discovery",
        &["Group system:serviceaccounts"],
        &[],
    ),
    cluster(
        "system:cluster-trust-bundle-discovery",
        "ClusterRole system:cluster-trust-bundle-discovery",
        &["Group system:serviceaccounts"],
        &["clustertrustbundles"],
    ),
    // kubeadm: a new node finds the cluster before it has a credential.
    namespaced(
        "kube-public",
        cluster(
            "kubeadm:bootstrap-signer-clusterinfo",
            "Role kubeadm:bootstrap-signer-clusterinfo",
            &["User system:anonymous"],
            &["configmaps"],
        ),
    ),
    // OpenShift opens the issuer's discovery besides health and version.
    cluster("system:openshift:public-info-viewer", "ClusterRole system:openshift:public-info-viewer", EVERYBODY, &[]),
    // What else OpenShift gives to those who are not logged in (openshift/openshift-apiserver pkg/bootstrappolicy/policy.go,
    // GetOpenshiftBootstrapClusterRoleBindings): to ask about oneself, to delete a token or to start a build of which one
    // knows the secret name or the webhook's secret, and to narrow one's own scope.
    cluster(
        "self-access-reviewers",
        "ClusterRole self-access-reviewer",
        EVERYBODY,
        &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    ),
    cluster(
        "system:oauth-token-deleters",
        "ClusterRole system:oauth-token-deleter",
        EVERYBODY,
        &["oauthaccesstokens", "oauthauthorizetokens"],
    ),
    cluster("system:webhooks", "ClusterRole system:webhook", EVERYBODY, &["buildconfigs/webhooks"]),
    cluster(
        "system:scope-impersonation",
        "ClusterRole system:scope-impersonation",
        EVERYBODY,
        &["userextras/scopes.authorization.openshift.io"],
    ),
];

/// The ClusterRole by which OpenShift shows. It gives a good deal to everybody who is logged in, and so do its operators.
pub(super) const OF_OPENSHIFT: &str = "system:openshift:discovery";

/// Who is a cluster's administrator in every cluster that has them: certificates of the group system:masters, which is
/// built in and cannot be revoked, and kubeadm's admin.conf.
pub(super) const ADMINISTRATORS: &[&str] = &["Group system:masters", "Group kubeadm:cluster-admins"];

/// The group of kubeadm's admin.conf, and the binding that makes it administrator.
pub(super) const KUBEADM_ADMINISTRATORS: (&str, &str) = ("Group kubeadm:cluster-admins", "kubeadm:cluster-admins");

/// Somebody who is expected to have powers.
pub(super) struct Powerful {
    /// Who; `*` at the end stands for all that begin so.
    holder: &'static str,
    /// By which binding, likewise.
    binding: &'static str,
    /// The powers, by name; none stands for all of them.
    powers: &'static [&'static str],
    /// Why.
    pub(super) why: &'static str,
}

/// A controller of the controller-manager, with the powers that its work takes.
macro_rules! controller {
    ($name:literal, $powers:expr) => {
        Powerful {
            holder: concat!("ServiceAccount kube-system/", $name),
            binding: concat!("system:controller:", $name),
            powers: $powers,
            why: "the controller-manager",
        }
    };
}

/// An add-on, with the powers that its work takes: the reason is what it does with them.
const fn add_on(holder: &'static str, powers: &'static [&'static str], why: &'static str) -> Powerful {
    Powerful { holder, binding: "*", powers, why }
}

/// Part of a distribution, which answers for it.
const fn distribution(holder: &'static str, why: &'static str) -> Powerful {
    Powerful { holder, binding: "*", powers: &[], why }
}

/// Who is expected to have powers that lead to everything, and why.
pub(super) const POWERFUL: &[Powerful] = &[
    // The control plane: its credentials are files on its nodes, and whoever has those nodes has the cluster.
    Powerful {
        holder: "User system:kube-controller-manager",
        binding: "system:kube-controller-manager",
        powers: &["tokens", "token-secrets", "secrets"],
        why: "the controller-manager",
    },
    Powerful {
        holder: "User kube-apiserver-kubelet-client",
        binding: "kubeadm:apiserver-kubelet-client",
        powers: &["kubelets"],
        why: "the API server, when it asks kubelets",
    },
    // K3s (manifests/rolebindings.yaml), RKE2 (pkg/rke2/clusterrole_bootstrap.go) and what is deployed by Kubernetes'
    // cluster/addons/rbac/kubelet-api-auth, as GKE is.
    Powerful {
        holder: "User kube-apiserver",
        binding: "kube-apiserver-kubelet-*",
        powers: &["kubelets"],
        why: "the API server, when it asks kubelets",
    },
    controller!("clusterrole-aggregation-controller", &["escalate"]),
    controller!("cronjob-controller", &["pods"]),
    controller!("daemon-set-controller", &["pods"]),
    controller!("deployment-controller", &["pods"]),
    controller!("job-controller", &["pods"]),
    controller!("replicaset-controller", &["pods"]),
    controller!("replication-controller", &["pods"]),
    controller!("statefulset-controller", &["pods"]),
    controller!("persistent-volume-binder", &["pods", "secrets"]),
    controller!("expand-controller", &["secrets"]),
    controller!("legacy-service-account-token-cleaner", &["secrets"]),
    controller!("token-cleaner", &["secrets"]),
    controller!("bootstrap-signer", &["secrets"]),
    controller!("cloud-provider", &["secrets"]),
    // These four go through objects of every kind, by a wildcard.
    controller!("generic-garbage-collector", &[]),
    controller!("namespace-controller", &[]),
    controller!("resourcequota-controller", &["secrets"]),
    controller!("storage-version-migrator-controller", &[]),
    // Distributions.
    distribution("ServiceAccount openshift-*", "OpenShift's operators"),
    distribution("User system:openshift*", "OpenShift's control plane"),
    distribution("Group system:cluster-admins", "OpenShift's administrators"),
    distribution("User system:gke-*", "GKE's control plane"),
    distribution("Group system:gke-*", "GKE's control plane"),
    distribution("ServiceAccount gke-*", "GKE's add-ons"),
    distribution("User eks:*", "the control plane of EKS"),
    distribution("Group eks:*", "the control plane of EKS"),
    distribution("ServiceAccount kube-system/eks-*", "the add-ons of EKS"),
    distribution("User system:k3s-*", "K3s' control plane"),
    distribution("User system:rke2-*", "RKE2's control plane"),
    // Their load balancers are DaemonSets: K3s manifests/ccm.yaml, RKE2 pkg/rke2/clusterrole_bootstrap.go.
    distribution("User k3s-cloud-controller-manager", "the cloud controller manager of K3s"),
    distribution("User rke2-cloud-controller-manager", "the cloud controller manager of RKE2"),
    distribution("User system:cloud-controller-manager", "the cloud controller manager"),
    distribution("ServiceAccount kube-system/cloud-controller-manager", "the cloud controller manager"),
    distribution("ServiceAccount kube-system/cloud-node-manager", "the cloud controller manager of AKS"),
    // Add-ons.
    add_on("ServiceAccount tigera-operator/tigera-operator", &[], "it installs Calico with all its rights"),
    add_on("ServiceAccount argocd/argocd-server", &[], "it deploys whatever it is told to"),
    add_on(
        "ServiceAccount cert-manager/cert-manager",
        &["secrets", "token-secrets", "pods"],
        "it keeps certificates in Secrets, and answers ACME challenges from pods",
    ),
    add_on(
        "ServiceAccount cert-manager/cert-manager-cainjector",
        &["secrets", "admission"],
        "it writes authorities from Secrets into webhook configurations",
    ),
    add_on("ServiceAccount ingress-nginx/ingress-nginx", &["secrets"], "it serves with certificates from Secrets"),
    add_on("ServiceAccount traefik/traefik", &["secrets"], "it serves with certificates from Secrets"),
    add_on("ServiceAccount kube-system/traefik", &["secrets"], "it serves with certificates from Secrets"),
    add_on(
        "ServiceAccount istio-system/istiod",
        &["secrets", "admission", "token-secrets"],
        "it injects sidecars, and keeps certificates in Secrets",
    ),
    add_on(
        "ServiceAccount external-secrets/external-secrets",
        &["secrets", "token-secrets", "tokens"],
        "it writes Secrets, and logs in to vaults as the service accounts that ask for them",
    ),
    add_on("ServiceAccount kube-system/sealed-secrets-controller", &["secrets", "token-secrets"], "it writes Secrets"),
    add_on("ServiceAccount kube-system/kube-state-metrics", &["secrets"], "it counts Secrets"),
    add_on("ServiceAccount monitoring/kube-state-metrics", &["secrets"], "it counts Secrets"),
    add_on("ServiceAccount keda/keda-operator", &["secrets"], "it asks event sources with credentials from Secrets"),
    add_on(
        "ServiceAccount kyverno/kyverno-*",
        &["secrets", "admission", "token-secrets"],
        "it changes what is admitted",
    ),
    add_on("ServiceAccount gatekeeper-system/gatekeeper-admin", &[], "it looks at objects of every kind"),
    add_on(
        "ServiceAccount local-path-storage/local-path-provisioner-service-account",
        &["pods"],
        "it makes and removes volumes by pods",
    ),
    add_on(
        "ServiceAccount kube-system/local-path-provisioner-service-account",
        &["pods"],
        "it makes and removes volumes by pods",
    ),
    add_on("ServiceAccount longhorn-system/longhorn-service-account", &[], "it runs the storage on every node"),
    add_on("ServiceAccount rook-ceph/rook-ceph-system", &[], "it runs the storage on every node"),
];

/// The entry that expects somebody to have a power by a binding.
pub(super) fn expected_power(holder: &str, binding: &str, power: &str) -> Option<&'static Powerful> {
    let fits = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    };
    POWERFUL.iter().find(|entry| {
        fits(entry.holder, holder)
            && fits(entry.binding, binding)
            && (entry.powers.is_empty() || entry.powers.contains(&power))
    })
}

/// Those of these holders whom a table does not expect to have what a binding gives.
pub(super) fn unexpected(table: &[Expected], grant: &Grant<'_>, holders: impl Iterator<Item = String>) -> Vec<String> {
    let expected = table.iter().find(|expected| {
        (expected.namespace, expected.name) == (grant.namespace, grant.name)
            && expected.role == grant.role()
            && grant.existing_rules().iter().all(|rule| expected.covers(rule))
    });
    let holders = holders.filter(|holder| !expected.is_some_and(|it| it.holders.contains(&holder.as_str())));
    holders.collect()
}

impl Expected {
    fn covers(&self, rule: &PolicyRule) -> bool {
        rule.resources.iter().all(|resource| self.resources.contains(&resource.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::rbac::Rbac;
    use crate::fact::facts::rbac::testing::rule;

    #[test]
    fn a_power_is_expected_of_its_holder_by_its_binding_only() {
        let holder = "ServiceAccount kube-system/deployment-controller";
        let expected = |binding, power| expected_power(holder, binding, power).is_some();
        assert!(expected("system:controller:deployment-controller", "pods"));
        assert!(!expected("system:controller:deployment-controller", "escalate"), "a role that was widened");
        assert!(!expected("helper", "pods"), "another binding");
        assert!(expected_power("User eks:node-manager", "eks:node-manager", "tokens").is_some());
        for binding in ["kube-apiserver-kubelet-admin", "kube-apiserver-kubelet-api-admin"] {
            assert!(expected_power("User kube-apiserver", binding, "kubelets").is_some());
            assert!(expected_power("User kube-apiserver", binding, "secrets").is_none());
        }
        assert!(expected_power("User k3s-cloud-controller-manager", "k3s-cloud-controller-manager", "pods").is_some());
    }

    #[test]
    fn a_binding_is_expected_only_as_far_as_its_table_goes() {
        let everybody = |role: &str, resources: &[&str], holder: &str| {
            let rbac = Rbac::default()
                .with_role("system:basic-user", vec![rule(&["create"], "authorization.k8s.io", resources)])
                .with_binding("system:basic-user", role, &[holder]);
            let grant = rbac.grants().next().unwrap();
            unexpected(OF_EVERYBODY, &grant, [holder.to_owned()].into_iter()).is_empty()
        };
        let (role, own) = ("ClusterRole system:basic-user", &["selfsubjectaccessreviews"][..]);
        assert!(everybody(role, own, "Group system:authenticated"));
        assert!(!everybody(role, own, "Group system:unauthenticated"), "another holder");
        assert!(!everybody("ClusterRole view", own, "Group system:authenticated"), "another role");
        assert!(!everybody(role, &["secrets"], "Group system:authenticated"), "a role that was widened");
    }
}
