//! How fast the members of etcd get what they write onto their disks.

use super::member_metrics::Metrics;
use crate::check::Finding;
use crate::check::finding::Difference;

/// How many writes must be slow or fast before they say anything: the first ones, of a member that starts, are slow anywhere.
const ENOUGH: f64 = 1000.0;
/// Of how many writes, in percent, one at most may be slow.
const ONE_OF: f64 = 100.0;

/// What is written, how long 99 of 100 such writes should take at most in milliseconds, by etcd's documentation, and the
/// histogram that tells how many did. The limit of its histogram that is nearest above counts, so that no disk is thought slow that is not.
struct Writes {
    what: &'static str,
    limit_ms: u32,
    histogram: &'static str,
}

const KINDS: [Writes; 2] = [
    Writes { what: "the log", limit_ms: 16, histogram: "etcd_disk_wal_fsync_duration_seconds" },
    Writes { what: "the database", limit_ms: 32, histogram: "etcd_disk_backend_commit_duration_seconds" },
];

/// What is slow of a member's disk; none if the member tells of too few writes to say so.
pub(super) fn findings(metrics: &Metrics) -> Option<Vec<Difference>> {
    let told: Vec<(&Writes, f64, f64)> = KINDS
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
                format!("of its writes to {}, 99 % take {} ms at most", writes.what, writes.limit_ms),
                format!("{:.1} % of {count}, since it was started, took longer", slow / count * 100.0),
            )
            .so("requests wait, and leaders change, when the disk is slow or too many share it")
            .mend("give etcd a disk of its own, an SSD, and see what else writes or takes the processors of this node")
            .info()
        })
    };
    (!told.is_empty()).then(|| told.iter().filter_map(slow).collect())
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
        for finding in findings(&Metrics::read(&lines))? {
            verdict.find(Subject::cluster(), finding);
        }
        Some(verdict.findings(Severity::Critical).into_iter().map(|f| format!("{} {}", f.severity, f.seen)).collect())
    }

    #[test]
    fn a_disk_is_slow_when_more_than_one_write_of_a_hundred_is() {
        assert_eq!(seen((9900, 10_000), (4990, 5000)), Some(vec![]));
        assert_eq!(
            seen((9899, 10_000), (4000, 5000)),
            Some(vec![
                "info 1.0 % of 10000, since it was started, took longer".into(),
                "info 20.0 % of 5000, since it was started, took longer".into()
            ])
        );
    }

    #[test]
    fn few_writes_say_nothing() {
        assert_eq!(seen((0, 2), (0, 999)), None);
        assert_eq!(
            seen((0, 2), (1000, 1000)),
            Some(vec![]),
            "where the log is not written through, the database tells"
        );
        assert_eq!(findings(&Metrics::read(&["etcd_server_has_leader 1".to_owned()])).map(|found| found.len()), None);
    }
}
