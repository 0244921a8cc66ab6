//! # Every namespace has kube-root-ca.crt, and it verifies the API servers
//!
//! ## Why
//! Every pod gets its namespace's ConfigMap kube-root-ca.crt beside its token, and verifies the API server with it. Where
//! it is missing, new pods do not start; where it holds another authority, every in-cluster client fails. Usually the
//! controller-manager's publisher is off, or a rotation of the CA was left half done.
//!
//! ## Fix
//! Look at the controller-manager: `--root-ca-file` must name the CA that signs the API servers' certificates, and
//! `--controllers` must not exclude `root-ca-certificate-publisher-controller`. It mends the ConfigMaps by itself;
//! `kubectl -n NAMESPACE delete configmap kube-root-ca.crt` makes it write one anew.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/certificates/rootcacertpublisher/publisher.go`. What it promises is the internal
//! endpoints only, so what the published instances present is verified; what the configured endpoint presents only where
//! no instance can be reached. A namespace may do without the ConfigMap for its first minute.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::instances::is_out_of_reach;
use crate::certificate::{Certificate, Chain, Distrust, verify};
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::namespaces::Namespaces;
use crate::fact::facts::root_ca_config_maps::{RootCa, RootCaConfigMaps};

crate::check!("PK-06", "root-ca", Major, judge);

/// For how long a namespace may do without the ConfigMap.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

fn judge(maps: &RootCaConfigMaps, namespaces: &Namespaces, handshakes: &ApiServerHandshakes, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    judge_presence(&mut verdict, maps, namespaces, clock);

    let mut readable: Vec<(&RootCa, &[Certificate])> = Vec::new();
    for content in &maps.0 {
        match &content.certificates {
            Ok(certificates) => readable.push((content, certificates)),
            Err(why) => verdict.find(
                subject(content.namespaces.iter()),
                Finding::new("certificates under the key ca.crt", format!("{why}; {}", places(&content.namespaces)))
                    .so("no pod of the namespace can verify the API server"),
            ),
        }
    }
    let chains = presented(&mut verdict, handshakes);
    let mut verifying = Vec::new();
    for (content, certificates) in &readable {
        let refused: BTreeMap<&str, Distrust> = chains
            .iter()
            .filter_map(|(at, chain)| Some((at.as_str(), verify(chain, certificates, None, clock.server).err()?)))
            .collect();
        let holds = verdict.expect(subject(content.namespaces.iter()), refused.is_empty(), || {
            let (at, why) = refused.first_key_value().map_or(("", String::new()), |(at, why)| (*at, why.to_string()));
            Finding::new(
                "kube-root-ca.crt verifies every API server",
                format!("of the certificate of {at}: {why}; {}", places(&content.namespaces)),
            )
            .so("pods that verify the API server fail")
        });
        if holds {
            verifying.push(*content);
        }
        judge_leftovers(&mut verdict, content, certificates, clock);
    }
    // They may all verify and still differ, where the publisher does not reach some.
    for content in verifying.iter().skip(1) {
        verdict.find(
            subject(content.namespaces.iter()),
            Finding::new(
                format!("the same content as in the other {} namespaces", verifying[0].namespaces.len()),
                format!("another; {}", places(&content.namespaces)),
            )
            .so("it is not kept up: the next rotation of the CA leaves it behind"),
        );
    }
    verdict
}

/// Every namespace that is old enough and stays has the ConfigMap.
fn judge_presence(verdict: &mut Verdict, maps: &RootCaConfigMaps, namespaces: &Namespaces, clock: &Clock) {
    let missing: BTreeSet<String> = namespaces
        .0
        .iter()
        .filter(|(_, namespace)| !namespace.deleting)
        .filter(|(_, namespace)| {
            namespace.created.is_none_or(|created| clock.server.duration_since(created) > PATIENCE)
        })
        .filter(|(name, _)| maps.of_namespace(name).is_none())
        .map(|(name, _)| name.clone())
        .collect();
    verdict.expect(subject(missing.iter()), missing.is_empty(), || {
        Finding::new("ConfigMap kube-root-ca.crt in every namespace", format!("none {}", places(&missing)))
            .so("pods that are made there do not start: their token volume lacks it")
    });
}

/// What expired authorities stand beside good ones.
fn judge_leftovers(verdict: &mut Verdict, content: &RootCa, certificates: &[Certificate], clock: &Clock) {
    let described: Vec<_> = certificates.iter().filter_map(|one| one.describe().ok()).collect();
    let (good, expired): (Vec<_>, Vec<_>) = described.iter().partition(|one| clock.server <= one.not_after);
    if good.is_empty() || expired.is_empty() {
        return;
    }
    verdict.find(
        subject(content.namespaces.iter()),
        Finding::new(
            "no expired certificate beside the good ones",
            format!(
                "{}; {}",
                names(expired.iter().map(|one| format!("{} expired at {}", one.subject, one.not_after))),
                places(&content.namespaces)
            ),
        )
        .severity(Severity::Info),
    );
}

/// What the API servers present: the instances, or the endpoint where no instance can be reached.
fn presented<'a>(verdict: &mut Verdict, handshakes: &'a ApiServerHandshakes) -> BTreeMap<String, &'a Chain> {
    match &handshakes.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) if !instances.is_empty() && instances.values().all(is_out_of_reach) => {
            if let Ok(handshake) = &handshakes.endpoint {
                verdict.note(format!(
                    "no instance can be reached from here ({}): the configured endpoint was verified instead",
                    names(instances.keys())
                ));
                return [("the configured endpoint".to_owned(), &handshake.chain)].into();
            }
            for (address, seen) in instances {
                verdict.seen(|| Subject::address(address), seen);
            }
        }
        Ok(instances) => {
            let seen = instances.iter().filter_map(|(address, seen)| {
                let handshake = verdict.seen(|| Subject::address(address), seen)?;
                Some((address.to_string(), &handshake.chain))
            });
            return seen.collect();
        }
    }
    BTreeMap::new()
}

/// The ConfigMap of one namespace, or of several.
fn subject<'a>(mut namespaces: impl ExactSizeIterator<Item = &'a String>) -> Subject {
    match (namespaces.len(), namespaces.next()) {
        (1, Some(namespace)) => Subject::object("ConfigMap", namespace, "kube-root-ca.crt"),
        _ => Subject::cluster_object("ConfigMap", "kube-root-ca.crt"),
    }
}

/// `in namespaces a, b`.
fn places(namespaces: &BTreeSet<String>) -> String {
    let word = if namespaces.len() == 1 { "namespace" } else { "namespaces" };
    format!("in {word} {}", names(namespaces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::{Authority, years};
    use crate::fact::facts::namespaces::Namespace;
    use crate::seen::Unobserved;
    use crate::suites::pki::testing::{clock, handshakes, now, presented};

    fn contents<const N: usize>(contents: [(&[&str], Vec<Certificate>); N]) -> RootCaConfigMaps {
        let content = |(namespaces, certificates): (&[&str], Vec<Certificate>)| RootCa {
            certificates: Ok(certificates),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        };
        RootCaConfigMaps(contents.into_iter().map(content).collect())
    }

    fn namespaces(names: &[&str]) -> Namespaces {
        Namespaces(names.iter().map(|name| ((*name).to_owned(), Namespace::default())).collect())
    }

    fn served_by(ca: &Authority) -> ApiServerHandshakes {
        let leaf = ca.leaf(&["10.77.0.11"]);
        handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))])
    }

    #[test]
    fn one_content_that_verifies_passes() {
        let ca = Authority::new("kubernetes");
        let maps = contents([(&["default", "kube-system"], vec![ca.certificate.clone()])]);
        let verdict = judge(&maps, &namespaces(&["default", "kube-system"]), &served_by(&ca), &clock());
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn namespaces_without_it_are_named_unless_they_are_young_or_going() {
        let ca = Authority::new("kubernetes");
        let maps = contents([(&["default"], vec![ca.certificate.clone()])]);
        let mut all = namespaces(&["default", "kube-node-lease", "young", "going"]);
        all.0.insert("young".into(), Namespace { created: Some(now() - PATIENCE / 2), ..Namespace::default() });
        all.0.insert("going".into(), Namespace { deleting: true, ..Namespace::default() });
        let findings = judge(&maps, &all, &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "ConfigMap kube-node-lease/kube-root-ca.crt");
        assert_eq!(finding.seen, "none in namespace kube-node-lease");
    }

    #[test]
    fn another_authority_is_found_and_says_where() {
        let (ca, next) = (Authority::new("kubernetes"), Authority::new("kubernetes-2"));
        let maps = contents([(&["default", "kube-system"], vec![next.certificate])]);
        let findings =
            judge(&maps, &namespaces(&["default", "kube-system"]), &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(
            finding.seen,
            "of the certificate of 10.77.0.11:6443: it leads to an issuer that is not trusted: CN=kubernetes; \
             in namespaces default, kube-system"
        );
    }

    #[test]
    fn a_namespace_that_was_left_behind_is_found() {
        let (ca, next) = (Authority::new("kubernetes"), Authority::new("kubernetes-2"));
        let both = vec![ca.certificate.clone(), next.certificate];
        let maps = contents([(&["a", "b"], both), (&["c"], vec![ca.certificate.clone()])]);
        let findings = judge(&maps, &namespaces(&["a", "b", "c"]), &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].namespace.as_deref(), Some("c"));
        assert_eq!(finding.expected, "the same content as in the other 2 namespaces");
    }

    #[test]
    fn an_expired_leftover_is_a_remark() {
        let ca = Authority::new("kubernetes");
        let old = Authority::with("old", years(2010, 2020));
        let maps = contents([(&["default"], vec![ca.certificate.clone(), old.certificate])]);
        let findings = judge(&maps, &namespaces(&["default"]), &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
        assert!(finding.seen.starts_with("CN=old expired at 2020-12-31"));
    }

    #[test]
    fn an_instance_that_does_not_answer_is_undecided_and_the_endpoint_stands_for_those_out_of_reach() {
        let ca = Authority::new("kubernetes");
        let maps = contents([(&["default"], vec![ca.certificate.clone()])]);
        let leaf = ca.leaf(&["10.77.0.11"]);
        let silent = || Err(Unobserved::unreachable("10.77.0.12:6443", "refused"));
        let one = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.12:6443", silent())]);
        assert_eq!(judge(&maps, &namespaces(&["default"]), &one, &clock()).gaps().len(), 1);
        let managed = handshakes(presented(&leaf), [("10.77.0.12:6443", silent())]);
        let verdict = judge(&maps, &namespaces(&["default"]), &managed, &clock());
        assert!(verdict.saw_everything());
        assert!(crate::check::testing::notes(&verdict)[0].contains("10.77.0.12:6443"));
    }
}
