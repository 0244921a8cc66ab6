//! A chain as a server presented it.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::Certificate;

/// What a server presented: its own certificate, then whatever it sent after it, in the order sent.
///
/// Never empty, so that a judge need not ask. Serialised as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Certificate>", into = "Vec<Certificate>")]
pub struct Chain {
    certificates: Vec<Certificate>,
}

impl Chain {
    /// The server's own certificate: the first.
    pub fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }
}

impl Deref for Chain {
    type Target = [Certificate];

    fn deref(&self) -> &[Certificate] {
        &self.certificates
    }
}

impl TryFrom<Vec<Certificate>> for Chain {
    type Error = EmptyChain;

    fn try_from(certificates: Vec<Certificate>) -> Result<Self, EmptyChain> {
        if certificates.is_empty() {
            return Err(EmptyChain);
        }
        Ok(Self { certificates })
    }
}

impl From<Chain> for Vec<Certificate> {
    fn from(chain: Chain) -> Self {
        chain.certificates
    }
}

/// A chain has at least one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chain holds no certificate")]
pub struct EmptyChain;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_recording_is_refused() {
        let error = serde_json::from_str::<Chain>("[]").unwrap_err();
        assert_eq!(error.to_string(), "the chain holds no certificate");
    }

    #[test]
    fn the_leaf_comes_first() {
        let chain: Chain = serde_json::from_str(r#"["AQ==","Ag=="]"#).unwrap();
        assert_eq!(chain.leaf().der(), [1]);
    }
}
