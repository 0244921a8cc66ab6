//! The handle through which facts ask a cluster.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncBufRead;
use tokio::sync::{Semaphore, SetOnce, watch};

use super::call::{Trust, Verb};
use super::handshake::{
    Authority, Handshake, Outdated, Target, Unreachable, handshake, handshake_over, outdated, outdated_over,
};
use super::identity::{ClientCertificate, Token};
use super::{Call, Footprint, Identity, Kubeconfig, Outlying, Reply};
use crate::certificate::Certificate;
use crate::drill::NodePower;
use crate::event::ClusterSummary;
use crate::expectations::Expectations;
use crate::fact::observer::timed_out;
use crate::fact::{Seen, Unobserved};
use crate::probe::ProbeSettings;

/// The most that one answer may hold, in bytes. A page of 500 large objects stays below it.
const BODY_LIMIT: usize = 64 << 20;
/// How many objects a page holds.
const PAGE: &str = "500";
/// The name by which every API server's certificate is checked when it is dialled by address.
const SERVER_NAME: &str = "kubernetes";

/// How a run asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many requests may be in flight at once.
    pub jobs: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long the whole run may take.
    pub timeout: Option<Duration>,
    /// What the profile expects of this cluster.
    pub expectations: Expectations,
    /// How probes are run.
    pub probe: ProbeSettings,
    /// How a node is stopped and started again, in a run that may do so.
    pub node_power: Option<NodePower>,
}

/// A cluster that can be asked.
pub struct Cluster {
    kubeconfig: Kubeconfig,
    settings: Settings,
    summary: ClusterSummary,
    clients: Mutex<HashMap<Line, Client>>,
    server_name: OnceLock<&'static str>,
    in_flight: Semaphore,
    requests: AtomicUsize,
    end: Option<Instant>,
    cleans_up: AtomicBool,
    outlying: Mutex<BTreeSet<Outlying>>,
    footprints: Mutex<Vec<Footprint>>,
    under_way: SetOnce<()>,
    cancel: watch::Receiver<bool>,
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

/// The part of a list that paging needs, with items decoded one by one.
#[derive(Deserialize)]
struct Page<K> {
    metadata: PageMetadata,
    /// Null where there are none, in lists of metadata.
    items: Option<Vec<K>>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

impl Cluster {
    /// A handle; nothing is sent yet.
    pub fn new(kubeconfig: Kubeconfig, settings: Settings, cancel: watch::Receiver<bool>) -> Self {
        let summary = ClusterSummary {
            name: kubeconfig.context.clone(),
            server: kubeconfig.config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            version: String::new(),
        };
        Self {
            in_flight: Semaphore::new(settings.jobs),
            end: settings.timeout.map(|timeout| Instant::now() + timeout),
            cleans_up: AtomicBool::new(false),
            kubeconfig,
            settings,
            summary,
            clients: Mutex::default(),
            server_name: OnceLock::new(),
            requests: AtomicUsize::new(0),
            outlying: Mutex::default(),
            footprints: Mutex::default(),
            under_way: SetOnce::new(),
            cancel,
        }
    }

    pub(super) fn set_version(&mut self, version: String) {
        self.summary.version = version;
    }

    /// Checks the configured endpoint's certificate by this name instead of the one that the kubeconfig says, which
    /// stays what the checks are told.
    pub(super) fn verify_by_in_cluster_name(&self) {
        if self.server_name.set(SERVER_NAME).is_ok() {
            self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The cluster in a few words.
    pub fn summary(&self) -> &ClusterSummary {
        &self.summary
    }

    /// Which cluster, and as whom.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// The host and port of the configured URL.
    pub fn endpoint(&self) -> Option<Authority> {
        let url = &self.kubeconfig.config.cluster_url;
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
        let host = url.host()?;
        Authority::new(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port).ok()
    }

    /// How the run asks.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The certificate authorities of the kubeconfig.
    pub fn authorities(&self) -> &[Certificate] {
        &self.kubeconfig.authorities
    }

    /// How many requests were sent to the API server.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Remembers where the run has created objects, for the clean-up at its end.
    pub fn leaves(&self, footprint: Footprint) {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).push(footprint);
    }

    /// Where the run has created objects.
    pub fn footprints(&self) -> Vec<Footprint> {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the probes run, or will not: what waited so as not to delay them may begin.
    pub fn let_others_begin(&self) {
        // The first to say so is enough.
        let _ = self.under_way.set(());
    }

    /// Ends when the probes run, or will not.
    pub async fn others_may_begin(&self) {
        self.under_way.wait().await;
    }

    /// Remembers an object of the run that is in no namespace of the run, for the clean-up at its end.
    pub fn leaves_outlying(&self, object: Outlying) {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
    }

    /// Forgets one, because it is gone.
    pub fn has_removed(&self, object: &Outlying) {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    /// The objects of the run that are left in no namespace of the run.
    pub fn outlying(&self) -> BTreeSet<Outlying> {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the clean-up begins. What the run made is removed also when its time is over.
    pub fn begin_clean_up(&self) {
        self.cleans_up.store(true, Ordering::Relaxed);
    }

    /// This deadline, or what is left of the run's.
    pub fn deadline(&self, deadline: Duration) -> Duration {
        let end = self.end.filter(|_| !self.cleans_up.load(Ordering::Relaxed));
        end.map_or(deadline, |end| deadline.min(end.saturating_duration_since(Instant::now())))
    }

    /// Whether the run is stopped.
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Ends when the run is stopped.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut cancel = self.cancel.clone();
        async move {
            if cancel.wait_for(|stopped| *stopped).await.is_err() {
                // Nobody is left who could stop the run.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends a request once. Any answer is a reply, whatever its status.
    pub async fn send(&self, call: &Call) -> Seen<Reply> {
        // Waiting for our own other requests is not the server's time.
        let _permit = self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))?;
        let deadline = self.deadline(self.settings.request_timeout);
        let exchange = async { whole(call, self.respond(call).await?).await };
        self.requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| Err(timed_out(call.to_string(), deadline)))
    }

    /// Sends a request with this client as soon as one more may be in flight, and takes the whole answer.
    pub(super) async fn exchange(&self, client: &Client, call: &Call) -> Seen<Reply> {
        let _permit = self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))?;
        let response = client.send(Self::request(call)?).await.map_err(|e| failure(call, &e))?;
        whole(call, response).await
    }

    /// Opens a stream through the API server as soon as one more request may be in flight.
    pub(super) async fn open<T>(&self, call: &Call, open: impl AsyncFnOnce(Client) -> T) -> Seen<T> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let _permit = self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))?;
        Ok(open(self.client(call)?).await)
    }

    /// Sends a request and decodes the object that it answers.
    pub async fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Seen<T> {
        self.send(call).await?.decode(call)
    }

    /// Lists all objects, page by page, keeping of each only what `trim` takes from it.
    pub async fn list<K: DeserializeOwned, T>(&self, call: Call, mut trim: impl FnMut(K) -> T) -> Seen<Vec<T>> {
        let mut kept = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = call.clone().with("limit", PAGE);
            let page = match next {
                Some(token) => page.with("continue", token),
                None => page,
            };
            let Page { metadata, items } = self.fetch::<Page<K>>(&page).await?;
            kept.extend(items.into_iter().flatten().map(&mut trim));
            next = metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(kept);
            }
        }
    }

    /// Dials `target` and records what it presents; `roots` are what the verdict of the record rests on.
    pub async fn handshake(&self, target: &Target, roots: &[Certificate]) -> Seen<Handshake> {
        let _permit =
            self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(target.address.to_string(), e))?;
        let deadline = self.deadline(self.settings.request_timeout);
        let seen = match &self.kubeconfig.config.proxy_url {
            None => handshake(target, roots, deadline).await,
            Some(proxy) => through(proxy, target, roots, deadline).await,
        };
        seen.map_err(|why| unseen(target, why))
    }

    /// Dials `target` and offers it TLS 1.1 at most.
    pub async fn outdated_handshake(&self, target: &Target) -> Seen<Outdated> {
        let _permit =
            self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(target.address.to_string(), e))?;
        let deadline = self.deadline(self.settings.request_timeout);
        let seen = match &self.kubeconfig.config.proxy_url {
            None => outdated(target, deadline).await,
            Some(proxy) => {
                let exchange = async { outdated_over(super::proxy::connect(proxy, &target.address).await?).await };
                let missed = Err(Unreachable::TimedOut { after: deadline });
                tokio::time::timeout(deadline, exchange).await.unwrap_or(missed)
            }
        };
        seen.map_err(|why| unseen(target, why))
    }

    /// Opens an answer that is read while it comes: a watch, or one that is too long to keep. The caller sets the deadline.
    pub async fn stream(&self, call: &Call) -> Seen<impl AsyncBufRead + use<>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response = self.respond(call).await?;
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let refusal = Reply {
                status: status.as_u16(),
                date: None,
                content_type: String::new(),
                body: collect(call, body).await?,
            };
            return Err(refusal.accepted(call).err().unwrap_or_else(|| Unobserved::invalid(call.to_string(), status)));
        }
        let stream = body.into_data_stream().map_err(std::io::Error::other);
        Ok(tokio_util::io::StreamReader::new(stream))
    }

    /// Sends a request.
    ///
    /// Behind a load balancer one instance's certificate may lack the endpoint's name. Such an instance got no request;
    /// from then on certificates are checked by the name that each of them has, and this request is sent. Which
    /// certificate lacks the name is for the checks to tell, which look at each.
    async fn respond(&self, call: &Call) -> Seen<http::Response<Body>> {
        // Of many requests under way at once, each may meet such an instance: what others have learned meanwhile does not count.
        let by_endpoint_name = call.instance.is_none() && self.server_name.get().is_none();
        match self.client(call)?.send(Self::request(call)?).await {
            Err(e) if by_endpoint_name && is_name_mismatch(&e) => {
                self.verify_by_in_cluster_name();
                self.client(call)?.send(Self::request(call)?).await.map_err(|e| failure(call, &e))
            }
            sent => sent.map_err(|e| failure(call, &e)),
        }
    }

    fn request(call: &Call) -> Seen<http::Request<Body>> {
        let mut request = http::Request::builder().method(call.verb.method()).uri(call.path_and_query());
        request = request.header(http::header::ACCEPT, call.accept);
        if let Identity::Impersonated { user, groups } = &call.identity {
            request = request.header("Impersonate-User", user);
            for group in groups {
                request = request.header("Impersonate-Group", group);
            }
        }
        let body = match &call.body {
            None => Vec::new(),
            Some(body) => {
                let content_type = if call.verb == Verb::Patch {
                    "application/strategic-merge-patch+json"
                } else {
                    "application/json"
                };
                request = request.header(http::header::CONTENT_TYPE, content_type);
                serde_json::to_vec(body).map_err(|e| Unobserved::invalid(call.to_string(), e))?
            }
        };
        request.body(Body::from(body)).map_err(|e| Unobserved::invalid(call.to_string(), e))
    }

    pub(super) fn client(&self, call: &Call) -> Seen<Client> {
        let credential = match &call.identity {
            Identity::Own | Identity::Impersonated { .. } => Credential::Own,
            Identity::Anonymous => Credential::Nothing,
            Identity::Bearer(token) => Credential::Bearer(token.clone()),
            Identity::Certified(certificate) => Credential::Certificate(certificate.clone()),
        };
        let line = Line { credential, instance: call.instance, trust: call.trust.clone() };
        if call.anew {
            return Client::try_from(self.config(&line)?).map_err(|e| failure(call, &e));
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&line) {
            return Ok(client.clone());
        }
        let client = Client::try_from(self.config(&line)?).map_err(|e| failure(call, &e))?;
        clients.insert(line, client.clone());
        Ok(client)
    }

    fn config(&self, Line { credential, instance, trust }: &Line) -> Seen<Config> {
        let mut config = self.kubeconfig.config.clone();
        if let Some(name) = self.server_name.get() {
            config.tls_server_name = Some((*name).to_owned());
        }
        // A refusal is an observation; asking again would hide it.
        config.default_retry = false;
        // The caller has a deadline for the whole exchange: two that end at once would be told by chance.
        config.connect_timeout = None;
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(crate::USER_AGENT)));
        match credential {
            Credential::Own => {}
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
            Trust::Anybody if *credential == Credential::Nothing => config.accept_invalid_certs = true,
            Trust::Anybody => {
                let cause = "a credential is not shown to a server that nobody vouches for";
                return Err(Unobserved::invalid(self.summary.server.clone(), cause));
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

/// A handshake the way that requests go.
async fn through(
    proxy: &http::Uri,
    target: &Target,
    roots: &[Certificate],
    deadline: Duration,
) -> Result<Handshake, Unreachable> {
    let stream = tokio::time::timeout(deadline, super::proxy::connect(proxy, &target.address)).await;
    let stream = stream.unwrap_or(Err(Unreachable::TimedOut { after: deadline }))?;
    handshake_over(stream, target, roots, deadline).await
}

/// The whole answer.
async fn whole(call: &Call, response: http::Response<Body>) -> Seen<Reply> {
    let (parts, body) = response.into_parts();
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    Ok(Reply {
        status: parts.status.as_u16(),
        date: header(http::header::DATE)
            .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
            .map(|date| date.timestamp()),
        content_type: header(http::header::CONTENT_TYPE).unwrap_or_default().to_owned(),
        body: collect(call, body).await?,
    })
}

fn unseen(target: &Target, why: Unreachable) -> Unobserved {
    match why {
        Unreachable::TimedOut { after } => timed_out(target.address.to_string(), after),
        // Something is there, and has answered.
        why @ (Unreachable::Declined { .. } | Unreachable::NotTls { .. }) => {
            Unobserved::invalid(target.address.to_string(), why)
        }
        why => Unobserved::unreachable(target.address.to_string(), why),
    }
}

async fn collect(call: &Call, body: Body) -> Seen<Bytes> {
    let collected = Limited::new(body, BODY_LIMIT).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|e| Unobserved::invalid(call.to_string(), e))
}

/// Whether a request was not sent because the server's certificate, else trusted, is for other names.
fn is_name_mismatch(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::{CertificateError, Error};
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error's source is that of what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = error.downcast_ref::<Error>().or_else(|| wrapped?.downcast_ref::<Error>());
        if let Some(Error::InvalidCertificate(certificate)) = tls {
            return matches!(
                certificate,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            );
        }
        next = error.source();
    }
    false
}

/// Why a request got no answer, with the causes that the top-level text hides.
pub(super) fn failure(call: &Call, error: &(dyn std::error::Error + 'static)) -> Unobserved {
    Unobserved::unreachable(call.to_string(), causes(error))
}

/// The innermost causes of an error.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if let Some(outer) = texts.last_mut()
            && outer.ends_with(&text)
        {
            outer.truncate(outer.len() - text.len());
            *outer = outer.trim_end_matches([':', ' ']).to_owned();
        }
        texts.push(text);
        next = error.source();
    }
    texts.retain(|text| {
        !text.is_empty() && text != "ServiceError" && text != "client error (Connect)" && text != "HyperError"
    });
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_declines_is_not_out_of_reach() {
        let target = Target { address: Authority::from(SocketAddr::from(([10, 77, 0, 13], 10250))), server_name: None };
        let seen = |why| unseen(&target, why);
        assert!(!seen(Unreachable::Declined { alert: "internal_error".into() }).is_out_of_reach());
        assert!(!seen(Unreachable::NotTls { answer: "HTTP/1.1 400 Bad Request".into() }).is_out_of_reach());
        assert!(seen(Unreachable::Refused).is_out_of_reach() && seen(Unreachable::Closed).is_out_of_reach());
    }
}
