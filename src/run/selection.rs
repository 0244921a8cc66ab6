//! Which checks run: ids, globs or names of suites.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};

use crate::check::Check;
use crate::suites;

/// Why a selection cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// A pattern that is not a glob.
    #[error("{pattern:?} is not a pattern: {cause}")]
    Malformed {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        cause: String,
    },
    /// A pattern that matches no check.
    #[error(
        "{pattern:?} matches no check: use an id such as PK-02, a glob such as 'DN-*', or a suite ({suites}); `seaworthy list` shows all"
    )]
    MatchesNothing {
        /// The pattern.
        pattern: String,
        /// The names of the suites.
        suites: String,
    },
    /// The filters of the test runner match no check.
    #[error("no check is selected: the filters match none; `seaworthy test -- --list` shows all")]
    Filtered,
    /// A list without any pattern.
    #[error("no check is selected: --select, or the profile's select, is empty")]
    Blank,
    /// Every check is left out.
    #[error("no check is selected: --skip leaves out everything that --select chooses")]
    Empty,
}

/// Chooses checks.
#[derive(Debug)]
pub struct Selection {
    select: Vec<Pattern>,
    skip: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern(GlobMatcher);

impl Pattern {
    fn new(text: &str) -> Result<Self, SelectionError> {
        let malformed =
            |e: globset::Error| SelectionError::Malformed { pattern: text.into(), cause: e.kind().to_string() };
        let pattern = Self(GlobBuilder::new(text).case_insensitive(true).build().map_err(malformed)?.compile_matcher());
        if suites::checks().any(|check| pattern.matches(check)) {
            return Ok(pattern);
        }
        let suites = suites::ALL.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
        Err(SelectionError::MatchesNothing { pattern: text.into(), suites })
    }

    fn matches(&self, check: &Check) -> bool {
        [check.id, check.name, check.suite].iter().any(|name| self.0.is_match(name))
    }
}

/// The patterns of a list, which may be separated by commas as well.
fn split(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty())
}

impl Selection {
    /// Checks that match one of `select` and none of `skip`. Each pattern must match at least one check.
    pub fn new(select: &[String], skip: &[String]) -> Result<Self, SelectionError> {
        let patterns =
            |texts: &[String]| -> Result<Vec<Pattern>, SelectionError> { split(texts).map(Pattern::new).collect() };
        let select = patterns(select)?;
        if select.is_empty() {
            return Err(SelectionError::Blank);
        }
        Ok(Self { select, skip: patterns(skip)? })
    }

    /// The ids of the checks that these patterns name one by one.
    pub fn named(select: &[String]) -> BTreeSet<&'static str> {
        split(select)
            .filter_map(|text| suites::checks().find(|check| check.id.eq_ignore_ascii_case(text)))
            .map(|check| check.id)
            .collect()
    }

    /// The chosen checks, in the registry's order.
    pub fn checks(&self) -> Result<Vec<&'static Check>, SelectionError> {
        let chosen: Vec<_> = suites::checks()
            .filter(|check| self.select.iter().any(|p| p.matches(check)) && !self.skip.iter().any(|p| p.matches(check)))
            .collect();
        if chosen.is_empty() { Err(SelectionError::Empty) } else { Ok(chosen) }
    }
}
