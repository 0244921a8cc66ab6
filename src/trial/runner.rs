//! What trials with pods have in common: a place, pods that run, and their tries while something is changed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::tries::Tries;
use crate::live::Live;
use crate::probe::collect::running;
use crate::probe::deploy::Site;
use crate::probe::follow::follow;
use crate::probe::object::Level;
use crate::probe::trial::TrialPod;
use crate::seen::Seen;

/// How long pods may take to start.
pub(super) const START: Duration = Duration::from_secs(30);

/// A trial that is under way. What it creates is in the run's ledger, and removed with the run.
pub(super) struct Runner<'a> {
    live: &'a Live,
    /// Where its pods are.
    pub site: Site<'a>,
}

impl<'a> Runner<'a> {
    /// Prepares the place of a trial.
    pub(super) async fn prepare(live: &'a Live, level: Level) -> Seen<Self> {
        Ok(Self { live, site: Site::prepare(live, level).await? })
    }

    /// Creates pods, waits until they run, and returns their names and addresses in the same order.
    pub(super) async fn start(&self, pods: &[TrialPod<'_>]) -> Seen<Vec<(String, IpAddr)>> {
        let made = join_all(pods.iter().map(|pod| self.site.trial_pod(pod))).await;
        let names = made.into_iter().collect::<Seen<Vec<String>>>()?;
        let addresses = self.until_running(&names).await?;
        let started = names.into_iter().map(|name| {
            let address = addresses[&name];
            (name, address)
        });
        Ok(started.collect())
    }

    /// Waits until these pods run, and returns the address of each.
    pub(super) async fn until_running(&self, pods: &[String]) -> Seen<BTreeMap<String, IpAddr>> {
        running(&self.live.cluster, self.site.namespace(), &self.live.inputs.run, pods, START).await
    }

    /// Does something while the tries of these watching pods, given by a key, arrive.
    pub(super) async fn beside<K: Clone, T>(&self, pods: &[(K, String)], trial: impl AsyncFnOnce(Tries<K>) -> T) -> T {
        let tries = Tries::queue();
        let logs = join_all(pods.iter().map(|(key, pod)| {
            let (key, sender) = (key.clone(), tries.sender());
            follow(&self.live.cluster, self.site.namespace(), pod, sender, move |tried| (key.clone(), tried))
        }));
        tokio::select! {
            done = trial(tries) => done,
            // The logs end only with the pods, and the tries then report that.
            never = async { logs.await; pending::<Infallible>().await } => match never {},
        }
    }
}
