//! What the members of etcd tell of themselves.

use jiff::Timestamp;

use super::etcdctl::etcdctl;
use super::member_disk;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::host_reports::{ETCD_METRICS, HostReports};
use crate::fact::facts::pods::Pod;
use crate::prometheus::{Line, Sample};
use crate::seen::{Seen, Unobserved};

/// Of its quota, how much the database of a healthy member takes at most.
const FULL: f64 = 0.8;
/// How many leaders may change in an hour: etcd's own alert, etcdHighNumberOfLeaderChanges, is at four in a quarter.
const CHANGES_PER_HOUR: f64 = 4.0;

/// The metrics of one member.
pub(super) struct Metrics(Vec<Sample>);

impl Metrics {
    pub(super) fn read(lines: &[String]) -> Self {
        Self(lines.iter().filter_map(|line| Line::read(line)).map(Sample::from).collect())
    }

    /// The number without labels.
    pub(super) fn get(&self, name: &str) -> Seen<f64> {
        self.find(name, |sample| sample.labels.is_empty())
    }

    /// How many of a histogram's are at this limit at most.
    pub(super) fn bucket(&self, histogram: &str, limit: f64) -> Seen<f64> {
        let is_limit = |sample: &Sample| sample.label("le").parse() == Ok(limit);
        self.find(&format!("{histogram}_bucket"), is_limit)
    }

    fn find(&self, name: &str, is_it: impl Fn(&Sample) -> bool) -> Seen<f64> {
        let found = self.0.iter().find(|sample| sample.name == name && is_it(sample)).map(|sample| sample.value);
        found.ok_or_else(|| Unobserved::invalid(ETCD_METRICS, format!("it does not tell {name}")))
    }
}

/// Judges what each member tells, as far as privileged probes may ask it.
pub fn judge(verdict: &mut Verdict, members: &[&Pod], hosts: Result<&HostReports, &Unobserved>, clock: &Clock) {
    let hosts = match hosts {
        Ok(hosts) => hosts,
        Err(Unobserved::NotAllowed { profile, .. }) => {
            return verdict.note(format!(
                "the members' leader, learners and quota are seen by privileged probes, which the profile {profile} does not allow"
            ));
        }
        Err(why) => return verdict.unseen(Subject::cluster(), why),
    };
    let mut new = Vec::new();
    for pod in members {
        let subject = || Subject::object("Pod", &pod.namespace, &pod.name);
        let listens = pod.flag("listen-metrics-urls").last().copied().unwrap_or_default();
        if !listens.split(',').any(|url| ETCD_METRICS.starts_with(url)) {
            verdict.note(format!("{} serves its metrics elsewhere: it was not asked", pod.name));
            continue;
        }
        let node = pod.node.as_deref().unwrap_or_default();
        let metrics = hosts.lines(node, ETCD_METRICS).map(Metrics::read);
        match metrics.as_ref().map(member_disk::findings) {
            Ok(Some(slow)) => slow.into_iter().for_each(|finding| verdict.tell_counted(subject(), finding)),
            Ok(None) => new.push(&pod.name),
            // Told below.
            Err(_) => {}
        }
        match metrics.and_then(|metrics| findings(&metrics, &pod.name, clock)) {
            Ok(findings) if findings.is_empty() => verdict.confirm(),
            Ok(findings) => {
                for finding in findings {
                    verdict.find(subject(), finding);
                }
            }
            // A member that does not answer is judged by its pod.
            Err(_) if !pod.ready => {}
            Err(why) => verdict.unseen(subject(), &why),
        }
    }
    if !new.is_empty() {
        verdict.note(format!("{} told of too few writes to judge the disk by", names(new)));
    }
}

fn findings(metrics: &Metrics, pod: &str, clock: &Clock) -> Seen<Vec<Difference>> {
    let mut findings = Vec::new();
    if metrics.get("etcd_server_has_leader")? < 1.0 {
        findings.push(
            Finding::new("the member has a leader", "it has none").so("it can neither read nor write what is current"),
        );
    }
    if metrics.get("etcd_server_is_learner")? > 0.0 {
        let finding = Finding::new("the member votes", "it is a learner: its join was not finished")
            .so("the cluster bears the loss of one member fewer than it seems")
            .mend(format!(
                "in the pod of a member that votes: {} member list, then member promote ID; or member remove ID, kubeadm reset \
                 on the learner's node, and join it again",
                etcdctl("etcd-NODE")
            ));
        findings.push(finding.severity(Severity::Major));
    }
    let (size, quota) =
        (metrics.get("etcd_mvcc_db_total_size_in_bytes")?, metrics.get("etcd_server_quota_backend_bytes")?);
    if size >= FULL * quota {
        let finding = Finding::new(
            format!("the database takes less than {:.0} % of its quota", FULL * 100.0),
            format!("{:.0} MB of {:.0} MB", size / 1e6, quota / 1e6),
        )
        .so("when it is full, the cluster takes no more writes")
        .mend(format!(
            "first a backup: {etcdctl} snapshot save /var/lib/etcd/backup.db, which is to be moved off the node; then {etcdctl} \
             defrag, in one member after the other, the leader's last: each answers nobody meanwhile; `alarm disarm` if `alarm \
             list` says NOSPACE. If it stays so large, see what fills it, or raise --quota-backend-bytes in \
             /etc/kubernetes/manifests/etcd.yaml",
            etcdctl = etcdctl(pod)
        ));
        findings.push(finding.severity(Severity::Major));
    }
    let changes = metrics.get("etcd_server_leader_changes_seen_total")?;
    let hours = hours_since(metrics.get("process_start_time_seconds")?, clock.server);
    if changes > CHANGES_PER_HOUR * hours.max(1.0) {
        let finding = Finding::new(
            format!("the leader changes up to {CHANGES_PER_HOUR} times in an hour"),
            format!("{changes} times in {hours:.1} hours"),
        )
        .so("requests wait while there is no leader: disks or the network between the members are too slow");
        findings.push(finding.severity(Severity::Minor));
    }
    Ok(findings)
}

fn hours_since(start: f64, now: Timestamp) -> f64 {
    (now.as_duration().as_secs_f64() - start) / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: [(&str, f64); 6] = [
        ("etcd_server_has_leader", 1.0),
        ("etcd_server_is_learner", 0.0),
        ("etcd_server_leader_changes_seen_total", 1.0),
        ("etcd_mvcc_db_total_size_in_bytes", 12.8e6),
        ("etcd_server_quota_backend_bytes", 2_147_483_648.0),
        ("process_start_time_seconds", 1.8e9),
    ];

    fn seen(name: &str, value: f64) -> Vec<String> {
        let lines: Vec<String> = HEALTHY
            .into_iter()
            .map(|(known, healthy)| format!("{known} {:e}", if known == name { value } else { healthy }))
            .collect();
        let now = Timestamp::from_second(1_800_007_200).unwrap();
        let mut verdict = Verdict::new();
        let found = findings(&Metrics::read(&lines), "etcd-n1", &Clock { server: now, here: now }).unwrap();
        for finding in found {
            verdict.find(Subject::cluster(), finding);
        }
        verdict.findings(Severity::Critical).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn what_a_member_tells_is_judged() {
        assert!(seen("", 0.0).is_empty());
        assert_eq!(seen("etcd_server_has_leader", 0.0), ["it has none"]);
        assert_eq!(seen("etcd_server_is_learner", 1.0), ["it is a learner: its join was not finished"]);
        assert_eq!(seen("etcd_mvcc_db_total_size_in_bytes", 1.8e9), ["1800 MB of 2147 MB"]);
        assert_eq!(seen("etcd_server_leader_changes_seen_total", 9.0), ["9 times in 2.0 hours"]);
    }

    #[test]
    fn what_is_not_told_is_not_taken_for_good() {
        let now = Timestamp::UNIX_EPOCH;
        let lines = ["etcd_server_has_leader 1".to_owned()];
        assert!(findings(&Metrics::read(&lines), "etcd-n1", &Clock { server: now, here: now }).is_err());
    }
}
