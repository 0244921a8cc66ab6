//! The pod's own token, as far as it is no secret.

use std::path::Path;

use super::ACCOUNT;
use crate::jwt::{Claims, Parsed};
use crate::probe::fault::{Fault, Got};

/// Reads the claims of the pod's token. Its signature, without which it opens nothing, does not leave the pod.
pub async fn ask() -> Got<Claims> {
    let path = Path::new(ACCOUNT).join("token");
    let token = tokio::fs::read_to_string(&path).await.map_err(|e| Fault::Other(format!("{}: {e}", path.display())))?;
    let parsed = Parsed::read(token.trim()).map_err(|why| Fault::Other(format!("{}: {why}", path.display())))?;
    Ok(parsed.claims)
}
