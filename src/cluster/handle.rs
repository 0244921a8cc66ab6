//! The handle through which facts ask a cluster.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use tokio::io::AsyncBufRead;
use tokio::sync::{Semaphore, watch};

use super::call::Verb;
use super::handshake::{Authority, Handshake, Target, Unreachable, handshake};
use super::identity::Token;
use super::{Call, Footprint, Identity, Kubeconfig, Reply};
use crate::certificate::Certificate;
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
}

/// A cluster that can be asked.
pub struct Cluster {
    kubeconfig: Kubeconfig,
    settings: Settings,
    summary: ClusterSummary,
    clients: Mutex<HashMap<(Credential, Option<SocketAddr>), Client>>,
    server_name: Option<String>,
    in_flight: Semaphore,
    requests: AtomicUsize,
    end: Option<Instant>,
    footprint: OnceLock<Footprint>,
    cancel: watch::Receiver<bool>,
}

/// What a client presents. Impersonation is a header on our own credential.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Credential {
    Own,
    Nothing,
    Bearer(Token),
}

/// The part of a list that paging needs, with items decoded one by one.
#[derive(Deserialize)]
struct Page<K> {
    metadata: PageMetadata,
    #[serde(deserialize_with = "nullable", bound(deserialize = "K: Deserialize<'de>"))]
    items: Vec<K>,
}

/// A list of metadata alone has `null` in place of no items.
fn nullable<'de, D: Deserializer<'de>, K: Deserialize<'de>>(items: D) -> Result<Vec<K>, D::Error> {
    Ok(Option::deserialize(items)?.unwrap_or_default())
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
            kubeconfig,
            settings,
            summary,
            clients: Mutex::default(),
            server_name: None,
            requests: AtomicUsize::new(0),
            footprint: OnceLock::new(),
            cancel,
        }
    }

    pub(super) fn set_version(&mut self, version: String) {
        self.summary.version = version;
    }

    /// Checks the configured endpoint's certificate by this name instead of the one that the kubeconfig says, which
    /// stays what the checks are told.
    pub(super) fn set_server_name(&mut self, name: &str) {
        self.server_name = Some(name.to_owned());
        self.clients = Mutex::default();
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
        // A run has one place; a second call could only name the same.
        let _ = self.footprint.set(footprint);
    }

    /// Where the run has created objects, if it has.
    pub fn footprint(&self) -> Option<&Footprint> {
        self.footprint.get()
    }

    /// This deadline, or what is left of the run's.
    pub fn deadline(&self, deadline: Duration) -> Duration {
        self.end.map_or(deadline, |end| deadline.min(end.saturating_duration_since(Instant::now())))
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
        let deadline = self.deadline(self.settings.request_timeout);
        let exchange = async {
            let _permit = self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))?;
            let response = self.client(call)?.send(Self::request(call)?).await.map_err(|e| failure(call, &e))?;
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
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| Err(timed_out(call.to_string(), deadline)))
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
            kept.extend(items.into_iter().map(&mut trim));
            next = metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(kept);
            }
        }
    }

    /// Dials `target` and records what it presents; `roots` are what the verdict of the record rests on.
    pub async fn handshake(&self, target: &Target, roots: &[Certificate]) -> Seen<Handshake> {
        let deadline = self.deadline(self.settings.request_timeout);
        let _permit =
            self.in_flight.acquire().await.map_err(|e| Unobserved::unreachable(target.address.to_string(), e))?;
        handshake(target, roots, deadline).await.map_err(|why| match why {
            Unreachable::TimedOut { after } => timed_out(target.address.to_string(), after),
            why => Unobserved::unreachable(target.address.to_string(), why),
        })
    }

    /// Opens a watch: lines of JSON, until the caller drops it. The caller sets the deadline.
    pub async fn watch(&self, call: &Call) -> Seen<impl AsyncBufRead + use<>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response = self.client(call)?.send(Self::request(call)?).await.map_err(|e| failure(call, &e))?;
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

    fn request(call: &Call) -> Seen<http::Request<Body>> {
        let mut request = http::Request::builder().method(call.verb.method()).uri(call.path_and_query());
        let accepted = match (call.metadata_only, call.verb) {
            (false, _) => "application/json",
            (true, Verb::List) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            (true, _) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        };
        request = request.header(http::header::ACCEPT, accepted);
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

    fn client(&self, call: &Call) -> Seen<Client> {
        let credential = match &call.identity {
            Identity::Own | Identity::Impersonated { .. } => Credential::Own,
            Identity::Anonymous => Credential::Nothing,
            Identity::Bearer(token) => Credential::Bearer(token.clone()),
        };
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(client) = clients.get(&(credential.clone(), call.instance)) {
            return Ok(client.clone());
        }
        let client = Client::try_from(self.config(&credential, call.instance)?).map_err(|e| failure(call, &e))?;
        clients.insert((credential, call.instance), client.clone());
        Ok(client)
    }

    fn config(&self, credential: &Credential, instance: Option<SocketAddr>) -> Seen<Config> {
        let mut config = self.kubeconfig.config.clone();
        if let Some(name) = &self.server_name {
            config.tls_server_name = Some(name.clone());
        }
        // A refusal is an observation; asking again would hide it.
        config.default_retry = false;
        config.connect_timeout = Some(self.settings.request_timeout);
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(crate::USER_AGENT)));
        match credential {
            Credential::Own => {}
            Credential::Nothing => config.auth_info = AuthInfo::default(),
            Credential::Bearer(token) => {
                config.auth_info = AuthInfo { token: Some(token.expose().to_owned().into()), ..AuthInfo::default() };
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

async fn collect(call: &Call, body: Body) -> Seen<Bytes> {
    let collected = Limited::new(body, BODY_LIMIT).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|e| Unobserved::invalid(call.to_string(), e))
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
