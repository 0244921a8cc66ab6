//! A profile's expectations of a cluster, in addition to those that hold for every cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::fact::Given;
use crate::holder::Holder;

/// A profile's expectations of a cluster. They are a fact, so that a recording is judged by the same expectations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Expectations {
    /// Subjects that may hold cluster-admin in addition to those of the distribution, as `User NAME`, `Group NAME` or
    /// `ServiceAccount NAMESPACE/NAME`.
    pub cluster_admins: Vec<Holder>,
    /// Subjects that may have rights that lead to cluster-admin, or read every Secret, in addition to the distribution
    /// and known add-ons.
    pub powerful: Vec<Holder>,
    /// How new nodes find the cluster.
    pub discovery: Discovery,
    /// The longest life that a bootstrap token may have left, in hours. kubeadm's default is 24.
    pub token_hours: u32,
    /// The external names that pods must resolve, with the addresses that each must have; any address is accepted where
    /// none is given.
    pub external_names: BTreeMap<String, Vec<IpAddr>>,
    /// The names that pods must not resolve, for example in an air-gapped network.
    pub unresolved_names: Vec<String>,
    /// The networks outside of the cluster that pods and nodes must reach, which no range of the cluster may cover.
    pub outside_networks: Vec<Cidr>,
    /// The addresses that Services may claim as externalIPs.
    pub external_ips: Vec<Cidr>,
    /// Whether network policies must be enforced.
    pub network_policy: NetworkPolicies,
}

/// Whether network policies must be enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkPolicies {
    /// A network without a policy engine is accepted. A policy engine must enforce all policies.
    #[default]
    Optional,
    /// The network must have a policy engine.
    Required,
}

/// How new nodes find the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discovery {
    /// By the ConfigMap cluster-info, which anyone may read, if the cluster has it.
    #[default]
    Token,
    /// By a file: cluster-info is not readable without credentials.
    File,
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            cluster_admins: Vec::new(),
            powerful: Vec::new(),
            discovery: Discovery::Token,
            token_hours: 24,
            external_names: BTreeMap::new(),
            unresolved_names: Vec::new(),
            outside_networks: Vec::new(),
            external_ips: Vec::new(),
            network_policy: NetworkPolicies::Optional,
        }
    }
}

impl Given for Expectations {
    const NAME: &'static str = "expectations";
}

crate::given!(Expectations);
