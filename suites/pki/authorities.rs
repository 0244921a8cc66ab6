//! # The certificate authorities are strong, long-lived and the same everywhere
//!
//! ## Why
//! When a CA expires, everything that it signed is worthless at that moment, and replacing a CA takes a cluster through
//! every certificate and kubeconfig it has: that wants planning a year ahead. A weak key or hash lets others make
//! certificates. Where joining nodes, pods and API servers are given authorities that have no key in common, somebody
//! verifies with the wrong one, as after a rotation that was left half done.
//!
//! ## Fix
//! Plan a rotation: <https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/>. A CA with the same key
//! but a longer life is enough where only the date is the trouble. Where one source differs, give it the right bundle:
//! `kubectl -n kube-public edit configmap cluster-info`, `--root-ca-file` of the controller-manager, `--client-ca-file`
//! and `--requestheader-client-ca-file` of the API server.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/certs/certlist.go` (kubeadm's CAs last ten years). Less than a year left
//! is major, less than 30 days critical; of a CA made for less than four years, less than a quarter of its life. A CA
//! near its end beside a longer-lived one in the same bundle is a remark, and none if both have the same key: API
//! servers keep the old one in extension-apiserver-authentication until it has expired. Only kubeadm is expected to have
//! one CA for servers and clients; K3S and RKE2 have two. RSA from 2048 bits, ECDSA from P-256, Ed25519; SHA-256 or
//! better.

use std::collections::{BTreeMap, BTreeSet};

use super::lifetime::{least, left, length, remainder};
use crate::certificate::{Certificate, Description, PublicKey};
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubeconfig_summary::KubeconfigSummary;
use crate::fact::facts::root_ca_config_maps::RootCaConfigMaps;
use crate::seen::Unobserved;

crate::check!("PK-05", "authorities", Major, judge);

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
}

/// One authority, where it was found, and where it is not outlived by another.
struct Found {
    authority: Description,
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
        // What else is wrong with cluster-info is for the checks of joining to say.
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
                Some(Err(why)) => {
                    verdict.find(source.subject(), Finding::new(format!("certificates in {}", source.name()), why));
                }
            }
        }
    }

    let mut described: BTreeMap<Source, Vec<Description>> = BTreeMap::new();
    for (source, bundle) in bundles {
        for certificate in bundle {
            match certificate.describe() {
                Ok(authority) => described.entry(source).or_default().push(authority),
                Err(malformed) => verdict.find(
                    source.subject(),
                    Finding::new(format!("certificates in {}", source.name()), malformed.to_string()),
                ),
            }
        }
    }
    for found in distinct(&described, clock).into_values() {
        judge_authority(&mut verdict, &found, clock);
    }
    if kubeadm.is_some() {
        judge_agreement(&mut verdict, &described);
    }
    verdict
}

/// What was seen; a cluster that does not have it has nothing to be judged there.
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

/// Each authority once, by its fingerprint.
fn distinct(described: &BTreeMap<Source, Vec<Description>>, clock: &Clock) -> BTreeMap<String, Found> {
    let mut all: BTreeMap<String, Found> = BTreeMap::new();
    for (source, bundle) in described {
        for authority in bundle {
            let outlived = bundle.iter().any(|other| other.spki_sha256 == authority.spki_sha256 && lasts(other, clock));
            let alone = !bundle.iter().any(|other| lasts(other, clock));
            if !lasts(authority, clock) && outlived {
                continue;
            }
            let found = all.entry(authority.fingerprint.clone()).or_insert_with(|| Found {
                authority: authority.clone(),
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

fn lasts(authority: &Description, clock: &Clock) -> bool {
    left(authority, clock.server) >= least(authority, 365, 4)
}

fn judge_authority(verdict: &mut Verdict, found: &Found, clock: &Clock) {
    let Found { authority, sources, alone_in } = found;
    let subject = || Subject::cluster_object("certificate authority", &authority.subject);
    let places = |sources: &BTreeSet<Source>| names(sources.iter().map(|source| source.name()));
    verdict.expect(subject(), lasts(authority, clock), || {
        let bound = length(least(authority, 365, 4));
        let short = left(authority, clock.server) < least(authority, 30, 10);
        let finding = Finding::new(
            format!("a CA that lasts for at least {bound}"),
            format!("it {}; found in {}", remainder(authority, clock.server), places(sources)),
        );
        if alone_in.is_empty() {
            finding.so("a longer-lived CA stands beside it: what it signed still ends with it").info()
        } else {
            finding.so("at that moment everything that it signed is worthless").severity(if short {
                Severity::Critical
            } else {
                Severity::Major
            })
        }
    });
    verdict.expect(subject(), authority.is_ca == Some(true), || {
        Finding::new("basic constraints that say CA:TRUE", format!("they do not; found in {}", places(sources)))
            .so("it can sign nothing that clients accept")
    });
    verdict.expect(subject(), is_strong(&authority.public_key), || {
        Finding::new(
            "a key of RSA 2048, ECDSA P-256 or more",
            format!("{}; found in {}", authority.public_key, places(sources)),
        )
    });
    // Nobody looks at the signature of a root.
    let refused = authority.signature_algorithm.is_sha1_or_md5() && !authority.self_issued;
    verdict.expect(subject(), !refused, || {
        Finding::new(
            "a signature with SHA-256 or better",
            format!("{}; found in {}", authority.signature_algorithm.name(), places(sources)),
        )
    });
    verdict.note(format!(
        "{} {}: {}, {}, in {}",
        authority.subject,
        authority.spki_sha256,
        authority.public_key,
        remainder(authority, clock.server),
        places(sources)
    ));
}

fn is_strong(key: &PublicKey) -> bool {
    match key {
        PublicKey::Rsa { bits } => *bits >= 2048,
        PublicKey::Ecdsa { .. } | PublicKey::Ed25519 => key.bits().is_some_and(|bits| bits >= 256),
        PublicKey::Other { .. } => false,
    }
}

/// kubeadm has one CA for servers and clients: whoever is given it must be given that one.
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
                format!("in {} a CA that pods are given, too: {}", source.name(), names(&pods)),
                names(&others),
            )
            .so("a rotation is half done, or a bundle is another cluster's")
        });
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};

    use super::*;
    use crate::certificate::testing::Authority;
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
    fn one_good_authority_everywhere_passes() {
        let verdict = Bundles::all(&until(2036, 1, 1)).judged();
        assert!(verdict.findings(Severity::Major).is_empty(), "{:?}", verdict.findings(Severity::Major));
        assert_eq!(verdict.observations(), 6);
        assert!(crate::check::testing::notes(&verdict)[0].contains("CN=kubernetes sha256:"));
    }

    #[test]
    fn an_authority_near_its_end_is_found_once_with_all_its_places() {
        let findings = Bundles::all(&until(2027, 6, 1)).judged().findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].name, "CN=kubernetes");
        assert!(finding.seen.starts_with("it expires in 189 days, at 2027-06-01T00:00:00Z; found in the kubeconfig, "));
        assert_eq!(finding.severity, Severity::Major);
        assert_eq!(
            Bundles::all(&until(2026, 12, 1)).judged().findings(Severity::Major)[0].severity,
            Severity::Critical
        );
    }

    #[test]
    fn an_old_authority_beside_a_new_one_is_a_remark() {
        let (old, new) = (until(2027, 6, 1), until(2036, 1, 1));
        let both = Bundles { client: vec![old.certificate, new.certificate.clone()], ..Bundles::all(&new) };
        let findings = both.judged().findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
    }

    #[test]
    fn an_authority_that_was_renewed_with_the_same_key_is_nothing() {
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
    fn what_is_no_authority_is_found() {
        let leaf = until(2036, 1, 1).leaf(&["n1"]);
        let bundle = vec![leaf.certificate];
        let bundles = Bundles { cluster_info: bundle.clone(), root_ca: bundle.clone(), client: bundle };
        assert_eq!(bundles.judged().findings(Severity::Major)[0].expected, "basic constraints that say CA:TRUE");
    }

    #[test]
    fn the_signature_of_a_root_is_nothing_but_its_key_is() {
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
