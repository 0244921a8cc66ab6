//! How the API server authenticates bootstrap tokens that are no longer valid, or never were.

pub(crate) use crate::join::WhoAmI;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::bootstrap_tokens::BootstrapTokens;
use super::cluster_info::ClusterInfo;
use crate::cluster::Cluster;
use crate::fact::{Observe, Rule};
use crate::join::token::{self, Purpose};
use crate::join::whoami::{who_am_i, who_is_new, who_was_withdrawn};
use crate::join::{LIFETIME, Minted};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The users as whom the API server authenticates the bearers of invalid tokens, and of a valid one. All tokens are
/// removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BadTokens {
    /// The bearer of a valid one, for comparison.
    pub control: Seen<WhoAmI>,
    /// The bearers of invalid ones.
    pub refused: BTreeMap<BadToken, Seen<WhoAmI>>,
    /// The objects that could not be removed, and why not.
    pub left: BTreeMap<String, Unobserved>,
}

/// Why a token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BadToken {
    /// The id is that of a valid token, the secret is not.
    WrongSecret,
    /// It has expired.
    Expired,
    /// It is for signing cluster-info only, not for authentication.
    SigningOnly,
    /// It was deleted before it was used.
    Deleted,
}

impl Observe for BadTokens {
    // The tokens are listed first: checks judge them without those that are created here.
    type Needs<'a> = (&'a ClusterInfo, Result<&'a BootstrapTokens, &'a Unobserved>);
    const NAME: &'static str = "bad-tokens";
    const ACCESS: Access = Access::Join;
    const RULES: &'static [Rule] = &[token::RULE];
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn observe(live: &Live, _: Self::Needs<'_>) -> Seen<Self> {
        let run = &live.inputs.run;
        let mint = |purpose| Minted::new(run, purpose);
        let (expired, signing, withdrawn, control) =
            (mint(Purpose::Expired)?, mint(Purpose::SigningOnly)?, mint(Purpose::Withdrawn)?, mint(Purpose::Control)?);
        let until = Timestamp::now() + LIFETIME;
        // The valid one comes last: an API server that accepts it has seen those before it.
        let made = async {
            expired.create(live, Timestamp::now() - SignedDuration::from_mins(1)).await?;
            signing.create(live, until).await?;
            withdrawn.create(live, until).await?;
            withdrawn.remove(live).await?;
            control.create(live, until).await
        };
        let seen = match made.await {
            Ok(()) => Ok(try_all(&live.cluster, &control, [&expired, &signing, &withdrawn]).await),
            Err(why) => Err(why),
        };
        let mut left = BTreeMap::new();
        for token in [&expired, &signing, &withdrawn, &control] {
            if let Err(why) = token.remove(live).await {
                left.insert(format!("the Secret of token {}", token.id()), why);
            }
        }
        let (control, refused) = seen?;
        Ok(Self { control, refused, left })
    }
}

crate::observed!(BadTokens);

async fn try_all(
    cluster: &Cluster,
    control: &Minted,
    [expired, signing, withdrawn]: [&Minted; 3],
) -> (Seen<WhoAmI>, BTreeMap<BadToken, Seen<WhoAmI>>) {
    let accepted = who_is_new(cluster, &control.bearer()).await;
    let bad = [
        (BadToken::WrongSecret, control.guesser()),
        (BadToken::Expired, Ok(expired.bearer())),
        (BadToken::SigningOnly, Ok(signing.bearer())),
        (BadToken::Deleted, Ok(withdrawn.bearer())),
    ];
    let refused = join_all(bad.map(async |(kind, bearer)| {
        let seen = match bearer {
            Ok(bearer) if kind == BadToken::Deleted => who_was_withdrawn(cluster, &bearer).await,
            Ok(bearer) => who_am_i(cluster, bearer, None).await,
            Err(why) => Err(why),
        };
        (kind, seen)
    }))
    .await;
    (accepted, refused.into_iter().collect())
}
