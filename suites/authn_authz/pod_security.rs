//! # Pod Security is enforced where a namespace asks for it
//!
//! ## Why
//! The label `pod-security.kubernetes.io/enforce` does nothing by itself. If the admission plugin PodSecurity is off,
//! or the API server's configuration exempts the namespace, anyone who may create pods there can take over the node.
//!
//! ## Fix
//! Remove PodSecurity from `--disable-admission-plugins` of the API server, and the namespace from `exemptions` of its
//! PodSecurityConfiguration (the file of `--admission-control-config-file`), on every control-plane node.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/pod-security-admission`;
//! <https://kubernetes.io/docs/concepts/security/pod-security-admission/>. Tried with `dryRun=All` in the namespace of
//! the probes and in a few others that ask for baseline or restricted; the control is a pod that asks for nothing. An
//! exempted user would be accepted as well, and the user who runs this should not be exempted. In OpenShift the
//! security context constraints refuse first, which is as good.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::answered::Answered;
use crate::fact::facts::pod_security::PodSecurity;
use crate::seen::Unobserved;

crate::check!("AA-23", "pod-security", Major, judge);

/// How the plugin and OpenShift's constraints refuse.
const WORDS: [&str; 2] = ["violates PodSecurity", "security context constraint"];

const FIX: &str = "on each control-plane node, remove PodSecurity from --disable-admission-plugins in \
                   /etc/kubernetes/manifests/kube-apiserver.yaml, and these namespaces from exemptions.namespaces of \
                   the PodSecurityConfiguration in the file of --admission-control-config-file";

fn judge(fact: &PodSecurity) -> Verdict {
    let mut verdict = Verdict::new();
    let mut refused_us = Vec::new();
    for (namespace, tried) in &fact.tried {
        let subject = || Subject::cluster_object("Namespace", namespace);
        let tried = match tried {
            Ok(tried) => tried,
            // Creating pods is granted where the probes run, and need not be elsewhere.
            Err(Unobserved::Refused { .. }) => {
                refused_us.push(subject());
                continue;
            }
            Err(why) => {
                verdict.unseen(subject(), why);
                continue;
            }
        };
        let Answered { status, message } = &tried.privileged;
        match status {
            // Where a pod that asks for nothing is refused as well, this refusal shows nothing.
            403 if !tried.admits_pods() => {}
            403 if WORDS.iter().any(|words| message.contains(words)) => verdict.confirm(),
            403 => verdict.find(
                subject(),
                Finding::new("Pod Security refuses a privileged pod", format!("it is refused by: {message}"))
                    .impact("something else refuses it today; if that is removed, privileged pods might run in the namespace")
                    .fix(FIX)
                    .info(),
            ),
            200..=299 => verdict.find(
                subject(),
                Finding::new(
                    format!("a privileged pod is refused, because the namespace asks for {}", tried.level),
                    format!("it is accepted (HTTP {status})"),
                )
                .impact("the label does nothing: anyone who may create pods in the namespace can take over its node")
                .fix(FIX),
            ),
            _ => verdict.unseen(subject(), &inconclusive("a privileged pod", &tried.privileged)),
        }
        if tried.admits_pods() {
            verdict.confirm();
        } else {
            verdict.unseen(subject(), &inconclusive("a pod that asks for nothing", &tried.modest));
        }
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply(
            "no probes run, and creating pods is not granted in the namespaces that ask for Pod Security",
        );
    }
    for namespace in refused_us {
        verdict.note_about(namespace, "creating pods is not granted here: Pod Security was not tried");
    }
    if fact.untried > 0 {
        verdict.note(format!("{} more namespaces ask for Pod Security: it was not tried there", fact.untried));
    }
    verdict
}

fn inconclusive(what: &str, answer: &Answered) -> Unobserved {
    Unobserved::invalid(format!("the dry run of {what}"), format!("HTTP {}: {}", answer.status, answer.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::pod_security::Tried;

    const REFUSED: (u16, &str) =
        (403, "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": privileged");

    fn tried(privileged: (u16, &str), modest: u16) -> Tried {
        Tried {
            level: "restricted".into(),
            privileged: Answered { status: privileged.0, message: privileged.1.into() },
            modest: Answered { status: modest, message: String::new() },
        }
    }

    fn judged(all: Vec<(&str, Result<Tried, Unobserved>)>) -> Verdict {
        judge(&PodSecurity { tried: all.into_iter().map(|(name, tried)| (name.into(), tried)).collect(), untried: 0 })
    }

    #[test]
    fn a_privileged_pod_is_refused_and_a_modest_one_is_not() {
        let verdict = judged(vec![("seaworthy", Ok(tried(REFUSED, 201)))]);
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn an_exempted_namespace_is_found() {
        let verdict = judged(vec![("payments", Ok(tried((201, ""), 201))), ("seaworthy", Ok(tried(REFUSED, 201)))]);
        let findings = verdict.findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].subjects[0].name.as_str()), (1, "payments"));
    }

    #[test]
    fn a_refusal_by_something_else_is_information() {
        let findings = judged(vec![("a", Ok(tried((403, "denied by policy"), 201)))]).findings(Severity::Major);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn refusals_without_a_control_are_inconclusive() {
        for refused in [REFUSED, (403, "denied by policy")] {
            let verdict = judged(vec![("a", Ok(tried(refused, 403)))]);
            assert_eq!((verdict.gaps().len(), verdict.observations()), (1, 0), "{refused:?}");
        }
    }

    #[test]
    fn where_nothing_may_be_created_it_does_not_apply() {
        let refused = Unobserved::Refused { missing: "create pods".into(), message: "no".into() };
        assert!(judged(vec![("payments", Err(refused.clone()))]).reason().is_some());
        let both = judged(vec![("payments", Err(refused)), ("seaworthy", Ok(tried(REFUSED, 201)))]);
        assert_eq!(both.reason(), None);
        assert!(crate::check::testing::notes(&both)[0].starts_with("Namespace payments: "));
    }
}
