//! The time in the cluster.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The time: in the cluster, and here. Checks use the cluster's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// The API server's clock, to the second.
    pub server: Timestamp,
    /// Our own clock at the same time.
    pub here: Timestamp,
}

impl Observe for Clock {
    type Needs<'a> = ();
    const NAME: &'static str = "clock";
    const ACCESS: Access = Access::Read;

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        // Every answer has a date, also a refusal.
        let call = Call::url("/version");
        let reply = cluster.send(&call).await?;
        let server =
            reply.date.ok_or_else(|| Unobserved::invalid(call.to_string(), "the answer has no Date header"))?;
        Ok(Self { server, here: Timestamp::now() })
    }
}

crate::observed!(Clock);
