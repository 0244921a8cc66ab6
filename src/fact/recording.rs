//! Recordings: all facts of a run in one file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Facts;
use crate::check::Severity;
use crate::event::ClusterSummary;
use crate::redaction::Redaction;

/// What the first field of a recording says.
const FORMAT: &str = "seaworthy-recording";
/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;
/// The most that a recording may hold once unpacked, in bytes: what a cluster of 5,000 nodes needs, with room.
const LIMIT: u64 = 1 << 30;

/// All facts of a run, and what was asked of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recording {
    format: String,
    version: u32,
    /// The version of the program that made it.
    pub seaworthy: String,
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
    facts: BTreeMap<String, Box<RawValue>>,
}

/// What a recording says about its run, besides the facts.
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
}

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: cannot read the recording: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file ends too early.
    #[error("{}: the recording is truncated: {cause}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where it ends.
        cause: String,
    },
    /// The file is something else.
    #[error("{}: not a recording of seaworthy: {cause}", path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
        /// What shows it.
        cause: String,
    },
    /// A newer program made it.
    #[error(
        "{}: the recording has format version {found}, made by seaworthy {seaworthy}; this is seaworthy {}, which reads up to version {VERSION}: use a newer seaworthy",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format's version.
        found: u64,
        /// The program that made it.
        seaworthy: String,
    },
}

/// Just enough of a recording to tell which format it has.
#[derive(Deserialize)]
struct Preamble {
    format: Option<String>,
    version: Option<u64>,
    seaworthy: Option<String>,
}

impl Recording {
    /// Takes all settled facts, without anything secret.
    pub fn new(header: Header, facts: &Facts, redaction: &Redaction) -> Result<Self, serde_json::Error> {
        let mut recorded = BTreeMap::new();
        for (name, seen) in facts.recorded()? {
            let mut value = serde_json::to_value(seen)?;
            redaction.value(&mut value);
            recorded.insert(name.to_owned(), serde_json::value::to_raw_value(&value)?);
        }
        Ok(Self {
            format: FORMAT.into(),
            version: VERSION,
            seaworthy: env!("CARGO_PKG_VERSION").into(),
            at: header.at,
            cluster: header.cluster,
            profile: header.profile,
            gate: header.gate,
            checks: header.checks,
            facts: recorded,
        })
    }

    /// A fact as it was recorded.
    pub fn fact(&self, name: &str) -> Option<&RawValue> {
        self.facts.get(name).map(AsRef::as_ref)
    }

    /// The names of the facts that it holds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.facts.keys().map(String::as_str)
    }

    /// Keeps only the facts with these names.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.facts.retain(|name, _| keep(name));
    }

    /// Reads a recording, compressed by gzip or not.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let bytes = fs::read(path).map_err(|source| ReadError::File { path: path.into(), source })?;
        Self::parse(&bytes, path)
    }

    /// Reads a recording from bytes; `path` is what errors call it.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, ReadError> {
        let path_buf = || path.to_path_buf();
        let mut unpacked = Vec::new();
        let text = if bytes.starts_with(&[0x1f, 0x8b]) {
            match GzDecoder::new(bytes).take(LIMIT).read_to_end(&mut unpacked) {
                Ok(_) => &unpacked[..],
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ReadError::Truncated {
                        path: path_buf(),
                        cause: "the compressed data ends early".into(),
                    });
                }
                Err(e) => return Err(ReadError::NotARecording { path: path_buf(), cause: e.to_string() }),
            }
        } else {
            bytes
        };
        let unusable = |e: serde_json::Error| {
            if e.is_eof() && text.starts_with(b"{\"format\":\"seaworthy-recording\"") {
                ReadError::Truncated { path: path_buf(), cause: e.to_string() }
            } else {
                ReadError::NotARecording { path: path_buf(), cause: e.to_string() }
            }
        };
        let preamble: Preamble = serde_json::from_slice(text).map_err(unusable)?;
        if preamble.format.as_deref() != Some(FORMAT) {
            let cause = format!("its field `format` is not {FORMAT:?}");
            return Err(ReadError::NotARecording { path: path_buf(), cause });
        }
        match preamble.version {
            Some(found) if found > u64::from(VERSION) => {
                let seaworthy = preamble.seaworthy.unwrap_or_else(|| "of an unknown version".into());
                Err(ReadError::Newer { path: path_buf(), found, seaworthy })
            }
            _ => serde_json::from_slice(text).map_err(unusable),
        }
    }

    /// Writes the recording, compressed when the name ends in `.gz`.
    pub fn write(&self, to: &mut impl Write, compressed: bool) -> io::Result<()> {
        if compressed {
            let mut encoder = GzEncoder::new(to, flate2::Compression::best());
            serde_json::to_writer(&mut encoder, self)?;
            encoder.finish()?.flush()
        } else {
            serde_json::to_writer(&mut *to, self)?;
            to.write_all(b"\n")?;
            to.flush()
        }
    }
}
