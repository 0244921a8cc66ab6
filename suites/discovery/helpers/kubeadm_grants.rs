//! The roles and bindings that kubeadm writes, as data with what each is for.

use crate::check::Severity;
use crate::fact::facts::rbac::{BINDING, CLUSTER_BINDING, CLUSTER_ROLE, ROLE};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::suites::kubeadm_phase::again;
use crate::suites::rights::{RESTART, SUPER_ADMIN, bind_as, object};

/// A binding that kubeadm writes.
pub(crate) struct KubeadmGrant {
    /// The binding.
    pub(crate) binding: ObjectRef,
    /// The role that it grants.
    pub(crate) role: ObjectRef,
    /// The subjects that get it.
    pub(crate) holders: &'static [Holder],
    /// The only object that the role lets them read, for roles that kubeadm writes itself.
    pub(crate) reads: Option<Reads>,
    /// When kubeadm writes it.
    pub(crate) when: When,
    /// What fails without it.
    pub(crate) without: &'static str,
}

impl KubeadmGrant {
    /// How much it matters if it is missing: some administrators want to approve every new node by hand.
    pub(crate) fn severity(&self) -> Severity {
        if self.without == BY_HAND { Severity::Minor } else { Severity::Major }
    }

    /// The command that restores the binding, whatever is there.
    pub(crate) fn fix(&self) -> String {
        let kubectl = if self.binding == ADMINISTRATORS { SUPER_ADMIN } else { "kubectl" };
        bind_as(kubectl, &self.binding, &self.role, self.holders)
    }

    /// How to restore both, of which either may be missing.
    pub(crate) fn fix_all(&self) -> String {
        match self.reads {
            Some(_) => format!("{} && {}", self.fix_role(), self.fix()),
            None => self.fix(),
        }
    }

    /// How to restore the role, with nothing but the rights that kubeadm gives it.
    pub(crate) fn fix_role(&self) -> String {
        let Some(Reads(resource, name)) = self.reads else {
            return if self.role == COREDNS { again("addon coredns") } else { RESTART.to_owned() };
        };
        let name = name.map(|name| format!(" --resource-name={name}")).unwrap_or_default();
        format!(
            "kubectl create {} --verb=get --resource={resource}{name} --dry-run=client -o yaml | \
             kubectl auth reconcile --remove-extra-permissions -f -",
            object(&self.role)
        )
    }
}

/// What follows where a new node's certificate is not approved automatically.
pub(crate) const BY_HAND: &str =
    "a joining kubelet waits until an administrator approves its certificate, which some clusters intend";

/// The binding of this name.
pub(crate) fn named(name: &str) -> &'static KubeadmGrant {
    ALL.iter().find(|grant| grant.binding.name == name).expect("the table has every binding that a check names")
}

/// The binding that lets new nodes read the ConfigMap with this name.
pub(crate) fn reading(config_map: &str) -> Option<&'static KubeadmGrant> {
    let reads = |grant: &&KubeadmGrant| {
        grant.reads.is_some_and(|Reads(resource, name)| resource == "configmaps" && name == Some(config_map))
    };
    ALL.iter().find(reads)
}

/// The right to get a kind of object, of one name where there is one.
#[derive(Clone, Copy)]
pub(crate) struct Reads(pub(crate) &'static str, pub(crate) Option<&'static str>);

/// When kubeadm writes a binding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Always.
    Always,
    /// While new nodes discover the cluster by a token.
    TokenDiscovery,
    /// Unless its DNS add-on was left out.
    CoreDns,
    /// Unless its kube-proxy add-on was left out.
    KubeProxy,
    /// Since the API server's client certificate for kubelets names no group (1.36.1, 1.35.5).
    KubeletClientWithoutGroup,
    /// Once the certificates of the control plane were uploaded.
    UploadedCertificates,
}

const BOOTSTRAPPERS: Holder = Holder::group("system:bootstrappers:kubeadm:default-node-token");
const NODES: Holder = Holder::group("system:nodes");

const ADMINISTRATORS: ObjectRef = everywhere("kubeadm:cluster-admins");
const COREDNS: ObjectRef = cluster_role("system:coredns");
const SYSTEM: &str = "kube-system";

const fn everywhere(name: &'static str) -> ObjectRef {
    ObjectRef::fixed(CLUSTER_BINDING, name)
}

const fn cluster_role(name: &'static str) -> ObjectRef {
    ObjectRef::fixed(CLUSTER_ROLE, name)
}

/// Every binding that kubeadm writes.
pub(crate) const ALL: &[KubeadmGrant] = &[
    KubeadmGrant {
        binding: ADMINISTRATORS,
        role: cluster_role("cluster-admin"),
        holders: &[Holder::group("kubeadm:cluster-admins")],
        reads: None,
        when: When::Always,
        without: "admin.conf has no rights",
    },
    KubeadmGrant {
        binding: everywhere("kubeadm:kubelet-bootstrap"),
        role: cluster_role("system:node-bootstrapper"),
        holders: &[BOOTSTRAPPERS],
        reads: None,
        when: When::Always,
        without: "a joining kubelet cannot request its certificate",
    },
    KubeadmGrant {
        binding: everywhere("kubeadm:get-nodes"),
        role: cluster_role("kubeadm:get-nodes"),
        holders: &[BOOTSTRAPPERS],
        reads: Some(Reads("nodes", None)),
        when: When::Always,
        without: "kubeadm join cannot check whether the node's name is taken, and gives up",
    },
    KubeadmGrant {
        binding: everywhere("kubeadm:node-autoapprove-bootstrap"),
        role: cluster_role("system:certificates.k8s.io:certificatesigningrequests:nodeclient"),
        holders: &[BOOTSTRAPPERS],
        reads: None,
        when: When::Always,
        without: BY_HAND,
    },
    KubeadmGrant {
        binding: everywhere("kubeadm:node-autoapprove-certificate-rotation"),
        role: cluster_role("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"),
        holders: &[NODES],
        reads: None,
        when: When::Always,
        without: "kubelets cannot renew their client certificates, and are locked out when these expire",
    },
    KubeadmGrant {
        binding: ObjectRef::fixed_in(SYSTEM, BINDING, "kubeadm:nodes-kubeadm-config"),
        role: ObjectRef::fixed_in(SYSTEM, ROLE, "kubeadm:nodes-kubeadm-config"),
        holders: &[BOOTSTRAPPERS, NODES],
        reads: Some(Reads("configmaps", Some("kubeadm-config"))),
        when: When::Always,
        without: "kubeadm join and kubeadm upgrade node cannot read the cluster's configuration",
    },
    KubeadmGrant {
        binding: ObjectRef::fixed_in(SYSTEM, BINDING, "kubeadm:kubelet-config"),
        role: ObjectRef::fixed_in(SYSTEM, ROLE, "kubeadm:kubelet-config"),
        holders: &[BOOTSTRAPPERS, NODES],
        reads: Some(Reads("configmaps", Some("kubelet-config"))),
        when: When::Always,
        without: "kubeadm join and kubeadm upgrade node cannot read the kubelet's configuration",
    },
    KubeadmGrant {
        binding: ObjectRef::fixed_in("kube-public", BINDING, "kubeadm:bootstrap-signer-clusterinfo"),
        role: ObjectRef::fixed_in("kube-public", ROLE, "kubeadm:bootstrap-signer-clusterinfo"),
        holders: &[Holder::user("system:anonymous")],
        reads: Some(Reads("configmaps", Some("cluster-info"))),
        when: When::TokenDiscovery,
        without: "kubeadm join with a token cannot read cluster-info",
    },
    KubeadmGrant {
        binding: everywhere("kubeadm:node-proxier"),
        role: cluster_role("system:node-proxier"),
        holders: &[Holder::account("kube-system", "kube-proxy")],
        reads: None,
        when: When::KubeProxy,
        without: "kube-proxy cannot read Services and EndpointSlices, and Services stop following their pods",
    },
    KubeadmGrant {
        binding: ObjectRef::fixed_in(SYSTEM, BINDING, "kube-proxy"),
        role: ObjectRef::fixed_in(SYSTEM, ROLE, "kube-proxy"),
        holders: &[BOOTSTRAPPERS],
        reads: Some(Reads("configmaps", Some("kube-proxy"))),
        when: When::KubeProxy,
        without: "kubeadm join cannot read kube-proxy's configuration",
    },
    KubeadmGrant {
        binding: everywhere("system:coredns"),
        role: COREDNS,
        holders: &[Holder::account("kube-system", "coredns")],
        reads: None,
        when: When::CoreDns,
        without: "CoreDNS cannot read Services and EndpointSlices, and cluster names stop resolving",
    },
    KubeadmGrant {
        binding: everywhere("kubeadm:apiserver-kubelet-client"),
        role: cluster_role("system:kubelet-api-admin"),
        holders: &[Holder::user("kube-apiserver-kubelet-client")],
        reads: None,
        when: When::KubeletClientWithoutGroup,
        without: "kubectl logs, exec and port-forward fail as soon as apiserver-kubelet-client.crt names no group",
    },
    KubeadmGrant {
        binding: ObjectRef::fixed_in(SYSTEM, BINDING, "kubeadm:kubeadm-certs"),
        role: ObjectRef::fixed_in(SYSTEM, ROLE, "kubeadm:kubeadm-certs"),
        holders: &[BOOTSTRAPPERS],
        reads: Some(Reads("secrets", Some("kubeadm-certs"))),
        when: When::UploadedCertificates,
        without: "joining control-plane nodes cannot fetch the certificates",
    },
];
