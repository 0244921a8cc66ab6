//! The facts, one file each.

pub mod api_server_endpoints;
pub mod api_server_handshakes;
pub mod api_server_health;
pub mod authentication_authorities;
pub mod clock;
pub mod cluster_domain;
pub mod dns_servers;
pub mod first_service_address;
pub mod kubeadm_config;
pub mod kubeconfig_summary;
pub mod kubelet_anonymous;
pub mod kubelet_handshakes;
pub mod kubernetes_service;
pub mod leader_leases;
pub mod namespaces;
pub mod node_leases;
pub mod nodes;
pub mod oldest_api_server;
pub mod pods;
pub mod probe_reports;
pub mod root_ca_config_maps;
pub mod server_version;
pub mod trusted_authorities;
