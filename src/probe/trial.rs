//! The pods of a trial, each of one container: it serves, or it watches while something is changed.

use serde_json::Value;

use super::ask::watch::WatchQuestions;
use super::object::{Mark, ROLE, restricted_pod, serving, watching};

/// A pod of a trial.
pub struct TrialPod<'a> {
    /// What it does, by which its name ends.
    pub role: &'a str,
    /// The node that it is pinned to.
    pub node: &'a str,
    /// What it watches; without, it serves.
    pub watch: Option<&'a WatchQuestions>,
}

impl TrialPod<'_> {
    /// The name of its pod.
    pub(super) fn name(&self, mark: &Mark<'_>) -> String {
        format!("{}-{}", mark.level.name(mark.run), self.role)
    }

    /// The pod.
    pub(super) fn object(&self, mark: &Mark<'_>, image: &str, lifetime_seconds: i64) -> serde_json::Result<Value> {
        let name = self.name(mark);
        let container = match self.watch {
            None => serving(image, mark.run, &name),
            Some(questions) => watching(image, questions)?,
        };
        let mut pod = restricted_pod(mark, &name, self.node, lifetime_seconds, &[container]);
        pod["metadata"]["labels"][ROLE] = self.role.into();
        Ok(pod)
    }
}
