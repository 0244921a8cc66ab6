//! # Every API server encrypts in the same way
//!
//! ## Why
//! Each API server encrypts what it stores by its own file. If one lacks the file, has another key or another order, it stores
//! Secrets in plain text, or in a way that the others cannot read: behind a load balancer a share of all requests for a Secret
//! fails, and pods that mount it do not start.
//!
//! ## Fix
//! Copy the file of `--encryption-provider-config` from the control-plane node that is right to the others, set the flag in
//! `/etc/kubernetes/manifests/kube-apiserver.yaml` of each, and in `apiServer.extraArgs` of ConfigMap kubeadm-config, so that
//! new control-plane nodes get it. Then store all Secrets again: `kubectl get secrets -A -o json | kubectl replace -f -`.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/> (clusters with several control-plane nodes). The flags of
//! the static pods are compared; privileged probes compare digests of the files below `/etc/kubernetes`. A file that is being
//! replaced to rotate a key differs for a while.

use std::collections::BTreeMap;

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::host_reports::{ENCRYPTION, HostReports};
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;

crate::check!("CP-18", "encryption-settings", Critical, judge, builds_on: ["CP-03"]);

fn judge(pods: &Pods, hosts: Result<&HostReports, &Unobserved>) -> Verdict {
    let servers: Vec<&Pod> = pods.static_pods("kube-apiserver").filter(|pod| pod.has_flags()).collect();
    if servers.len() < 2 {
        return Verdict::not_applicable(match servers.len() {
            0 => "no API server runs as a static pod that shows its flags",
            _ => "there is one API server",
        });
    }
    let mut verdict = Verdict::new();
    let files: BTreeMap<&str, (&Pod, Option<&str>)> = servers
        .iter()
        .filter_map(|pod| Some((pod.node.as_deref()?, (*pod, pod.flag(ENCRYPTION).last().copied()))))
        .collect();
    let without = files.values().filter(|(_, file)| file.is_none()).count();
    if without == files.len() {
        verdict.confirm();
        verdict.note("no API server encrypts what it stores");
        return verdict;
    }
    let subjects = || files.values().map(|(pod, _)| Subject::object("Pod", &pod.namespace, &pod.name));
    if without > 0 {
        let evidence = files.iter().map(|(node, (_, file))| match file {
            Some(file) => format!("{node}: --{ENCRYPTION}={file}"),
            None => format!("{node}: without --{ENCRYPTION}"),
        });
        verdict.find_together(subjects(), files.len(), differ("some API servers lack the flag", evidence));
        return verdict;
    }
    let hosts = match hosts {
        Ok(hosts) => hosts,
        Err(Unobserved::NotAllowed { profile, .. }) => {
            return verdict.does_not_apply(format!(
                "all have the flag; comparing their files takes privileged probes, which the profile {profile} does not allow"
            ));
        }
        Err(why) => {
            verdict.unseen(Subject::cluster(), why);
            return verdict;
        }
    };
    let mut digests: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, (_, file)) in &files {
        match digest(hosts, node, file.unwrap_or_default()) {
            Ok(digest) => digests.entry(digest).or_default().push(node),
            Err(why) => verdict.unseen(Subject::node(*node), &why),
        }
    }
    if digests.len() > 1 {
        let evidence = digests.iter().map(|(digest, nodes)| format!("{}: SHA-256 {digest}…", nodes.join(", ")));
        verdict.find_together(subjects(), files.len(), differ("their files differ", evidence));
    } else if !digests.is_empty() {
        verdict.confirm();
    }
    verdict
}

fn differ(seen: &str, evidence: impl IntoIterator<Item = String>) -> Difference {
    Finding::new(format!("all API servers have the same file for --{ENCRYPTION}"), seen)
        .evidence(evidence)
        .impact(
            "some store Secrets in plain text or with a key that others lack: some requests for Secrets fail, and \
             pods that mount it do not start",
        )
        .fix(format!(
            "copy the correct file to the other control-plane nodes, with the same path, and set \
             --{ENCRYPTION} in /etc/kubernetes/manifests/kube-apiserver.yaml of each; then store all Secrets again: kubectl \
             get secrets -A -o json | kubectl replace -f -"
        ))
}

fn digest(hosts: &HostReports, node: &str, file: &str) -> Result<String, Unobserved> {
    let target = || format!("{file} on {node}");
    let report = hosts.0.get(node).ok_or_else(|| Unobserved::invalid(target(), "no privileged probe ran there"))?;
    let manifests = report.manifests.as_ref().ok_or_else(|| Unobserved::invalid(target(), "it was not looked at"))?;
    let digest = manifests.as_ref().map_err(Clone::clone)?.digests.get(file);
    let digest = digest.ok_or_else(|| Unobserved::invalid(target(), "it is outside of /etc/kubernetes"))?;
    digest.clone().map_err(|why| Unobserved::invalid(target(), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::{notes, seen_of};
    use crate::fact::facts::host_reports::{HostReport, Manifests};
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Access;

    const FLAG: &str = "--encryption-provider-config=/etc/kubernetes/pki/encryption.yaml";

    fn pods(flags: &[Option<&str>]) -> Pods {
        let pod = |(flag, i): (Option<&str>, usize)| {
            let words: Vec<&str> = ["--secure-port=6443"].into_iter().chain(flag).collect();
            static_pod("kube-apiserver", &format!("n{i}"), &words)
        };
        Pods(flags.iter().copied().zip(1..).map(pod).collect())
    }

    fn hosts(digests: &[Result<&str, &str>]) -> HostReports {
        let report = |digest: &Result<&str, &str>| {
            let digest = digest.map(str::to_owned).map_err(str::to_owned);
            let digests = [("/etc/kubernetes/pki/encryption.yaml".to_owned(), digest)].into();
            let manifests = Some(Ok(Manifests { digests, ..Manifests::default() }));
            HostReport { manifests, ..HostReport::unseen() }
        };
        HostReports(digests.iter().zip(1..).map(|(digest, i)| (format!("n{i}"), report(digest))).collect())
    }

    #[test]
    fn equal_files_pass_and_so_does_no_encryption() {
        let same = judge(&pods(&[Some(FLAG), Some(FLAG)]), Ok(&hosts(&[Ok("ab"), Ok("ab")])));
        assert_eq!((same.observations(), seen_of(&same)), (1, vec![]));
        let none = judge(&pods(&[None, None]), Err(&Unobserved::Interrupted));
        assert_eq!((none.observations(), notes(&none).len()), (1, 1));
    }

    #[test]
    fn a_flag_that_one_lacks_and_files_that_differ_are_found() {
        let flags = judge(&pods(&[Some(FLAG), None]), Err(&Unobserved::Interrupted)).findings(Severity::Critical);
        assert_eq!(flags[0].seen, "some API servers lack the flag");
        assert!(flags[0].evidence.contains(&"n2: without --encryption-provider-config".to_owned()));
        let files = judge(&pods(&[Some(FLAG), Some(FLAG)]), Ok(&hosts(&[Ok("ab"), Ok("cd")])));
        assert_eq!(files.findings(Severity::Critical)[0].evidence, ["n1: SHA-256 ab…", "n2: SHA-256 cd…"]);
    }

    #[test]
    fn what_was_not_compared_is_never_a_pass() {
        let both = pods(&[Some(FLAG), Some(FLAG)]);
        let allowed = Unobserved::NotAllowed { access: Access::Privileged, profile: "audit".into() };
        assert!(judge(&both, Err(&allowed)).reason().is_some());
        assert_eq!(judge(&both, Err(&Unobserved::Interrupted)).gaps().len(), 1);
        assert_eq!(judge(&both, Ok(&hosts(&[Ok("ab"), Err("permission denied")]))).gaps().len(), 1);
        assert!(judge(&pods(&[Some(FLAG)]), Err(&allowed)).reason().is_some());
    }
}
