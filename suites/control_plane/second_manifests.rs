//! # Each static pod has one manifest
//!
//! ## Why
//! A kubelet reads every file in the directory of manifests, whatever its extension: a backup beside the original describes
//! the same pod once more. The kubelet runs one of the two, and which one may change with its next restart: an upgrade or a
//! changed flag then has no effect, or an old version comes back.
//!
//! ## Fix
//! Move the backup out of the directory: `mv /etc/kubernetes/manifests/kube-apiserver.yaml.bak /root/`. Only files whose
//! names begin with a dot are ignored there.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/>; kubernetes/kubernetes `pkg/kubelet/config/file.go`
//! (`extractFromDir`). Privileged probes list `/etc/kubernetes/manifests`.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::host_reports::HostReports;
use crate::seen::Unobserved;

crate::check!("CP-17", "second-manifests", Major, judge, builds_on: ["KL-01"]);

fn judge(hosts: &HostReports) -> Verdict {
    let mut verdict = Verdict::new();
    for (node, report) in &hosts.0 {
        let subject = || Subject::node(node);
        let Some(manifests) = &report.manifests else {
            verdict.note_about(subject(), "the recording was made before manifests were looked at");
            continue;
        };
        let Some(manifests) = verdict.seen(subject, manifests) else { continue };
        if let Some(why) = &manifests.unlisted {
            let why = Unobserved::invalid(format!("/etc/kubernetes/manifests on {node}"), why);
            verdict.unseen(subject(), &why);
            continue;
        }
        let mut files: BTreeMap<(&str, &str), Vec<&String>> = BTreeMap::new();
        for (file, manifest) in &manifests.files {
            match manifest {
                Ok(manifest) => files.entry((&manifest.namespace, &manifest.name)).or_default().push(file),
                Err(why) => verdict.find(
                    subject(),
                    Finding::new(
                        "every file in /etc/kubernetes/manifests describes a pod",
                        "one cannot be read as a manifest",
                    )
                    .evidence([format!("{node}: {file}: {why}")])
                    .impact("the kubelet logs the error repeatedly and does not run the pod")
                    .fix(format!("on {node}: mv /etc/kubernetes/manifests/{file} /root/"))
                    .severity(Severity::Minor),
                ),
            }
        }
        let twice: Vec<_> = files.into_iter().filter(|(_, files)| files.len() > 1).collect();
        if twice.is_empty() {
            verdict.confirm();
        }
        for ((namespace, pod), files) in twice {
            let usual = format!("{pod}.yaml");
            let others: Vec<String> = files
                .iter()
                .filter(|file| ***file != usual)
                .map(|file| format!("/etc/kubernetes/manifests/{file}"))
                .collect();
            verdict.find(
                subject(),
                Finding::new(
                    format!("one file describes the static pod {namespace}/{pod}"),
                    format!("{} files in /etc/kubernetes/manifests describe it", files.len()),
                )
                .evidence(files.iter().map(|file| format!("{node}: {file}")))
                .impact("the kubelet runs one of them, and may run the other after its next restart: changes seem to have no effect")
                .fix(format!("keep the one that is wanted, and move the other away: on {node}: mv {} /root/", others.join(" "))),
            );
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::host_reports::{HostReport, Manifest, Manifests};
    use crate::seen::Seen;

    fn judged(manifests: Option<Seen<Manifests>>) -> Verdict {
        judge(&HostReports([("n1".to_owned(), HostReport { manifests, ..HostReport::unseen() })].into()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "a report may lack it")]
    fn manifests(files: &[(&str, Result<&str, &str>)]) -> Option<Seen<Manifests>> {
        let pod = |name: &str| Manifest { namespace: "kube-system".into(), name: name.into() };
        let file =
            |(file, read): &(&str, Result<&str, &str>)| ((*file).to_owned(), read.map(pod).map_err(ToOwned::to_owned));
        Some(Ok(Manifests { files: files.iter().map(file).collect(), ..Manifests::default() }))
    }

    #[test]
    fn one_file_for_each_pod_passes_and_so_does_none() {
        for files in [&[][..], &[("etcd.yaml", Ok("etcd")), ("kube-scheduler.yaml", Ok("kube-scheduler"))]] {
            assert_eq!((judged(manifests(files)).observations(), seen_of(&judged(manifests(files)))), (1, vec![]));
        }
    }

    #[test]
    fn a_backup_beside_its_original_is_found() {
        let verdict = judged(manifests(&[("etcd.yaml", Ok("etcd")), ("etcd.yaml.bak", Ok("etcd"))]));
        assert_eq!(seen_of(&verdict), ["Node n1: 2 files in /etc/kubernetes/manifests describe it"]);
        assert!(verdict.findings(Severity::Major)[0].fix.contains("mv /etc/kubernetes/manifests/etcd.yaml.bak /root/"));
        let broken = judged(manifests(&[("notes", Err("line 1"))]));
        assert_eq!(broken.findings(Severity::Major)[0].severity, Severity::Minor);
    }

    #[test]
    fn what_was_not_listed_is_not_a_pass() {
        assert_eq!(judged(Some(Err(Unobserved::Interrupted))).gaps().len(), 1);
        let denied = Manifests { unlisted: Some("permission denied".into()), ..Manifests::default() };
        assert_eq!(judged(Some(Ok(denied))).gaps().len(), 1);
        assert_eq!(judged(None).observations(), 0);
    }
}
