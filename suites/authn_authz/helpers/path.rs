//! A path from a right to everything, and the shortest one of each service account.

use std::collections::BTreeMap;
use std::fmt;

use crate::object_ref::NamespacedName;

/// How a holder gets more rights than it was granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    /// Where it ends.
    pub(crate) end: End,
    pub(super) steps: Vec<Step>,
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A service account that is taken over.
    Account(NamespacedName),
    /// What its holder does, or what it reaches.
    Deed(String),
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Administrator,
    Commands,
    Secrets,
}

impl Path {
    /// The worst end first, then the fewest steps, then the words, so that the same facts give the same path.
    pub(crate) fn weight(&self) -> (End, usize, &[Step]) {
        (self.end, self.steps.len(), &self.steps)
    }

    /// The service account that is taken over first, if one is.
    pub(crate) fn account(&self) -> Option<&NamespacedName> {
        match self.steps.get(1)? {
            Step::Account(account) => Some(account),
            Step::Deed(_) => None,
        }
    }

    /// Whether it leads over a service account.
    pub(crate) fn passes(&self, account: &NamespacedName) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Account(step) if step == account))
    }

    pub(crate) fn words(&self) -> String {
        let end = match self.end {
            End::Administrator => Some("everything".to_owned()),
            End::Commands | End::Secrets => None,
        };
        self.steps.iter().map(ToString::to_string).chain(end).collect::<Vec<_>>().join(" → ")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "ServiceAccount {account}"),
            Self::Deed(deed) => f.write_str(deed),
        }
    }
}

/// The shortest path of each service account to everything, as the steps after it was taken over.
#[derive(Default)]
pub(crate) struct Paths {
    steps: BTreeMap<NamespacedName, Vec<Step>>,
    /// The accounts that are the nearest to everything: of all, and of those that pods use.
    nearest: Nearest,
    nearest_carried: Nearest,
}

/// The service account with the shortest path: of all namespaces, and of each.
#[derive(Default)]
struct Nearest {
    anywhere: Option<(usize, NamespacedName)>,
    by_namespace: BTreeMap<String, (usize, NamespacedName)>,
}

impl Paths {
    /// Adds an account, which pods use or not, with its path.
    pub(super) fn add(&mut self, account: NamespacedName, steps: Vec<Step>, is_carried: bool) {
        self.nearest.add(&account, steps.len());
        if is_carried {
            self.nearest_carried.add(&account, steps.len());
        }
        self.steps.insert(account, steps);
    }

    /// Whether there is a path of this account.
    pub(super) fn has(&self, account: &NamespacedName) -> bool {
        self.steps.contains_key(account)
    }

    /// The account in this namespace, or in any, that is the nearest to everything, of all or of those that pods use, with its
    /// path.
    pub(super) fn nearest(&self, namespace: Option<&str>, carried: bool) -> Option<(&NamespacedName, &[Step])> {
        let nearest = if carried { &self.nearest_carried } else { &self.nearest };
        let account = nearest.beside(namespace)?;
        Some((account, &self.steps[account]))
    }
}

impl Nearest {
    fn add(&mut self, account: &NamespacedName, steps: usize) {
        let it = (steps, account.clone());
        if self.anywhere.as_ref().is_none_or(|known| it < *known) {
            self.anywhere = Some(it.clone());
        }
        let here = self.by_namespace.entry(account.namespace.to_string()).or_insert_with(|| it.clone());
        if it < *here {
            *here = it;
        }
    }

    /// The nearest in this namespace, or in any.
    fn beside(&self, namespace: Option<&str>) -> Option<&NamespacedName> {
        let nearest = match namespace {
            Some(namespace) => self.by_namespace.get(namespace),
            None => self.anywhere.as_ref(),
        };
        nearest.map(|(_, account)| account)
    }
}
