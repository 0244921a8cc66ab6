//! The CAs with which pods verify the API server.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The name that the ConfigMap has in every namespace.
const NAME: &str = "kube-root-ca.crt";

/// The distinct contents of the ConfigMaps kube-root-ca.crt, the most frequent first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RootCaConfigMaps(pub Vec<RootCa>);

/// A content, and the namespaces that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootCa {
    /// The certificates of the key `ca.crt`, or why they cannot be read.
    pub certificates: Result<Vec<Certificate>, String>,
    /// The namespaces whose ConfigMap has it.
    pub namespaces: BTreeSet<String>,
}

impl RootCaConfigMaps {
    /// The content for pods of this namespace.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Option<&RootCa> {
        self.0.iter().find(|content| content.namespaces.contains(namespace))
    }
}

impl Observe for RootCaConfigMaps {
    type Needs<'a> = ();
    const NAME: &'static str = "root-ca-config-maps";
    const ACCESS: Access = Access::Read;
    // RBAC honours names in lists that select by name: this grants no other ConfigMap.
    const RULES: &'static [Rule] = &[Rule::cluster("", "configmaps", &["list"]).named(&[NAME])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::list::<ConfigMap>().with("fieldSelector", format!("metadata.name={NAME}"));
        let mut contents: BTreeMap<Result<Vec<Certificate>, String>, BTreeSet<String>> = BTreeMap::new();
        for (namespace, certificates) in cluster.list(call, trim).await? {
            contents.entry(certificates).or_default().insert(namespace);
        }
        let mut contents: Vec<_> =
            contents.into_iter().map(|(certificates, namespaces)| RootCa { certificates, namespaces }).collect();
        contents.sort_by_key(|content| std::cmp::Reverse(content.namespaces.len()));
        Ok(Self(contents))
    }
}

fn trim(map: ConfigMap) -> (String, Result<Vec<Certificate>, String>) {
    let text = map.data.unwrap_or_default().remove("ca.crt");
    let certificates = text
        .ok_or_else(|| "it has no key ca.crt".to_owned())
        .and_then(|text| Certificate::from_pem_bundle(&text).map_err(|e| e.to_string()));
    (map.metadata.namespace.unwrap_or_default(), certificates)
}

crate::observed!(RootCaConfigMaps);
