//! A DNS Service without a ready endpoint.

use crate::check::Finding;
use crate::check::finding::Difference;
use crate::fact::facts::cluster_dns::ClusterDns;

/// The Service has no ready endpoint: either it selects no pod at all, or none of those that it selects is ready.
pub(crate) fn no_ready_endpoint(dns: &ClusterDns) -> Difference {
    let name = &dns.name;
    let (seen, fix) = if dns.servers.as_deref().is_ok_and(<[_]>::is_empty) {
        let fix = format!(
            "compare its selector with the labels of the DNS pods: kubectl -n kube-system get service {name} \
             -o jsonpath='{{.spec.selector}}'; kubectl -n kube-system get pods -l k8s-app=kube-dns --show-labels. If \
             there is no such pod: kubectl -n kube-system get deployment coredns"
        );
        ("the Service's selector matches no pod", fix)
    } else {
        let fix = "find out why none is ready: kubectl -n kube-system describe pods -l k8s-app=kube-dns; kubectl -n \
                   kube-system logs -l k8s-app=kube-dns";
        ("none of the pods that the Service selects is ready", fix.into())
    };
    Finding::new(format!("a ready endpoint of Service {name}"), seen)
        .evidence(dns.addresses.iter().map(|address| format!("nothing answers at clusterIP {address}")))
        .impact("no name in the cluster resolves")
        .fix(fix)
}
