//! What is wrong somewhere, and may explain what builds on it: found by place, without going through all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, Places};
use crate::check::{Cause, Subject};

/// The only checks that a fault may explain; none where that is not limited.
type Explains = Option<&'static [&'static str]>;
/// The places of roots in a list, the lowest first.
type Lowest<'a> = Vec<&'a [usize]>;

/// Faults of one check that may explain the same checks, by their roots: themselves, or what they follow from.
#[derive(Default)]
pub(super) struct Faults {
    explains: Explains,
    /// The lowest first.
    roots: Vec<Cause>,
    /// All of them.
    all: Vec<usize>,
    /// Those of the whole cluster.
    everywhere: Vec<usize>,
    /// Those of some nodes, by node.
    on_nodes: BTreeMap<String, Vec<usize>>,
    /// By what they are about.
    about: BTreeMap<Subject, Vec<usize>>,
    /// By the nodes of what they are about.
    near: BTreeMap<String, Vec<usize>>,
}

/// Something that is wrong, about these things.
pub(super) struct Fault {
    pub explains: Explains,
    pub subjects: Vec<Subject>,
    /// The object that it comes from, if it names one.
    pub object: Option<Subject>,
    /// The nodes that it is about; none for the whole cluster.
    pub nodes: Option<BTreeSet<String>>,
    pub root: Cause,
}

impl Faults {
    /// The faults of a check.
    pub(super) fn of(mut faults: Vec<Fault>, graph: &Graph, places: &Places) -> Vec<Self> {
        faults.sort_by(|one, other| {
            let key = |fault: &Fault| graph.layer(&fault.root.check);
            key(one).cmp(&key(other)).then_with(|| one.root.cmp(&other.root))
        });
        let mut groups: BTreeMap<Explains, Self> = BTreeMap::new();
        for fault in faults {
            let explains = fault.explains;
            groups.entry(explains).or_insert_with(|| Self { explains, ..Self::default() }).add(fault, places);
        }
        groups.into_values().collect()
    }

    fn add(&mut self, Fault { subjects, object, nodes, root, .. }: Fault, places: &Places) {
        let at = self.roots.len();
        self.all.push(at);
        match nodes {
            None => self.everywhere.push(at),
            Some(nodes) => nodes.into_iter().for_each(|node| self.on_nodes.entry(node).or_default().push(at)),
        }
        for node in subjects.iter().flat_map(|subject| places.of_subject(subject)) {
            self.near.entry(node.to_owned()).or_default().push(at);
        }
        for subject in subjects.into_iter().chain(object) {
            self.about.entry(subject).or_default().push(at);
        }
        self.roots.push(root);
    }

    /// The lowest root of some of them that may explain this check.
    pub(super) fn lowest<'a>(&'a self, id: &str, some: impl Fn(&'a Self) -> Lowest<'a>) -> Option<&'a Cause> {
        if self.explains.is_some_and(|only| !only.contains(&id)) {
            return None;
        }
        let lists = some(self).into_iter();
        let first = lists.filter_map(|list| list.iter().find(|at| self.roots[**at].check != id)).min();
        first.map(|at| &self.roots[*at])
    }

    /// All of them.
    pub(super) fn anywhere(&self) -> Lowest<'_> {
        vec![&self.all]
    }

    /// Those that may explain what is anywhere in the cluster.
    pub(super) fn everywhere(&self) -> Lowest<'_> {
        vec![&self.everywhere]
    }

    /// Those that may explain what is on this node.
    pub(super) fn covering(&self, node: &str) -> Lowest<'_> {
        let there = self.on_nodes.get(node);
        std::iter::once(&self.everywhere).chain(there).map(Vec::as_slice).collect()
    }

    /// Those that are about this object or come from it.
    pub(super) fn about(&self, object: &Subject) -> Lowest<'_> {
        self.about.get(object).into_iter().map(Vec::as_slice).collect()
    }

    /// Those that are about something on these nodes.
    pub(super) fn near(&self, nodes: &BTreeSet<&str>) -> Lowest<'_> {
        nodes.iter().filter_map(|node| self.near.get(*node)).map(Vec::as_slice).collect()
    }
}
