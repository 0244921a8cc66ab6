//! Paths between nodes, and which of them share a cause: one broken node is told once, not once for each of its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::check::Subject;

/// The paths between nodes, as far as they were tried.
#[derive(Default)]
pub struct Paths {
    tried: BTreeSet<(String, String)>,
    broken: BTreeMap<(String, String), String>,
}

/// Paths that are broken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The node that they have in common.
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

    /// What is broken, folded by cause.
    pub fn fold(mut self) -> Vec<Broken> {
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
            folded.push(Broken { node, shape, how });
        }
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
        | Self::Some(others)) = self;
        others.0.contains(node)
    }
}

impl Broken {
    /// In words, for paths on which something does not arrive.
    pub fn words(&self) -> String {
        let Self { node, shape, how } = self;
        match shape {
            Shape::All(others) => format!("{node} neither reaches {others} nor is reached from there ({how})"),
            Shape::AllTo(others) => format!("{node} receives nothing from {others} ({how})"),
            Shape::AllFrom(others) => format!("{node} reaches none of {others} ({how})"),
            Shape::OneWay(to) => format!("{node} does not reach {to}, while the way back works ({how})"),
            Shape::Some(to) => format!("{node} does not reach {to} ({how})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(count: usize, broken: &[(usize, usize)]) -> Vec<String> {
        let mut paths = Paths::default();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let how = broken.contains(&(from, to)).then(|| "no answer".to_owned());
                paths.take(&format!("n{from}"), &format!("n{to}"), how);
            }
        }
        paths.fold().iter().map(Broken::words).collect()
    }

    #[test]
    fn a_dead_node_is_told_once() {
        let dead = [(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2)];
        assert_eq!(folded(4, &dead), ["n3 neither reaches n0, n1, n2 nor is reached from there (no answer)"]);
    }

    #[test]
    fn a_node_is_known_among_more_than_are_written_out() {
        let mut paths = Paths::default();
        for to in 10..30 {
            paths.take("n0", &format!("n{to}"), Some("no answer".into()));
        }
        let broken = paths.fold();
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
