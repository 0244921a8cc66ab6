//! What an installation is made of.

use std::collections::{BTreeMap, BTreeSet};

use super::INSTALLATION;
use super::schedule::Schedule;
use crate::rbac::Permissions;

/// What an installation is made of.
pub(crate) struct Settings {
    /// The name of all its objects.
    pub(crate) name: String,
    /// The namespace in which it runs.
    pub(crate) namespace: String,
    /// Whether the namespace is one of its objects.
    pub(crate) makes_namespace: bool,
    /// When it runs.
    pub(crate) schedule: Schedule,
    /// How long a run may take, in seconds, until Kubernetes stops it.
    pub(crate) deadline_seconds: i64,
    /// The image of the container.
    pub(crate) image: String,
    /// The Secrets with which nodes pull the image.
    pub(crate) pull_secrets: Vec<String>,
    /// The arguments of the program.
    pub(crate) arguments: Vec<String>,
    /// What it may do.
    pub(crate) permissions: Permissions,
    /// The files that it reads.
    pub(crate) config: Config,
    /// The Secrets that it reads, each in a folder of its name.
    pub(crate) secrets: BTreeSet<String>,
    /// Where its results go.
    pub(crate) results: Results,
}

/// Files by name.
pub(crate) type Config = BTreeMap<String, String>;

/// Where results go beside the log of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Results {
    /// Nowhere.
    Log,
    /// To a volume.
    Volume(Storage),
}

/// A volume for results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// A claim that the installation makes.
    Claim {
        /// How large it is, as a quantity of Kubernetes.
        size: String,
        /// Its class; without one, the default class of the cluster. An empty one binds volumes without a class.
        class: Option<String>,
    },
    /// A claim that exists.
    Existing(String),
}

impl Settings {
    /// The labels of its objects.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", "seaworthy"),
            ("app.kubernetes.io/instance", &self.name),
            ("app.kubernetes.io/component", "audit"),
            (INSTALLATION, &self.name),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// The claim that holds the results, if there is one.
    pub(crate) fn claim(&self) -> Option<&str> {
        match &self.results {
            Results::Log => None,
            Results::Volume(Storage::Claim { .. }) => Some(&self.name),
            Results::Volume(Storage::Existing(claim)) => Some(claim),
        }
    }
}
