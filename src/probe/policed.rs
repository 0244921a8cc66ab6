//! The pods by which it is tried whether network policies are enforced, by what they do, and the policies.

use std::fmt;

use serde_json::{Value, json};

use super::object::{LEVEL, Mark, ROLE, RUN};
use crate::live::RunId;

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Serves, and is closed by a policy.
    Guarded,
    /// Serves, and no policy selects it.
    Open,
    /// Asks, and is allowed by its label.
    Granted,
    /// Asks, and nothing lets it in.
    Stranger,
    /// Asks, until a policy lets nothing out of it.
    Confined,
}

impl Role {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Open => "open",
            Self::Granted => "granted",
            Self::Stranger => "stranger",
            Self::Confined => "confined",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A network policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing gets into the guarded pod.
    DenyIngress,
    /// Nothing gets out of the confined pod.
    DenyEgress,
    /// Only pods with the label of the granted one reach the guarded pod.
    AllowByLabel,
    /// Everything gets into and out of all probes. Policies add up, so that one which closes each new namespace, as some
    /// clusters make it, does not close in the probes.
    Open,
}

impl Policy {
    /// The policy.
    pub(super) fn object(self, mark: &Mark<'_>) -> Value {
        let pods = |role: Role| selector(mark.run, role);
        let (name, spec) = match self {
            Self::DenyIngress => {
                ("deny-ingress", json!({ "podSelector": pods(Role::Guarded), "policyTypes": ["Ingress"] }))
            }
            Self::DenyEgress => {
                ("deny-egress", json!({ "podSelector": pods(Role::Confined), "policyTypes": ["Egress"] }))
            }
            Self::AllowByLabel => (
                "allow-by-label",
                json!({
                    "podSelector": pods(Role::Guarded),
                    "policyTypes": ["Ingress"],
                    "ingress": [{ "from": [{ "podSelector": pods(Role::Granted) }] }],
                }),
            ),
            Self::Open => (
                "open",
                json!({
                    "podSelector": { "matchLabels": { RUN: mark.run, LEVEL: mark.level.label() } },
                    "policyTypes": ["Ingress", "Egress"],
                    "ingress": [{}],
                    "egress": [{}],
                }),
            ),
        };
        json!({ "metadata": mark.metadata(&format!("{}-{name}", mark.level.name(mark.run))), "spec": spec })
    }
}

fn selector(run: &RunId, role: Role) -> Value {
    json!({ "matchLabels": { RUN: run.to_string(), ROLE: role.name() } })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::probe::object::Level;
    use crate::probe::object::{Placed, Work};
    use crate::probe::trial::TrialPod;

    #[test]
    fn policies_select_pods_of_their_run_alone() {
        let run: RunId = "x7f4k".parse().unwrap();
        let mark = Mark { run: &run, level: Level::Policed, expires: Timestamp::UNIX_EPOCH, owner: None };
        for policy in [Policy::DenyIngress, Policy::DenyEgress, Policy::AllowByLabel] {
            assert_eq!(policy.object(&mark)["spec"]["podSelector"]["matchLabels"][RUN], "x7f4k", "{policy:?}");
        }
        let placed = Placed { name: "p", node: "n1", image: "i", lifetime_seconds: 60 };
        let pod = TrialPod { role: Role::Guarded.name(), node: "n1", watch: None }.pod(&placed, &mark).unwrap();
        let selected = &Policy::DenyIngress.object(&mark)["spec"]["podSelector"]["matchLabels"];
        assert_eq!(selected[ROLE], pod["metadata"]["labels"][ROLE]);
        assert_eq!(pod["spec"]["serviceAccountName"], "seaworthy-x7f4k-policy");
        assert_eq!(mark.namespace()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }
}
