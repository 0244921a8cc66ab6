//! The author of a component's configuration: kubeadm, or a person.

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use crate::certificate::sha256;

/// The annotation in which kubeadm keeps the checksum of what it wrote.
pub(crate) const ANNOTATION: &str = "kubeadm.kubernetes.io/component-config.hash";

/// The last author of a component's configuration, as kubeadm decides it at an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Authorship {
    /// kubeadm: the checksum is that of the content.
    Generated,
    /// kubeadm, and it was edited afterwards.
    Edited {
        /// The checksum of what kubeadm wrote.
        written: String,
        /// The checksum of the present content.
        now: String,
    },
    /// A person, who gave it to kubeadm in a file: there is no checksum.
    #[default]
    Supplied,
}

impl Authorship {
    /// Decides as kubeadm does.
    pub(crate) fn of(map: &ConfigMap) -> Self {
        let written = map.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
        let Some(written) = written else { return Self::Supplied };
        let now = checksum(map);
        if *written == now { Self::Generated } else { Self::Edited { written: written.clone(), now } }
    }
}

/// The values without their keys, in the order of the keys, text before bytes.
fn checksum(map: &ConfigMap) -> String {
    let text = map.data.iter().flat_map(|data| data.values()).map(String::as_bytes);
    let bytes = map.binary_data.iter().flat_map(|data| data.values()).map(|bytes| bytes.0.as_slice());
    sha256(&text.chain(bytes).collect::<Vec<_>>().concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(hash: Option<&str>) -> ConfigMap {
        let mut map = ConfigMap {
            data: Some([("b", "yz"), ("a", "x")].map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ConfigMap::default()
        };
        map.metadata.annotations = hash.map(|hash| [(ANNOTATION.to_owned(), hash.to_owned())].into());
        map
    }

    #[test]
    fn the_checksum_is_that_of_the_values_in_order() {
        // printf xyz | sha256sum
        let now = "sha256:3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282";
        assert_eq!(Authorship::of(&map(Some(now))), Authorship::Generated);
        let edited = Authorship::Edited { written: "sha256:0".into(), now: now.into() };
        assert_eq!(Authorship::of(&map(Some("sha256:0"))), edited);
        assert_eq!(Authorship::of(&map(None)), Authorship::Supplied);
    }
}
