//! Requests to kubelets.

use std::future::Future;
use std::net::SocketAddr;

use kube::config::AuthInfo;
use kube::{Client, Config};

use super::again::{Failed, Transient};
use super::causes::{certificate_fault, failure};
use super::clients::hardened;
use super::requests::failed;
use super::{Call, Cluster, Reply};
use crate::http_client;
use crate::seen::{Seen, Unobserved};

impl Cluster {
    /// Asks the kubelet at this address without any credential. The client is closed when the exchange is over.
    pub async fn as_stranger<T, F>(&self, kubelet: SocketAddr, ask: impl FnOnce(reqwest::Client) -> F) -> Seen<T>
    where
        F: Future<Output = Seen<T>>,
    {
        let turn = self.turn_of_kubelet(kubelet).await?;
        // A self-signed certificate is the kubelet's default.
        let client = http_client::stranger(turn.deadline);
        let client = client.build().map_err(|e| Unobserved::invalid("the HTTP client", e))?;
        ask(client).await
    }

    /// GET of a path of the kubelet at this address, with our own credential.
    ///
    /// Most kubelets present a self-signed certificate. A client certificate is shown to them nevertheless, because its key
    /// stays here. A token is sent only to a kubelet whose certificate is issued by the cluster's CA.
    ///
    /// `permission` is what is missing if the kubelet refuses.
    pub async fn ask_kubelet(&self, address: SocketAddr, path: &str, permission: &str) -> Seen<Reply> {
        let call = Call::url(path).at_instance(address);
        let turn = self.turn_of_kubelet(address).await?;
        let attempt = || async {
            let own = self.clients.own(self.kubeconfig()).await.map_err(|e| failure(&call, &e))?;
            let config = self.kubelet_config(address, own)?;
            let shows_certificate = config.accept_invalid_certs;
            let client = Client::try_from(config).map_err(|e| Unobserved::invalid(call.to_string(), e))?;
            let sent = client.send(Self::request(&call)?).await;
            let response = sent.map_err(|e| {
                let Failed { why, transient } = failed(&call, &e);
                let is_unproven = !shows_certificate && certificate_fault(&e).is_some();
                Failed { why: if is_unproven { unproven(why) } else { why }, transient }
            })?;
            self.whole(&call, response).await
        };
        let fault = |(reply, pause): &(Reply, _)| Transient::answer(reply, *pause);
        let exchange = Box::pin(self.again(&call, turn.deadline, attempt, fault));
        let seen = turn.take(&call, exchange).await;
        self.remember_kubelet(address, &seen);
        let (reply, _) = seen?;
        match reply.status {
            200 => Ok(reply),
            401 => Err(Unobserved::Refused {
                missing: "a credential that the kubelet accepts".into(),
                message: format!("{call}: {}", reply.message()),
            }),
            403 => {
                Err(Unobserved::Refused { missing: permission.into(), message: format!("{call}: {}", reply.message()) })
            }
            404 => Err(Unobserved::absent(format!("the kubelet at {address} does not serve {path}"))),
            status => Err(Unobserved::invalid(call.to_string(), format!("HTTP {status}: {}", reply.message()))),
        }
    }

    fn kubelet_config(&self, address: SocketAddr, own: AuthInfo) -> Seen<Config> {
        let mut config = hardened(self.kubeconfig());
        config.cluster_url =
            format!("https://{address}").parse().map_err(|e| Unobserved::invalid(address.to_string(), e))?;
        config.tls_server_name = None;
        // A proxy for the API server is not one for the nodes.
        config.proxy_url = None;
        let shows_certificate = own.client_certificate_data.is_some();
        config.accept_invalid_certs = shows_certificate;
        config.auth_info = if shows_certificate {
            AuthInfo {
                client_certificate_data: own.client_certificate_data,
                client_key_data: own.client_key_data,
                ..AuthInfo::default()
            }
        } else {
            own
        };
        Ok(config)
    }
}

/// Adds why the kubelet did not get our token.
fn unproven(why: Unobserved) -> Unobserved {
    match why {
        Unobserved::Unreachable { target, cause } => Unobserved::unreachable(
            target,
            format!(
                "{cause}; a token is sent only to a kubelet whose certificate is issued by the cluster's CA: use a client \
                 certificate, or set serverTLSBootstrap: true in the kubelets' configuration"
            ),
        ),
        why => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_for_keeping_a_token_back_is_stated() {
        let why = unproven(Unobserved::unreachable("GET /configz", "invalid peer certificate: UnknownIssuer"));
        assert!(why.to_string().contains("a token is sent only to a kubelet"));
    }
}
