//! The JSON documents that make an image of its layers.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md>

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::digest::Digest;
use super::executable::Architecture;
use super::layer::PROGRAM;

/// The kind of a blob, as descriptors and registries name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Layer,
    Config,
    Manifest,
    Index,
}

impl MediaType {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Layer => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Config => "application/vnd.oci.image.config.v1+json",
            Self::Manifest => "application/vnd.oci.image.manifest.v1+json",
            Self::Index => "application/vnd.oci.image.index.v1+json",
        }
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A reference to a blob by its digest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: MediaType,
    pub(super) digest: Digest,
    pub(super) size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<&'static str, String>,
}

/// What runs the program of a manifest.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Platform {
    architecture: Architecture,
    os: &'static str,
}

impl Platform {
    pub(super) const fn linux(architecture: Architecture) -> Self {
        Self { architecture, os: "linux" }
    }
}

/// How to run the program.
#[derive(Serialize)]
pub(super) struct Config {
    #[serde(flatten)]
    platform: Platform,
    created: &'static str,
    #[serde(rename = "config")]
    execution: Execution,
    rootfs: RootFs,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    entrypoint: [String; 1],
    user: &'static str,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: [Digest; 1],
}

impl Config {
    pub(super) fn new(platform: Platform, diff_id: Digest) -> Self {
        Self {
            platform,
            // With a real date, every build would give another image.
            created: "1970-01-01T00:00:00Z",
            execution: Execution {
                entrypoint: [format!("/{PROGRAM}")],
                // Numeric, because `runAsNonRoot` cannot verify names without /etc/passwd.
                user: "65534:65534",
            },
            rootfs: RootFs { r#type: "layers", diff_ids: [diff_id] },
        }
    }
}

/// The image of one platform.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u8,
    media_type: MediaType,
    config: Descriptor,
    layers: [Descriptor; 1],
}

impl Manifest {
    pub(super) fn new(config: Descriptor, layer: Descriptor) -> Self {
        Self { schema_version: 2, media_type: MediaType::Manifest, config, layers: [layer] }
    }
}

/// A list of manifests: the platforms of one image, or the images of a layout.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u8,
    media_type: MediaType,
    manifests: Vec<Descriptor>,
}

impl Index {
    pub(super) fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: MediaType::Index, manifests }
    }
}
