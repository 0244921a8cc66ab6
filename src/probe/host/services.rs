//! Which services of systemd have processes, as the kernel's control groups show.
//!
//! Each service has a control group of its name in a slice. Whether there are processes in it is shown by numbers that are
//! the same for every reader: the processes themselves cannot be seen from another PID namespace.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::answer::Services;

/// The control group of systemd itself, where it is the node's init.
const INIT: &str = "init.scope";
/// How deep slices are looked into.
const DEPTH: usize = 4;
/// How many control groups are looked at.
const GROUPS: usize = 4096;

/// Where control groups are, and where the number of processes in them is.
enum Hierarchy {
    /// Version 2: one tree for everything.
    Unified,
    /// Version 1: systemd's own tree, beside one of the controller that counts processes.
    Named,
}

/// Looks for the services whose names hold one of these words, in the tree that is mounted here.
pub fn look(mounted: &Path, words: &[String]) -> Services {
    let hierarchy = if mounted.join("cgroup.controllers").exists() { Hierarchy::Unified } else { Hierarchy::Named };
    let mut look = Look { mounted, hierarchy, words, left: GROUPS, services: Services::default() };
    match fs::metadata(look.root().join(INIT)) {
        Ok(_) => {
            look.services.systemd = true;
            look.slice(Path::new(""), DEPTH);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => drop(look.services.unseen.insert(INIT.to_owned(), error.to_string())),
    }
    look.services
}

struct Look<'a> {
    mounted: &'a Path,
    hierarchy: Hierarchy,
    words: &'a [String],
    left: usize,
    services: Services,
}

impl Look<'_> {
    /// Looks at the services of a slice, and into its slices.
    fn slice(&mut self, slice: &Path, depth: usize) {
        let entries =
            match fs::read_dir(self.root().join(slice)).and_then(Iterator::collect::<io::Result<Vec<DirEntry>>>) {
                Ok(entries) => entries,
                Err(error) => return self.unseen(slice, &error.to_string()),
            };
        for entry in entries.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = slice.join(&name);
            let Some(left) = self.left.checked_sub(1) else {
                return self.unseen(&path, &format!("only the first {GROUPS} control groups are looked at"));
            };
            self.left = left;
            let is = |kind: &str| path.extension().is_some_and(|extension| extension == kind);
            // Pods lie in slices of their own, which are many; below another slice these bear its name, too.
            if is("slice") && !name.contains("kubepods") {
                match depth.checked_sub(1) {
                    Some(depth) => self.slice(&path, depth),
                    None => self.unseen(&path, &format!("only {DEPTH} slices deep is looked")),
                }
            } else if is("service") && self.words.iter().any(|word| name.contains(word)) {
                match self.has_processes(&path) {
                    Ok(true) => drop(self.services.running.insert(name)),
                    Ok(false) => {}
                    Err(error) => self.unseen(&path, &error.to_string()),
                }
            }
        }
    }

    fn root(&self) -> PathBuf {
        match self.hierarchy {
            Hierarchy::Unified => self.mounted.to_path_buf(),
            Hierarchy::Named => self.mounted.join("systemd"),
        }
    }

    fn has_processes(&self, group: &Path) -> io::Result<bool> {
        match self.hierarchy {
            Hierarchy::Unified => {
                let events = fs::read_to_string(self.mounted.join(group).join("cgroup.events"))?;
                Ok(events.lines().any(|line| line == "populated 1"))
            }
            Hierarchy::Named => {
                let count = fs::read_to_string(self.mounted.join("pids").join(group).join("pids.current"))?;
                Ok(count.trim() != "0")
            }
        }
    }

    fn unseen(&mut self, path: &Path, why: &str) {
        // A service that ended meanwhile.
        if self.root().join(path).exists() {
            self.services.unseen.insert(path.display().to_string(), why.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<String> {
        ["kube", "etcd", "containerd"].map(Into::into).into()
    }

    fn group(tree: &Path, path: &str, (file, text): (&str, &str)) {
        fs::create_dir_all(tree.join(path)).unwrap();
        fs::write(tree.join(path).join(file), text).unwrap();
    }

    #[test]
    fn services_with_processes_are_found_in_any_slice_but_the_pods() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("cgroup.controllers"), "cpu").unwrap();
        let (busy, empty) =
            (("cgroup.events", "populated 1\nfrozen 0\n"), ("cgroup.events", "populated 0\nfrozen 0\n"));
        group(tree.path(), "init.scope", busy);
        group(tree.path(), "system.slice/kubelet.service", busy);
        group(tree.path(), "system.slice/etcd.service", empty);
        group(tree.path(), "system.slice/ssh.service", busy);
        group(tree.path(), "podruntime.slice/podruntime-runtime.slice/containerd.service", busy);
        group(tree.path(), "kubepods.slice/kubepods-pod1.slice/etcd.service", busy);
        group(tree.path(), "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/etcd.service", busy);
        let seen = look(tree.path(), &words());
        assert!(seen.systemd && seen.unseen.is_empty(), "{seen:?}");
        assert_eq!(seen.running.into_iter().collect::<Vec<_>>(), ["containerd.service", "kubelet.service"]);
    }

    #[test]
    fn of_version_1_the_controller_of_processes_tells() {
        let tree = tempfile::tempdir().unwrap();
        for path in [
            "init.scope",
            "system.slice/kubelet.service",
            "system.slice/etcd.service",
            "system.slice/kube-proxy.service",
        ] {
            fs::create_dir_all(tree.path().join("systemd").join(path)).unwrap();
        }
        group(tree.path(), "pids/system.slice/kubelet.service", ("pids.current", "14\n"));
        group(tree.path(), "pids/system.slice/etcd.service", ("pids.current", "0\n"));
        let seen = look(tree.path(), &words());
        assert!(seen.systemd);
        assert_eq!(seen.running.into_iter().collect::<Vec<_>>(), ["kubelet.service"]);
        assert_eq!(seen.unseen.into_keys().collect::<Vec<_>>(), ["system.slice/kube-proxy.service"]);
    }

    #[test]
    fn without_its_own_control_group_systemd_is_not_the_init() {
        let tree = tempfile::tempdir().unwrap();
        group(tree.path(), "systemd/system.slice/kubelet.service", ("cgroup.procs", ""));
        assert_eq!(look(tree.path(), &words()), Services::default());
        assert_eq!(look(Path::new("/no/such/tree"), &words()), Services::default());
    }
}
