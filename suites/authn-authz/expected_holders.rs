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
    cluster(
        "system:public-info-viewer",
        "ClusterRole system:public-info-viewer",
        &["Group system:unauthenticated", "Group system:authenticated"],
        &[],
    ),
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
    cluster(
        "system:openshift:public-info-viewer",
        "ClusterRole system:openshift:public-info-viewer",
        &["Group system:unauthenticated", "Group system:authenticated"],
        &[],
    ),
];

/// Who is a cluster's administrator in every cluster that has them: certificates of the group system:masters, which is
/// built in and cannot be revoked, and kubeadm's admin.conf.
pub(super) const ADMINISTRATORS: &[&str] = &["Group system:masters", "Group kubeadm:cluster-admins"];

/// The group of kubeadm's admin.conf, and the binding that makes it administrator.
pub(super) const KUBEADM_ADMINISTRATORS: (&str, &str) = ("Group kubeadm:cluster-admins", "kubeadm:cluster-admins");

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
