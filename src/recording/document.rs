//! A recording as it is written and read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::split::Split;
use super::{Header, ReadError};
use crate::fact::Node;
use crate::fact::node::Slot;
use crate::seen::Unobserved;

/// What the first field of a recording says.
pub(super) const FORMAT: &str = "seaworthy-recording";
/// How a recording begins.
const BEGINNING: &[u8] = b"{\"format\":\"seaworthy-recording\"";
/// How a compressed recording begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The version of the format that this program writes, and the newest that it reads. There is no older one: with the next,
/// a file `upgrade.rs` beside this one rewrites recordings of version 1 before facts are read from them.
pub(super) const VERSION: u32 = 1;
/// The most that a recording may hold once unpacked, in bytes: what a cluster of 5,000 nodes needs, with room.
pub(super) const LIMIT: u64 = 1 << 30;

/// How long a fact may be to be kept as text until it is needed, in bytes. A longer one is read from the file again.
const LONG: usize = 8 << 20;

/// All facts of a run, and what was asked of it.
#[derive(Debug)]
pub struct Recording {
    /// The version of the program that made it.
    pub seaworthy: String,
    /// What it states of its run.
    pub header: Header,
    /// By name.
    facts: BTreeMap<String, Recorded>,
    /// The file, if it has a long fact.
    file: Vec<u8>,
}

/// A fact as it was recorded.
#[derive(Debug)]
enum Recorded {
    Short(Box<RawValue>),
    /// Where it is in the file, once that is unpacked.
    Long(Range<u64>),
}

/// What a recording begins with.
#[derive(Deserialize)]
struct Beginning {
    seaworthy: String,
    #[serde(flatten)]
    header: Header,
}

/// Whether a file that begins so is a recording, whole or not, compressed or not.
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(BEGINNING) || bytes.starts_with(&GZIP)
}

/// Just enough of a recording to tell which format it has.
#[derive(Deserialize)]
struct Preamble {
    format: Option<String>,
    version: Option<u64>,
    seaworthy: Option<String>,
}

/// The text of a file, compressed by gzip or not.
fn unpacked(file: &[u8]) -> Box<dyn Read + '_> {
    if file.starts_with(&GZIP) { Box::new(GzDecoder::new(file)) } else { Box::new(file) }
}

impl Recording {
    /// A fact as it was recorded; none if it was not.
    pub fn slot(&self, node: &Node) -> Option<Slot> {
        let record = node.record?;
        match self.facts.get(node.name)? {
            Recorded::Short(text) => Some((record.decode)(text)),
            Recorded::Long(Range { start, end }) => {
                let mut text = unpacked(&self.file).take(*end);
                if let Err(e) = io::copy(&mut (&mut text).take(*start), &mut io::sink()) {
                    return Some(Err(Unobserved::invalid(format!("the recorded fact {}", node.name), e)));
                }
                Some((record.read)(&mut text))
            }
        }
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
        let mut file = Vec::new();
        match from.take(LIMIT + 1).read_to_end(&mut file) {
            Ok(_) => Self::of_file(file, path, LONG),
            Err(source) => Err(ReadError::File { path: path.into(), source }),
        }
    }

    /// Reads a recording from bytes; `path` is what errors call it.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, ReadError> {
        Self::of_file(bytes.to_vec(), path, LONG)
    }

    /// Reads a recording from a file. Facts longer than `long` stay there.
    fn of_file(file: Vec<u8>, path: &Path, long: usize) -> Result<Self, ReadError> {
        let path_buf = || path.to_path_buf();
        let mut text = BufReader::with_capacity(1 << 16, unpacked(&file).take(LIMIT + 1));
        let begins = match text.fill_buf() {
            Ok(first) if first.starts_with(b"{\"event\":") => return Err(ReadError::Events { path: path_buf() }),
            Ok(first) => first.starts_with(BEGINNING),
            Err(_) => false,
        };
        let not_a_recording = |cause: String| ReadError::NotARecording { path: path_buf(), cause };
        let unusable = |e: io::Error| match e.kind() {
            io::ErrorKind::UnexpectedEof if begins || file.starts_with(&GZIP) => {
                ReadError::Truncated { path: path_buf(), cause: "it ends early".into() }
            }
            io::ErrorKind::UnexpectedEof => not_a_recording("it ends early".into()),
            _ => not_a_recording(e.to_string()),
        };
        let mut split = Split::new(text);
        let (beginning, facts) = split_up(&mut split, long)
            .map_err(|e| if split.is_beyond(LIMIT) { ReadError::TooLarge { path: path_buf() } } else { unusable(e) })?;
        let preamble: Preamble = serde_json::from_str(&beginning).map_err(|e| not_a_recording(e.to_string()))?;
        if preamble.format.as_deref() != Some(FORMAT) {
            return Err(not_a_recording(format!("its field `format` is not {FORMAT:?}")));
        }
        if let Some(found) = preamble.version.filter(|found| *found > u64::from(VERSION)) {
            let seaworthy = preamble.seaworthy.unwrap_or_else(|| "of an unknown version".into());
            return Err(ReadError::Newer { path: path_buf(), found, seaworthy });
        }
        let facts = facts.ok_or_else(|| not_a_recording("missing field `facts`".into()))?;
        let Beginning { seaworthy, header } =
            serde_json::from_str(&beginning).map_err(|e| not_a_recording(e.to_string()))?;
        drop(split);
        let is_long = facts.values().any(|fact| matches!(fact, Recorded::Long(_)));
        let file = if is_long { file } else { Vec::new() };
        Ok(Self { seaworthy, header, facts, file })
    }
}

/// What a recording begins with, as JSON, and its facts if it has any.
fn split_up<R: BufRead>(split: &mut Split<R>, long: usize) -> io::Result<(String, Option<BTreeMap<String, Recorded>>)> {
    let (mut beginning, mut facts) = (BTreeMap::new(), None);
    split.open()?;
    while let Some(name) = split.name()? {
        if name == "facts" {
            let facts = facts.insert(BTreeMap::new());
            split.open()?;
            while let Some(name) = split.name()? {
                let fact = match split.value(long)? {
                    (_, Some(text)) => Recorded::Short(RawValue::from_string(text)?),
                    (place, None) => Recorded::Long(place),
                };
                facts.insert(name, fact);
            }
        } else {
            let (_, value) = split.value(LONG)?;
            let value = value.ok_or_else(|| io::Error::other(format!("its field {name} is too long")))?;
            beginning.insert(name, RawValue::from_string(value)?);
        }
    }
    if !split.is_at_end()? {
        return Err(io::Error::other("something follows its end"));
    }
    Ok((serde_json::to_string(&beginning)?, facts))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::check::Severity;
    use crate::cluster::{ClusterSummary, Cost};
    use crate::fact::Facts;
    use crate::fact::facts::cluster_domain::ClusterDomain;
    use crate::fact::facts::expectations::Expectations;
    use crate::fact::facts::nodes::Nodes;
    use crate::fact::facts::pods::Pods;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::fact::{Fact, Parameter};
    use crate::recording::write;
    use crate::redaction::Redaction;
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
            write(&header(), &facts, &redaction, &mut bytes, compressed).unwrap();
            assert!(is_recording(&bytes));
            let read = Recording::parse(&bytes, Path::new("r.json")).unwrap();
            assert_eq!(read.names().collect::<Vec<_>>(), ["expectations", "nodes"]);
            assert_eq!(read.header.cost.requests, 7);
            let text = |name: &str| match &read.facts[name] {
                Recorded::Short(text) => text.get(),
                Recorded::Long(place) => panic!("{place:?}"),
            };
            let expectations = text("expectations");
            assert!(expectations.contains("User bob") && !expectations.contains("0123456789abcdef"), "{expectations}");
            assert!(text("nodes").starts_with(r#"{"Err":{"#));
        }
    }

    #[tokio::test]
    async fn a_long_fact_is_read_from_the_file() {
        let facts = Facts::closure([<&Nodes>::need(), <&Pods>::need()]);
        let pods = Pods([static_pod("etcd", "n1", &["--a=1"]), static_pod("etcd", "n2", &[])].into());
        let (nodes, expected) = (Nodes::default(), pods.clone());
        facts.settle(&Nodes::node(), async { Ok(Arc::new(nodes) as _) }).await;
        facts.settle(&Pods::node(), async { Ok(Arc::new(pods) as _) }).await;
        for compressed in [false, true] {
            let mut bytes = Vec::new();
            write(&header(), &facts, &Redaction::default(), &mut bytes, compressed).unwrap();
            let read = Recording::of_file(bytes, Path::new("r.json"), 100).unwrap();
            assert!(
                matches!(read.facts["pods"], Recorded::Long(_)) && matches!(read.facts["nodes"], Recorded::Short(_))
            );
            let slot = read.slot(&Pods::node()).unwrap().unwrap();
            assert_eq!(slot.downcast_ref::<Pods>().unwrap().0, expected.0);
        }
    }
}
