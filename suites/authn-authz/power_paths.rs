//! Where rights lead: the shortest path of each holder to everything, over the service accounts that it can take over.

use std::collections::{BTreeMap, BTreeSet};

use super::expected_holders::expected_power;
use super::powers::{ALL, Power, Reach, Yield};
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{Grant, Holder, PolicyRule, Rbac};

/// Where the control plane and its service accounts are.
const SYSTEM: &str = "kube-system";
/// The static pods from which the whole cluster can be had.
const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// How somebody gets further than they were given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    /// Where it ends.
    pub(super) end: End,
    steps: Vec<String>,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Administrator,
    Commands,
    Secrets,
}

impl Path {
    /// The worst end first, then the fewest steps, then the words, so that the same facts give the same path.
    pub(super) fn weight(&self) -> (End, usize, &[String]) {
        (self.end, self.steps.len(), &self.steps)
    }

    /// The service account that is taken over first, if one is.
    pub(super) fn account(&self) -> Option<&str> {
        self.steps.get(1).map(String::as_str).filter(|step| namespace_of(step).is_some())
    }

    pub(super) fn words(&self) -> String {
        let end = match self.end {
            End::Administrator => Some("everything"),
            End::Commands | End::Secrets => None,
        };
        self.steps.iter().map(String::as_str).chain(end).collect::<Vec<_>>().join(" → ")
    }
}

/// A power that somebody holds, where, and by which bindings.
pub(super) struct Held<'a> {
    /// The power.
    pub(super) power: &'static Power,
    namespace: Option<&'a str>,
    /// The bindings that give it.
    pub(super) grants: Vec<Grant<'a>>,
    /// Why it is expected, if it is.
    pub(super) expected: Option<&'static str>,
}

/// Who was given what, and which pods carry it.
pub(super) struct Graph<'a> {
    rbac: &'a Rbac,
    /// What was given to each holder.
    pub(super) grants: BTreeMap<String, Vec<Grant<'a>>>,
    /// By service account, as a holder, how many pods have it; none when pods were not seen.
    carriers: Option<BTreeMap<String, usize>>,
    /// The namespaces in which parts of the control plane run as pods.
    control_plane: BTreeSet<&'a str>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(rbac: &'a Rbac, pods: Option<&'a Pods>) -> Self {
        let mut grants: BTreeMap<String, Vec<Grant<'a>>> = BTreeMap::new();
        for grant in rbac.grants() {
            for holder in &grant.binding.holders {
                grants.entry(canonical(holder)).or_default().push(grant);
            }
        }
        let carriers = pods.map(|pods| {
            let mut carriers = BTreeMap::new();
            for pod in pods.0.values().filter(|pod| !pod.is_mirror() && !pod.service_account.is_empty()) {
                *carriers.entry(account(&pod.namespace, &pod.service_account)).or_default() += 1;
            }
            carriers
        });
        let control_plane = pods.into_iter().flat_map(|pods| pods.0.values());
        let control_plane = control_plane
            .filter(|pod| pod.is_mirror() && pod.component().is_some_and(|part| CONTROL_PLANE.contains(&part)))
            .map(|pod| pod.namespace.as_str())
            .collect();
        Self { rbac, grants, carriers, control_plane }
    }

    pub(super) fn is_administrator(&self, holder: &str) -> bool {
        let everything = |grant: &Grant<'_>| grant.existing_rules().iter().any(PolicyRule::permits_everything);
        self.grants
            .get(holder)
            .is_some_and(|all| all.iter().any(|grant| grant.namespace.is_none() && everything(grant)))
    }

    /// What was given to a holder itself.
    pub(super) fn own_powers(&self, holder: &str) -> Vec<Held<'a>> {
        Self::powers(self.grants.get(holder).map(Vec::as_slice).unwrap_or_default(), Some(holder))
    }

    /// What a service account has by itself and by its groups.
    fn account_powers(&self, holder: &str) -> Vec<Held<'a>> {
        let namespace = namespace_of(holder).unwrap_or_default();
        let groups = [
            holder.to_owned(),
            "Group system:authenticated".to_owned(),
            "Group system:serviceaccounts".to_owned(),
            format!("Group system:serviceaccounts:{namespace}"),
        ];
        let all: Vec<_> = groups.iter().filter_map(|name| self.grants.get(name)).flatten().copied().collect();
        Self::powers(&all, None)
    }

    fn powers(grants: &[Grant<'a>], holder: Option<&str>) -> Vec<Held<'a>> {
        let namespaces: BTreeSet<_> = grants.iter().map(|grant| grant.namespace).collect();
        let mut all = Vec::new();
        for namespace in namespaces {
            // What is given everywhere adds to what is given here.
            let here: Vec<_> =
                grants.iter().filter(|grant| grant.namespace.is_none() || grant.namespace == namespace).collect();
            for power in ALL {
                let reaches = match (power.reach, namespace) {
                    (_, None) | (Reach::Namespace, _) => true,
                    (Reach::System, Some(namespace)) => namespace == SYSTEM,
                    (Reach::Cluster, Some(_)) => false,
                };
                let rules = |some: &[&&Grant<'a>]| -> Vec<&'a PolicyRule> {
                    some.iter().flat_map(|grant| grant.existing_rules()).collect()
                };
                if !reaches || !power.is_given_by(&rules(&here.iter().collect::<Vec<_>>())) {
                    continue;
                }
                let part = |grant: &Grant<'_>| grant.existing_rules().iter().any(|rule| power.rests_on(rule));
                let expected = |grant: &Grant<'_>| {
                    holder.and_then(|holder| expected_power(holder, grant.name, power.name)).map(|entry| entry.why)
                };
                let of_expected: Vec<_> = here.iter().filter(|grant| expected(grant).is_some()).collect();
                let why = if power.is_given_by(&rules(&of_expected)) {
                    of_expected.iter().find_map(|grant| expected(grant))
                } else {
                    None
                };
                let parts: Vec<_> = here.iter().filter(|grant| part(grant)).map(|grant| **grant).collect();
                // What is given everywhere was found there already.
                if namespace.is_some() && parts.iter().all(|grant| grant.namespace.is_none()) {
                    continue;
                }
                all.push(Held { power, namespace, grants: parts, expected: why });
            }
        }
        all
    }

    /// The shortest way of each service account to everything, as the steps after it was taken over.
    pub(super) fn paths(&self) -> BTreeMap<String, Vec<String>> {
        let accounts: Vec<&String> = self.grants.keys().filter(|holder| namespace_of(holder).is_some()).collect();
        let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for holder in accounts.iter().filter(|holder| self.is_administrator(holder)) {
            paths.insert((*holder).clone(), Vec::new());
        }
        loop {
            let mut further = Vec::new();
            for holder in accounts.iter().filter(|holder| !paths.contains_key(holder.as_str())) {
                let ways = self.account_powers(holder).into_iter().filter_map(|held| self.path(&held, &paths));
                let ways = ways.filter(|path| path.end == End::Administrator);
                if let Some(best) = ways.min_by(|a, b| a.weight().cmp(&b.weight())) {
                    further.push(((*holder).clone(), best.steps));
                }
            }
            // Those that are found in one round are as short as can be: longer ones need what this round finds.
            let Some(least) = further.iter().map(|(_, steps)| steps.len()).min() else { return paths };
            paths.extend(further.into_iter().filter(|(_, steps)| steps.len() == least));
        }
    }

    /// Where a power leads, given where service accounts do.
    pub(super) fn path(&self, held: &Held<'_>, paths: &BTreeMap<String, Vec<String>>) -> Option<Path> {
        let place = held.namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let first = format!("{}{place}", held.power.deed);
        let ends = |end, further: Vec<String>| Some(Path { end, steps: [vec![first.clone()], further].concat() });
        let beside = |namespace: &str| held.namespace.is_none_or(|held| held == namespace);
        let through = |reached: &dyn Fn(&str) -> bool| {
            let reached =
                paths.iter().filter(|(holder, _)| namespace_of(holder).is_some_and(beside) && reached(holder));
            let best = reached.min_by_key(|(holder, steps)| (steps.len(), *holder));
            best.and_then(|(holder, steps)| ends(End::Administrator, [vec![holder.clone()], steps.clone()].concat()))
        };
        match held.power.yields {
            Yield::Administrator => ends(End::Administrator, Vec::new()),
            Yield::Secrets => ends(End::Secrets, Vec::new()),
            Yield::Accounts if beside(SYSTEM) => match held.power.name {
                "pods" => ends(End::Administrator, vec!["a pod beside the control plane".into()]),
                _ => through(&|_| true),
            },
            Yield::Accounts => through(&|_| true),
            Yield::PodAccounts if self.control_plane.iter().any(|namespace| beside(namespace)) => {
                ends(End::Administrator, vec!["the pods of the control plane".into()])
            }
            Yield::PodAccounts => {
                let carried = |holder: &str| self.carriers.as_ref().is_some_and(|all| all.contains_key(holder));
                through(&carried)
                    .or_else(|| if held.namespace.is_none() { ends(End::Commands, Vec::new()) } else { None })
            }
        }
    }

    /// The holder, and for a service account how many pods have it.
    pub(super) fn described(&self, holder: &str) -> String {
        match (&self.carriers, namespace_of(holder)) {
            (Some(carriers), Some(_)) => {
                format!("{holder} (pods that have it: {})", carriers.get(holder).copied().unwrap_or_default())
            }
            _ => holder.to_owned(),
        }
    }

    /// The ClusterRole from which the role gathered the power, if it is gathered from others.
    pub(super) fn source(&self, grant: &Grant<'_>, power: &Power) -> Option<&str> {
        let marks = self.rbac.marks.as_ref().filter(|_| grant.binding.role_kind == "ClusterRole")?;
        marks.sources(&grant.binding.role).find(|source| {
            let rules = self.rbac.cluster_roles.get(*source);
            rules.is_some_and(|rules| rules.iter().any(|rule| power.rests_on(rule)))
        })
    }

    /// The role, and the one from which it gathered the power.
    pub(super) fn origin(&self, grant: &Grant<'_>, power: &Power) -> String {
        let role = grant.role();
        match self.source(grant, power) {
            Some(source) => format!("{role}, which gathers it from ClusterRole {source}"),
            None => role,
        }
    }
}

/// A service account is the same as the user that it is known as.
fn canonical(holder: &Holder) -> String {
    let account_of = |name: &str| {
        let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some(account(namespace, name))
    };
    match holder.kind.as_str() {
        "User" => account_of(&holder.name).unwrap_or_else(|| holder.to_string()),
        _ => holder.to_string(),
    }
}

fn account(namespace: &str, name: &str) -> String {
    format!("ServiceAccount {namespace}/{name}")
}

/// The namespace of a holder that is a service account.
fn namespace_of(holder: &str) -> Option<&str> {
    holder.strip_prefix("ServiceAccount ")?.split_once('/').map(|(namespace, _)| namespace)
}
