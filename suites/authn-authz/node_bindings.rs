//! # No role is given to nodes behind the Node authorizer's back
//!
//! ## Why
//! The Node authorizer only ever allows. A role that is bound to `system:nodes` or to one node adds to it, so a binding
//! that was kept from an old version, or made by a chart for its agents, opens to every kubelet what was meant for one
//! program.
//!
//! ## Fix
//! Look who needs it (`kubectl describe clusterrolebinding NAME`), bind the role to that program's service account, then
//! take the nodes out of the binding, or delete it if nobody else has it. The binding `system:node` exists without
//! subjects: `kubectl patch clusterrolebinding system:node --type merge -p '{"subjects":null}'`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`clusterRoleBindings`: none for
//! nodes); <https://kubernetes.io/docs/reference/access-authn-authz/node/>. A binding to nodes that gives nothing dangerous
//! is only told, not failed.

use super::expected_holders::{OF_NODES, unexpected};
use crate::check::{Finding, Verdict};
use crate::fact::facts::rbac::{Grant, Rbac};
use crate::holder::Holder;
use crate::suites::rights::{dangers, listed, rules, unbind};

crate::check!("AA-04", "node-bindings", Critical, judge);

/// Roles that are too broad for nodes whatever they hold at the moment.
const BROAD: [&str; 5] = ["system:node", "cluster-admin", "admin", "edit", "view"];

fn judge(rbac: &Rbac) -> Verdict {
    let mut verdict = Verdict::new();
    for grant in rbac.grants() {
        let nodes = grant.binding.holders.iter().filter(|holder| is_node(holder));
        let nodes = unexpected(OF_NODES, &grant, nodes);
        verdict.expect(grant.object.into(), nodes.is_empty(), || {
            let dangers = dangers(grant.existing_rules());
            let finding = Finding::new(
                "nodes have their rights from the Node authorizer alone",
                format!("{} is given to {}: {}", grant.binding.role, listed(&nodes), rules(grant.existing_rules())),
            )
            .mend(mend(&grant, &nodes));
            match (dangers.is_empty(), BROAD.contains(&grant.binding.role.name.as_ref())) {
                (false, _) => finding.so(format!("whoever takes over one node {}", dangers.join(", "))),
                (true, true) => finding.so("every kubelet has a role that is meant for people"),
                (true, false) => finding.so("every kubelet has a right that nodes do not need by themselves").info(),
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

fn mend(grant: &Grant<'_>, nodes: &[&Holder]) -> String {
    if grant.object.name == "system:node" {
        // It is made again at the next start of an API server, without subjects as it should be.
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
    fn the_bindings_of_kubeadm_are_right() {
        let verdict = judge(&healthy());
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn the_old_binding_to_all_nodes_is_found() {
        let rbac = healthy().with_binding("system:node", "ClusterRole system:node", &["Group system:nodes"]);
        let findings = judge(&rbac).findings(Severity::Critical);
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding system:node");
        assert!(findings[0].seen.contains("ClusterRole system:node is given to Group system:nodes"));
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
    fn a_harmless_right_is_told() {
        let rbac = healthy().with_role("reader", vec![rule(&["get"], "example.com", &["networks"])]).with_binding(
            "reader",
            "ClusterRole reader",
            &["Group system:nodes"],
        );
        assert_eq!(judge(&rbac).findings(Severity::Critical)[0].severity, Severity::Info);
    }
}
