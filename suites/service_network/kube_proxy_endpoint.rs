//! # kube-proxy uses the control-plane endpoint and has the permissions that it needs
//!
//! ## Why
//! kube-proxy cannot use Service default/kubernetes, because it implements Services itself, so its kubeconfig names the
//! API server. If that is a single control-plane node, every node stops learning of new Services when that node fails.
//! A wrong address shows only at the next restart.
//!
//! ## Fix
//! `kubectl -n kube-system edit configmap kube-proxy`: set `server` in `kubeconfig.conf` to `https://` and the
//! controlPlaneEndpoint of ConfigMap kube-system/kubeadm-config, then
//! `kubectl -n kube-system rollout restart daemonset kube-proxy`. `kubeadm init phase addon kube-proxy --config
//! kubeadm.yaml` (with the cluster's own settings, as AD-01 shows) writes the ConfigMap and the ClusterRoleBinding
//! kubeadm:node-proxier again.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/proxy/manifests.go`, `cmd/kubeadm/app/util/endpoint.go`;
//! <https://github.com/kubernetes-sigs/kubespray/pull/5150>

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::helpers::kube_proxy::configure;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::rbac::Rbac;
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::ports;
use crate::seen::Unobserved;
use crate::suites::rights;

crate::check!("SN-08", "kube-proxy-endpoint", Major, judge, blocked_by: ["HA-01"]);

/// What kube-proxy must be able to watch.
const WATCHED: [(&str, &str); 3] = [("", "services"), ("discovery.k8s.io", "endpointslices"), ("", "nodes")];
const ACCOUNT: Holder = Holder::account("kube-system", "kube-proxy");

fn judge(
    config: &KubeProxyConfig,
    kubeadm: Option<&KubeadmConfig>,
    published: &ApiServerEndpoints,
    nodes: &Nodes,
    rbac: &Rbac,
) -> Verdict {
    let mut verdict = Verdict::new();
    verdict.expect(config_map(), !config.skips_verification, || {
        Finding::new(
            "kube-proxy verifies the API server's certificate",
            "insecure-skip-tls-verify: true in kubeconfig.conf",
        )
        .impact("anyone on the path to the API server can read kube-proxy's token and decide where traffic goes")
        .fix(configure(
            "in kubeconfig.conf, replace insecure-skip-tls-verify: true with certificate-authority: \
             /var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        ))
        .managed_by(config.manager.as_ref())
    });
    for (field, cause) in &config.unread {
        verdict.unseen(config_map(), &Unobserved::invalid(format!("field {field}"), cause));
    }
    let server = config.server.as_deref();
    match server.and_then(authority) {
        Some((host, port)) => judge_server(&mut verdict, config, &host, port, kubeadm, published, nodes),
        None if server.is_some() || config.unread.is_empty() => verdict.find(
            config_map(),
            Finding::new("server: https://HOST:PORT", shown(config))
                .impact("kube-proxy does not work after its next restart")
                .fix(configure("in kubeconfig.conf, set server to the URL of the control-plane endpoint"))
                .managed_by(config.manager.as_ref()),
        ),
        None => {}
    }
    if kubeadm.is_some() {
        judge_rights(&mut verdict, rbac);
    }
    verdict
}

fn config_map() -> Subject {
    Subject::object("ConfigMap", "kube-system", "kube-proxy")
}

fn shown(config: &KubeProxyConfig) -> String {
    format!("server: {}", config.server.as_deref().unwrap_or("not set"))
}

fn judge_server(
    verdict: &mut Verdict,
    config: &KubeProxyConfig,
    host: &str,
    port: u16,
    kubeadm: Option<&KubeadmConfig>,
    published: &ApiServerEndpoints,
    nodes: &Nodes,
) {
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        verdict.note(format!("kube-proxy connects to a load balancer on its own node ({})", shown(config)));
        return;
    }
    let endpoint = kubeadm.and_then(|kubeadm| kubeadm.control_plane_endpoint.as_deref());
    if let Some(endpoint) = endpoint {
        let expected = endpoint_authority(endpoint);
        let holds = expected.as_ref().is_some_and(|(h, p)| h.eq_ignore_ascii_case(host) && *p == port);
        verdict.expect(config_map(), holds, || {
            let url = match expected {
                Some((_, port)) if !endpoint.ends_with(&format!(":{port}")) => format!("https://{endpoint}:{port}"),
                _ => format!("https://{endpoint}"),
            };
            Finding::new(format!("server: {url}, the controlPlaneEndpoint of kubeadm-config"), shown(config))
                .impact("while that API server is down or missing, no node learns of new Services and endpoints")
                .comes_from(Subject::object("ConfigMap", "kube-system", "kubeadm-config"))
                .fix(configure(&format!("in kubeconfig.conf, set server: {url}")))
                .managed_by(config.manager.as_ref())
        });
        return;
    }
    let Some(address) = address else {
        let note = "kube-proxy's server was not checked, since no object of the cluster states the right one";
        return verdict.note(format!("{note} ({})", shown(config)));
    };
    let is_published = published.slices.contains(&SocketAddr::new(address, port));
    // The published addresses may be wrong themselves, which SN-03 reports.
    let of_nodes: Vec<IpAddr> = nodes.control_plane().flat_map(|(_, node)| node.internal_addresses()).collect();
    // Without a common endpoint, the only API server is reached at its own address.
    if kubeadm.is_some() || is_published {
        verdict.expect(config_map(), is_published || of_nodes.contains(&address), || {
            let of_nodes = of_nodes.iter().map(|address| SocketAddr::new(*address, ports::API_SERVER));
            let known: BTreeSet<SocketAddr> = of_nodes.chain(published.slices.iter().copied()).collect();
            Finding::new("server: https:// and the address of an API server", shown(config))
                .evidence(known.iter().map(|at| format!("an API server at {at}")))
                .impact("kube-proxy does not work after its next restart")
                .fix(configure("in kubeconfig.conf, set server to https:// and one of these addresses"))
                .managed_by(config.manager.as_ref())
        });
    }
    if is_published {
        let servers = published.slices.len();
        verdict.expect(config_map(), servers == 1, || {
            Finding::new(
                format!("server: the URL of an endpoint in front of all {servers} API servers"),
                format!("{}, only one of them", shown(config)),
            )
            .impact("when that API server fails, no node learns of new Services and endpoints")
            .fix(configure(
                "create a load balancer or a virtual address for all API servers (HA-01), and set server to it in \
                 kubeconfig.conf",
            ))
            .managed_by(config.manager.as_ref())
        });
    }
}

fn judge_rights(verdict: &mut Verdict, rbac: &Rbac) {
    let missing: Vec<&str> = WATCHED
        .iter()
        .filter(|(group, resource)| {
            !rbac.grants().filter(|grant| grant.namespace().is_none()).any(|grant| {
                let is_holder = grant.binding.holders.contains(&ACCOUNT);
                is_holder && grant.existing_rules().iter().any(|rule| rule.permits("watch", group, resource))
            })
        })
        .map(|(_, resource)| *resource)
        .collect();
    verdict.expect(Subject::object("ServiceAccount", "kube-system", "kube-proxy"), missing.is_empty(), || {
        let binding = ObjectRef::cluster("ClusterRoleBinding", "kubeadm:node-proxier");
        let role = ObjectRef::cluster("ClusterRole", "system:node-proxier");
        Finding::new(
            format!("{binding} grants it {role}"),
            format!("no ClusterRoleBinding permits it to watch {}", missing.join(", ")),
        )
        .impact("kube-proxy does not learn of new Services and endpoints")
        .fix(format!(
            "{}; if {role} lacks rules, {}",
            rights::bind_as("kubectl", &binding, &role, &[ACCOUNT]),
            rights::RESTART
        ))
        .managed_by(rbac.manager(&binding))
    });
}

/// Host and port of a URL.
fn authority(url: &str) -> Option<(String, u16)> {
    let url: http::Uri = url.parse().ok()?;
    let host = url.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    (url.scheme_str() == Some("https")).then(|| (host, url.port_u16().unwrap_or(443)))
}

/// Host and port of a controlPlaneEndpoint, which may lack the port.
fn endpoint_authority(endpoint: &str) -> Option<(String, u16)> {
    let endpoint: http::uri::Authority = endpoint.parse().ok()?;
    let host = endpoint.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, endpoint.port_u16().unwrap_or(ports::API_SERVER)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::rbac::testing::rule;

    fn rbac() -> Rbac {
        let rules = WATCHED.iter().map(|(group, resource)| rule(&["list", "watch"], group, &[resource])).collect();
        Rbac::default().with_role("system:node-proxier", rules).with_binding(
            "kubeadm:node-proxier",
            "ClusterRole system:node-proxier",
            &["ServiceAccount kube-system/kube-proxy"],
        )
    }

    fn judged(server: &str, endpoint: Option<&str>, instances: u8) -> Verdict {
        let config = KubeProxyConfig { server: Some(server.into()), ..KubeProxyConfig::default() };
        let kubeadm = KubeadmConfig { control_plane_endpoint: endpoint.map(str::to_owned), ..KubeadmConfig::default() };
        judge(&config, Some(&kubeadm), &published(instances), &nodes(), &rbac())
    }

    fn published(instances: u8) -> ApiServerEndpoints {
        let slices = (11..11 + instances).map(|last| ([10, 77, 0, last], 6443).into()).collect();
        ApiServerEndpoints { endpoints: Ok([].into()), slices }
    }

    fn nodes() -> Nodes {
        let node = Node {
            labels: [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into(),
            addresses: vec![("InternalIP".into(), "10.77.0.11".into())],
            ..Node::default()
        };
        Nodes([("n1".to_owned(), node)].into())
    }

    #[test]
    fn the_control_plane_endpoint_passes() {
        for endpoint in ["api.bed.test:6443", "api.bed.test", "API.bed.test:6443"] {
            let verdict = judged("https://api.bed.test:6443", Some(endpoint), 3);
            assert_eq!((verdict.observations(), seen(&verdict)), (3, vec![]), "{endpoint}");
        }
        assert!(seen(&judged("https://[fd00::1]:6443", Some("[fd00::1]:6443"), 1)).is_empty());
    }

    #[test]
    fn one_instance_instead_of_the_endpoint_is_found() {
        let verdict = judged("https://10.77.0.11:6443", Some("api.bed.test:6443"), 3);
        assert_eq!(seen(&verdict), ["server: https://10.77.0.11:6443"]);
    }

    #[test]
    fn a_single_api_server_is_reached_at_its_own_address() {
        assert!(seen(&judged("https://10.77.0.11:6443", None, 1)).is_empty());
        assert_eq!(seen(&judged("https://10.77.0.99:6443", None, 1)), ["server: https://10.77.0.99:6443"]);
        assert_eq!(
            seen(&judged("https://10.77.0.11:6443", None, 3)),
            ["server: https://10.77.0.11:6443, only one of them"]
        );
    }

    #[test]
    fn wrong_published_addresses_are_not_kube_proxys_fault() {
        for published in [BTreeSet::new(), [([10, 77, 0, 99], 6443).into()].into()] {
            let published = ApiServerEndpoints { slices: published, endpoints: Ok([].into()) };
            let config =
                KubeProxyConfig { server: Some("https://10.77.0.11:6443".into()), ..KubeProxyConfig::default() };
            let verdict = judge(&config, Some(&KubeadmConfig::default()), &published, &nodes(), &rbac());
            assert!(seen(&verdict).is_empty(), "{published:?}");
        }
    }

    #[test]
    fn a_load_balancer_on_each_node_is_deliberate() {
        assert!(seen(&judged("https://127.0.0.1:6443", Some("api.bed.test:6443"), 3)).is_empty());
        assert!(seen(&judged("https://localhost:7443", Some("api.bed.test:6443"), 3)).is_empty());
    }

    #[test]
    fn an_invalid_url_and_skipped_verification_are_found() {
        assert_eq!(seen(&judged("api.bed.test", None, 1)), ["server: api.bed.test"]);
        let config = KubeProxyConfig {
            server: Some("https://eks.example".into()),
            skips_verification: true,
            ..KubeProxyConfig::default()
        };
        let verdict = judge(&config, None, &published(2), &nodes(), &Rbac::default());
        assert_eq!(seen(&verdict), ["insecure-skip-tls-verify: true in kubeconfig.conf"]);
    }

    #[test]
    fn a_missing_binding_is_found() {
        let config = KubeProxyConfig { server: Some("https://10.77.0.11:6443".into()), ..KubeProxyConfig::default() };
        let verdict = judge(&config, Some(&KubeadmConfig::default()), &published(1), &nodes(), &Rbac::default());
        assert_eq!(seen(&verdict), ["no ClusterRoleBinding permits it to watch services, endpointslices, nodes"]);
    }
}
