//! The flags that name what is accepted or known.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

use super::snapshot::Snapshot;
use super::{Failure, say};
use crate::cluster::ClusterSummary;
use crate::history::{Acceptance, Baseline, Waivers};

/// What is accepted or known.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Checks")]
pub struct AcceptanceArgs {
    /// Findings that are accepted until a day, as `seaworthy accept` writes them; repeatable
    #[arg(long, value_name = "FILE")]
    waivers: Vec<PathBuf>,
    /// Fail only on findings that this earlier run did not have: a recording, or what --events or --json wrote
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Also take the baseline of another cluster
    #[arg(long, requires = "baseline")]
    force: bool,
}

/// What was read.
pub struct Accepted {
    acceptance: Acceptance,
    baseline: Option<Snapshot>,
    force: bool,
}

impl AcceptanceArgs {
    /// The files that are read, by their flags.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, Option<&Path>)> {
        let waivers = self.waivers.iter().map(|path| ("--waivers", Some(path.as_path())));
        waivers.chain([("--baseline", self.baseline.as_deref())])
    }

    /// Reads the files.
    pub async fn read(&self) -> Result<Accepted, Failure> {
        let waivers = match self.waivers.as_slice() {
            [] => None,
            paths => Some(Waivers::read(paths, today())?),
        };
        let baseline = match &self.baseline {
            Some(path) => Some(Snapshot::read(path).await?),
            None => None,
        };
        if let Some(Snapshot { path, complete: false, .. }) = &baseline {
            say(&format!("{}: that run was cut off before its end: only what it had judged is known", path.display()));
        }
        let is_partial = baseline.as_ref().is_some_and(|baseline| !baseline.complete);
        let known = baseline.as_ref().map(|run| Baseline::new(run.at, &run.checks));
        Ok(Accepted { acceptance: Acceptance { waivers, baseline: known, is_partial }, baseline, force: self.force })
    }
}

impl Accepted {
    /// What does not count in a run of this cluster. One that is not known is not compared.
    pub fn of(self, cluster: &ClusterSummary) -> Result<Acceptance, Failure> {
        let Self { acceptance, baseline, force } = self;
        let other = baseline.and_then(|baseline| baseline.differs_from(cluster));
        match other.filter(|_| !force && !cluster.server.is_empty()) {
            Some(why) => Err(Failure::Usage(format!("{why}: name a run of this cluster, or add --force"))),
            None => Ok(acceptance),
        }
    }
}

/// Today, in UTC.
pub fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}
