//! A recording as it is written and read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ReadError;
use super::facts::Settled;
use crate::check::Severity;
use crate::cluster::{ClusterSummary, Cost};
use crate::fact::Facts;
use crate::redaction::Redaction;

/// What the first field of a recording says.
const FORMAT: &str = "seaworthy-recording";
/// How a recording begins.
const BEGINNING: &[u8] = b"{\"format\":\"seaworthy-recording\"";
/// How a compressed recording begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The version of the format that this program writes, and the newest that it reads. There is no older one: with the next,
/// a file `upgrade.rs` beside this one rewrites recordings of version 1 before facts are read from them.
pub(super) const VERSION: u32 = 1;
/// The most that a recording may hold once unpacked, in bytes: what a cluster of 5,000 nodes needs, with room.
pub(super) const LIMIT: u64 = 1 << 30;

/// All facts of a run, and what was asked of it. `F` is where the facts come from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recording<F = Kept> {
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
    /// What the run cost the cluster; nothing in recordings that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Cost::is_nothing")]
    pub cost: Cost,
    facts: F,
}

/// The facts of a recording that was read, by name.
type Kept = BTreeMap<String, Box<RawValue>>;

/// What a recording says of its run beyond the facts.
#[derive(Clone, Debug)]
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
    /// What the run cost the cluster.
    pub cost: Cost,
}

/// Whether a file that begins so is a recording, whole or not, compressed or not.
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGINNING) || bytes.starts_with(&GZIP)
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

impl<'a> Recording<Settled<'a>> {
    /// A recording of all settled facts, without anything secret. A fact is encoded when it is written, and forgotten
    /// again: no second copy of the cluster is held.
    pub fn of(header: Header, facts: &'a Facts, redaction: &'a Redaction) -> Self {
        let Header { at, cluster, profile, gate, checks, cost } = header;
        Self {
            format: FORMAT.into(),
            version: VERSION,
            seaworthy: env!("CARGO_PKG_VERSION").into(),
            at,
            cluster,
            profile,
            gate,
            checks,
            cost,
            facts: Settled { facts, redaction },
        }
    }
}

impl Recording {
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
}

impl<F: Serialize> Recording<F> {
    /// Writes the recording, compressed or not.
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
    use crate::fact::facts::cluster_domain::ClusterDomain;
    use crate::fact::facts::expectations::Expectations;
    use crate::fact::facts::nodes::Nodes;
    use crate::fact::{Fact, Parameter};
    use crate::seen::Unobserved;

    fn header() -> Header {
        Header {
            at: Timestamp::UNIX_EPOCH,
            cluster: ClusterSummary::default(),
            profile: "audit".into(),
            gate: Severity::Minor,
            checks: vec!["DN-01".into()],
            cost: Cost { requests: 7, ..Cost::default() },
        }
    }

    /// The facts of a run that was given its expectations, was refused the nodes, and never came to the rest.
    async fn facts() -> Facts {
        let facts = Facts::closure([<&Expectations>::need(), <&Nodes>::need(), <&ClusterDomain>::need()]);
        facts.give(Expectations {
            powerful: vec!["User bob, token=abcdef.0123456789abcdef".parse().unwrap()],
            ..Expectations::default()
        });
        let refused = Unobserved::Refused { missing: "list nodes".into(), message: "forbidden".into() };
        facts.settle(&Nodes::node(), async { Err(refused) }).await;
        facts
    }

    #[tokio::test]
    async fn settled_facts_are_written_one_by_one_without_secrets() {
        let (facts, redaction) = (facts().await, Redaction::default());
        for compressed in [false, true] {
            let mut bytes = Vec::new();
            Recording::of(header(), &facts, &redaction).write(&mut bytes, compressed).unwrap();
            assert!(is_recording(&bytes));
            let read = Recording::parse(&bytes, Path::new("r.json")).unwrap();
            assert_eq!(read.names().collect::<Vec<_>>(), ["expectations", "nodes"]);
            assert_eq!(read.cost.requests, 7);
            let expectations = read.fact("expectations").unwrap().get();
            assert!(expectations.contains("User bob") && !expectations.contains("0123456789abcdef"), "{expectations}");
            assert!(read.fact("nodes").unwrap().get().starts_with(r#"{"Err":{"#));
            let mut again = Vec::new();
            read.write(&mut again, compressed).unwrap();
            assert!(bytes == again, "what is read is written the same");
        }
    }

    #[test]
    fn what_is_longer_than_the_limit_is_not_cut() {
        assert_eq!(whole(&b"1234"[..], 4).unwrap().as_deref(), Some(&b"1234"[..]));
        assert_eq!(whole(&b"12345"[..], 4).unwrap(), None);
    }
}
