//! # Nothing is left of a self-hosted control plane
//!
//! ## Why
//! Control planes that ran as Deployments and DaemonSets of their own cluster were given up: no supported kubeadm or
//! kubelet knows them. What is left of one either runs beside the static pods, with old versions and old flags, or makes
//! the next upgrade impossible.
//!
//! ## Fix
//! Where the static pods are complete (CP-03), delete what is left: the finding has the command. Where they are not, the
//! cluster must be moved to static pods first.
//!
//! ## Source
//! kubernetes/enhancements KEP-378 (historical); kubernetes/kubernetes `cmd/kubeadm` has no phase for it any more, and
//! the kubelet no checkpoints to start it from. A second scheduler that runs as a Deployment is usual and not meant.

use crate::check::{Finding, Verdict};
use crate::fact::facts::system_workloads::{SystemWorkloads, Workload};
use crate::suites::rights;

crate::check!("CP-04", "self-hosted", Info, judge);

/// Programs that run a control plane wherever they run.
const PROGRAMS: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];
/// How the tools of that time named what they made.
const NAMES: [&str; 2] = ["self-hosted-", "bootkube"];
const NAMED: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "pod-checkpointer"];

fn judge(workloads: &SystemWorkloads) -> Verdict {
    let mut verdict = Verdict::new();
    if workloads.0.is_empty() {
        return Verdict::not_applicable("kube-system has no Deployment and no DaemonSet");
    }
    for (object, workload) in &workloads.0 {
        let reason = reason(&object.name, workload);
        verdict.expect(object.into(), reason.is_none(), || {
            Finding::new("the control plane is made of static pods only", reason.unwrap_or_default())
                .so("the cluster cannot be upgraded in place, or an old control plane works beside the new one")
                .mend(format!(
                    "look whether static pods run the control plane (kubectl -n kube-system get pods -l \
                     tier=control-plane -o wide); if they do, and only then: kubectl delete {}",
                    rights::object(object)
                ))
        });
    }
    verdict
}

/// Why a workload looks like part of a control plane.
fn reason(name: &str, workload: &Workload) -> Option<String> {
    if NAMES.iter().any(|prefix| name.starts_with(prefix)) || NAMED.contains(&name) {
        return Some("it has the name of a self-hosted control plane's part".into());
    }
    let runs = workload.images.values().chain(&workload.programs).find(|runs| PROGRAMS.contains(&program(runs)))?;
    Some(format!("it runs {runs}"))
}

/// The last part of an image's or a program's path, without tag and digest.
fn program(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(['@', ':']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::object_ref::testing::object;

    fn judged(path: &str, runs: &[&str]) -> Vec<Finding> {
        let runs = runs.iter().map(ToString::to_string).collect();
        judge(&SystemWorkloads([(object(path), Workload { programs: runs, ..Workload::default() })].into()))
            .findings(Severity::Info)
    }

    #[test]
    fn add_ons_and_a_second_scheduler_are_no_control_plane() {
        assert!(judged("Deployment kube-system/coredns", &["registry.k8s.io/coredns/coredns:v1.14.2"]).is_empty());
        assert!(judged("DaemonSet kube-system/kube-proxy", &["registry.k8s.io/kube-proxy:v1.37.2"]).is_empty());
        assert!(judged("Deployment kube-system/my-scheduler", &["registry.k8s.io/kube-scheduler:v1.37.2"]).is_empty());
    }

    #[test]
    fn parts_are_known_by_name_image_and_program() {
        let by_name = judged("DaemonSet kube-system/self-hosted-kube-scheduler", &["scheduler:1"]);
        let mend = &by_name[0].fix;
        assert!(
            mend.ends_with("only then: kubectl delete daemonset self-hosted-kube-scheduler -n kube-system"),
            "{mend}"
        );
        assert!(judged("DaemonSet kube-system/pod-checkpointer", &[]).len() == 1);
        let by_image = judged("DaemonSet kube-system/api", &["registry.example:5000/kube-apiserver:v1.13.0@sha256:0"]);
        assert_eq!(by_image[0].seen, "it runs registry.example:5000/kube-apiserver:v1.13.0@sha256:0");
        assert!(
            judged("Deployment kube-system/kcm", &["hyperkube:v1.10", "/usr/bin/kube-controller-manager"]).len() == 1
        );
    }

    #[test]
    fn nothing_to_look_at_is_no_pass() {
        assert!(judge(&SystemWorkloads::default()).reason().is_some());
    }
}
