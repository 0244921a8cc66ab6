//! # cluster-info names a live API server and the CA that verifies it
//!
//! ## Why
//! No controller keeps ConfigMap kube-public/cluster-info up to date. After a load balancer has moved or a CA was
//! rotated, existing nodes keep working and every new one fails to join, which is noticed when a node has to be
//! replaced in a hurry.
//!
//! ## Fix
//! `kubectl -n kube-public edit configmap cluster-info`: `server` must be the `controlPlaneEndpoint` of kubeadm-config,
//! and `certificate-authority-data` the base64 of `/etc/kubernetes/pki/ca.crt`. The bootstrap signer signs the new text
//! automatically.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/discovery/token/token.go`. Skipped where the profile states that nodes join
//! by a file. A server that does not answer is a finding only if API servers answer from here; otherwise it is
//! inconclusive.

use crate::certificate::verify;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::cluster_info_handshake::ClusterInfoHandshake;
use crate::fact::facts::expectations::{Discovery, Expectations};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::handshake::Authority;

crate::check!(
    "DI-03",
    "cluster-info-endpoint",
    Critical,
    judge,
    builds_on: ["CP-01", "DI-01", "HA-02", "PK-01"],
    blocked_by: ["HA-01"],
);

fn judge(
    info: &ClusterInfo,
    handshake: &ClusterInfoHandshake,
    api_servers: &ApiServerHandshakes,
    kubeadm: Option<&KubeadmConfig>,
    expectations: &Expectations,
    clock: &Clock,
) -> Verdict {
    if expectations.discovery == Discovery::File {
        return Verdict::not_applicable("the profile states that nodes join by a file: they do not read cluster-info");
    }
    let mut verdict = Verdict::new();
    let Some(Ok(server)) = info.cluster().map(|cluster| &cluster.server) else {
        return verdict;
    };
    let subject = || Subject::address(server);
    let configured = kubeadm.and_then(|kubeadm| kubeadm.control_plane_endpoint.as_deref());
    let no_join = "no node can join with a token";
    match &handshake.0 {
        Ok(handshake) => {
            let authorities = info.authorities();
            if let Some(authorities) = verdict.seen(subject, &authorities) {
                match verify(&handshake.chain, authorities, Some(server.host()), clock.server) {
                    Ok(()) => verdict.confirm(),
                    Err(distrust) => verdict.find(
                        subject(),
                        Finding::new(
                            format!("the CA in cluster-info verifies a certificate for {} there", server.host()),
                            distrust.to_string(),
                        )
                        .impact(no_join)
                        .fix(format!(
                            "compare the CA in cluster-info with /etc/kubernetes/pki/ca.crt of a control-plane node; \
                             if they differ, {} certificate-authority-data to the output of: base64 -w0 \
                             /etc/kubernetes/pki/ca.crt",
                            edit("set")
                        )),
                    ),
                }
            }
        }
        Err(why) if reaches_nodes(api_servers) => verdict.find(
            subject(),
            Finding::new("an API server answers at the address in cluster-info", why.to_string())
                .impact(no_join)
                .fix(format!("restore the load balancer at {server}, or {}", set_server(configured, server))),
        ),
        Err(why) => verdict.unseen(subject(), why),
    }
    if let Some(configured) = configured {
        verdict.expect(subject(), is_same(configured, server), || {
            Finding::new(
                format!("cluster-info names the controlPlaneEndpoint of kubeadm-config, {configured}"),
                format!("it names {server}"),
            )
            .impact("new nodes reach the API server by another address than kubeadm configures for the others")
            .comes_from(Subject::object("ConfigMap", "kube-system", "kubeadm-config"))
            .fix(set_server(Some(configured), server))
            .severity(Severity::Minor)
        });
    }
    if let Ok(authorities) = info.authorities() {
        for pin in authorities.iter().filter_map(|ca| Some(ca.describe().ok()?.spki_sha256)) {
            verdict.note(format!("--discovery-token-ca-cert-hash {pin}"));
        }
    }
    verdict
}

fn edit(what: &str) -> String {
    format!("{what} with kubectl -n kube-public edit configmap cluster-info")
}

/// How to change the server that joining nodes contact.
fn set_server(configured: Option<&str>, server: &Authority) -> String {
    match configured.and_then(|configured| with_port(configured, server)) {
        Some(configured) => edit(&format!("set server to https://{configured}")),
        None => edit("set server to the URL of a live API server"),
    }
}

/// Whether the network of the nodes can be reached from here, so that a server that does not answer is a finding.
fn reaches_nodes(api_servers: &ApiServerHandshakes) -> bool {
    api_servers.instances.as_ref().is_ok_and(|instances| instances.values().any(Result::is_ok))
}

fn is_same(configured: &str, server: &Authority) -> bool {
    with_port(configured, server).is_some_and(|configured| {
        configured.port() == server.port() && configured.host() == server.host().to_ascii_lowercase()
    })
}

/// A `controlPlaneEndpoint` without a port means the port of kubeadm's `bindPort`, which the ConfigMap does not
/// contain.
fn with_port(configured: &str, server: &Authority) -> Option<Authority> {
    let configured = configured.to_ascii_lowercase();
    let parsed = configured.parse().or_else(|_| {
        let host = configured.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&configured);
        Authority::new(host, server.port())
    });
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority as Issuer;
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::handshake::Handshake;
    use crate::seen::{Seen, Unobserved};
    use crate::suites::pki::testing::{clock, handshakes, presented};

    fn judged(ca: &Issuer, seen: Seen<Handshake>, api_servers: &ApiServerHandshakes) -> Verdict {
        let info = cluster_info("https://10.77.0.100:6443", vec![ca.certificate.clone()]);
        let kubeadm = KubeadmConfig { control_plane_endpoint: Some("10.77.0.100".into()), ..KubeadmConfig::default() };
        let expectations = Expectations::default();
        judge(&info, &ClusterInfoHandshake(seen), api_servers, Some(&kubeadm), &expectations, &clock())
    }

    fn silent() -> Seen<Handshake> {
        Err(Unobserved::unreachable("10.77.0.100:6443", "no route to host"))
    }

    #[test]
    fn a_server_that_the_ca_verifies_passes() {
        let ca = Issuer::new("kubernetes");
        let leaf = ca.leaf(&["10.77.0.100"]);
        let verdict = judged(&ca, presented(&leaf), &handshakes(presented(&leaf), []));
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.observations(), 2);
        assert!(crate::check::testing::notes(&verdict)[0].starts_with("--discovery-token-ca-cert-hash sha256:"));
    }

    #[test]
    fn another_ca_is_found() {
        let (here, elsewhere) = (Issuer::new("kubernetes"), Issuer::new("elsewhere"));
        let leaf = here.leaf(&["10.77.0.100"]);
        let findings =
            judged(&elsewhere, presented(&leaf), &handshakes(presented(&leaf), [])).findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "10.77.0.100:6443");
        assert!(finding.seen.contains("CN=kubernetes"));
    }

    #[test]
    fn an_unreadable_ca_is_inconclusive() {
        let ca = Issuer::new("kubernetes");
        let leaf = ca.leaf(&["10.77.0.100"]);
        let mut info = cluster_info("https://10.77.0.100:6443", Vec::new());
        info.kubeconfig.as_mut().unwrap().clusters[0].authorities = Err("it is not base64 of PEM".into());
        let handshake = ClusterInfoHandshake(presented(&leaf));
        let api_servers = handshakes(presented(&leaf), []);
        let verdict = judge(&info, &handshake, &api_servers, None, &Expectations::default(), &clock());
        assert_eq!((verdict.gaps().len(), verdict.findings(Severity::Critical).len()), (1, 0));
        assert!(crate::check::testing::notes(&verdict).is_empty());
    }

    #[test]
    fn a_lost_load_balancer_is_found_from_where_the_nodes_can_be_reached() {
        let ca = Issuer::new("kubernetes");
        let leaf = ca.leaf(&["10.77.0.11"]);
        let inside = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))]);
        let findings = judged(&ca, silent(), &inside).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "10.77.0.100:6443 cannot be reached: no route to host");
        let outside = handshakes(presented(&leaf), [("10.77.0.11:6443", silent())]);
        let verdict = judged(&ca, silent(), &outside);
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.gaps().len(), 1);
    }

    #[test]
    fn it_does_not_apply_where_nodes_join_by_a_file() {
        let ca = Issuer::new("kubernetes");
        let info = cluster_info("https://10.77.0.100:6443", vec![ca.certificate.clone()]);
        let expectations = Expectations { discovery: Discovery::File, ..Expectations::default() };
        let api_servers = handshakes(silent(), []);
        let verdict = judge(&info, &ClusterInfoHandshake(silent()), &api_servers, None, &expectations, &clock());
        assert!(verdict.reason().unwrap().contains("by a file"));
    }

    #[test]
    fn endpoints_are_compared_with_the_port_that_was_given() {
        let server: Authority = "api.bed.test:6443".parse().unwrap();
        assert!(is_same("api.bed.test:6443", &server) && is_same("API.bed.test", &server));
        assert!(!is_same("api.bed.test:443", &server) && !is_same("lb.bed.test:6443", &server));
        assert!(is_same("api.bed.test", &"api.bed.test:8443".parse().unwrap()), "kubeadm's bindPort");
        assert!(is_same("[fd00::1]", &"[fd00::1]:6443".parse().unwrap()));
    }
}
