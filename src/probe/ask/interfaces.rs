//! The pod's own network interfaces.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where the kernel shows them.
const FOLDER: &str = "/sys/class/net";
/// The one that leads nowhere.
const LOOPBACK: &str = "lo";

/// The flag of an interface that is up (netdevice(7)). Modules for tunnels bring interfaces that never are.
const UP: u32 = 1;

/// The largest packet that each sends that is up. Nothing of one that cannot be read.
pub async fn read() -> BTreeMap<String, u32> {
    tokio::task::spawn_blocking(|| of(Path::new(FOLDER))).await.unwrap_or_default()
}

fn of(folder: &Path) -> BTreeMap<String, u32> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let mtu = |name: &str| fs::read_to_string(folder.join(name).join("mtu")).ok()?.trim().parse().ok();
    let is_up = |name: &String| {
        let flags = fs::read_to_string(folder.join(name).join("flags")).unwrap_or_default();
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & UP != 0)
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name != LOOPBACK && is_up(name)).filter_map(|name| Some((name.clone(), mtu(&name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_but_the_loopback_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let interfaces = [("lo", "65536\n", "0x9\n"), ("eth0", "1450\n", "0x1003\n"), ("odd", "none", "0x1003\n")];
        for (name, mtu, flags) in [interfaces.as_slice(), &[("tunl0", "1480\n", "0x80\n")]].concat() {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("mtu"), mtu).unwrap();
            fs::write(folder.path().join(name).join("flags"), flags).unwrap();
        }
        assert_eq!(of(folder.path()), BTreeMap::from([("eth0".to_owned(), 1450)]));
        assert_eq!(of(Path::new("/nowhere")), BTreeMap::new());
    }
}
