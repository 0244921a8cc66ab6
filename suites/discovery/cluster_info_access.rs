//! # Without credentials, only cluster-info is readable in kube-public
//!
//! ## Why
//! `kubeadm join` with a token reads cluster-info before it has a credential: hardening that closes it stops every
//! join. Opened too far, it shows every ConfigMap of kube-public to anyone who reaches the API server, or lets them
//! write cluster-info and send joining nodes elsewhere.
//!
//! ## Fix
//! HTTP 403: `kubeadm init phase bootstrap-token --skip-token-print` restores the Role and RoleBinding
//! kube-public/kubeadm:bootstrap-signer-clusterinfo; it also creates a token for a day (`kubeadm token delete ID`).
//! HTTP 401: `--anonymous-auth=false` is set, `--authorization-mode=AlwaysAllow` turns anonymous requests off, or an
//! AuthenticationConfiguration limits anonymous requests and lacks the path
//! `/api/v1/namespaces/kube-public/configmaps/cluster-info`. If nodes join by a file, state this in the profile
//! (`expect: {discovery: file}`) and delete the RoleBinding. Find whatever else grants rights to `system:anonymous` or
//! `system:unauthenticated` in kube-public with `kubectl get rolebindings,clusterrolebindings -A -o wide | grep -E
//! "system:(anonymous|unauthenticated)"`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/clusterinfo/clusterinfo.go`;
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-requests>. Only refusals of an
//! API server count, 401 or 403 with a Status: those of a proxy would prove nothing.

use super::helpers::judge_missing;
use super::helpers::kubeadm_grants::named;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::anonymous_surface::AnonymousAnswer;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::cluster_info_access::ClusterInfoAccess;
use crate::fact::facts::expectations::{Discovery, Expectations};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::rbac::{self, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::{Seen, Unobserved};
use crate::suites::rights::{details, remove};

crate::check!("DI-02", "cluster-info-access", Major, judge, builds_on: ["AA-17", "AA-18", "DI-01"]);

/// The name of kubeadm's Role and RoleBinding.
const GRANT: &str = "kubeadm:bootstrap-signer-clusterinfo";
const ROLE: ObjectRef = ObjectRef::fixed_in("kube-public", rbac::ROLE, GRANT);
const BINDING: ObjectRef = ObjectRef::fixed_in("kube-public", rbac::BINDING, GRANT);
/// The user of every client without credentials.
const ANONYMOUS: Holder = Holder::user("system:anonymous");

/// How to authenticate requests without credentials as anonymous again.
const UNAUTHENTICATED: &str = "on each control-plane node, in /etc/kubernetes/manifests/kube-apiserver.yaml, remove \
     AlwaysAllow from --authorization-mode, which turns anonymous requests off (AA-03), and --anonymous-auth=false; or \
     set anonymous: {enabled: true, conditions: [{path: /api/v1/namespaces/kube-public/configmaps/cluster-info}, \
     {path: /livez}, {path: /readyz}, {path: /healthz}]} in the file of --authentication-config; or, if nodes join by \
     a file, set expect: {discovery: file} in the profile";
/// How to find what grants more than cluster-info.
const FIND: &str = "find the binding, and remove the subject from it: kubectl get rolebindings,clusterrolebindings -A \
                    -o wide | grep -E 'system:(anonymous|unauthenticated)'";

/// Without the right to read cluster-info, a client cannot know whether it exists.
fn judge(
    info: Option<&ClusterInfo>,
    access: &ClusterInfoAccess,
    rbac: Result<&Rbac, &Unobserved>,
    expectations: &Expectations,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    match info {
        Some(_) => judge_cluster_info(&mut verdict, &access.cluster_info, expectations.discovery, rbac.ok()),
        None => judge_missing(&mut verdict, kubeadm, expectations),
    }
    if verdict.reason().is_some() {
        return verdict;
    }
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
        match Access::of(answer) {
            Access::Refused => verdict.confirm(),
            Access::Granted => verdict.find(
                subject,
                Finding::new(
                    format!("{request} without credentials is refused"),
                    format!("it is answered with {}", answer.status),
                )
                .impact("anyone who reaches the API server reads more than cluster-info")
                .fix(FIND),
            ),
            Access::Unclear => verdict.unseen(subject, &unclear(request, answer)),
        }
    }
    match rbac {
        Ok(rbac) => judge_grant(&mut verdict, rbac),
        Err(why) => verdict.unseen(BINDING.into(), why),
    }
    verdict
}

fn judge_cluster_info(
    verdict: &mut Verdict,
    answer: &Seen<AnonymousAnswer>,
    discovery: Discovery,
    rbac: Option<&Rbac>,
) {
    let subject = || Subject::object("ConfigMap", "kube-public", "cluster-info");
    let request = "GET of cluster-info";
    let Some(answer) = verdict.seen(subject, answer) else {
        return;
    };
    match (discovery, Access::of(answer)) {
        (Discovery::Token, Access::Granted) | (Discovery::File, Access::Refused) => verdict.confirm(),
        (Discovery::Token, Access::Refused) => verdict.find(
            subject(),
            Finding::new(
                format!("{request} is readable without credentials, because nodes join with tokens"),
                format!("it is refused with {} {}", answer.status, answer.reason),
            )
            .impact("kubeadm join with a token fails at discovery")
            .fix(if answer.status == 401 {
                UNAUTHENTICATED.to_owned()
            } else {
                format!(
                    "{}; or, if nodes join by a file, set expect: {{discovery: file}} in the profile",
                    named(GRANT).fix_all()
                )
            }),
        ),
        (Discovery::File, Access::Granted) => verdict.find(
            subject(),
            Finding::new(
                format!("{request} without credentials is refused, since nodes join by a file"),
                format!("it is answered with {}", answer.status),
            )
            .impact("anyone who reaches the API server reads the cluster's address and CA")
            .fix(format!("kubectl -n kube-public delete rolebinding {GRANT}"))
            .managed_by(rbac.and_then(|rbac| rbac.manager(&BINDING))),
        ),
        (_, Access::Unclear) => verdict.unseen(subject(), &unclear(request, answer)),
    }
}

/// What an answer shows about requests without credentials.
enum Access {
    Granted,
    Refused,
    Unclear,
}

impl Access {
    fn of(answer: &AnonymousAnswer) -> Self {
        match (answer.status, answer.reason.as_str()) {
            // Authorization comes before lookup: a request that is not found was authorized.
            (200, _) | (404, "NotFound") => Self::Granted,
            (401, "Unauthorized") | (403, "Forbidden") => Self::Refused,
            _ => Self::Unclear,
        }
    }
}

fn unclear(request: &str, answer: &AnonymousAnswer) -> Unobserved {
    Unobserved::invalid(
        format!("{request} without credentials"),
        format!("HTTP {} that an API server would not send {}", answer.status, answer.reason).trim_end(),
    )
}

/// kubeadm's own grant is as narrow as kubeadm makes it. If it is missing, the answers above show the consequence.
fn judge_grant(verdict: &mut Verdict, rbac: &Rbac) {
    let grant = named(GRANT);
    if let Some(rules) = rbac.rules(&ROLE) {
        let wider: Vec<PolicyRule> = rules.iter().filter(|rule| !is_narrow(rule)).cloned().collect();
        verdict.expect(ROLE.into(), wider.is_empty(), || {
            Finding::new(
                "the role lets its subjects get the ConfigMap cluster-info, and nothing else",
                "it permits more",
            )
            .evidence(details(&[], &wider))
            .impact("anyone who reaches the API server has these rights")
            .fix(grant.fix_role())
            .managed_by(rbac.manager(&ROLE))
        });
    }
    if let Some(binding) = rbac.bindings.get(&BINDING) {
        let others: Vec<&Holder> = binding.holders.iter().filter(|holder| **holder != ANONYMOUS).collect();
        verdict.expect(BINDING.into(), others.is_empty(), || {
            Finding::new(format!("the role is granted to {ANONYMOUS} only"), "it is also granted to others")
                .evidence(details(&others, &[]))
                .impact("the binding grants more than kubeadm intends")
                .fix(remove(&BINDING, &others))
                .managed_by(rbac.manager(&BINDING))
        });
        verdict.expect(BINDING.into(), binding.role == ROLE, || {
            Finding::new(format!("the binding grants {ROLE}"), format!("it grants {}", binding.role))
                .impact("anyone who reaches the API server has that role in kube-public")
                .fix(grant.fix())
                .managed_by(rbac.manager(&BINDING))
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
        judge(Some(&info), access, Ok(rbac), &expecting(discovery), Ok(&KubeadmConfig::default()))
    }

    fn expecting(discovery: Discovery) -> Expectations {
        Expectations { discovery, ..Expectations::default() }
    }

    fn findings(verdict: &Verdict) -> Vec<Finding> {
        verdict.findings(Severity::Major)
    }

    #[test]
    fn the_grant_of_kubeadm_passes() {
        let verdict = judged(&access(answer(200, "")), &kubeadms(), Discovery::Token);
        assert!(findings(&verdict).is_empty());
        assert_eq!(verdict.observations(), 6);
    }

    #[test]
    fn closed_cluster_info_is_found_unless_nodes_join_by_a_file() {
        let closed = access(answer(403, "Forbidden"));
        let verdict = judged(&closed, &Rbac::default(), Discovery::Token);
        assert_eq!(findings(&verdict)[0].seen, "it is refused with 403 Forbidden");
        assert!(findings(&verdict)[0].fix.contains("kubectl create rolebinding kubeadm:bootstrap-signer-clusterinfo"));
        let verdict = judged(&access(answer(401, "Unauthorized")), &Rbac::default(), Discovery::Token);
        assert!(findings(&verdict)[0].fix.contains("--anonymous-auth=false"));
        assert!(findings(&judged(&closed, &Rbac::default(), Discovery::File)).is_empty());
        let open = judged(&access(answer(200, "")), &kubeadms(), Discovery::File);
        assert!(findings(&open)[0].expected.contains("since nodes join by a file"));
    }

    #[test]
    fn without_cluster_info_the_rest_of_a_cluster_of_kubeadm_is_still_judged() {
        let access = ClusterInfoAccess { list: answer(200, ""), ..access(answer(404, "NotFound")) };
        let ours = KubeadmConfig::default();
        let (rbac, expecting) = (kubeadms(), expecting(Discovery::Token));
        let judged = |kubeadm| judge(None, &access, Ok(&rbac), &expecting, kubeadm);
        let seen: Vec<_> = findings(&judged(Ok(&ours))).into_iter().map(|found| found.seen).collect();
        assert_eq!(seen, ["it does not exist, although kubeadm built this cluster", "it is answered with 200"]);
        assert!(judged(Err(&Unobserved::absent("not found"))).reason().is_some());
    }

    #[test]
    fn access_to_more_than_cluster_info_is_found() {
        let wide = ClusterInfoAccess { list: answer(200, ""), ..access(answer(200, "")) };
        let verdict = judged(&wide, &kubeadms(), Discovery::Token);
        assert_eq!(findings(&verdict)[0].subjects[0].to_string(), "Namespace kube-public");

        let path = format!("kube-public/{GRANT}");
        let rbac = kubeadms().with_role(&path, vec![rule(&["get", "update"], "", &["configmaps"])]);
        let verdict = judged(&access(answer(200, "")), &rbac, Discovery::Token);
        assert_eq!(findings(&verdict)[0].evidence, ["permits: get, update configmaps"]);

        let holders = ["User system:anonymous", "Group system:unauthenticated"];
        let rbac = kubeadms().with_binding(&path, &format!("Role {GRANT}"), &holders);
        let verdict = judged(&access(answer(200, "")), &rbac, Discovery::Token);
        assert_eq!(findings(&verdict)[0].evidence, ["granted to Group system:unauthenticated"]);
    }

    #[test]
    fn a_refusal_by_a_proxy_and_no_answer_are_inconclusive() {
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
