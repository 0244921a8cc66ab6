//! The service accounts of the cluster's own add-ons.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ServiceAccount;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// Their namespace.
const NAMESPACE: &str = "kube-system";

/// The names of the service accounts of kube-system.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SystemAccounts(pub BTreeSet<String>);

impl Observe for SystemAccounts {
    type Needs<'a> = ();
    const NAME: &'static str = "system-accounts";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced(NAMESPACE, "", "serviceaccounts", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let name = |account: ServiceAccount| account.metadata.name.unwrap_or_default();
        let names = cluster.list(Call::list::<ServiceAccount>().in_namespace(NAMESPACE), name).await?;
        Ok(Self(names.into_iter().collect()))
    }
}

crate::observed!(SystemAccounts);
