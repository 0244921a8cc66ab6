//! Paths between nodes, and which of them share a cause: one broken node is told once, not once for each of its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::check::Subject;
use crate::fact::facts::nodes::Nodes;

/// The paths between nodes, as far as they were tried.
#[derive(Default)]
pub struct Paths {
    tried: BTreeSet<(String, String)>,
    broken: BTreeMap<(String, String), String>,
}

/// Paths that are broken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The node that they have in common; of zones, one from which they were tried.
    pub node: String,
    /// Which of its paths.
    pub shape: Shape,
    /// How they are broken, as the first of them tells.
    pub how: String,
}

/// Which paths of a node are broken; the others by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All that were tried, in both directions.
    All(Others),
    /// All to it.
    AllTo(Others),
    /// All from it.
    AllFrom(Others),
    /// Those from it to these nodes, while the paths back work.
    OneWay(Others),
    /// Those from it to these nodes.
    Some(Others),
    /// All from its zone to another.
    Zones {
        /// Its zone.
        from: String,
        /// The other.
        to: String,
        /// Whether all ways back are broken as well.
        both_ways: bool,
        /// The nodes of the other that were tried.
        others: Others,
    },
}

/// The nodes at the other ends, written out in words with the first of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Others(BTreeSet<String>);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Subject::nodes(&self.0).name)
    }
}

impl Paths {
    /// Takes a path, and how it is broken.
    pub fn take(&mut self, from: &str, to: &str, how: Option<String>) {
        let path = (from.to_owned(), to.to_owned());
        self.tried.insert(path.clone());
        if let Some(how) = how {
            self.broken.insert(path, how);
        }
    }

    /// What is broken, folded by cause: whole nodes first, then what lies between zones, then single paths.
    pub fn fold(mut self, nodes: &Nodes) -> Vec<Broken> {
        let mut folded = Vec::new();
        while let Some((node, to_it, from_it)) = self.whole_node() {
            let mine = |(from, to): &(String, String)| (to_it && *to == node) || (from_it && *from == node);
            let of: Vec<_> = self.broken.iter().filter(|(path, _)| mine(path)).collect();
            let others: BTreeSet<_> =
                of.iter().map(|((from, to), _)| if *from == node { to } else { from }.clone()).collect();
            let others = Others(others);
            let how = of.first().map(|(_, how)| (*how).clone()).unwrap_or_default();
            let shape = match (to_it, from_it) {
                (true, true) => Shape::All(others),
                (true, false) => Shape::AllTo(others),
                _ => Shape::AllFrom(others),
            };
            self.broken.retain(|path, _| !mine(path));
            self.tried.retain(|path| !mine(path));
            folded.push(Broken { node, shape, how });
        }
        folded.extend(self.between_zones(nodes));
        let mut single: BTreeMap<(&String, &String, bool), BTreeSet<String>> = BTreeMap::new();
        for ((from, to), how) in &self.broken {
            let back = (to.clone(), from.clone());
            let one_way = self.tried.contains(&back) && !self.broken.contains_key(&back);
            single.entry((from, how, one_way)).or_default().insert(to.clone());
        }
        folded.extend(single.into_iter().map(|((from, how, one_way), to)| {
            let to = Others(to);
            let shape = if one_way { Shape::OneWay(to) } else { Shape::Some(to) };
            Broken { node: from.clone(), shape, how: how.clone() }
        }));
        folded
    }

    /// Takes what is broken on all paths from one zone to another, of which there are several.
    fn between_zones(&mut self, nodes: &Nodes) -> Vec<Broken> {
        let zones = |(from, to): &(String, String)| {
            let zone = |node: &String| nodes.0.get(node)?.zone().map(str::to_owned);
            Some((zone(from)?, zone(to)?)).filter(|(from, to)| from != to)
        };
        let mut tried: BTreeMap<(String, String), Vec<&(String, String)>> = BTreeMap::new();
        for path in &self.tried {
            if let Some(zones) = zones(path) {
                tried.entry(zones).or_default().push(path);
            }
        }
        tried.retain(|_, paths| paths.len() > 1 && paths.iter().all(|path| self.broken.contains_key(*path)));
        let cut: BTreeSet<(String, String)> = tried.keys().cloned().collect();
        let mut folded = Vec::new();
        for ((from, to), paths) in tried {
            let both_ways = cut.contains(&(to.clone(), from.clone()));
            if both_ways && from > to {
                continue;
            }
            let others = Others(paths.iter().map(|(_, to)| to.clone()).collect());
            let how = self.broken[paths[0]].clone();
            folded.push(Broken { node: paths[0].0.clone(), shape: Shape::Zones { from, to, both_ways, others }, how });
        }
        self.broken.retain(|path, _| !zones(path).is_some_and(|zones| cut.contains(&zones)));
        folded
    }

    /// A node to which all paths are broken, or from which, though several were tried.
    fn whole_node(&self) -> Option<(String, bool, bool)> {
        let nodes: BTreeSet<&String> = self.broken.keys().flat_map(|(from, to)| [from, to]).collect();
        let all_broken = |side: &dyn Fn(&(String, String)) -> bool| {
            let tried = self.tried.iter().filter(|path| side(path)).count();
            tried > 1 && tried == self.broken.keys().filter(|path| side(path)).count()
        };
        let mut whole: Vec<_> = nodes
            .into_iter()
            .map(|node| (node.clone(), all_broken(&|(_, to)| to == node), all_broken(&|(from, _)| from == node)))
            .filter(|(_, to_it, from_it)| *to_it || *from_it)
            .collect();
        // What explains most comes first: a dead node before those that miss nobody else.
        whole.sort_by_key(|(_, to_it, from_it)| !(*to_it && *from_it));
        whole.into_iter().next()
    }
}

impl Shape {
    /// Whether a node is named among the others.
    pub fn names(&self, node: &str) -> bool {
        let (Self::All(others)
        | Self::AllTo(others)
        | Self::AllFrom(others)
        | Self::OneWay(others)
        | Self::Some(others)
        | Self::Zones { others, .. }) = self;
        others.0.contains(node)
    }
}

impl Broken {
    /// What it is about: the node, or both zones.
    pub fn subject(&self) -> Subject {
        match &self.shape {
            Shape::Zones { from, to, .. } => Subject::cluster_object("zones", format!("{from}, {to}")),
            _ => Subject::node(&self.node),
        }
    }

    /// In words, for paths on which something does not arrive.
    pub fn words(&self) -> String {
        let Self { node, shape, how } = self;
        match shape {
            Shape::All(others) => format!("{node} neither reaches {others} nor is reached from there ({how})"),
            Shape::AllTo(others) => format!("{node} receives nothing from {others} ({how})"),
            Shape::AllFrom(others) => format!("{node} reaches none of {others} ({how})"),
            Shape::OneWay(to) => format!("{node} does not reach {to}, while the way back works ({how})"),
            Shape::Some(to) => format!("{node} does not reach {to} ({how})"),
            Shape::Zones { from, to, both_ways: true, .. } => {
                format!("no node of zone {from} reaches one of zone {to}, nor the other way round ({how})")
            }
            Shape::Zones { from, to, .. } => {
                format!("no node of zone {from} reaches one of zone {to}, while the way back works ({how})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::{Node, ZONE};

    fn folded(count: usize, broken: &[(usize, usize)]) -> Vec<String> {
        folded_in_zones(count, &[], broken)
    }

    /// The nodes from these on are in zones a, b and so on.
    fn folded_in_zones(count: usize, zones: &[usize], broken: &[(usize, usize)]) -> Vec<String> {
        let node = |i: usize| {
            let zone = zones.iter().zip('a'..).filter(|(first, _)| **first <= i).last();
            let labels = zone.map(|(_, zone)| (ZONE.to_owned(), zone.to_string())).into_iter().collect();
            (format!("n{i}"), Node { labels, ..Node::default() })
        };
        let nodes = Nodes((0..count).map(node).collect());
        let mut paths = Paths::default();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let how = broken.contains(&(from, to)).then(|| "no answer".to_owned());
                paths.take(&format!("n{from}"), &format!("n{to}"), how);
            }
        }
        paths.fold(&nodes).iter().map(Broken::words).collect()
    }

    #[test]
    fn a_dead_node_is_told_once() {
        let dead = [(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2)];
        assert_eq!(folded(4, &dead), ["n3 neither reaches n0, n1, n2 nor is reached from there (no answer)"]);
    }

    #[test]
    fn each_of_several_dead_nodes_is_told_once() {
        let dead = (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).filter(|(a, b)| a != b && (*a > 1 || *b > 1));
        let told = folded(4, &dead.collect::<Vec<_>>());
        assert_eq!(
            told,
            [
                "n2 neither reaches n0, n1, n3 nor is reached from there (no answer)",
                "n3 neither reaches n0, n1 nor is reached from there (no answer)",
            ]
        );
    }

    #[test]
    fn what_lies_between_zones_is_told_of_zones() {
        let there: Vec<_> = [0, 1].into_iter().flat_map(|from| [2, 3].map(|to| (from, to))).collect();
        let both: Vec<_> = there.iter().flat_map(|(from, to)| [(*from, *to), (*to, *from)]).collect();
        assert_eq!(
            folded_in_zones(4, &[0, 2], &both),
            ["no node of zone a reaches one of zone b, nor the other way round (no answer)"]
        );
        assert_eq!(
            folded_in_zones(4, &[0, 2], &there),
            ["no node of zone a reaches one of zone b, while the way back works (no answer)"]
        );
        let told = folded_in_zones(4, &[0, 2], &both[2..]);
        assert!(told.iter().all(|told| !told.contains("zone")), "one path between the zones works: {told:?}");
        let dead = [(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2)];
        assert_eq!(folded_in_zones(4, &[0, 2], &dead), folded(4, &dead), "a dead node is no matter of its zone");
    }

    #[test]
    fn a_node_is_known_among_more_than_are_written_out() {
        let mut paths = Paths::default();
        for to in 10..30 {
            paths.take("n0", &format!("n{to}"), Some("no answer".into()));
        }
        let broken = paths.fold(&Nodes::default());
        assert!(broken[0].shape.names("n29") && !broken[0].shape.names("n30"));
        assert!(broken[0].words().contains("and 12 more"), "{}", broken[0].words());
    }

    #[test]
    fn one_direction_of_a_node_is_told_as_such() {
        assert_eq!(folded(3, &[(0, 2), (1, 2)]), ["n2 receives nothing from n0, n1 (no answer)"]);
        assert_eq!(folded(3, &[(2, 0), (2, 1)]), ["n2 reaches none of n0, n1 (no answer)"]);
    }

    #[test]
    fn single_paths_tell_whether_the_way_back_works() {
        assert_eq!(folded(3, &[(1, 2)]), ["n1 does not reach n2, while the way back works (no answer)"]);
        assert_eq!(
            folded(4, &[(1, 2), (2, 1)]),
            ["n1 does not reach n2 (no answer)", "n2 does not reach n1 (no answer)"]
        );
    }

    #[test]
    fn a_whole_mesh_tells_nothing() {
        assert!(folded(5, &[]).is_empty());
    }
}
