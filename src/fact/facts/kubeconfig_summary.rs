//! How the kubeconfig reaches and verifies the API server.

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::fact::Observe;
use crate::handshake::{Authority, Target};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// How the kubeconfig reaches and verifies the API server, without anything about the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubeconfigSummary {
    /// Whether the URL has the scheme `https`.
    pub https: bool,
    /// The host and port of the URL.
    pub endpoint: Authority,
    /// `tls-server-name`: the name that is used and verified instead of the host.
    pub server_name: Option<String>,
    /// `insecure-skip-tls-verify`: whether any certificate is accepted.
    pub skips_verification: bool,
    /// `certificate-authority-data`; empty where the machine's own CAs are trusted instead.
    pub authorities: Vec<Certificate>,
}

impl KubeconfigSummary {
    /// The name that the certificate must cover.
    pub(crate) fn name(&self) -> &str {
        self.server_name.as_deref().unwrap_or_else(|| self.endpoint.host())
    }

    /// The address and server name of a client with this kubeconfig.
    pub(crate) fn target(&self) -> Target {
        Target { address: self.endpoint.clone(), server_name: Some(self.name().to_owned()) }
    }
}

impl Observe for KubeconfigSummary {
    type Needs<'a> = ();
    const NAME: &'static str = "kubeconfig-summary";
    const ACCESS: Access = Access::Read;

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let config = &cluster.kubeconfig().config;
        Ok(Self {
            https: config.cluster_url.scheme_str() == Some("https"),
            endpoint: cluster.endpoint().ok_or_else(|| {
                Unobserved::invalid("the kubeconfig", format!("its server {} has no host", config.cluster_url))
            })?,
            server_name: config.tls_server_name.clone(),
            skips_verification: config.accept_invalid_certs,
            authorities: cluster.authorities().to_vec(),
        })
    }
}

crate::observed!(KubeconfigSummary);
