//! The pods of CoreDNS, which show the ConfigMap that they mount, and their surroundings.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::listed::{Container, Listed};
use super::surroundings::Surroundings;
use crate::version::Version;

/// The directory of the Corefile unless the command line names another.
const USUAL: &str = "/etc/coredns";

/// The oldest release whose plugins are known.
const OLDEST: Version = Version { major: 1, minor: 3, patch: 0 };

/// A pod of CoreDNS.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    /// The ConfigMap with the Corefile, and the key.
    pub config_map: (String, String),
    /// The other ConfigMaps, by the directory that they are mounted at, and whether they must exist.
    pub others: Vec<Mounted>,
    /// The surroundings, as the pod's specification shows them.
    pub surroundings: Surroundings,
    /// The image.
    pub image: String,
    /// If it is ready, when it read the Corefile at the latest.
    pub started: Option<Timestamp>,
}

/// A ConfigMap as a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    pub directory: String,
    pub config_map: String,
    /// The path of each key in it; all keys under their own names if there are none.
    pub paths: BTreeMap<String, String>,
}

impl Mounted {
    /// The files of a ConfigMap with this data.
    pub(super) fn files(&self, data: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let path = |key: &String| match self.paths.is_empty() {
            true => Some(key.clone()),
            false => self.paths.get(key).cloned(),
        };
        data.iter().filter_map(|(key, text)| Some((path(key)?, text.clone()))).collect()
    }
}

/// Reads a pod, if it runs CoreDNS with a Corefile from a ConfigMap.
pub(super) fn read(pod: &Listed) -> Option<Server> {
    let spec = pod.spec.as_ref()?;
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    spec.containers.iter().find_map(|container| {
        let path = corefile_of(container);
        let (directory, file) = path.rsplit_once('/')?;
        let mut surroundings = Surroundings {
            directory: directory.to_owned(),
            variables: variables(container),
            // Images of others may have versions of their own.
            release: Version::of_image(container.image.as_deref().unwrap_or_default())
                .filter(|release| *release >= OLDEST),
            complete: true,
            ..Surroundings::default()
        };
        let mut mounted = Vec::new();
        for mount in container.volume_mounts.as_deref().unwrap_or_default() {
            let at = mount.at.trim_end_matches('/').to_owned();
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            let map = volume.and_then(|volume| volume.config_map.as_ref()).filter(|_| mount.sub_path.is_none());
            match map {
                Some(map) => mounted.push(Mounted {
                    directory: at,
                    config_map: map.name.clone(),
                    paths: map.items.iter().flatten().map(|item| (item.key.clone(), item.path.clone())).collect(),
                }),
                None => {
                    surroundings.unread.insert(at);
                }
            }
        }
        let own = mounted.iter().position(|volume| volume.directory == directory)?;
        let paths = &mounted[own].paths;
        let key = paths.iter().find(|(_, path)| *path == file).map_or(file, |(key, _)| key).to_owned();
        Some(Server {
            config_map: (mounted[own].config_map.clone(), key),
            surroundings,
            image: container.image.clone().unwrap_or_default(),
            started: started(pod, &container.name),
            others: mounted,
        })
    })
}

/// The path of the Corefile on the command line.
fn corefile_of(container: &Container) -> String {
    let words = container.command.iter().chain(&container.args).flatten();
    let mut words = words.map(String::as_str);
    let mut path = None;
    while let Some(word) = words.next() {
        let flag = word.trim_start_matches('-');
        if flag == "conf" && word.starts_with('-') {
            path = words.next().map(str::to_owned);
        } else if let Some(value) = flag.strip_prefix("conf=").filter(|_| word.starts_with('-')) {
            path = Some(value.to_owned());
        }
    }
    match path {
        Some(path) if path.starts_with('/') => path,
        Some(path) => format!("{USUAL}/{path}"),
        None => format!("{USUAL}/Corefile"),
    }
}

/// The environment variables with values in the specification. The image may set others.
fn variables(container: &Container) -> BTreeMap<String, String> {
    let all = container.env.iter().flatten();
    // A value may refer to others, which is left alone.
    let known =
        all.filter_map(|each| Some((each.name.clone(), each.value.clone().filter(|value| !value.contains("$("))?)));
    known.collect()
}

/// When the container of a ready pod started.
fn started(pod: &Listed, container: &str) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.as_deref().unwrap_or_default();
    let own = all.iter().find(|status| status.name == container && status.ready)?;
    let running = own.state.as_ref()?.running.as_ref()?;
    running.started_at
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Listed {
        serde_json::from_value(json!({
            "metadata": {"name": "rke2-coredns-rke2-coredns-1"},
            "spec": {
                "containers": [
                    {"name": "sidecar"},
                    {
                        "name": "coredns",
                        "image": "rancher/hardened-coredns:v1.12.1-build20250401",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "env": [{"name": "ZONE", "value": "corp.local"}, {"name": "NODE", "valueFrom": {}}],
                        "volumeMounts": [
                            {"name": "config", "mountPath": "/etc/coredns"},
                            {"name": "custom", "mountPath": "/etc/coredns/custom/"},
                            {"name": "tls", "mountPath": "/etc/tls"},
                        ],
                    },
                ],
                "volumes": [
                    {"name": "config", "configMap": {"name": "rke2-coredns-rke2-coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}},
                    {"name": "custom", "configMap": {"name": "coredns-custom", "optional": true}},
                    {"name": "tls", "secret": {"secretName": "tls"}},
                ],
            },
            "status": {"containerStatuses": [
                {"name": "coredns", "ready": true, "image": "", "imageID": "", "restartCount": 0, "state": {"running": {"startedAt": "2026-11-30T10:00:00Z"}}},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn the_volume_shows_the_config_map() {
        let server = read(&pod()).unwrap();
        assert_eq!(server.config_map, ("rke2-coredns-rke2-coredns".to_owned(), "Corefile".to_owned()));
        assert_eq!(server.surroundings.directory, "/etc/coredns");
        assert_eq!(server.surroundings.variables.len(), 1);
        assert_eq!(server.surroundings.unread.iter().collect::<Vec<_>>(), ["/etc/tls"]);
        assert_eq!(server.surroundings.release.map(|release| release.to_string()).as_deref(), Some("1.12.1"));
        assert_eq!(server.started, Some("2026-11-30T10:00:00Z".parse().unwrap()));
        let custom = &server.others[1];
        assert_eq!((custom.directory.as_str(), custom.config_map.as_str()), ("/etc/coredns/custom", "coredns-custom"));
        let data = [("Corefile".to_owned(), "x".to_owned()), ("other".to_owned(), "y".to_owned())].into();
        assert_eq!(server.others[0].files(&data).len(), 1);
        assert_eq!(custom.files(&data).len(), 2);
    }

    #[test]
    fn a_pod_without_such_a_volume_is_another_server() {
        let mut pod = pod();
        pod.spec.as_mut().unwrap().volumes = None;
        assert_eq!(read(&pod), None);
    }
}
