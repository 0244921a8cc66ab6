//! HTTP requests and how they fail.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::reach::endpoint::{Method, Request};
use crate::http_client::stranger;
use crate::probe::fault::{Fault, Got};

/// A client that asks any server, without verifying certificates: what it sends is not secret. There is one for the whole
/// batch, because making one takes longer than most answers.
pub struct Strangers(reqwest::Client);

impl Strangers {
    /// A client whose requests may take this long.
    pub fn client(answer: Duration) -> Got<Self> {
        Self::build(stranger(answer))
    }

    /// A client that makes a new connection for each request.
    pub fn unpooled(answer: Duration) -> Got<Self> {
        Self::build(stranger(answer).pool_max_idle_per_host(0))
    }

    fn build(builder: reqwest::ClientBuilder) -> Got<Self> {
        builder.build().map(Self).map_err(|e| Fault::Other(e.to_string()))
    }

    /// The status of a request without credentials.
    pub async fn status(&self, url: &str) -> Got<u16> {
        let response = self.0.get(url).send().await.map_err(|e| http_fault(&e))?;
        Ok(response.status().as_u16())
    }

    /// The text at a URL, if the answer is HTTP 200 and no longer than this.
    pub async fn text(&self, url: &str, limit: usize) -> Got<String> {
        let response = self.0.get(url).send().await.map_err(|e| http_fault(&e))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Fault::Other(format!("HTTP {}", response.status().as_u16())));
        }
        body(response, limit).await
    }

    /// The response to a request with custom headers, if it comes within the deadline.
    pub async fn response(&self, request: http::Request<()>, deadline: Duration) -> Got<reqwest::Response> {
        let (parts, ()) = request.into_parts();
        let sent = self.0.request(parts.method, parts.uri.to_string()).headers(parts.headers).timeout(deadline);
        sent.send().await.map_err(|e| http_fault(&e))
    }

    /// The status of any request.
    pub async fn send(&self, at: SocketAddr, request: &Request, token: &Got<String>) -> Got<u16> {
        let scheme = if request.tls { "https" } else { "http" };
        let url = format!("{scheme}://{at}{}", request.path);
        let mut sent = match request.method {
            Method::Get => self.0.get(url),
            Method::Post => self.0.post(url),
        };
        if request.token {
            sent = sent.bearer_auth(token.as_ref().map_err(Clone::clone)?);
        }
        let response = sent.send().await.map_err(|e| http_fault(&e))?;
        Ok(response.status().as_u16())
    }
}

/// The text of a response, if it is no longer than this.
pub async fn body(response: reqwest::Response, limit: usize) -> Got<String> {
    String::from_utf8(bytes(response, limit).await?).map_err(|e| Fault::Other(e.to_string()))
}

/// The body of a response, if it is no longer than this.
pub(in crate::probe) async fn bytes(mut response: reqwest::Response, limit: usize) -> Got<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| http_fault(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(Fault::Other(format!("the answer is longer than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause of a failed request, which the top-level text hides.
pub(in crate::probe) fn http_fault(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::TimedOut;
    }
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && io.get_ref().is_none()
        {
            return Fault::from(io::Error::from(io.kind()));
        }
    }
    Fault::Other(cause.to_string())
}
