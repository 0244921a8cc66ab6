//! The first request of a run: whether this is a Kubernetes API that we can talk to, and if not, why not.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use tokio::sync::watch;

use super::causes::{causes, fault, no_credential};
use super::clients::NoClient;
use super::handshake::{Handshake, Target, Unreachable};
use super::kubeconfig::explain;
use super::{Call, Cluster, Kubeconfig, KubeconfigError, Reply, Settings};
use crate::certificate::Distrust;
use crate::seen::Unobserved;

/// How long a credential plugin may take, which may have to wait for a person who logs in.
pub(super) const LOGIN: Duration = Duration::from_secs(60);

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
    #[error("{server}: the API server did not answer within {} s; {flag} sets the deadline", deadline.as_secs_f64())]
    TimedOut {
        /// The API server's URL.
        server: String,
        /// The deadline.
        deadline: Duration,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The credential is not there in time.
    #[error("{origin}: {what} of user {user:?} did not end within {} s{hint}", deadline.as_secs_f64())]
    Tardy {
        /// The kubeconfig.
        origin: String,
        /// The user of the kubeconfig.
        user: String,
        /// What did not end.
        what: String,
        /// The deadline.
        deadline: Duration,
        /// Which flag sets it, if one does.
        hint: &'static str,
    },
    /// There is no credential to ask with.
    #[error("{origin}: user {user:?} has no credential: {cause}")]
    NoCredential {
        /// The kubeconfig.
        origin: String,
        /// The user of the kubeconfig.
        user: String,
        /// Why.
        cause: String,
    },
    /// Nothing can be asked with this kubeconfig.
    #[error(transparent)]
    Unusable(KubeconfigError),
    /// The server speaks TLS, or does not, and the kubeconfig says otherwise.
    #[error("{server}: what answers there {speaks}: {place} needs another scheme or port in its server")]
    Scheme {
        /// The API server's URL.
        server: String,
        /// What the server does.
        speaks: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The certificate is for other names.
    #[error(
        "{server}: the certificate that answers is for {presented}, not for {name}: set the server of {place} \
          to one of its names, or tls-server-name beside it"
    )]
    WrongName {
        /// The API server's URL.
        server: String,
        /// The names that the certificate has.
        presented: String,
        /// The name that it should have.
        name: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The certificate is one that clients do not take from any server.
    #[error(
        "{server}: the certificate that answers is no server's: {what}; give the API server one that the CA of \
         {place} has issued"
    )]
    NoServerCertificate {
        /// The API server's URL.
        server: String,
        /// What is wrong with it.
        what: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// Nothing says whom to trust, and this system does not trust the certificate.
    #[error(
        "{server}: {cause}: {issuer} issued the certificate that answers, and {place} has no \
         certificate-authority or certificate-authority-data, so that only the CAs count that this system trusts"
    )]
    NoAuthority {
        /// The API server's URL.
        server: String,
        /// How the connection failed.
        cause: String,
        /// Who issued the certificate.
        issuer: String,
        /// The cluster and its kubeconfig.
        place: String,
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
    prepare(&cluster, &version).await?;
    let accepted = match cluster.send(&version).await {
        Ok(reply) => accept(&mut cluster, &version, &reply),
        Err(why @ Unobserved::TimedOut { .. }) => return Err(unreachable(&cluster, why)),
        Err(why) => look_again(&mut cluster, &version, why).await,
    };
    match accepted {
        // A server of TLS answers plain HTTP as well, with a complaint.
        Err(ConnectError::NotKubernetes { .. })
            if is_plain(&cluster) && matches!(look(&cluster).await, Some(Ok(_))) =>
        {
            Err(speaks(&cluster, "speaks TLS, which http:// is not"))
        }
        accepted => accepted.map(|()| cluster),
    }
}

/// Makes the client that requests are sent with. That reads keys and runs a credential plugin: what fails here is no fault
/// of the server's.
async fn prepare(cluster: &Cluster, call: &Call) -> Result<(), ConnectError> {
    let kubeconfig = cluster.kubeconfig();
    let Kubeconfig { origin, user, context, .. } = kubeconfig;
    let limit = cluster.deadline(LOGIN);
    let unusable = |cause| {
        ConnectError::Unusable(KubeconfigError::Unusable { origin: origin.clone(), context: context.clone(), cause })
    };
    let Ok(made) = tokio::time::timeout(limit, Box::pin(cluster.clients.of(kubeconfig, call))).await else {
        let timeout = cluster.settings().timeout.filter(|timeout| *timeout < LOGIN);
        let (deadline, hint) = timeout.map_or((LOGIN, ""), |timeout| (timeout, "; --timeout sets the deadline"));
        let command = kubeconfig.config.auth_info.exec.as_ref().and_then(|exec| exec.command.as_deref());
        let what = command.map_or_else(|| "reading the credential".into(), |it| format!("the credential plugin {it}"));
        return Err(ConnectError::Tardy { origin: origin.clone(), user: user.clone(), what, deadline, hint });
    };
    let error = match made {
        Ok(_) => return Ok(()),
        Err(NoClient::Failed(error)) => error,
        Err(NoClient::NoCredential(error)) => {
            let cause = kubeconfig.redaction().text(&error.to_string()).into_owned();
            return Err(if error.is_not_started() {
                unusable(format!("user {user:?}: {cause}"))
            } else {
                ConnectError::NoCredential { origin: origin.clone(), user: user.clone(), cause }
            });
        }
        Err(NoClient::Unfit(why)) => return Err(unreachable(cluster, why)),
        Err(NoClient::Abandoned) => return Err(unreachable(cluster, Unobserved::Interrupted)),
    };
    let cause = match (error.as_ref(), no_credential(error.as_ref())) {
        (kube::Error::InferKubeconfig(error), _) => explain(error),
        (_, Some(error)) => fault(error),
        (other, None) => causes(other),
    };
    Err(unusable(format!("user {user:?}: {}", kubeconfig.redaction().text(&cause))))
}

/// Finds out why there was no answer, from what the endpoint presents to a client that asks nothing.
async fn look_again(cluster: &mut Cluster, version: &Call, why: Unobserved) -> Result<(), ConnectError> {
    let plain = is_plain(cluster);
    let seen = match look(cluster).await {
        Some(Ok(_)) if plain => return Err(speaks(cluster, "speaks TLS, which http:// is not")),
        Some(Err(Unreachable::NotTls { answer })) if !plain => {
            return Err(speaks(cluster, format!("does not speak TLS, which https:// is, but says {answer:?}")));
        }
        Some(Ok(seen)) if !cluster.kubeconfig().config.accept_invalid_certs => seen,
        _ => return Err(unreachable(cluster, why)),
    };
    let (name, presented) = match seen.verdict {
        // Nothing wrong at the second look: instances behind one address differ, and this one has a better name.
        Ok(()) => (String::new(), Vec::new()),
        Err(Distrust::NameMismatch { name, presented }) => (name, presented),
        Err(Distrust::Expired { .. } | Distrust::NotYetValid { .. }) => return Ok(()),
        Err(Distrust::UnknownIssuer { .. } | Distrust::BadSignature) => return Err(untrusted(cluster, &seen, why)),
        Err(what) => {
            return Err(ConnectError::NoServerCertificate {
                server: server(cluster),
                what: what.to_string(),
                place: place(cluster),
            });
        }
    };
    cluster.clients.verify_by_in_cluster_name();
    match cluster.send(version).await {
        Ok(reply) => accept(cluster, version, &reply),
        Err(why) if name.is_empty() || matches!(why, Unobserved::TimedOut { .. }) => Err(unreachable(cluster, why)),
        Err(_) => Err(ConnectError::WrongName {
            server: server(cluster),
            presented: if presented.is_empty() { "no name".into() } else { presented.join(", ") },
            name,
            place: place(cluster),
        }),
    }
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
    if let Unobserved::TimedOut { after_ms, .. } = why {
        let (deadline, flag) = set_by(cluster, Duration::from_millis(after_ms));
        return ConnectError::TimedOut { server: server(cluster), deadline, flag };
    }
    ConnectError::Unreachable { server: server(cluster), cause: cause(cluster, why) }
}

fn cause(cluster: &Cluster, why: Unobserved) -> String {
    let cause = match why {
        Unobserved::Unreachable { cause, .. } | Unobserved::Invalid { cause, .. } => cause,
        other => other.to_string(),
    };
    cluster.kubeconfig().redaction().text(&cause).into_owned()
}

/// The deadline that ended something after this time, and the flag that sets it.
fn set_by(cluster: &Cluster, after: Duration) -> (Duration, &'static str) {
    let settings = cluster.settings();
    match settings.timeout {
        // What is left of a run is counted in milliseconds.
        Some(timeout) if after + Duration::from_millis(1) < settings.request_timeout => (timeout, "--timeout"),
        _ => (settings.request_timeout, "--request-timeout"),
    }
}

fn server(cluster: &Cluster) -> String {
    cluster.summary().server.clone()
}

/// The part of the kubeconfig that says where the server is.
fn place(cluster: &Cluster) -> String {
    let Kubeconfig { cluster, origin, .. } = cluster.kubeconfig();
    format!("cluster {cluster:?} in {origin}")
}

/// Whether the kubeconfig says that the server speaks no TLS.
fn is_plain(cluster: &Cluster) -> bool {
    cluster.kubeconfig().config.cluster_url.scheme_str() == Some("http")
}

fn speaks(cluster: &Cluster, speaks: impl Into<String>) -> ConnectError {
    ConnectError::Scheme { server: server(cluster), speaks: speaks.into(), place: place(cluster) }
}

/// Looks at what the endpoint presents.
async fn look(cluster: &Cluster) -> Option<Result<Handshake, Unreachable>> {
    let address = cluster.endpoint()?;
    let name = cluster.kubeconfig().config.tls_server_name.clone();
    let target = Target { server_name: Some(name.unwrap_or_else(|| address.host().to_owned())), address };
    Some(cluster.dial(&target, cluster.authorities()).await)
}

fn untrusted(cluster: &Cluster, seen: &Handshake, why: Unobserved) -> ConnectError {
    let leaf = seen.chain.first().and_then(|leaf| leaf.describe().ok());
    let issuer = leaf.map_or_else(|| "an unknown issuer".into(), |leaf| leaf.issuer);
    let Kubeconfig { origin, authorities, .. } = cluster.kubeconfig();
    if authorities.is_empty() {
        return ConnectError::NoAuthority {
            server: server(cluster),
            cause: cause(cluster, why),
            issuer,
            place: place(cluster),
        };
    }
    ConnectError::Untrusted { server: server(cluster), issuer, origin: origin.clone() }
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
