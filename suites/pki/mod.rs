//! Certificates and the CAs that sign them.

pub mod apiserver_names;
pub mod authorities;
pub mod client_certificate;
pub mod cluster_trust_bundles;
pub mod endpoint_certificate;
pub mod etcd_certificates;
pub mod expiring_clients;
pub mod front_proxy;
mod helpers;
pub mod instance_certificates;
pub mod kubelet_certificates;
pub mod kubelet_rotation;
pub mod one_key_per_server;
pub mod pki_on_disk;
pub mod root_ca;
pub mod serving_certificate_lifetime;
pub mod stuck_signing_requests;
pub mod tls_floor;

#[cfg(test)]
pub(crate) use helpers::testing;
pub(crate) use helpers::{distrust, issued, lifetime};

crate::suite! {
    name: "pki",
    about: "the certificates of API servers, kubelets and etcd, and the CAs that sign them",
    checks: [
        endpoint_certificate,
        apiserver_names,
        instance_certificates,
        serving_certificate_lifetime,
        authorities,
        root_ca,
        front_proxy,
        kubelet_certificates,
        stuck_signing_requests,
        kubelet_rotation,
        expiring_clients,
        client_certificate,
        one_key_per_server,
        tls_floor,
        etcd_certificates,
        cluster_trust_bundles,
        pki_on_disk,
    ],
}
