//! # The cluster's CAs are strong, long-lived and the same everywhere
//!
//! ## Why
//! When a CA expires, everything that it signed becomes invalid at that moment, and replacing a CA takes a cluster
//! through every certificate and kubeconfig it has: plan that a year ahead. A weak key or hash lets attackers make
//! certificates. Where joining nodes, pods and API servers get CAs that have no key in common, some of them verify with
//! the wrong one, as after a rotation that was left half done.
//!
//! ## Fix
//! Plan a rotation: <https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/>. A CA with the same key
//! and a longer life is enough where only the date is the problem. Where one source differs, give it the right bundle:
//! `kubectl -n kube-public edit configmap cluster-info`, `--root-ca-file` of the controller-manager, `--client-ca-file`
//! and `--requestheader-client-ca-file` of the API server.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/certs/certlist.go` (kubeadm's CAs last ten years). Less than a year
//! left is major, less than 30 days critical; for a CA that lasts less than four years, less than a quarter of its
//! life. A CA near its end next to a longer-lived one in the same bundle is info, and no finding if both have the same
//! key: API servers keep the old one in extension-apiserver-authentication until it has expired. Only kubeadm is
//! expected to have one CA for servers and clients; K3s and RKE2 have two. RSA from 2048 bits, ECDSA from P-256,
//! Ed25519; SHA-256 or better.

use std::collections::{BTreeMap, BTreeSet};

use super::helpers::lifetime::{least, left, length, remainder};
use crate::certificate::{Certificate, Description, PublicKey};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubeconfig_summary::KubeconfigSummary;
use crate::fact::facts::root_ca_config_maps::RootCaConfigMaps;
use crate::seen::Unobserved;

crate::check!("PK-05", "authorities", Major, judge, blocked_by: ["DI-03", "PK-01", "PK-06"]);

/// How to replace a CA.
const ROTATE: &str = "replace this CA: https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/";

/// Where a bundle was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Kubeconfig,
    ClusterInfo,
    RootCa,
    Client,
    RequestHeader,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Kubeconfig => "the kubeconfig",
            Self::ClusterInfo => "kube-public/cluster-info",
            Self::RootCa => "kube-system/kube-root-ca.crt",
            Self::Client => "client-ca-file of kube-system/extension-apiserver-authentication",
            Self::RequestHeader => "requestheader-client-ca-file of kube-system/extension-apiserver-authentication",
        }
    }

    fn subject(self) -> Subject {
        match self {
            Self::Kubeconfig => Subject::cluster_object("kubeconfig", ""),
            Self::ClusterInfo => Subject::object("ConfigMap", "kube-public", "cluster-info"),
            Self::RootCa => Subject::object("ConfigMap", "kube-system", "kube-root-ca.crt"),
            Self::Client | Self::RequestHeader => {
                Subject::object("ConfigMap", "kube-system", "extension-apiserver-authentication")
            }
        }
    }

    /// Where its bundle is set.
    const fn change(self) -> &'static str {
        match self {
            Self::Kubeconfig => {
                "set certificate-authority-data in the kubeconfig, with a copy of /etc/kubernetes/pki/ca.crt of a \
                 control-plane node: kubectl config set-cluster $(kubectl config view --minify -o \
                 jsonpath='{.contexts[0].context.cluster}') --embed-certs --certificate-authority=ca.crt"
            }
            Self::ClusterInfo => "kubectl -n kube-public edit configmap cluster-info",
            Self::RootCa => {
                "replace the file of --root-ca-file in /etc/kubernetes/manifests/kube-controller-manager.yaml on each \
                 control-plane node"
            }
            Self::Client => {
                "replace the file of --client-ca-file in /etc/kubernetes/manifests/kube-apiserver.yaml on each \
                 control-plane node"
            }
            Self::RequestHeader => {
                "replace the file of --requestheader-client-ca-file in /etc/kubernetes/manifests/kube-apiserver.yaml \
                 on each control-plane node"
            }
        }
    }
}

/// One CA, where it was found, and where no longer-lived CA stands next to it.
struct Found {
    ca: Description,
    sources: BTreeSet<Source>,
    alone_in: BTreeSet<Source>,
}

fn judge(
    kubeconfig: &KubeconfigSummary,
    cluster_info: Result<&ClusterInfo, &Unobserved>,
    root_ca: Result<&RootCaConfigMaps, &Unobserved>,
    authentication: Result<&AuthenticationAuthorities, &Unobserved>,
    kubeadm: Option<&KubeadmConfig>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let mut bundles: BTreeMap<Source, &[Certificate]> = BTreeMap::new();
    if !kubeconfig.authorities.is_empty() {
        bundles.insert(Source::Kubeconfig, &kubeconfig.authorities);
    }
    if let Some(info) = present(&mut verdict, Source::ClusterInfo, cluster_info) {
        // The checks of joining judge everything else about cluster-info.
        bundles.extend(info.authorities().ok().map(|bundle| (Source::ClusterInfo, bundle)));
    }
    if let Some(maps) = present(&mut verdict, Source::RootCa, root_ca) {
        let content = maps.of_namespace("kube-system").and_then(|content| content.certificates.as_deref().ok());
        bundles.extend(content.map(|bundle| (Source::RootCa, bundle)));
    }
    if let Some(authentication) = present(&mut verdict, Source::Client, authentication) {
        let keys = [(Source::Client, &authentication.client), (Source::RequestHeader, &authentication.request_header)];
        for (source, bundle) in keys {
            match bundle {
                None => {}
                Some(Ok(bundle)) => {
                    bundles.insert(source, bundle);
                }
                Some(Err(why)) => find_unreadable(&mut verdict, source, why.clone()),
            }
        }
    }

    let mut described: BTreeMap<Source, Vec<Description>> = BTreeMap::new();
    for (source, bundle) in bundles {
        for certificate in bundle {
            match certificate.describe() {
                Ok(ca) => described.entry(source).or_default().push(ca),
                Err(malformed) => find_unreadable(&mut verdict, source, malformed.to_string()),
            }
        }
    }
    for found in distinct(&described, clock).into_values() {
        judge_ca(&mut verdict, &found, clock);
    }
    if kubeadm.is_some() {
        judge_agreement(&mut verdict, &described);
    }
    verdict
}

fn find_unreadable(verdict: &mut Verdict, source: Source, why: String) {
    let finding = Finding::new(format!("certificates in {}", source.name()), why)
        .impact("whatever verifies with this bundle fails")
        .fix(source.change());
    verdict.find(source.subject(), finding);
}

/// What was seen; a cluster without it has nothing to judge there.
fn present<'a, T>(verdict: &mut Verdict, source: Source, seen: Result<&'a T, &Unobserved>) -> Option<&'a T> {
    match seen {
        Ok(value) => Some(value),
        Err(Unobserved::Absent { .. }) => None,
        Err(why) => {
            verdict.unseen(source.subject(), why);
            None
        }
    }
}

/// Each CA once, by its fingerprint.
fn distinct(described: &BTreeMap<Source, Vec<Description>>, clock: &Clock) -> BTreeMap<String, Found> {
    let mut all: BTreeMap<String, Found> = BTreeMap::new();
    for (source, bundle) in described {
        for ca in bundle {
            let outlived = bundle.iter().any(|other| other.spki_sha256 == ca.spki_sha256 && lasts(other, clock));
            let alone = !bundle.iter().any(|other| lasts(other, clock));
            if !lasts(ca, clock) && outlived {
                continue;
            }
            let found = all.entry(ca.fingerprint.clone()).or_insert_with(|| Found {
                ca: ca.clone(),
                sources: BTreeSet::new(),
                alone_in: BTreeSet::new(),
            });
            found.sources.insert(*source);
            if alone {
                found.alone_in.insert(*source);
            }
        }
    }
    all
}

fn lasts(ca: &Description, clock: &Clock) -> bool {
    left(ca, clock.server) >= least(ca, 365, 4)
}

fn judge_ca(verdict: &mut Verdict, found: &Found, clock: &Clock) {
    let Found { ca, sources, alone_in } = found;
    let subject = || Subject::cluster_object("CA", &ca.subject);
    let places = || sources.iter().map(|source| format!("found in {}", source.name()));
    verdict.expect(subject(), lasts(ca, clock), || {
        let bound = length(least(ca, 365, 4));
        let (impact, severity) = if alone_in.is_empty() {
            ("a longer-lived CA is next to it, but certificates that this one signed end with it", Severity::Info)
        } else if left(ca, clock.server) < least(ca, 30, 10) {
            (ENDS, Severity::Critical)
        } else {
            (ENDS, Severity::Major)
        };
        Finding::new(format!("a CA that lasts for at least {bound}"), format!("it {}", remainder(ca, clock.server)))
            .impact(impact)
            .fix(format!("{ROTATE}; a CA certificate with the same key and a later end is enough"))
            .evidence(places())
            .severity(severity)
    });
    verdict.expect(subject(), ca.is_ca == Some(true), || {
        Finding::new("CA:TRUE in basic constraints", "it is missing")
            .impact("clients accept nothing that it signs")
            .fix(
                "put the CA's own certificate, instead of one that it signed, into each place where this one was found",
            )
            .evidence(places())
    });
    verdict.expect(subject(), is_strong(&ca.public_key), || {
        Finding::new("a key of RSA 2048, ECDSA P-256 or more", ca.public_key.to_string())
            .impact("an attacker who breaks the key can sign certificates for any user and server")
            .fix(ROTATE)
            .evidence(places())
    });
    // No client checks the signature of a root.
    let refused = ca.signature_algorithm.is_sha1_or_md5() && !ca.self_issued;
    verdict.expect(subject(), !refused, || {
        Finding::new("a signature with SHA-256 or better", ca.signature_algorithm.name())
            .impact("clients written in Go refuse it, and everything that it signed")
            .fix(format!("let {} sign it again, with SHA-256", ca.issuer))
            .evidence(places())
    });
    verdict.note_about(subject(), format!("{}: {}, {}", ca.spki_sha256, ca.public_key, remainder(ca, clock.server)));
}

/// What the end of a CA means.
const ENDS: &str = "at that moment everything that it signed becomes invalid";

fn is_strong(key: &PublicKey) -> bool {
    match key {
        PublicKey::Rsa { bits } => *bits >= 2048,
        PublicKey::Ecdsa { .. } | PublicKey::Ed25519 => key.bits().is_some_and(|bits| bits >= 256),
        PublicKey::Other { .. } => false,
    }
}

/// kubeadm has one CA for servers and clients, so that every bundle must contain it.
fn judge_agreement(verdict: &mut Verdict, described: &BTreeMap<Source, Vec<Description>>) {
    let keys = |source: Source| -> Option<BTreeSet<&str>> {
        described.get(&source).map(|bundle| bundle.iter().map(|ca| ca.spki_sha256.as_str()).collect())
    };
    let Some(pods) = keys(Source::RootCa) else {
        return;
    };
    for source in [Source::ClusterInfo, Source::Client] {
        let Some(others) = keys(source) else {
            continue;
        };
        verdict.expect(source.subject(), !others.is_disjoint(&pods), || {
            Finding::new(
                format!("{} and {}, which pods verify with, share a CA", source.name(), Source::RootCa.name()),
                "they have no key in common",
            )
            .same_as(&["DI-03", "PK-01", "PK-06"])
            .impact("a rotation is half done, or a bundle is another cluster's: some clients cannot connect")
            .fix(format!(
                "find out which of the two is right; then {}, or {}",
                source.change(),
                Source::RootCa.change()
            ))
            .evidence(pods.iter().map(|key| format!("{}: {key}", Source::RootCa.name())))
            .evidence(others.iter().map(|key| format!("{}: {key}", source.name())))
        });
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};

    use super::*;
    use crate::certificate::testing::Authority;
    use crate::check::testing::notes;
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::fact::facts::root_ca_config_maps::RootCa;
    use crate::suites::pki::testing::clock;

    /// From 2017 until that day; the tests take place on 2026-11-23.
    fn until(year: i32, month: u8, day: u8) -> Authority {
        Authority::with("kubernetes", |params| {
            params.not_before = date_time_ymd(2017, 7, 1);
            params.not_after = date_time_ymd(year, month, day);
        })
    }

    struct Bundles {
        cluster_info: Vec<Certificate>,
        root_ca: Vec<Certificate>,
        client: Vec<Certificate>,
    }

    impl Bundles {
        fn all(ca: &Authority) -> Self {
            let bundle = || vec![ca.certificate.clone()];
            Self { cluster_info: bundle(), root_ca: bundle(), client: bundle() }
        }

        fn judged(self) -> Verdict {
            let kubeconfig = KubeconfigSummary {
                https: true,
                endpoint: "10.77.0.11:6443".parse().unwrap(),
                server_name: None,
                skips_verification: false,
                authorities: self.root_ca.clone(),
            };
            let info = cluster_info("https://10.77.0.11:6443", self.cluster_info);
            let maps = RootCaConfigMaps(vec![RootCa {
                certificates: Ok(self.root_ca),
                namespaces: ["kube-system".to_owned()].into(),
            }]);
            let authentication = AuthenticationAuthorities {
                client: Some(Ok(self.client)),
                request_header: None,
                ..AuthenticationAuthorities::default()
            };
            let kubeadm = KubeadmConfig::default();
            judge(&kubeconfig, Ok(&info), Ok(&maps), Ok(&authentication), Some(&kubeadm), &clock())
        }
    }

    #[test]
    fn one_good_ca_everywhere_passes() {
        let verdict = Bundles::all(&until(2036, 1, 1)).judged();
        assert!(verdict.findings(Severity::Major).is_empty(), "{:?}", verdict.findings(Severity::Major));
        assert_eq!(verdict.observations(), 6);
        assert!(notes(&verdict)[0].contains("CN=kubernetes: sha256:"));
    }

    #[test]
    fn a_ca_near_its_end_is_found_once_with_all_its_places() {
        let findings = Bundles::all(&until(2027, 6, 1)).judged().findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].name, "CN=kubernetes");
        assert_eq!(finding.seen, "it expires in 189 days, at 2027-06-01T00:00:00Z");
        assert_eq!(finding.evidence.len(), 4);
        assert!(finding.evidence.contains(&"found in the kubeconfig".to_owned()));
        assert_eq!(finding.severity, Severity::Major);
        assert_eq!(
            Bundles::all(&until(2026, 12, 1)).judged().findings(Severity::Major)[0].severity,
            Severity::Critical
        );
    }

    #[test]
    fn an_old_ca_next_to_a_new_one_is_info() {
        let (old, new) = (until(2027, 6, 1), until(2036, 1, 1));
        let both = Bundles { client: vec![old.certificate, new.certificate.clone()], ..Bundles::all(&new) };
        let findings = both.judged().findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
    }

    #[test]
    fn a_ca_that_was_renewed_with_the_same_key_passes() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let [old, new] = [2027, 2036].map(|year| {
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.not_before = date_time_ymd(2017, 7, 1);
            params.not_after = date_time_ymd(year, 1, 1);
            Certificate::from_der(params.self_signed(&key).unwrap().der().as_ref())
        });
        let new_only = vec![new.clone()];
        let bundles = Bundles { cluster_info: new_only.clone(), root_ca: new_only, client: vec![old, new] };
        assert!(bundles.judged().findings(Severity::Major).is_empty());
    }

    #[test]
    fn a_certificate_that_is_not_a_ca_is_found() {
        let leaf = until(2036, 1, 1).leaf(&["n1"]);
        let bundle = vec![leaf.certificate];
        let bundles = Bundles { cluster_info: bundle.clone(), root_ca: bundle.clone(), client: bundle };
        assert_eq!(bundles.judged().findings(Severity::Major)[0].expected, "CA:TRUE in basic constraints");
    }

    #[test]
    fn the_key_of_a_root_is_judged_and_its_signature_is_not() {
        let pem = include_str!("../../src/certificate/description/rsa1024-sha1.pem");
        let bundle = || Certificate::from_pem_bundle(pem).unwrap();
        let findings =
            Bundles { cluster_info: bundle(), root_ca: bundle(), client: bundle() }.judged().findings(Severity::Major);
        let expected: Vec<_> = findings.iter().map(|finding| finding.expected.as_str()).collect();
        assert!(expected.contains(&"a key of RSA 2048, ECDSA P-256 or more"), "{expected:?}");
        assert!(!expected.iter().any(|expected| expected.contains("signature")), "{expected:?}");
    }

    #[test]
    fn a_bundle_of_another_cluster_is_found() {
        let (here, elsewhere) = (until(2036, 1, 1), until(2036, 1, 1));
        let strange = Bundles { cluster_info: vec![elsewhere.certificate], ..Bundles::all(&here) };
        let findings = strange.judged().findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].name, "cluster-info");
        assert!(finding.expected.contains("kube-public/cluster-info"));
    }
}
