//! The image that probe pods run: the program itself in an image made `FROM scratch`.
//!
//! A probe pod runs the same program as the administrator does, so the image consists of the
//! running executable alone: no base image, nothing to pull. The image of a release also has its
//! bill of materials.
//! [`Image::write_archive`] writes it as a file to load on the nodes, [`Image::push`] uploads it to
//! a registry. Both make the same bytes and hence the same digest, on any machine and at any
//! time.
//!
//! ```text
//! executable.rs     a file that can run in an image without libraries, and for which architecture
//! elf.rs            the header of an ELF file
//! bill.rs           the bill of materials, if there is one
//! layer.rs          executable and bill -> compressed tar and its two digests
//! manifest.rs       the JSON documents of an OCI image
//! assemble.rs       Image: executables -> layers, configs, manifests, index
//! archive.rs        Image -> OCI image layout in a tar file
//! push.rs           Image -> registry
//! docker_config.rs  registry -> credential
//! digest.rs         SHA-256 of everything that passes through a writer
//! ```

mod archive;
mod assemble;
mod bill;
mod digest;
mod docker_config;
pub(crate) mod elf;
mod executable;
mod layer;
mod manifest;
mod push;

pub use archive::Written;
pub use assemble::{DEFAULT_PROBE_IMAGE, Image, ImageError};
pub use bill::{BillError, BillOfMaterials};
pub use digest::Digest;
pub use docker_config::{DockerConfig, DockerConfigError};
pub use executable::{Architecture, Executable, ExecutableError};
pub use push::PushError;
