//! The addresses of the API server instances.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::api_server_endpoints::ApiServerEndpoints;
use super::pods::Pods;
use crate::fact::Derive;
use crate::seen::{Seen, Unobserved};

/// The addresses of all known API server instances: those that are published for Service default/kubernetes, and those
/// that static pods advertise. An instance that is not published still serves clients that know its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiServerInstances(pub BTreeSet<SocketAddr>);

impl Derive for ApiServerInstances {
    type Needs<'a> = (&'a ApiServerEndpoints, &'a Pods);
    const NAME: &'static str = "api-server-instances";

    fn derive((published, pods): Self::Needs<'_>) -> Seen<Self> {
        let mut all = published.slices.clone();
        all.extend(pods.static_pods("kube-apiserver").filter_map(super::pods::Pod::advertised_address));
        if all.is_empty() {
            let why = "it has no address, and no static pod of kube-system advertises one";
            return Err(Unobserved::invalid("EndpointSlice default/kubernetes", why));
        }
        Ok(Self(all))
    }
}

crate::derived!(ApiServerInstances);

#[cfg(test)]
mod tests {
    use super::super::pods::testing::static_pod;
    use super::*;

    fn derived(published: &[&str], pods: &Pods) -> Seen<ApiServerInstances> {
        let slices = published.iter().map(|address| address.parse().unwrap()).collect();
        ApiServerInstances::derive((&ApiServerEndpoints { slices, endpoints: Err(Unobserved::Interrupted) }, pods))
    }

    #[test]
    fn an_instance_that_is_not_published_is_one_all_the_same() {
        let hidden = static_pod("kube-apiserver", "n2", &["--advertise-address=10.77.0.12"]);
        let pods = Pods([hidden, static_pod("kube-scheduler", "n2", &["--advertise-address=10.77.0.13"])].into());
        let ApiServerInstances(all) = derived(&["10.77.0.11:6443"], &pods).unwrap();
        assert_eq!(all, ["10.77.0.11:6443", "10.77.0.12:6443"].map(|address| address.parse().unwrap()).into());
    }

    #[test]
    fn no_instance_at_all_is_not_seen() {
        assert!(derived(&[], &Pods::default()).is_err());
    }
}
