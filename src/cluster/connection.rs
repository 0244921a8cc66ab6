//! The first request of a run: whether the server is a Kubernetes API that accepts us, and if not, why.
//!
//! This is the one place that decides that a run cannot ask its cluster.

mod error;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use tokio::sync::watch;

pub(crate) use self::error::ConnectError;
use super::causes::{causes, fault, no_credential};
use super::clients::NoClient;
use super::{Call, Cluster, Kubeconfig, KubeconfigError, Reply, Settings};
use crate::certificate::{Distrust, PublicKey};
use crate::handshake::{Handshake, Outdated, Target, Unreachable};
use crate::seen::Unobserved;

/// How long a credential plugin may take. It may have to wait until a person has logged in.
pub(super) const LOGIN: Duration = Duration::from_secs(60);

/// Connects: gets the version with our own credential. The cluster is returned in any case, with the reason why requests
/// cannot be sent to it, if there is one.
///
/// If the endpoint's certificate comes from the right CA but lacks the endpoint's name, the certificate is verified by a
/// name that every API server has, and requests go on.
pub(crate) async fn connect(
    kubeconfig: Kubeconfig,
    settings: Settings,
    cancel: watch::Receiver<bool>,
) -> (Cluster, Result<(), ConnectError>) {
    let mut cluster = Cluster::new(kubeconfig, settings, cancel);
    let connected = greet(&mut cluster).await;
    (cluster, connected)
}

async fn greet(cluster: &mut Cluster) -> Result<(), ConnectError> {
    let version = Call::url("/version");
    prepare(cluster, &version).await?;
    let accepted = match cluster.send(&version).await {
        Ok(reply) => accept(cluster, &version, &reply),
        Err(why @ (Unobserved::TimedOut { .. } | Unobserved::OutOfTime { .. })) => {
            return Err(unreachable(cluster, why));
        }
        Err(why) => look_again(cluster, &version, why).await,
    };
    match accepted {
        // A TLS server also answers plain HTTP, with an error.
        Err(ConnectError::NotKubernetes { .. }) if is_plain(cluster) && matches!(look(cluster).await, Some(Ok(_))) => {
            Err(speaks(cluster, "expects TLS, but the kubeconfig uses http://"))
        }
        accepted => accepted,
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

/// Finds out why there was no answer, from a handshake with the endpoint, and asks once more: instances behind one address
/// differ, and the next one may be in order.
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
        Some(Err(Unreachable::Declined { .. })) if !plain => return Err(declined(cluster, why).await),
        Some(Ok(seen)) if !cluster.kubeconfig().config.accept_invalid_certs => seen,
        _ => return Err(unreachable(cluster, why)),
    };
    if matches!(seen.verdict, Ok(()) | Err(Distrust::NameMismatch { .. })) {
        cluster.clients.verify_by_in_cluster_name();
    }
    match cluster.send(version).await {
        Ok(reply) => accept(cluster, version, &reply),
        Err(why @ (Unobserved::TimedOut { .. } | Unobserved::OutOfTime { .. })) => Err(unreachable(cluster, why)),
        Err(why) => Err(refused(cluster, &seen, why)),
    }
}

/// Why clients do not accept a server that presented this.
fn refused(cluster: &Cluster, seen: &Handshake, why: Unobserved) -> ConnectError {
    if matches!(seen.verdict, Ok(()) | Err(Distrust::BadSignature))
        && let Some((subject, bits)) = short_key(cluster, seen)
    {
        return ConnectError::ShortKey { server: server(cluster), subject, bits, place: place(cluster) };
    }
    match &seen.verdict {
        // This handshake found nothing wrong.
        Ok(()) => unreachable(cluster, why),
        Err(Distrust::NameMismatch { name, presented }) => ConnectError::WrongName {
            server: server(cluster),
            presented: if presented.is_empty() { "no name".into() } else { presented.join(", ") },
            name: name.clone(),
            place: place(cluster),
        },
        Err(Distrust::UnknownIssuer { .. } | Distrust::BadSignature) => untrusted(cluster, seen, why),
        Err(what) => {
            ConnectError::NoServerCertificate { server: server(cluster), what: what.to_string(), place: place(cluster) }
        }
    }
}

/// The certificate, among those presented and those trusted for them, whose RSA key is too short for rustls.
fn short_key(cluster: &Cluster, seen: &Handshake) -> Option<(String, usize)> {
    let presented: Vec<_> = seen.chain.iter().filter_map(|one| one.describe().ok()).collect();
    let issuers = cluster.authorities().iter().filter_map(|one| one.describe().ok());
    let issuers = issuers.filter(|ca| presented.iter().any(|one| one.issuer == ca.subject));
    let is_short = |bits: &usize| *bits < PublicKey::SHORTEST_RSA;
    presented.iter().cloned().chain(issuers).find_map(|one| match one.public_key {
        PublicKey::Rsa { bits } => Some((one.subject, bits)).filter(|(_, bits)| is_short(bits)),
        _ => None,
    })
}

/// Why a server ends the handshake of a client that speaks TLS 1.2 and 1.3: it may speak only what came before.
async fn declined(cluster: &Cluster, why: Unobserved) -> ConnectError {
    let Some(target) = target(cluster) else { return unreachable(cluster, why) };
    match cluster.outdated_handshake(&target).await {
        Ok(Outdated::Accepted { version }) => {
            ConnectError::OldTls { server: server(cluster), version, place: place(cluster) }
        }
        _ => unreachable(cluster, why),
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
    let missed = |after_ms, flag| ConnectError::TimedOut {
        server: server(cluster),
        deadline: Duration::from_millis(after_ms),
        flag,
    };
    match why {
        Unobserved::TimedOut { after_ms, .. } => missed(after_ms, "--request-timeout"),
        Unobserved::OutOfTime { after_ms } => missed(after_ms, "--timeout"),
        why => ConnectError::Unreachable { server: server(cluster), cause: cause(cluster, why) },
    }
}

fn cause(cluster: &Cluster, why: Unobserved) -> String {
    let cause = match why {
        Unobserved::Unreachable { cause, .. } | Unobserved::Invalid { cause, .. } => cause,
        other => other.to_string(),
    };
    cluster.kubeconfig().redaction().text(&cause).into_owned()
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
    Some(cluster.dial(&target(cluster)?, cluster.authorities()).await)
}

/// The endpoint, with the name that the kubeconfig verifies.
fn target(cluster: &Cluster) -> Option<Target> {
    let address = cluster.endpoint()?;
    let name = cluster.kubeconfig().config.tls_server_name.clone();
    Some(Target { server_name: Some(name.unwrap_or_else(|| address.host().to_owned())), address })
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
