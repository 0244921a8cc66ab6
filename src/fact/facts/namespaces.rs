//! The cluster's namespaces.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// All namespaces, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Namespaces(pub BTreeMap<String, Namespace>);

/// The parts of a namespace that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

impl Observe for Namespaces {
    type Needs<'a> = ();
    const NAME: &'static str = "namespaces";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "namespaces", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        Ok(Self(cluster.list(Call::list::<core::Namespace>(), trim).await?.into_iter().collect()))
    }
}

fn trim(namespace: core::Namespace) -> (String, Namespace) {
    let metadata = namespace.metadata;
    let trimmed = Namespace {
        created: metadata.creation_timestamp.map(|at| at.0),
        deleting: metadata.deletion_timestamp.is_some(),
        labels: metadata.labels.unwrap_or_default(),
    };
    (metadata.name.unwrap_or_default(), trimmed)
}

crate::observed!(Namespaces);
