//! How to change, restart and speed up kube-proxy.

/// How to restart kube-proxy on every node.
pub(crate) const RESTART: &str = "kubectl -n kube-system rollout restart daemonset kube-proxy";

/// How to speed up a kube-proxy that is slow.
pub(crate) const SPEED_UP: &str = "if every node is slow, set minSyncPeriod to 1s in ConfigMap kube-system/kube-proxy \
     and check the load of kube-controller-manager; otherwise check the CPU load of these nodes";

/// How to change the configuration of kube-proxy.
pub(crate) fn configure(change: &str) -> String {
    format!("{change} (kubectl -n kube-system edit configmap kube-proxy), then: {RESTART}")
}

/// How to fix a kube-proxy that does not update its rules.
pub(crate) fn recover() -> String {
    format!(
        "read the log of kube-proxy on these nodes (\"Sync failed\", or minutes of silence), then restart it: {RESTART}"
    )
}
