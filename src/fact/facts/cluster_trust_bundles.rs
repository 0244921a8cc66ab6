//! The trust bundles with the API servers' CAs.

use k8s_openapi::api::certificates::{v1, v1beta1};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen, Unobserved};

/// The signer of the API servers' serving certificates.
pub(crate) const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";

/// The trust bundles of the API servers' signer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ClusterTrustBundles(pub Vec<TrustBundle>);

/// A trust bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrustBundle {
    /// Its name.
    pub name: String,
    /// Its CAs, or why they cannot be read.
    pub certificates: Result<Vec<Certificate>, String>,
    /// What applies it again, so that its deletion does not last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for ClusterTrustBundles {
    type Needs<'a> = ();
    const NAME: &'static str = "cluster-trust-bundles";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("certificates.k8s.io", "clustertrustbundles", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let selector = || format!("spec.signerName={SIGNER}");
        let call = Call::list::<v1::ClusterTrustBundle>().with("fieldSelector", selector());
        let trim = |bundle: v1::ClusterTrustBundle| trust_bundle(bundle.metadata, &bundle.spec.trust_bundle);
        match cluster.list(call, trim).await {
            Err(Unobserved::Absent { .. }) => {}
            seen => return seen.map(Self),
        }
        // Before 1.37.
        let call = Call::list::<v1beta1::ClusterTrustBundle>().with("fieldSelector", selector());
        let trim = |bundle: v1beta1::ClusterTrustBundle| trust_bundle(bundle.metadata, &bundle.spec.trust_bundle);
        cluster.list(call, trim).await.map(Self)
    }
}

fn trust_bundle(metadata: ObjectMeta, text: &str) -> TrustBundle {
    let certificates = Certificate::from_pem_bundle(text).map_err(|e| e.to_string());
    TrustBundle { manager: Manager::of(&metadata), name: metadata.name.unwrap_or_default(), certificates }
}

crate::observed!(ClusterTrustBundles);
