//! The user that a request is sent as.

use std::fmt;

/// The user that a request is sent as.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The user of the kubeconfig, or the pod's service account.
    #[default]
    Own,
    /// Anonymous: without any credential.
    Anonymous,
    /// Another user, by impersonation with our own credentials.
    Impersonated {
        /// The user's name.
        user: String,
        /// The groups; `system:authenticated` is added by the server.
        groups: Vec<String>,
    },
    /// The bearer of this token alone.
    Bearer(Token),
    /// The holder of this certificate's key alone.
    Certified(ClientCertificate),
}

/// A bearer token. No message ever shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Wraps a token so that it is not shown.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for a header.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// A client certificate with its private key. No message ever shows them.
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

    /// The key in PEM, for a connection.
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
    /// The kubelet of a node, as the Node authorizer identifies it.
    pub fn kubelet(node: &str) -> Self {
        Self::Impersonated { user: format!("system:node:{node}"), groups: vec!["system:nodes".into()] }
    }

    /// The kubelet of a node by constrained impersonation: the server adds the groups of nodes.
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
