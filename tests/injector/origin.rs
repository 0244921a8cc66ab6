//! The API server behind the proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why something here failed. None of it is a fault that was to be injected.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A certificate with those that issued it, and its key.
pub(crate) struct Identity {
    /// The certificates, its own first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub(crate) key: PrivateKeyDer<'static>,
}

/// An API server, and what it takes to be it and to be its administrator.
pub(crate) struct Origin {
    address: SocketAddr,
    own: CertificateDer<'static>,
    accepts: TlsAcceptor,
    as_administrator: TlsConnector,
    as_anonymous: TlsConnector,
}

/// Who sends requests over a connection.
pub(super) enum Caller {
    /// The administrator.
    Administrator,
    /// A client that shows no certificate.
    Anonymous,
    /// A client with another certificate, of which there is no key here: the administrator impersonates it.
    Other {
        /// The user.
        user: String,
        /// The groups.
        groups: Vec<String>,
    },
}

impl Origin {
    /// The API server at this address, whose CA issues the certificates of clients as well.
    pub(crate) fn new(
        address: SocketAddr,
        authorities: Vec<CertificateDer<'static>>,
        server: Identity,
        administrator: Identity,
    ) -> Result<Self, Failure> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority)?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let accepts = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
            .with_single_cert(server.chain, server.key)?;
        let connects = || {
            let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
            Ok::<_, Failure>(builder?.with_root_certificates(roots.clone()))
        };
        let own = administrator.chain.first().ok_or("the administrator has no certificate")?.clone();
        Ok(Self {
            address,
            own,
            accepts: Arc::new(accepts).into(),
            as_anonymous: Arc::new(connects()?.with_no_client_auth()).into(),
            as_administrator: Arc::new(connects()?.with_client_auth_cert(administrator.chain, administrator.key)?)
                .into(),
        })
    }

    /// The server's side of TLS.
    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.accepts
    }

    /// The client that shows these certificates.
    pub(super) fn caller(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<Caller, Failure> {
        let Some(shown) = shown.and_then(<[_]>::first) else { return Ok(Caller::Anonymous) };
        if *shown == self.own {
            return Ok(Caller::Administrator);
        }
        let (_, certificate) = X509Certificate::from_der(shown)?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next().ok_or("a client certificate names no user")?.as_str()?.to_owned();
        let groups = subject.iter_organization().map(|group| group.as_str().map(str::to_owned));
        Ok(Caller::Other { user, groups: groups.collect::<Result<_, _>>()? })
    }

    /// A connection for requests of this caller.
    pub(super) async fn connect(&self, caller: &Caller) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let connector = match caller {
            Caller::Anonymous => &self.as_anonymous,
            Caller::Administrator | Caller::Other { .. } => &self.as_administrator,
        };
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(ServerName::from(self.address.ip()), stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // How it ends is seen by the request that is sent over it.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(sender)
    }
}

impl Caller {
    /// In a word.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Administrator => "administrator",
            Self::Anonymous => "anonymous",
            Self::Other { user, .. } => user,
        }
    }
}
