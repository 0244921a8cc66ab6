//! # Nodes have no roles apart from those of the Node authorizer
//!
//! ## Why
//! The Node authorizer only ever allows. A role that is bound to `system:nodes` or to one node adds to it: a binding
//! that was kept from an old version, or that a chart created for its agents, gives every kubelet what was meant for
//! one program.
//!
//! ## Fix
//! Find out who needs it (`kubectl describe clusterrolebinding NAME`), bind the role to that program's service account,
//! then remove the nodes from the binding, or delete it if it has no other subject. The binding `system:node` must
//! exist without subjects: `kubectl patch clusterrolebinding system:node --type merge -p '{"subjects":null}'`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`clusterRoleBindings`: none for
//! nodes); <https://kubernetes.io/docs/reference/access-authn-authz/node/>. A binding to nodes that grants nothing
//! dangerous is reported as information only.

use super::helpers::expected_holders::{OF_NODES, unexpected};
use crate::check::{Finding, Verdict};
use crate::fact::facts::rbac::{Grant, Rbac};
use crate::holder::Holder;
use crate::suites::rights::{dangers, details, unbind};

crate::check!("AA-04", "node-bindings", Critical, judge);

/// Roles that are too broad for nodes, whatever they contain at the moment.
const BROAD: [&str; 5] = ["system:node", "cluster-admin", "admin", "edit", "view"];

fn judge(rbac: &Rbac) -> Verdict {
    let mut verdict = Verdict::new();
    for grant in rbac.grants() {
        let nodes = grant.binding.holders.iter().filter(|holder| is_node(holder));
        let nodes = unexpected(OF_NODES, &grant, nodes);
        verdict.expect(grant.object.into(), nodes.is_empty(), || {
            let dangers = dangers(grant.existing_rules());
            let finding = Finding::new(
                "nodes get their rights from the Node authorizer only",
                format!("{} is granted to nodes", grant.binding.role),
            )
            .evidence(details(&nodes, grant.existing_rules()))
            .fix(fix(&grant, &nodes))
            .managed_by(grant.manager);
            match (dangers.is_empty(), BROAD.contains(&grant.binding.role.name.as_ref())) {
                (false, _) => finding.impact(format!("an attacker on one node {}", dangers.join(", "))),
                (true, true) => finding.impact("every kubelet has a role that is meant for people"),
                (true, false) => finding.impact("every kubelet has a right that nodes do not need").info(),
            }
        });
    }
    verdict
}

fn is_node(holder: &Holder) -> bool {
    match holder {
        Holder::Group(name) => name == "system:nodes",
        Holder::User(name) => name.starts_with("system:node:"),
        Holder::ServiceAccount(_) => false,
    }
}

fn fix(grant: &Grant<'_>, nodes: &[&Holder]) -> String {
    if grant.object.name == "system:node" {
        // API servers create it again when they start, without subjects as it should be.
        return "kubectl patch clusterrolebinding system:node --type merge -p '{\"subjects\":null}'".into();
    }
    unbind(grant, nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::rbac::testing::rule;

    fn healthy() -> Rbac {
        let renewal = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";
        Rbac::default()
            .with_role("system:node", vec![rule(&["get", "list", "watch"], "", &["secrets", "configmaps"])])
            .with_role(
                renewal,
                vec![rule(&["create"], "certificates.k8s.io", &["certificatesigningrequests/selfnodeclient"])],
            )
            .with_binding("system:node", "ClusterRole system:node", &[])
            .with_binding(
                "kubeadm:node-autoapprove-certificate-rotation",
                &format!("ClusterRole {renewal}"),
                &["Group system:nodes"],
            )
    }

    #[test]
    fn the_bindings_of_kubeadm_pass() {
        let verdict = judge(&healthy());
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn the_old_binding_to_all_nodes_is_found() {
        let rbac = healthy().with_binding("system:node", "ClusterRole system:node", &["Group system:nodes"]);
        let findings = judge(&rbac).findings(Severity::Critical);
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding system:node");
        assert_eq!(findings[0].seen, "ClusterRole system:node is granted to nodes");
        assert!(findings[0].evidence.contains(&"granted to Group system:nodes".to_owned()), "{findings:?}");
        assert!(findings[0].impact.as_ref().unwrap().contains("reads Secrets"));
        assert!(findings[0].fix.contains("subjects"));
    }

    #[test]
    fn a_chart_that_binds_to_one_node_is_found() {
        let rbac = healthy().with_role("mesh-cni", vec![rule(&["get"], "", &["secrets"])]).with_binding(
            "mesh/mesh-cni",
            "ClusterRole mesh-cni",
            &["User system:node:n1"],
        );
        let findings = judge(&rbac).findings(Severity::Critical);
        assert_eq!(findings[0].subjects[0].to_string(), "RoleBinding mesh/mesh-cni");
        assert_eq!(findings[0].severity, Severity::Critical);
    }

    #[test]
    fn a_harmless_right_is_information() {
        let rbac = healthy().with_role("reader", vec![rule(&["get"], "example.com", &["networks"])]).with_binding(
            "reader",
            "ClusterRole reader",
            &["Group system:nodes"],
        );
        assert_eq!(judge(&rbac).findings(Severity::Critical)[0].severity, Severity::Info);
    }
}
