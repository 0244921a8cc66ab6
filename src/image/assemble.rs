//! From executables to the blobs of an image.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use oci_client::Reference;
use serde::Serialize;

use super::bill::BillOfMaterials;
use super::digest::Digest;
use super::executable::{Architecture, Executable};
use super::layer::Layer;
use super::manifest::{Config, Descriptor, Index, Manifest, MediaType, Platform};

/// The default image of probe pods: the one that this version makes.
pub const DEFAULT_PROBE_IMAGE: &str = concat!("seaworthy.dev/probe:", env!("CARGO_PKG_VERSION"));

/// An image to make: one static executable, or one for each architecture of a cluster.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    executables: Vec<Executable>,
    bill: Option<BillOfMaterials>,
}

impl Image {
    /// An image `name` of at least one executable and at most one for each architecture.
    ///
    /// A short name is completed as nodes complete it for pods, so that they find the image under
    /// the requested name.
    pub fn new(name: &str, mut executables: Vec<Executable>) -> Result<Self, ImageError> {
        let reference: Reference = name.parse().map_err(|source: oci_client::ParseError| ImageError::Name {
            name: name.into(),
            reason: source.to_string(),
        })?;
        if reference.digest().is_some() {
            let reason = "give the image a tag; its digest follows from its contents".into();
            return Err(ImageError::Name { name: name.into(), reason });
        }
        if executables.is_empty() {
            return Err(ImageError::NoExecutable);
        }
        executables.sort_by_key(Executable::architecture);
        if let Some(pair) = executables.windows(2).find(|pair| pair[0].architecture() == pair[1].architecture()) {
            return Err(ImageError::SameArchitecture {
                architecture: pair[0].architecture(),
                first: pair[0].path().into(),
                second: pair[1].path().into(),
            });
        }
        Ok(Self { name: reference.whole(), executables, bill: None })
    }

    /// The same image with a bill of materials beside each executable.
    pub fn with_bill(self, bill: BillOfMaterials) -> Self {
        Self { bill: Some(bill), ..self }
    }

    /// The full name: registry, repository and tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The executables, ordered by architecture.
    pub fn executables(&self) -> &[Executable] {
        &self.executables
    }

    /// The bill of materials, if there is one.
    pub(super) fn bill(&self) -> Option<&BillOfMaterials> {
        self.bill.as_ref()
    }
}

/// A blob and what refers to it.
pub(super) struct Blob {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptor: Descriptor,
}

impl Blob {
    fn document(media_type: MediaType, document: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(document).expect("a document of strings and numbers is written to memory");
        let descriptor = descriptor(media_type, Digest::of(&bytes), bytes.len());
        Self { bytes, descriptor }
    }
}

fn descriptor(media_type: MediaType, digest: Digest, size: usize) -> Descriptor {
    Descriptor { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
}

/// The part of an image that one platform uses.
pub(super) struct PlatformImage {
    pub(super) layer: Blob,
    pub(super) config: Blob,
    pub(super) manifest: Blob,
}

impl PlatformImage {
    /// Reads and compresses the executable, which takes a second or so.
    pub(super) fn of(executable: &Executable, bill: Option<&BillOfMaterials>) -> Result<Self, ImageError> {
        let Layer { compressed, digest, diff_id } = Layer::of(executable, bill)
            .map_err(|source| ImageError::Read { path: executable.path().into(), source })?;
        let layer = Blob { descriptor: descriptor(MediaType::Layer, digest, compressed.len()), bytes: compressed };
        let platform = Platform::linux(executable.architecture());
        let config = Blob::document(MediaType::Config, &Config::new(platform, diff_id));
        let manifest = Manifest::new(config.descriptor.clone(), layer.descriptor.clone());
        let mut manifest = Blob::document(MediaType::Manifest, &manifest);
        manifest.descriptor.platform = Some(platform);
        Ok(Self { layer, config, manifest })
    }
}

/// The index of several platforms. An image of one platform has none: its manifest is the image.
pub(super) fn index_of(manifests: &[Descriptor]) -> Option<Blob> {
    (manifests.len() > 1).then(|| Blob::document(MediaType::Index, &Index::new(manifests.to_vec())))
}

/// Why an image could not be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The name is not one that an image can have.
    #[error("{name:?} cannot be the name of an image, expected REGISTRY/NAME:TAG: {reason}")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No executable was given.
    #[error("an image needs at least one executable")]
    NoExecutable,
    /// An index can hold one executable for each architecture.
    #[error("{} and {} are both for {architecture}: give one executable for each architecture", first.display(), second.display())]
    SameArchitecture {
        /// The architecture that both are for.
        architecture: Architecture,
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// An executable could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The executable.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The archive would replace something that is not a file.
    #[error("{} is not a regular file: name a new file, or one to replace", path.display())]
    NotAFile {
        /// The archive.
        path: PathBuf,
    },
    /// The archive could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::super::executable::tests::two_programs;
    use super::*;

    #[test]
    fn a_short_name_is_completed() {
        let (_dir, amd64, _) = two_programs();
        let name = |given: &str| Image::new(given, vec![amd64.clone()]).unwrap().name().to_owned();
        assert_eq!(name(DEFAULT_PROBE_IMAGE), DEFAULT_PROBE_IMAGE);
        assert_eq!(name("localhost:5000/a/probe:1"), "localhost:5000/a/probe:1");
        assert_eq!(name("localhost:5000/probe"), "localhost:5000/probe:latest");
        assert!(name("probe:1").ends_with("/library/probe:1"));
    }

    #[test]
    fn names_that_no_image_can_have_are_refused() {
        let (_dir, amd64, _) = two_programs();
        let digest = format!("localhost/probe@{}", Digest::of(b""));
        for name in ["", "Probe:1", "localhost/probe:a b", &digest] {
            let refused = Image::new(name, vec![amd64.clone()]).unwrap_err();
            assert!(matches!(refused, ImageError::Name { .. }), "{refused}");
            assert!(refused.to_string().contains("expected REGISTRY/NAME:TAG"), "{refused}");
        }
    }

    #[test]
    fn one_executable_for_each_architecture() {
        let (_dir, amd64, arm64) = two_programs();
        let image = |executables| Image::new(DEFAULT_PROBE_IMAGE, executables);
        assert!(matches!(image(vec![]), Err(ImageError::NoExecutable)));
        let twice = image(vec![amd64.clone(), arm64.clone(), amd64.clone()]).unwrap_err().to_string();
        assert!(twice.contains("are both for amd64"), "{twice}");
        let order: Vec<_> =
            image(vec![arm64, amd64]).unwrap().executables().iter().map(Executable::architecture).collect();
        assert!(order.is_sorted());
    }
}
