//! Why there is no connection to a cluster.

use std::time::Duration;

use crate::cluster::KubeconfigError;
use crate::seen::Obstacle;

/// Why there is no connection to a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server does not answer.
    #[error("{server}: the API server cannot be reached: {cause}")]
    Unreachable {
        /// The API server's URL.
        server: String,
        /// How the connection failed.
        cause: String,
    },
    /// The server answers too slowly.
    #[error("{server}: the API server did not answer within {} s; {flag} sets the deadline", deadline.as_secs_f64())]
    TimedOut {
        /// The API server's URL.
        server: String,
        /// The deadline.
        deadline: Duration,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The credential was not available in time.
    #[error("{origin}: {what} of user {user:?} did not end within {} s{hint}", deadline.as_secs_f64())]
    Tardy {
        /// The kubeconfig.
        origin: String,
        /// The user of the kubeconfig.
        user: String,
        /// What did not end.
        what: String,
        /// The deadline.
        deadline: Duration,
        /// Which flag sets it, if one does.
        hint: &'static str,
    },
    /// There is no credential.
    #[error("{origin}: user {user:?} has no credential: {cause}")]
    NoCredential {
        /// The kubeconfig.
        origin: String,
        /// The user of the kubeconfig.
        user: String,
        /// Why.
        cause: String,
    },
    /// The kubeconfig cannot be used.
    #[error(transparent)]
    Unusable(KubeconfigError),
    /// The server speaks TLS and the kubeconfig uses http, or the other way round.
    #[error("{server}: the server {speaks}: correct the scheme or port in the server of {place}")]
    Scheme {
        /// The API server's URL.
        server: String,
        /// What the server speaks, and what the kubeconfig uses.
        speaks: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The certificate is for other names.
    #[error(
        "{server}: the server's certificate is for {presented}, not for {name}: use one of its names in the server of \
         {place}, or as tls-server-name there"
    )]
    WrongName {
        /// The API server's URL.
        server: String,
        /// The names that the certificate has.
        presented: String,
        /// The name that it should have.
        name: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// Clients accept no such certificate from any server.
    #[error(
        "{server}: clients do not accept the server's certificate: {what}; give the API server one that the CA of \
         {place} has issued"
    )]
    NoServerCertificate {
        /// The API server's URL.
        server: String,
        /// What is wrong with it.
        what: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The key is shorter than rustls accepts.
    #[error(
        "{server}: {subject} has an RSA key of {bits} bits: rustls, the TLS library of this program, verifies no \
         signature of an RSA key below 2,048 bits, although kubectl accepts 1,024; give the API server of {place} a \
         certificate and a CA with longer keys"
    )]
    ShortKey {
        /// The API server's URL.
        server: String,
        /// Whose key it is: the subject of the server's certificate, or of one above it.
        subject: String,
        /// The length of the key.
        bits: usize,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The server speaks no current version of TLS.
    #[error(
        "{server}: the server speaks {version} at most, and clients of Kubernetes require TLS 1.2: the server of \
         {place} is not a supported API server, or something older ends TLS in front of it"
    )]
    OldTls {
        /// The API server's URL.
        server: String,
        /// What it speaks.
        version: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The kubeconfig names no CA, and this system does not trust the certificate.
    #[error(
        "{server}: {cause}: this system does not trust {issuer}, the issuer of the server's certificate, and {place} \
         has no certificate-authority or certificate-authority-data"
    )]
    NoAuthority {
        /// The API server's URL.
        server: String,
        /// How the connection failed.
        cause: String,
        /// Who issued the certificate.
        issuer: String,
        /// The cluster and its kubeconfig.
        place: String,
    },
    /// The certificate is not issued by a CA of the kubeconfig.
    #[error(
        "{server}: the cluster's CA did not issue the server's certificate ({issuer} issued it): the kubeconfig \
         ({origin}) has the certificate-authority-data of another cluster, or something intercepts TLS"
    )]
    Untrusted {
        /// The API server's URL.
        server: String,
        /// Who issued the certificate.
        issuer: String,
        /// The kubeconfig.
        origin: String,
    },
    /// The server is not a Kubernetes API.
    #[error("{server}: this is not a Kubernetes API: GET /version returned HTTP {status} with {content}{hint}")]
    NotKubernetes {
        /// The URL.
        server: String,
        /// The HTTP status code.
        status: u16,
        /// The kind of content.
        content: String,
        /// What the server may be.
        hint: &'static str,
    },
    /// Our credential is rejected.
    #[error("{server}: the API server rejects the credential of {user} in {origin}: {cause}")]
    Unauthorized {
        /// The API server's URL.
        server: String,
        /// The user of the kubeconfig.
        user: String,
        /// The kubeconfig.
        origin: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl ConnectError {
    /// What it keeps a run from.
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Self::WrongName { .. }
            | Self::NoServerCertificate { .. }
            | Self::ShortKey { .. }
            | Self::OldTls { .. }
            | Self::NoAuthority { .. }
            | Self::Untrusted { .. } => Obstacle::Certificate,
            Self::Unauthorized { .. } => Obstacle::Credential,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Tardy { .. }
            | Self::NoCredential { .. }
            | Self::Unusable(_)
            | Self::Scheme { .. }
            | Self::NotKubernetes { .. } => Obstacle::Cluster,
        }
    }
}
