//! # The kubelets renew their client certificates
//!
//! ## Why
//! A kubelet's client certificate lasts a year. It is renewed when 70 to 90 percent of that have passed, without anybody
//! noticing; where the renewal is off or fails, nobody notices either, until all nodes that were installed on one day
//! become NotReady on another.
//!
//! ## Fix
//! Off: set `rotateCertificates: true` in `/var/lib/kubelet/config.yaml` and restart the kubelet. Stuck: look for its
//! requests (`kubectl get csr`; PK-09), and for the ClusterRoleBinding
//! `kubeadm:node-autoapprove-certificate-rotation`. Expired: move `/etc/kubernetes/kubelet.conf` and
//! `/var/lib/kubelet/pki/kubelet-client*` away on the node. On a control-plane node that has `ca.key`, for the node NAME:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! kubeadm kubeconfig user --config kubeadm.yaml --org system:nodes --client-name system:node:NAME > kubelet.conf
//! ```
//!
//! Copy it to `/etc/kubernetes/kubelet.conf` of the node, restart the kubelet, and once `kubelet-client-current.pem` is there
//! name it as `client-certificate` and as `client-key` in kubelet.conf and restart the kubelet again. `kubeadm reset` and a
//! new join do as well, on workers only: on a control-plane node that removes its member of etcd, and the last one's data.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/#kubelet-client-cert>;
//! <https://kubernetes.io/docs/tasks/tls/certificate-rotation/>; kubernetes/kubernetes `cmd/kubelet/app/server.go` (the
//! metrics, which are ALPHA), client-go `util/certificate/certificate_manager.go`. A tenth of the life is
//! taken from the signer's `--cluster-signing-duration`, a year by default; where the controller-manager cannot be seen,
//! only a certificate that has ended counts. K3S and RKE2 renew when they start.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::lifetime::length;
use crate::check::{Finding, Folded, Severity, Subject, Verdict, names};
use crate::fact::facts::kubelet_metrics::{CLIENT_ERRORS, CLIENT_TTL, KubeletMetrics, SERVER_ERRORS, SERVER_TTL};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;

crate::check!("PK-10", "kubelet-rotation", Critical, judge);

/// For how long the controller-manager signs unless it is told otherwise.
const YEAR: SignedDuration = SignedDuration::from_hours(8760);

fn judge(metrics: &KubeletMetrics, nodes: &Nodes, pods: Result<&Pods, &Unobserved>) -> Verdict {
    if let Some(reason) = out_of_reach(metrics) {
        return Verdict::not_applicable(reason);
    }
    let signed_for = pods.ok().and_then(signing_duration);
    let mut verdict = Verdict::new();
    if let Err(why) = pods {
        verdict.unseen(Subject::cluster_object("signing duration", "of the controller-manager"), why);
    }
    let mut folded = Folded::new();
    let mut by_themselves = BTreeSet::new();
    for (name, seen) in &metrics.0 {
        let Some(values) = verdict.seen(|| Subject::node(name), seen) else { continue };
        let version = nodes.0.get(name).map(|node| node.kubelet_version.as_str()).unwrap_or_default();
        if version.contains("+k3s") || version.contains("+rke2") {
            by_themselves.insert(name);
            continue;
        }
        let number = |metric: &str| values.get(metric).and_then(|value| value.parse::<f64>().ok());
        judge_client(&mut verdict, &mut folded, name, number(CLIENT_TTL), number(CLIENT_ERRORS), signed_for);
        judge_server(&mut verdict, &mut folded, name, number(SERVER_TTL), number(SERVER_ERRORS));
    }
    folded.tell(&mut verdict);
    if !by_themselves.is_empty() {
        let told = format!("renewed when the agent starts, not by requests: {}", names(by_themselves));
        if verdict.observations() == 0 && verdict.saw_everything() {
            return Verdict::not_applicable(told);
        }
        verdict.note(told);
    }
    if pods.is_ok() && signed_for.is_none() {
        verdict.note(
            "for how long certificates are signed cannot be seen: one that should have been renewed by now is not told from a young one",
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
    folded: &mut Folded,
    node: &str,
    left: Option<f64>,
    errors: Option<f64>,
    signed_for: Option<SignedDuration>,
) {
    let Some(left) = left else {
        folded.expect(verdict, node, false, || {
            Finding::new("a kubelet that renews its client certificate", format!("no metric {CLIENT_TTL}"))
                .so("rotateCertificates is off, or the kubelet has no client certificate: if it has one, the node is lost when it expires")
                .mend("rotateCertificates: true in /var/lib/kubelet/config.yaml")
                .info()
        });
        return;
    };
    // The first certificate may be kubeadm's, of a year, whatever the controller-manager signs for.
    let least = signed_for.map_or(0.0, |duration| duration.min(YEAR).as_secs_f64() / 10.0);
    // Failures alone say nothing: the first attempt of a kubelet may come before the API server is up.
    folded.expect(verdict, node, left.is_finite() && left > least, || {
        let finding = Finding::new("a client certificate that was renewed in time", words(left, errors));
        if left.is_finite() && left > 0.0 {
            finding
                .so("its renewal is stuck: when the certificate expires, the node is lost")
                .mend(format!("kubectl get csr; on {node}: journalctl -u kubelet | grep -i certificate"))
        } else {
            finding.so("the API server refuses the kubelet as soon as it connects anew")
        }
    });
}

/// A kubelet without this metric signs its serving certificate itself, which is for another check.
fn judge_server(verdict: &mut Verdict, folded: &mut Folded, node: &str, left: Option<f64>, errors: Option<f64>) {
    let Some(left) = left else { return };
    folded.expect(verdict, node, left.is_finite() && left > 0.0, || {
        Finding::new("a serving certificate", words(left, errors))
            .so("the kubelet presents nothing that is valid: logs, exec and metrics of its pods fail")
            .mend("kubectl get csr: its request waits for somebody to approve it")
            .severity(Severity::Major)
    });
}

fn words(left: f64, errors: Option<f64>) -> String {
    let errors = match errors {
        Some(errors) if errors > 0.0 => format!("; {errors} renewals have failed"),
        _ => String::new(),
    };
    if !left.is_finite() {
        return format!("none that is valid{errors}");
    }
    let duration = SignedDuration::try_from_secs_f64(left.abs()).unwrap_or(SignedDuration::MAX);
    if left <= 0.0 {
        format!("one that expired {} ago{errors}", length(duration))
    } else {
        format!("one that expires in {}{errors}", length(duration))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Seen;

    const DAY: f64 = 86_400.0;

    fn manager(arguments: &[&str]) -> Pods {
        let arguments = [&["--controllers=*"], arguments].concat();
        Pods(BTreeMap::from([static_pod("kube-controller-manager", "n1", &arguments)]))
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
        findings.into_iter().map(|finding| (finding.severity, finding.seen)).collect()
    }

    #[test]
    fn a_certificate_with_time_left_passes() {
        let verdict = judged(Ok(&[(CLIENT_TTL, 300.0 * DAY), (CLIENT_ERRORS, 0.0)]), &manager(&[]), "v1.37.2");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (1, 0));
        assert!(findings(&[(CLIENT_TTL, DAY)], &["--cluster-signing-duration=24h"]).is_empty());
        assert!(findings(&[(CLIENT_TTL, 300.0 * DAY)], &["--cluster-signing-duration=87600h"]).is_empty());
    }

    #[test]
    fn one_that_should_have_been_renewed_or_has_ended_is_found() {
        let stuck = findings(&[(CLIENT_TTL, 20.0 * DAY), (CLIENT_ERRORS, 3.0)], &[]);
        assert_eq!(stuck, [(Severity::Critical, "one that expires in 20 days; 3 renewals have failed".to_owned())]);
        assert_eq!(findings(&[(CLIENT_TTL, f64::INFINITY)], &[])[0].1, "none that is valid");
        assert_eq!(findings(&[(CLIENT_TTL, -3.0 * DAY)], &[])[0].1, "one that expired 3 days ago");
    }

    #[test]
    fn failures_with_time_left_are_nothing_and_no_renewal_a_remark() {
        assert_eq!(findings(&[(CLIENT_TTL, 300.0 * DAY), (CLIENT_ERRORS, 2.0)], &[]), []);
        assert_eq!(findings(&[], &[])[0].0, Severity::Info);
    }

    #[test]
    fn without_the_controller_manager_only_the_end_counts() {
        let pods = Pods::default();
        let verdict = judged(Ok(&[(CLIENT_TTL, DAY)]), &pods, "v1.37.2");
        assert_eq!((verdict.findings(Severity::Critical).len(), crate::check::testing::notes(&verdict).len()), (0, 1));
        let hidden = Pods([static_pod("kube-controller-manager", "n1", &[])].into());
        assert_eq!(
            crate::check::testing::notes(&judged(Ok(&[(CLIENT_TTL, DAY)]), &hidden, "v1.37.2")).len(),
            1,
            "its flags do not show"
        );
        assert_eq!(judged(Ok(&[(CLIENT_TTL, -DAY)]), &pods, "v1.37.2").findings(Severity::Critical).len(), 1);
    }

    #[test]
    fn the_advice_does_not_reset_a_control_plane_node() {
        let fix = CHECK.documentation().fix;
        assert!(fix.contains("--client-name system:node:NAME") && fix.contains("on workers only"), "{fix}");
    }

    #[test]
    fn without_the_right_to_list_pods_it_is_undecided() {
        let metrics = KubeletMetrics([("n3".to_owned(), Ok([(CLIENT_TTL.to_owned(), DAY.to_string())].into()))].into());
        let refused = Unobserved::Refused { missing: "list pods".into(), message: "no".into() };
        assert_eq!(judge(&metrics, &Nodes::default(), Err(&refused)).gaps().len(), 1);
    }

    #[test]
    fn a_serving_certificate_that_nobody_approved_is_found() {
        let seen = findings(&[(CLIENT_TTL, 300.0 * DAY), (SERVER_TTL, f64::INFINITY)], &[]);
        assert_eq!(seen, [(Severity::Major, "none that is valid".to_owned())]);
    }

    #[test]
    fn who_renews_otherwise_or_is_out_of_reach_is_told() {
        assert!(judged(Ok(&[]), &manager(&[]), "v1.36.1+k3s1").reason().unwrap().starts_with("renewed when the agent"));
        let far = Err(Unobserved::unreachable("10.77.0.13:10250", "refused"));
        assert!(judged(far, &manager(&[]), "v1.37.2").reason().unwrap().contains("nodes/proxy"));
        let refused = Err(Unobserved::Refused { missing: "get nodes/metrics".into(), message: "no".into() });
        assert_eq!(judged(refused, &manager(&[]), "v1.37.2").gaps().len(), 1);
    }
}
