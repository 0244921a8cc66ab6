//! NetworkPolicies that come and go between pods.

pub(crate) mod sights;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::runner::Runner;
use super::tries::Tries;
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::probe::PORT;
use crate::probe::ask::watch::{Try, WatchQuestions, WatchTarget};
use crate::probe::deploy::Site;
use crate::probe::object::Level;
use crate::probe::policed::{Policy, Role};
use crate::probe::trial::TrialPod;
use crate::rule::Rule;
use crate::seen::Seen;
use sights::{Sights, Step, Way};

/// The permissions that it takes.
pub(crate) const RULES: &[Rule] = Level::Policed.rules();

/// How long ways may take to open before there is a policy.
const OPENING: Duration = Duration::from_secs(5);
/// How long policies may take to take effect.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where nothing seems to enforce them and the profile does not require it.
const LITTLE_PATIENCE: Duration = Duration::from_secs(4);

/// Where the pods are, and what they ask.
pub(crate) struct Places<'a> {
    /// The node of the serving pods.
    pub servers_on: &'a str,
    /// The node of the asking pods.
    pub clients_on: &'a str,
    /// A DNS server that is a pod, if there is one.
    pub dns: Option<SocketAddr>,
    /// The cluster's domain.
    pub domain: &'a str,
}

/// Tries ways between pods, before policies close them and after. Returns the ways that were tried, and what was seen of
/// them after each step; further steps are left out where they would show nothing.
pub(crate) async fn run(
    live: &Live,
    places: &Places<'_>,
    required: bool,
) -> Seen<(BTreeSet<Way>, BTreeMap<Step, Seen<Sights>>)> {
    let runner = Runner::prepare(live, Level::Policed).await?;
    let serving = [Role::Guarded, Role::Open];
    let servers = runner.start(&serving.map(|role| pod(role, places.servers_on, None))).await?;
    let addresses: Vec<(Role, IpAddr)> = serving.into_iter().zip(servers).map(|(role, (_, at))| (role, at)).collect();
    let targets = targets(&addresses, places);
    let run = &live.inputs.run;
    let asking = [Role::Granted, Role::Stranger, Role::Confined];
    let questions = asking.map(|role| {
        let own = targets.iter().filter(|(way, _)| way.from() == role);
        let targets = own.map(|(way, target)| (way.name().to_owned(), target.clone())).collect();
        WatchQuestions { run: run.clone(), targets }
    });
    let pods: Vec<TrialPod<'_>> =
        asking.iter().zip(&questions).map(|(role, watch)| pod(*role, places.clients_on, Some(watch))).collect();
    let clients = runner.start(&pods).await?;
    let clients: Vec<(Role, String)> = asking.into_iter().zip(clients).map(|(role, (name, _))| (role, name)).collect();
    let ways: BTreeSet<Way> = targets.into_keys().collect();
    let watched: Vec<Way> = ways.iter().copied().collect();
    let steps =
        runner.beside(&clients, async |tries| Trial { ways: watched, tries }.go(&runner.site, required).await).await;
    Ok((ways, steps))
}

/// The reported tries, and the ways that are worth watching.
struct Trial {
    ways: Vec<Way>,
    tries: Tries<Role>,
}

impl Trial {
    /// Goes through the steps, as far as there is something to see.
    async fn go(mut self, site: &Site<'_>, required: bool) -> BTreeMap<Step, Seen<Sights>> {
        let mut steps = BTreeMap::new();
        let before = self.look(Step::Before, |_| OPENING).await;
        self.ways.retain(|way| before.as_ref().is_ok_and(|seen| seen.is_open(*way) == Some(true)));
        steps.insert(Step::Before, before);
        if !self.ways.iter().any(|way| !way.is_allowed(Step::Denied)) {
            return steps;
        }
        let denied = match tokio::try_join!(site.policy(Policy::DenyIngress), site.policy(Policy::DenyEgress)) {
            Ok(_) => {
                let is_hopeless = |seen: &Sights| !required && !seen.any_may_be_stopping();
                let patience = |seen: &Sights| if is_hopeless(seen) { LITTLE_PATIENCE } else { PATIENCE };
                self.look(Step::Denied, patience).await
            }
            Err(why) => Err(why),
        };
        let any_is_stopped = denied.as_ref().is_ok_and(Sights::any_is_stopped);
        steps.insert(Step::Denied, denied);
        if any_is_stopped {
            let allowed = match site.policy(Policy::AllowByLabel).await {
                Ok(()) => self.look(Step::Allowed, |_| PATIENCE).await,
                Err(why) => Err(why),
            };
            steps.insert(Step::Allowed, allowed);
        }
        // Where nothing was stopped nothing returns, and the rest is removed with the run.
        let lifted = site.lift_policies().await;
        if any_is_stopped {
            let lifted = match lifted {
                Ok(()) => self.look(Step::Lifted, |_| PATIENCE).await,
                Err(why) => Err(why),
            };
            steps.insert(Step::Lifted, lifted);
        }
        steps
    }

    /// Watches until all ways are as the policies of the step say, or until the time is over, which may depend on what
    /// is seen.
    async fn look(&mut self, step: Step, patience: impl Fn(&Sights) -> Duration) -> Seen<Sights> {
        let began = Instant::now();
        let mut sights = Sights::default();
        // Older tries do not belong to the step.
        while let Some((_, old)) = self.tries.arrived() {
            old?;
        }
        while !sights.have_settled(&self.ways, step) {
            let left = patience(&sights).saturating_sub(began.elapsed());
            let Some((_, done)) = self.tries.next(left).await else { break };
            let Try { target, fault, .. } = done?;
            if let Some(way) = Way::named(&target) {
                sights.take(way, fault, began.elapsed());
            }
        }
        sights.lasted_ms = milliseconds(began.elapsed());
        Ok(sights)
    }
}

fn pod<'a>(role: Role, node: &'a str, watch: Option<&'a WatchQuestions>) -> TrialPod<'a> {
    TrialPod { role: role.name(), node, watch }
}

fn targets(servers: &[(Role, IpAddr)], places: &Places<'_>) -> BTreeMap<Way, WatchTarget> {
    let address = |role: Role| servers.iter().find(|(of, _)| *of == role).map(|(_, address)| *address);
    let target = |way: Way| match way.to() {
        Some(role) => Some(WatchTarget::Probe(SocketAddr::new(address(role)?, PORT))),
        None => Some(WatchTarget::Dns(places.dns?, format!("kubernetes.default.svc.{}.", places.domain))),
    };
    Way::ALL.into_iter().filter_map(|way| Some((way, target(way)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fault::Fault;
    use crate::seen::Unobserved;

    #[tokio::test]
    async fn a_look_lasts_until_all_is_seen_and_ends_with_the_log() {
        let tries = Tries::queue();
        let sender = tries.sender();
        let mut trial = Trial { ways: vec![Way::GrantedToGuarded], tries };
        let reported =
            |fault| (Role::Granted, Ok(Try { target: Way::GrantedToGuarded.name().into(), at_ms: 0, fault }));
        let reported_later = async {
            tokio::task::yield_now().await;
            for fault in [None, Some(Fault::TimedOut), Some(Fault::TimedOut)] {
                sender.send(reported(fault)).await.unwrap();
            }
        };
        let (seen, ()) = tokio::join!(trial.look(Step::Denied, |_| PATIENCE), reported_later);
        assert!(seen.unwrap().any_is_stopped());
        sender.send((Role::Granted, Err(Unobserved::Interrupted))).await.unwrap();
        assert!(trial.look(Step::Lifted, |_| PATIENCE).await.is_err());
    }
}
