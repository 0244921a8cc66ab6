//! The clients that send requests: one for each credential, instance and trust.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine};
use kube::config::AuthInfo;
use kube::{Client, Config};
use tokio::sync::OnceCell;

use super::call::Trust;
use super::identity::{ClientCertificate, Token};
use super::plugin::{self, Issued, PluginError};
use super::{Call, Identity, Kubeconfig};
use crate::redaction::Redaction;
use crate::seen::{Obstacle, Unobserved};

/// The name by which an API server's certificate is verified if it is dialled by address.
const SERVER_NAME: &str = "kubernetes";

/// Clients are looked up and never listed; credentials have no order.
#[expect(clippy::disallowed_types, reason = "its order is never visible")]
type ByLine = std::collections::HashMap<Line, Arc<OnceCell<Client>>>;

/// The clients that send requests, made when they are first needed.
#[derive(Default)]
pub(super) struct Clients {
    by_line: Mutex<ByLine>,
    server_name: OnceLock<&'static str>,
    barred: OnceLock<Unobserved>,
    issued: tokio::sync::Mutex<Option<Issued>>,
}

/// What a client presents. Impersonation is a header on our own credential.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Credential {
    Own,
    Nothing,
    Bearer(Token),
    Certificate(ClientCertificate),
}

/// What requests that share a client have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Line {
    credential: Credential,
    instance: Option<SocketAddr>,
    trust: Trust,
}

/// Why there is no client.
#[derive(Debug)]
pub(super) enum NoClient {
    /// The request must not be sent like this, or an error is known already.
    Unfit(Unobserved),
    /// The kubeconfig does not allow making it.
    Failed(Box<kube::Error>),
    /// The credential plugin gave no credential.
    NoCredential(PluginError),
    /// The program ended while it was made.
    Abandoned,
}

impl From<Unobserved> for NoClient {
    fn from(why: Unobserved) -> Self {
        Self::Unfit(why)
    }
}

impl From<PluginError> for NoClient {
    fn from(why: PluginError) -> Self {
        Self::NoCredential(why)
    }
}

/// Whether a request may be sent all the same.
fn leaves_room(why: &Unobserved, call: &Call) -> bool {
    match why {
        Unobserved::Barred { obstacle: Obstacle::Certificate, .. } => {
            call.identity == Identity::Anonymous && call.trust != Trust::Kubeconfig
        }
        Unobserved::Barred { obstacle: Obstacle::Credential, .. } => {
            !matches!(call.identity, Identity::Own | Identity::Impersonated { .. })
        }
        _ => false,
    }
}

/// Makes a client. That reads files, so it has a thread of its own.
async fn made(config: Config) -> Result<Client, NoClient> {
    match tokio::task::spawn_blocking(move || Client::try_from(config)).await {
        Ok(made) => made.map_err(|e| NoClient::Failed(Box::new(e))),
        Err(why) if why.is_panic() => Err(NoClient::Unfit(Unobserved::invalid("making an HTTP client", why))),
        Err(_) => Err(NoClient::Abandoned),
    }
}

/// The configuration of the kubeconfig, for clients that send each request once and leave deadlines to the caller.
pub(super) fn hardened(kubeconfig: &Kubeconfig) -> Config {
    let mut config = kubeconfig.config.clone();
    // A refusal is an observation; a retry would hide it.
    config.default_retry = false;
    // The caller has a deadline for the whole exchange. Of two that end at the same time, either might be reported.
    config.connect_timeout = None;
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(crate::USER_AGENT)));
    config
}

impl Clients {
    /// Verifies the configured endpoint's certificate by this name instead of the kubeconfig's, which checks still use.
    pub(super) fn verify_by_in_cluster_name(&self) {
        if self.server_name.set(SERVER_NAME).is_ok() {
            self.by_line.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Whether the configured endpoint's certificate is still verified by the name in the kubeconfig.
    pub(super) fn verify_by_endpoint_name(&self) -> bool {
        self.server_name.get().is_none()
    }

    /// From now on there are clients only for requests that this obstacle leaves room for.
    pub(super) fn bar(&self, why: Unobserved) {
        // The first obstacle is the cause of what comes after it.
        let _ = self.barred.set(why);
    }

    /// Why most requests are not sent.
    pub(super) fn barred(&self) -> Option<&Unobserved> {
        self.barred.get()
    }

    /// The client for a request: an existing one, unless the request needs a new connection.
    pub(super) async fn of(&self, kubeconfig: &Kubeconfig, call: &Call) -> Result<Client, NoClient> {
        if let Some(why) = self.barred().filter(|why| !leaves_room(why, call)) {
            return Err(why.clone().into());
        }
        let credential = match &call.identity {
            Identity::Own | Identity::Impersonated { .. } => Credential::Own,
            Identity::Anonymous => Credential::Nothing,
            Identity::Bearer(token) => Credential::Bearer(token.clone()),
            Identity::Certified(certificate) => Credential::Certificate(certificate.clone()),
        };
        let line = Line { credential, instance: call.instance, trust: call.trust.clone() };
        if line.credential == Credential::Own {
            self.renew(kubeconfig).await?;
        }
        if call.new_connection {
            return made(self.config(kubeconfig, &line).await?).await;
        }
        let client = {
            let mut clients = self.by_line.lock().unwrap_or_else(PoisonError::into_inner);
            clients.entry(line.clone()).or_default().clone()
        };
        // If the request that makes the client gives up, the next one makes it.
        client.get_or_try_init(|| async { made(self.config(kubeconfig, &line).await?).await }).await.cloned()
    }

    /// Runs the credential plugin of the kubeconfig, if there is one, unless its last credential can still be used.
    async fn renew(&self, kubeconfig: &Kubeconfig) -> Result<(), PluginError> {
        let Some(exec) = &kubeconfig.config.auth_info.exec else { return Ok(()) };
        let mut issued = self.issued.lock().await;
        if !issued.as_ref().is_some_and(Issued::is_fresh) {
            *issued = Some(plugin::run(exec).await?);
            // Clients with an earlier credential are useless now.
            self.by_line.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        Ok(())
    }

    /// Our own current credential.
    pub(super) async fn own(&self, kubeconfig: &Kubeconfig) -> Result<AuthInfo, PluginError> {
        self.renew(kubeconfig).await?;
        let user = &kubeconfig.config.auth_info;
        Ok(self.issued.lock().await.as_ref().map_or_else(|| user.clone(), |issued| issued.held_by(user)))
    }

    /// Removes our own secrets from all output.
    pub(super) async fn redaction(&self, kubeconfig: &Kubeconfig) -> Redaction {
        let issued = self.issued.lock().await;
        kubeconfig.redaction().and(issued.iter().flat_map(Issued::secrets))
    }

    async fn config(
        &self,
        kubeconfig: &Kubeconfig,
        Line { credential, instance, trust }: &Line,
    ) -> Result<Config, NoClient> {
        let mut config = hardened(kubeconfig);
        if let Some(name) = self.server_name.get() {
            config.tls_server_name = Some((*name).to_owned());
        }
        match credential {
            Credential::Own => config.auth_info = self.own(kubeconfig).await?,
            Credential::Nothing => config.auth_info = AuthInfo::default(),
            Credential::Bearer(token) => {
                config.auth_info = AuthInfo { token: Some(token.expose().to_owned().into()), ..AuthInfo::default() };
            }
            Credential::Certificate(certificate) => {
                config.auth_info = AuthInfo {
                    client_certificate_data: Some(BASE64_STANDARD.encode(certificate.chain())),
                    client_key_data: Some(BASE64_STANDARD.encode(certificate.expose_key()).into()),
                    ..AuthInfo::default()
                };
            }
        }
        match trust {
            Trust::Kubeconfig => {}
            Trust::Anyone if *credential == Credential::Nothing => config.accept_invalid_certs = true,
            Trust::Anyone => {
                let cause = "a credential is not sent to a server whose certificate is not verified";
                return Err(Unobserved::invalid(config.cluster_url.to_string(), cause).into());
            }
            Trust::Only(authorities) => {
                config.accept_invalid_certs = false;
                config.root_cert_file = None;
                config.root_cert = Some(authorities.iter().map(|authority| authority.der().to_vec()).collect());
            }
        }
        if let Some(address) = instance {
            config.cluster_url =
                format!("https://{address}").parse().map_err(|e| Unobserved::invalid(address.to_string(), e))?;
            config.tls_server_name = Some(SERVER_NAME.into());
        }
        Ok(config)
    }
}
