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
    let commands = again_on("NODE", phase);
    if commands.contains("NODE") { format!("with the node's name for NODE: {commands}") } else { commands }
}

/// The commands that run a phase again on this control-plane node. One that fails stops those after it, which would go on
/// with an empty file.
pub fn again_on(node: &str, phase: &str) -> String {
    // None of these asks for anything of the node.
    const OF_CLUSTER: [&str; 3] = ["addon coredns", "control-plane controller-manager", "control-plane scheduler"];
    let is_of_cluster = OF_CLUSTER.contains(&phase);
    let own = if is_of_cluster { String::new() } else { of_node(node) };
    // What a phase writes besides is kubeadm's default as well, unless the file has a document for it. The runtime's socket
    // is the node's own in that one.
    let document = match phase {
        "addon kube-proxy" => {
            " && { echo && echo --- && kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\\.conf}'; } >> kubeadm.yaml"
        }
        "upload-config kubelet" => {
            " && { echo && echo --- && grep -v ^containerRuntimeEndpoint: /var/lib/kubelet/config.yaml; } >> kubeadm.yaml"
        }
        _ => "",
    };
    let aside = phase.strip_prefix("certs ").map(aside).unwrap_or_default();
    format!("{}{SETTINGS}{own}{document}{aside} && kubeadm init phase {phase} --config kubeadm.yaml", lost(phase))
}

/// Puts the old pair away, which kubeadm would leave as it is: only when all that the new one is made of is there.
fn aside(certificate: &str) -> String {
    let file = certificate.strip_prefix("etcd-").map_or_else(|| certificate.to_owned(), |name| format!("etcd/{name}"));
    format!(" && mv /etc/kubernetes/pki/{file}.crt /etc/kubernetes/pki/{file}.key /root/")
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
        assert!(again("certs apiserver").ends_with(
            "kubeadm.yaml && mv /etc/kubernetes/pki/apiserver.crt /etc/kubernetes/pki/apiserver.key /root/ \
                     && kubeadm init phase certs apiserver --config kubeadm.yaml"
        ));
        let peer = again_on("n1", "certs etcd-peer");
        assert!(
            peer.contains("'nodeRegistration: {name: n1}'") && peer.contains("mv /etc/kubernetes/pki/etcd/peer.crt")
        );
        assert!(again("certs apiserver").starts_with("with the node's name for NODE: "));
        assert!(!again("addon coredns").contains("NODE"));
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
