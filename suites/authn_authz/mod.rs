//! Authentication and authorization.

pub mod anonymous_surface;
pub mod cluster_admins;
pub mod default_roles;
pub mod escalation;
pub mod foreign_node;
mod helpers;
pub mod kubelet_client;
pub mod legacy_tokens;
pub mod masters_certificates;
pub mod mirror_pods;
pub mod node_authorizer;
pub mod node_bindings;
pub mod node_certificate_requests;
pub mod node_credential;
pub mod node_devices;
pub mod node_labels;
pub mod node_leases;
pub mod node_objects;
pub mod node_pods;
pub mod node_secrets;
pub mod node_token_requests;
pub mod node_tokens;
pub mod pod_security;
pub mod pod_tokens;
pub mod public_bindings;
pub mod rbac_in_force;
pub mod server_settings;
pub mod token_issuer;

crate::suite! {
    name: "authn-authz",
    about: "who gets in, and who may do what: RBAC, the Node authorizer, NodeRestriction, anonymous access",
    checks: [
        rbac_in_force,
        node_authorizer,
        server_settings,
        node_bindings,
        node_secrets,
        node_pods,
        node_objects,
        node_tokens,
        node_leases,
        node_devices,
        foreign_node,
        node_labels,
        mirror_pods,
        node_token_requests,
        node_certificate_requests,
        masters_certificates,
        anonymous_surface,
        public_bindings,
        cluster_admins,
        escalation,
        default_roles,
        kubelet_client,
        pod_security,
        token_issuer,
        pod_tokens,
        legacy_tokens,
        node_credential,
    ],
}
