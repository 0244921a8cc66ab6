//! The first request of a run: whether the server is a Kubernetes API that accepts us, and if not, why.

mod error;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use tokio::sync::watch;

pub(crate) use self::error::ConnectError;
use super::causes::{causes, fault, no_credential};
use super::clients::NoClient;
use super::{Call, Cluster, Kubeconfig, KubeconfigError, Reply, Settings};
use crate::certificate::Distrust;
use crate::handshake::{Handshake, Target, Unreachable};
use crate::seen::Unobserved;

/// How long a credential plugin may take. It may have to wait until a person has logged in.
pub(super) const LOGIN: Duration = Duration::from_secs(60);

/// Connects: gets the version with our own credential.
///
/// If the endpoint's certificate comes from the right CA but lacks the endpoint's name, the certificate is verified by a
/// name that every API server has, and requests go on. If it has expired, no request is possible, but whatever needs none
/// can still be observed. Checks report both.
pub(crate) async fn connect(
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
        // A TLS server also answers plain HTTP, with an error.
        Err(ConnectError::NotKubernetes { .. })
            if is_plain(&cluster) && matches!(look(&cluster).await, Some(Ok(_))) =>
        {
            Err(speaks(&cluster, "expects TLS, but the kubeconfig uses http://"))
        }
        accepted => accepted.map(|()| cluster),
    }
}

/// Makes the client that sends requests. That reads keys and runs a credential plugin: if it fails, the server is not to
/// blame.
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
        (kube::Error::RustlsTls(error), _) => format!("TLS cannot be set up: {}", causes(error)),
        (_, Some(error)) => fault(error),
        (other, None) => causes(other),
    };
    Err(unusable(format!("user {user:?}: {}", kubeconfig.redaction().text(&cause))))
}

/// Finds out why there was no answer, from a handshake with the endpoint.
async fn look_again(cluster: &mut Cluster, version: &Call, why: Unobserved) -> Result<(), ConnectError> {
    let plain = is_plain(cluster);
    let seen = match look(cluster).await {
        Some(Ok(_)) if plain => return Err(speaks(cluster, "expects TLS, but the kubeconfig uses http://")),
        Some(Err(Unreachable::NotTls { answer })) if !plain => {
            return Err(speaks(
                cluster,
                format!("does not speak TLS, but the kubeconfig uses https:// (it answered {answer:?})"),
            ));
        }
        Some(Ok(seen)) if !cluster.kubeconfig().config.accept_invalid_certs => seen,
        _ => return Err(unreachable(cluster, why)),
    };
    let (name, presented) = match seen.verdict {
        // This handshake found nothing wrong: instances behind one address differ, and this one's certificate has the name.
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
    // Such a 403 comes from Kubernetes. A user without any permission gets a report in which nothing passes.
    if reply.status == 403 && reply.reason() == "Forbidden" {
        return Ok(());
    }
    if reply.status >= 400 && !reply.reason().is_empty() {
        let cause = format!("it returned HTTP {}: {}", reply.status, reply.message());
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
                hint: if html { ": is there a proxy with a login page in between?" } else { "" },
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

/// The deadline that was missed after this time, and the flag that sets it.
fn set_by(cluster: &Cluster, after: Duration) -> (Duration, &'static str) {
    let settings = cluster.settings();
    match settings.timeout {
        // The rest of a run's time is rounded to milliseconds.
        Some(timeout) if after + Duration::from_millis(1) < settings.request_timeout => (timeout, "--timeout"),
        _ => (settings.request_timeout, "--request-timeout"),
    }
}

fn server(cluster: &Cluster) -> String {
    cluster.summary().server.clone()
}

/// The cluster of the kubeconfig, for messages.
fn place(cluster: &Cluster) -> String {
    let Kubeconfig { cluster, origin, .. } = cluster.kubeconfig();
    format!("cluster {cluster:?} in {origin}")
}

/// Whether the kubeconfig uses plain HTTP.
fn is_plain(cluster: &Cluster) -> bool {
    cluster.kubeconfig().config.cluster_url.scheme_str() == Some("http")
}

fn speaks(cluster: &Cluster, speaks: impl Into<String>) -> ConnectError {
    ConnectError::Scheme { server: server(cluster), speaks: speaks.into(), place: place(cluster) }
}

/// Records what the endpoint presents in a handshake.
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

/// What is wrong with our own client certificate, as far as that shows without the server.
fn credential_fault(kubeconfig: &Kubeconfig) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let auth = &kubeconfig.config.auth_info;
    let data = auth.client_certificate_data.as_ref()?;
    let pem = String::from_utf8(BASE64_STANDARD.decode(data).ok()?).ok()?;
    let certificate =
        crate::certificate::Certificate::from_pem_bundle(&pem).ok()?.into_iter().next()?.describe().ok()?;
    let now = jiff::Timestamp::now();
    (certificate.not_after < now).then(|| {
        format!(
            "its client certificate ({}) expired at {}: renew it (on kubeadm clusters: `kubeadm certs renew admin.conf`)",
            certificate.subject, certificate.not_after
        )
    })
}
