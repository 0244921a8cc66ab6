//! The facts, one file each.

pub mod api_server_endpoints;
pub mod clock;
pub mod cluster_domain;
pub mod dns_servers;
pub mod kubeadm_config;
pub mod kubelet_anonymous;
pub mod kubernetes_service;
pub mod leader_leases;
pub mod nodes;
pub mod pods;
pub mod probe_reports;
pub mod server_version;
