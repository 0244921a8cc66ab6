//! `seaworthy judge`: judge a recording, without a cluster.

use super::Failure;
use super::run::ReportArgs;
use crate::run::ExitCode;

/// Judges the recording that comes with the program.
pub async fn example(_reports: &ReportArgs) -> Result<ExitCode, Failure> {
    Err(Failure::Usage("no example".into()))
}
