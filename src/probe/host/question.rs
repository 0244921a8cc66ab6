//! What a probe on a node is asked.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The questions of one probe on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostQuestions {
    /// How long one HTTP answer may take, in milliseconds.
    pub answer_ms: u64,
    /// Directories whose certificates are described and whose keys are looked at from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<Directory>,
    /// What is asked by HTTP on the node's own network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gets: Vec<Excerpt>,
    /// The directory of manifests of static pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<String>,
    /// Files below [`KUBERNETES`] of which digests are made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// Services of systemd that are looked for by what their names hold, among those that have processes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Units of systemd that are looked for by their names, among the files that define what a boot starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
}

/// The container that looks at certificates and keys.
pub const CERTIFICATES: &str = "certificates";
/// The directory that holds the manifests of static pods, which not every node has, and files that they refer to.
pub const KUBERNETES: &str = "/etc/kubernetes";
/// The container that looks at what runs: it asks by HTTP, looks for services, and at the manifests of static pods.
pub const RUNNING: &str = "running";
/// The container that looks at the files of units.
pub const UNITS: &str = "units";

/// Where every node has its control groups, and where a probe sees them: it has its own at that path.
pub const CONTROL_GROUPS: (&str, &str) = ("/sys/fs/cgroup", "/control-groups");
/// The directories of unit files that every node has whose init is systemd, and where the units lie in them; the first has
/// precedence. There are sockets in others, by which a node can be ruled.
pub const UNIT_FILES: [(&str, &str); 2] =
    [("/etc/systemd/system", "/etc/systemd/system"), ("/usr/lib/systemd", "/usr/lib/systemd/system")];

/// A directory of certificates and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Its path on the node.
    pub path: String,
    /// Whether the directories in it are looked at too.
    pub recursive: bool,
}

/// A text of which only some lines are wanted. It must not be one that holds secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The URL.
    pub of: String,
    /// What the wanted lines begin with; without any, all lines are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Excerpt {
    /// Those lines of a URL that begin so; all of them where nothing is given.
    pub fn new(of: &str, lines: &[&str]) -> Self {
        Self { of: of.into(), lines: lines.iter().map(|start| (*start).to_owned()).collect() }
    }
}

impl HostQuestions {
    /// The questions of each container, by its name.
    pub fn by_container(&self) -> Vec<(&'static str, Self)> {
        let part = || Self { answer_ms: self.answer_ms, ..Self::default() };
        let parts = [
            (CERTIFICATES, Self { directories: self.directories.clone(), ..part() }),
            (
                RUNNING,
                Self {
                    gets: self.gets.clone(),
                    services: self.services.clone(),
                    manifests: self.manifests.clone(),
                    digests: self.digests.clone(),
                    ..part()
                },
            ),
            (UNITS, Self { units: self.units.clone(), ..part() }),
        ];
        parts.into_iter().filter(|(_, questions)| *questions != part()).collect()
    }

    /// The directories of the node that answering takes, none of them inside of another, and where a probe sees them.
    pub fn mounts(&self) -> BTreeMap<&Path, &Path> {
        let same = |path| (Path::new(path), Path::new(path));
        let directories = self.directories.iter().map(|directory| same(directory.path.as_str()));
        let of_manifests = self.manifests.as_ref().map(|_| same(KUBERNETES));
        let groups = CONTROL_GROUPS;
        let of_services = (!self.services.is_empty()).then(|| (Path::new(groups.0), Path::new(groups.1)));
        let of_units = UNIT_FILES.iter().filter(|_| !self.units.is_empty()).map(|(directory, _)| same(directory));
        let all: BTreeMap<&Path, &Path> = directories.chain(of_manifests).chain(of_services).chain(of_units).collect();
        let inside = |path: &Path| all.keys().any(|other| path != *other && path.starts_with(other));
        all.iter().filter(|(path, _)| !inside(path)).map(|(path, seen)| (*path, *seen)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_mounted_twice_and_nothing_that_is_not_asked_about() {
        let directory = |path: &str| Directory { path: path.into(), recursive: false };
        let questions = HostQuestions {
            directories: vec![directory("/etc/kubernetes"), directory("/etc/kubernetes/pki"), directory("/var/a")],
            services: vec!["kubelet".into()],
            ..HostQuestions::default()
        };
        let mounts: Vec<_> = questions.mounts().into_keys().collect();
        assert_eq!(mounts, ["/etc/kubernetes", "/sys/fs/cgroup", "/var/a"].map(Path::new));
        let containers: Vec<_> = questions.by_container().into_iter().map(|(name, _)| name).collect();
        assert_eq!(containers, [CERTIFICATES, RUNNING]);
    }
}
