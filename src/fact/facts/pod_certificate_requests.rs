//! The PodCertificateRequests.

use jiff::Timestamp;
use k8s_openapi::api::certificates::{v1, v1beta1};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The PodCertificateRequests. Controllers remove them within a quarter of an hour.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PodCertificateRequests(pub Vec<PodCertificate>);

/// A request for the certificate of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodCertificate {
    /// The namespace of the request and of the pod.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pod.
    pub pod: String,
    /// The signer.
    pub signer: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// How it ended: `Issued`, `Denied` or `Failed`.
    pub ended: Option<String>,
}

impl Observe for PodCertificateRequests {
    type Needs<'a> = ();
    const NAME: &'static str = "pod-certificate-requests";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("certificates.k8s.io", "podcertificaterequests", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let trim = |request: v1::PodCertificateRequest| {
            let conditions = request.status.and_then(|status| status.conditions);
            pod_certificate(request.metadata, request.spec.pod_name, request.spec.signer_name, conditions)
        };
        match cluster.list(Call::list::<v1::PodCertificateRequest>(), trim).await {
            Err(Unobserved::Absent { .. }) => {}
            seen => return seen.map(Self),
        }
        // Before 1.37.
        let trim = |request: v1beta1::PodCertificateRequest| {
            let conditions = request.status.and_then(|status| status.conditions);
            pod_certificate(request.metadata, request.spec.pod_name, request.spec.signer_name, conditions)
        };
        cluster.list(Call::list::<v1beta1::PodCertificateRequest>(), trim).await.map(Self)
    }
}

fn pod_certificate(
    metadata: ObjectMeta,
    pod: String,
    signer: String,
    conditions: Option<Vec<Condition>>,
) -> PodCertificate {
    let ended = |condition: &Condition| {
        condition.status == "True" && ["Issued", "Denied", "Failed"].contains(&condition.type_.as_str())
    };
    PodCertificate {
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        pod,
        signer,
        created: metadata.creation_timestamp.map(|at| at.0),
        ended: conditions.unwrap_or_default().into_iter().find(ended).map(|condition| condition.type_),
    }
}

crate::observed!(PodCertificateRequests);
