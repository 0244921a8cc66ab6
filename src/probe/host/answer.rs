//! What a probe on a node answers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Description;
use crate::probe::fault::Got;

/// The answers of one container of a probe on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostAnswers {
    /// The directories that could not be listed, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unlisted: BTreeMap<String, String>,
    /// The files of the directories, by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, DiskFile>,
    /// What HTTP servers answered, by URL.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gets: BTreeMap<String, Got<HttpAnswer>>,
    /// The manifests of static pods, and digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Manifests>,
    /// Which services of systemd run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,
    /// Which units systemd starts at boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<UnitFiles>,
}

/// The manifests of static pods on a node, and digests of files that must be the same on other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifests {
    /// By file name, the pod that a file describes, or why it cannot be read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Result<Manifest, String>>,
    /// Why the directory could not be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<String>,
    /// The first digits of the SHA-256 digests of files, by path, or why they cannot be read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, Result<String, String>>,
}

/// The pod that a manifest describes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Manifest {
    /// Its namespace.
    pub namespace: String,
    /// Its name, without that of the node.
    pub name: String,
}

/// What a node's control groups show of its init.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// Whether systemd is the node's init.
    pub systemd: bool,
    /// Those services that were asked about and have processes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub running: BTreeSet<String>,
    /// The control groups that could not be looked at, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<String, String>,
}

/// Units that were asked about, and those that start them, as their files define.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFiles {
    /// The units, by name; one that neither has a file nor is started by another is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, Unit>,
    /// The directories that could not be listed, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unlisted: BTreeMap<String, String>,
}

/// A unit of systemd, as its files define it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// What its own file is.
    pub defined: Definition,
    /// The units that start it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub started_by: BTreeSet<String>,
}

/// What the file of a unit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Definition {
    /// One that was read.
    Read,
    /// One that keeps the unit from being started at all.
    Masked,
    /// One that a probe does not see, if there is any.
    #[default]
    Elsewhere,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The wanted lines of its body.
    pub body: Text,
}

/// The wanted lines of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The lines.
    pub lines: Vec<String>,
    /// Whether there was more than is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A file as it lies on the node's disk. A private key is looked at from outside only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFile {
    /// The permission bits.
    pub mode: u32,
    /// The numbers of the user and the group that own it.
    pub owner: (u32, u32),
    /// What it holds.
    #[serde(flatten)]
    pub content: Content,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Content {
    /// A private key, by its name, or because nothing else lies in the file. It was passed over.
    Key,
    /// Certificates, the first being the owner's.
    Certificates {
        /// The certificates.
        held: Vec<CertificateOnDisk>,
        /// Whether a private key lies in the same file. It was passed over.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        and_key: bool,
    },
    /// A kubeconfig.
    Kubeconfig {
        /// The client certificate that is embedded in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Box<CertificateOnDisk>>,
        /// The file that it names for its client certificate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refers_to: Option<String>,
        /// Whether it holds a key, a token or a password. It was passed over.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        and_key: bool,
    },
    /// Something that could not be read, and why.
    Unreadable {
        /// Why.
        because: String,
    },
}

/// A certificate on disk, described where it lies: whole ones do not fit into an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateOnDisk {
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// The first moment at which it is valid.
    pub from: Timestamp,
    /// The last moment at which it is valid.
    pub until: Timestamp,
    /// The public key, as `RSA 2048`.
    pub key: String,
    /// The bits of an RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rsa_bits: Option<usize>,
    /// The algorithm of the signature, where it is one that clients refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_signature: Option<String>,
    /// The names and addresses of a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Whether it is an authority's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub authority: bool,
    /// The files in the same directories that hold an authority which has signed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
}

impl From<&Description> for CertificateOnDisk {
    fn from(description: &Description) -> Self {
        let addresses = description.ip_addresses.iter().map(ToString::to_string);
        Self {
            subject: description.subject.clone(),
            issuer: description.issuer.clone(),
            from: description.not_before,
            until: description.not_after,
            key: description.public_key.to_string(),
            rsa_bits: match description.public_key {
                crate::certificate::PublicKey::Rsa { bits } => Some(bits),
                _ => None,
            },
            refused_signature: description
                .signature_algorithm
                .is_sha1_or_md5()
                .then(|| description.signature_algorithm.to_string()),
            names: description.dns_names.iter().cloned().chain(addresses).collect(),
            authority: description.is_ca == Some(true),
            signed_by: Vec::new(),
        }
    }
}
