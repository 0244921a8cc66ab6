//! Connections through a proxy that carry no request.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::causes;
use crate::handshake::{Authority, Unreachable};

/// Connects to `target` through the proxy of a kubeconfig by HTTP CONNECT or SOCKS 5, as requests do.
pub(super) async fn connect(proxy: &http::Uri, target: &Authority) -> Result<TcpStream, Unreachable> {
    let failed = |error: &(dyn std::error::Error + 'static)| Unreachable::Other {
        text: format!("the proxy {}: {}", shown(proxy), causes(error)),
    };
    let destination = format!("https://{target}").parse::<http::Uri>().map_err(|e| failed(&e))?;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let stream: TokioIo<TcpStream> = match proxy.scheme_str() {
        Some("socks5" | "socks5h") => {
            let mut socks = SocksV5::new(proxy.clone(), connector);
            if let Some((user, password)) = credentials(proxy) {
                socks = socks.with_auth(user, password);
            }
            socks.call(destination).await.map_err(|e| failed(&e))?
        }
        Some("http") => {
            let mut tunnel = Tunnel::new(proxy.clone(), connector);
            if let Some((user, password)) = credentials(proxy)
                && let Ok(header) = basic(&user, &password)
            {
                tunnel = tunnel.with_auth(header);
            }
            tunnel.call(destination).await.map_err(|e| failed(&e))?
        }
        _ => {
            let text = format!("the proxy {} is neither http nor socks5", shown(proxy));
            return Err(Unreachable::Other { text });
        }
    };
    Ok(stream.into_inner())
}

fn basic(user: &str, password: &str) -> Result<http::HeaderValue, http::header::InvalidHeaderValue> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))).parse()
}

/// The user and password in the URL, percent-decoded.
fn credentials(proxy: &http::Uri) -> Option<(String, String)> {
    let (userinfo, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decoded(user), decoded(password)))
}

/// The proxy without its credentials.
fn shown(proxy: &http::Uri) -> String {
    let authority = proxy.authority().map_or("", http::uri::Authority::as_str);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}", proxy.scheme_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A proxy that answers one CONNECT request with `answer`, and returns the request.
    async fn proxy(answer: &'static str) -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, asked)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_with_the_credentials_of_the_url() {
        let (address, asked) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
        let url = format!("http://user:pa%40ss@{address}").parse().unwrap();
        connect(&url, &"10.96.0.1:443".parse().unwrap()).await.unwrap();
        let asked = asked.await.unwrap().to_lowercase();
        assert!(asked.starts_with("connect 10.96.0.1:443 "), "{asked}");
        assert!(asked.contains("proxy-authorization: basic dxnlcjpwyubzcw=="), "{asked}");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_without_its_password() {
        let (address, _asked) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        let url = format!("http://user:secret@{address}").parse().unwrap();
        let why = connect(&url, &"10.96.0.1:443".parse().unwrap()).await.unwrap_err().to_string();
        assert!(why.contains(&format!("the proxy http://{address}: ")) && !why.contains("secret"), "{why}");
    }

    #[tokio::test]
    async fn other_kinds_of_proxies_are_an_error() {
        let url = "https://proxy.example:3128".parse().unwrap();
        let why = connect(&url, &"10.96.0.1:443".parse().unwrap()).await.unwrap_err().to_string();
        assert_eq!(why, "the proxy https://proxy.example:3128 is neither http nor socks5");
    }
}
