//! What a probe on a node is asked.

use std::collections::BTreeSet;
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
    /// Text files that are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<Excerpt>,
}

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
    /// The URL, or the path on the node.
    pub of: String,
    /// What the wanted lines begin with; without any, all lines are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Excerpt {
    /// Those lines of a URL or path that begin so; all of them where nothing is given.
    pub fn new(of: &str, lines: &[&str]) -> Self {
        Self { of: of.into(), lines: lines.iter().map(|start| (*start).to_owned()).collect() }
    }
}

impl HostQuestions {
    /// The questions of each container, by its name.
    pub fn by_container(&self) -> Vec<(&'static str, Self)> {
        let part = || Self { answer_ms: self.answer_ms, ..Self::default() };
        let parts = [
            ("certificates", Self { directories: self.directories.clone(), ..part() }),
            ("http", Self { gets: self.gets.clone(), ..part() }),
            ("files", Self { texts: self.texts.clone(), ..part() }),
        ];
        parts.into_iter().filter(|(_, questions)| *questions != part()).collect()
    }

    /// The directories of the node that answering takes, none of them inside of another.
    pub fn mounts(&self) -> BTreeSet<&Path> {
        let directories = self.directories.iter().map(|directory| Path::new(directory.path.as_str()));
        let of_texts = self.texts.iter().filter_map(|text| Path::new(text.of.as_str()).parent());
        let all: BTreeSet<&Path> = directories.chain(of_texts).collect();
        let inside = |path: &&Path| all.iter().any(|other| path != other && path.starts_with(other));
        all.iter().copied().filter(|path| !inside(path)).collect()
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
            texts: vec![Excerpt::new("/var/lib/kubelet/config.yaml", &[]), Excerpt::new("/var/a/flags", &["--x"])],
            ..HostQuestions::default()
        };
        let mounts: Vec<_> = questions.mounts().into_iter().collect();
        assert_eq!(mounts, ["/etc/kubernetes", "/var/a", "/var/lib/kubelet"].map(Path::new));
        let containers: Vec<_> = questions.by_container().into_iter().map(|(name, _)| name).collect();
        assert_eq!(containers, ["certificates", "files"]);
    }
}
