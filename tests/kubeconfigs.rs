//! Kubeconfigs of every shape, each against a server that records what it is sent. What is expected is in
//! `kubeconfigs/*.yaml`, and what kubectl does with the same file where that differs.
//!
//! `KUBECTL=/path/to/kubectl cargo test --test kubeconfigs -- --include-ignored` compares with a real kubectl.

mod recorder;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;

use recorder::{Recorder, SERVER_CA};

/// What every secret in the files contains.
const SECRET: &str = "s3cret";
/// A token that does not expire in this century.
const ID_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.czNjcmV0";

/// A file, and what becomes of it. Without any expectation the token is sent.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The whole file, instead of the one that the next fields make.
    file: Option<String>,
    /// The fields of the cluster.
    cluster: Option<String>,
    /// The fields of the context.
    context: Option<String>,
    /// The fields of the user.
    user: Option<String>,
    /// What follows at the end.
    more: Option<String>,
    /// What is replaced in the file, and by what.
    change: Option<(String, String)>,
    encoding: Option<String>,
    /// Files beside it.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The files in KUBECONFIG, of which `first` is the one above.
    kubeconfig: Option<Vec<String>>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What the server receives.
    sends: Option<String>,
    /// The error with which the program ends before it connects.
    rejects: Option<String>,
    /// The error with which the program ends because of something outside of the file.
    fails: Option<String>,
    /// What kubectl does instead.
    kubectl: Option<String>,
    /// Why that is different.
    because: Option<String>,
}

/// What a program did.
#[derive(Debug, PartialEq)]
enum Done {
    Sent(String),
    Ended,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubeconfigs")
}

fn cases() -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let tables = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    tables
        .flat_map(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(path).unwrap();
            let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap_or_else(|why| panic!("{stem}: {why}"));
            cases.into_iter().map(move |case| Case { name: format!("{stem}: {}", case.name), ..case })
        })
        .collect()
}

/// A case in a folder, with a server of its own.
struct Scene {
    case: Case,
    folder: tempfile::TempDir,
    recorder: Recorder,
}

impl Scene {
    fn new(case: Case) -> Self {
        let scene = Self { case, folder: tempfile::tempdir().unwrap(), recorder: Recorder::start() };
        for entry in fs::read_dir(folder().join("pki")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, scene.path(path.file_name().unwrap().to_str().unwrap())).unwrap();
        }
        fs::write(scene.path("server-ca.crt"), &SERVER_CA.pem).unwrap();
        for (name, text) in &scene.case.files {
            let path = scene.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, scene.filled(text)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(scene.path("first"), scene.bytes()).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self) -> String {
        let body = |given: &Option<String>, default: &str| {
            let text = given.clone().unwrap_or_else(|| default.to_owned());
            text.trim_end().lines().fold(String::new(), |text, line| text + "    " + line + "\n")
        };
        let Case { file, cluster, context, user, more, change, .. } = &self.case;
        let made = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters:\n- name: harbour\n  cluster:\n{}contexts:\n\
             - name: here\n  context:\n{}users:\n- name: skipper\n  user:\n{}{}\n",
            body(cluster, "server: <server>\ncertificate-authority-data: <ca>"),
            body(context, "cluster: harbour\nuser: skipper"),
            body(user, "token: s3cret"),
            more.as_deref().unwrap_or_default(),
        );
        let text = file.clone().unwrap_or(made);
        match change {
            Some((old, new)) => {
                assert!(text.contains(old.as_str()), "{}: nothing to replace", self.case.name);
                text.replace(old.as_str(), new)
            }
            None => text,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let text = self.filled(&self.text());
        let utf16 = |to_bytes: fn(u16) -> [u8; 2]| {
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(to_bytes).collect()
        };
        match self.case.encoding.as_deref() {
            None => text.into_bytes(),
            Some("utf-8-bom") => format!("\u{feff}{text}").into_bytes(),
            Some("utf-16le") => utf16(u16::to_le_bytes),
            Some("utf-16be") => utf16(u16::to_be_bytes),
            Some("latin-1") => text.chars().map(|c| u8::try_from(c).unwrap()).collect(),
            Some(other) => panic!("{}: unknown encoding {other}", self.case.name),
        }
    }

    /// A text of the table with its placeholders filled in.
    fn filled(&self, text: &str) -> String {
        let address = self.recorder.address;
        let ca = BASE64_STANDARD.encode(&SERVER_CA.pem);
        let lines = |text: &str, separator: &str| {
            let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            lines.join(separator)
        };
        let mut text = text
            .replace("<server>", &format!("https://{address}"))
            .replace("<address>", &address.to_string())
            .replace("<port>", &address.port().to_string())
            .replace("<folder>", &self.folder.path().display().to_string())
            .replace("<id-token>", ID_TOKEN)
            .replace("<ca>", &ca)
            .replace("<ca-block>", &lines(&ca, "\n      "))
            .replace("<ca-crlf>", &lines(&ca, "\\r\\n"))
            .replace("<server-ca>", &SERVER_CA.pem);
        for entry in fs::read_dir(folder().join("pki")).unwrap() {
            let path = entry.unwrap().path();
            let (name, pem) = (path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(&path).unwrap());
            let base64 = BASE64_STANDARD.encode(&pem);
            text = text
                .replace(&format!("<{name}>"), &base64)
                .replace(&format!("<crlf:{name}>"), &lines(&base64, "\\r\\n"))
                .replace(&format!("<escaped:{name}>"), &pem.replace('\n', "\\n"))
                .replace(&format!("<pem:{name}>"), &pem);
        }
        text
    }

    /// Runs a program with the file.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).args(&self.case.flags).current_dir("/").stdin(Stdio::null());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        match &self.case.kubeconfig {
            None => drop(command.arg("--kubeconfig").arg(self.path("first"))),
            Some(names) => {
                let paths = names.iter().map(|name| if name.is_empty() { PathBuf::new() } else { self.path(name) });
                command.env("KUBECONFIG", std::env::join_paths(paths).unwrap()).env("HOME", "/nonexistent");
            }
        }
        self.recorder.forget();
        command.envs(&self.case.env).output().unwrap()
    }

    fn done(&self) -> Done {
        self.recorder.recorded().map_or(Done::Ended, Done::Sent)
    }

    /// Runs the program, and returns what is not as expected.
    fn judge(&self) -> Result<(), String> {
        let ended =
            self.run(env!("CARGO_BIN_EXE_seaworthy"), &["run", "--select", "CP-01", "--request-timeout", "20s"]);
        let (output, error) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let sent = self.done();
        let line = |code: i32, says: &str| {
            let says = self.filled(says);
            if sent == Done::Ended
                && ended.status.code() == Some(code)
                && error.lines().count() == 1
                && error.contains(&says)
            {
                return Ok(());
            }
            Err(format!("not one line with {says:?} and exit code {code}, but {sent:?}, {}: {error}", ended.status))
        };
        let words = [
            "Option<",
            "Options",
            "DuplicateKeyPolicy",
            "rustls",
            "webpki",
            "serde",
            "struct",
            "InvalidCert",
            "panicked",
        ];
        if let Some(word) = words.into_iter().find(|word| error.contains(word)) {
            return Err(format!("a word of a library, {word}: {error}"));
        }
        let key = fs::read_to_string(folder().join("pki/ec.key")).unwrap();
        let key = key.lines().nth(1).unwrap();
        for secret in [SECRET, "czNjcmV0", &ID_TOKEN[..12], key, &BASE64_STANDARD.encode(key)[4..40]] {
            // A folder or a file has that name in no case.
            if output.contains(secret) || error.contains(secret) {
                return Err(format!("a secret is shown: {error}{output}"));
            }
        }
        match &self.case {
            Case { rejects: Some(says), .. } => line(2, says),
            Case { fails: Some(says), .. } => line(3, says),
            Case { sends, .. } => {
                let expected = Done::Sent(self.filled(sends.as_deref().unwrap_or("Bearer s3cret")));
                // The server accepts no credential.
                if sent == expected && ended.status.code() == Some(3) && error.contains("rejects the credential of ") {
                    return Ok(());
                }
                Err(format!("{expected:?} was expected, not {sent:?}: {error}"))
            }
        }
    }

    /// Runs kubectl, and returns what is not as expected.
    fn compare(&self, kubectl: &str) -> Result<(), String> {
        let Case { sends, rejects, fails, kubectl: differs, because, .. } = &self.case;
        assert_eq!(differs.is_some(), because.is_some(), "{}: a difference has a reason", self.case.name);
        let ended = self.run(kubectl, &["get", "--raw", "/version", "--request-timeout", "20s"]);
        let sent = self.done();
        let expected = match differs.as_deref() {
            Some("rejects") => Done::Ended,
            Some(other) => Done::Sent(other.strip_prefix("sends ").unwrap().to_owned()),
            None if rejects.is_some() || fails.is_some() => Done::Ended,
            None => Done::Sent(self.filled(sends.as_deref().unwrap_or("Bearer s3cret"))),
        };
        if sent == expected {
            return Ok(());
        }
        Err(format!("{expected:?} was expected, not {sent:?}: {}", String::from_utf8_lossy(&ended.stderr)))
    }
}

/// What every case found, on as many threads as there are processors.
#[track_caller]
fn all(judge: impl Fn(&Scene) -> Result<(), String> + Sync) {
    let cases = cases();
    assert!(cases.len() >= 120, "{}", cases.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let faults = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let name = case.name.clone();
                    if let Err(fault) = judge(&Scene::new(case.clone())) {
                        faults.lock().unwrap().push(format!("{name}: {fault}"));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn a_kubeconfig_is_read_as_client_go_reads_it() {
    all(Scene::judge);
}

#[test]
#[ignore = "needs a kubectl of 1.37, which the variable KUBECTL names"]
fn kubectl_reads_the_same_from_a_kubeconfig() {
    let kubectl = std::env::var("KUBECTL").expect("KUBECTL names a kubectl");
    all(|scene| scene.compare(&kubectl));
}
