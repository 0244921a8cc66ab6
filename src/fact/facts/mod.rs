//! The facts, one file each.

pub mod api_server_endpoints;
pub mod api_server_handshakes;
pub mod authentication_authorities;
pub mod bootstrap_tokens;
pub mod clock;
pub mod cluster_domain;
pub mod cluster_info;
pub mod cluster_info_access;
pub mod cluster_info_handshake;
pub mod first_service_address;
pub mod kubeadm_config;
pub mod kubeconfig_summary;
pub mod kubelet_handshakes;
pub mod kubernetes_service;
pub mod leader_leases;
pub mod namespaces;
pub mod nodes;
pub mod pods;
pub mod rbac;
pub mod root_ca_config_maps;
pub mod server_version;
pub mod trusted_authorities;
