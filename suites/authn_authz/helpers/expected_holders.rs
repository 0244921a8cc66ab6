//! The allow-lists of the checks about bindings, as data with their reasons.

use crate::fact::facts::rbac::{BINDING, CLUSTER_BINDING, CLUSTER_ROLE, Grant, PolicyRule, ROLE};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;

/// A binding that is as it should be.
pub(crate) struct Expected {
    binding: ObjectRef,
    role: ObjectRef,
    /// The holders that it may have, of those that a table is about.
    holders: &'static [Holder],
    /// All the resources that the role may name.
    resources: &'static [&'static str],
}

/// A ClusterRoleBinding of a ClusterRole.
const fn cluster(
    name: &'static str,
    role: &'static str,
    holders: &'static [Holder],
    resources: &'static [&'static str],
) -> Expected {
    let binding = ObjectRef::fixed(CLUSTER_BINDING, name);
    Expected { binding, role: ObjectRef::fixed(CLUSTER_ROLE, role), holders, resources }
}

/// A RoleBinding of the Role of the same name.
const fn namespaced(
    namespace: &'static str,
    name: &'static str,
    holders: &'static [Holder],
    resources: &'static [&'static str],
) -> Expected {
    let binding = ObjectRef::fixed_in(namespace, BINDING, name);
    Expected { binding, role: ObjectRef::fixed_in(namespace, ROLE, name), holders, resources }
}

const NODES: &[Holder] = &[Holder::group("system:nodes")];
const AUTHENTICATED: &[Holder] = &[Holder::group("system:authenticated")];
const ACCOUNTS: &[Holder] = &[Holder::group("system:serviceaccounts")];
const ANONYMOUS: &[Holder] = &[Holder::user("system:anonymous")];
const EVERYONE: &[Holder] = &[Holder::group("system:unauthenticated"), Holder::group("system:authenticated")];

/// What RBAC grants to nodes in addition to the Node authorizer.
pub(crate) const OF_NODES: &[Expected] = &[
    // kubeadm: a kubelet renews its own certificate.
    cluster(
        "kubeadm:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        NODES,
        &["certificatesigningrequests/selfnodeclient"],
    ),
    // kubeadm upgrade node and kubeadm join of a control-plane node read how the cluster was built.
    namespaced("kube-system", "kubeadm:nodes-kubeadm-config", NODES, &["configmaps"]),
    namespaced("kube-system", "kubeadm:kubelet-config", NODES, &["configmaps"]),
    // Talos: a kubelet asks for its certificate, and renews it.
    cluster("system-bootstrap-node-bootstrapper", "system:node-bootstrapper", NODES, &["certificatesigningrequests"]),
    cluster(
        "system-bootstrap-node-renewal",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        NODES,
        &["certificatesigningrequests/selfnodeclient"],
    ),
    // EKS: a kubelet asks for its serving certificate.
    cluster("eks:node-bootstrapper", "eks:node-bootstrapper", NODES, &["certificatesigningrequests"]),
];

/// What every client gets, authenticated or not.
pub(crate) const OF_EVERYONE: &[Expected] = &[
    // Load balancers and probes ask for health, clients for the version.
    cluster("system:public-info-viewer", "system:public-info-viewer", EVERYONE, &[]),
    // Every authenticated user may ask who they are and what they may do.
    cluster(
        "system:basic-user",
        "system:basic-user",
        AUTHENTICATED,
        &["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"],
    ),
    // Clients find out which APIs there are.
    cluster("system:discovery", "system:discovery", AUTHENTICATED, &[]),
    // Pods verify each other's tokens and certificates.
    cluster("system:service-account-issuer-discovery", "system:service-account-issuer-discovery", ACCOUNTS, &[]),
    cluster(
        "system:cluster-trust-bundle-discovery",
        "system:cluster-trust-bundle-discovery",
        ACCOUNTS,
        &["clustertrustbundles"],
    ),
    // kubeadm: a new node finds the cluster before it has a credential.
    namespaced("kube-public", "kubeadm:bootstrap-signer-clusterinfo", ANONYMOUS, &["configmaps"]),
    // OpenShift also opens the issuer's discovery.
    cluster("system:openshift:public-info-viewer", "system:openshift:public-info-viewer", EVERYONE, &[]),
    // What else OpenShift grants to anonymous clients (openshift/openshift-apiserver pkg/bootstrappolicy/policy.go,
    // GetOpenshiftBootstrapClusterRoleBindings): to ask about oneself, to delete a token or to start a build with its
    // secret name or the webhook's secret, and to narrow one's own scope.
    cluster(
        "self-access-reviewers",
        "self-access-reviewer",
        EVERYONE,
        &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    ),
    cluster(
        "system:oauth-token-deleters",
        "system:oauth-token-deleter",
        EVERYONE,
        &["oauthaccesstokens", "oauthauthorizetokens"],
    ),
    cluster("system:webhooks", "system:webhook", EVERYONE, &["buildconfigs/webhooks"]),
    cluster(
        "system:scope-impersonation",
        "system:scope-impersonation",
        EVERYONE,
        &["userextras/scopes.authorization.openshift.io"],
    ),
];

/// The ClusterRole that identifies OpenShift, which grants a good deal to every authenticated user, as do its
/// operators.
pub(crate) const OF_OPENSHIFT: &str = "system:openshift:discovery";

/// The administrators of every cluster that has them: certificates of the group system:masters, which is built in and
/// cannot be revoked, and kubeadm's admin.conf.
pub(crate) const ADMINISTRATORS: &[Holder] = &[Holder::group("system:masters"), KUBEADM_ADMINISTRATORS];

/// The group of kubeadm's admin.conf.
pub(crate) const KUBEADM_ADMINISTRATORS: Holder = Holder::group("kubeadm:cluster-admins");
/// The binding that makes it administrator.
pub(crate) const KUBEADM_BINDING: ObjectRef = ObjectRef::fixed(CLUSTER_BINDING, "kubeadm:cluster-admins");

/// A holder that is expected to have powers.
pub(crate) struct Powerful {
    /// The holder in words; `*` at the end stands for any ending.
    holder: &'static str,
    /// The name of the binding, likewise.
    binding: &'static str,
    /// The powers, by name; none stands for all of them.
    powers: &'static [&'static str],
    /// Why.
    pub(crate) why: &'static str,
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

/// Part of a distribution, which is responsible for it.
const fn distribution(holder: &'static str, why: &'static str) -> Powerful {
    Powerful { holder, binding: "*", powers: &[], why }
}

/// The parts of Kubernetes and its distributions that are expected to have powers that lead to everything, and why.
/// Add-ons are in `add_ons`.
pub(crate) const POWERFUL: &[Powerful] = &[
    // The control plane: its credentials are files on its nodes, and control of those nodes is control of the cluster.
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
        why: "the API server, when it calls kubelets",
    },
    // K3s (manifests/rolebindings.yaml), RKE2 (pkg/rke2/clusterrole_bootstrap.go) and what is deployed by Kubernetes'
    // cluster/addons/rbac/kubelet-api-auth, as GKE is.
    Powerful {
        holder: "User kube-apiserver",
        binding: "kube-apiserver-kubelet-*",
        powers: &["kubelets"],
        why: "the API server, when it calls kubelets",
    },
    controller!("clusterrole-aggregation-controller", &["escalate"]),
    controller!("cronjob-controller", &["pods", "images"]),
    controller!("daemon-set-controller", &["pods", "images"]),
    controller!("deployment-controller", &["pods", "images"]),
    controller!("job-controller", &["pods", "images"]),
    controller!("replicaset-controller", &["pods", "images"]),
    controller!("replication-controller", &["pods", "images"]),
    controller!("statefulset-controller", &["pods", "images"]),
    controller!("persistent-volume-binder", &["pods", "images", "secrets"]),
    controller!("expand-controller", &["secrets"]),
    controller!("legacy-service-account-token-cleaner", &["secrets"]),
    controller!("token-cleaner", &["secrets"]),
    controller!("bootstrap-signer", &["secrets"]),
    controller!("cloud-provider", &["secrets"]),
    // These four handle objects of every kind, by a wildcard.
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
    // K3s manifests/local-storage.yaml: its pods create and remove volumes.
    Powerful {
        holder: "ServiceAccount kube-system/local-path-provisioner-service-account",
        binding: "local-path-provisioner-bind",
        powers: &["pods", "images"],
        why: "the storage of K3s",
    },
];

/// The entry that expects a holder to have a power by a binding.
pub(crate) fn expected_power(holder: &Holder, binding: &str, power: &str) -> Option<&'static Powerful> {
    let holder = holder.to_string();
    let fits = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    };
    POWERFUL.iter().find(|entry| {
        fits(entry.holder, &holder)
            && fits(entry.binding, binding)
            && (entry.powers.is_empty() || entry.powers.contains(&power))
    })
}

/// The holders of a binding that a table does not expect to have it.
pub(crate) fn unexpected<'a>(
    table: &[Expected],
    grant: &Grant<'_>,
    holders: impl Iterator<Item = &'a Holder>,
) -> Vec<&'a Holder> {
    let expected = table.iter().find(|expected| {
        expected.binding == *grant.object
            && expected.role == grant.binding.role
            && grant.existing_rules().iter().all(|rule| expected.covers(rule))
    });
    holders.filter(|holder| !expected.is_some_and(|it| it.holders.contains(holder))).collect()
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
        let holder = Holder::account("kube-system", "deployment-controller");
        let expected = |binding, power| expected_power(&holder, binding, power).is_some();
        assert!(expected("system:controller:deployment-controller", "pods"));
        assert!(!expected("system:controller:deployment-controller", "escalate"), "a role that was widened");
        assert!(!expected("helper", "pods"), "another binding");
        assert!(expected_power(&Holder::user("eks:node-manager"), "eks:node-manager", "tokens").is_some());
        for binding in ["kube-apiserver-kubelet-admin", "kube-apiserver-kubelet-api-admin"] {
            assert!(expected_power(&Holder::user("kube-apiserver"), binding, "kubelets").is_some());
            assert!(expected_power(&Holder::user("kube-apiserver"), binding, "secrets").is_none());
        }
        assert!(
            expected_power(&Holder::user("k3s-cloud-controller-manager"), "k3s-cloud-controller-manager", "pods")
                .is_some()
        );
    }

    #[test]
    fn a_binding_is_expected_only_as_far_as_its_table_goes() {
        let everyone = |role: &str, resources: &[&str], holder: &str| {
            let rbac = Rbac::default()
                .with_role("system:basic-user", vec![rule(&["create"], "authorization.k8s.io", resources)])
                .with_binding("system:basic-user", role, &[holder]);
            let grant = rbac.grants().next().unwrap();
            unexpected(OF_EVERYONE, &grant, grant.binding.holders.iter()).is_empty()
        };
        let (role, own) = ("ClusterRole system:basic-user", &["selfsubjectaccessreviews"][..]);
        assert!(everyone(role, own, "Group system:authenticated"));
        assert!(!everyone(role, own, "Group system:unauthenticated"), "another holder");
        assert!(!everyone("ClusterRole view", own, "Group system:authenticated"), "another role");
        assert!(!everyone(role, &["secrets"], "Group system:authenticated"), "a role that was widened");
    }
}
