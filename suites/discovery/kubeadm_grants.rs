//! What kubeadm gives to whom: its roles and bindings, as data with what each is for.

use crate::check::Severity;
use crate::suites::kubeadm_phase::again;
use crate::suites::rights::{SUPER_ADMIN, bind_as};

/// A binding that kubeadm writes.
pub(super) struct KubeadmGrant {
    /// The namespace; none for a ClusterRoleBinding.
    pub(super) namespace: Option<&'static str>,
    /// The binding's name.
    pub(super) name: &'static str,
    /// The role that it gives.
    pub(super) role: &'static str,
    /// Who gets it.
    pub(super) holders: &'static [&'static str],
    /// The only object that the role lets them read, for roles that kubeadm writes itself.
    pub(super) reads: Option<Reads>,
    /// When kubeadm writes it.
    pub(super) when: When,
    /// What fails without it.
    pub(super) without: &'static str,
}

impl KubeadmGrant {
    /// How much it matters if it is missing: approval by hand is for whoever wants every new node looked at.
    pub(super) fn severity(&self) -> Severity {
        if self.without == BY_HAND { Severity::Minor } else { Severity::Major }
    }

    /// The command that writes the binding again, whatever is there.
    pub(super) fn mend(&self) -> String {
        match self.name {
            ADMINISTRATORS => bind_as(SUPER_ADMIN, None, self.name, self.role, self.holders),
            _ => bind_as("kubectl", self.namespace, self.name, self.role, self.holders),
        }
    }

    /// What writes the role again, with nothing but what kubeadm gives it.
    pub(super) fn mend_role(&self) -> String {
        let Some(Reads(resource, name)) = self.reads else {
            return match self.role {
                COREDNS => again("addon coredns"),
                _ => "restart an API server: it writes its own roles again when it starts".into(),
            };
        };
        let (kind, role) = self.role.split_once(' ').unwrap_or(("Role", self.role));
        let namespace = self.namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        let name = name.map(|name| format!(" --resource-name={name}")).unwrap_or_default();
        format!(
            "kubectl create {} {role}{namespace} --verb=get --resource={resource}{name} --dry-run=client -o yaml | \
             kubectl auth reconcile --remove-extra-permissions -f -",
            kind.to_lowercase()
        )
    }
}

/// What follows where a new node's certificate is not approved by itself.
pub(super) const BY_HAND: &str =
    "the certificate of a joining kubelet waits for an administrator's approval, as it should only where that is meant";

/// The grant by which new nodes read a ConfigMap of this name.
pub(super) fn reading(config_map: &str) -> Option<&'static KubeadmGrant> {
    let reads = |grant: &&KubeadmGrant| {
        grant.reads.is_some_and(|Reads(resource, name)| resource == "configmaps" && name == Some(config_map))
    };
    ALL.iter().find(reads)
}

/// The right to get a kind of object, of one name where there is one.
#[derive(Clone, Copy)]
pub(super) struct Reads(pub(super) &'static str, pub(super) Option<&'static str>);

/// When kubeadm writes a binding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// While new nodes find the cluster by a token.
    TokenDiscovery,
    /// Unless its DNS add-on was left out.
    CoreDns,
    /// Unless its kube-proxy add-on was left out.
    KubeProxy,
    /// Since the certificate by which the API server calls kubelets names no group (1.36.1, 1.35.5).
    KubeletClientWithoutGroup,
    /// Once the certificates of the control plane were uploaded.
    UploadedCertificates,
}

const BOOTSTRAPPERS: &str = "Group system:bootstrappers:kubeadm:default-node-token";
const NODES: &str = "Group system:nodes";

const ADMINISTRATORS: &str = "kubeadm:cluster-admins";
const COREDNS: &str = "ClusterRole system:coredns";
const SYSTEM: Option<&str> = Some("kube-system");

/// Every binding that kubeadm writes.
pub(super) const ALL: &[KubeadmGrant] = &[
    KubeadmGrant {
        namespace: None,
        name: ADMINISTRATORS,
        role: "ClusterRole cluster-admin",
        holders: &["Group kubeadm:cluster-admins"],
        reads: None,
        when: When::Always,
        without: "admin.conf has no rights",
    },
    KubeadmGrant {
        namespace: None,
        name: "kubeadm:kubelet-bootstrap",
        role: "ClusterRole system:node-bootstrapper",
        holders: &[BOOTSTRAPPERS],
        reads: None,
        when: When::Always,
        without: "a joining kubelet cannot ask for its certificate",
    },
    KubeadmGrant {
        namespace: None,
        name: "kubeadm:get-nodes",
        role: "ClusterRole kubeadm:get-nodes",
        holders: &[BOOTSTRAPPERS],
        reads: Some(Reads("nodes", None)),
        when: When::Always,
        without: "kubeadm join cannot tell whether the node's name is taken",
    },
    KubeadmGrant {
        namespace: None,
        name: "kubeadm:node-autoapprove-bootstrap",
        role: "ClusterRole system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        holders: &[BOOTSTRAPPERS],
        reads: None,
        when: When::Always,
        without: BY_HAND,
    },
    KubeadmGrant {
        namespace: None,
        name: "kubeadm:node-autoapprove-certificate-rotation",
        role: "ClusterRole system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        holders: &[NODES],
        reads: None,
        when: When::Always,
        without: "no kubelet can renew its client certificate, and each is locked out when it expires",
    },
    KubeadmGrant {
        namespace: SYSTEM,
        name: "kubeadm:nodes-kubeadm-config",
        role: "Role kubeadm:nodes-kubeadm-config",
        holders: &[BOOTSTRAPPERS, NODES],
        reads: Some(Reads("configmaps", Some("kubeadm-config"))),
        when: When::Always,
        without: "kubeadm join and kubeadm upgrade node cannot read how the cluster was built",
    },
    KubeadmGrant {
        namespace: SYSTEM,
        name: "kubeadm:kubelet-config",
        role: "Role kubeadm:kubelet-config",
        holders: &[BOOTSTRAPPERS, NODES],
        reads: Some(Reads("configmaps", Some("kubelet-config"))),
        when: When::Always,
        without: "kubeadm join and kubeadm upgrade node cannot read the kubelet's configuration",
    },
    KubeadmGrant {
        namespace: Some("kube-public"),
        name: "kubeadm:bootstrap-signer-clusterinfo",
        role: "Role kubeadm:bootstrap-signer-clusterinfo",
        holders: &["User system:anonymous"],
        reads: Some(Reads("configmaps", Some("cluster-info"))),
        when: When::TokenDiscovery,
        without: "kubeadm join with a token cannot read cluster-info",
    },
    KubeadmGrant {
        namespace: None,
        name: "kubeadm:node-proxier",
        role: "ClusterRole system:node-proxier",
        holders: &["ServiceAccount kube-system/kube-proxy"],
        reads: None,
        when: When::KubeProxy,
        without: "kube-proxy cannot read Services and EndpointSlices, and Services stop following their pods",
    },
    KubeadmGrant {
        namespace: SYSTEM,
        name: "kube-proxy",
        role: "Role kube-proxy",
        holders: &[BOOTSTRAPPERS],
        reads: Some(Reads("configmaps", Some("kube-proxy"))),
        when: When::KubeProxy,
        without: "kubeadm join cannot read kube-proxy's configuration",
    },
    KubeadmGrant {
        namespace: None,
        name: "system:coredns",
        role: COREDNS,
        holders: &["ServiceAccount kube-system/coredns"],
        reads: None,
        when: When::CoreDns,
        without: "CoreDNS cannot read Services and EndpointSlices, and cluster names stop resolving",
    },
    KubeadmGrant {
        namespace: None,
        name: "kubeadm:apiserver-kubelet-client",
        role: "ClusterRole system:kubelet-api-admin",
        holders: &["User kube-apiserver-kubelet-client"],
        reads: None,
        when: When::KubeletClientWithoutGroup,
        without: "kubectl logs, exec and port-forward fail as soon as apiserver-kubelet-client.crt names no group",
    },
    KubeadmGrant {
        namespace: SYSTEM,
        name: "kubeadm:kubeadm-certs",
        role: "Role kubeadm:kubeadm-certs",
        holders: &[BOOTSTRAPPERS],
        reads: Some(Reads("secrets", Some("kubeadm-certs"))),
        when: When::UploadedCertificates,
        without: "no control-plane node can fetch the certificates",
    },
];
