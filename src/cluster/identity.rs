//! Who a request is sent as.

use std::fmt;

/// Who a request is sent as.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The user of the kubeconfig, or the pod's service account.
    #[default]
    Own,
    /// Nobody: no credentials at all.
    Anonymous,
    /// Another user, by impersonation with our own credentials.
    Impersonated {
        /// The user's name.
        user: String,
        /// The groups; `system:authenticated` is added by the server.
        groups: Vec<String>,
    },
    /// The bearer of this token, and nobody else.
    Bearer(Token),
    /// The holder of this certificate's key, and nobody else.
    Certified(ClientCertificate),
}

/// A bearer token, which no message ever shows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Keeps a token from being shown.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// A client certificate with its private key, which no message ever shows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientCertificate {
    chain: String,
    key: String,
}

impl ClientCertificate {
    /// A certificate, or a chain of them, and the key, both in PEM.
    pub fn new(chain: impl Into<String>, key: impl Into<String>) -> Self {
        Self { chain: chain.into(), key: key.into() }
    }

    /// The certificates in PEM.
    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    /// The key in PEM, for the connection that proves its possession.
    pub(super) fn expose_key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate([redacted])")
    }
}

impl Identity {
    /// The kubelet of a node, as the Node authorizer knows it.
    pub fn kubelet(node: &str) -> Self {
        Self::Impersonated { user: format!("system:node:{node}"), groups: vec!["system:nodes".into()] }
    }

    /// The kubelet of a node by constrained impersonation: the server itself adds the groups that nodes have.
    pub fn constrained_kubelet(node: &str) -> Self {
        Self::Impersonated { user: format!("system:node:{node}"), groups: Vec::new() }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("ourselves"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Impersonated { user, .. } => f.write_str(user),
            Self::Bearer(_) => f.write_str("the bearer of a token"),
            Self::Certified(_) => f.write_str("the holder of a certificate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let identities =
            [Identity::Bearer(Token::new("~secret~")), Identity::Certified(ClientCertificate::new("", "~secret~"))];
        assert!(!format!("{identities:?} {} {}", identities[0], identities[1]).contains("~secret~"));
    }
}
