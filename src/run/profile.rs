//! Profiles: which checks run, what observing may do, and what is expected.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Selection;
use crate::check::Severity;
use crate::fact::facts::expectations::Expectations;
use crate::seen::Access;

/// A profile, as its YAML states it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// The name: that of the built-in profile, or the file's.
    #[serde(skip)]
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// What observing may do to the cluster.
    pub allow: BTreeSet<Access>,
    /// The checks, by id, glob or suite.
    #[serde(default = "everything")]
    pub select: Vec<String>,
    /// The checks left out.
    #[serde(default)]
    pub skip: Vec<String>,
    /// Findings of this severity and above fail the run.
    #[serde(default = "gate")]
    pub fail_on: Severity,
    /// What the cluster is expected to have.
    #[serde(default)]
    pub expect: Expectations,
}

/// The flags that allow an access.
pub fn allowing(access: Access) -> &'static str {
    match access {
        Access::Read | Access::Review | Access::Anonymous | Access::Handshake => "--profile audit",
        Access::DryRun | Access::Impersonate | Access::Create => "--profile post-install",
        Access::Privileged | Access::Grant | Access::Join => "--profile ci",
        Access::Disrupt => "--profile ci --allow disrupt",
    }
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

fn gate() -> Severity {
    Severity::Minor
}

/// The built-in profiles, the most careful first.
const BUILT_IN: [(&str, &str); 3] = [
    ("audit", include_str!("../../suites/profiles/audit.yaml")),
    ("post-install", include_str!("../../suites/profiles/post-install.yaml")),
    ("ci", include_str!("../../suites/profiles/ci.yaml")),
];

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Neither a built-in profile nor a file.
    #[error("there is no profile {name:?}: use audit, post-install or ci, or name a YAML file")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("{}: cannot read the profile: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a profile.
    #[error("{origin}: not a profile: {cause}")]
    Malformed {
        /// The file, with line and column.
        origin: String,
        /// What is wrong.
        cause: String,
    },
}

impl Profile {
    /// The names of the built-in profiles, the most careful first.
    pub const NAMES: [&str; BUILT_IN.len()] = [BUILT_IN[0].0, BUILT_IN[1].0, BUILT_IN[2].0];

    /// The built-in profiles.
    pub fn built_in() -> Result<Vec<Self>, ProfileError> {
        BUILT_IN.iter().map(|(name, text)| Self::parse(name, name, text)).collect()
    }

    /// A built-in profile, or one from a file.
    pub fn load(name: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Self::parse(name, name, text);
        }
        let path = Path::new(name);
        if !path.exists() && path.extension().is_none() && path.components().count() == 1 {
            return Err(ProfileError::Unknown { name: name.into() });
        }
        let text =
            std::fs::read_to_string(path).map_err(|source| ProfileError::Unreadable { path: path.into(), source })?;
        let stem = path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&stem, name, &text)
    }

    fn parse(name: &str, origin: &str, text: &str) -> Result<Self, ProfileError> {
        let malformed = |e: serde_saphyr::Error| {
            let at = e.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
            ProfileError::Malformed {
                origin: format!("{origin}{at}"),
                cause: without_location(&e.without_snippet().to_string()),
            }
        };
        let mut profile: Self = serde_saphyr::from_str(text).map_err(malformed)?;
        let places: Places = serde_saphyr::from_str(text).map_err(malformed)?;
        places.check(origin)?;
        if profile.allow.contains(&Access::Disrupt) {
            let cause = "no profile allows disrupt: --allow disrupt does, beside --profile ci".into();
            return Err(ProfileError::Malformed { origin: origin.into(), cause });
        }
        profile.name = name.into();
        Ok(profile)
    }
}

/// The patterns of a profile, with their positions.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Places {
    select: Vec<Spanned<String>>,
    skip: Vec<Spanned<String>>,
}

impl Places {
    fn check(&self, origin: &str) -> Result<(), ProfileError> {
        let malformed = |at: &Spanned<String>, cause: String| ProfileError::Malformed {
            origin: format!("{origin}:{}:{}", at.referenced.line(), at.referenced.column()),
            cause,
        };
        for pattern in self.select.iter().chain(&self.skip) {
            Selection::new(std::slice::from_ref(&pattern.value), &[]).map_err(|e| malformed(pattern, e.to_string()))?;
        }
        Ok(())
    }
}

/// The first line, without the place, which comes before it.
fn without_location(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profiles_widen_what_is_allowed() {
        let profiles = Profile::built_in().unwrap();
        assert_eq!(profiles.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["audit", "post-install", "ci"]);
        assert!(profiles.windows(2).all(|pair| pair[0].allow.is_subset(&pair[1].allow)));
        assert!(!profiles.iter().any(|p| p.allow.contains(&Access::Disrupt)));
    }

    #[test]
    fn what_allows_an_access_is_the_most_careful_profile_that_does() {
        for access in Access::ALL.into_iter().filter(|access| *access != Access::Disrupt) {
            let profile = Profile::built_in().unwrap().into_iter().find(|profile| profile.allow.contains(&access));
            assert_eq!(allowing(access), format!("--profile {}", profile.unwrap().name));
        }
    }

    #[test]
    fn a_profile_names_checks_that_there_are_and_holders_by_their_kind() {
        let text = "about: x\nallow: [read]\nskip:\n- PK-02\n- XX-99\n";
        let error = Profile::parse("mine", "mine.yaml", text).unwrap_err().to_string();
        assert!(error.starts_with("mine.yaml:5:3: not a profile: \"XX-99\" matches no check"), "{error}");
        let expects = |holder| format!("about: x\nallow: [read]\nexpect:\n  cluster-admins: ['{holder}']\n");
        for right in ["User bob", "Group a:b", "ServiceAccount ci/deploy"] {
            assert!(Profile::parse("mine", "mine.yaml", &expects(right)).is_ok(), "{right}");
        }
        for wrong in ["bob", "User:bob", "ServiceAccount bob", "User "] {
            let error = Profile::parse("mine", "mine.yaml", &expects(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("mine.yaml:4:20: not a profile: "), "{error}");
            assert!(error.contains("write `User NAME`, such as `User bob`"), "{error}");
        }
    }

    #[test]
    fn the_profile_in_the_readme_is_one() {
        let readme = include_str!("../../README.md");
        let (_, from) = readme.split_once("### Custom profiles\n\n").unwrap();
        let text: Vec<_> = from.lines().take_while(|line| line.starts_with("    ")).map(|line| &line[4..]).collect();
        Profile::parse("mine", "mine.yaml", &text.join("\n")).unwrap();
    }

    #[test]
    fn no_profile_of_a_file_disrupts() {
        let error = Profile::parse("ci", "ci.yaml", "about: x\nallow: [read, disrupt]\n").unwrap_err().to_string();
        assert!(error.starts_with("ci.yaml: not a profile: no profile allows disrupt"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_says_where() {
        let error = Profile::parse("mine", "mine.yaml", "about: x\nallow: [read]\nexpect:\n  tokenhours: 2\n")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("mine.yaml:4:"), "{error}");
        assert!(error.contains("tokenhours") && !error.contains("at line"), "{error}");
    }
}
