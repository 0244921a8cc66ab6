//! Takes away what rehearsals have made.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;

use crate::bootstrap_token::SECRET_NAME;
use crate::cluster::{Call, Cluster};
use crate::live::{Live, Outlying};
use crate::seen::Seen;

/// How long a deletion that fails is tried again while the run goes on. What is left then is removed at its end.
const AGAIN: Duration = Duration::from_secs(5);

/// Removes one, and confirms that it is deleted. A deletion that fails is tried again for this long.
pub(crate) async fn remove(cluster: &Cluster, object: &Outlying, patience: Duration) -> Seen<()> {
    let call = match object {
        Outlying::BootstrapToken(id) => {
            Call::delete::<Secret>(format!("{SECRET_NAME}{id}")).in_namespace("kube-system")
        }
        Outlying::SigningRequest(name) => Call::delete::<CertificateSigningRequest>(name),
    };
    cluster.delete_within(&call, patience).await
}

/// Removes one of this run, and strikes it from the ledger.
pub(crate) async fn withdraw(live: &Live, object: &Outlying) -> Seen<()> {
    remove(&live.cluster, object, AGAIN).await?;
    live.ledger.strike(object);
    Ok(())
}
