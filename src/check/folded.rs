//! The same finding on many nodes, told once.

use std::collections::BTreeSet;

use super::finding::Difference;
use super::{Subject, Verdict};

/// Collects findings by node, and tells those that are equal once, with the nodes that they are about.
#[derive(Debug)]
pub struct Folded {
    /// The kind of what they are about.
    kind: &'static str,
    findings: Vec<(Difference, BTreeSet<String>)>,
}

impl Default for Folded {
    fn default() -> Self {
        Self::about("Node")
    }
}

impl Folded {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing yet about things of another kind.
    pub fn about(kind: &'static str) -> Self {
        Self { kind, findings: Vec::new() }
    }

    /// Asserts one thing of a node: counted at once, told when all nodes are known.
    pub fn expect(&mut self, verdict: &mut Verdict, node: &str, holds: bool, finding: impl FnOnce() -> Difference) {
        verdict.confirm();
        if holds {
            return;
        }
        let difference = finding();
        let equal = |other: &&mut (Difference, BTreeSet<String>)| other.0.says_the_same_as(&difference);
        match self.findings.iter_mut().find(equal) {
            Some((_, nodes)) => {
                nodes.insert(node.to_owned());
            }
            None => self.findings.push((difference, BTreeSet::from([node.to_owned()]))),
        }
    }

    /// Tells the findings.
    pub fn tell(self, verdict: &mut Verdict) {
        for (difference, nodes) in self.findings {
            verdict.tell_counted(Subject::several(self.kind, &nodes), difference);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Finding, Severity};

    #[test]
    fn equal_findings_are_told_once_with_their_nodes() {
        let mut verdict = Verdict::new();
        let mut folded = Folded::new();
        for node in ["n1", "n2"] {
            folded.expect(&mut verdict, node, false, || Finding::new("a", "b"));
        }
        folded.expect(&mut verdict, "n3", false, || Finding::new("a", "c"));
        folded.expect(&mut verdict, "n4", true, || Finding::new("a", "b"));
        folded.tell(&mut verdict);
        let findings = verdict.findings(Severity::Minor);
        assert_eq!(findings.iter().map(|f| f.subject.to_string()).collect::<Vec<_>>(), ["Nodes n1, n2", "Node n3"]);
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn many_nodes_are_counted() {
        let nodes: Vec<_> = (10..30).map(|i| format!("n{i}")).collect();
        assert_eq!(Subject::nodes(&nodes).to_string(), "Nodes n10, n11, n12, n13, n14, n15, n16, n17 and 12 more");
    }
}
