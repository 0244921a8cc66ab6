//! Applies an installation, and leaves alone what is not of it.

use k8s_openapi::api::core::v1::Namespace;
use serde::Deserialize;

use super::{INSTALLATION, Object, Settings, objects};
use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is as the installation states it.
    Applied,
    /// The namespace existed before, and is not changed: to remove the installation must not remove it.
    LeftAlone,
}

/// The part of a namespace that shows to what it belongs.
#[derive(Deserialize)]
struct Owned {
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
}

/// Applies all objects in their order, as far as that goes, and reports each. With `force`, fields that others own become ours.
pub(crate) async fn apply(
    cluster: &Cluster,
    settings: &Settings,
    force: bool,
    mut report: impl FnMut(&Object, Applied),
) -> Seen<()> {
    for object in objects(settings) {
        if object.is_namespace() && is_foreign(cluster, settings).await? {
            report(&object, Applied::LeftAlone);
            continue;
        }
        let call = object.call(force);
        cluster.send(&call).await?.is_answer(&call)?;
        report(&object, Applied::Applied);
    }
    Ok(())
}

/// Whether the namespace exists and belongs to something else.
async fn is_foreign(cluster: &Cluster, settings: &Settings) -> Seen<bool> {
    let call = Call::get::<Namespace>(&settings.namespace).metadata_only();
    match cluster.fetch::<Owned>(&call).await {
        Ok(Owned { metadata }) => {
            let of = metadata.labels.as_ref().and_then(|labels| labels.get(INSTALLATION));
            Ok(of != Some(&settings.name))
        }
        Err(Unobserved::Absent { .. }) => Ok(false),
        Err(why) => Err(why),
    }
}
