//! Uploads an image to a registry with the OCI distribution API.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::stream;
use http::HeaderValue;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::{Reference, RegistryOperation};
use serde::Deserialize;

use super::assemble::{Blob, Image, ImageError, PlatformImage, index_of};
use super::bill::BillOfMaterials;
use super::digest::Digest;
use super::docker_config::{DockerConfig, DockerConfigError, Origin};
use super::executable::Executable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The deadline of one request, which includes the upload of a layer over a slow connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

impl Image {
    /// Uploads the image to `reference`, REGISTRY/NAME:TAG, and returns its digest in the registry.
    ///
    /// Over plain HTTP if the registry is on this machine or `insecure` is set. At most one
    /// executable is in memory at a time, compressed.
    pub async fn push(&self, reference: &str, insecure: bool, config: &DockerConfig) -> Result<Digest, PushError> {
        let reference = full_reference(reference)?;
        let upload = Upload::begin(reference, insecure, config.clone()).await?;
        let mut manifests = Vec::new();
        for executable in self.executables() {
            let platform = executable.architecture();
            let PlatformImage { layer, config, manifest } =
                platform_image(executable.clone(), self.bill().cloned()).await?;
            upload.blob(layer, &format!("the layer for {platform}")).await?;
            upload.blob(config, &format!("the config for {platform}")).await?;
            manifests.push(manifest);
        }
        let descriptors: Vec<_> = manifests.iter().map(|manifest| manifest.descriptor.clone()).collect();
        let root = match index_of(&descriptors) {
            Some(index) => {
                for manifest in manifests {
                    let digest = manifest.descriptor.digest.to_string();
                    upload.manifest(manifest, &digest).await?;
                }
                index
            }
            None => manifests.remove(0),
        };
        let digest = root.descriptor.digest.clone();
        upload.manifest(root, upload.reference.tag().unwrap_or_default()).await?;
        Ok(digest)
    }
}

/// Compresses on a thread that does not serve the network.
async fn platform_image(executable: Executable, bill: Option<BillOfMaterials>) -> Result<PlatformImage, ImageError> {
    off_the_network(move || PlatformImage::of(&executable, bill.as_ref())).await
}

async fn off_the_network<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

/// Only the full form is accepted: a short one would be completed with a registry that the user
/// did not name.
fn full_reference(text: &str) -> Result<Reference, PushError> {
    let refused = |reason: String| PushError::Reference { reference: text.into(), reason };
    let reference: Reference = text.parse().map_err(|error: oci_client::ParseError| refused(error.to_string()))?;
    if reference.digest().is_some() {
        return Err(refused("name a tag, not a digest".into()));
    }
    if reference.whole() != text {
        return Err(refused(format!("this is short for {reference}")));
    }
    Ok(reference)
}

/// Whether `registry`, HOST or HOST:PORT, is on this machine.
fn is_local(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An upload to one registry, logged in.
struct Upload {
    client: Client,
    reference: Reference,
    scheme: &'static str,
    login: Origin,
}

impl Upload {
    async fn begin(reference: Reference, insecure: bool, config: DockerConfig) -> Result<Self, PushError> {
        let registry = reference.resolve_registry().to_owned();
        let login = off_the_network(move || config.login(&registry)).await?;
        let (protocol, scheme) = if insecure || is_local(reference.resolve_registry()) {
            (ClientProtocol::Http, "http")
        } else {
            (ClientProtocol::Https, "https")
        };
        let settings = ClientConfig {
            protocol,
            // Every registry accepts one request with the whole blob; some do not accept chunks.
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(REQUEST_TIMEOUT),
            user_agent: crate::USER_AGENT,
            ..ClientConfig::default()
        };
        let client = Client::try_from(settings).map_err(|error| PushError::Client { reason: error.to_string() })?;
        let upload = Self { client, reference, scheme, login: login.origin };
        // Without this, a failed login would be ignored, and the upload tried without one.
        let logged_in = upload.client.auth(&upload.reference, &login.auth, RegistryOperation::Push).await;
        logged_in.map_err(|error| upload.failure("the login", error))?;
        Ok(upload)
    }

    async fn blob(&self, Blob { bytes, descriptor }: Blob, what: &str) -> Result<(), PushError> {
        let (digest, size) = (descriptor.digest, bytes.len() as u64);
        let bytes = stream::iter([Ok(bytes.into())]);
        let pushed = self.client.push_blob_stream(&self.reference, bytes, digest.as_str(), Some(size)).await;
        pushed.map(drop).map_err(|error| self.failure(what, error))
    }

    /// Uploads a manifest or an index under a tag or a digest.
    async fn manifest(&self, Blob { bytes, descriptor }: Blob, under: &str) -> Result<(), PushError> {
        // A digest takes the place of the tag, because oci-client panics if a registry answers the
        // upload to a reference by digest without a location, as some do.
        let (registry, repository) = (self.reference.registry().to_owned(), self.reference.repository().to_owned());
        let reference = Reference::with_tag(registry, repository, under.to_owned());
        let media_type = HeaderValue::from_static(descriptor.media_type.as_str());
        let pushed = self.client.push_manifest_raw(&reference, bytes, media_type).await;
        pushed.map(drop).map_err(|error| self.failure(&format!("the manifest {under}"), error))
    }

    fn failure(&self, what: &str, error: OciDistributionError) -> PushError {
        let registry = self.reference.resolve_registry().to_owned();
        let (what, login) = (what.to_owned(), self.login.to_string());
        match error {
            // Addresses of uploads contain state, so they are left out.
            OciDistributionError::RequestError(source) => {
                PushError::Unreachable { registry, scheme: self.scheme, what, source: source.without_url() }
            }
            OciDistributionError::UnauthorizedError { .. } => {
                PushError::NotAuthorized { registry, what, login, answer: "401".into() }
            }
            OciDistributionError::AuthenticationFailure(body) => {
                PushError::NotAuthorized { registry, what, login, answer: explanation(&body) }
            }
            OciDistributionError::ServerError { code: code @ (401 | 403), message, .. } => {
                PushError::NotAuthorized { registry, what, login, answer: format!("{code} {}", explanation(&message)) }
            }
            OciDistributionError::ServerError { code, message, .. } => {
                PushError::Refused { registry, what, answer: format!("{code} {}", explanation(&message)) }
            }
            other => PushError::Refused { registry, what, answer: other.to_string() },
        }
    }
}

/// The reason in the body of an answer: the registry's own, or the beginning of a proxy's answer.
fn explanation(body: &str) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    const LONGEST: usize = 200;

    let text = match serde_json::from_str::<Envelope>(body) {
        Ok(Envelope { errors }) => {
            let reasons = errors.into_iter().map(|Reason { code, message }| match message {
                Some(message) => format!("{code} ({message})"),
                None => code,
            });
            reasons.collect::<Vec<_>>().join(", ")
        }
        Err(_) => body.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    if text.is_empty() {
        return "without a reason".into();
    }
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}

/// Why an image could not be uploaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The destination is not a full reference.
    #[error("cannot push to {reference:?}, expected REGISTRY/NAME:TAG: {reason}")]
    Reference {
        /// The destination as given.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The credential for the registry is not available.
    #[error(transparent)]
    DockerConfig(#[from] DockerConfigError),
    /// The client for registries could not be set up, for instance because the system's trusted
    /// certificates cannot be read.
    #[error("cannot set up a client for registries: {reason}")]
    Client {
        /// What went wrong.
        reason: String,
    },
    /// The registry did not answer.
    #[error("registry {registry} did not respond to {what} over {scheme}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// The protocol in use.
        scheme: &'static str,
        /// The part that was uploaded.
        what: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The registry requires another credential, or any.
    #[error("registry {registry} refused {what}, sent {login}: {answer}")]
    NotAuthorized {
        /// The registry.
        registry: String,
        /// What it refused.
        what: String,
        /// The origin of the credential, never the credential.
        login: String,
        /// The registry's answer.
        answer: String,
    },
    /// The registry refused something for another reason.
    #[error("registry {registry} refused {what}: {answer}")]
    Refused {
        /// The registry.
        registry: String,
        /// What it refused.
        what: String,
        /// The registry's answer.
        answer: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_on_this_machine_are_local() {
        for local in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "[::1]"] {
            assert!(is_local(local), "{local}");
        }
        for remote in ["localhost.example", "registry.example:5000", "10.0.0.1:5000", "[fd00::1]:5000", "1270.0.0.1"] {
            assert!(!is_local(remote), "{remote}");
        }
    }

    #[test]
    fn only_a_full_reference_to_a_tag_is_a_destination() {
        assert_eq!(full_reference("localhost:5000/a/probe:1").unwrap().repository(), "a/probe");
        let digest = format!("localhost:5000/probe@{}", Digest::of(b""));
        for reference in ["probe", "probe:1", "localhost:5000/probe", "localhost:5000/Probe:1", "", &digest] {
            let refused = full_reference(reference).unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("cannot push to {reference:?}, expected REGISTRY/NAME:TAG: ")),
                "{refused}"
            );
        }
    }

    #[test]
    fn answers_are_cut_to_their_reason() {
        let body = r#"{"errors":[{"code":"DENIED","message":"no","detail":{"a":1}},{"code":"UNSUPPORTED"}]}"#;
        assert_eq!(explanation(body), "DENIED (no), UNSUPPORTED");
        assert_eq!(explanation("<html>\n  <p>Bad\x1b[31m Gateway"), "<html> <p>Bad[31m Gateway");
        assert_eq!(explanation(" \n"), "without a reason");
        assert_eq!(explanation(&"é".repeat(1000)).chars().count(), 200);
    }
}
