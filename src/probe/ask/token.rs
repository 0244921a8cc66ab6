//! The pod's own token, as far as it is no secret.

use std::path::Path;

use super::asker::Asker;
use super::{ACCOUNT, Ask, whole};
use crate::jwt::{Claims, Parsed};
use crate::probe::fault::{Fault, Got};

/// What the answer adds to a message, in bytes.
const SIZE: usize = 300;

/// The claims of the pod's token: whether to look, and which. Its signature, without which it opens nothing, does not leave
/// the pod.
pub struct OwnToken;

impl Ask for OwnToken {
    type Question = bool;
    type Answer = Option<Got<Claims>>;

    fn parts(question: &bool) -> Vec<(usize, bool)> {
        whole(question, SIZE)
    }

    async fn ask(question: &bool, _: &Asker) -> Self::Answer {
        if *question { Some(claims().await) } else { None }
    }
}

async fn claims() -> Got<Claims> {
    let path = Path::new(ACCOUNT).join("token");
    let token = tokio::fs::read_to_string(&path).await.map_err(|e| Fault::Other(format!("{}: {e}", path.display())))?;
    let parsed = Parsed::read(token.trim()).map_err(|why| Fault::Other(format!("{}: {why}", path.display())))?;
    Ok(parsed.claims)
}
