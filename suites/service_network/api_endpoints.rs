//! # Service default/kubernetes lists every API server, and nothing else
//!
//! ## Why
//! Pods and kube-proxy reach only the published instances. A missing one carries no load, and no one notices when it
//! fails or returns. If nothing listens at a published address, a share of all requests from inside the cluster fails.
//!
//! ## Fix
//! Set `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml` on the node to the node's own address.
//! Each API server publishes itself every 10 s and removes itself within 15 s after it stopped. An address that stays
//! wrong for longer has one of three causes: a wrong advertise-address, an etcd that the instance cannot write to, or
//! another reconciler (`--endpoint-reconciler-type` must be `lease`). A control-plane node that was removed for good:
//! `kubeadm reset` on it, or `kubectl -n kube-system delete pod kube-apiserver-NODE` and `kubectl delete node NODE`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/reconcilers/lease.go`, `pkg/controlplane/reconcilers/endpointsadapter.go`,
//! `cmd/kubeadm/app/constants` (annotation of the advertise address); KEP-4974 (Endpoints are deprecated since 1.33)

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::cidr::is_link_local;
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;

crate::check!(
    "SN-03",
    "api-endpoints",
    Critical,
    judge,
    builds_on: ["CP-01", "CP-03", "CP-06", "KL-01"]
);

const ADVERTISE: &str = "on the node of each such API server, set --advertise-address in \
     /etc/kubernetes/manifests/kube-apiserver.yaml to the node's own address";

fn judge(published: &ApiServerEndpoints, pods: &Pods) -> Verdict {
    let mut verdict = Verdict::new();
    if published.slices.is_empty() {
        verdict.find(
            Subject::object("EndpointSlice", "default", "kubernetes"),
            Finding::new("it contains the address of every API server", "it contains no address")
                .impact("nothing inside the cluster reaches the API at its ClusterIP")
                .fix(
                    "an API server that is not ready removes its own address; find out why it is not: kubectl get \
                     --raw '/readyz?verbose'",
                ),
        );
        return verdict;
    }
    for address in &published.slices {
        let problem = unusable_kind(address.ip());
        verdict.expect(Subject::address(address), problem.is_none(), || {
            Finding::new("an address that other nodes can dial", format!("it is {}", problem.unwrap_or_default()))
                .impact("every client that dials it reaches its own node, or nothing")
                .fix(ADVERTISE)
        });
    }
    let mut advertised: BTreeMap<SocketAddr, Vec<&str>> = BTreeMap::new();
    for pod in pods.static_pods("kube-apiserver") {
        match pod.advertised_address() {
            Some(address) => advertised.entry(address).or_default().push(&pod.name),
            None => verdict.unseen(
                Subject::object("Pod", &pod.namespace, &pod.name),
                &Unobserved::invalid("its manifest", "it does not show the address that it advertises"),
            ),
        }
    }
    if advertised.is_empty() {
        verdict.note("no API server runs as a static pod in kube-system, so their number was not checked");
    } else {
        judge_sets(&mut verdict, &published.slices, &advertised);
    }
    let subject = || Subject::object("Endpoints", "default", "kubernetes");
    match &published.endpoints {
        Ok(endpoints) => {
            let missing = published.slices.difference(endpoints).map(|at| format!("{at} is missing"));
            let others = endpoints.difference(&published.slices).map(|at| format!("{at} is not in the EndpointSlice"));
            verdict.expect(subject(), *endpoints == published.slices, || {
                let seen = if endpoints.is_empty() { "it contains no address" } else { "its addresses differ" };
                Finding::new("the addresses of EndpointSlice default/kubernetes", seen)
                    .evidence(missing.chain(others))
                    .impact("clients that still read Endpoints dial other API servers than the Service does")
                    .fix("the API servers recreate it within 10 s: kubectl -n default delete endpoints kubernetes")
                    .severity(Severity::Minor)
            });
        }
        // Endpoints are deprecated: a cluster may do without them.
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(subject(), why),
    }
    verdict
}

fn judge_sets(verdict: &mut Verdict, published: &BTreeSet<SocketAddr>, advertised: &BTreeMap<SocketAddr, Vec<&str>>) {
    for (address, servers) in advertised {
        verdict.expect(Subject::address(address), published.contains(address), || {
            Finding::new("Service default/kubernetes lists the address of every API server", "it lacks this address")
                .evidence(advertisers(address, servers))
                .impact("this API server gets no requests from inside the cluster")
                .fix(format!(
                    "find out whether it is ready: kubectl --server https://{address} get --raw '/readyz?verbose'; if \
                     it is, set --advertise-address={} in /etc/kubernetes/manifests/kube-apiserver.yaml on its node",
                    address.ip()
                ))
        });
    }
    for (address, servers) in advertised.iter().filter(|(_, servers)| servers.len() > 1) {
        verdict.find(
            Subject::address(address),
            Finding::new("one API server at each address", format!("{} API servers advertise it", servers.len()))
                .evidence(advertisers(address, servers))
                .impact("only one of them gets requests from inside the cluster")
                .fix(ADVERTISE),
        );
    }
    for address in published.iter().filter(|address| !advertised.contains_key(address)) {
        verdict.find(
            Subject::address(address),
            Finding::new("only addresses of API servers are published", "no API server advertises this address")
                .evidence(advertised.iter().flat_map(|(address, servers)| advertisers(address, servers)))
                .impact("requests from inside the cluster to it fail, unless an API server listens there after all")
                .fix(
                    "find the API server that publishes it, and correct its flags: kubectl -n kube-system get pods -l \
                     component=kube-apiserver -o yaml | grep -e --advertise-address -e --endpoint-reconciler-type",
                ),
        );
    }
}

fn advertisers(address: &SocketAddr, servers: &[&str]) -> impl Iterator<Item = String> {
    servers.iter().map(move |server| format!("{server} advertises {address}"))
}

/// The kind of an address that no other node can dial.
fn unusable_kind(address: IpAddr) -> Option<&'static str> {
    let kinds = [
        (address.is_loopback(), "a loopback address"),
        (address.is_unspecified(), "the unspecified address"),
        (address.is_multicast(), "a multicast address"),
        (is_link_local(address), "a link-local address"),
    ];
    kinds.into_iter().find_map(|(is_one, kind)| is_one.then_some(kind))
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
        assert_eq!(seen_of(&verdict), ["10.77.0.12:6443: it lacks this address"]);
    }

    #[test]
    fn an_address_without_an_api_server_is_found() {
        let verdict = judge(&published(&[11, 99]), &Pods([server("a", 11)].into()));
        assert_eq!(seen_of(&verdict), ["10.77.0.99:6443: no API server advertises this address"]);
    }

    #[test]
    fn two_instances_with_one_address_are_found_by_their_flags() {
        let mut pods = Pods([server("a", 11), server("b", 12)].into());
        for pod in pods.0.values_mut() {
            pod.annotations.remove(ANNOTATION);
            let command = vec!["--advertise-address=10.77.0.11".into(), "--secure-port=6443".into()];
            pod.containers = vec![Container { command, ..Container::default() }];
        }
        let verdict = judge(&published(&[11]), &pods);
        assert_eq!(seen_of(&verdict), ["10.77.0.11:6443: 2 API servers advertise it"]);
        let evidence = ["a advertises 10.77.0.11:6443", "b advertises 10.77.0.11:6443"];
        assert_eq!(verdict.findings(Severity::Critical)[0].evidence, evidence);
    }

    #[test]
    fn no_address_at_all_is_one_finding() {
        let verdict = judge(&published(&[]), &Pods([server("a", 11)].into()));
        assert_eq!(seen_of(&verdict), ["EndpointSlice default/kubernetes: it contains no address"]);
    }

    #[test]
    fn a_loopback_address_is_found() {
        let slices: BTreeSet<SocketAddr> = [([127, 0, 0, 1], 6443).into()].into();
        let verdict = judge(&ApiServerEndpoints { endpoints: Ok(slices.clone()), slices }, &Pods::default());
        assert_eq!(seen_of(&verdict), ["127.0.0.1:6443: it is a loopback address"]);
    }

    #[test]
    fn a_hidden_control_plane_is_judged_by_what_is_published() {
        let verdict = judge(&published(&[11]), &Pods::default());
        assert_eq!((verdict.observations(), seen_of(&verdict)), (2, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
    }

    #[test]
    fn endpoints_may_be_missing_but_not_differ() {
        let pods = Pods([server("a", 11)].into());
        let with =
            |endpoints: Seen<BTreeSet<SocketAddr>>| judge(&ApiServerEndpoints { endpoints, ..published(&[11]) }, &pods);
        assert!(seen_of(&with(Err(Unobserved::absent("not found")))).is_empty());
        assert_eq!(seen_of(&with(Ok(BTreeSet::new()))), ["Endpoints default/kubernetes: it contains no address"]);
        assert_eq!(with(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
