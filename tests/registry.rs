//! Pushes images to a real registry, the program `docker-registry`, and fetches them again.
//!
//! Without that program the tests are reported as ignored, with the reason.

#![expect(clippy::disallowed_methods, reason = "a test waits in a thread of its own")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use reqwest::StatusCode;
use seaworthy::image::{DEFAULT_PROBE_IMAGE, DockerConfig, Executable, Image, PushError};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = "docker-registry";
const PASSWORD: &str = "knots and splices";
/// `htpasswd -nbB sailor PASSWORD`
const HTPASSWD: &str = "sailor:$2y$05$ZImgKi88pGuuaJQ.9JL3z.SmbuVNmy8V3m8THGl2aXRxNG7egTWdG\n";

type Outcome = Result<(), Failed>;

fn main() -> ExitCode {
    let trials = vec![
        trial("one_architecture", one_architecture),
        trial("two_architectures", two_architectures),
        trial("archive_and_registry_have_one_digest", one_digest),
        trial("with_a_password", with_a_password),
        trial("a_refused_login_shows_no_credential", refused_login),
        trial("a_registry_that_takes_nothing", read_only_registry),
        trial("no_registry_at_all", no_registry),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A trial that needs the registry program.
fn trial<F: Future<Output = Outcome>>(name: &str, test: impl Fn() -> F + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        if Command::new(PROGRAM).arg("--version").output().is_err() {
            return Ok(Completion::ignored_with(format!("{PROGRAM} is not installed")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(test())?;
        Ok(Completion::Completed)
    })
}

/// How a registry is set up.
#[derive(Clone, Copy, PartialEq)]
enum With {
    Defaults,
    Password,
    NoWrites,
}

/// A registry that lives as long as the value.
struct Registry {
    address: String,
    process: Child,
    dir: TempDir,
}

impl Registry {
    /// Starts a registry on a free port.
    fn start(with: With) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let path = |name: &str| dir.path().join(name);
        let mut settings = json!({
            "version": "0.1",
            "http": {"addr": &address},
            "storage": {
                "filesystem": {"rootdirectory": path("storage")},
                "maintenance": {"readonly": {"enabled": with == With::NoWrites}},
            },
        });
        if with == With::Password {
            fs::write(path("htpasswd"), HTPASSWD)?;
            settings["auth"] = json!({"htpasswd": {"realm": "harbour", "path": path("htpasswd")}});
        }
        // JSON is YAML.
        let config = path("registry.yml");
        fs::write(&config, settings.to_string())?;
        let mut command = Command::new(PROGRAM);
        let process = command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let registry = Self { address, process, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&registry.address).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{PROGRAM} does not listen on {}", registry.address).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    fn reference(&self) -> String {
        format!("{}/harbour/probe:1", self.address)
    }

    /// A docker config with a password for this registry.
    fn docker_config(&self, password: &str) -> Result<PathBuf, Failed> {
        let path = self.dir.path().join("config.json");
        let config = json!({"auths": {&self.address: {"username": "sailor", "password": password}}});
        fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// Fetches a manifest or a blob and compares it with its digest.
    async fn fetch(&self, kind: &str, reference: &str, media_type: &str) -> Result<Vec<u8>, Failed> {
        let url = format!("http://{}/v2/harbour/probe/{kind}/{reference}", self.address);
        let request = reqwest::Client::new().get(url).header("accept", media_type).basic_auth("sailor", Some(PASSWORD));
        let answer = request.send().await?;
        assert_eq!(answer.status(), StatusCode::OK, "{kind} {reference}");
        let stated = answer.headers()["docker-content-digest"].to_str()?.to_owned();
        if kind == "manifests" {
            assert_eq!(answer.headers()["content-type"], media_type);
        }
        let body = answer.bytes().await?.to_vec();
        assert_eq!(sha256(&body), stated);
        assert!(!reference.starts_with("sha256:") || reference == stated);
        Ok(body)
    }

    /// Fetches the image of one platform, down to its layer.
    async fn fetch_platform(&self, reference: &str, architecture: &str) -> Outcome {
        let manifest = self.fetch("manifests", reference, "application/vnd.oci.image.manifest.v1+json").await?;
        let manifest: Value = serde_json::from_slice(&manifest)?;
        let config = self.fetch("blobs", text(&manifest["config"]["digest"]), "*/*").await?;
        assert_eq!(serde_json::from_slice::<Value>(&config)?["architecture"], architecture);
        let layer = self.fetch("blobs", text(&manifest["layers"][0]["digest"]), "*/*").await?;
        assert_eq!(manifest["layers"][0]["size"], layer.len());
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a digest is a string")
}

fn no_credential() -> DockerConfig {
    DockerConfig::at("/no/such/config.json")
}

/// The head of a static program, by the number that its architecture has in ELF, and much that does
/// not compress.
fn executable(dir: &Path, machine: u8) -> Result<Executable, Failed> {
    let mut program = vec![0; 120];
    program[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (at, byte) in [(16, 3), (18, machine), (24, 64), (32, 64), (54, 56), (56, 1), (64, 1)] {
        program[at] = byte;
    }
    let mut noise = digest(&SHA256, &[machine]);
    for _ in 0..30_000 {
        program.extend(noise.as_ref());
        noise = digest(&SHA256, noise.as_ref());
    }
    let path = dir.join(format!("program-{machine}"));
    fs::write(&path, program)?;
    Ok(Executable::open(path)?)
}

const AMD64: u8 = 62;
const ARM64: u8 = 183;

fn image(machines: &[u8]) -> Result<(Image, TempDir), Failed> {
    let dir = tempfile::tempdir()?;
    let executables = machines.iter().map(|&machine| executable(dir.path(), machine)).collect::<Result<_, _>>()?;
    Ok((Image::new(DEFAULT_PROBE_IMAGE, executables)?, dir))
}

async fn one_architecture() -> Outcome {
    let registry = Registry::start(With::Defaults)?;
    let (image, _dir) = image(&[AMD64])?;
    let digest = image.push(&registry.reference(), false, &no_credential()).await?;
    registry.fetch_platform("1", "amd64").await?;
    registry.fetch_platform(digest.as_str(), "amd64").await?;
    assert_eq!(image.push(&registry.reference(), false, &no_credential()).await?, digest, "the second push");
    Ok(())
}

async fn two_architectures() -> Outcome {
    let registry = Registry::start(With::Defaults)?;
    let (image, _dir) = image(&[AMD64, ARM64])?;
    let digest = image.push(&registry.reference(), true, &no_credential()).await?;
    let index = registry.fetch("manifests", "1", "application/vnd.oci.image.index.v1+json").await?;
    assert_eq!(sha256(&index), digest.as_str());
    let index: Value = serde_json::from_slice(&index)?;
    for (platform, architecture) in index["manifests"].as_array().into_iter().flatten().zip(["amd64", "arm64"]) {
        assert_eq!(platform["platform"]["architecture"], architecture);
        registry.fetch_platform(text(&platform["digest"]), architecture).await?;
    }
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
    Ok(())
}

async fn one_digest() -> Outcome {
    let registry = Registry::start(With::Defaults)?;
    for machines in [[AMD64].as_slice(), &[AMD64, ARM64]] {
        let (image, dir) = image(machines)?;
        let pushed = image.push(&registry.reference(), false, &no_credential()).await?;
        assert_eq!(image.write_archive(&dir.path().join("probe.tar"))?.digest, pushed);
    }
    Ok(())
}

async fn with_a_password() -> Outcome {
    let registry = Registry::start(With::Password)?;
    let (image, _dir) = image(&[AMD64, ARM64])?;
    let config = DockerConfig::at(registry.docker_config(PASSWORD)?);
    image.push(&registry.reference(), false, &config).await?;
    registry.fetch("manifests", "1", "application/vnd.oci.image.index.v1+json").await?;
    Ok(())
}

async fn refused_login() -> Outcome {
    let registry = Registry::start(With::Password)?;
    let (image, _dir) = image(&[AMD64])?;
    let wrong = registry.docker_config("sheets and halyards")?;
    for (config, sent) in [
        (DockerConfig::at(&wrong), format!("with the credential in {}", wrong.display())),
        (no_credential(), "without a credential, as there is no /no/such/config.json".to_owned()),
    ] {
        let refused = image.push(&registry.reference(), false, &config).await.expect_err("the login is wrong");
        assert!(matches!(refused, PushError::NotAuthorized { .. }), "{refused:?}");
        let expected = format!(
            "registry {} refused the layer for amd64, sent {sent}: 401 UNAUTHORIZED (authentication required)",
            registry.address
        );
        assert_eq!(refused.to_string(), expected);
        assert!(!format!("{refused:?}").contains("halyards"));
    }
    Ok(())
}

async fn read_only_registry() -> Outcome {
    let registry = Registry::start(With::NoWrites)?;
    let (image, _dir) = image(&[AMD64])?;
    let refused =
        image.push(&registry.reference(), false, &no_credential()).await.expect_err("the registry is read-only");
    let expected = format!("registry {} refused the layer for amd64: 405 Method not allowed", registry.address);
    assert_eq!(refused.to_string(), expected);
    Ok(())
}

async fn no_registry() -> Outcome {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (image, _dir) = image(&[AMD64])?;
    let refused =
        image.push(&format!("{address}/probe:1"), false, &no_credential()).await.expect_err("no server listens");
    assert!(matches!(refused, PushError::Unreachable { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), format!("registry {address} did not respond to the login over http"));
    Ok(())
}
