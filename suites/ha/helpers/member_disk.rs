//! How fast the members of etcd get their writes onto disk.

use super::member_metrics::Metrics;
use crate::check::Finding;
use crate::check::finding::Difference;

/// How many writes it takes to judge a disk: the first writes of a member that starts are slow everywhere.
const ENOUGH: f64 = 1000.0;
/// Of how many writes, in percent, one at most may be slow.
const ONE_OF: f64 = 100.0;

/// A kind of writes, how long 99 of 100 of them should take at most in milliseconds according to etcd's documentation,
/// and the histogram that counts them. The next limit above in that histogram counts, so that no fast disk is called
/// slow.
struct Writes {
    what: &'static str,
    limit_ms: u32,
    histogram: &'static str,
}

const KINDS: [Writes; 2] = [
    Writes { what: "the log", limit_ms: 16, histogram: "etcd_disk_wal_fsync_duration_seconds" },
    Writes { what: "the database", limit_ms: 32, histogram: "etcd_disk_backend_commit_duration_seconds" },
];

/// What is slow about the disk of this member; none if it has made too few writes to judge it.
pub(super) fn findings(metrics: &Metrics, pod: &str) -> Option<Vec<Difference>> {
    let counted: Vec<(&Writes, f64, f64)> = KINDS
        .iter()
        .filter_map(|writes| {
            let within = metrics.bucket(writes.histogram, f64::from(writes.limit_ms) / 1000.0).ok()?;
            Some((writes, within, metrics.get(&format!("{}_count", writes.histogram)).ok()?))
        })
        .filter(|(_, _, count)| *count >= ENOUGH)
        .collect();
    let slow = |(writes, within, count): &(&Writes, f64, f64)| {
        let slow = count - within;
        (slow * ONE_OF > *count).then(|| {
            Finding::new(
                format!("99 % of the member's writes to {} take {} ms at most", writes.what, writes.limit_ms),
                "more of its writes to disk are slower",
            )
            .impact("requests wait, and leaders change, while the disk is slow or overloaded")
            .fix(
                "give etcd a disk of its own, an SSD; on the member's node, iotop -ao shows what else writes, and top \
                 shows CPU usage",
            )
            .evidence([format!("{pod}: {:.1} % of {count} since it started took longer", slow / count * 100.0)])
            .info()
        })
    };
    (!counted.is_empty()).then(|| counted.iter().filter_map(slow).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Severity, Subject, Verdict};

    fn seen(fsync: (u32, u32), commit: (u32, u32)) -> Option<Vec<String>> {
        let lines = [
            format!("{}_bucket{{le=\"0.016\"}} {}", KINDS[0].histogram, fsync.0),
            format!("{}_count {:e}", KINDS[0].histogram, fsync.1),
            format!("{}_bucket{{le=\"0.032\"}} {}", KINDS[1].histogram, commit.0),
            format!("{}_count {}", KINDS[1].histogram, commit.1),
        ];
        let mut verdict = Verdict::new();
        for finding in findings(&Metrics::read(&lines), "etcd-n1")? {
            verdict.find(Subject::cluster(), finding);
        }
        let shown = verdict.findings(Severity::Critical).into_iter();
        Some(shown.map(|f| format!("{} {}", f.severity, f.evidence.join(", "))).collect())
    }

    #[test]
    fn a_disk_is_slow_when_more_than_one_write_of_a_hundred_is() {
        assert_eq!(seen((9900, 10_000), (4990, 5000)), Some(vec![]));
        assert_eq!(
            seen((9899, 10_000), (4000, 5000)),
            Some(vec![
                "info etcd-n1: 1.0 % of 10000 since it started took longer".into(),
                "info etcd-n1: 20.0 % of 5000 since it started took longer".into()
            ])
        );
    }

    #[test]
    fn few_writes_are_not_judged() {
        assert_eq!(seen((0, 2), (0, 999)), None);
        assert_eq!(seen((0, 2), (1000, 1000)), Some(vec![]), "where the log is not synced, the database is judged");
        let without = Metrics::read(&["etcd_server_has_leader 1".to_owned()]);
        assert_eq!(findings(&without, "etcd-n1").map(|found| found.len()), None);
    }
}
