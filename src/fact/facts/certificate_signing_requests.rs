//! The CertificateSigningRequests.

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The CertificateSigningRequests. Controllers remove old ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CertificateSigningRequests(pub Vec<SigningRequest>);

/// A request for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningRequest {
    /// Its name.
    pub name: String,
    /// The signer.
    pub signer: String,
    /// The requesting user.
    pub user: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The decisions about it.
    pub conditions: Vec<RequestCondition>,
    /// Whether it has been issued.
    pub issued: bool,
}

/// A decision about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestCondition {
    /// `Approved`, `Denied` or `Failed`.
    pub kind: String,
    /// The reason, in one word.
    pub reason: String,
    /// The message.
    pub message: String,
    /// When it was created.
    pub at: Option<Timestamp>,
}

impl SigningRequest {
    /// A decision of this type.
    pub(crate) fn condition(&self, kind: &str) -> Option<&RequestCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

impl Observe for CertificateSigningRequests {
    type Needs<'a> = ();
    const NAME: &'static str = "certificate-signing-requests";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("certificates.k8s.io", "certificatesigningrequests", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        Ok(Self(cluster.list(Call::list::<CertificateSigningRequest>(), trim).await?))
    }
}

fn trim(request: CertificateSigningRequest) -> SigningRequest {
    let status = request.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default().into_iter();
    SigningRequest {
        name: request.metadata.name.unwrap_or_default(),
        signer: request.spec.signer_name,
        user: request.spec.username.unwrap_or_default(),
        created: request.metadata.creation_timestamp.map(|at| at.0),
        conditions: conditions
            .filter(|condition| condition.status == "True")
            .map(|condition| RequestCondition {
                kind: condition.type_,
                reason: condition.reason.unwrap_or_default(),
                message: condition.message.unwrap_or_default(),
                at: condition.last_update_time.or(condition.last_transition_time).map(|at| at.0),
            })
            .collect(),
        issued: status.certificate.is_some_and(|certificate| !certificate.0.is_empty()),
    }
}

crate::observed!(CertificateSigningRequests);
