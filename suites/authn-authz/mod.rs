//! Who gets in, and who may do what.

pub mod anonymous_surface;
pub mod cluster_admins;
mod expected_holders;
pub mod foreign_node;
pub mod kubelet_client;
pub mod mirror_pods;
pub mod node_authorizer;
pub mod node_bindings;
pub mod node_credential;
pub mod node_labels;
pub mod node_leases;
mod node_rights;
pub mod node_secrets;
pub mod node_tokens;
mod node_writes;
pub mod pod_tokens;
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
        &node_tokens::CHECK,
        &node_leases::CHECK,
        &foreign_node::CHECK,
        &node_labels::CHECK,
        &mirror_pods::CHECK,
        &anonymous_surface::CHECK,
        &public_bindings::CHECK,
        &cluster_admins::CHECK,
        &kubelet_client::CHECK,
        &token_issuer::CHECK,
        &pod_tokens::CHECK,
        &node_credential::CHECK,
    ],
};
