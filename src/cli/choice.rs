//! The flags that choose checks.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Args, Command, ValueEnum};

use super::Failure;
use crate::check::{Check, Severity};
use crate::run::{Profile, Selection};
use crate::suites;

/// The checks that run, and what observing may do.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checks")]
pub struct ChoiceArgs {
    /// audit (creates nothing), post-install (probe pods), ci (everything), or a YAML file
    #[arg(long, value_name = "PROFILE", default_value = "audit", value_parser = Suggested(profiles), hide_possible_values = true)]
    pub profile: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would be the command's help")]
    pub filter: FilterArgs,
}

/// The checks that run, and the findings that count.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Checks")]
pub struct FilterArgs {
    /// Run only these checks: an id, a glob or a suite; repeatable, or separated by commas
    #[arg(long, value_name = "PATTERN", value_parser = Suggested(patterns), hide_possible_values = true)]
    pub select: Vec<String>,
    /// Leave out these checks
    #[arg(long, value_name = "PATTERN", value_parser = Suggested(patterns), hide_possible_values = true)]
    pub skip: Vec<String>,
    /// Findings of this severity and above fail the run
    #[arg(long, value_name = "SEVERITY", value_enum, ignore_case = true)]
    pub fail_on: Option<Severity>,
}

impl ChoiceArgs {
    /// The profile with the flags applied, and the chosen checks.
    pub fn resolve(&self) -> Result<(Profile, Vec<&'static Check>), Failure> {
        let mut profile = Profile::load(&self.profile)?;
        let checks = chosen(&profile, &self.filter.select, &self.filter.skip)?;
        profile.fail_on = self.filter.fail_on.unwrap_or(profile.fail_on);
        Ok((profile, checks))
    }
}

impl FilterArgs {
    /// The ids of the checks that are selected by id.
    pub fn named(&self) -> BTreeSet<&'static str> {
        Selection::named(&self.select)
    }
}

/// The checks of a run with this profile. --select overrides what the profile selects and leaves out.
pub fn chosen(profile: &Profile, select: &[String], skip: &[String]) -> Result<Vec<&'static Check>, Failure> {
    let (select, left_out) = match select {
        [] => (profile.select.as_slice(), profile.skip.as_slice()),
        chosen => (chosen, [].as_slice()),
    };
    Ok(Selection::new(select, &[left_out, skip].concat())?.checks()?)
}

/// Accepts any text, and suggests some values to shells.
#[derive(Clone, Copy)]
pub struct Suggested(pub fn() -> Vec<&'static str>);

impl TypedValueParser for Suggested {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// The built-in profiles.
pub fn profiles() -> Vec<&'static str> {
    Profile::NAMES.to_vec()
}

/// The suites and the ids of checks.
pub fn patterns() -> Vec<&'static str> {
    suites::ALL.iter().map(|suite| suite.name).chain(suites::checks().map(|check| check.id)).collect()
}

impl ValueEnum for Severity {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
