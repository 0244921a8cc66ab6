//! Recordings: all facts of a run in one file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Facts;
use crate::check::Severity;
use crate::cluster::ClusterSummary;
use crate::event::RunStarted;
use crate::redaction::Redaction;

/// What the first field of a recording says.
const FORMAT: &str = "seaworthy-recording";
/// How a recording begins.
pub const BEGINNING: &[u8] = b"{\"format\":\"seaworthy-recording\"";
/// How a compressed recording begins.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];
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
    /// The file is longer than any recording.
    #[error("{}: it holds more than {} MiB, which no recording does", path.display(), LIMIT >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is an event stream.
    #[error("{path}: it is an event stream, not a recording: `seaworthy report {path}` makes reports of it", path = path.display())]
    Events {
        /// The file.
        path: PathBuf,
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

/// All that there is to read, unless it is more than this.
fn whole(from: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
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
    pub fn new(started: &RunStarted, facts: &Facts, redaction: &Redaction) -> Result<Self, serde_json::Error> {
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
            at: started.at,
            cluster: started.cluster.clone(),
            profile: started.profile.clone(),
            gate: started.gate,
            checks: started.checks.iter().map(|check| check.id.clone()).collect(),
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
        let unreadable = |source| ReadError::File { path: path.into(), source };
        Self::read_from(File::open(path).map_err(unreadable)?, path)
    }

    /// Reads a recording from anywhere; `path` is what errors call it.
    pub fn read_from(from: impl Read, path: &Path) -> Result<Self, ReadError> {
        match whole(from, LIMIT) {
            Ok(Some(bytes)) => Self::parse(&bytes, path),
            Ok(None) => Err(ReadError::TooLarge { path: path.into() }),
            Err(source) => Err(ReadError::File { path: path.into(), source }),
        }
    }

    /// Reads a recording from bytes; `path` is what errors call it.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, ReadError> {
        let path_buf = || path.to_path_buf();
        let unpacked;
        let text = if bytes.starts_with(&GZIP) {
            match whole(GzDecoder::new(bytes), LIMIT) {
                Ok(None) => return Err(ReadError::TooLarge { path: path_buf() }),
                Ok(Some(whole)) => {
                    unpacked = whole;
                    &unpacked[..]
                }
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
        if text.starts_with(b"{\"event\":") {
            return Err(ReadError::Events { path: path_buf() });
        }
        let unusable = |e: serde_json::Error| {
            if e.is_eof() && text.starts_with(BEGINNING) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_the_limit_is_not_cut() {
        assert_eq!(whole(&b"1234"[..], 4).unwrap().as_deref(), Some(&b"1234"[..]));
        assert_eq!(whole(&b"12345"[..], 4).unwrap(), None);
    }
}
