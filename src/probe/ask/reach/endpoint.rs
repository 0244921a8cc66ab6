//! An address and port, and what a probe does there.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address, and what is done there. Its text is compact, because a probe carries many of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// Where.
    pub at: SocketAddr,
    /// What is done there.
    pub way: Way,
}

/// How an endpoint is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Connects: `tcp 10.77.0.11:10250`.
    Tcp,
    /// Goes through a TLS handshake without a client certificate: `tls 10.77.0.11:2379`.
    Tls,
    /// As [`Tls`](Self::Tls), and keeps the server's certificate, which makes a long answer:
    /// `certificate 10.77.0.11:2379`.
    Certificate,
    /// Sends a request: `GET https://10.77.0.11:10250/pods`, followed by ` with token` if it carries one.
    Http(Request),
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Whether over TLS. The server's certificate is not verified: these are questions about what a server lets
    /// strangers do.
    pub tls: bool,
    /// The path, with its leading slash.
    pub path: String,
    /// Whether with the token of the probe's own service account, which has no rights.
    pub token: bool,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST, with an empty body.
    Post,
}

/// What a request with a token ends with.
const WITH_TOKEN: &str = " with token";

impl Endpoint {
    /// Connects there.
    pub fn tcp(at: impl Into<SocketAddr>) -> Self {
        Self { at: at.into(), way: Way::Tcp }
    }

    /// Goes through a TLS handshake there.
    pub fn tls(at: impl Into<SocketAddr>) -> Self {
        Self { at: at.into(), way: Way::Tls }
    }

    /// Keeps the certificate that is presented there.
    pub fn certificate(at: impl Into<SocketAddr>) -> Self {
        Self { at: at.into(), way: Way::Certificate }
    }

    /// Gets a path by HTTP.
    pub fn http(at: impl Into<SocketAddr>, path: &str) -> Self {
        Self::request(at, Method::Get, false, path, false)
    }

    /// Gets a path by HTTPS without credentials.
    pub fn https(at: impl Into<SocketAddr>, path: &str) -> Self {
        Self::request(at, Method::Get, true, path, false)
    }

    /// Gets a path by HTTPS with the pod's token.
    pub fn get_with_token(at: impl Into<SocketAddr>, path: &str) -> Self {
        Self::request(at, Method::Get, true, path, true)
    }

    /// Posts nothing to a path by HTTPS with the pod's token.
    pub fn post_with_token(at: impl Into<SocketAddr>, path: &str) -> Self {
        Self::request(at, Method::Post, true, path, true)
    }

    /// Whether it is a TLS handshake.
    pub fn is_handshake(&self) -> bool {
        matches!(self.way, Way::Tls | Way::Certificate)
    }

    fn request(at: impl Into<SocketAddr>, method: Method, tls: bool, path: &str, token: bool) -> Self {
        Self { at: at.into(), way: Way::Http(Request { method, tls, path: path.to_owned(), token }) }
    }
}

impl Method {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Tcp => write!(f, "tcp {}", self.at),
            Way::Tls => write!(f, "tls {}", self.at),
            Way::Certificate => write!(f, "certificate {}", self.at),
            Way::Http(request) => {
                let scheme = if request.tls { "https" } else { "http" };
                write!(f, "{} {scheme}://{}{}", request.method.as_str(), self.at, request.path)?;
                f.write_str(if request.token { WITH_TOKEN } else { "" })
            }
        }
    }
}

/// The text is not an endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an endpoint such as \"tcp 10.77.0.11:10250\" or \"GET https://10.77.0.11:10250/pods with token\""
)]
pub struct NotAnEndpoint(String);

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| NotAnEndpoint(text.chars().take(100).collect()))
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    let (word, rest) = text.split_once(' ')?;
    let method = match word {
        "tcp" => return Some(Endpoint::tcp(rest.parse::<SocketAddr>().ok()?)),
        "tls" => return Some(Endpoint::tls(rest.parse::<SocketAddr>().ok()?)),
        "certificate" => return Some(Endpoint::certificate(rest.parse::<SocketAddr>().ok()?)),
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => return None,
    };
    let (rest, token) = rest.strip_suffix(WITH_TOKEN).map_or((rest, false), |rest| (rest, true));
    let (tls, rest) = match rest.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("http://")?),
    };
    let (at, path) = rest.split_at(rest.find('/')?);
    Some(Endpoint::request(at.parse::<SocketAddr>().ok()?, method, tls, path, token))
}

impl TryFrom<String> for Endpoint {
    type Error = NotAnEndpoint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        let at: SocketAddr = "10.77.0.11:10250".parse().unwrap();
        let v6: SocketAddr = "[fd00::1]:10259".parse().unwrap();
        for (endpoint, text) in [
            (Endpoint::tcp(at), "tcp 10.77.0.11:10250"),
            (Endpoint::tls(v6), "tls [fd00::1]:10259"),
            (Endpoint::certificate(at), "certificate 10.77.0.11:10250"),
            (Endpoint::http(at, "/"), "GET http://10.77.0.11:10250/"),
            (Endpoint::https(v6, "/metrics"), "GET https://[fd00::1]:10259/metrics"),
            (Endpoint::get_with_token(at, "/pods"), "GET https://10.77.0.11:10250/pods with token"),
            (Endpoint::post_with_token(at, "/checkpoint/a"), "POST https://10.77.0.11:10250/checkpoint/a with token"),
        ] {
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(text.parse(), Ok(endpoint));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "tcp",
            "tcp n1:80",
            "udp 10.0.0.1:1",
            "GET 10.0.0.1:1/",
            "GET http://10.0.0.1:1",
            "DELETE http://10.0.0.1:1/",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
