//! # Admission policies are valid and bound
//!
//! ## Why
//! A policy without a binding, or a binding to a policy that does not exist, enforces nothing, and no error shows it. A policy
//! whose expressions do not match the types that it evaluates refuses everything or nothing.
//!
//! ## Fix
//! Correct the policy's name in the binding (`kubectl edit validatingadmissionpolicybinding NAME`), set the parameters that
//! the policy expects (`paramRef`), and correct the expressions that the finding quotes.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>; type checking covers
//! built-in types only. Policies from control-plane files (KEP-5793) cannot be listed. Whether the object that `paramRef`
//! names exists is not checked, because it may be of any kind.

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::admission_policies::{AdmissionPolicies, Policies};
use crate::seen::Unobserved;

crate::check!("CP-12", "admission-policies", Minor, judge);

const VALIDATING: &str = "ValidatingAdmissionPolicy";
const MUTATING: &str = "MutatingAdmissionPolicy";

fn judge(fact: &AdmissionPolicies) -> Verdict {
    let mut verdict = Verdict::new();
    for (kind, seen) in [(VALIDATING, &fact.validating), (MUTATING, &fact.mutating)] {
        match seen {
            Ok(policies) => judge_kind(&mut verdict, kind, policies),
            Err(Unobserved::Absent { .. }) => verdict.note(format!("the API server does not serve {kind}")),
            Err(why) => verdict.unseen(Subject::cluster_object(kind, ""), why),
        }
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply("there are no admission policies and no bindings");
    }
    verdict
}

fn judge_kind(verdict: &mut Verdict, kind: &str, all: &Policies) {
    for (name, binding) in &all.bindings {
        let subject = || Subject::cluster_object(format!("{kind}Binding"), name);
        let policy = all.policies.get(&binding.policy);
        verdict.expect(subject(), policy.is_some(), || {
            Finding::new(format!("{kind} {} exists, as the binding names it", binding.policy), "it does not exist")
                .impact("the binding enforces nothing")
                .fix(format!("correct spec.policyName: kubectl edit {}binding {name}", kind.to_lowercase()))
                .managed_by(binding.manager.as_ref())
        });
        let Some(policy) = policy else { continue };
        verdict.expect(subject(), policy.parameters.is_some() == binding.parameters.is_some(), || {
            let (expected, seen, impact) = match (&policy.parameters, &binding.parameters) {
                (Some(kind), _) => (
                    format!("a paramRef to a {kind}, as policy {} expects", binding.policy),
                    "no paramRef".to_owned(),
                    "expressions that use parameters fail",
                ),
                (None, parameters) => (
                    format!("no paramRef, because policy {} has no paramKind", binding.policy),
                    format!("a paramRef to {}", parameters.as_deref().unwrap_or_default()),
                    "the parameters are ignored, or the binding names the wrong policy",
                ),
            };
            Finding::new(expected, seen)
                .impact(impact)
                .fix(format!("correct spec.paramRef: kubectl edit {}binding {name}", kind.to_lowercase()))
                .managed_by(binding.manager.as_ref())
        });
    }
    let bound: BTreeSet<&str> = all.bindings.values().map(|binding| binding.policy.as_str()).collect();
    for (name, policy) in &all.policies {
        let subject = || Subject::cluster_object(kind, name);
        verdict.expect(subject(), bound.contains(name.as_str()), || {
            Finding::new("a binding for the policy", "no binding refers to it")
                .impact("the policy enforces nothing")
                .fix(format!("create a {kind}Binding with spec.policyName: {name}, or delete the policy"))
                .managed_by(policy.manager.as_ref())
                .info()
        });
        verdict.expect(subject(), policy.warnings.is_empty(), || {
            Finding::new(
                "expressions that match the types that the policy evaluates",
                "the API server reports type errors",
            )
            .evidence(&policy.warnings)
            .impact("where an expression fails, the policy's failurePolicy decides instead")
            .fix(format!("correct the expressions: kubectl edit {} {name}", kind.to_lowercase()))
            .managed_by(policy.manager.as_ref())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::admission_policies::{Policy, PolicyBinding};
    use crate::manager::Manager;
    use crate::object_ref::testing::named;
    use crate::seen::Seen;

    fn policies(policy: Policy, binding: PolicyBinding) -> Policies {
        Policies {
            policies: [("replicas".to_owned(), policy)].into(),
            bindings: [("replicas-binding".to_owned(), binding)].into(),
        }
    }

    fn judged(validating: Seen<Policies>) -> Verdict {
        let mutating = Err(Unobserved::absent("this cluster does not serve it"));
        judge(&AdmissionPolicies { validating, mutating })
    }

    fn bound() -> PolicyBinding {
        PolicyBinding { policy: "replicas".into(), ..PolicyBinding::default() }
    }

    #[test]
    fn a_sound_policy_that_is_bound_passes() {
        let verdict = judged(Ok(policies(Policy::default(), bound())));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (4, vec![]));
    }

    #[test]
    fn a_binding_that_names_no_policy_is_found() {
        let typo = PolicyBinding { policy: "replica".into(), ..bound() };
        let findings = judged(Ok(policies(Policy::default(), typo))).findings(Severity::Minor);
        assert_eq!(findings[0].expected, "ValidatingAdmissionPolicy replica exists, as the binding names it");
        assert_eq!((findings.len(), findings[1].severity), (2, Severity::Info));
    }

    #[test]
    fn parameters_that_do_not_fit_are_found() {
        let with = Policy { parameters: Some("v1 ConfigMap".into()), ..Policy::default() };
        assert_eq!(judged(Ok(policies(with, bound()))).findings(Severity::Minor)[0].seen, "no paramRef");
        let binding = PolicyBinding { parameters: Some("default/limits".into()), ..bound() };
        let findings = judged(Ok(policies(Policy::default(), binding))).findings(Severity::Minor);
        assert_eq!(findings[0].seen, "a paramRef to default/limits");
    }

    #[test]
    fn the_fix_shows_what_manages_the_binding() {
        let manager = Some(Manager::FluxKustomization(named("flux-system/policies")));
        let typo = PolicyBinding { policy: "replica".into(), manager, ..bound() };
        let findings = judged(Ok(policies(Policy::default(), typo))).findings(Severity::Minor);
        assert_eq!(
            findings[0].fix,
            "correct spec.policyName: kubectl edit validatingadmissionpolicybinding replicas-binding; change it in the \
             source of Flux Kustomization flux-system/policies, because Flux reverts an edit in place"
        );
        assert!(!findings[1].fix.contains("change it in"), "nothing manages the policy");
    }

    #[test]
    fn warnings_of_the_type_check_are_quoted() {
        let warned =
            Policy { warnings: vec!["spec.validations[0].expression: no such key".into()], ..Policy::default() };
        assert!(judged(Ok(policies(warned, bound()))).findings(Severity::Minor)[0].evidence[0].contains("no such key"));
    }

    #[test]
    fn nothing_to_judge_is_the_reason_and_what_is_refused_is_inconclusive() {
        assert!(judged(Ok(Policies::default())).reason().is_some());
        assert_eq!(judged(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
