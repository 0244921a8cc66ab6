//! # etcd accepts writes
//!
//! ## Why
//! When the database of etcd has reached its quota, etcd raises the alarm NOSPACE and refuses every write, also after
//! space was freed: until someone disarms it. The API still answers reads and looks healthy, but leases expire, nodes turn
//! NotReady, and no pod is created, moved or restarted elsewhere.
//!
//! ## Fix
//! `kubectl -n kube-system exec etcd-NODE -- etcdctl ... endpoint status -w table` shows the size and the alarm. Make a
//! backup (`snapshot save`), compact to the current revision, run `defrag` on each member, the leader last, then `alarm
//! disarm`. Find what fills it (`kubectl get --raw /metrics | grep apiserver_resource_objects`), or raise
//! `--quota-backend-bytes`.
//!
//! ## Source
//! <https://etcd.io/docs/latest/op-guide/maintenance/#space-quota>; etcd `server/etcdserver/apply` (a server with the alarm
//! refuses what adds data). The objects of the run's probes are the write.

use super::helpers::etcdctl::{ANY_POD, etcdctl};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::pods::Pods;
use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};
use crate::seen::Unobserved;

crate::check!("HA-07", "etcd-writes", Critical, judge);

/// The error of etcd with the alarm NOSPACE, as the API server passes it on.
const NO_SPACE: &str = "database space exceeded";

fn judge(reports: Result<&ProbeReports, &Unobserved>, pods: Result<&Pods, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let refusals: Vec<&Unobserved> = match reports {
        Ok(reports) => reports.0.values().filter_map(|report| report.answers.as_ref().err()).collect(),
        Err(why) => vec![why],
    };
    // A pod that was created, whatever became of it, was written to etcd.
    let was_created = |report: &ProbeReport| report.answers.is_ok() || report.created_ms.is_some();
    let written = reports.is_ok_and(|reports| reports.0.values().any(was_created));
    match (refusals.iter().find(|why| is_full(why)), refusals.first()) {
        (Some(why), _) => {
            let member = pods.ok().and_then(|pods| pods.static_pods("etcd").next());
            let etcdctl = etcdctl(member.map_or(ANY_POD, |pod| &pod.name));
            verdict.find(
                Subject::cluster(),
                Finding::new("etcd accepts what a run creates", "etcd refuses writes: its database has reached its quota")
                    .evidence([why.to_string()])
                    .impact(
                        "nothing can be created or changed: leases expire, nodes turn NotReady, and pods are neither \
                         started nor replaced",
                    )
                    .fix(format!(
                        "make a backup: {etcdctl} snapshot save /var/lib/etcd/backup.db; compact: {etcdctl} compaction \
                         $({etcdctl} endpoint status -w json | grep -o '\"revision\":[0-9]*' | head -1 | cut -d: -f2); then \
                         {etcdctl} defrag on each member, the leader last, and {etcdctl} alarm disarm"
                    )),
            );
        }
        _ if written => verdict.confirm(),
        (None, Some(why)) => verdict.unseen(Subject::cluster(), why),
        (None, None) => {
            let why = Unobserved::invalid("the probes", "no pod was to be created");
            verdict.unseen(Subject::cluster(), &why);
        }
    }
    verdict
}

fn is_full(why: &Unobserved) -> bool {
    matches!(why, Unobserved::Invalid { cause, .. } if cause.contains(NO_SPACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::probe_reports::answers::Answers;
    use crate::fact::facts::probe_reports::testing::{report, reports};
    use crate::seen::Access;

    fn full() -> Unobserved {
        let cause = "HTTP 500: etcdserver: mvcc: database space exceeded";
        Unobserved::invalid("POST /api/v1/namespaces", cause)
    }

    #[test]
    fn pods_that_were_created_show_that_writes_work() {
        let verdict = judge(Ok(&reports([("n1", Answers::default())])), Ok(&Pods::default()));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (1, vec![]));
    }

    #[test]
    fn a_full_database_is_found_whatever_was_to_be_created() {
        let mut some = reports([("n1", Answers::default())]);
        some.0.insert("n2".into(), report("p2", Err(full())));
        let none = full();
        for reports in [Err(&none), Ok(&some)] {
            let found = judge(reports, Err(&Unobserved::Interrupted)).findings(Severity::Critical);
            assert_eq!(found[0].seen, "etcd refuses writes: its database has reached its quota");
            assert!(found[0].fix.contains("alarm disarm"));
        }
    }

    #[test]
    fn where_nothing_was_created_nothing_passes() {
        let audit = Unobserved::NotAllowed { access: Access::Create, profile: "audit".into() };
        for why in [audit, Unobserved::invalid("POST", "HTTP 500: leader changed"), Unobserved::Interrupted] {
            let verdict = judge(Err(&why), Ok(&Pods::default()));
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
            // The same where each pod was refused for itself.
            let mut refused = reports([("n1", Answers::default())]);
            refused.0.insert("n1".into(), report("p1", Err(why)));
            let verdict = judge(Ok(&refused), Ok(&Pods::default()));
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
        }
    }
}
