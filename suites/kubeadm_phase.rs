//! How a phase of `kubeadm init` is run again with the cluster's own settings.

/// Writes the cluster's settings to a file. A phase that is run without `--config` does not look them up: it writes what
/// kubeadm's defaults say over what is there.
const SETTINGS: &str =
    "kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml";

/// The commands that run a phase again, on a control-plane node.
pub fn again(phase: &str) -> String {
    // What a phase writes besides is kubeadm's default as well, unless the file has a document for it.
    let document = match phase {
        "addon kube-proxy" => {
            "; { echo ---; kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\\.conf}'; } >> kubeadm.yaml"
        }
        "upload-config kubelet" => "; { echo ---; cat /var/lib/kubelet/config.yaml; } >> kubeadm.yaml",
        _ => "",
    };
    format!("{SETTINGS}{document}; kubeadm init phase {phase} --config kubeadm.yaml")
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
                .ends_with("kubeadm.yaml; kubeadm init phase certs apiserver --config kubeadm.yaml")
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
                assert!(is_free || command.contains("--config"), "{}: kubeadm init phase {command}", check.id);
            }
        }
    }
}
