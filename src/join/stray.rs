//! Finds what the rehearsals of dead runs have left.

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;

use super::{request, token};
use crate::bootstrap_token::SECRET_NAME;
use crate::cluster::{Call, Cluster};
use crate::live::{Outlying, RunId};
use crate::probe::object::{MANAGED_BY, marked};
use crate::seen::Seen;

/// An object that a run has left in no namespace of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// The run.
    pub run: RunId,
    /// The object.
    pub object: Outlying,
    /// When it may be removed.
    pub expires: Option<Timestamp>,
}

impl Stray {
    /// Whether the run is dead: its time is over, whatever became of it.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires < now)
    }
}

/// Finds what runs have left. What the objects hold is not asked for.
pub(crate) async fn find(cluster: &Cluster) -> Seen<Vec<Stray>> {
    let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    let tokens = Call::list::<Secret>()
        .in_namespace("kube-system")
        .with("labelSelector", ours.clone())
        .with("fieldSelector", "type=bootstrap.kubernetes.io/token")
        .metadata_only();
    let requests = Call::list::<CertificateSigningRequest>().with("labelSelector", ours).metadata_only();
    let mut found = cluster.list(tokens, |secret: PartialObjectMeta<Secret>| stray(&secret.metadata, as_token)).await?;
    found.extend(
        cluster
            .list(requests, |request: PartialObjectMeta<CertificateSigningRequest>| {
                stray(&request.metadata, as_request)
            })
            .await?,
    );
    Ok(found.into_iter().flatten().collect())
}

fn as_token(name: &str, run: &RunId) -> Option<Outlying> {
    let id = name.strip_prefix(SECRET_NAME)?;
    token::is_of_run(id, run).then(|| Outlying::BootstrapToken(id.to_owned()))
}

fn as_request(name: &str, run: &RunId) -> Option<Outlying> {
    request::is_of_run(name, run).then(|| Outlying::SigningRequest(name.to_owned()))
}

/// What an object is; none when its name and its labels do not agree, so that only our own are touched.
fn stray(metadata: &ObjectMeta, read: fn(&str, &RunId) -> Option<Outlying>) -> Option<Stray> {
    let (run, expires) = marked(metadata)?;
    let object = read(metadata.name.as_deref()?, &run)?;
    Some(Stray { run, object, expires })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::object::{EXPIRES, RUN};

    fn metadata(name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ObjectMeta {
            name: Some(name.into()),
            labels: Some(owned(labels)),
            annotations: Some(owned(&[(EXPIRES, "2026-11-23T11:59:59Z")])),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_what_is_surely_ours_is_found() {
        let ours = [MANAGED_BY, (RUN, "bcd42")];
        let token = stray(&metadata("bootstrap-token-jbcd42", &ours), as_token).unwrap();
        assert_eq!(token.object, Outlying::BootstrapToken("jbcd42".into()));
        assert!(token.is_expired("2026-11-23T12:00:00Z".parse().unwrap()));
        assert!(!token.is_expired("2026-11-23T11:00:00Z".parse().unwrap()));
        let request = stray(&metadata("seaworthy-bcd42-node", &ours), as_request).unwrap();
        assert_eq!(request.object, Outlying::SigningRequest("seaworthy-bcd42-node".into()));

        for (name, labels) in [
            ("bootstrap-token-abcdef", &ours[..]),
            ("bootstrap-token-jbcd42", &ours[1..]),
            ("bootstrap-token-jbcd42", &ours[..1]),
            ("bootstrap-token-jbcd42", &[MANAGED_BY, (RUN, "zzz99")][..]),
            ("jbcd42", &ours[..]),
        ] {
            assert_eq!(stray(&metadata(name, labels), as_token), None, "{name}");
        }
        for name in ["seaworthy-bcd42", "csr-4x7zq", "seaworthy-bcd42-node-2"] {
            assert_eq!(stray(&metadata(name, &ours), as_request), None, "{name}");
        }
    }

    #[test]
    fn an_object_without_a_time_of_death_is_not_dead() {
        let mut metadata = metadata("seaworthy-bcd42-client", &[MANAGED_BY, (RUN, "bcd42")]);
        metadata.annotations = None;
        assert!(!stray(&metadata, as_request).unwrap().is_expired(Timestamp::MAX));
    }
}
