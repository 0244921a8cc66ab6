//! One connection, over which one request follows another.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One connection to a server.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// A connection without TLS.
    pub(crate) async fn plain(to: SocketAddr) -> Outcome<Self> {
        Self::over(TcpStream::connect(to).await?, to).await
    }

    /// A connection with TLS to an API server.
    pub(crate) async fn secure(to: SocketAddr, config: Arc<ClientConfig>) -> Outcome<Self> {
        let name = ServerName::try_from("kubernetes")?;
        let stream = TcpStream::connect(to).await?;
        Self::over(tokio_rustls::TlsConnector::from(config).connect(name, stream).await?, to).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, to: SocketAddr) -> Outcome<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: to.to_string() })
    }

    /// Sends a request, and reads the whole answer as it is sent.
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> Outcome<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, &self.host)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::ACCEPT_ENCODING, "gzip")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
