//! # Kubelets refuse requests without credentials
//!
//! ## Why
//! Anyone who may use a kubelet's API can read its pods and run commands in them. With `AlwaysAllow` and anonymous requests,
//! that is everyone who can connect to port 10250.
//!
//! ## Fix
//! In `/var/lib/kubelet/config.yaml` on the node that is named, set `authentication.anonymous.enabled: false`,
//! `authentication.webhook.enabled: true` and `authorization.mode: Webhook`, and restart the kubelet.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/>; kubernetes/kubernetes
//! `pkg/kubelet/server/auth.go`. 401: anonymous requests are off. 403: they are on, and RBAC refused. 200: open.

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubelet_anonymous::KubeletAnonymous;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::seen::{Seen, Unobserved};

use super::reach::out_of_reach;

crate::check!("KL-03", "kubelet-anonymous", Critical, judge, blocked_by: ["KL-13", "KL-16", "PK-09"]);

fn judge(
    nodes: &Nodes,
    from_here: Result<&KubeletAnonymous, &Unobserved>,
    from_pods: Result<&ProbeReports, &Unobserved>,
) -> Verdict {
    let seen: Vec<(&String, Seen<BTreeMap<String, u16>>)> =
        nodes.0.keys().map(|node| (node, statuses(node, from_here, from_pods))).collect();
    let reason = out_of_reach(seen.iter().map(|(_, statuses)| statuses.as_ref().err().cloned()));
    if let Some(why) = reason.filter(|_| from_pods.is_err_and(Unobserved::is_skip)) {
        return Verdict::not_applicable(format!("no kubelet is reachable from here: {why}"));
    }
    let mut verdict = Verdict::new();
    for (node, statuses) in seen {
        match statuses {
            Ok(statuses) => judge_node(&mut verdict, node, &statuses),
            Err(why) => verdict.unseen(Subject::node(node), &why),
        }
    }
    verdict
}

/// The statuses that the kubelet answered, asked from here or, if it is not reachable from here, from a pod on its node.
fn statuses(
    node: &str,
    from_here: Result<&KubeletAnonymous, &Unobserved>,
    from_pods: Result<&ProbeReports, &Unobserved>,
) -> Seen<BTreeMap<String, u16>> {
    let here = match from_here {
        Ok(kubelets) => {
            kubelets.0.get(node).cloned().unwrap_or_else(|| Err(Unobserved::absent(format!("{node} was not asked"))))
        }
        Err(why) => Err(why.clone()),
    };
    let pod = || {
        let answers = from_pods.ok()?.0.get(node)?.answers.as_ref().ok()?;
        let asked = answers.kubelet.iter().flat_map(|(address, kubelet)| {
            kubelet.anonymous.iter().map(move |(path, got)| {
                let unreachable = |fault| Unobserved::unreachable(format!("{path} at {address}"), fault);
                Ok((path.clone(), got.clone().map_err(unreachable)?))
            })
        });
        // If two addresses answer for a path, the more permissive answer counts.
        let mut statuses = BTreeMap::new();
        for status in asked {
            match status {
                Ok((path, status)) => {
                    statuses.entry(path).and_modify(|seen: &mut u16| *seen = status.min(*seen)).or_insert(status)
                }
                Err(why) => return Some(Err(why)),
            };
        }
        (!statuses.is_empty()).then_some(Ok(statuses))
    };
    here.or_else(|why| pod().unwrap_or(Err(why)))
}

fn judge_node(verdict: &mut Verdict, node: &str, statuses: &BTreeMap<String, u16>) {
    for (path, status) in statuses {
        verdict.expect(Subject::node(node), *status == 401, || {
            let finding = Finding::new(
                format!("GET {path} at port 10250 without credentials answers 401"),
                format!("it answers {status}"),
            )
            .fix(
                "on these nodes, set authentication.anonymous.enabled: false and authorization.mode: Webhook in \
                 /var/lib/kubelet/config.yaml, then systemctl restart kubelet",
            );
            match status {
                200..=299 => {
                    finding.impact("anyone who can connect can read the pods of these nodes and run commands in them")
                }
                403 => finding.impact("anonymous requests are enabled, so only RBAC protects the kubelet").info(),
                _ => finding,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, KubeletAnswer};
    use crate::fact::facts::probe_reports::testing::reports;

    fn nodes() -> Nodes {
        Nodes([("n1".to_owned(), Node::default())].into())
    }

    fn here(status: u16) -> KubeletAnonymous {
        KubeletAnonymous([("n1".to_owned(), Ok([("/pods".to_owned(), status)].into()))].into())
    }

    #[test]
    fn a_kubelet_that_wants_credentials_passes() {
        let verdict = judge(&nodes(), Ok(&here(401)), Err(&Unobserved::Interrupted));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (1, 0));
    }

    #[test]
    fn an_open_kubelet_is_critical_and_one_behind_rbac_is_informational() {
        let findings = judge(&nodes(), Ok(&here(200)), Err(&Unobserved::Interrupted)).findings(Severity::Critical);
        assert_eq!((findings[0].severity, findings[0].seen.as_str()), (Severity::Critical, "it answers 200"));
        let findings = judge(&nodes(), Ok(&here(403)), Err(&Unobserved::Interrupted)).findings(Severity::Critical);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn what_cannot_be_reached_from_here_is_asked_from_a_pod() {
        let unreachable = KubeletAnonymous([("n1".to_owned(), Err(Unobserved::unreachable("n1", "refused")))].into());
        let kubelet =
            KubeletAnswer { certificate: Err(Fault::Refused), anonymous: [("/pods".to_owned(), Ok(200))].into() };
        let answers = Answers { kubelet: [([10, 77, 0, 11].into(), kubelet)].into(), ..Answers::default() };
        let reports = reports([("n1", answers)]);
        assert_eq!(judge(&nodes(), Ok(&unreachable), Ok(&reports)).findings(Severity::Critical).len(), 1);
        let verdict = judge(&nodes(), Ok(&unreachable), Err(&Unobserved::Interrupted));
        assert_eq!((verdict.gaps().len(), verdict.observations()), (1, 0));
        let not_allowed = Unobserved::NotAllowed { access: crate::seen::Access::Create, profile: "audit".into() };
        let reason = judge(&nodes(), Ok(&unreachable), Err(&not_allowed));
        assert!(reason.reason().is_some_and(|reason| reason.starts_with("no kubelet is reachable from here")));
    }
}
