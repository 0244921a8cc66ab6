//! # Without credentials cluster-info can be read, and nothing else in kube-public
//!
//! ## Why
//! `kubeadm join` with a token reads cluster-info before it has a credential: hardening that closes it stops every join.
//! The same door, opened wider, shows every ConfigMap of kube-public to whoever reaches the API server, or lets them
//! write cluster-info and send joining nodes elsewhere.
//!
//! ## Fix
//! `kubeadm init phase bootstrap-token --skip-token-print` restores the Role and RoleBinding
//! kube-public/kubeadm:bootstrap-signer-clusterinfo; it leaves a token that is good for a day (`kubeadm token delete ID`).
//! That is for 403. To 401 it is of no use: there `--anonymous-auth=false` is set, `--authorization-mode=AlwaysAllow` turns
//! anonymous requests off, or an AuthenticationConfiguration limits
//! anonymous requests and lacks the path `/api/v1/namespaces/kube-public/configmaps/cluster-info`. Where nodes join by a file, say so in the profile
//! (`expect: {discovery: file}`) and remove the RoleBinding. Whatever else grants rights to `system:anonymous` or
//! `system:unauthenticated` in kube-public: `kubectl get rolebindings,clusterrolebindings -A -o wide | grep -E
//! "system:(anonymous|unauthenticated)"`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/clusterinfo/clusterinfo.go`;
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-requests>. A refusal counts only in
//! the words of an API server, 401 or 403 with a Status: a proxy's would prove nothing.

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::anonymous_surface::AnonymousAnswer;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::cluster_info_access::ClusterInfoAccess;
use crate::fact::facts::expectations::{Discovery, Expectations};
use crate::fact::facts::rbac::{self, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::{Seen, Unobserved};

crate::check!("DI-02", "cluster-info-access", Major, judge);

/// The name of kubeadm's Role and RoleBinding.
const GRANT: &str = "kubeadm:bootstrap-signer-clusterinfo";
const ROLE: ObjectRef = ObjectRef::fixed_in("kube-public", rbac::ROLE, GRANT);
const BINDING: ObjectRef = ObjectRef::fixed_in("kube-public", rbac::BINDING, GRANT);
/// Everybody without credentials.
const ANONYMOUS: Holder = Holder::user("system:anonymous");

/// How requests without credentials are let in again that no authenticator takes for anonymous ones.
const UNAUTHENTICATED: &str = "the API servers take no anonymous requests: on each control-plane node, in \
     /etc/kubernetes/manifests/kube-apiserver.yaml, take AlwaysAllow out of --authorization-mode, which turns them off (AA-03), \
     and remove --anonymous-auth=false; or set anonymous: {enabled: true, conditions: \
     [{path: /api/v1/namespaces/kube-public/configmaps/cluster-info}]} in its --authentication-config file, with the paths \
     /livez, /readyz and /healthz for the probes; or, if nodes join by a file, `expect: {discovery: file}` in the profile";
/// How they are authorized again.
const FORBIDDEN: &str = "restore it: kubeadm init phase bootstrap-token --skip-token-print, which leaves a token that is good for \
     a day (kubeadm token delete ID); or, if nodes join by a file, `expect: {discovery: file}` in the profile";

/// Takes cluster-info to be skipped where there is none: without the right to read it nobody is told so.
fn judge(
    _info: &ClusterInfo,
    access: &ClusterInfoAccess,
    rbac: Result<&Rbac, &Unobserved>,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_cluster_info(&mut verdict, &access.cluster_info, expectations.discovery);
    let closed = [
        (&access.list, Subject::cluster_object("Namespace", "kube-public"), "LIST of the ConfigMaps of kube-public"),
        (
            &access.root_ca,
            Subject::object("ConfigMap", "kube-public", "kube-root-ca.crt"),
            "GET of kube-public/kube-root-ca.crt",
        ),
    ];
    for (answer, subject, request) in closed {
        let Some(answer) = verdict.seen(|| subject.clone(), answer) else {
            continue;
        };
        match Door::of(answer) {
            Door::Closed => verdict.confirm(),
            Door::Open => verdict.find(
                subject,
                Finding::new(
                    format!("{request} without credentials is refused"),
                    format!("it is answered with {}", answer.status),
                )
                .so("everybody who reaches the API server reads more than cluster-info"),
            ),
            Door::Unclear => verdict.unseen(subject, &unclear(request, answer)),
        }
    }
    match rbac {
        Ok(rbac) => judge_grant(&mut verdict, rbac),
        Err(why) => verdict.unseen(BINDING.into(), why),
    }
    verdict
}

fn judge_cluster_info(verdict: &mut Verdict, answer: &Seen<AnonymousAnswer>, discovery: Discovery) {
    let subject = || Subject::object("ConfigMap", "kube-public", "cluster-info");
    let request = "GET of cluster-info";
    let Some(answer) = verdict.seen(subject, answer) else {
        return;
    };
    match (discovery, Door::of(answer)) {
        (Discovery::Token, Door::Open) | (Discovery::File, Door::Closed) => verdict.confirm(),
        (Discovery::Token, Door::Closed) => verdict.find(
            subject(),
            Finding::new(
                format!("{request} without credentials is answered, since nodes join with tokens"),
                format!("it is refused with {} {}", answer.status, answer.reason),
            )
            .so("kubeadm join with a token does not get past discovery")
            .mend(if answer.status == 401 { UNAUTHENTICATED } else { FORBIDDEN }),
        ),
        (Discovery::File, Door::Open) => verdict.find(
            subject(),
            Finding::new(
                format!("{request} without credentials is refused, since nodes join by a file"),
                format!("it is answered with {}", answer.status),
            )
            .mend(format!("kubectl -n kube-public delete rolebinding {GRANT}")),
        ),
        (_, Door::Unclear) => verdict.unseen(subject(), &unclear(request, answer)),
    }
}

/// What an answer says of a request without credentials.
enum Door {
    Open,
    Closed,
    Unclear,
}

impl Door {
    fn of(answer: &AnonymousAnswer) -> Self {
        match (answer.status, answer.reason.as_str()) {
            // Authorization comes before lookup: not to be found is to have been let in.
            (200, _) | (404, "NotFound") => Self::Open,
            (401, "Unauthorized") | (403, "Forbidden") => Self::Closed,
            _ => Self::Unclear,
        }
    }
}

fn unclear(request: &str, answer: &AnonymousAnswer) -> Unobserved {
    Unobserved::invalid(
        format!("{request} without credentials"),
        format!("HTTP {} that no API server would send {}", answer.status, answer.reason).trim_end(),
    )
}

/// kubeadm's own grant is as narrow as kubeadm makes it. Where it is missing, the answers above say what follows.
fn judge_grant(verdict: &mut Verdict, rbac: &Rbac) {
    if let Some(rules) = rbac.rules(&ROLE) {
        let wider: Vec<&PolicyRule> = rules.iter().filter(|rule| !is_narrow(rule)).collect();
        verdict.expect(ROLE.into(), wider.is_empty(), || {
            Finding::new("get of the ConfigMap cluster-info, and nothing else", names(wider))
                .so("everybody who reaches the API server may do that")
        });
    }
    if let Some(binding) = rbac.bindings.get(&BINDING) {
        let others: BTreeSet<&Holder> = binding.holders.iter().filter(|holder| **holder != ANONYMOUS).collect();
        verdict.expect(BINDING.into(), others.is_empty(), || {
            Finding::new(format!("{ANONYMOUS}, and nobody else"), names(others))
        });
        verdict.expect(BINDING.into(), binding.role == ROLE, || {
            Finding::new(ROLE.to_string(), binding.role.to_string())
                .so("everybody who reaches the API server has that role in kube-public")
        });
    }
}

fn is_narrow(rule: &PolicyRule) -> bool {
    rule.verbs == ["get"]
        && rule.groups == [""]
        && rule.resources == ["configmaps"]
        && rule.names == ["cluster-info"]
        && rule.urls.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::fact::facts::rbac::Binding;
    use crate::fact::facts::rbac::testing::rule;

    #[expect(clippy::unnecessary_wraps, reason = "facts hold what was seen, or why not")]
    fn answer(status: u16, reason: &str) -> Seen<AnonymousAnswer> {
        Ok(AnonymousAnswer { status, reason: reason.into() })
    }

    fn access(cluster_info: Seen<AnonymousAnswer>) -> ClusterInfoAccess {
        ClusterInfoAccess { cluster_info, list: answer(403, "Forbidden"), root_ca: answer(403, "Forbidden") }
    }

    fn kubeadms() -> Rbac {
        let narrow = PolicyRule { names: vec!["cluster-info".into()], ..rule(&["get"], "", &["configmaps"]) };
        let binding = Binding { role: ROLE, holders: vec![ANONYMOUS] };
        let (roles, bindings) = ([(ROLE, vec![narrow])].into(), [(BINDING, binding)].into());
        Rbac { roles, bindings, ..Rbac::default() }
    }

    fn judged(access: &ClusterInfoAccess, rbac: &Rbac, discovery: Discovery) -> Verdict {
        let info = cluster_info("https://10.77.0.11:6443", Vec::new());
        judge(&info, access, Ok(rbac), &Expectations { discovery, ..Expectations::default() })
    }

    fn findings(verdict: &Verdict) -> Vec<Finding> {
        verdict.findings(Severity::Major)
    }

    #[test]
    fn what_kubeadm_grants_passes() {
        let verdict = judged(&access(answer(200, "")), &kubeadms(), Discovery::Token);
        assert!(findings(&verdict).is_empty());
        assert_eq!(verdict.observations(), 6);
    }

    #[test]
    fn closed_to_joining_nodes_is_found_unless_they_join_by_a_file() {
        let closed = access(answer(403, "Forbidden"));
        let verdict = judged(&closed, &Rbac::default(), Discovery::Token);
        assert_eq!(findings(&verdict)[0].seen, "it is refused with 403 Forbidden");
        assert!(findings(&verdict)[0].fix.contains("bootstrap-token"));
        let verdict = judged(&access(answer(401, "Unauthorized")), &Rbac::default(), Discovery::Token);
        assert!(findings(&verdict)[0].fix.contains("--anonymous-auth=false"));
        assert!(findings(&judged(&closed, &Rbac::default(), Discovery::File)).is_empty());
        let open = judged(&access(answer(200, "")), &kubeadms(), Discovery::File);
        assert!(findings(&open)[0].expected.contains("since nodes join by a file"));
    }

    #[test]
    fn more_than_cluster_info_is_found() {
        let wide = ClusterInfoAccess { list: answer(200, ""), ..access(answer(200, "")) };
        let verdict = judged(&wide, &kubeadms(), Discovery::Token);
        assert_eq!(findings(&verdict)[0].subjects[0].to_string(), "Namespace kube-public");

        let path = format!("kube-public/{GRANT}");
        let rbac = kubeadms().with_role(&path, vec![rule(&["get", "update"], "", &["configmaps"])]);
        let verdict = judged(&access(answer(200, "")), &rbac, Discovery::Token);
        assert_eq!(findings(&verdict)[0].seen, "get,update configmaps");

        let holders = ["User system:anonymous", "Group system:unauthenticated"];
        let rbac = kubeadms().with_binding(&path, &format!("Role {GRANT}"), &holders);
        let verdict = judged(&access(answer(200, "")), &rbac, Discovery::Token);
        assert_eq!(findings(&verdict)[0].seen, "Group system:unauthenticated");
    }

    #[test]
    fn a_refusal_by_somebody_else_and_no_answer_are_undecided() {
        let proxy = ClusterInfoAccess {
            cluster_info: answer(403, ""),
            list: Err(Unobserved::unreachable("GET", "reset")),
            root_ca: answer(502, ""),
        };
        let verdict = judged(&proxy, &kubeadms(), Discovery::Token);
        assert!(findings(&verdict).is_empty());
        assert_eq!(verdict.gaps().len(), 3);
    }
}
