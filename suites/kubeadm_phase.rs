//! How a phase of `kubeadm init` is run again with the cluster's own settings.

/// Writes the cluster's settings to a file. A phase that is run without `--config` does not look them up: it writes what
/// kubeadm's defaults say over what is there.
const SETTINGS: &str =
    "kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml";

/// Adds the node's own settings, which the cluster's do not tell: kubeadm would take the address of the default route, and
/// the host's name. `--apiserver-advertise-address` cannot be given besides `--config`.
fn of_node(node: &str) -> String {
    let flag = |name: &str| format!("$(sed -n 's/.*--{name}=//p' /etc/kubernetes/manifests/kube-apiserver.yaml)");
    format!(
        " && printf '%s\\n' '' --- \"$(grep ^apiVersion: kubeadm.yaml)\" 'kind: InitConfiguration' \
         \"localAPIEndpoint: {{advertiseAddress: '{}', bindPort: {}}}\" 'nodeRegistration: {{name: {node}}}' >> kubeadm.yaml",
        flag("advertise-address"),
        flag("secure-port")
    )
}

/// The commands that run a phase again, on a control-plane node whose name is to be put in for `NODE`.
pub fn again(phase: &str) -> String {
    again_on("NODE", phase)
}

/// The commands that run a phase again on this control-plane node. One that fails stops those after it, which would go on
/// with an empty file.
pub fn again_on(node: &str, phase: &str) -> String {
    // Neither asks for anything of the node.
    let is_of_cluster = phase == "addon coredns" || phase.starts_with("control-plane ");
    let own = if is_of_cluster { String::new() } else { of_node(node) };
    // What a phase writes besides is kubeadm's default as well, unless the file has a document for it.
    let document = match phase {
        "addon kube-proxy" => {
            " && { echo && echo --- && kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\\.conf}'; } >> kubeadm.yaml"
        }
        "upload-config kubelet" => " && { echo && echo --- && cat /var/lib/kubelet/config.yaml; } >> kubeadm.yaml",
        _ => "",
    };
    format!("{}{SETTINGS}{own}{document} && kubeadm init phase {phase} --config kubeadm.yaml", lost(phase))
}

/// What a phase overwrites that somebody may have set by hand, and how it is kept.
fn lost(phase: &str) -> String {
    match phase.split_once(' ') {
        Some(("control-plane", component)) => format!(
            "flags that were set by hand in the manifest, and not as extraArgs in ConfigMap kubeadm-config, are lost; keep a \
             copy: cp /etc/kubernetes/manifests/kube-{component}.yaml /root/ && "
        ),
        Some(("addon", add_on)) => format!("what was changed by hand in {add_on}'s own objects is lost: "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phases that take nothing from the cluster's settings but its directory of certificates.
    const WITHOUT_SETTINGS: [&str; 5] =
        ["bootstrap-token", "mark-control-plane", "kubelet-finalize", "upload-certs", "certs front-proxy-c"];

    #[test]
    fn a_phase_is_run_with_the_settings_that_it_would_overwrite() {
        assert!(
            again("certs apiserver")
                .ends_with("kubeadm.yaml && kubeadm init phase certs apiserver --config kubeadm.yaml")
        );
        assert!(again_on("n1", "certs etcd-peer").contains("'nodeRegistration: {name: n1}'"));
        assert!(
            again("control-plane controller-manager")
                .contains("cp /etc/kubernetes/manifests/kube-controller-manager.yaml")
        );
        assert!(again("addon kube-proxy").contains("configmap kube-proxy"));
        assert!(again("upload-config kubelet").contains("/var/lib/kubelet/config.yaml"));
    }

    #[test]
    fn no_check_advises_to_run_a_phase_with_kubeadms_defaults() {
        for check in crate::suites::checks() {
            let fix = check.documentation().fix.replace('\n', " ");
            for (at, _) in fix.match_indices("kubeadm init phase ") {
                let phase = &fix[at + "kubeadm init phase ".len()..];
                let command = phase.split('`').next().unwrap_or(phase);
                let is_free = WITHOUT_SETTINGS.iter().any(|free| command.starts_with(free));
                let is_told = command.contains("--config") || command.contains("--apiserver-advertise-address");
                assert!(is_free || is_told, "{}: kubeadm init phase {command}", check.id);
            }
        }
    }
}
