//! Credentials for registries, from the file in which `docker login` and similar commands keep them.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;

/// A docker config file, `config.json`, with credentials or the names of the helpers that keep
/// them.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    path: PathBuf,
}

impl DockerConfig {
    /// The config at `path`. It need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The config that the docker command would read: in the directory `DOCKER_CONFIG`, or else in
    /// `~/.docker`.
    pub fn of_user() -> Self {
        let directory = match env::var_os("DOCKER_CONFIG") {
            Some(directory) if !directory.is_empty() => directory.into(),
            _ => env::home_dir().unwrap_or_default().join(".docker"),
        };
        Self::at(directory.join("config.json"))
    }

    /// The credential for `registry`. May run a credential helper, and waits for it.
    pub(super) fn login(&self, registry: &str) -> Result<Login, DockerConfigError> {
        let path = self.path.clone();
        let config = match fs::read(&path) {
            Ok(config) => config,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Login { auth: RegistryAuth::Anonymous, origin: Origin::NoConfig(path) });
            }
            Err(source) => return Err(DockerConfigError::Read { path, source }),
        };
        // Older logins, also in helpers, are stored under the address of the first version of the
        // registry API.
        let keys = [registry.to_owned(), format!("https://{registry}/v1/")];
        for key in &keys {
            match get_credential_from_reader(config.as_slice(), key) {
                Ok(DockerCredential::UsernamePassword(user, password)) => {
                    return Ok(Login { auth: RegistryAuth::Basic(user, password), origin: Origin::Config(path) });
                }
                Ok(DockerCredential::IdentityToken(_)) => {
                    return Err(DockerConfigError::IdentityToken { path, registry: registry.into() });
                }
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(DockerConfigError::unusable(path, registry, &error)),
            }
        }
        Ok(Login { auth: RegistryAuth::Anonymous, origin: Origin::NotInConfig(path) })
    }
}

/// Helpers have no exit code for "nothing stored", only this message.
fn is_absence(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => true,
        CredentialRetrievalError::HelperFailure { stdout, .. } => stdout.contains("credentials not found"),
        _ => false,
    }
}

/// A credential and its origin. Only the origin is ever shown.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) auth: RegistryAuth,
    pub(super) origin: Origin,
}

/// The origin of a credential, or why there is none.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Config(PathBuf),
    NotInConfig(PathBuf),
    NoConfig(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(path) => write!(f, "with the credential in {}", path.display()),
            Self::NotInConfig(path) => {
                write!(f, "without a credential, as {} has none for this registry", path.display())
            }
            Self::NoConfig(path) => {
                write!(f, "without a credential, as there is no {}", path.display())
            }
        }
    }
}

/// Why no credential is available from a docker config.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerConfigError {
    /// The config exists and could not be read.
    #[error("cannot read the docker config {}", path.display())]
    Read {
        /// The config.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The config, or its entry for the registry, is malformed.
    #[error("the docker config {} is not usable for {registry}: {reason}", path.display())]
    Malformed {
        /// The config.
        path: PathBuf,
        /// The registry.
        registry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The credential helper that the config names failed.
    #[error("the credential helper that the docker config {} names for {registry} {reason}", path.display())]
    Helper {
        /// The config.
        path: PathBuf,
        /// The registry.
        registry: String,
        /// How it failed.
        reason: String,
    },
    /// The registry requires a token exchange, which this program does not support.
    #[error(
        "the docker config {} has an identity token for {registry}, expected a user name and a password or access token",
        path.display()
    )]
    IdentityToken {
        /// The config.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
}

impl DockerConfigError {
    fn unusable(path: PathBuf, registry: &str, error: &CredentialRetrievalError) -> Self {
        let registry = registry.to_owned();
        match error {
            // The helper's output is not repeated: it might be a secret.
            CredentialRetrievalError::HelperFailure { helper, .. } => {
                let reason = format!("failed: run `echo {registry} | {helper} get` to see why");
                Self::Helper { path, registry, reason }
            }
            CredentialRetrievalError::HelperCommunicationError => Self::Helper {
                path,
                registry,
                reason: "could not be run, expected docker-credential-NAME in PATH".into(),
            },
            CredentialRetrievalError::MalformedHelperResponse => {
                Self::Helper { path, registry, reason: "did not return a user name and a secret".into() }
            }
            CredentialRetrievalError::CredentialDecodingError => {
                Self::Malformed { path, registry, reason: "`auth` is not the base64 form of USER:PASSWORD" }
            }
            CredentialRetrievalError::CredentialMismatchError => {
                Self::Malformed { path, registry, reason: "`auth` differs from `username` and `password`" }
            }
            _ => Self::Malformed { path, registry, reason: "it is not the JSON of a docker config" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "localhost:5000";

    fn login(config: &str) -> (Result<Login, DockerConfigError>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, config).unwrap();
        (DockerConfig::at(path).login(REGISTRY), dir)
    }

    #[test]
    fn a_stored_password_is_used() {
        let expected = RegistryAuth::Basic("sailor".into(), "knots".into());
        for config in [
            r#"{"auths":{"localhost:5000":{"auth":"c2FpbG9yOmtub3Rz"}}}"#,
            r#"{"auths":{"localhost:5000":{"username":"sailor","password":"knots"}}}"#,
            r#"{"auths":{"https://localhost:5000/v1/":{"auth":"c2FpbG9yOmtub3Rz"}}}"#,
        ] {
            let login = login(config).0.unwrap();
            assert!(login.auth == expected, "{config}");
            assert!(login.origin.to_string().starts_with("with the credential in "));
            assert!(!format!("{login:?}").contains("knots"));
        }
    }

    #[test]
    fn nothing_stored_is_anonymous() {
        for config in
            ["{}", r#"{"auths":{"localhost:6000":{"auth":"c2FpbG9yOmtub3Rz"}}}"#, r#"{"auths":{"localhost:5000":{}}}"#]
        {
            let login = login(config).0.unwrap();
            assert!(login.auth == RegistryAuth::Anonymous, "{config}");
            assert!(login.origin.to_string().ends_with("has none for this registry"));
        }
        let login = DockerConfig::at("/no/such/config.json").login(REGISTRY).unwrap();
        assert_eq!(login.origin.to_string(), "without a credential, as there is no /no/such/config.json");
    }

    #[test]
    fn what_is_not_usable_is_said_without_the_secret() {
        for (config, expected) in [
            ("auths:", "it is not the JSON of a docker config"),
            (r#"{"auths":{"localhost:5000":{"auth":"knots"}}}"#, "`auth` is not the base64 form of USER:PASSWORD"),
            (
                r#"{"auths":{"localhost:5000":{"auth":"c2FpbG9yOmtub3Rz","username":"sailor","password":"knots2"}}}"#,
                "`auth` differs from `username` and `password`",
            ),
            (r#"{"auths":{"localhost:5000":{"identitytoken":"knots"}}}"#, "has an identity token for localhost:5000"),
            (r#"{"credsStore":"no-such-helper"}"#, "could not be run, expected docker-credential-NAME in PATH"),
        ] {
            let (login, dir) = login(config);
            let refused = login.unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            assert!(refused.contains(&dir.path().display().to_string()), "{refused}");
            assert!(!refused.contains("knots"), "{refused}");
        }
    }

    #[test]
    fn a_helper_may_have_nothing() {
        let failure = |stdout: &str| CredentialRetrievalError::HelperFailure {
            helper: "docker-credential-chest".into(),
            stdout: stdout.into(),
            stderr: String::new(),
        };
        assert!(is_absence(&failure("credentials not found in native keychain\n")));
        let locked = failure("the chest is locked by knots");
        assert!(!is_absence(&locked));
        let refused = DockerConfigError::unusable("config.json".into(), REGISTRY, &locked).to_string();
        assert!(refused.contains("run `echo localhost:5000 | docker-credential-chest get` to see why"), "{refused}");
        assert!(!refused.contains("knots"), "{refused}");
    }
}
