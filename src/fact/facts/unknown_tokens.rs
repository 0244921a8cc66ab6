//! How the API server authenticates tokens that were never issued.

use futures_util::future::join;
use serde::{Deserialize, Serialize};

use crate::cluster::Identity;
use crate::cluster::identity::Token;
use crate::fact::Observe;
use crate::join::token::Purpose;
use crate::join::whoami::who_am_i;
use crate::join::{Minted, WhoAmI};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The users as whom the API server authenticates the bearers of tokens that were never issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UnknownTokens {
    /// A token in the form of a bootstrap token.
    pub bootstrap: Seen<WhoAmI>,
    /// A token without any form.
    pub shapeless: Seen<WhoAmI>,
}

impl Observe for UnknownTokens {
    type Needs<'a> = ();
    const NAME: &'static str = "unknown-tokens";
    const ACCESS: Access = Access::Anonymous;

    async fn observe(Live { cluster, inputs, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let unknown = Minted::new(&inputs.run, Purpose::Unknown)?;
        let shapeless = Identity::Bearer(Token::new("seaworthy-none"));
        let (bootstrap, shapeless) =
            join(who_am_i(cluster, unknown.bearer(), None), who_am_i(cluster, shapeless, None)).await;
        Ok(Self { bootstrap, shapeless })
    }
}

crate::observed!(UnknownTokens);
