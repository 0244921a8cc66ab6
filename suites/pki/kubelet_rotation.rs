//! # The kubelets renew their client certificates
//!
//! ## Why
//! A kubelet's client certificate lasts a year. It is renewed, silently, when 70 to 90 percent of that have passed.
//! Where the renewal is off or fails, that is silent too, until all nodes that were installed on one day become
//! NotReady on another.
//!
//! ## Fix
//! Off: set `rotateCertificates: true` in `/var/lib/kubelet/config.yaml` and restart the kubelet. Stuck: find its
//! requests (`kubectl get csr`; PK-09), and the ClusterRoleBinding `kubeadm:node-autoapprove-certificate-rotation`.
//! Expired: move `/etc/kubernetes/kubelet.conf` and `/var/lib/kubelet/pki/kubelet-client*` away on the node. On a
//! control-plane node that has `ca.key`, for the node NAME:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! kubeadm kubeconfig user --config kubeadm.yaml --org system:nodes --client-name system:node:NAME > kubelet.conf
//! ```
//!
//! Copy it to `/etc/kubernetes/kubelet.conf` of the node, restart the kubelet, and once `kubelet-client-current.pem`
//! exists, set it as `client-certificate` and as `client-key` in kubelet.conf and restart the kubelet again. `kubeadm
//! reset` and a new join work too, on workers only: on a control-plane node they remove its member of etcd, and the
//! last one's data.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/>;
//! <https://kubernetes.io/docs/tasks/tls/certificate-rotation/>; kubernetes/kubernetes `cmd/kubelet/app/server.go` (the
//! metrics, which are ALPHA), client-go `util/certificate/certificate_manager.go`. A tenth of the life is taken from
//! the signer's `--cluster-signing-duration`, a year by default; where the controller-manager cannot be seen, only a
//! certificate that has expired counts. K3s and RKE2 renew when they start.

use jiff::SignedDuration;

use super::helpers::lifetime::length;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubelet_metrics::{CLIENT_ERRORS, CLIENT_TTL, KubeletMetrics, SERVER_ERRORS, SERVER_TTL};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;

crate::check!("PK-10", "kubelet-rotation", Critical, judge, builds_on: ["CP-07", "KL-13", "PK-09"]);

/// For how long the controller-manager signs by default.
const YEAR: SignedDuration = SignedDuration::from_hours(8760);

fn judge(metrics: &KubeletMetrics, nodes: &Nodes, pods: Result<&Pods, &Unobserved>) -> Verdict {
    if let Some(reason) = out_of_reach(metrics) {
        return Verdict::not_applicable(reason);
    }
    let signed_for = pods.ok().and_then(signing_duration);
    let mut verdict = Verdict::new();
    if let Err(why) = pods {
        verdict.unseen(Subject::cluster(), why);
    }
    let by_agent = "the agent renews its certificates when it starts, and not by requests";
    for (name, seen) in &metrics.0 {
        let Some(values) = verdict.seen(|| Subject::node(name), seen) else { continue };
        let version = nodes.0.get(name).map(|node| node.kubelet_version.as_str()).unwrap_or_default();
        if version.contains("+k3s") || version.contains("+rke2") {
            verdict.note_about(Subject::node(name), by_agent);
            continue;
        }
        let number = |metric: &str| values.get(metric).and_then(|value| value.parse::<f64>().ok());
        judge_client(&mut verdict, name, number(CLIENT_TTL), number(CLIENT_ERRORS), signed_for);
        judge_server(&mut verdict, name, number(SERVER_TTL), number(SERVER_ERRORS));
    }
    if verdict.observations() == 0 && verdict.saw_everything() && !verdict.notes().is_empty() {
        return verdict.does_not_apply(format!("K3s or RKE2 on every node: {by_agent}"));
    }
    if pods.is_ok() && signed_for.is_none() {
        verdict.note(
            "the signing duration is unknown: only expired certificates were found, and \
             not those that should have been renewed by now",
        );
    }
    verdict
}

/// Why no kubelet can be asked from here, if none can.
fn out_of_reach(metrics: &KubeletMetrics) -> Option<String> {
    let mut first = None;
    for seen in metrics.0.values() {
        match seen {
            Err(why) if why.is_out_of_reach() => first = first.or(Some(why)),
            _ => return None,
        }
    }
    first.map(|why| {
        format!(
            "no kubelet can be asked from here ({why}), and the way through the API server would need nodes/proxy, \
             which is the right to run commands in pods"
        )
    })
}

/// For how long the controller-manager signs, where its command line can be seen.
fn signing_duration(pods: &Pods) -> Option<SignedDuration> {
    let manager = pods.static_pods("kube-controller-manager").find(|pod| pod.has_flags())?;
    match manager.flag("cluster-signing-duration").last() {
        Some(text) => text.parse().ok(),
        None => Some(YEAR),
    }
}

fn judge_client(
    verdict: &mut Verdict,
    node: &str,
    left: Option<f64>,
    errors: Option<f64>,
    signed_for: Option<SignedDuration>,
) {
    let Some(left) = left else {
        let finding = Finding::new(
            "a kubelet that renews its client certificate",
            format!("it has no metric {CLIENT_TTL}"),
        )
        .impact(
            "rotateCertificates is off, or the kubelet has no client certificate: if it has one, the node is lost when \
                 that expires",
        )
        .fix("on the node, set rotateCertificates: true in /var/lib/kubelet/config.yaml and restart the kubelet")
        .info();
        return verdict.find(Subject::node(node), finding);
    };
    // The first certificate may be kubeadm's, of a year, whatever the controller-manager signs for.
    let least = signed_for.map_or(0.0, |duration| duration.min(YEAR).as_secs_f64() / 10.0);
    // Failures alone prove nothing: the first attempt of a kubelet may come before the API server is up.
    verdict.expect(Subject::node(node), left.is_finite() && left > least, || {
        let finding = Finding::new("a client certificate that was renewed in time", state(left));
        if left.is_finite() && left > 0.0 {
            finding.impact("its renewal is stuck: when the certificate expires, the node is lost").fix(
                "approve its request if one waits (PK-09): kubectl get csr; on the node, the log shows what fails: \
                 journalctl -u kubelet | grep -i certificate | tail",
            )
        } else {
            finding.impact("the API server refuses the kubelet as soon as it reconnects").fix(
                "on a control-plane node with ca.key: kubeadm kubeconfig user --org system:nodes --client-name \
                 system:node:NODE > kubelet.conf; on the node NODE: mv /etc/kubernetes/kubelet.conf \
                 /var/lib/kubelet/pki/kubelet-client* /root/, put the new file in its place and restart the kubelet \
                 (seaworthy explain PK-10 has each step)",
            )
        }
        .evidence([details(node, left, errors)])
    });
}

/// Judges a serving certificate that the kubelet requests. A kubelet without this metric signs its own (PK-08).
fn judge_server(verdict: &mut Verdict, node: &str, left: Option<f64>, errors: Option<f64>) {
    let Some(left) = left else { return };
    verdict.expect(Subject::node(node), left.is_finite() && left > 0.0, || {
        Finding::new("a serving certificate", state(left))
            .impact("the kubelet presents no valid certificate: logs, exec and metrics of its pods fail")
            .fix("its request waits for an approval: kubectl get csr; PK-09 shows what to compare first")
            .evidence([details(node, left, errors)])
            .severity(Severity::Major)
    });
}

/// How it is with a certificate that has so many seconds left.
fn state(left: f64) -> &'static str {
    match left {
        left if !left.is_finite() => "the kubelet has no valid one",
        left if left <= 0.0 => "it has expired",
        _ => "it expires soon",
    }
}

fn details(node: &str, left: f64, errors: Option<f64>) -> String {
    let errors = match errors {
        Some(errors) if errors > 0.0 => format!("; {errors} renewals have failed"),
        _ => String::new(),
    };
    let duration = length(SignedDuration::try_from_secs_f64(left.abs()).unwrap_or(SignedDuration::MAX));
    match left {
        left if !left.is_finite() => format!("{node}: none{errors}"),
        left if left <= 0.0 => format!("{node}: expired {duration} ago{errors}"),
        _ => format!("{node}: expires in {duration}{errors}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::testing::notes;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Seen;

    const DAY: f64 = 86_400.0;

    fn manager(arguments: &[&str]) -> Pods {
        let arguments = [&["--controllers=*"], arguments].concat();
        Pods([static_pod("kube-controller-manager", "n1", &arguments)].into())
    }

    fn judged(values: Seen<&[(&str, f64)]>, pods: &Pods, version: &str) -> Verdict {
        let values =
            values.map(|values| values.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect());
        let node = Node { kubelet_version: version.into(), ..Node::default() };
        let nodes = Nodes(BTreeMap::from([("n3".to_owned(), node)]));
        judge(&KubeletMetrics(BTreeMap::from([("n3".to_owned(), values)])), &nodes, Ok(pods))
    }

    fn findings(values: &[(&str, f64)], arguments: &[&str]) -> Vec<(Severity, String)> {
        let findings = judged(Ok(values), &manager(arguments), "v1.37.2").findings(Severity::Critical);
        findings.into_iter().map(|finding| (finding.severity, finding.evidence.concat())).collect()
    }

    #[test]
    fn a_certificate_with_time_left_passes() {
        let verdict = judged(Ok(&[(CLIENT_TTL, 300.0 * DAY), (CLIENT_ERRORS, 0.0)]), &manager(&[]), "v1.37.2");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (1, 0));
        assert!(findings(&[(CLIENT_TTL, DAY)], &["--cluster-signing-duration=24h"]).is_empty());
        assert!(findings(&[(CLIENT_TTL, 300.0 * DAY)], &["--cluster-signing-duration=87600h"]).is_empty());
    }

    #[test]
    fn one_that_should_have_been_renewed_or_has_expired_is_found() {
        let stuck = findings(&[(CLIENT_TTL, 20.0 * DAY), (CLIENT_ERRORS, 3.0)], &[]);
        assert_eq!(stuck, [(Severity::Critical, "n3: expires in 20 days; 3 renewals have failed".to_owned())]);
        assert_eq!(findings(&[(CLIENT_TTL, f64::INFINITY)], &[])[0].1, "n3: none");
        assert_eq!(findings(&[(CLIENT_TTL, -3.0 * DAY)], &[])[0].1, "n3: expired 3 days ago");
    }

    #[test]
    fn failures_with_time_left_pass_and_no_renewal_is_info() {
        assert_eq!(findings(&[(CLIENT_TTL, 300.0 * DAY), (CLIENT_ERRORS, 2.0)], &[]), []);
        assert_eq!(findings(&[], &[])[0].0, Severity::Info);
    }

    #[test]
    fn without_the_controller_manager_only_expiry_counts() {
        let pods = Pods::default();
        let verdict = judged(Ok(&[(CLIENT_TTL, DAY)]), &pods, "v1.37.2");
        assert_eq!((verdict.findings(Severity::Critical).len(), notes(&verdict).len()), (0, 1));
        let hidden = Pods([static_pod("kube-controller-manager", "n1", &[])].into());
        let unknown = judged(Ok(&[(CLIENT_TTL, DAY)]), &hidden, "v1.37.2");
        assert_eq!(notes(&unknown).len(), 1, "its flags do not show");
        assert_eq!(judged(Ok(&[(CLIENT_TTL, -DAY)]), &pods, "v1.37.2").findings(Severity::Critical).len(), 1);
    }

    #[test]
    fn the_advice_does_not_reset_a_control_plane_node() {
        let fix = CHECK.documentation().fix;
        assert!(fix.contains("--client-name system:node:NAME") && fix.contains("on workers only"), "{fix}");
    }

    #[test]
    fn without_the_right_to_list_pods_it_is_inconclusive() {
        let metrics = KubeletMetrics([("n3".to_owned(), Ok([(CLIENT_TTL.to_owned(), DAY.to_string())].into()))].into());
        let refused = Unobserved::Refused { missing: "list pods".into(), message: "no".into() };
        assert_eq!(judge(&metrics, &Nodes::default(), Err(&refused)).gaps().len(), 1);
    }

    #[test]
    fn a_serving_certificate_that_was_not_approved_is_found() {
        let seen = findings(&[(CLIENT_TTL, 300.0 * DAY), (SERVER_TTL, f64::INFINITY)], &[]);
        assert_eq!(seen, [(Severity::Major, "n3: none".to_owned())]);
    }

    #[test]
    fn kubelets_that_renew_otherwise_or_are_out_of_reach_are_not_judged() {
        assert!(
            judged(Ok(&[]), &manager(&[]), "v1.36.1+k3s1")
                .reason()
                .unwrap()
                .contains("renews its certificates when it starts")
        );
        let far = Err(Unobserved::unreachable("10.77.0.13:10250", "refused"));
        assert!(judged(far, &manager(&[]), "v1.37.2").reason().unwrap().contains("nodes/proxy"));
        let refused = Err(Unobserved::Refused { missing: "get nodes/metrics".into(), message: "no".into() });
        assert_eq!(judged(refused, &manager(&[]), "v1.37.2").gaps().len(), 1);
    }
}
