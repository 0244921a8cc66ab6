//! Clusters that Secrets of a management cluster describe. They are kept in memory only, and no error quotes them.

pub(crate) mod argocd;
pub(crate) mod cluster_api;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::cluster::{Call, Cluster, File, Files, Kubeconfig, KubeconfigError, ReadFile};
use crate::seen::Seen;

/// Files on this machine are not a Secret's to name.
const NO_FILE: ReadFile = |_: &Path| Err(io::Error::other("a Secret may not name files of this machine"));

/// Who wrote the Secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Cluster API: a Secret NAME-kubeconfig for each Cluster.
    ClusterApi,
    /// Argo CD: a Secret for each cluster that it deploys to.
    ArgoCd,
}

/// A cluster that a Secret describes.
pub(crate) struct Described {
    /// The names that it may have in reports, the first one that people use.
    pub names: Vec<String>,
    /// The Secret, for messages.
    pub origin: String,
    /// How to connect to it, or what is wrong with the Secret.
    pub kubeconfig: Result<Kubeconfig, KubeconfigError>,
}

impl Writer {
    /// The name of the project.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClusterApi => "Cluster API",
            Self::ArgoCd => "Argo CD",
        }
    }

    /// The clusters that its Secrets describe, in the order of their names: those of a namespace, or all. `own` is how the
    /// management cluster itself is reached.
    pub(crate) async fn clusters(
        self,
        cluster: &Cluster,
        namespace: Option<&str>,
        own: &Kubeconfig,
    ) -> Seen<Vec<Described>> {
        let call = match self {
            Self::ClusterApi => Call::list::<Secret>()
                .with("labelSelector", cluster_api::LABEL)
                .with("fieldSelector", format!("type={}", cluster_api::TYPE)),
            Self::ArgoCd => Call::list::<Secret>().with("labelSelector", argocd::SELECTOR),
        };
        let call = match namespace {
            Some(namespace) => call.in_namespace(namespace),
            None => call,
        };
        let secrets = cluster.list(call, |secret: Secret| secret).await?;
        let mut described: Vec<_> = secrets.into_iter().filter_map(|secret| self.read(secret, own)).collect();
        described.sort_by(|one, other| one.origin.cmp(&other.origin));
        Ok(described)
    }

    /// The cluster that a Secret describes; none if it is for something else.
    pub(super) fn read(self, secret: Secret, own: &Kubeconfig) -> Option<Described> {
        let Secret { metadata, data, type_, .. } = secret;
        let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
        let (labels, data) = (metadata.labels.unwrap_or_default(), data.unwrap_or_default());
        let origin = format!("Secret {namespace}/{name}");
        let cluster = match self {
            Self::ClusterApi => cluster_api::cluster(&name, type_.as_deref(), &labels)?,
            Self::ArgoCd => argocd::cluster(&labels, &data)?,
        };
        let kubeconfig = match self {
            Self::ClusterApi => cluster_api::kubeconfig(&origin, &data),
            Self::ArgoCd => argocd::kubeconfig(&origin, &cluster, &data, own),
        };
        let of_secret = format!("{namespace}/{name}");
        let kubeconfig = kubeconfig.map(|found| Kubeconfig { origin: origin.clone(), ..found });
        Some(Described {
            names: vec![cluster.clone(), format!("{namespace}/{cluster}"), of_secret],
            origin,
            kubeconfig,
        })
    }
}

/// The current context of a kubeconfig in a Secret.
fn of_bytes(origin: &str, bytes: &[u8]) -> Result<Kubeconfig, KubeconfigError> {
    Kubeconfig::of(&Files::new(vec![File::parse(Path::new(origin), bytes)?]), None, NO_FILE)
}

/// The Secret is not what its writer makes.
fn malformed(origin: &str, cause: impl Into<String>) -> KubeconfigError {
    KubeconfigError::Malformed { path: origin.into(), cause: cause.into() }
}

/// A field of a Secret; none if it is empty.
fn field<'a>(data: &'a BTreeMap<String, ByteString>, name: &str) -> Option<&'a [u8]> {
    data.get(name).map(|bytes| bytes.0.as_slice()).filter(|bytes| !bytes.is_empty())
}

/// A field that is text.
fn text(data: &BTreeMap<String, ByteString>, name: &str) -> Option<String> {
    field(data, name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
