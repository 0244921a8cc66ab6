//! The pods of a trial, each of one container: it serves, or it watches while something is changed.

use serde_json::Value;

use super::ask::watch::WatchQuestions;
use super::object::{Mark, Placed, ROLE, Work, serving, watching};

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
}

impl Work for TrialPod<'_> {
    fn pod(&self, placed: &Placed<'_>, mark: &Mark<'_>) -> serde_json::Result<Value> {
        let container = match self.watch {
            None => serving(placed.image, mark.run, placed.name),
            Some(questions) => watching(placed.image, questions)?,
        };
        let mut pod = placed.restricted_pod(mark, &[container]);
        pod["metadata"]["labels"][ROLE] = self.role.into();
        Ok(pod)
    }
}
