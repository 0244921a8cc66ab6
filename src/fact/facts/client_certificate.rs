//! A client certificate, from its request to its use.

#[cfg(test)]
pub(crate) use crate::join::request::Condition;
pub(crate) use crate::join::request::Issuance;
pub(crate) use crate::join::{LIFETIME, WhoAmI};
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::{Call, Cluster, Identity};
use crate::fact::{Observe, Rule};
use crate::join::request::{self, CLIENT, client_request, issuance, submission};
use crate::join::whoami::who_am_i;
use crate::join::{Applicant, removal};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// A certificate for a user without rights, valid for ten minutes: requested, approved by ourselves, and used once. The
/// key exists only in memory, and the request is removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientCertificateTrial {
    /// The user.
    pub user: String,
    /// The outcome of the request after it was approved.
    pub issuance: Seen<Issuance>,
    /// The user as whom the API server authenticates its holder; not tried without a certificate.
    pub identity: Option<Seen<WhoAmI>>,
    /// Why the request could not be removed.
    pub left: Option<Unobserved>,
}

impl Observe for ClientCertificateTrial {
    type Needs<'a> = ();
    const NAME: &'static str = "client-certificate";
    const ACCESS: Access = Access::Join;
    const RULES: &'static [Rule] = &[
        Rule::cluster("certificates.k8s.io", "certificatesigningrequests", &["create", "get", "delete"]),
        Rule::cluster("certificates.k8s.io", "certificatesigningrequests/approval", &["patch"]),
        Rule::cluster("certificates.k8s.io", "signers", &["approve"]).named(&[CLIENT]),
    ];
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(live: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let run = &live.inputs.run;
        let (user, name) = (format!("seaworthy:{run}"), client_request(run));
        let applicant = Applicant::new(&user, None).map_err(|error| Unobserved::invalid("a new key", error))?;
        let outlying = request::remember(&live.ledger, &name);
        let call = submission(run, &name, CLIENT, &applicant, Identity::Own);
        let reply = live.cluster.send(&call).await?;
        if reply.is_refusal() {
            live.ledger.strike(&outlying);
        }
        reply.is_answer(&call)?;
        let seen = run_trial(live, &name, &applicant).await;
        let left = removal::withdraw(live, &outlying).await.err();
        let (issuance, identity) = seen?;
        Ok(Self { user, issuance, identity, left })
    }
}

crate::observed!(ClientCertificateTrial);

async fn run_trial(live: &Live, name: &str, applicant: &Applicant) -> Seen<(Seen<Issuance>, Option<Seen<WhoAmI>>)> {
    let cluster = &live.cluster;
    approve(cluster, name).await?;
    let (issuance, pem) = match issuance(cluster, name, &Identity::Own).await {
        Ok((issuance, pem)) => (Ok(issuance), pem),
        Err(why) => (Err(why), None),
    };
    let identity = match pem {
        Some(pem) => Some(who_am_i(cluster, applicant.with(&pem), None).await),
        None => None,
    };
    Ok((issuance, identity))
}

async fn approve(cluster: &Cluster, name: &str) -> Seen<()> {
    let condition = json!({
        "type": "Approved", "status": "True", "reason": "SeaworthyTrial",
        "message": "A trial of ten minutes by seaworthy, for a user without any right",
    });
    let call = Call::patch::<CertificateSigningRequest>(name, json!({ "status": { "conditions": [condition] } }))
        .subresource("approval")
        .answered_by::<CertificateSigningRequest>();
    let reply = cluster.send(&call).await?;
    // Admission refuses users that may not approve for this signer, which is a separate right.
    if reply.status == 403 && reply.message().contains("signerName") {
        let missing = format!("approve signers.certificates.k8s.io named {CLIENT} in the whole cluster");
        return Err(Unobserved::Refused { missing, message: reply.message() });
    }
    reply.is_answer(&call)
}
