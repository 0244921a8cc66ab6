//! What a joining node reads, and what a rehearsal of a join makes and takes away: ConfigMap cluster-info, bootstrap
//! tokens, keys, requests for certificates.
//!
//! A token's secret and a private key exist in memory only. Tokens expire by themselves; requests for certificates are
//! collected by the controller-manager an hour after they were decided, a day if they were not.

pub(crate) mod applicant;
pub(crate) mod cluster_info;
pub(crate) mod removal;
pub(crate) mod request;
pub(crate) mod stray;
pub(crate) mod token;
pub(crate) mod whoami;

use std::time::Duration;

use jiff::SignedDuration;

use crate::cluster::{Call, Cluster, Reply, until};
use crate::seen::Seen;

pub(crate) use applicant::Applicant;
pub(crate) use token::Minted;
pub(crate) use whoami::WhoAmI;

/// How long tokens and certificates live: the least that the API server grants a certificate.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How long a controller may take for its part. A live one needs a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it has done it.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// How long an instance of the API server may take to learn of a token. A live one needs a tenth of a second.
const TIME_TO_LEARN: Duration = Duration::from_secs(5);
/// How long one may take to forget it: whom it has known, it takes for known for ten seconds more.
const TIME_TO_FORGET: Duration = Duration::from_secs(15);

/// The answer to a client whose token is new. Each instance learns of it for itself, and behind a balancer any of them answers.
pub(crate) async fn answer_to_newcomer(cluster: &Cluster, call: &Call) -> Seen<Reply> {
    let is_known = |seen: &Seen<Reply>| seen.as_ref().map_or(true, |reply| reply.status != 401);
    until(TIME_TO_LEARN, PAUSE, || cluster.send(call), is_known).await
}
