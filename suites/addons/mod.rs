//! Add-ons that the whole cluster depends on: those of the distribution, metrics and storage.

pub mod component_configs;
pub mod kubeadm_addons;
pub mod storage_defaults;
pub mod system_pods;

crate::suite! {
    name: "addons",
    about: "add-ons: kube-proxy, CoreDNS, metrics and storage drivers",
    checks: [
        kubeadm_addons,
        component_configs,
        system_pods,
        storage_defaults,
    ],
}
