//! The manifests of static pods, and digests of files that must be the same everywhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use super::answer::{Manifest, Manifests};

/// The most that is read of a file, in bytes.
const READ_LIMIT: u64 = 1 << 18;
/// How many files are looked at.
const FILES: usize = 32;
/// How many bytes of a digest are kept: enough to tell files apart.
const KEPT: usize = 8;

/// The fields of a manifest that are kept; others may hold secrets.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    name: String,
}

/// Looks at the files that a kubelet reads in this directory, whatever their extension, and digests those files.
pub fn look(directory: &Path, digested: &[String]) -> Manifests {
    let mut manifests = Manifests::default();
    match names(directory) {
        Ok(names) => {
            for name in names.into_iter().take(FILES) {
                let read = read(&directory.join(&name)).map_err(|error| error.to_string());
                manifests.files.insert(name, read.and_then(|bytes| manifest(&bytes)));
            }
        }
        // A node need not have static pods.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => manifests.unlisted = Some(error.to_string()),
    }
    let digest = |path: &String| {
        (path.clone(), read(Path::new(path)).map(|bytes| short_digest(&bytes)).map_err(|e| e.to_string()))
    };
    manifests.digests = digested.iter().map(digest).collect();
    manifests
}

/// The names of the files, without those that begin with a dot, which kubelets ignore.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(READ_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn manifest(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let written: Written = serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
    let Metadata { namespace, name } = written.metadata;
    if name.is_empty() {
        return Err("it names no pod".into());
    }
    Ok(Manifest { namespace: namespace.unwrap_or_else(|| "default".into()), name })
}

fn short_digest(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().take(KEPT).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_kubelet_reads_is_looked_at_and_only_its_name_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let pod = "kind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec: {containers: [{env: [{value: secret}]}]}\n";
        for name in ["etcd.yaml", "etcd.yaml.bak", ".etcd.yaml.swp"] {
            write(name, pod);
        }
        write("notes", "a: [");
        fs::create_dir(folder.path().join("old")).unwrap();
        let key = folder.path().join("etcd.yaml").display().to_string();
        let manifests = look(folder.path(), &[key.clone(), "/nowhere".into()]);
        assert_eq!(manifests.files.keys().collect::<Vec<_>>(), ["etcd.yaml", "etcd.yaml.bak", "notes"]);
        let etcd = Manifest { namespace: "kube-system".into(), name: "etcd".into() };
        assert_eq!(manifests.files["etcd.yaml.bak"], Ok(etcd));
        assert!(manifests.files["notes"].is_err());
        assert!(!serde_json::to_string(&manifests).unwrap().contains("secret"));
        assert_eq!(manifests.digests[&key].as_ref().map(String::len), Ok(2 * KEPT));
        assert!(manifests.digests["/nowhere"].is_err());
    }

    #[test]
    fn a_node_without_the_directory_has_no_static_pods() {
        assert_eq!(look(Path::new("/nowhere"), &[]), Manifests::default());
    }
}
