//! No check passes on what it did not see: each fact of a recording is made unobservable in turn.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;

use crate::check::{Check, Judged, Outcome, Severity};
use crate::fact::node::{Origin, Slot};
use crate::fact::{Facts, Need, Node};
use crate::recording::Recording;
use crate::run::Plan;
use crate::seen::Unobserved;
use crate::suites;

/// Of how many recordings of broken clusters one is tried.
const SAMPLE: usize = 6;

/// Why a check may decide without a fact that it takes. Such a fact is an `Option` or a `Result` among its parameters, or among
/// those of what they are derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// The fact only adds words to findings and notes: a fix with names filled in, an evidence.
    Words,
    /// The fact is needed only when something looks wrong or is missing, which is not so in these recordings. Tests of the
    /// check show that it is an error then.
    Excuse,
    /// Another fact shows the same, and the check says which one it has used.
    Source(&'static str),
}
use Reason::{Excuse, Source, Words};

/// The checks that decide without a fact that they take.
const WITHOUT: &[(&str, &[&str], Reason)] = &[
    ("AA-03", &["api-server-metrics"], Source("api-server-flags, unless they name a configuration file")),
    ("AA-19", &["own-rights", "pods"], Words),
    ("AA-24", &["api-server-handshakes", "kubeconfig-summary"], Excuse),
    ("AD-01", &["proxy-replacements"], Excuse),
    ("CP-01", &["nodes"], Excuse),
    ("CP-02", &["api-server-handshakes", "kubeconfig-summary"], Excuse),
    ("CP-05", &["pods"], Excuse),
    ("CP-13", PROBES, Source("control-plane-listeners, where no flag opens a port")),
    ("CP-15", &["admission-webhooks"], Excuse),
    ("DI-01", &["kubeadm-config"], Excuse),
    ("DI-02", &["kubeadm-config"], Excuse),
    ("DI-09", &["bootstrap-tokens"], Excuse),
    ("DI-10", &["bootstrapper-reviews"], Words),
    ("DI-10", &["kube-proxy-config"], Excuse),
    ("DI-10", &["root-ca-config-maps"], Source("kubeconfig-summary")),
    ("DN-03", &["dns-deployment", "system-workloads"], Words),
    ("DN-03", &["service-cidrs"], Source("kubeadm-config")),
    ("DN-04", &["corefile"], Source("kubeadm-config")),
    ("DN-05", &["corefile"], Source("kubeadm-config")),
    ("DN-06", &["corefile"], Source("kubeadm-config")),
    ("DN-09", &["corefile", "coredns-reviews"], Words),
    ("DN-10", &["corefile", "dns-deployment", "system-workloads"], Words),
    ("HA-02", &["nodes"], Excuse),
    ("HA-07", &["pods"], Words),
    ("KL-01", &["cluster-dns", "departures"], Words),
    ("KL-03", &["kubelet-anonymous"], Source("probe-reports")),
    ("KL-03", PROBES, Source("kubelet-anonymous")),
    ("KL-05", &["kubelet-ports"], Source("probe-reports")),
    ("KL-05", PROBES, Source("kubelet-ports")),
    ("KL-09", &["nodes"], Words),
    ("KL-11", &["kube-proxy-config"], Excuse),
    ("PK-02", &["corefile"], Source("kubeadm-config")),
    ("PK-03", &["clock"], Source("api-server-handshakes")),
    ("PK-03", &["root-ca-config-maps"], Source("kubeconfig-summary")),
    ("PK-04", &["clock"], Source("api-server-handshakes")),
    ("PK-08", PROBES, Source("kubelet-handshakes")),
    ("PK-08", &["root-ca-config-maps"], Source("kubeconfig-summary")),
    ("PK-09", &["kubelet-handshakes", "nodes"], Excuse),
    ("PK-11", &["expiring-clients-in-use"], Excuse),
    ("PK-15", PROBES, Source("etcd-handshakes")),
    ("SN-05", &["kubeadm-config"], Excuse),
];

/// The reports of probes, and what probes are made with.
const PROBES: &[&str] = &[
    "probe-reports",
    "api-server-endpoints",
    "cluster-dns",
    "corefile",
    "kubeadm-config",
    "kubernetes-service",
    "nodes",
    "pods",
    "service-exposure",
];

/// A recording, each fact of which is decoded or derived once.
struct Recorded {
    checks: Vec<&'static Check>,
    nodes: BTreeMap<&'static str, Node>,
    slots: BTreeMap<TypeId, Slot>,
    /// What facts rest on: observed ones on themselves, derived ones on what they are derived from.
    rests_on: BTreeMap<TypeId, BTreeSet<&'static str>>,
}

impl Recorded {
    fn read(path: &Path) -> Self {
        let recording = Recording::read(path).expect("a fixture is a recording");
        let checks: Vec<_> = recording.header.checks.iter().filter_map(|id| suites::check(id)).collect();
        let Plan { facts, .. } = Plan::new(checks.clone());
        let nodes = facts.nodes();
        let mut slots = BTreeMap::new();
        settle(&facts, nodes.values().copied().collect(), &|node| recording.slot(node), &mut slots);
        let rests_on = nodes.values().map(|node| (node.id, rests_on(node))).collect();
        Self { checks, nodes, slots, rests_on }
    }

    /// Judges checks while the facts with these names cannot be observed for this reason.
    fn judged(&self, checks: &[&'static Check], unseen: &BTreeSet<&str>, why: &Unobserved) -> Vec<Judged> {
        let known = |node: &Node| match self.slots.get(&node.id) {
            Some(_) if unseen.contains(node.name) => Some(Err(why.clone())),
            Some(slot) if self.rests_on[&node.id].is_disjoint(unseen) => Some(slot.clone()),
            _ => None,
        };
        let needs: Vec<Need> = checks.iter().flat_map(|check| (check.needs)()).collect();
        let facts = Facts::closure(needs.clone());
        settle(&facts, nodes_of(needs), &known, &mut BTreeMap::new());
        checks.iter().map(|check| check.judged(&facts, Severity::Minor)).collect()
    }

    /// The facts that were observed in this cluster.
    fn observed(&self) -> impl Iterator<Item = &Node> {
        let is_seen = |node: &&Node| self.slots.get(&node.id).is_some_and(Result::is_ok);
        self.nodes.values().filter(|node| matches!(node.origin, Origin::Observed(_))).filter(is_seen)
    }

    /// This fact, and all that are observed with its help.
    fn with_what_follows(&self, fact: &Node) -> BTreeSet<&'static str> {
        let follows = |node: &&Node| Facts::closure((node.needs)()).nodes().contains_key(fact.name);
        self.observed().filter(follows).map(|node| node.name).chain([fact.name]).collect()
    }

    /// The checks that rest on one of these facts.
    fn takers(&self, unseen: &BTreeSet<&str>) -> Vec<&'static Check> {
        let rests = |need: Need| !self.rests_on[&(need.node)().id].is_disjoint(unseen);
        self.checks.iter().filter(|check| (check.needs)().into_iter().any(rests)).copied().collect()
    }
}

/// Settles facts that are known, or are derived. What was observed is recorded, so that its needs are not needed again.
fn settle(
    facts: &Facts,
    nodes: Vec<Node>,
    known: &dyn Fn(&Node) -> Option<Slot>,
    settled: &mut BTreeMap<TypeId, Slot>,
) {
    for node in nodes {
        if settled.contains_key(&node.id) {
            continue;
        }
        let slot = known(&node).unwrap_or_else(|| match node.origin {
            Origin::Derived(derive) => {
                settle(facts, nodes_of((node.needs)()), known, settled);
                derive(facts)
            }
            Origin::Observed(_) | Origin::Given => Err(Unobserved::NotRecorded { fact: node.name.into() }),
        });
        settled.insert(node.id, slot.clone());
        facts.settle(&node, ready(slot)).now_or_never().expect("nothing is waited for");
    }
}

fn nodes_of(needs: Vec<Need>) -> Vec<Node> {
    needs.into_iter().map(|need| (need.node)()).collect()
}

fn rests_on(node: &Node) -> BTreeSet<&'static str> {
    match node.origin {
        Origin::Derived(_) => nodes_of((node.needs)()).iter().flat_map(rests_on).collect(),
        Origin::Observed(_) | Origin::Given => [node.name].into(),
    }
}

/// What a check finds about each thing.
fn found(check: &Judged) -> BTreeSet<String> {
    let each = check.findings.iter().flat_map(|finding| {
        finding.subjects.iter().map(|subject| format!("{} {}: {}", subject.kind, subject.name, finding.expected))
    });
    each.collect()
}

/// What a check must not claim once it has not seen a fact.
fn wrong(seen: &Judged, unseen: &Judged) -> Vec<String> {
    let mut wrong = Vec::new();
    match unseen.outcome {
        Outcome::Pass | Outcome::Warn => wrong.push(format!("{} -> {}", seen.outcome, unseen.outcome)),
        Outcome::Skip if seen.outcome != Outcome::Skip => {
            wrong.push(format!("{} -> skip ({})", seen.outcome, unseen.reason.as_deref().unwrap_or_default()));
        }
        _ => {}
    }
    let (before, after) = (found(seen), found(unseen));
    wrong.extend(after.difference(&before).map(|finding| format!("a new finding: {finding}")));
    if unseen.unseen.is_empty() && unseen.outcome == Outcome::Fail {
        wrong.extend(before.difference(&after).map(|finding| format!("a finding less: {finding}")));
    }
    wrong
}

/// What may be so where a check can do without the fact.
const STILL: [&str; 2] = ["pass -> pass", "warn -> warn"];

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = |name: &str| {
        let entries = fs::read_dir(folder.join(name)).expect("there are recordings");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
        files.sort_unstable();
        files
    };
    files("healthy").into_iter().chain(files("faults").into_iter().step_by(SAMPLE)).collect()
}

#[test]
fn no_check_passes_on_what_it_did_not_see() {
    let refused = Unobserved::Refused { missing: "a permission".into(), message: "forbidden".into() };
    let (mut tried, mut all_wrong, mut used) = (0, BTreeMap::<_, BTreeSet<String>>::new(), BTreeSet::new());
    for path in recordings() {
        let recorded = Recorded::read(&path);
        let seen = recorded.judged(&recorded.checks, &BTreeSet::new(), &refused);
        let seen: BTreeMap<_, _> = seen.into_iter().map(|check| (check.id.clone(), check)).collect();
        for fact in recorded.observed() {
            let late = Unobserved::timed_out(format!("observing {}", fact.name), Duration::from_secs(15));
            let alone = || BTreeSet::from([fact.name]);
            for (unseen, why) in [(alone(), &late), (alone(), &refused), (recorded.with_what_follows(fact), &late)] {
                for check in recorded.judged(&recorded.takers(&unseen), &unseen, why) {
                    tried += 1;
                    let wrong = wrong(&seen[&check.id], &check);
                    if wrong.is_empty() {
                        continue;
                    }
                    let known = WITHOUT.iter().find(|(id, facts, _)| *id == check.id && facts.contains(&fact.name));
                    match known {
                        Some(known) if wrong.iter().all(|wrong| STILL.contains(&wrong.as_str())) => {
                            used.insert(known);
                        }
                        _ => all_wrong.entry((check.id.clone(), fact.name)).or_default().extend(wrong),
                    }
                }
            }
        }
    }
    assert!(all_wrong.is_empty(), "{all_wrong:#?}");
    let idle: Vec<_> = WITHOUT.iter().filter(|known| !used.contains(known)).collect();
    assert!(idle.is_empty(), "these checks need what is listed: {idle:?}");
    assert!(tried > 10_000, "only {tried} checks were judged without a fact");
}
