//! Takes away what rehearsals have made.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;

use crate::bootstrap_token::SECRET_NAME;
use crate::cluster::{Call, Cluster};
use crate::live::{Live, Outlying};
use crate::seen::Seen;

/// Removes one, and confirms that it is deleted.
pub(crate) async fn remove(cluster: &Cluster, object: &Outlying) -> Seen<()> {
    let call = match object {
        Outlying::BootstrapToken(id) => {
            Call::delete::<Secret>(format!("{SECRET_NAME}{id}")).in_namespace("kube-system")
        }
        Outlying::SigningRequest(name) => Call::delete::<CertificateSigningRequest>(name),
    };
    cluster.delete(&call).await
}

/// Removes one of this run, and strikes it from the ledger.
pub(crate) async fn withdraw(live: &Live, object: &Outlying) -> Seen<()> {
    remove(&live.cluster, object).await?;
    live.ledger.strike(object);
    Ok(())
}
