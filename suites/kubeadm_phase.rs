//! How to run a phase of `kubeadm init` again with the cluster's own settings.

/// Writes the cluster's settings to a file. A phase that runs without `--config` does not look them up: it overwrites
/// what is there with kubeadm's defaults.
const SETTINGS: &str =
    "kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml";

/// Adds the node's own settings, which the cluster's settings do not contain: without them kubeadm takes the address of
/// the default route, and the host's name. `--apiserver-advertise-address` cannot be combined with `--config`.
fn of_node(node: &str) -> String {
    let flag = |name: &str| format!("$(sed -n 's/.*--{name}=//p' /etc/kubernetes/manifests/kube-apiserver.yaml)");
    format!(
        " && printf '%s\\n' '' --- \"$(grep ^apiVersion: kubeadm.yaml)\" 'kind: InitConfiguration' \
         \"localAPIEndpoint: {{advertiseAddress: '{}', bindPort: {}}}\" \"nodeRegistration: {{name: {node}}}\" \
         >> kubeadm.yaml",
        flag("advertise-address"),
        flag("secure-port")
    )
}

/// The name of the node on which a command runs, as its kubelet's certificate has it.
const THIS_NODE: &str = "$(openssl x509 -noout -subject -in /var/lib/kubelet/pki/kubelet-client-current.pem | sed \
                         's/.*system:node://')";

/// The commands that run a phase again, on any control-plane node.
pub fn again(phase: &str) -> String {
    again_on(THIS_NODE, phase)
}

/// The commands that run a phase again on this control-plane node. One that fails stops those after it, which would
/// otherwise go on with an empty file.
pub fn again_on(node: &str, phase: &str) -> String {
    // These phases need nothing from the node.
    const OF_CLUSTER: [&str; 3] = ["addon coredns", "control-plane controller-manager", "control-plane scheduler"];
    let is_of_cluster = OF_CLUSTER.contains(&phase);
    let own = if is_of_cluster { String::new() } else { of_node(node) };
    // These phases write a component's configuration too: kubeadm's default, unless the file has a document for it. The
    // kubelet's configuration on disk also names the runtime's socket of this one node.
    let document = match phase {
        "addon kube-proxy" => {
            " && { echo && echo --- && kubectl -n kube-system get configmap kube-proxy \
             -o jsonpath='{.data.config\\.conf}'; } >> kubeadm.yaml"
        }
        "upload-config kubelet" => {
            " && { echo && echo --- && grep -v ^containerRuntimeEndpoint: /var/lib/kubelet/config.yaml; } >> \
             kubeadm.yaml"
        }
        _ => "",
    };
    let aside = phase.strip_prefix("certs ").map(aside).unwrap_or_default();
    format!("{}{SETTINGS}{own}{document}{aside} && kubeadm init phase {phase} --config kubeadm.yaml", lost(phase))
}

/// The command that restarts a static pod of kubeadm: the kubelet stops it while its manifest is elsewhere.
pub fn restart(component: &str) -> String {
    let manifest = format!("{component}.yaml");
    format!(
        "mv /etc/kubernetes/manifests/{manifest} /root/ && sleep 20 && mv /root/{manifest} /etc/kubernetes/manifests/"
    )
}

/// Moves the old pair away, which kubeadm would otherwise keep: only once everything that the new one needs is there.
fn aside(certificate: &str) -> String {
    let file = certificate.strip_prefix("etcd-").map_or_else(|| certificate.to_owned(), |name| format!("etcd/{name}"));
    format!(" && mv /etc/kubernetes/pki/{file}.crt /etc/kubernetes/pki/{file}.key /root/")
}

/// The changes that a phase overwrites, and how to keep them.
fn lost(phase: &str) -> String {
    match phase.split_once(' ') {
        Some(("control-plane", component)) => format!(
            "this overwrites the manifest: flags that are not among the extraArgs in ConfigMap kubeadm-config are \
             lost, so keep a copy: cp /etc/kubernetes/manifests/kube-{component}.yaml /root/ && "
        ),
        Some(("addon", add_on)) => format!("this overwrites custom changes to the objects of {add_on}: "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phases that need nothing of the cluster's settings but its directory of certificates.
    const WITHOUT_SETTINGS: [&str; 5] =
        ["bootstrap-token", "mark-control-plane", "kubelet-finalize", "upload-certs", "certs front-proxy-c"];

    #[test]
    fn a_phase_runs_with_the_settings_that_it_would_overwrite() {
        assert!(again("certs apiserver").ends_with(
            "kubeadm.yaml && mv /etc/kubernetes/pki/apiserver.crt /etc/kubernetes/pki/apiserver.key /root/ \
                     && kubeadm init phase certs apiserver --config kubeadm.yaml"
        ));
        let peer = again_on("n1", "certs etcd-peer");
        assert!(
            peer.contains("\"nodeRegistration: {name: n1}\"") && peer.contains("mv /etc/kubernetes/pki/etcd/peer.crt")
        );
        assert!(again("certs apiserver").contains("{name: $(openssl x509 "));
        assert!(!again("addon coredns").contains("nodeRegistration"));
        assert!(
            again("control-plane controller-manager")
                .contains("cp /etc/kubernetes/manifests/kube-controller-manager.yaml")
        );
        assert!(again("addon kube-proxy").contains("configmap kube-proxy"));
        assert!(again("upload-config kubelet").contains("/var/lib/kubelet/config.yaml"));
    }

    #[test]
    fn no_check_advises_a_phase_with_the_defaults_of_kubeadm() {
        for check in crate::suites::checks() {
            let fix = check.documentation().fix.replace('\n', " ");
            for (at, _) in fix.match_indices("kubeadm init phase ") {
                let phase = &fix[at + "kubeadm init phase ".len()..];
                let command = phase.split('`').next().unwrap_or(phase);
                let is_free = WITHOUT_SETTINGS.iter().any(|free| command.starts_with(free));
                let has_settings = command.contains("--config") || command.contains("--apiserver-advertise-address");
                assert!(is_free || has_settings, "{}: kubeadm init phase {command}", check.id);
            }
        }
    }
}
