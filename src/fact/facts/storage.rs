//! The provisioning of volumes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::storage::v1 as core;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen};

/// The annotation that makes a class the default, and its older name, which still works.
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The storage classes, and the drivers on each node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Storage {
    /// The classes, by name.
    pub classes: BTreeMap<String, StorageClass>,
    /// The CSI drivers that are registered with each node's kubelet, by node.
    pub drivers: BTreeMap<String, Vec<String>>,
}

/// The parts of a class that checks use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StorageClass {
    /// The provisioner.
    pub provisioner: String,
    /// Whether claims without a class get this one.
    pub is_default: bool,
    /// When it was created: of several defaults, the newest wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// What manages it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for Storage {
    type Needs<'a> = ();
    const NAME: &'static str = "storage";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::cluster("storage.k8s.io", "storageclasses", &["list"]),
        Rule::cluster("storage.k8s.io", "csinodes", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let (classes, drivers) = tokio::join!(
            cluster.list(Call::list::<core::StorageClass>(), class),
            cluster.list(Call::list::<core::CSINode>(), drivers),
        );
        Ok(Self { classes: classes?.into_iter().collect(), drivers: drivers?.into_iter().collect() })
    }
}

fn class(class: core::StorageClass) -> (String, StorageClass) {
    let manager = Manager::of(&class.metadata);
    let annotations = class.metadata.annotations.unwrap_or_default();
    let trimmed = StorageClass {
        provisioner: class.provisioner,
        is_default: DEFAULT.iter().any(|key| annotations.get(*key).is_some_and(|value| value == "true")),
        created: class.metadata.creation_timestamp.map(|at| at.0),
        manager,
    };
    (class.metadata.name.unwrap_or_default(), trimmed)
}

fn drivers(node: core::CSINode) -> (String, Vec<String>) {
    let drivers = node.spec.drivers.into_iter().map(|driver| driver.name).collect();
    (node.metadata.name.unwrap_or_default(), drivers)
}

crate::observed!(Storage);
