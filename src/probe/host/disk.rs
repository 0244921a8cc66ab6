//! Certificates, kubeconfigs and keys on the node's disk.
//!
//! Files are what their names suggest: `*.crt` and `*.pem` hold certificates, `*.conf` are kubeconfigs, `*.key` are
//! private keys, which are never opened. Where a key lies in a file of certificates, its lines are passed over.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answer::{CertificateOnDisk, Content, DiskFile};
use super::question::Directory;
use crate::certificate::Certificate;
use crate::cluster::without_line_breaks;
use crate::yaml;

/// The most that is read of a file, in bytes.
const READ_LIMIT: u64 = 1 << 18;
/// How many certificates of one file are described.
const CERTIFICATES: usize = 8;
/// How many files are looked at.
const FILES: usize = 128;
/// How deep directories are looked into.
const DEPTH: usize = 3;

/// Files by path.
type Files = BTreeMap<String, DiskFile>;
/// Directories that could not be listed, and why.
type Unlisted = BTreeMap<String, String>;

/// A file, and the certificates in it before they are described.
struct Found {
    file: DiskFile,
    certificates: Vec<Certificate>,
}

/// Looks at every file of these directories.
pub fn look(directories: &[Directory]) -> (Files, Unlisted) {
    let mut paths = Vec::new();
    let mut unlisted = BTreeMap::new();
    for directory in directories {
        let depth = if directory.recursive { DEPTH } else { 1 };
        list(Path::new(&directory.path), depth, &mut paths, &mut unlisted);
    }
    paths.sort();
    paths.dedup();
    let mut found: Vec<(String, Found)> = Vec::new();
    for path in paths {
        if found.len() == FILES {
            unlisted.insert(path.display().to_string(), format!("only the first {FILES} files are looked at"));
            break;
        }
        match look_at(&path) {
            Ok(Some(file)) => found.push((path.display().to_string(), file)),
            Ok(None) => {}
            Err(error) => {
                unlisted.insert(path.display().to_string(), error.to_string());
            }
        }
    }
    let authorities: Vec<(String, Certificate)> = found
        .iter()
        .flat_map(|(path, found)| found.certificates.iter().map(move |certificate| (path.clone(), certificate.clone())))
        .filter(|(_, certificate)| certificate.describe().is_ok_and(|description| description.is_ca == Some(true)))
        .collect();
    let files = found.into_iter().map(|(path, Found { mut file, certificates })| {
        for (described, certificate) in described(&mut file.content).into_iter().zip(&certificates) {
            let mut signers: Vec<String> = authorities
                .iter()
                .filter(|(_, authority)| certificate.is_signed_by(authority))
                .map(|(path, _)| path.clone())
                .collect();
            signers.dedup();
            described.signed_by = signers;
        }
        (path, file)
    });
    (files.collect(), unlisted)
}

fn described(content: &mut Content) -> Vec<&mut CertificateOnDisk> {
    match content {
        Content::Certificates { held, .. } => held.iter_mut().collect(),
        Content::Kubeconfig { client, .. } => client.as_deref_mut().into_iter().collect(),
        Content::Key | Content::Unreadable { .. } => Vec::new(),
    }
}

fn list(directory: &Path, depth: usize, paths: &mut Vec<PathBuf>, unlisted: &mut Unlisted) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            unlisted.insert(directory.display().to_string(), error.to_string());
            return;
        }
    };
    for entry in entries {
        match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
            Ok((path, kind)) if !kind.is_dir() => paths.push(path),
            Ok((path, _)) if depth > 1 => list(&path, depth - 1, paths, unlisted),
            // Deeper than was asked.
            Ok(_) => {}
            Err(error) => drop(unlisted.insert(directory.display().to_string(), error.to_string())),
        }
    }
}

/// A file whose name suggests that it holds certificates or keys.
fn look_at(path: &Path) -> io::Result<Option<Found>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    // A kubelet keeps each pair that it ever had; the current one is a link to the last.
    let is_old = extension == "pem" && !name.ends_with("-current.pem") && name.starts_with("kubelet-");
    if is_old || !["key", "crt", "pem", "conf"].contains(&extension.as_str()) {
        return Ok(None);
    }
    let metadata = fs::metadata(path)?;
    let (content, certificates) = match extension.as_str() {
        "key" => (Content::Key, Vec::new()),
        "conf" => unless_unreadable(text(path).and_then(|text| kubeconfig(&text))),
        _ => unless_unreadable(open(path).and_then(certificates)),
    };
    Ok(Some(Found { file: file(&metadata, content), certificates }))
}

fn file(metadata: &Metadata, content: Content) -> DiskFile {
    DiskFile { mode: metadata.mode() & 0o7777, owner: (metadata.uid(), metadata.gid()), content }
}

fn unless_unreadable(read: Result<(Content, Vec<Certificate>), String>) -> (Content, Vec<Certificate>) {
    read.unwrap_or_else(|because| (Content::Unreadable { because }, Vec::new()))
}

fn open(path: &Path) -> Result<impl BufRead, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    Ok(BufReader::new(file.take(READ_LIMIT)))
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}

/// The certificates of a file; the lines of a private key are passed over one by one.
pub(crate) fn certificates(file: impl BufRead) -> Result<(Content, Vec<Certificate>), String> {
    let mut pem = String::new();
    let (mut within, mut and_key) = (false, false);
    for line in file.lines() {
        let line = line.map_err(|e| e.to_string())?;
        within |= line.starts_with("-----BEGIN CERTIFICATE-----");
        and_key |= line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY");
        if within {
            pem.push_str(&line);
            pem.push('\n');
        }
        within &= !line.starts_with("-----END ");
    }
    if pem.is_empty() && and_key {
        return Ok((Content::Key, Vec::new()));
    }
    let held = Certificate::from_pem_bundle(&pem).map_err(|e| e.to_string())?;
    let (content, held) = describe(held)?;
    Ok((Content::Certificates { held: content, and_key }, held))
}

fn describe(mut held: Vec<Certificate>) -> Result<(Vec<CertificateOnDisk>, Vec<Certificate>), String> {
    held.truncate(CERTIFICATES);
    let described = held.iter().map(|certificate| certificate.describe().map(|it| CertificateOnDisk::from(&it)));
    Ok((described.collect::<Result<_, _>>().map_err(|e| e.to_string())?, held))
}

/// A kubeconfig without what is secret in it: whether there is something is all that is taken.
#[derive(Default, Deserialize)]
struct Kubeconfig {
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedUser {
    user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<IgnoredAny>,
    token: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
}

pub(crate) fn kubeconfig(text: &str) -> Result<(Content, Vec<Certificate>), String> {
    // The parser's own words could quote what is secret.
    let config: Option<Kubeconfig> = yaml::first_document(text).map_err(|_| "it is not a kubeconfig".to_owned())?;
    let mut users = config.unwrap_or_default().users.unwrap_or_default();
    let [NamedUser { user }] = &mut users[..] else {
        return Err(format!("it has {} users instead of one", users.len()));
    };
    let user = user.take().unwrap_or_default();
    let held = match user.client_certificate_data.as_deref().filter(|data| !data.is_empty()) {
        None => Vec::new(),
        Some(data) => {
            let bytes = BASE64_STANDARD
                .decode(&*without_line_breaks(data))
                .map_err(|_| "its client certificate is not base64".to_owned())?;
            let pem = String::from_utf8(bytes).map_err(|_| "its client certificate is not PEM".to_owned())?;
            Certificate::from_pem_bundle(&pem).map_err(|e| e.to_string())?
        }
    };
    let (described, held) = describe(held)?;
    let content = Content::Kubeconfig {
        client: described.into_iter().next().map(Box::new),
        refers_to: user.client_certificate,
        and_key: user.client_key_data.is_some() || user.token.is_some() || user.password.is_some(),
    };
    Ok((content, held))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certificate::testing::Authority;
    use crate::probe::host::HostAnswers;
    use crate::probe::message;

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    }

    #[test]
    fn keys_are_looked_at_from_outside_and_certificates_described() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let (ca, other) = (Authority::new("kubernetes"), Authority::new("etcd-ca"));
        let leaf = ca.leaf(&["n1"]);
        let certificate = pem("CERTIFICATE", leaf.certificate.der());
        let key = pem("EC PRIVATE KEY", b"the secret");
        write("pki/ca.crt", &pem("CERTIFICATE", ca.certificate.der()), 0o644);
        write("pki/etcd/ca.crt", &pem("CERTIFICATE", other.certificate.der()), 0o644);
        write("pki/ca.key", "not to be opened", 0o600);
        write("pki/kubelet-client-current.pem", &(key.clone() + &certificate), 0o600);
        write("pki/kubelet-client-2026-01-01-00-00-00.pem", "an old one", 0o600);
        let data = BASE64_STANDARD.encode(&certificate);
        let secret = BASE64_STANDARD.encode(&key);
        write(
            "admin.conf",
            &format!(
                "kind: Config\nusers:\n- name: a\n  user:\n    client-certificate-data: {data}\n    client-key-data: {secret}\n"
            ),
            0o644,
        );
        write("garbled.crt", "nothing", 0o644);
        let root = folder.path().display().to_string();
        let (files, unlisted) = look(&[Directory { path: root.clone(), recursive: true }]);
        assert!(unlisted.is_empty(), "{unlisted:?}");
        let at = |name: &str| &files[&format!("{root}/{name}")];
        assert_eq!((files.len(), at("pki/ca.key").mode, &at("pki/ca.key").content), (6, 0o600, &Content::Key));
        let Content::Certificates { held, and_key: true } = &at("pki/kubelet-client-current.pem").content else {
            panic!("{files:?}")
        };
        assert_eq!(held[0].signed_by, [format!("{root}/pki/ca.crt")]);
        let Content::Kubeconfig { client: Some(client), refers_to: None, and_key: true } = &at("admin.conf").content
        else {
            panic!("{files:?}")
        };
        assert_eq!(**client, held[0]);
        assert!(matches!(at("garbled.crt").content, Content::Unreadable { .. }));
        let answers = HostAnswers { files, ..HostAnswers::default() };
        let kept = serde_json::to_string(&answers).unwrap();
        assert!(!kept.contains(&BASE64_STANDARD.encode("the secret")) && !kept.contains("opened"));
        assert_eq!(
            message::unpack::<HostAnswers>(&message::pack_within(&answers, message::MESSAGE_LIMIT).unwrap()).unwrap(),
            answers
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_said() {
        let (files, unlisted) = look(&[Directory { path: "/no/such/place".into(), recursive: true }]);
        assert!(files.is_empty());
        assert!(unlisted.contains_key("/no/such/place"));
    }
}
