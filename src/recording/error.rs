//! Why a recording could not be read.

use std::io;
use std::path::PathBuf;

use super::document::{LIMIT, VERSION};

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
