//! An earlier run, from whatever it wrote: a recording, its events, or its verdicts as JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::{Failure, judge};
use crate::check::Judged;
use crate::cluster::ClusterSummary;
use crate::event::reading::Stream;
use crate::recording::{Recording, is_recording};
use crate::report::Gathered;

/// How many bytes of a file show what it is.
const BEGINNING: u64 = 4096;

/// An earlier run.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// The cluster.
    pub cluster: ClusterSummary,
    /// The profile's name.
    pub profile: String,
    /// When it began.
    pub at: Timestamp,
    /// What it judged.
    pub checks: Vec<Judged>,
    /// Whether it ended, or was cut off.
    pub complete: bool,
}

/// The verdicts, as far as they are used.
#[derive(Deserialize)]
struct Verdicts {
    schema_version: u32,
    cluster: ClusterSummary,
    profile: String,
    at: Timestamp,
    checks: Vec<Judged>,
    exit_code: Option<u8>,
}

/// The version of the schema of verdicts that is read.
const SCHEMA_VERSION: u32 = 1;

impl Snapshot {
    /// Reads a file.
    pub async fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |why: std::io::Error| Failure::Usage(format!("{}: cannot read it: {why}", path.display()));
        let mut beginning = Vec::new();
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        (&mut file).take(BEGINNING).read_to_end(&mut beginning).map_err(unreadable)?;
        if is_recording(&beginning) {
            let recording = Recording::read(path)?;
            return Ok(Self::gathered(path, &judge::gathered(recording, &path.display().to_string()).await?, true));
        }
        if is_verdicts(&beginning) {
            let text = std::fs::read(path).map_err(unreadable)?;
            let verdicts: Verdicts = serde_json::from_slice(&text)
                .map_err(|why| Failure::Usage(format!("{}: not the verdicts of a run: {why}", path.display())))?;
            let Verdicts { schema_version, cluster, profile, at, checks, exit_code } = verdicts;
            if schema_version != SCHEMA_VERSION {
                let known = format!("this version reads {SCHEMA_VERSION}");
                return Err(Failure::Usage(format!(
                    "{}: its schema_version is {schema_version}: {known}",
                    path.display()
                )));
            }
            return Ok(Self { path: path.into(), cluster, profile, at, checks, complete: exit_code.is_some() });
        }
        let stream = Stream::read(path).map_err(|why| {
            Failure::Usage(format!("{why}. A run is read from what --record, --events or --json wrote"))
        })?;
        let mut run = Gathered::default();
        for event in &stream.events {
            run.event(event);
        }
        Ok(Self::gathered(path, &run, stream.complete))
    }

    fn gathered(path: &Path, run: &Gathered, complete: bool) -> Self {
        let started = run.started.as_ref().expect("a stream that does not begin with a run is refused");
        Self {
            path: path.into(),
            cluster: started.cluster.clone(),
            profile: started.profile.clone(),
            at: started.at,
            checks: run.checks().into_iter().map(|timed| timed.check.clone()).collect(),
            complete,
        }
    }

    /// Why this may be a run of another cluster than that one, if it may be. Two clusters may have contexts of one name, so their
    /// API servers are compared.
    pub fn differs_from(&self, cluster: &ClusterSummary) -> Option<String> {
        let shown = |cluster: &ClusterSummary| match cluster.server.as_str() {
            "" => "a cluster that is not known".to_owned(),
            server => format!("{} ({server})", cluster.name),
        };
        let is_same = !self.cluster.server.is_empty() && self.cluster.server == cluster.server;
        (!is_same)
            .then(|| format!("{} is a run of {}, not of {}", self.path.display(), shown(&self.cluster), shown(cluster)))
    }
}

/// Whether a file begins as the verdicts of a run do: with an object whose first field is the version of its schema.
fn is_verdicts(beginning: &[u8]) -> bool {
    let text: Vec<u8> = beginning.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(18).collect();
    text == b"{\"schema_version\":"
}
