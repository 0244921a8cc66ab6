//! Files that appear whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

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

/// A file under a temporary name, beside where it will be. Opened before a run begins, so that a wrong path is found
/// then; renamed when it is complete, so that nobody reads half of it.
pub struct OutputFile {
    path: PathBuf,
    temporary: BufWriter<NamedTempFile>,
}

impl OutputFile {
    /// Opens the temporary file.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let failed = |source| OutputError::File { path: path.into(), source };
        if path.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")));
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new()
            .prefix(".seaworthy-")
            // As any new file: the umask decides, not the secrecy of temporary files.
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(directory)
            .map_err(failed)?;
        Ok(Self { path: path.into(), temporary: BufWriter::new(temporary) })
    }

    /// Whether the file's name ends so.
    pub fn is_named(&self, end: &str) -> bool {
        self.path.to_string_lossy().ends_with(end)
    }

    /// Writes to the temporary file.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        write(&mut self.temporary).map_err(|source| OutputError::File { path: self.path.clone(), source })
    }

    /// Gives the file its name.
    pub fn publish(self) -> Result<(), OutputError> {
        let Self { path, temporary } = self;
        let failed = |source| OutputError::File { path: path.clone(), source };
        let temporary = temporary.into_inner().map_err(|e| failed(e.into_error()))?;
        temporary.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }
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
    fn a_path_that_cannot_be_written_is_named() {
        let error = OutputFile::create(Path::new("/nowhere/at/all.xml")).err().unwrap().to_string();
        assert!(error.starts_with("/nowhere/at/all.xml: cannot be written: "), "{error}");
    }
}
