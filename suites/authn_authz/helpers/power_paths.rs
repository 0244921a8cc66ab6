//! Where rights lead: the shortest path of each holder to everything, through service accounts that it can take over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::add_ons::{AddOn, Part, recognised};
use super::expected_holders::expected_power;
use super::path::{End, Path, Paths, Step};
use super::powers::{ALL, Met, Power, Reach, Yield};
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{CLUSTER_ROLE, Grant, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::{NamespacedName, ObjectRef};

/// Where the control plane and its service accounts are.
const SYSTEM: &str = "kube-system";
/// The static pods that give access to the whole cluster.
const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// Where a power leads after its first step. Its words are written only for the shortest.
struct Lead<'p> {
    end: End,
    further: Further<'p>,
}

enum Further<'p> {
    Nothing,
    Deed(&'static str),
    Account(&'p NamespacedName, &'p [Step]),
}

impl Lead<'_> {
    fn weight(&self) -> (End, usize) {
        let further = match self.further {
            Further::Nothing => 0,
            Further::Deed(_) => 1,
            Further::Account(_, steps) => 1 + steps.len(),
        };
        (self.end, 1 + further)
    }

    fn path(&self, held: &Held<'_>) -> Path {
        let place = held.namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let mut steps = vec![Step::Deed(format!("{}{place}", held.power.deed))];
        match self.further {
            Further::Nothing => {}
            Further::Deed(deed) => steps.push(Step::Deed(deed.into())),
            Further::Account(account, further) => {
                steps.push(Step::Account(account.clone()));
                steps.extend_from_slice(further);
            }
        }
        Path { end: self.end, steps }
    }
}

/// A power that a holder has, where, and by which bindings.
pub(crate) struct Held<'a> {
    /// The power.
    pub(crate) power: &'static Power,
    namespace: Option<&'a str>,
    /// The bindings that grant it.
    pub(crate) grants: Vec<Grant<'a>>,
    /// Why it is expected, if it is.
    pub(crate) expected: Option<Reason>,
}

/// Why a power is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// It is part of Kubernetes or of the distribution: what it is, in words.
    Platform(&'static str),
    /// The manifests of an add-on give it.
    AddOn(&'static AddOn),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(what) => write!(f, "powerful, as expected: {what}"),
            Self::AddOn(add_on) => write!(f, "powerful, as the manifests of {add_on} make it"),
        }
    }
}

/// What each holder was granted, and which pods use it.
pub(crate) struct Graph<'a> {
    /// The roles and bindings.
    pub(crate) rbac: &'a Rbac,
    /// What was granted to each holder.
    pub(crate) grants: BTreeMap<Holder, Vec<Grant<'a>>>,
    /// What the rules of each role meet, and the roles that permit everything: each role is looked at once, however many
    /// hold it.
    met: BTreeMap<&'a ObjectRef, Met>,
    everything: BTreeSet<&'a ObjectRef>,
    /// By service account, how many pods use it; none when pods were not seen.
    carriers: Option<BTreeMap<NamespacedName, usize>>,
    /// The namespaces in which parts of the control plane run as pods.
    control_plane: BTreeSet<&'a str>,
    /// The powers of each service account to which something was granted, by itself and by its groups.
    accounts: Vec<(NamespacedName, Vec<Held<'a>>)>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(rbac: &'a Rbac, pods: Option<&'a Pods>) -> Self {
        let mut grants: BTreeMap<Holder, Vec<Grant<'a>>> = BTreeMap::new();
        for grant in rbac.grants() {
            for holder in &grant.binding.holders {
                grants.entry(holder.canonical()).or_default().push(grant);
            }
        }
        let carriers = pods.map(|pods| {
            let mut carriers = BTreeMap::new();
            for pod in pods.0.values().filter(|pod| !pod.is_mirror() && !pod.service_account.is_empty()) {
                let account = NamespacedName::new(pod.namespace.clone(), pod.service_account.clone());
                *carriers.entry(account).or_default() += 1;
            }
            carriers
        });
        let control_plane = pods.into_iter().flat_map(|pods| pods.0.values());
        let control_plane = control_plane
            .filter(|pod| pod.is_mirror() && pod.component().is_some_and(|part| CONTROL_PLANE.contains(&part)))
            .map(|pod| pod.namespace.as_str())
            .collect();
        let met = rbac.roles.iter().map(|(role, rules)| (role, Met::by(rules))).collect();
        let everything = rbac.roles.iter().filter(|(_, rules)| rules.iter().any(PolicyRule::permits_everything));
        let everything = everything.map(|(role, _)| role).collect();
        let mut graph = Self { rbac, grants, met, everything, carriers, control_plane, accounts: Vec::new() };
        let accounts = graph.grants.keys().filter_map(account);
        graph.accounts = accounts.map(|account| (account.clone(), graph.account_powers(account))).collect();
        graph
    }

    pub(crate) fn is_administrator(&self, holder: &Holder) -> bool {
        let everything = |grant: &Grant<'_>| self.everything.contains(&grant.binding.role);
        self.grants
            .get(holder)
            .is_some_and(|all| all.iter().any(|grant| grant.namespace().is_none() && everything(grant)))
    }

    /// The powers that were granted to a holder itself.
    pub(crate) fn own_powers(&self, holder: &Holder) -> Vec<Held<'a>> {
        self.powers(self.grants.get(holder).map(Vec::as_slice).unwrap_or_default(), Some(holder))
    }

    /// The add-ons to which a holder belongs by what was granted to it.
    pub(crate) fn add_ons(&self, holder: &Holder) -> Vec<&'static AddOn> {
        let grants = self.grants.get(holder).into_iter().flatten();
        let mut add_ons: Vec<_> =
            grants.flat_map(|grant| recognised(self.rbac, grant, holder)).map(|(add_on, _)| add_on).collect();
        add_ons.dedup_by(|a, b| std::ptr::eq(*a, *b));
        add_ons
    }

    /// The powers of a service account by itself and by its groups, each once: those in a namespace lead no further than the
    /// same in the whole cluster.
    fn account_powers(&self, account: &NamespacedName) -> Vec<Held<'a>> {
        let holders = [
            Holder::ServiceAccount(account.clone()),
            Holder::group("system:authenticated"),
            Holder::group("system:serviceaccounts"),
            Holder::Group(format!("system:serviceaccounts:{}", account.namespace).into()),
        ];
        let all: Vec<_> = holders.iter().filter_map(|name| self.grants.get(name)).flatten().copied().collect();
        let mut powers = self.powers(&all, None);
        let everywhere: BTreeSet<_> =
            powers.iter().filter(|held| held.namespace.is_none()).map(|held| held.power.deed).collect();
        let mut known = BTreeSet::new();
        powers.retain(|held| {
            let is_wider = held.namespace.is_some() && everywhere.contains(held.power.deed);
            !is_wider && known.insert((held.power.deed, held.namespace))
        });
        powers
    }

    /// What the rules of a grant's role meet.
    fn met(&self, grant: &Grant<'_>) -> Met {
        self.met.get(&grant.binding.role).copied().unwrap_or_default()
    }

    fn powers(&self, grants: &[Grant<'a>], holder: Option<&Holder>) -> Vec<Held<'a>> {
        let mut places: BTreeMap<Option<&'a str>, Vec<Grant<'a>>> = BTreeMap::new();
        for grant in grants {
            places.entry(grant.namespace()).or_default().push(*grant);
        }
        let everywhere = places.get(&None).cloned().unwrap_or_default();
        let met_everywhere = Met::together(everywhere.iter().map(|grant| self.met(grant)));
        // What each grant is recognised as.
        let known: BTreeMap<&ObjectRef, Vec<(&'static AddOn, &'static Part)>> = holder
            .map_or_else(BTreeMap::new, |holder| {
                grants.iter().map(|grant| (grant.object, recognised(self.rbac, grant, holder))).collect()
            });
        let mut all: Vec<Held<'a>> = Vec::new();
        for (namespace, own) in places {
            // Rights in the whole cluster add to those in the namespace.
            let met_here = Met::together(own.iter().map(|grant| self.met(grant)));
            let met = Met::together([met_everywhere, met_here]);
            for power in ALL {
                let reaches = match (power.reach, namespace) {
                    (_, None) | (Reach::Namespace, _) => true,
                    (Reach::System, Some(namespace)) => namespace == SYSTEM,
                    (Reach::Cluster, Some(_)) => false,
                };
                // Rights in the whole cluster were found there already.
                if !reaches || !power.is_given_by(met) || !power.rests_on(met_here) {
                    continue;
                }
                let further: &[Grant<'a>] = if namespace.is_none() { &[] } else { &everywhere };
                let here: Vec<&Grant<'a>> = further.iter().chain(&own).collect();
                let expected = |grant: &Grant<'_>| {
                    let holder = holder?;
                    let platform = expected_power(holder, &grant.object.name, power.name);
                    let add_on = || {
                        let mut parts = known.get(grant.object).into_iter().flatten();
                        let giving = parts.find(|(_, part)| part.gives(power.name, namespace, account(holder)));
                        giving.map(|(add_on, _)| Reason::AddOn(add_on))
                    };
                    platform.map(|entry| Reason::Platform(entry.why)).or_else(add_on)
                };
                let of_expected: Vec<_> = here.iter().filter(|grant| expected(grant).is_some()).collect();
                let why = if power.is_given_by(Met::together(of_expected.iter().map(|grant| self.met(grant)))) {
                    of_expected.iter().find_map(|grant| expected(grant))
                } else {
                    None
                };
                // A power in a namespace is no more than the same in the whole cluster.
                let is_wider = |held: &&Held<'_>| held.namespace.is_none() && held.power.name == power.name;
                let why = why.or_else(|| all.iter().filter(is_wider).find_map(|held| held.expected));
                let parts = here.into_iter().filter(|grant| power.rests_on(self.met(grant))).copied().collect();
                all.push(Held { power, namespace, grants: parts, expected: why });
            }
        }
        all
    }

    /// The shortest path of each service account to everything, as the steps after it was taken over.
    pub(crate) fn paths(&self) -> Paths {
        self.paths_without(None)
    }

    /// The same as if there were no such service account.
    pub(crate) fn paths_without(&self, left_out: Option<&NamespacedName>) -> Paths {
        let counts = |account: &&NamespacedName| Some(*account) != left_out;
        let mut paths = Paths::default();
        let administrators = self.grants.keys().filter(|holder| self.is_administrator(holder)).filter_map(account);
        for account in administrators.filter(counts) {
            paths.add(account.clone(), Vec::new(), self.is_carried(account));
        }
        loop {
            let open = self.accounts.iter().filter(|(account, _)| counts(&account) && !paths.has(account));
            let further = open.filter_map(|(account, powers)| {
                let leads = powers.iter().filter_map(|held| Some((held, self.lead(held, &paths)?)));
                let leads: Vec<_> = leads.filter(|(_, lead)| lead.end == End::Administrator).collect();
                let least = leads.iter().map(|(_, lead)| lead.weight()).min()?;
                let shortest = leads.iter().filter(|(_, lead)| lead.weight() == least);
                Some((account, shortest.map(|(held, lead)| lead.path(held)).min()?.steps))
            });
            let further: Vec<_> = further.collect();
            // Those that are found in one round are as short as can be: longer ones need what this round finds.
            let Some(least) = further.iter().map(|(_, steps)| steps.len()).min() else { return paths };
            for (account, steps) in further.into_iter().filter(|(_, steps)| steps.len() == least) {
                paths.add(account.clone(), steps, self.is_carried(account));
            }
        }
    }

    /// Whether pods use an account.
    fn is_carried(&self, account: &NamespacedName) -> bool {
        self.carriers.as_ref().is_some_and(|all| all.contains_key(account))
    }

    /// Where a power leads, given where service accounts do.
    fn lead<'p>(&self, held: &Held<'_>, paths: &'p Paths) -> Option<Lead<'p>> {
        let beside = |namespace: &str| held.namespace.is_none_or(|held| held == namespace);
        let lead = |end, further| Some(Lead { end, further });
        let through = |carried| {
            let (account, steps) = paths.nearest(held.namespace, carried)?;
            lead(End::Administrator, Further::Account(account, steps))
        };
        match held.power.yields {
            Yield::Administrator => lead(End::Administrator, Further::Nothing),
            Yield::Secrets => lead(End::Secrets, Further::Nothing),
            Yield::Accounts if held.power.name == "pods" && beside(SYSTEM) => {
                lead(End::Administrator, Further::Deed("a pod beside the control plane"))
            }
            Yield::Accounts => through(false),
            Yield::PodAccounts if self.control_plane.iter().any(|namespace| beside(namespace)) => {
                lead(End::Administrator, Further::Deed("the pods of the control plane"))
            }
            Yield::PodAccounts | Yield::ApiPodAccounts => through(true)
                .or_else(|| if held.namespace.is_none() { lead(End::Commands, Further::Nothing) } else { None }),
        }
    }

    fn path(&self, held: &Held<'_>, paths: &Paths) -> Option<Path> {
        Some(self.lead(held, paths)?.path(held))
    }

    /// The shortest path of a holder by a power. One that leads over its holder gives it nothing.
    pub(crate) fn path_of(&self, holder: &Holder, held: &Held<'_>, paths: &Paths) -> Option<Path> {
        let path = self.path(held, paths)?;
        match account(holder) {
            Some(own) if path.passes(own) => self.path(held, &self.paths_without(Some(own))),
            _ => Some(path),
        }
    }

    /// The holder, and for a service account how many pods use it.
    pub(crate) fn described(&self, holder: &Holder) -> String {
        match (&self.carriers, account(holder)) {
            (Some(carriers), Some(account)) => {
                format!("{holder} (pods that use it: {})", carriers.get(account).copied().unwrap_or_default())
            }
            _ => holder.to_string(),
        }
    }

    /// The ClusterRole from which the role aggregates the power, if it does.
    pub(crate) fn source(&self, grant: &Grant<'_>, power: &Power) -> Option<&str> {
        let role = Some(&grant.binding.role).filter(|role| role.kind == CLUSTER_ROLE)?;
        self.rbac.marks.sources(&role.name).find(|source| {
            let source = ObjectRef::cluster(CLUSTER_ROLE, (*source).to_owned());
            self.met.get(&source).is_some_and(|met| power.rests_on(*met))
        })
    }

    /// The role, and the one from which it aggregates the power.
    pub(crate) fn origin(&self, grant: &Grant<'_>, power: &Power) -> String {
        let role = &grant.binding.role;
        match self.source(grant, power) {
            Some(source) => format!("{role}, which aggregates it from ClusterRole {source}"),
            None => role.to_string(),
        }
    }
}

/// The service account that a holder is, if it is one.
pub(crate) const fn account(holder: &Holder) -> Option<&NamespacedName> {
    match holder {
        Holder::ServiceAccount(account) => Some(account),
        Holder::Group(_) | Holder::User(_) => None,
    }
}
