//! The version of the oldest API server.

use super::pods::Pods;
use super::server_version::ServerVersion;
use crate::fact::Derive;
use crate::seen::Seen;
use crate::version::Version;

/// The version of the oldest known API server: of the one that answered, and of those that run as static pods.
///
/// While a control plane is being upgraded, kubelets and proxies must not be newer than the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OldestApiServer(pub Version);

impl Derive for OldestApiServer {
    type Needs<'a> = (&'a ServerVersion, &'a Pods);
    const NAME: &'static str = "oldest-api-server";

    fn derive((server, pods): Self::Needs<'_>) -> Seen<Self> {
        let static_pods = pods.static_pods("kube-apiserver");
        let versions = static_pods
            .flat_map(|pod| &pod.containers)
            .filter(|container| container.name == "kube-apiserver")
            .filter_map(|container| Version::of_image(&container.image));
        Ok(Self(versions.fold(server.version, Version::min)))
    }
}

crate::derived!(OldestApiServer);

#[cfg(test)]
mod tests {
    use super::super::pods::{Container, Pod};
    use super::*;
    use crate::object_ref::NamespacedName;

    fn pod(name: &str, image: &str) -> (NamespacedName, Pod) {
        let container = Container { name: "kube-apiserver".into(), image: image.into(), ..Container::default() };
        let pod = Pod {
            namespace: "kube-system".into(),
            name: name.into(),
            labels: [("component".to_owned(), "kube-apiserver".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
            containers: vec![container],
            ..Pod::default()
        };
        (NamespacedName::new("kube-system", name.to_owned()), pod)
    }

    #[test]
    fn an_instance_that_was_not_upgraded_counts() {
        let server = ServerVersion { git: "v1.37.2".into(), version: "v1.37.2".parse().unwrap() };
        let pods = Pods(
            [
                pod("a", "registry.k8s.io/kube-apiserver:v1.37.2"),
                pod("b", "registry.example:5000/kube-apiserver:v1.36.4"),
                pod("c", "registry.k8s.io/kube-apiserver@sha256:abc"),
            ]
            .into(),
        );
        assert_eq!(OldestApiServer::derive((&server, &pods)), Ok(OldestApiServer("v1.36.4".parse().unwrap())));
        assert_eq!(OldestApiServer::derive((&server, &Pods::default())), Ok(OldestApiServer(server.version)));
    }
}
