//! The Deployment of the cluster's DNS.

use k8s_openapi::api::apps::v1 as apps;
use serde::{Deserialize, Serialize};

use super::system_workloads::listed::Deployment;
use super::system_workloads::{SystemWorkloads, Workload};
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::ObjectRef;
use crate::seen::{Access, Seen, Unobserved};

const NAMESPACE: &str = "kube-system";
/// Its name with kubeadm, managed clusters and k3s.
const USUAL: &str = "coredns";
const DEPLOYMENT: ObjectRef = ObjectRef::fixed_in(NAMESPACE, "Deployment", USUAL);

/// The Deployment of the cluster's DNS: kube-system/coredns, or else the one with the label `k8s-app=kube-dns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DnsDeployment {
    /// The name, in kube-system.
    pub name: String,
    /// How many replicas there should be.
    pub desired: i32,
    /// How many are available.
    pub available: i32,
    /// How many are up to date.
    pub updated: i32,
    /// What manages it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for DnsDeployment {
    type Needs<'a> = (Result<&'a SystemWorkloads, &'a Unobserved>,);
    const NAME: &'static str = "dns-deployment";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced(NAMESPACE, "apps", "deployments", &["get"]).named(&[USUAL]),
        Rule::namespaced(NAMESPACE, "apps", "deployments", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (workloads,): Self::Needs<'_>) -> Seen<Self> {
        if let Some(usual) = workloads.ok().and_then(|workloads| workloads.0.get(&DEPLOYMENT)) {
            let Workload { desired, available, updated, ref manager, .. } = *usual;
            return Ok(Self { name: USUAL.into(), desired, available, updated, manager: manager.clone() });
        }
        match cluster.fetch::<Deployment>(&Call::get_in::<apps::Deployment>(NAMESPACE, USUAL)).await {
            Ok(deployment) => Ok(trim(deployment)),
            Err(absent @ Unobserved::Absent { .. }) => {
                let labelled =
                    Call::list::<apps::Deployment>().in_namespace(NAMESPACE).with("labelSelector", "k8s-app=kube-dns");
                cluster.list(labelled, trim).await?.into_iter().next().ok_or(absent)
            }
            Err(why) => Err(why),
        }
    }
}

fn trim(deployment: Deployment) -> DnsDeployment {
    let status = deployment.status;
    DnsDeployment {
        manager: Manager::of(&deployment.metadata),
        name: deployment.metadata.name.unwrap_or_default(),
        desired: deployment.spec.replicas.unwrap_or(1),
        available: status.available_replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
    }
}

crate::observed!(DnsDeployment);
