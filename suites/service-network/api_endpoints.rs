//! # Service default/kubernetes lists every API server, and nothing else
//!
//! ## Why
//! Pods and kube-proxy reach only the published instances. A missing one carries no load, and no one notices when it
//! fails or returns. If nothing listens at a published address, a share of all requests from inside the cluster fails.
//!
//! ## Fix
//! Set `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml` on the node to the node's own address. Each
//! API server publishes itself every 10 s and takes itself out within 15 s after it stopped: what stays wrong for longer
//! is a wrong advertise-address, an etcd that the instance cannot write to, or another reconciler
//! (`--endpoint-reconciler-type` must be `lease`). A control-plane node that is gone for good: `kubeadm reset` on it, or
//! `kubectl -n kube-system delete pod kube-apiserver-NODE` and `kubectl delete node NODE`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/reconcilers/lease.go`, `pkg/controlplane/reconcilers/endpointsadapter.go`,
//! `cmd/kubeadm/app/constants` (annotation of the advertise address); KEP-4974 (Endpoints are deprecated since 1.33)

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::cidr::is_link_local;
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;

crate::check!("SN-03", "api-endpoints", Critical, judge);

fn judge(published: &ApiServerEndpoints, pods: &Pods) -> Verdict {
    let mut verdict = Verdict::new();
    if published.slices.is_empty() {
        verdict.find(
            Subject::object("EndpointSlice", "default", "kubernetes"),
            Finding::new("the address of every API server", "no address")
                .impact("nothing inside the cluster reaches the API; an API server that is not ready takes itself out"),
        );
        return verdict;
    }
    for address in &published.slices {
        verdict.expect(Subject::address(address), is_reachable_by_others(address.ip()), || {
            Finding::new("an address that other nodes can dial", address.to_string())
                .impact("every node that dials it reaches itself, or nobody")
        });
    }
    let mut advertised: BTreeMap<SocketAddr, Vec<&str>> = BTreeMap::new();
    for pod in pods.static_pods("kube-apiserver") {
        match pod.advertised_address() {
            Some(address) => advertised.entry(address).or_default().push(&pod.name),
            None => verdict.unseen(
                Subject::object("Pod", &pod.namespace, &pod.name),
                &Unobserved::invalid("its manifest", "it does not tell the address that it advertises"),
            ),
        }
    }
    if advertised.is_empty() {
        verdict.note("no API server runs as a static pod of kube-system: how many there should be is not known");
    } else {
        judge_sets(&mut verdict, &published.slices, &advertised);
    }
    match &published.endpoints {
        Ok(endpoints) => {
            verdict.expect(
                Subject::object("Endpoints", "default", "kubernetes"),
                *endpoints == published.slices,
                || {
                    Finding::new(
                        format!("the addresses of the EndpointSlice: {}", names(&published.slices)),
                        if endpoints.is_empty() { "no address".to_owned() } else { names(endpoints) },
                    )
                    .impact("clients that still read Endpoints dial other API servers than the Service does")
                    .severity(Severity::Minor)
                },
            );
        }
        // Endpoints are deprecated: a cluster may do without them.
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(Subject::object("Endpoints", "default", "kubernetes"), why),
    }
    verdict
}

fn judge_sets(verdict: &mut Verdict, published: &BTreeSet<SocketAddr>, advertised: &BTreeMap<SocketAddr, Vec<&str>>) {
    for (address, servers) in advertised {
        let servers = names(servers);
        verdict.expect(Subject::address(address), published.contains(address), || {
            Finding::new(
                format!("published: it is the address of {servers}"),
                format!("not among the published addresses {}", names(published)),
            )
            .impact(format!("{servers} gets no request from inside the cluster"))
        });
    }
    for (address, servers) in advertised.iter().filter(|(_, servers)| servers.len() > 1) {
        verdict.find(
            Subject::address(address),
            Finding::new("one API server for each address", format!("advertised by {}", names(servers))),
        );
    }
    for address in published.iter().filter(|address| !advertised.contains_key(address)) {
        verdict.find(
            Subject::address(address),
            Finding::new(
                format!("only the addresses of API servers: {}", names(advertised.keys())),
                format!("{address} is published as well"),
            )
            .impact(
                "requests from inside the cluster that go there fail, unless an API server listens there after all",
            ),
        );
    }
}

fn is_reachable_by_others(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !is_link_local(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::pods::{Container, Pod};
    use crate::object_ref::NamespacedName;
    use crate::seen::Seen;

    const ANNOTATION: &str = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint";

    fn address(last: u8) -> SocketAddr {
        ([10, 77, 0, last], 6443).into()
    }

    fn server(name: &str, last: u8) -> (NamespacedName, Pod) {
        let pod = Pod {
            namespace: "kube-system".into(),
            name: name.into(),
            labels: [("component".to_owned(), "kube-apiserver".to_owned())].into(),
            annotations: [
                ("kubernetes.io/config.mirror".to_owned(), "abc".to_owned()),
                (ANNOTATION.to_owned(), address(last).to_string()),
            ]
            .into(),
            ..Pod::default()
        };
        (NamespacedName::new("kube-system", name.to_owned()), pod)
    }

    fn published(addresses: &[u8]) -> ApiServerEndpoints {
        let slices: BTreeSet<_> = addresses.iter().map(|last| address(*last)).collect();
        ApiServerEndpoints { endpoints: Ok(slices.clone()), slices }
    }

    #[test]
    fn the_same_addresses_everywhere_pass() {
        let pods = Pods([server("a", 11), server("b", 12)].into());
        let verdict = judge(&published(&[11, 12]), &pods);
        assert_eq!((verdict.observations(), seen_of(&verdict)), (5, vec![]));
    }

    #[test]
    fn an_instance_that_is_not_published_is_found() {
        let pods = Pods([server("a", 11), server("b", 12)].into());
        let verdict = judge(&published(&[11]), &pods);
        assert_eq!(seen_of(&verdict), ["10.77.0.12:6443: not among the published addresses 10.77.0.11:6443"]);
    }

    #[test]
    fn an_address_of_nobody_is_found() {
        let verdict = judge(&published(&[11, 99]), &Pods([server("a", 11)].into()));
        assert_eq!(seen_of(&verdict), ["10.77.0.99:6443: 10.77.0.99:6443 is published as well"]);
    }

    #[test]
    fn two_instances_with_one_address_are_found_by_their_flags() {
        let mut pods = Pods([server("a", 11), server("b", 12)].into());
        for pod in pods.0.values_mut() {
            pod.annotations.remove(ANNOTATION);
            let command = vec!["--advertise-address=10.77.0.11".into(), "--secure-port=6443".into()];
            pod.containers = vec![Container { command, ..Container::default() }];
        }
        assert_eq!(seen_of(&judge(&published(&[11]), &pods)), ["10.77.0.11:6443: advertised by a, b"]);
    }

    #[test]
    fn no_address_at_all_is_one_finding() {
        let verdict = judge(&published(&[]), &Pods([server("a", 11)].into()));
        assert_eq!(seen_of(&verdict), ["EndpointSlice default/kubernetes: no address"]);
    }

    #[test]
    fn the_loopback_is_no_address_for_others() {
        let slices: BTreeSet<SocketAddr> = [([127, 0, 0, 1], 6443).into()].into();
        let verdict = judge(&ApiServerEndpoints { endpoints: Ok(slices.clone()), slices }, &Pods::default());
        assert_eq!(seen_of(&verdict), ["127.0.0.1:6443: 127.0.0.1:6443"]);
    }

    #[test]
    fn a_hidden_control_plane_is_judged_by_what_is_published() {
        let verdict = judge(&published(&[11]), &Pods::default());
        assert_eq!((verdict.observations(), seen_of(&verdict)), (2, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
    }

    #[test]
    fn endpoints_may_be_gone_but_not_differ() {
        let pods = Pods([server("a", 11)].into());
        let with =
            |endpoints: Seen<BTreeSet<SocketAddr>>| judge(&ApiServerEndpoints { endpoints, ..published(&[11]) }, &pods);
        assert!(seen_of(&with(Err(Unobserved::absent("not found")))).is_empty());
        assert_eq!(seen_of(&with(Ok(BTreeSet::new()))), ["Endpoints default/kubernetes: no address"]);
        assert_eq!(with(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
