//! Requests for certificates, from their submission to the certificate.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Applicant, LIFETIME, PATIENCE, PAUSE, answer_to_newcomer};
use crate::certificate::{Certificate, MAXIMUM_BUNDLE};
use crate::cluster::{Call, Cluster, Identity, until};
use crate::live::{Ledger, Outlying, RunId};
use crate::milliseconds::milliseconds;
use crate::probe::object::{Level, Mark};
use crate::seen::Seen;

/// The signer of the certificates by which kubelets are known.
pub(crate) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The signer of other client certificates.
pub(crate) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// What became of a request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Issuance {
    /// Its conditions, by type: `Approved`, `Denied`, `Failed`.
    pub conditions: BTreeMap<String, Condition>,
    /// The certificate and those above it, or why what was issued is not readable; none was issued without.
    pub certificate: Option<Result<Vec<Certificate>, String>>,
    /// How long was waited, in milliseconds.
    pub waited_ms: u64,
}

/// A condition of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The reason in a word, as `AutoApproved`.
    pub reason: String,
    /// The reason in a sentence.
    pub message: String,
}

/// The names of a run's requests.
pub(crate) fn is_of_run(request: &str, run: &RunId) -> bool {
    request.strip_prefix(&run.name()).is_some_and(|rest| matches!(rest, "-node" | "-client"))
}

/// The request of a run for a node's certificate.
pub(crate) fn node_request(run: &RunId) -> String {
    format!("{}-node", run.name())
}

/// The request of a run for a client's certificate.
pub(crate) fn client_request(run: &RunId) -> String {
    format!("{}-client", run.name())
}

/// Submits a request for a certificate of ten minutes. The reply is the caller's to judge.
pub(crate) fn submission(run: &RunId, name: &str, signer: &str, applicant: &Applicant, by: Identity) -> Call {
    let mark = Mark { run, level: Level::Restricted, expires: Timestamp::now() + LIFETIME, owner: None };
    Call::create::<CertificateSigningRequest>(json!({
        "metadata": mark.metadata(name),
        "spec": {
            "request": BASE64_STANDARD.encode(applicant.request()),
            "signerName": signer,
            "expirationSeconds": LIFETIME.as_secs(),
            "usages": ["digital signature", "client auth"],
        },
    }))
    .by(by)
}

/// Waits for the certificate, as `by` sees it. Gives its PEM as well.
pub(crate) async fn issuance(cluster: &Cluster, name: &str, by: &Identity) -> Seen<(Issuance, Option<String>)> {
    let began = Instant::now();
    let call = Call::get::<CertificateSigningRequest>(name).by(by.clone());
    let look = async || answer_to_newcomer(cluster, &call).await?.decode::<CertificateSigningRequest>(&call);
    let request = until(PATIENCE, PAUSE, look, |seen| seen.as_ref().map_or(true, is_decided)).await?;
    let waited_ms = milliseconds(began.elapsed());
    let status = request.status.unwrap_or_default();
    let conditions = status
        .conditions
        .into_iter()
        .flatten()
        .map(|condition| {
            let (reason, message) = (condition.reason.unwrap_or_default(), condition.message.unwrap_or_default());
            (condition.type_, Condition { reason, message })
        })
        .collect();
    let pem = status.certificate.map(|ByteString(bytes)| read(bytes));
    let certificate = pem.as_ref().map(|pem| match pem {
        Ok(pem) => Certificate::from_pem_bundle(pem).map_err(|error| error.to_string()),
        Err(why) => Err(why.clone()),
    });
    Ok((Issuance { conditions, certificate, waited_ms }, pem.and_then(Result::ok)))
}

/// Whether nothing more becomes of a request.
fn is_decided(request: &CertificateSigningRequest) -> bool {
    request.status.as_ref().is_some_and(|status| {
        let mut conditions = status.conditions.iter().flatten();
        status.certificate.is_some() || conditions.any(|one| matches!(one.type_.as_str(), "Denied" | "Failed"))
    })
}

fn read(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > MAXIMUM_BUNDLE {
        return Err(format!("it has {} bytes", bytes.len()));
    }
    String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())
}

/// Remembers that the request may be there, before it is sent.
pub(crate) fn remember(ledger: &Ledger, name: &str) -> Outlying {
    let outlying = Outlying::SigningRequest(name.to_owned());
    ledger.add_outlying(outlying.clone());
    outlying
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_marked_and_short_lived() {
        let run: RunId = "x7f4k".parse().unwrap();
        let name = node_request(&run);
        assert!(is_of_run(&name, &run) && is_of_run(&client_request(&run), &run));
        assert!(!is_of_run("seaworthy-x7f4k-prod", &run) && !is_of_run("csr-x7f4k-node", &run));
        let call = submission(&run, &name, KUBELET_CLIENT, &Applicant::kubelet("n9").unwrap(), Identity::Own);
        assert_eq!(call.to_string(), "POST /apis/certificates.k8s.io/v1/certificatesigningrequests");
    }
}
