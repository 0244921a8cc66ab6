//! # Only administrators may checkpoint containers
//!
//! ## Why
//! The kubelet's checkpoint API stops a container and writes its whole memory, with every key in it, to a file on the node.
//! Anyone who may `create nodes/checkpoint` can read the secrets of every workload.
//!
//! ## Fix
//! `kubectl describe clusterrolebinding NAME` shows who has the right. Remove `nodes/checkpoint` (or the wildcard that covers
//! it) from the role, or delete the binding. For a kubelet that accepts everyone, see KL-04.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/server/server.go`, `pkg/kubelet/server/auth.go` (POST /checkpoint is `create
//! nodes/checkpoint`), KEP-2008. A probe requests a checkpoint of a pod that cannot exist, with a token without rights.
//! 403 is a refusal; 404 and 500 mean that the request was authorized. No checkpoint is ever made.

use std::net::SocketAddr;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::Endpoint;
use crate::fact::facts::probe_reports::endpoints::CHECKPOINT;
use crate::fact::facts::rbac::{Grant, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::ports::KUBELET;
use crate::seen::{Seen, Unobserved};
use crate::suites::rights;

crate::check!(
    "KL-10",
    "checkpoint-rights",
    Major,
    judge,
    builds_on: ["AA-03", "AA-18", "KL-03", "KL-04"],
    blocked_by: ["KL-13", "PK-09"]
);

fn judge(rbac: &Rbac, nodes: &Nodes, reports: Result<&ProbeReports, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    for grant in rbac.grants().filter(|grant| grant.namespace().is_none()) {
        judge_grant(&mut verdict, &grant);
    }
    match reports {
        Ok(reports) => {
            for (name, report) in &reports.0 {
                let Some(answers) = verdict.seen(|| Subject::node(name), &report.answers) else { continue };
                for address in nodes.0.get(name).into_iter().flat_map(Node::internal_addresses) {
                    let endpoint = Endpoint::post_with_token(SocketAddr::new(address, KUBELET), CHECKPOINT);
                    judge_kubelet(&mut verdict, name, answers.reached.status(&endpoint));
                }
            }
        }
        // RBAC alone shows who has the right; only some profiles may ask the kubelets.
        Err(Unobserved::NotAllowed { .. }) => verdict.note("kubelets were not asked, which needs a pod with a token"),
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

fn judge_grant(verdict: &mut Verdict, grant: &Grant<'_>) {
    let rules = grant.existing_rules();
    // Administrators are the subject of another check.
    let may = rules.iter().any(|rule| rule.permits("create", "", "nodes/checkpoint") && !rule.permits_everything());
    let holders: Vec<&Holder> = grant.binding.holders.iter().collect();
    let expected = rules.iter().any(PolicyRule::permits_everything) || !may || holders.is_empty();
    verdict.expect(grant.object.into(), expected, || {
        Finding::new(
            "only administrators may create nodes/checkpoint",
            format!("{} grants the right to {} subjects", grant.binding.role, holders.len()),
        )
        .evidence(&holders)
        .impact("they can write the memory of any container, with every key in it, to the node's disk")
        .fix(rights::unbind(grant, &holders))
        .managed_by(grant.manager)
    });
}

fn judge_kubelet(verdict: &mut Verdict, node: &str, status: Seen<u16>) {
    let status = match status {
        Ok(status) => status,
        Err(why) => return verdict.unseen(Subject::node(node), &why),
    };
    // A kubelet that does not accept tokens refuses this one too: whether it should accept them is another check.
    verdict.expect(Subject::node(node), matches!(status, 401 | 403), || {
        Finding::new(
            format!("POST {CHECKPOINT} at port 10250 with the token of a service account without rights answers 403"),
            format!("it answers {status}, so the request was authorized"),
        )
        .impact("every pod of the cluster can write the memory of any container on these nodes to disk")
        .fix("on these nodes, set authorization.mode: Webhook in /var/lib/kubelet/config.yaml, then systemctl restart kubelet")
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::{Answers, Met, Reached};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::fact::facts::rbac::testing::rule;
    use crate::seen::Access;

    fn not_allowed() -> Unobserved {
        Unobserved::NotAllowed { access: Access::Create, profile: "audit".into() }
    }

    #[test]
    fn administrators_and_the_api_server_pass() {
        let rbac = Rbac::default()
            .with_role("cluster-admin", vec![rule(&["*"], "*", &["*"])])
            .with_role("system:kubelet-api-admin", vec![rule(&["*"], "", &["nodes/proxy", "nodes/log"])])
            .with_binding("cluster-admin", "ClusterRole cluster-admin", &["Group system:masters"])
            .with_binding("api", "ClusterRole system:kubelet-api-admin", &["User kube-apiserver-kubelet-client"]);
        let verdict = judge(&rbac, &Nodes::default(), Err(&not_allowed()));
        assert_eq!(
            (verdict.observations(), seen_of(&verdict), crate::check::testing::notes(&verdict).len()),
            (2, vec![], 1)
        );
    }

    #[test]
    fn who_may_checkpoint_is_found_also_by_a_wildcard() {
        for resources in ["nodes/checkpoint", "nodes/*", "*/checkpoint", "*"] {
            let rbac = Rbac::default().with_role("backup", vec![rule(&["create"], "", &[resources])]).with_binding(
                "backup",
                "ClusterRole backup",
                &["ServiceAccount backup/agent"],
            );
            let verdict = judge(&rbac, &Nodes::default(), Err(&not_allowed()));
            let expected = "ClusterRoleBinding backup: ClusterRole backup grants the right to 1 subjects";
            // RBAC knows no wildcard of one resource's subresources.
            let expected: &[&str] = if resources == "nodes/*" { &[] } else { &[expected] };
            assert_eq!(seen_of(&verdict), expected, "{resources}");
        }
    }

    #[test]
    fn a_kubelet_that_lets_a_stranger_in_is_found() {
        let node = Node { addresses: vec![("InternalIP".into(), "10.77.0.11".into())], ..Node::default() };
        let nodes = Nodes([("n1".to_owned(), node)].into());
        let at: SocketAddr = "10.77.0.11:10250".parse().unwrap();
        let judged = |status| {
            let reached = Reached::from_iter([(Endpoint::post_with_token(at, CHECKPOINT), Ok(Met::Status(status)))]);
            let answers = Answers { reached, ..Answers::default() };
            judge(&Rbac::default(), &nodes, Ok(&reports([("n1", answers)])))
        };
        assert_eq!(seen_of(&judged(403)), Vec::<String>::new());
        assert_eq!(seen_of(&judged(404)), ["Node n1: it answers 404, so the request was authorized"]);
        assert_eq!(seen_of(&judged(500)).len(), 1);
    }
}
