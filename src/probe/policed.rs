//! The pods by which it is tried whether network policies are enforced, and the policies.

use std::fmt;

use serde_json::{Value, json};

use super::RunId;
use super::ask::watch::WatchQuestions;
use super::object::{Mark, RUN, restricted_pod, serving, watching};

/// The label that says what a pod does; policies select by it.
const ROLE: &str = "seaworthy.dev/role";

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Serves, and is closed by a policy.
    Guarded,
    /// Serves, and no policy selects it.
    Open,
    /// Asks, and is let in by its label.
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

    /// The name of its pod.
    pub fn pod(self, mark: &Mark<'_>) -> String {
        format!("{}-{}", mark.level.name(mark.run), self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A pod of the trial.
pub struct PolicedPod<'a> {
    /// What it does.
    pub role: Role,
    /// The node that it is pinned to.
    pub node: &'a str,
    /// What it watches; without, it serves.
    pub watch: Option<&'a WatchQuestions>,
}

impl PolicedPod<'_> {
    /// The pod.
    pub(super) fn object(&self, mark: &Mark<'_>, image: &str, lifetime_seconds: i64) -> serde_json::Result<Value> {
        let name = self.role.pod(mark);
        let container = match self.watch {
            None => serving(image, mark.run, &name),
            Some(questions) => watching(image, questions)?,
        };
        let mut pod = restricted_pod(mark, &name, self.node, lifetime_seconds, &[container]);
        pod["metadata"]["labels"][ROLE] = self.role.name().into();
        Ok(pod)
    }
}

/// A network policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing gets into the guarded pod.
    DenyIngress,
    /// Nothing gets out of the confined pod.
    DenyEgress,
    /// Into the guarded pod gets who has the label of the granted one.
    AllowByLabel,
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

    #[test]
    fn policies_select_pods_of_their_run_alone() {
        let run: RunId = "x7f4k".parse().unwrap();
        let mark = Mark { run: &run, level: Level::Policed, expires: Timestamp::UNIX_EPOCH, owner: None };
        for policy in [Policy::DenyIngress, Policy::DenyEgress, Policy::AllowByLabel] {
            assert_eq!(policy.object(&mark)["spec"]["podSelector"]["matchLabels"][RUN], "x7f4k", "{policy:?}");
        }
        let pod = PolicedPod { role: Role::Guarded, node: "n1", watch: None }.object(&mark, "i", 60).unwrap();
        let selected = &Policy::DenyIngress.object(&mark)["spec"]["podSelector"]["matchLabels"];
        assert_eq!(selected[ROLE], pod["metadata"]["labels"][ROLE]);
        assert_eq!(pod["spec"]["serviceAccountName"], "seaworthy-x7f4k-policy");
        assert_eq!(mark.namespace()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }
}
