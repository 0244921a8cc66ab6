//! What systemd starts at boot, as the files of its units define it.
//!
//! A unit is started at boot if a unit that is started wants or requires it: by a link in the directory of that unit, which
//! is what `systemctl enable` makes, or by a line in its file. Directories that a boot empties are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::answer::{Definition, Unit, UnitFiles};

/// How many files are looked at in a directory.
const FILES: usize = 4096;
/// The most that is read of a file, in bytes.
const READ_LIMIT: u64 = 1 << 16;
/// The directories beside a unit whose links name what it wants or requires.
const LINKS: [&str; 3] = [".wants", ".requires", ".upholds"];
/// The settings of a unit that name what is started with it.
const SETTINGS: [&str; 4] = ["Wants", "Requires", "BindsTo", "Upholds"];
/// The kinds of unit that start a service when something happens, and the setting that names it where it is not the one of
/// the same name.
const TRIGGERS: [(&str, &str); 3] = [(".socket", "Service"), (".timer", "Unit"), (".path", "Unit")];

/// Looks for these units, and for all that start them, in directories of which the first has precedence.
pub fn look(directories: &[String], wanted: &[String]) -> UnitFiles {
    let mut all = All::default();
    for directory in directories {
        all.directory(Path::new(directory), directories);
    }
    let mut starts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, by) in &all.starts {
        starts.entry(all.name(name)).or_default().insert(all.name(by));
    }
    let mut units = BTreeMap::new();
    let mut left: Vec<&str> = wanted.iter().map(|name| all.name(name)).collect();
    while let Some(name) = left.pop() {
        let defined = all.definitions.get(name).or_else(|| all.definitions.get(&template(name)?)).copied();
        let started_by = starts.remove(name).unwrap_or_default();
        // A target needs nothing that starts it: it stands for a state of the node.
        if units.contains_key(name) || name.ends_with(".target") || defined.is_none() && started_by.is_empty() {
            continue;
        }
        left.extend(&started_by);
        let started_by = started_by.into_iter().map(Into::into).collect();
        units.insert(name.to_owned(), Unit { defined: defined.unwrap_or_default(), started_by });
    }
    UnitFiles { units, unlisted: all.unlisted }
}

/// The template of an instance: `etcd@.service` of `etcd@main.service`.
fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{prefix}@.{kind}"))
}

/// What all directories hold.
#[derive(Default)]
struct All {
    definitions: BTreeMap<String, Definition>,
    /// Units by the other names that they have.
    aliases: BTreeMap<String, String>,
    /// Units, and what starts each, by any of their names.
    starts: BTreeSet<(String, String)>,
    unlisted: BTreeMap<String, String>,
}

impl All {
    fn directory(&mut self, directory: &Path, mounted: &[String]) {
        for entry in self.list(directory) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if let Some(unit) = LINKS.iter().find_map(|links| name.strip_suffix(links)) {
                    self.links(&path, unit);
                } else if let Some(unit) = name.strip_suffix(".d") {
                    for entry in self.list(&path) {
                        let _ = self.read(&entry.path(), unit);
                    }
                }
            } else if !self.definitions.contains_key(&name) && !self.aliases.contains_key(&name) {
                self.unit(&path, name, mounted);
            }
        }
    }

    /// What a unit wants by links: their names are enough, whether or not there is a file at their ends.
    fn links(&mut self, path: &Path, unit: &str) {
        for entry in self.list(path) {
            if fs::read_link(entry.path()).is_ok_and(|end| end != Path::new("/dev/null")) {
                self.start(&entry.file_name().to_string_lossy(), unit);
            }
        }
    }

    fn unit(&mut self, path: &Path, name: String, mounted: &[String]) {
        let definition = match fs::read_link(path) {
            Ok(end) if end == Path::new("/dev/null") => Definition::Masked,
            Ok(end) => match end.file_name().map(|name| name.to_string_lossy().into_owned()) {
                Some(other) if other != name && template(&name).as_ref() != Some(&other) => {
                    self.aliases.insert(name, other);
                    return;
                }
                _ => self.read(&at(&end, path, mounted), &name),
            },
            // It is not a link.
            Err(_) => self.read(path, &name),
        };
        if definition == Definition::Read {
            for (kind, _) in TRIGGERS {
                if let Some(stem) = name.strip_suffix(kind) {
                    self.start(&format!("{stem}.service"), &name);
                }
            }
        }
        self.definitions.insert(name, definition);
    }

    /// Reads what a file starts together with its unit, and nothing else of it.
    fn read(&mut self, path: &Path, unit: &str) -> Definition {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(READ_LIMIT).read_to_string(&mut text));
        if read.is_err() {
            return Definition::Elsewhere;
        }
        if text.is_empty() {
            return Definition::Masked;
        }
        for name in started(&text, unit) {
            self.start(&name, unit);
        }
        Definition::Read
    }

    fn start(&mut self, name: &str, by: &str) {
        self.starts.insert((name.to_owned(), by.to_owned()));
    }

    /// The name of a unit that may have others.
    fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    fn list(&mut self, directory: &Path) -> Vec<DirEntry> {
        let listed =
            fs::read_dir(directory).and_then(|entries| entries.take(FILES + 1).collect::<io::Result<Vec<_>>>());
        let cut = |entries: Vec<DirEntry>| match entries.len() {
            ..=FILES => Ok(entries),
            _ => Err(format!("it holds more than {FILES} files")),
        };
        listed.map_err(|error| error.to_string()).and_then(cut).unwrap_or_else(|why| {
            self.unlisted.insert(directory.display().to_string(), why);
            Vec::new()
        })
    }
}

/// The units that are started with this one, by the text of its file.
pub(crate) fn started(text: &str, unit: &str) -> Vec<String> {
    let setting = TRIGGERS.iter().find(|(kind, _)| unit.ends_with(kind)).map(|(_, setting)| *setting);
    let text = text.replace("\\\n", " ");
    let settings = text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value));
    let starting = settings.filter(|(key, _)| SETTINGS.contains(key) || setting == Some(*key));
    starting.flat_map(|(_, value)| value.split_whitespace().map(str::to_owned)).collect()
}

/// Where the end of a link lies among what is mounted: `/lib` is `/usr/lib` where it is mounted at all.
fn at(end: &Path, link: &Path, mounted: &[String]) -> PathBuf {
    let beside = link.parent().unwrap_or(link).join(end);
    let in_usr = || Path::new("/usr").join(beside.strip_prefix("/").unwrap_or(&beside));
    if mounted.iter().any(|directory| beside.starts_with(directory)) { beside } else { in_usr() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What the files of these paths define of the kubelet, its runtimes and etcd; a text that begins with `->` is a link.
    fn seen(files: &[(&str, &str)]) -> UnitFiles {
        let folder = tempfile::tempdir().unwrap();
        let directories = ["etc", "usr"].map(|directory| folder.path().join(directory));
        for directory in &directories {
            fs::create_dir(directory).unwrap();
        }
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(end) => symlink(end, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        let wanted = ["kubelet.service", "containerd.service", "crio.service", "docker.service", "etcd.service"];
        let directories = directories.map(|directory| directory.display().to_string());
        let mut seen = look(&directories, &wanted.map(Into::into));
        let root = format!("{}/", folder.path().display());
        seen.unlisted = seen.unlisted.into_iter().map(|(path, why)| (path.replace(&root, ""), why)).collect();
        seen
    }

    fn started_by(seen: &UnitFiles, unit: &str) -> Vec<String> {
        seen.units.get(unit).into_iter().flat_map(|unit| unit.started_by.clone()).collect()
    }

    #[test]
    fn what_enable_makes_is_found() {
        let seen = seen(&[
            ("usr/kubelet.service", "[Unit]\nAfter=network.target\n[Install]\nWantedBy=multi-user.target\n"),
            ("etc/multi-user.target.wants/kubelet.service", "->/lib/systemd/system/kubelet.service"),
            ("usr/containerd.service", "[Service]\nExecStart=containerd\n[Install]\nWantedBy=multi-user.target\n"),
            ("etc/multi-user.target.wants/etcd.service", "->/dev/null"),
        ]);
        assert_eq!(started_by(&seen, "kubelet.service"), ["multi-user.target"]);
        assert_eq!(seen.units["containerd.service"], Unit { defined: Definition::Read, started_by: BTreeSet::new() });
        assert_eq!(seen.units.len(), 2, "{seen:?}");
        assert!(seen.unlisted.is_empty());
    }

    #[test]
    fn a_unit_may_start_another_by_its_file_a_drop_in_or_a_socket() {
        let seen = seen(&[
            ("usr/kubelet.service", "[Unit]\nWants=network-online.target \\\n  containerd.service\n"),
            ("etc/kubelet.service.d/crio.conf", "[Unit]\nRequires = crio.service\n"),
            ("usr/docker.service", "[Unit]\nWants=containerd.service\n"),
            ("usr/docker.socket", "[Socket]\nListenStream=/run/docker.sock\n"),
            ("etc/sockets.target.wants/docker.socket", "->/usr/lib/systemd/system/docker.socket"),
            ("usr/renew.timer", "[Timer]\nUnit=etcd.service\n"),
        ]);
        assert_eq!(started_by(&seen, "containerd.service"), ["docker.service", "kubelet.service"]);
        assert_eq!(started_by(&seen, "crio.service"), ["kubelet.service"]);
        assert_eq!(started_by(&seen, "docker.service"), ["docker.socket"]);
        assert_eq!(started_by(&seen, "docker.socket"), ["sockets.target"]);
        assert_eq!(started_by(&seen, "etcd.service"), ["renew.timer"]);
        assert_eq!(seen.units["crio.service"].defined, Definition::Elsewhere);
    }

    #[test]
    fn a_file_of_the_administrator_has_precedence_and_may_mask_or_rename() {
        let seen = seen(&[
            ("etc/kubelet.service", "->/dev/null"),
            ("usr/kubelet.service", "[Unit]\nWants=containerd.service\n"),
            ("usr/cri-o.service", "[Service]\nExecStart=crio\n"),
            ("etc/crio.service", "->cri-o.service"),
            ("etc/multi-user.target.wants/crio.service", "->/usr/lib/systemd/system/cri-o.service"),
            ("etc/docker.service", ""),
            ("etc/etcd.service", "->/opt/etcd/etcd.service"),
        ]);
        assert_eq!(seen.units["kubelet.service"].defined, Definition::Masked);
        assert_eq!(seen.units["docker.service"].defined, Definition::Masked);
        assert_eq!(seen.units["etcd.service"].defined, Definition::Elsewhere);
        assert!(!seen.units.contains_key("containerd.service"), "{seen:?}");
        assert_eq!(started_by(&seen, "cri-o.service"), ["multi-user.target"]);
    }

    #[test]
    fn a_directory_that_is_not_there_is_said() {
        let seen = look(&["/no/such/place".into()], &["kubelet.service".into()]);
        assert!(seen.units.is_empty() && seen.unlisted.contains_key("/no/such/place"));
    }

    #[test]
    fn an_instance_is_defined_by_its_template() {
        assert_eq!(template("etcd@main.service").as_deref(), Some("etcd@.service"));
        assert_eq!(template("etcd.service"), None);
    }
}
