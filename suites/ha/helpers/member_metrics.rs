//! What the members of etcd report about themselves.

use jiff::Timestamp;

use super::etcdctl::{etcdctl, member_id};
use super::member_disk;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::host_reports::{ETCD_METRICS, HostReports};
use crate::fact::facts::pods::Pod;
use crate::prometheus::{Line, Sample};
use crate::seen::{Seen, Unobserved};

/// The share of its quota that the database of a healthy member takes at most.
const FULL: f64 = 0.8;
/// How many times the leader may change in an hour: etcd's own alert, etcdHighNumberOfLeaderChanges, fires at four in a
/// quarter of an hour.
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

    /// How many values of a histogram are at this limit at most.
    pub(super) fn bucket(&self, histogram: &str, limit: f64) -> Seen<f64> {
        let is_limit = |sample: &Sample| sample.label("le").parse() == Ok(limit);
        self.find(&format!("{histogram}_bucket"), is_limit)
    }

    fn find(&self, name: &str, is_it: impl Fn(&Sample) -> bool) -> Seen<f64> {
        let found = self.0.iter().find(|sample| sample.name == name && is_it(sample)).map(|sample| sample.value);
        found.ok_or_else(|| Unobserved::invalid(ETCD_METRICS, format!("it lacks the metric {name}")))
    }
}

/// Judges what each member reports, as far as privileged probes are allowed to ask it.
pub(crate) fn judge(verdict: &mut Verdict, members: &[&Pod], hosts: Result<&HostReports, &Unobserved>, clock: &Clock) {
    let hosts = match hosts {
        Ok(hosts) => hosts,
        Err(Unobserved::NotAllowed { profile, .. }) => {
            return verdict.note(format!(
                "the members' leader, learners, quota and disks were not checked: that takes privileged probes, which \
                 the profile {profile} does not allow"
            ));
        }
        Err(why) => return verdict.unseen(Subject::cluster(), why),
    };
    for pod in members {
        let subject = || Subject::object("Pod", &pod.namespace, &pod.name);
        let listens = pod.flag("listen-metrics-urls").last().copied().unwrap_or_default();
        if !listens.split(',').any(|url| ETCD_METRICS.starts_with(url)) {
            verdict.note_about(
                subject(),
                format!("its metrics were not checked: it does not serve them at {ETCD_METRICS}"),
            );
            continue;
        }
        let node = pod.node.as_deref().unwrap_or_default();
        let metrics = hosts.lines(node, ETCD_METRICS).map(Metrics::read);
        match metrics.as_ref().map(|metrics| member_disk::findings(metrics, &pod.name)) {
            Ok(Some(slow)) => slow.into_iter().for_each(|finding| verdict.find(subject(), finding)),
            Ok(None) => {
                verdict.note_about(subject(), "the disk was not judged: too few writes since the member started");
            }
            // Why there are no metrics is counted below.
            Err(_) => {}
        }
        let voter = members.iter().find(|other| other.ready && other.name != pod.name).unwrap_or(pod);
        match metrics.and_then(|metrics| findings(&metrics, (&pod.name, node), &voter.name, clock)) {
            Ok(findings) if findings.is_empty() => verdict.confirm(),
            Ok(findings) => findings.into_iter().for_each(|finding| verdict.find(subject(), finding)),
            // A member that does not answer is judged by its pod.
            Err(_) if !pod.ready => {}
            Err(why) => verdict.unseen(subject(), &why),
        }
    }
}

fn findings(metrics: &Metrics, (pod, node): (&str, &str), voter: &str, clock: &Clock) -> Seen<Vec<Difference>> {
    let mut findings = Vec::new();
    if metrics.get("etcd_server_has_leader")? < 1.0 {
        findings.push(
            Finding::new("the member has a leader", "it has none")
                .impact("the member serves neither current reads nor writes")
                .fix(format!(
                    "start the members that are down; if all run, see on {node} why it does not reach them at port \
                     2380: crictl logs $(crictl ps --name etcd -q) 2>&1 | grep -i -e raft -e peer | tail"
                )),
        );
    }
    if metrics.get("etcd_server_is_learner")? > 0.0 {
        let etcdctl = etcdctl(voter);
        findings.push(
            Finding::new("the member votes", "it is a learner: its join did not finish")
                .impact("the cluster tolerates one failure fewer than the member count suggests")
                .fix(format!(
                    "{etcdctl} member promote {}; while the learner is still catching up, etcd refuses that: repeat it",
                    member_id(&etcdctl, node)
                ))
                .severity(Severity::Major),
        );
    }
    let (size, quota) =
        (metrics.get("etcd_mvcc_db_total_size_in_bytes")?, metrics.get("etcd_server_quota_backend_bytes")?);
    if size >= FULL * quota {
        let etcdctl = etcdctl(pod);
        findings.push(
            Finding::new(
                format!("the database takes less than {:.0} % of its quota", FULL * 100.0),
                format!("{:.0} MB of {:.0} MB", size / 1e6, quota / 1e6),
            )
            .impact("when the quota is reached, the cluster accepts no more writes")
            .fix(format!(
                "make a backup and copy it off {node}: {etcdctl} snapshot save /var/lib/etcd/backup.db; then {etcdctl} \
                 defrag, one member after the other and the leader last, because a member blocks while it defragments; and if alarm \
                 list shows NOSPACE, alarm disarm. If it stays this large, raise --quota-backend-bytes in \
                 /etc/kubernetes/manifests/etcd.yaml"
            ))
            .severity(Severity::Major),
        );
    }
    let changes = metrics.get("etcd_server_leader_changes_seen_total")?;
    let hours = hours_since(metrics.get("process_start_time_seconds")?, clock.server);
    if changes > CHANGES_PER_HOUR * hours.max(1.0) {
        findings.push(
            Finding::new(
                format!("the leader changes up to {CHANGES_PER_HOUR} times in an hour"),
                format!("{changes} times in {hours:.1} hours"),
            )
            .impact(
                "requests wait while there is no leader: the members' disks or the network between them are too \
                slow",
            )
            .fix(format!(
                "check the latency between the control-plane nodes at port 2380, and on {node} what waited: crictl \
                 logs $(crictl ps --name etcd -q) 2>&1 | grep -i -e 'took too long' -e 'lost leader' | tail"
            ))
            .severity(Severity::Minor),
        );
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
        let clock = Clock { server: now, here: now };
        let found = findings(&Metrics::read(&lines), ("etcd-n1", "n1"), "etcd-n2", &clock).unwrap();
        for finding in found {
            verdict.find(Subject::cluster(), finding);
        }
        verdict.findings(Severity::Critical).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn what_a_member_reports_is_judged() {
        assert!(seen("", 0.0).is_empty());
        assert_eq!(seen("etcd_server_has_leader", 0.0), ["it has none"]);
        assert_eq!(seen("etcd_server_is_learner", 1.0), ["it is a learner: its join did not finish"]);
        assert_eq!(seen("etcd_mvcc_db_total_size_in_bytes", 1.8e9), ["1800 MB of 2147 MB"]);
        assert_eq!(seen("etcd_server_leader_changes_seen_total", 9.0), ["9 times in 2.0 hours"]);
    }

    #[test]
    fn a_missing_metric_is_not_a_pass() {
        let now = Timestamp::UNIX_EPOCH;
        let lines = ["etcd_server_has_leader 1".to_owned()];
        let clock = Clock { server: now, here: now };
        assert!(findings(&Metrics::read(&lines), ("etcd-n1", "n1"), "etcd-n2", &clock).is_err());
    }
}
