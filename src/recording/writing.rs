//! How a recording is written: one fact after the other, each encoded while it is written. No second copy of the cluster is
//! held.

use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::document::{FORMAT, VERSION};
use crate::check::Severity;
use crate::cluster::{ClusterSummary, Cost};
use crate::fact::Facts;
use crate::redaction::Redaction;

/// What a recording states of its run beside the facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// When the run began.
    pub at: Timestamp,
    /// The cluster.
    pub cluster: ClusterSummary,
    /// The profile's name.
    pub profile: String,
    /// Findings of this severity and above fail the run.
    pub gate: Severity,
    /// The ids of the checks that were selected.
    pub checks: Vec<String>,
    /// What the run cost the cluster; nothing in recordings that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Cost::is_nothing")]
    pub cost: Cost,
}

/// The beginning of a recording, up to its facts.
#[derive(Serialize)]
struct Beginning<'a> {
    format: &'static str,
    version: u32,
    seaworthy: &'static str,
    #[serde(flatten)]
    header: &'a Header,
}

/// Writes a recording of all settled facts, without anything secret, compressed or not.
pub fn write(
    header: &Header,
    facts: &Facts,
    redaction: &Redaction,
    to: &mut impl Write,
    compressed: bool,
) -> io::Result<()> {
    if compressed {
        let mut buffered = BufWriter::with_capacity(1 << 16, GzEncoder::new(to, Compression::default()));
        write_text(header, facts, redaction, &mut buffered)?;
        buffered.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.flush()
    } else {
        write_text(header, facts, redaction, to)?;
        to.write_all(b"\n")?;
        to.flush()
    }
}

fn write_text(header: &Header, facts: &Facts, redaction: &Redaction, to: &mut dyn Write) -> io::Result<()> {
    let beginning = Beginning { format: FORMAT, version: VERSION, seaworthy: env!("CARGO_PKG_VERSION"), header };
    let mut text = Vec::new();
    redaction.write(&beginning, &mut text)?;
    // The facts are its last field.
    text.pop();
    to.write_all(&text)?;
    to.write_all(b",\"facts\":{")?;
    for (i, fact) in facts.settled().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(to, "{comma}\"{}\":", fact.name)?;
        fact.write(redaction, to).map_err(|e| io::Error::other(format!("the fact {}: {e}", fact.name)))?;
    }
    to.write_all(b"}}")
}
