//! The ways between pods while policies are created and removed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::probe::fault::Fault;
use crate::probe::policed::Role;
use crate::probe::sight::Sight;

/// A way from one pod to another, or to the cluster's DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// Into the guarded pod, from the pod with the label.
    GrantedToGuarded,
    /// Into the guarded pod, from the pod without the label.
    StrangerToGuarded,
    /// Out of the confined pod, to another pod.
    ConfinedToOpen,
    /// Out of the confined pod, to the DNS.
    ConfinedToDns,
    /// Between pods that no policy selects.
    GrantedToOpen,
    /// Between pods that no policy selects.
    StrangerToOpen,
    /// From a pod that no policy selects to the DNS.
    StrangerToDns,
}

/// A step of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// There is no policy.
    Before,
    /// Policies deny ingress of the guarded pod, and egress of the confined one.
    Denied,
    /// Another policy allows ingress of the guarded pod by label.
    Allowed,
    /// All policies are removed.
    Lifted,
}

/// All ways in a step. A way without tries is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sights {
    /// How long they were watched, in milliseconds.
    pub lasted_ms: u64,
    /// The ways.
    pub ways: BTreeMap<Way, Sight>,
}

impl Way {
    /// All.
    pub(crate) const ALL: [Self; 7] = [
        Self::GrantedToGuarded,
        Self::StrangerToGuarded,
        Self::ConfinedToOpen,
        Self::ConfinedToDns,
        Self::GrantedToOpen,
        Self::StrangerToOpen,
        Self::StrangerToDns,
    ];

    /// The name of the target in the probes' reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GrantedToGuarded => "granted-to-guarded",
            Self::StrangerToGuarded => "stranger-to-guarded",
            Self::ConfinedToOpen => "confined-to-open",
            Self::ConfinedToDns => "confined-to-dns",
            Self::GrantedToOpen => "granted-to-open",
            Self::StrangerToOpen => "stranger-to-open",
            Self::StrangerToDns => "stranger-to-dns",
        }
    }

    /// The way with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    /// The requesting user.
    pub(crate) const fn from(self) -> Role {
        match self {
            Self::GrantedToGuarded | Self::GrantedToOpen => Role::Granted,
            Self::StrangerToGuarded | Self::StrangerToOpen | Self::StrangerToDns => Role::Stranger,
            Self::ConfinedToOpen | Self::ConfinedToDns => Role::Confined,
        }
    }

    /// The asked pod; none for the DNS.
    pub(crate) const fn to(self) -> Option<Role> {
        match self {
            Self::GrantedToGuarded | Self::StrangerToGuarded => Some(Role::Guarded),
            Self::ConfinedToOpen | Self::GrantedToOpen | Self::StrangerToOpen => Some(Role::Open),
            Self::ConfinedToDns | Self::StrangerToDns => None,
        }
    }

    /// Whether the policies of a step allow it.
    pub(crate) const fn is_allowed(self, step: Step) -> bool {
        match (step, self) {
            (Step::Before | Step::Lifted, _)
            | (_, Self::GrantedToOpen | Self::StrangerToOpen | Self::StrangerToDns)
            | (Step::Allowed, Self::GrantedToGuarded) => true,
            (Step::Denied | Step::Allowed, _) => false,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GrantedToGuarded => "from a pod with the allowed label into a pod that denies ingress",
            Self::StrangerToGuarded => "from a pod without the allowed label into a pod that denies ingress",
            Self::ConfinedToOpen => "out of a pod that denies egress, to another pod",
            Self::ConfinedToDns => "out of a pod that denies egress, to the cluster's DNS",
            Self::GrantedToOpen | Self::StrangerToOpen => "between two pods that no policy selects",
            Self::StrangerToDns => "from a pod that no policy selects to the cluster's DNS",
        })
    }
}

impl Sights {
    /// Adds the outcome of a try, this long after the step.
    pub(crate) fn take(&mut self, way: Way, fault: Option<Fault>, after: Duration) {
        let sight = Sight::with(self.ways.remove(&way), fault, after);
        self.ways.insert(way, sight);
    }

    /// A way, if it was tried often enough.
    pub(crate) fn steady(&self, way: Way) -> Option<&Sight> {
        self.ways.get(&way).filter(|sight| sight.is_steady())
    }

    /// Whether a way is open; none if it was not tried often enough.
    pub(crate) fn is_open(&self, way: Way) -> Option<bool> {
        self.steady(way).map(Sight::is_open)
    }

    /// Whether each of these ways is as the policies of a step say: there is nothing more to wait for.
    pub(crate) fn have_settled(&self, ways: &[Way], step: Step) -> bool {
        ways.iter().all(|way| self.is_open(*way) == Some(way.is_allowed(step)))
    }

    /// Whether a way that a policy affects may just be closing: the last try failed.
    pub(crate) fn any_may_be_stopping(&self) -> bool {
        self.ways.iter().any(|(way, sight)| !way.is_allowed(Step::Denied) && !sight.is_open())
    }

    /// Whether a way that a policy affects is closed.
    pub(crate) fn any_is_stopped(&self) -> bool {
        Way::ALL.iter().any(|way| !way.is_allowed(Step::Denied) && self.is_open(*way) == Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_try_closes_no_way() {
        let mut sights = Sights::default();
        let way = Way::GrantedToGuarded;
        let take = |sights: &mut Sights, fault, ms| sights.take(way, fault, Duration::from_millis(ms));
        take(&mut sights, None, 10);
        take(&mut sights, None, 110);
        assert_eq!(sights.is_open(way), Some(true));
        take(&mut sights, Some(Fault::TimedOut), 700);
        assert_eq!((sights.is_open(way), sights.any_is_stopped()), (None, false));
        assert!(sights.any_may_be_stopping());
        take(&mut sights, Some(Fault::Refused), 1300);
        assert_eq!((sights.is_open(way), sights.any_is_stopped()), (Some(false), true));
        assert_eq!(sights.ways[&way], Sight { fault: Some(Fault::Refused), alike: 2, after_ms: 700 });
    }

    #[test]
    fn a_step_is_done_when_every_way_is_seen() {
        let mut sights = Sights::default();
        for way in Way::ALL {
            assert!(!sights.have_settled(&Way::ALL, Step::Before), "{way} was not seen");
            sights.take(way, None, Duration::ZERO);
            sights.take(way, None, Duration::ZERO);
        }
        assert!(sights.have_settled(&Way::ALL, Step::Before) && sights.have_settled(&Way::ALL, Step::Lifted));
        assert!(!sights.have_settled(&Way::ALL, Step::Allowed));
    }
}
