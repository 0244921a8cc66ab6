//! Paths between nodes, and which of them share a cause: a broken node is one finding, not one for each of its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::check::finding::Difference;
use crate::check::{Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::answers::Got;

/// From one node to another.
type Path = (String, String);

/// The paths between nodes that were tried, with what failed on each.
#[derive(Default)]
pub(crate) struct Paths(BTreeMap<Path, Vec<String>>);

/// Where paths are broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Between which nodes or zones, in words.
    pub ends: String,
    /// What is known about the opposite direction, in words.
    back: &'static str,
}

/// The broken paths of a place.
#[derive(Default)]
pub(crate) struct Broken {
    /// The nodes or zones that they have in common.
    subjects: BTreeSet<Subject>,
    /// The paths, with what failed on each; at least one.
    paths: BTreeMap<Path, Vec<String>>,
}

/// How an attempt by this protocol failed, if it did.
pub(crate) fn failed<T>(protocol: &str, attempt: &Got<T>) -> Option<String> {
    attempt.as_ref().err().map(|fault| format!("by {protocol}: {fault}"))
}

impl Paths {
    /// Counts an attempt that succeeded, or keeps how it failed for [`Self::find`].
    pub(crate) fn take(&mut self, verdict: &mut Verdict, (from, to): (&str, &str), failed: Option<String>) {
        let failures = self.0.entry((from.to_owned(), to.to_owned())).or_default();
        match failed {
            Some(how) => failures.push(how),
            None => verdict.confirm(),
        }
    }

    /// Makes one finding of each place, and counts the failed attempts. The paths are its evidence.
    pub(crate) fn find(self, verdict: &mut Verdict, nodes: &Nodes, finding: impl Fn(&Place, &Broken) -> Difference) {
        for (place, broken) in self.fold(nodes) {
            let (of_nodes, of_zones) = broken.evidence();
            let finding = finding(&place, &broken).evidence_of(of_nodes).evidence(of_zones);
            let attempts = broken.paths.values().map(Vec::len).sum();
            verdict.find_together(broken.subjects, attempts, finding);
        }
    }

    /// What is broken, by place. Whole nodes come first, then all paths between two zones, then single paths.
    fn fold(mut self, nodes: &Nodes) -> BTreeMap<Place, Broken> {
        let mut folded = BTreeMap::new();
        // The paths to each node, and those from it.
        let mut of_node: BTreeMap<String, [Vec<Path>; 2]> = BTreeMap::new();
        for path in self.0.keys() {
            of_node.entry(path.1.clone()).or_default()[0].push(path.clone());
            of_node.entry(path.0.clone()).or_default()[1].push(path.clone());
        }
        // What explains most comes first: a dead node before those that only miss it.
        for (ends, sides) in [
            ("between pods there and pods on other nodes", &[0, 1][..]),
            ("from pods on other nodes to pods there", &[0][..]),
            ("from pods there to pods on other nodes", &[1][..]),
        ] {
            for (node, paths) in &of_node {
                if sides.iter().all(|side| self.all_broken(&paths[*side])) {
                    let paths = sides.iter().flat_map(|side| &paths[*side]);
                    self.move_to(&mut folded, ends.to_owned(), [Subject::node(node)], paths);
                }
            }
        }
        self.fold_zones(nodes, &mut folded);
        let single: Vec<Path> =
            self.0.iter().filter(|(_, failures)| !failures.is_empty()).map(|(path, _)| path.clone()).collect();
        for path in &single {
            let ends = "from pods there to pods on some other nodes".to_owned();
            self.move_to(&mut folded, ends, [Subject::node(&path.0)], [path]);
        }
        folded
    }

    /// Takes all paths from one zone to another, if there are several and all are broken.
    fn fold_zones(&mut self, nodes: &Nodes, folded: &mut BTreeMap<Place, Broken>) {
        let zone = |node: &String| nodes.0.get(node)?.zone();
        let mut cut: BTreeMap<(&str, &str), Vec<Path>> = BTreeMap::new();
        for path in self.0.keys() {
            if let Some(zones) = zone(&path.0).zip(zone(&path.1)).filter(|(from, to)| from != to) {
                cut.entry(zones).or_default().push(path.clone());
            }
        }
        cut.retain(|_, paths| self.all_broken(paths));
        for ((from, to), there) in &cut {
            let back = cut.get(&(*to, *from));
            let ends = match back {
                Some(_) if from > to => continue,
                Some(_) => format!("between zones {from} and {to}"),
                None => format!("from zone {from} to zone {to}"),
            };
            let zones = [from, to].map(|zone| Subject::cluster_object("zone", *zone));
            self.move_to(folded, ends, zones, there.iter().chain(back.into_iter().flatten()));
        }
    }

    /// Whether these paths are several, as far as they are left, and all of them are broken.
    fn all_broken(&self, paths: &[Path]) -> bool {
        let mut left = paths.iter().filter_map(|path| self.0.get(path));
        left.clone().count() > 1 && left.all(|failures| !failures.is_empty())
    }

    /// Moves broken paths, as far as they are left, to their place.
    fn move_to<'a>(
        &mut self,
        folded: &mut BTreeMap<Place, Broken>,
        ends: String,
        subjects: impl IntoIterator<Item = Subject>,
        paths: impl IntoIterator<Item = &'a Path>,
    ) {
        let moved: BTreeMap<Path, Vec<String>> =
            paths.into_iter().filter_map(|path| self.0.remove_entry(path)).collect();
        let all_back = |is: &dyn Fn(&Path) -> bool| moved.keys().all(|(from, to)| is(&(to.clone(), from.clone())));
        let back = if all_back(&|back| moved.contains_key(back)) {
            ", in either direction"
        } else if all_back(&|back| self.0.get(back).is_some_and(Vec::is_empty)) {
            ", while the way back works"
        } else {
            ""
        };
        let broken = folded.entry(Place { ends, back }).or_default();
        broken.subjects.extend(subjects);
        broken.paths.extend(moved);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.ends, self.back)
    }
}

impl Broken {
    /// One of the paths.
    pub(crate) fn example(&self) -> (&str, &str) {
        let (from, to) = self.paths.keys().next().expect("a place has a broken path");
        (from, to)
    }

    /// Each failed attempt: with the broken nodes that it is about, and those between zones.
    fn evidence(&self) -> (Vec<(Subject, String)>, Vec<String>) {
        let (mut of_nodes, mut of_zones) = (Vec::new(), Vec::new());
        for ((from, to), failures) in &self.paths {
            let ends = [from, to].map(Subject::node);
            let broken: Vec<&Subject> = ends.iter().filter(|end| self.subjects.contains(*end)).collect();
            for how in failures {
                let attempt = format!("{from} to {to} {how}");
                of_nodes.extend(broken.iter().map(|node| ((*node).clone(), attempt.clone())));
                if broken.is_empty() {
                    of_zones.push(attempt);
                }
            }
        }
        (of_nodes, of_zones)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;
    use crate::check::testing::seen_of;
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
        let (mut verdict, mut paths) = (Verdict::new(), Paths::default());
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let how = broken.contains(&(from, to)).then(|| "no answer".to_owned());
                paths.take(&mut verdict, (&format!("n{from}"), &format!("n{to}")), how);
            }
        }
        paths.find(&mut verdict, &nodes, |place, _| Finding::new("all pass", place.to_string()).fix("look"));
        assert_eq!(verdict.observations(), count * (count - 1), "each attempt counts once");
        seen_of(&verdict)
    }

    const DEAD: [(usize, usize); 6] = [(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2)];

    #[test]
    fn dead_nodes_are_one_finding() {
        assert_eq!(folded(4, &DEAD), ["Node n3: between pods there and pods on other nodes, in either direction"]);
        let dead = (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).filter(|(a, b)| a != b && (*a > 1 || *b > 1));
        assert_eq!(
            folded(4, &dead.collect::<Vec<_>>()),
            ["Node n2, n3: between pods there and pods on other nodes, in either direction"]
        );
    }

    #[test]
    fn paths_between_zones_are_one_finding_about_the_zones() {
        let there: Vec<_> = [0, 1].into_iter().flat_map(|from| [2, 3].map(|to| (from, to))).collect();
        let both: Vec<_> = there.iter().flat_map(|(from, to)| [(*from, *to), (*to, *from)]).collect();
        assert_eq!(folded_in_zones(4, &[0, 2], &both), ["zone a, b: between zones a and b, in either direction"]);
        assert_eq!(folded_in_zones(4, &[0, 2], &there), ["zone a, b: from zone a to zone b, while the way back works"]);
        let partly = folded_in_zones(4, &[0, 2], &both[2..]);
        assert!(partly.iter().all(|found| !found.contains("zone")), "one path between the zones works: {partly:?}");
        let one_broken_back = folded_in_zones(4, &[0, 2], &[&there[..], &[(2, 0)]].concat());
        let nothing_about_the_way_back = "zone a, b: from zone a to zone b".to_owned();
        assert!(one_broken_back.contains(&nothing_about_the_way_back), "{one_broken_back:?}");
        assert_eq!(folded_in_zones(4, &[0, 2], &DEAD), folded(4, &DEAD), "a dead node is not its zone's fault");
    }

    #[test]
    fn one_direction_of_a_node_is_one_finding() {
        let back = "while the way back works";
        assert_eq!(folded(3, &[(0, 2), (1, 2)]), [format!("Node n2: from pods on other nodes to pods there, {back}")]);
        assert_eq!(folded(3, &[(2, 0), (2, 1)]), [format!("Node n2: from pods there to pods on other nodes, {back}")]);
    }

    #[test]
    fn single_paths_show_whether_the_way_back_works() {
        let ends = "from pods there to pods on some other nodes";
        assert_eq!(folded(3, &[(1, 2)]), [format!("Node n1: {ends}, while the way back works")]);
        assert_eq!(folded(4, &[(1, 2), (2, 1)]), [format!("Node n1, n2: {ends}")]);
    }

    #[test]
    fn every_failed_attempt_is_evidence() {
        let (mut verdict, mut paths) = (Verdict::new(), Paths::default());
        for to in 10..30 {
            paths.take(&mut verdict, ("n0", &format!("n{to}")), Some("by TCP: no answer".into()));
            paths.take(&mut verdict, ("n0", &format!("n{to}")), Some("by UDP: no answer".into()));
        }
        paths.find(&mut verdict, &Nodes::default(), |_, _| Finding::new("a", "b").fix("c"));
        let finding = verdict.findings(crate::check::Severity::Major).remove(0);
        assert_eq!((finding.evidence.len(), verdict.observations()), (40, 40));
        assert_eq!(finding.evidence[0], "n0 to n10 by TCP: no answer");
    }

    #[test]
    fn a_mesh_without_faults_has_no_finding() {
        assert!(folded(5, &[]).is_empty());
    }
}
