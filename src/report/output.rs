//! Files that appear whole or not at all, and files that grow as a run goes on.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// What the names of temporary files begin with.
pub(super) const TEMPORARY: &str = ".seaworthy-";

/// Why output could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A file.
    #[error("{}: cannot be written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The standard output.
    #[error("the standard output cannot be written: {0}")]
    Stream(io::Error),
}

impl OutputError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// A file under a temporary name, beside where it will be. Opened before a run begins, so that a wrong path is found
/// then; renamed when it is complete, so that no one reads half of it. A pipe or a device, as `/dev/stdout`, is written
/// in place.
pub struct OutputFile {
    path: PathBuf,
    to: BufWriter<Sink>,
}

enum Sink {
    Temporary(NamedTempFile),
    InPlace(File),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Temporary(file) => file.write(bytes),
            Self::InPlace(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Temporary(file) => file.flush(),
            Self::InPlace(file) => file.flush(),
        }
    }
}

impl OutputFile {
    /// Opens the temporary file.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let sink = if is_in_place(path).map_err(|e| OutputError::file(path, e))? {
            Sink::InPlace(open(path)?)
        } else {
            Sink::Temporary(temporary(path).map_err(|e| OutputError::file(path, e))?)
        };
        Ok(Self { path: path.into(), to: BufWriter::new(sink) })
    }

    /// Whether the file's name ends so.
    pub fn is_named(&self, end: &str) -> bool {
        self.path.to_string_lossy().ends_with(end)
    }

    /// Writes to the temporary file.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        write(&mut self.to).map_err(|e| OutputError::file(&self.path, e))
    }

    /// Removes the file that this one would have replaced, since it must not pass for new.
    pub fn discard(self) -> Result<(), OutputError> {
        let Self { path, to } = self;
        match to.into_parts().0 {
            Sink::Temporary(_) => match fs::remove_file(fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => Err(OutputError::file(&path, why)),
                _ => Ok(()),
            },
            Sink::InPlace(_) => Ok(()),
        }
    }

    /// Gives the file its name.
    pub fn publish(self) -> Result<(), OutputError> {
        let Self { path, to } = self;
        let sink = to.into_inner().map_err(|e| OutputError::file(&path, e.into_error()))?;
        if let Sink::Temporary(file) = sink {
            // A link stays a link: what it points at is replaced.
            let target = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            file.persist(target).map_err(|e| OutputError::file(&path, e.error))?;
        }
        Ok(())
    }
}

/// A file that can be read while it grows.
pub struct StreamFile {
    path: PathBuf,
    to: File,
    begun: bool,
}

impl StreamFile {
    /// Opens the file. What is in it is lost with the first thing that is written, not before.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        is_in_place(path).map_err(|e| OutputError::file(path, e))?;
        Ok(Self { path: path.into(), to: open(path)?, begun: false })
    }

    /// Appends something, in one piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), OutputError> {
        self.append(piece).map_err(|e| OutputError::file(&self.path, e))
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        if !self.begun && self.to.metadata()?.is_file() {
            self.to.set_len(0)?;
        }
        self.begun = true;
        self.to.write_all(piece)
    }
}

fn open(path: &Path) -> Result<File, OutputError> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| OutputError::File { path: path.into(), source })
}

/// Whether the path leads to something that must not be replaced by a file.
fn is_in_place(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")),
        // What an open descriptor leads to may be a regular file, and goes on where it is.
        Ok(found) => Ok(!found.is_file() || ["/dev/std", "/dev/fd/", "/proc/"].iter().any(|of| is_below(path, of))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn is_below(path: &Path, start: &str) -> bool {
    path.to_string_lossy().starts_with(start)
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the folder {} does not exist", directory.display()),
        ));
    }
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        // As any new file: the umask decides, not the secrecy of temporary files.
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(directory)
        // The temporary file's own name would puzzle the reader.
        .map_err(|e| io::Error::new(e.kind(), e.kind().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.xml");
        let mut file = OutputFile::create(&path).unwrap();
        file.write(|to| to.write_all(b"<x/>")).unwrap();
        assert!(!path.exists());
        file.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"<x/>");
        drop(OutputFile::create(&directory.path().join("other")).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half-written is left");
    }

    #[test]
    fn a_file_that_was_to_be_replaced_can_be_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording.json");
        std::fs::write(&path, "old").unwrap();
        OutputFile::create(&path).unwrap().discard().unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        OutputFile::create(&path).unwrap().discard().unwrap();
        OutputFile::create(Path::new("/dev/null")).unwrap().discard().unwrap();
        assert!(Path::new("/dev/null").exists());
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut file = OutputFile::create(&link).unwrap();
        file.write(|to| to.write_all(b"new")).unwrap();
        file.publish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn a_device_is_written_and_not_replaced() {
        let mut file = OutputFile::create(Path::new("/dev/null")).unwrap();
        file.write(|to| to.write_all(b"x")).unwrap();
        file.publish().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_stream_can_be_read_while_it_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.jsonl");
        std::fs::write(&path, "an earlier run").unwrap();
        let mut file = StreamFile::create(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"an earlier run");
        file.write(b"one\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        file.write(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        for path in ["/nowhere/at/all.xml", "/"] {
            let error = OutputFile::create(Path::new(path)).err().unwrap().to_string();
            assert!(error.starts_with(&format!("{path}: cannot be written: ")), "{error}");
            assert!(StreamFile::create(Path::new(path)).is_err());
        }
    }
}
