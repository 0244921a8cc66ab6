//! The facts, one file each.

pub mod api_server_endpoints;
pub mod api_server_health;
pub mod clock;
pub mod cluster_domain;
pub mod dns_servers;
pub mod kubeadm_config;
pub mod kubelet_anonymous;
pub mod kubernetes_service;
pub mod leader_leases;
pub mod node_leases;
pub mod nodes;
pub mod oldest_api_server;
pub mod pods;
pub mod probe_reports;
pub mod server_version;
