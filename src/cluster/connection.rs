//! The first request of a run: whether this is a Kubernetes API that we can talk to, and if not, why not.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use tokio::sync::watch;

use super::handshake::Target;
use super::{Call, Cluster, Kubeconfig, Reply, Settings};
use crate::certificate::Distrust;
use crate::fact::Unobserved;

/// Why a cluster cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing answers.
    #[error("{server}: the API server cannot be reached: {cause}")]
    Unreachable {
        /// The API server's URL.
        server: String,
        /// How the connection failed.
        cause: String,
    },
    /// Something answers too slowly.
    #[error("{server}: the API server did not answer within {} s; --request-timeout sets the deadline", deadline.as_secs_f64())]
    TimedOut {
        /// The API server's URL.
        server: String,
        /// The deadline.
        deadline: Duration,
    },
    /// The certificate comes from somebody whom the kubeconfig does not trust.
    #[error(
        "{server}: the certificate that answers is not from the cluster's CA ({issuer} issued it): \
         the kubeconfig ({origin}) has another cluster's certificate-authority-data, or something intercepts TLS on the way"
    )]
    Untrusted {
        /// The API server's URL.
        server: String,
        /// Who issued the certificate.
        issuer: String,
        /// The kubeconfig.
        origin: String,
    },
    /// Something else than Kubernetes answers.
    #[error("{server}: this is not a Kubernetes API: GET /version answered HTTP {status} with {content}{hint}")]
    NotKubernetes {
        /// The URL.
        server: String,
        /// The HTTP status code.
        status: u16,
        /// What kind of content came.
        content: String,
        /// What it probably is.
        hint: &'static str,
    },
    /// Our credential is refused.
    #[error("{server}: the API server refuses the credential of {user} in {origin}: {cause}")]
    Unauthorized {
        /// The API server's URL.
        server: String,
        /// The user of the kubeconfig.
        user: String,
        /// The kubeconfig.
        origin: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Connects: asks for the version with our own credential.
///
/// An endpoint whose certificate comes from the right CA but lacks the endpoint's name is asked all the same, its
/// certificate checked by a name that every API server has. One whose certificate has expired cannot be asked anything,
/// but what needs no request can still be observed. Both are for the checks to report.
pub async fn connect(
    kubeconfig: Kubeconfig,
    settings: Settings,
    cancel: watch::Receiver<bool>,
) -> Result<Cluster, ConnectError> {
    let mut cluster = Cluster::new(kubeconfig, settings, cancel);
    let version = Call::url("/version");
    match cluster.send(&version).await {
        Ok(reply) => accept(&mut cluster, &version, &reply),
        Err(Unobserved::TimedOut { .. }) => {
            Err(ConnectError::TimedOut { server: server(&cluster), deadline: cluster.settings().request_timeout })
        }
        Err(why) => match distrust(&cluster).await {
            // Nothing wrong at the second look: instances behind one address differ, and this one has a better name.
            Some((Ok(()) | Err(Distrust::NameMismatch { .. }), _)) => {
                cluster.clients.verify_by_in_cluster_name();
                match cluster.send(&version).await {
                    Ok(reply) => accept(&mut cluster, &version, &reply),
                    Err(why) => Err(unreachable(&cluster, why)),
                }
            }
            Some((Err(Distrust::Expired { .. } | Distrust::NotYetValid { .. }), _)) => Ok(()),
            Some((Err(Distrust::UnknownIssuer { .. } | Distrust::BadSignature), issuer)) => {
                Err(ConnectError::Untrusted {
                    server: server(&cluster),
                    issuer,
                    origin: cluster.kubeconfig().origin.clone(),
                })
            }
            Some((Err(_), _)) | None => Err(unreachable(&cluster, why)),
        },
    }?;
    Ok(cluster)
}

fn accept(cluster: &mut Cluster, call: &Call, reply: &Reply) -> Result<(), ConnectError> {
    if reply.status == 401 {
        return Err(ConnectError::Unauthorized {
            server: server(cluster),
            user: cluster.kubeconfig().user.clone(),
            origin: cluster.kubeconfig().origin.clone(),
            cause: credential_fault(cluster.kubeconfig()).unwrap_or_else(|| reply.message()),
        });
    }
    // A 403 is Kubernetes speaking: a user without any right gets a report in which nothing passes.
    if reply.status == 403 && reply.reason() == "Forbidden" {
        return Ok(());
    }
    if reply.status >= 400 && !reply.reason().is_empty() {
        let cause = format!("it answers HTTP {}: {}", reply.status, reply.message());
        return Err(ConnectError::Unreachable { server: server(cluster), cause });
    }
    match reply.decode::<Info>(call) {
        Ok(info) if !info.git_version.is_empty() => {
            cluster.set_version(info.git_version);
            Ok(())
        }
        _ => {
            let html = reply.content_type.contains("html") || reply.body.trim_ascii_start().starts_with(b"<");
            Err(ConnectError::NotKubernetes {
                server: server(cluster),
                status: reply.status,
                content: if html {
                    "an HTML page".into()
                } else if reply.content_type.is_empty() {
                    "no content type".into()
                } else {
                    reply.content_type.clone()
                },
                hint: if html { ": is there a proxy with a login page on the way?" } else { "" },
            })
        }
    }
}

fn unreachable(cluster: &Cluster, why: Unobserved) -> ConnectError {
    let cause = match why {
        Unobserved::Unreachable { cause, .. } | Unobserved::Invalid { cause, .. } => cause,
        other => other.to_string(),
    };
    // A credential plugin that fails is quoted with all that it was given.
    let cause = cluster.kubeconfig().redaction().text(&cause).into_owned();
    ConnectError::Unreachable { server: server(cluster), cause }
}

fn server(cluster: &Cluster) -> String {
    cluster.summary().server.clone()
}

/// Looks at the certificate that may have made the connection fail: what is wrong with it, and who issued it.
async fn distrust(cluster: &Cluster) -> Option<(Result<(), Distrust>, String)> {
    let address = cluster.endpoint()?;
    let name = cluster.kubeconfig().config.tls_server_name.clone();
    let target = Target { server_name: Some(name.unwrap_or_else(|| address.host().to_owned())), address };
    let seen = cluster.handshake(&target, cluster.authorities()).await.ok()?;
    let issuer = seen
        .chain
        .first()
        .and_then(|leaf| leaf.describe().ok())
        .map_or_else(|| "an unknown issuer".into(), |leaf| leaf.issuer);
    Some((seen.verdict, issuer))
}

/// What is wrong with our own client certificate, if that can be told without the server.
fn credential_fault(kubeconfig: &Kubeconfig) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let auth = &kubeconfig.config.auth_info;
    let pem = match (&auth.client_certificate_data, &auth.client_certificate) {
        (Some(data), _) => String::from_utf8(BASE64_STANDARD.decode(data).ok()?).ok()?,
        (None, Some(path)) => std::fs::read_to_string(path).ok()?,
        (None, None) => return None,
    };
    let certificate =
        crate::certificate::Certificate::from_pem_bundle(&pem).ok()?.into_iter().next()?.describe().ok()?;
    let now = jiff::Timestamp::now();
    (certificate.not_after < now).then(|| {
        format!(
            "its client certificate ({}) expired at {}: renew it, on kubeadm with `kubeadm certs renew admin.conf`",
            certificate.subject, certificate.not_after
        )
    })
}
