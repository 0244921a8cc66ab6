//! The pod's own network interfaces.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs};

use super::asker::Asker;
use super::{Ask, whole};
use crate::probe::fault::{Fault, Got};

/// Where the kernel shows them.
const FOLDER: &str = "/sys/class/net";
/// The one that leads to no network.
const LOOPBACK: &str = "lo";

/// What the answer adds to a message, in bytes.
const SIZE: usize = 30;
/// The flag of an interface that is up (netdevice(7)). Modules for tunnels bring interfaces that never are.
const UP: u32 = 1;

/// The network interfaces of the pod: whether to look, and the largest packet that each of those sends that are up, in bytes.
pub struct Interfaces;

impl Ask for Interfaces {
    type Question = bool;
    type Answer = Option<Got<BTreeMap<String, u32>>>;

    fn parts(question: &bool) -> Vec<(usize, bool)> {
        whole(question, SIZE)
    }

    async fn ask(question: &bool, _: &Asker) -> Self::Answer {
        if *question { Some(read().await) } else { None }
    }
}

/// The largest packet that leaves by these interfaces: a pod has one way out, or several that lead to the same network.
pub fn largest_packet(sizes: &BTreeMap<String, u32>) -> Option<u32> {
    sizes.values().min().copied()
}

/// The largest packet that each interface sends that is up.
pub(super) async fn read() -> Got<BTreeMap<String, u32>> {
    let read = tokio::task::spawn_blocking(|| of(Path::new(FOLDER))).await;
    read.unwrap_or_else(|e| Err(Fault::Other(e.to_string())))
}

fn of(folder: &Path) -> Got<BTreeMap<String, u32>> {
    let unread = |path: &Path, e: &dyn fmt::Display| Fault::Other(format!("{}: {e}", path.display()));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|e| unread(folder, &e))? {
        let path = entry.map_err(|e| unread(folder, &e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Drivers put other files beside the interfaces.
        if name == LOOPBACK || !fs::metadata(&path).map_err(|e| unread(&path, &e))?.is_dir() {
            continue;
        }
        let text = |file: &str| fs::read_to_string(path.join(file)).map_err(|e| unread(&path.join(file), &e));
        let flags = text("flags")?;
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16)
            .map_err(|e| unread(&path.join("flags"), &e))?;
        if flags & UP != 0 {
            found.insert(name, text("mtu")?.trim().parse().map_err(|e| unread(&path.join("mtu"), &e))?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(folder: &Path, name: &str, mtu: &str, flags: &str) {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("mtu"), mtu).unwrap();
        fs::write(folder.join(name).join("flags"), flags).unwrap();
    }

    #[test]
    fn each_interface_that_is_up_is_read_but_the_loopback() {
        let folder = tempfile::tempdir().unwrap();
        interface(folder.path(), "lo", "65536\n", "0x9\n");
        interface(folder.path(), "eth0", "1450\n", "0x1003\n");
        interface(folder.path(), "tunl0", "1480\n", "0x80\n");
        fs::write(folder.path().join("bonding_masters"), "\n").unwrap();
        assert_eq!(of(folder.path()), Ok(BTreeMap::from([("eth0".to_owned(), 1450)])));
    }

    #[test]
    fn an_interface_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        interface(folder.path(), "eth0", "none", "0x1003\n");
        assert!(of(folder.path()).unwrap_err().to_string().contains("eth0/mtu: "));
        fs::write(folder.path().join("eth0/flags"), "").unwrap();
        assert!(of(folder.path()).unwrap_err().to_string().contains("eth0/flags: "));
        assert!(of(Path::new("/nowhere")).unwrap_err().to_string().starts_with("/nowhere: "));
    }
}
