//! Who gets in, and who may do what.

pub mod anonymous_surface;
pub mod cluster_admins;
pub mod default_roles;
pub mod escalation;
mod expected_holders;
pub mod foreign_node;
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
mod node_rights;
pub mod node_secrets;
pub mod node_token_requests;
pub mod node_tokens;
mod node_writes;
pub mod pod_security;
pub mod pod_tokens;
mod power_paths;
mod powers;
pub mod public_bindings;
pub mod rbac_in_force;
pub mod server_settings;
pub mod token_issuer;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "authn-authz",
    about: "who gets in, and who may do what: RBAC, the Node authorizer, NodeRestriction, anonymous access",
    checks: &[
        &rbac_in_force::CHECK,
        &node_authorizer::CHECK,
        &server_settings::CHECK,
        &node_bindings::CHECK,
        &node_secrets::CHECK,
        &node_pods::CHECK,
        &node_objects::CHECK,
        &node_tokens::CHECK,
        &node_leases::CHECK,
        &node_devices::CHECK,
        &foreign_node::CHECK,
        &node_labels::CHECK,
        &mirror_pods::CHECK,
        &node_token_requests::CHECK,
        &node_certificate_requests::CHECK,
        &masters_certificates::CHECK,
        &anonymous_surface::CHECK,
        &public_bindings::CHECK,
        &cluster_admins::CHECK,
        &escalation::CHECK,
        &default_roles::CHECK,
        &kubelet_client::CHECK,
        &pod_security::CHECK,
        &token_issuer::CHECK,
        &pod_tokens::CHECK,
        &legacy_tokens::CHECK,
        &node_credential::CHECK,
    ],
};
