//! Waits until a cluster that has just changed has settled, before a run looks at it.
//!
//! It asks what facts ask, again and again, until nothing is left to wait for. What has settled must stay so for a few
//! seconds: a component that has just ended still has a lease that looks current.

mod history;
mod unsettled;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use self::history::History;
pub(crate) use self::history::{Aims, Settled};
pub(crate) use self::unsettled::Aim;
use self::unsettled::Sight;
use crate::cluster::until;
use crate::fact::Observe;
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::leader_leases::LeaderLeases;
use crate::fact::facts::node_leases::NodeLeases;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::live::Live;
use crate::seen::{Seen, Unobserved};

/// How often to look again.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until nothing is left to wait for, or `patience` is over, or the run is stopped. `progress` learns after each look
/// what is left.
pub(crate) async fn settle(live: &Live, patience: Duration, progress: impl Fn(&Aims)) -> Settled {
    let began = Instant::now();
    let patience = live.cluster.deadline(patience);
    let end = began + patience;
    let history = RefCell::new(History::default());
    let look = async || {
        let left = match timeout_at(end.into(), Sight::of(live)).await {
            Ok(sight) => sight.unsettled(),
            // The last look was cut off: what was left before it still is.
            Err(_) => return Ok(()),
        };
        history.borrow_mut().add(left, began.elapsed());
        progress(history.borrow().left());
        Ok::<(), Unobserved>(())
    };
    let settling = until(patience, PAUSE, look, |_| history.borrow().has_settled());
    tokio::select! {
        // A look that failed is part of the history.
        _ = settling => {}
        () = live.cluster.cancelled() => {}
    }
    history.into_inner().conclude(began.elapsed())
}

impl Sight {
    /// What there is to see now.
    async fn of(live: &Live) -> Self {
        let leaders = async { with_clock(live, LeaderLeases::observe(live, ()).await).await };
        let nodes = async {
            let nodes = Nodes::observe(live, ()).await;
            let leases = match &nodes {
                Ok(nodes) => NodeLeases::observe(live, (nodes,)).await,
                Err(why) => Err(why.clone()),
            };
            (nodes, with_clock(live, leases).await)
        };
        let ((nodes, node_leases), leaders, pods, clock, api_servers, dns) = tokio::join!(
            nodes,
            leaders,
            Pods::observe(live, ()),
            Clock::observe(live, ()),
            ApiServerEndpoints::observe(live, ()),
            ClusterDns::observe(live, ()),
        );
        Self { nodes, node_leases, leaders, pods, clock, api_servers, dns }
    }
}

/// Leases with the server's clock right after they were read.
async fn with_clock<T>(live: &Live, leases: Seen<T>) -> Seen<(T, Clock)> {
    let leases = leases?;
    Ok((leases, Clock::observe(live, ()).await?))
}
