//! The pod's own token, as far as it is not a secret.

use super::asker::Asker;
use super::{Ask, whole};
use crate::jwt::{Claims, Parsed};
use crate::probe::fault::{Fault, Got};

/// Where it is mounted.
const FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
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
    let token = account_token().await?;
    let parsed = Parsed::read(&token);
    Ok(parsed.map_err(|why| Fault::Other(format!("{FILE}: {why}")))?.claims)
}

/// The token of the probe's own service account, which has no rights and ends with the pod.
pub(super) async fn account_token() -> Got<String> {
    let token = tokio::fs::read_to_string(FILE).await;
    token.map(|token| token.trim().to_owned()).map_err(|e| Fault::Other(format!("{FILE}: {e}")))
}
