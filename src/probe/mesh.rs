//! Which probe asks which: everyone everyone in a small cluster, a bounded number of peers in a large one.

/// Up to this many probes, everyone asks everyone.
const FULL: usize = 16;
/// How many peers each asks beyond that.
const DEGREE: usize = 10;

/// The probes that probe `of` asks, among `count` of them; it does not ask itself here.
///
/// Beyond the full mesh it is a circulant graph: everyone asks those at the same distances, so that everyone is asked as
/// often as it asks, and the cost grows as the number of nodes. `turn` rotates the distances, so that later runs try
/// other pairs.
pub fn peers(of: usize, count: usize, turn: u64) -> Vec<usize> {
    if count <= FULL {
        return (0..count).filter(|peer| *peer != of).collect();
    }
    let others = count - 1;
    let start = usize::try_from(turn % others as u64).unwrap_or_default();
    // Distances spread evenly over the ring reach every zone of a cluster whose nodes are sorted by name.
    let mut distances: Vec<usize> = (0..DEGREE).map(|i| (start + i * others / DEGREE) % others + 1).collect();
    distances.sort_unstable();
    distances.dedup();
    distances.into_iter().map(|distance| (of + distance) % count).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_small_cluster_is_a_full_mesh() {
        assert_eq!(peers(1, 3, 7), [0, 2]);
        assert_eq!(peers(0, 1, 7), Vec::<usize>::new());
        assert_eq!(peers(4, 16, 7).len(), 15);
    }

    #[test]
    fn in_a_large_cluster_everyone_asks_ten_and_is_asked_by_ten() {
        for (count, turn) in [(17, 0), (1000, 12345), (5000, u64::MAX)] {
            let mut asked: BTreeMap<usize, usize> = BTreeMap::new();
            for of in 0..count {
                let peers = peers(of, count, turn);
                assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), DEGREE);
                assert!(!peers.contains(&of));
                for peer in peers {
                    *asked.entry(peer).or_default() += 1;
                }
            }
            assert!(asked.values().all(|times| *times == DEGREE) && asked.len() == count, "{count} probes");
        }
    }

    #[test]
    fn later_runs_try_other_pairs() {
        assert_ne!(peers(0, 1000, 1), peers(0, 1000, 2));
    }
}
