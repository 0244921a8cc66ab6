//! What was waited for, look by look.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::Aim;
use super::unsettled::Missing;
use crate::seen::Unobserved;

/// How long nothing may be left to wait for until the cluster counts as settled. A leader that has just ended has a lease
/// that looks current for five seconds.
const HOLD: Duration = Duration::from_secs(5);

/// Aims that are not reached, each with what is missing, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aims(BTreeMap<Aim, BTreeSet<String>>);

impl Aims {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, other: &Self) {
        for (aim, names) in &other.0 {
            self.0.entry(*aim).or_default().extend(names.iter().cloned());
        }
    }
}

impl fmt::Display for Aims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (aim, names)) in self.0.iter().enumerate() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            write!(f, "{}{aim} ({})", if i == 0 { "" } else { "; " }, names.join(", "))?;
        }
        Ok(())
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// How long it took.
    pub after: Duration,
    /// All that was waited for.
    pub awaited: Aims,
    /// What is left.
    pub left: Aims,
    /// What may not be looked at, and why.
    pub unknown: BTreeMap<Aim, String>,
}

/// What was waited for, look by look.
#[derive(Debug, Default)]
pub(super) struct History {
    awaited: Aims,
    left: Aims,
    unknown: BTreeMap<Aim, String>,
    /// Since when nothing is left.
    quiet_since: Option<Duration>,
    last: Option<Duration>,
}

impl History {
    /// Adds a look at this time since the wait began. What may not be looked at is not waited for.
    pub(super) fn add(&mut self, unsettled: BTreeMap<Aim, Missing>, at: Duration) {
        (self.left, self.unknown, self.last) = (Aims::default(), BTreeMap::new(), Some(at));
        for (aim, missing) in unsettled {
            match missing {
                Ok(names) if names.is_empty() => {}
                Ok(names) => drop(self.left.0.insert(aim, names)),
                Err(why @ (Unobserved::Refused { .. } | Unobserved::NotGranted { .. })) => {
                    self.unknown.insert(aim, why.to_string());
                }
                Err(why) => drop(self.left.0.insert(aim, [why.to_string()].into())),
            }
        }
        self.awaited.add(&self.left);
        self.quiet_since = if self.left.is_empty() { self.quiet_since.or(Some(at)) } else { None };
    }

    /// What was left at the last look.
    pub(super) fn left(&self) -> &Aims {
        &self.left
    }

    /// Whether nothing was left for long enough.
    pub(super) fn has_settled(&self) -> bool {
        self.last.zip(self.quiet_since).is_some_and(|(last, since)| last >= since + HOLD)
    }

    /// What became of it, after this time.
    pub(super) fn conclude(self, after: Duration) -> Settled {
        let Self { awaited, left, unknown, .. } = self;
        Settled { after, awaited, left, unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(missing: &[(Aim, &str)]) -> BTreeMap<Aim, Missing> {
        missing.iter().map(|(aim, name)| (*aim, Ok([(*name).to_owned()].into()))).collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_settles_must_stay_so() {
        let mut history = History::default();
        for (at, missing) in [(0, vec![(Aim::Nodes, "n3")]), (1, vec![]), (3, vec![(Aim::Leaders, "kube-scheduler")])] {
            history.add(look(&missing), seconds(at));
            assert!(!history.has_settled());
        }
        for at in 4..9 {
            history.add(look(&[]), seconds(at));
            assert!(!history.has_settled(), "only since {at} s");
        }
        history.add(look(&[]), seconds(9));
        assert!(history.has_settled());
        let settled = history.conclude(seconds(9));
        assert!(settled.left.is_empty());
        assert_eq!(settled.awaited.to_string(), "nodes are Ready (n3); leaders renew their leases (kube-scheduler)");
    }

    #[test]
    fn what_may_not_be_looked_at_is_not_waited_for_and_what_cannot_be_is() {
        let mut history = History::default();
        let refused = Unobserved::Refused { missing: "list nodes".into(), message: "no".into() };
        history.add([(Aim::Nodes, Err(refused))].into(), seconds(0));
        history.add([(Aim::Pods, Err(Unobserved::unreachable("it", "refused")))].into(), seconds(1));
        assert!(history.unknown.is_empty() && !history.left().is_empty());
        let refused = Unobserved::Refused { missing: "list nodes".into(), message: "no".into() };
        history.add([(Aim::Nodes, Err(refused))].into(), seconds(2));
        assert!(history.left().is_empty() && history.unknown.contains_key(&Aim::Nodes));
    }
}
