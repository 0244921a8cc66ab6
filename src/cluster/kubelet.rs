//! Requests to kubelets.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::AuthInfo;
use kube::{Client, Config};

use super::again::{Failed, Transient};
use super::causes::{causes, certificate_fault, failure};
use super::clients::hardened;
use super::requests::failed;
use super::{Call, Cluster, Reply};
use crate::http_client;
use crate::seen::{Seen, Unobserved};

/// A client of one kubelet, with our own credential.
pub(super) struct KubeletClient {
    client: Client,
    shows_certificate: bool,
}

/// The answer of a kubelet to a request without credentials, without its body.
pub struct StrangersAnswer {
    /// The status.
    pub status: u16,
    /// The time in its header, which every answer has.
    pub date: Seen<Timestamp>,
    /// Our own clock before asking.
    pub before: Timestamp,
    /// Our own clock after the answer.
    pub after: Timestamp,
}

impl Cluster {
    /// GET of paths of the kubelet at this address without any credential, one after the other. Of the answers, the bodies do
    /// not matter.
    pub async fn ask_kubelet_as_stranger(&self, kubelet: SocketAddr, paths: &[&str]) -> Seen<Vec<StrangersAnswer>> {
        let turn = self.turn_of_kubelet(kubelet).await?;
        let mut client = turn.permit.stranger.lock().await;
        let mut answers = Vec::new();
        for path in paths {
            self.still_answers(kubelet)?;
            let client = match client.as_mut() {
                Some(client) => client,
                // A self-signed certificate is the kubelet's default.
                None => client.insert(
                    http_client::stranger(turn.deadline)
                        .build()
                        .map_err(|e| Unobserved::invalid("the HTTP client", e))?,
                ),
            };
            let seen = answer_to_stranger(client, format!("https://{kubelet}{path}"), turn.deadline).await;
            self.remember_kubelet(kubelet, &seen);
            answers.push(seen?);
        }
        Ok(answers)
    }

    /// GET of a path of the kubelet at this address, with our own credential.
    ///
    /// Most kubelets present a self-signed certificate. A client certificate is shown to them nevertheless, because its key
    /// stays here. A token is sent only to a kubelet whose certificate is issued by the cluster's CA.
    ///
    /// `permission` is what is missing if the kubelet refuses.
    pub async fn ask_kubelet(&self, address: SocketAddr, path: &str, permission: &str) -> Seen<Reply> {
        let call = Call::url(path).at_instance(address);
        let visit = self.turn_of_kubelet(address).await?.permit;
        let mut client = visit.own.lock().await;
        self.still_answers(address)?;
        // Another request to the same kubelet takes nothing from the deadline of this one.
        let turn = self.begin_turn(())?;
        let deadline = turn.deadline;
        let exchange = Box::pin(async {
            let client = match client.as_ref() {
                Some(client) => client,
                None => client.insert(self.kubelet_client(&call, address).await?),
            };
            let attempt = || self.send_to_kubelet(&call, client);
            let fault = |(reply, pause): &(Reply, _)| Transient::answer(reply, *pause);
            self.again(&call, deadline, attempt, fault).await
        });
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

    async fn kubelet_client(&self, call: &Call, address: SocketAddr) -> Seen<KubeletClient> {
        let own = self.clients.own(self.kubeconfig()).await.map_err(|e| failure(call, &e))?;
        let config = self.kubelet_config(address, own)?;
        let shows_certificate = config.accept_invalid_certs;
        let client = Client::try_from(config).map_err(|e| Unobserved::invalid(call.to_string(), e))?;
        Ok(KubeletClient { client, shows_certificate })
    }

    async fn send_to_kubelet(
        &self,
        call: &Call,
        KubeletClient { client, shows_certificate }: &KubeletClient,
    ) -> Result<(Reply, Option<Duration>), Failed> {
        let sent = client.send(Self::request(call)?).await;
        let response = sent.map_err(|e| {
            let Failed { why, transient } = failed(call, &e);
            let is_unproven = !shows_certificate && certificate_fault(&e).is_some();
            Failed { why: if is_unproven { unproven(why) } else { why }, transient }
        })?;
        self.whole(call, response).await
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

async fn answer_to_stranger(client: &reqwest::Client, url: String, deadline: Duration) -> Seen<StrangersAnswer> {
    let before = Timestamp::now();
    match client.get(&url).send().await {
        Ok(response) => Ok(StrangersAnswer {
            before,
            after: Timestamp::now(),
            status: response.status().as_u16(),
            date: date(response.headers()).map_err(|cause| Unobserved::invalid(url, cause)),
        }),
        Err(e) if e.is_timeout() => Err(Unobserved::timed_out(url, deadline)),
        Err(e) => Err(Unobserved::unreachable(url, causes(&e))),
    }
}

fn date(headers: &http::HeaderMap) -> Result<Timestamp, String> {
    let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.ok_or("the answer has no Date header")?;
    jiff::fmt::rfc2822::parse(date).map(|date| date.timestamp()).map_err(|e| e.to_string())
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
