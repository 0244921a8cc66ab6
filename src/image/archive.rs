//! An image as an OCI image layout in a tar file that container runtimes load.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::assemble::{Blob, Image, ImageError, PlatformImage, index_of};
use super::digest::Digest;
use super::layer::plain_file;
use super::manifest::{Descriptor, Index};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The size of the archive.
    pub bytes: u64,
    /// The digest of the image: of its manifest, or of its index if it is for several
    /// architectures.
    pub digest: Digest,
}

impl Image {
    /// Writes the image to the file `path`. The file is replaced when the whole archive is written,
    /// and otherwise left unchanged.
    ///
    /// The same executables make the same archive, byte for byte. At most one of them is in memory
    /// at a time, compressed.
    pub fn write_archive(&self, path: &Path) -> Result<Written, ImageError> {
        let failed = |source| ImageError::Write { path: path.into(), source };
        // A rename would replace a device or a link such as /dev/stdout rather than write to it.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(ImageError::NotAFile { path: path.into() });
        }
        let (partial, file) = PartialFile::beside(path).map_err(failed)?;
        let mut tar = tar::Builder::new(BufWriter::new(file));
        let digest = self.write_layout(&mut tar, &failed)?;
        let file = tar.into_inner().map_err(failed)?.into_inner().map_err(|error| failed(error.into_error()))?;
        let bytes = file.metadata().map_err(failed)?.len();
        partial.keep_as(path).map_err(failed)?;
        Ok(Written { bytes, digest })
    }

    fn write_layout(
        &self,
        tar: &mut tar::Builder<impl Write>,
        failed: &impl Fn(io::Error) -> ImageError,
    ) -> Result<Digest, ImageError> {
        let mut manifests = Vec::new();
        for executable in self.executables() {
            let PlatformImage { layer, config, manifest } = PlatformImage::of(executable, self.bill())?;
            for blob in [&layer, &config, &manifest] {
                append_blob(tar, blob).map_err(failed)?;
            }
            manifests.push(manifest.descriptor);
        }
        let mut root = match index_of(&manifests) {
            Some(index) => {
                append_blob(tar, &index).map_err(failed)?;
                index.descriptor
            }
            None => manifests.remove(0),
        };
        root.annotations = self.annotations();
        let digest = root.digest.clone();
        append_entry_points(tar, root).map_err(failed)?;
        Ok(digest)
    }

    /// The name for containerd, and again for podman and others.
    fn annotations(&self) -> BTreeMap<&'static str, String> {
        ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .map(|key| (key, self.name().to_owned()))
            .into()
    }
}

fn append_blob(tar: &mut tar::Builder<impl Write>, blob: &Blob) -> io::Result<()> {
    append(tar, &blob.descriptor.digest.layout_path(), &blob.bytes)
}

/// The two files by which readers recognise the layout and find the image.
fn append_entry_points(tar: &mut tar::Builder<impl Write>, root: Descriptor) -> io::Result<()> {
    append(tar, "index.json", &serde_json::to_vec(&Index::new(vec![root]))?)?;
    append(tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut plain_file(bytes.len() as u64, 0o644), path, bytes)
}

/// An unfinished file, which is removed unless it is kept.
struct PartialFile {
    path: Option<PathBuf>,
}

impl PartialFile {
    /// A new file in the same directory, so that renaming it moves no data.
    fn beside(path: &Path) -> io::Result<(Self, File)> {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = path.with_file_name(name);
        let file = File::create_new(&path)?;
        Ok((Self { path: Some(path) }, file))
    }

    fn keep_as(mut self, path: &Path) -> io::Result<()> {
        if let Some(partial) = &self.path {
            fs::rename(partial, path)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If it cannot be removed, its name says what it is; the failure that led here is
            // reported.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::{Value, json};

    use super::super::DEFAULT_PROBE_IMAGE;
    use super::super::executable::Executable;
    use super::super::executable::tests::two_programs;
    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    /// An archive read back: the files by path.
    struct Layout(BTreeMap<String, Vec<u8>>);

    impl Layout {
        fn read(path: &Path) -> Self {
            let mut tar = tar::Archive::new(File::open(path).unwrap());
            let files = tar.entries().unwrap().map(|entry| {
                let mut entry = entry.unwrap();
                assert_eq!((entry.header().mtime().unwrap(), entry.header().mode().unwrap()), (0, 0o644));
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
            });
            Self(files.collect())
        }

        fn json(&self, path: &str) -> Value {
            serde_json::from_slice(&self.0[path]).unwrap()
        }

        /// The blob that a descriptor points to, after its digest and size are found right.
        fn blob(&self, descriptor: &Value) -> &[u8] {
            let digest = descriptor["digest"].as_str().unwrap();
            let blob = &self.0[&digest.replacen("sha256:", "blobs/sha256/", 1)];
            assert_eq!(Digest::of(blob).as_str(), digest);
            assert_eq!(descriptor["size"], blob.len());
            blob
        }

        fn document(&self, descriptor: &Value) -> Value {
            serde_json::from_slice(self.blob(descriptor)).unwrap()
        }

        fn assert_platform(&self, descriptor: &Value, executable: &Executable) {
            let architecture = executable.architecture();
            assert_eq!(descriptor["mediaType"], MANIFEST);
            assert_eq!(descriptor["platform"], json!({"architecture": architecture, "os": "linux"}));
            let manifest = self.document(descriptor);
            assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &json!(MANIFEST)));
            assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
            assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
            assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");

            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(self.blob(&manifest["layers"][0])).read_to_end(&mut plain).unwrap();
            let expected = json!({
                "architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
                "config": {"Entrypoint": ["/seaworthy"], "User": "65534:65534"},
                "rootfs": {"type": "layers", "diff_ids": [Digest::of(&plain)]},
            });
            assert_eq!(self.document(&manifest["config"]), expected);
            let program = fs::read(executable.path()).unwrap();
            assert!(plain.windows(program.len()).any(|window| window == program));
        }
    }

    fn write(executables: Vec<Executable>) -> (Written, Layout, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("probe.tar");
        let written = Image::new(DEFAULT_PROBE_IMAGE, executables).unwrap().write_archive(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), written.bytes);
        (written, Layout::read(&path), dir)
    }

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn one_architecture_is_one_manifest() {
        let (_programs, amd64, _) = two_programs();
        let (written, layout, _dir) = write(vec![amd64.clone()]);
        assert_eq!(layout.json("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
        let index = layout.json("index.json");
        assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(INDEX)));
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        let image = &index["manifests"][0];
        let name = DEFAULT_PROBE_IMAGE;
        assert_eq!(
            image["annotations"],
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name})
        );
        assert_eq!(image["digest"], written.digest.as_str());
        layout.assert_platform(image, &amd64);
        assert_eq!(layout.0.len(), 2 + 3);
    }

    #[test]
    fn several_architectures_are_one_index() {
        let (_programs, amd64, arm64) = two_programs();
        let (written, layout, _dir) = write(vec![arm64.clone(), amd64.clone()]);
        let root = layout.json("index.json");
        assert_eq!(root["manifests"].as_array().unwrap().len(), 1);
        let image = &root["manifests"][0];
        assert_eq!(image["mediaType"], INDEX);
        assert_eq!(image["digest"], written.digest.as_str());
        assert_eq!(image["annotations"]["io.containerd.image.name"], DEFAULT_PROBE_IMAGE);
        let index = layout.document(image);
        assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(INDEX)));
        let platforms = index["manifests"].as_array().unwrap();
        assert_eq!(platforms.len(), 2);
        layout.assert_platform(&platforms[0], &amd64);
        layout.assert_platform(&platforms[1], &arm64);
        assert_eq!(layout.0.len(), 2 + 1 + 2 * 3);
    }

    #[test]
    fn the_same_executables_make_the_same_archive() {
        let (_programs, amd64, arm64) = two_programs();
        let (one, _, first) = write(vec![amd64.clone(), arm64.clone()]);
        let (other, _, second) = write(vec![arm64, amd64]);
        assert_eq!(one, other);
        let read = |dir: &tempfile::TempDir| fs::read(dir.path().join("probe.tar")).unwrap();
        assert!(read(&first) == read(&second));
    }

    #[test]
    fn only_the_whole_archive_replaces_a_file() {
        let (programs, amd64, arm64) = two_programs();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("probe.tar");
        fs::write(&path, "the old one").unwrap();
        let image = Image::new(DEFAULT_PROBE_IMAGE, vec![amd64, arm64.clone()]).unwrap();

        // The second executable vanishes, so that half of the archive is written when it fails.
        fs::rename(arm64.path(), programs.path().join("away")).unwrap();
        let failed = image.write_archive(&path).unwrap_err();
        assert_eq!(failed.to_string(), format!("cannot read {}", arm64.path().display()));
        assert_eq!(
            (names(dir.path()), fs::read(&path).unwrap()),
            (vec!["probe.tar".to_owned()], b"the old one".to_vec())
        );

        fs::rename(programs.path().join("away"), arm64.path()).unwrap();
        image.write_archive(&path).unwrap();
        assert_eq!(names(dir.path()), ["probe.tar"]);
        assert!(Layout::read(&path).0.contains_key("index.json"));
    }

    #[test]
    fn what_is_not_a_file_is_not_replaced() {
        let (_programs, amd64, _) = two_programs();
        let image = Image::new(DEFAULT_PROBE_IMAGE, vec![amd64]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(image.write_archive(dir.path()), Err(ImageError::NotAFile { .. })));
        assert!(matches!(image.write_archive(&dir.path().join("no/such/probe.tar")), Err(ImageError::Write { .. })));
        assert!(names(dir.path()).is_empty());
    }
}
