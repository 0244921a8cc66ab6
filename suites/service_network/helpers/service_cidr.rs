//! How to stop using a range of Service addresses.

use crate::fact::facts::service_cidrs::DEFAULT;

/// How to replace a ServiceCIDR by another range.
pub(crate) fn retire(name: &str) -> String {
    if name == DEFAULT {
        return "this is the range of --service-cluster-ip-range: to change it, follow \
                https://kubernetes.io/docs/tasks/network/reconfigure-default-service-ip-ranges/"
            .into();
    }
    format!(
        "kubectl delete servicecidr {name} --wait=false; then recreate each Service with an address in it, which gets \
         one from another range"
    )
}
