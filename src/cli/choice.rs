//! The flags that choose checks.

use clap::Args;

use super::Failure;
use crate::check::{Check, Severity};
use crate::run::{Profile, Selection};

/// Which checks run, and what observing may do.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checks")]
pub struct ChoiceArgs {
    /// audit (creates nothing), post-install (probe pods), ci (everything), or a YAML file
    #[arg(long, value_name = "PROFILE", default_value = "audit")]
    pub profile: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would be the command's help")]
    pub filter: FilterArgs,
}

/// Which checks run, and which findings count.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Checks")]
pub struct FilterArgs {
    /// Run only these: an id, a glob or a suite; repeatable, or separated by commas
    #[arg(long, value_name = "PATTERN")]
    pub select: Vec<String>,
    /// Leave these out
    #[arg(long, value_name = "PATTERN")]
    pub skip: Vec<String>,
    /// Findings of this severity and above fail the run: info, minor, major or critical
    #[arg(long, value_name = "SEVERITY")]
    pub fail_on: Option<Severity>,
}

impl ChoiceArgs {
    /// The profile as it applies, and the checks that are chosen.
    pub fn resolve(&self) -> Result<(Profile, Vec<&'static Check>), Failure> {
        let mut profile = Profile::load(&self.profile)?;
        // Who says what to run gets it, also what the profile leaves out.
        let (select, left_out) = match self.filter.select.as_slice() {
            [] => (profile.select.as_slice(), profile.skip.as_slice()),
            chosen => (chosen, [].as_slice()),
        };
        let skip = [left_out, self.filter.skip.as_slice()].concat();
        let checks = Selection::new(select, &skip)?.checks()?;
        profile.fail_on = self.filter.fail_on.unwrap_or(profile.fail_on);
        Ok((profile, checks))
    }
}
