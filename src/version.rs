//! Kubernetes versions, as servers and kubelets of all distributions report them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Kubernetes version without what distributions append to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The major version, which is 1.
    pub major: u64,
    /// The minor version.
    pub minor: u64,
    /// The patch version.
    pub patch: u64,
}

impl Version {
    /// The first version of a minor.
    pub(crate) const fn minor(minor: u64) -> Self {
        Self { major: 1, minor, patch: 0 }
    }

    /// The version in the tag of a Kubernetes component's image, as of `registry.k8s.io/kube-proxy:v1.37.2`.
    pub(crate) fn of_image(image: &str) -> Option<Self> {
        let image = image.split('@').next().unwrap_or(image);
        let (_, tag) = image.rsplit('/').next().unwrap_or(image).split_once(':')?;
        tag.parse().ok()
    }
}

/// A text that is not a Kubernetes version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version like v1.37.2")]
pub(crate) struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    /// Takes `v1.37.2`, `1.37`, `v1.30.4-eks-a18cd3a`, `v1.35.1+k3s1` and `v1.33+`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAVersion(text.chars().take(60).collect());
        let core = text.strip_prefix('v').unwrap_or(text).split(['-', '+', '_']).next().unwrap_or_default();
        let mut numbers = core.split('.').map(str::parse::<u64>);
        let mut next = || numbers.next().transpose().map_err(|_| wrong());
        let (major, minor, patch) = (next()?.ok_or_else(wrong)?, next()?.ok_or_else(wrong)?, next()?.unwrap_or(0));
        Ok(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_image_shows_its_version() {
        for (image, expected) in [
            ("registry.k8s.io/kube-proxy:v1.37.2", Some("1.37.2")),
            ("localhost:5000/kube-proxy:v1.35.0-eksbuild.2@sha256:abc", Some("1.35.0")),
            ("rancher/hardened-kubernetes:v1.36.1-rke2r1-build20260701", Some("1.36.1")),
            ("localhost:5000/kube-proxy", None),
            ("kube-proxy@sha256:abc", None),
            ("kube-proxy:latest", None),
        ] {
            assert_eq!(Version::of_image(image).map(|version| version.to_string()).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn every_distribution_writes_versions_its_own_way() {
        for (text, expected) in [
            ("v1.37.2", (37, 2)),
            ("1.37", (37, 0)),
            ("v1.30.4-eks-a18cd3a", (30, 4)),
            ("v1.35.1+k3s1", (35, 1)),
            ("v1.33+", (33, 0)),
            ("v1.36.0-gke.1234", (36, 0)),
        ] {
            let version: Version = text.parse().unwrap();
            assert_eq!((version.minor, version.patch), expected, "{text}");
        }
        for wrong in ["", "v", "1", "v1.x", "kubernetes"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!("v1.9.9".parse::<Version>().unwrap() < "v1.10.0".parse().unwrap());
    }
}
