//! # Every namespace has kube-root-ca.crt, and it verifies the API servers
//!
//! ## Why
//! Every pod gets its namespace's ConfigMap kube-root-ca.crt along with its token, and verifies the API server with it.
//! Where it is missing, new pods do not start; where it holds another CA, every in-cluster client fails. Usually the
//! controller-manager's publisher is off, or a rotation of the CA was left half done.
//!
//! ## Fix
//! Check the controller-manager: `--root-ca-file` must name the CA that signs the API servers' certificates, and
//! `--controllers` must not exclude `root-ca-certificate-publisher-controller`. It repairs the ConfigMaps by itself;
//! `kubectl -n NAMESPACE delete configmap kube-root-ca.crt` makes it create one again.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/certificates/rootcacertpublisher/publisher.go`. It promises the internal
//! endpoints only, so the certificates of the published instances are verified; that of the configured endpoint only
//! where no instance can be reached. A namespace may lack the ConfigMap for its first minute.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::helpers::instances::is_out_of_reach;
use crate::certificate::{Certificate, Chain, Distrust, verify};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::namespaces::Namespaces;
use crate::fact::facts::root_ca_config_maps::{RootCa, RootCaConfigMaps};

crate::check!("PK-06", "root-ca", Major, judge, builds_on: ["CP-05", "CP-07"]);

/// For how long a namespace may lack the ConfigMap.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// In how many namespaces a fix is written out.
const FEW: usize = 10;
/// How to find out why the publisher does not keep the ConfigMaps up to date.
const CHECK_PUBLISHER: &str = "check that --controllers does not exclude root-ca-certificate-publisher-controller: \
     kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml | grep -e --controllers -e \
     --root-ca-file";

fn judge(maps: &RootCaConfigMaps, namespaces: &Namespaces, handshakes: &ApiServerHandshakes, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    judge_presence(&mut verdict, maps, namespaces, clock);

    let mut readable: Vec<(&RootCa, &[Certificate])> = Vec::new();
    for content in &maps.0 {
        match &content.certificates {
            Ok(certificates) => readable.push((content, certificates)),
            Err(why) => verdict.find_together(
                subjects(&content.namespaces),
                1,
                Finding::new("certificates under the key ca.crt", why)
                    .impact("no pod of the namespace can verify the API server")
                    .fix(format!(
                        "let the controller-manager create it again: {}; if it stays the same, {CHECK_PUBLISHER}",
                        delete(&content.namespaces)
                    )),
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
        if refused.is_empty() {
            verdict.confirm();
            verifying.push(*content);
        } else {
            verdict.find_together(
                subjects(&content.namespaces),
                1,
                Finding::new(
                    "kube-root-ca.crt verifies every API server",
                    format!("it does not verify {} of {}", refused.len(), chains.len()),
                )
                .impact("pods that verify the API server fail")
                .fix(
                    "on each control-plane node, set --root-ca-file in \
                     /etc/kubernetes/manifests/kube-controller-manager.yaml to the CA that signed the API servers' \
                     certificates: during a rotation, to a file with both CAs",
                )
                .evidence(refused.iter().map(|(at, why)| format!("the certificate of {at}: {why}"))),
            );
        }
        judge_leftovers(&mut verdict, content, certificates, clock);
    }
    // They may all verify and still differ, where the publisher does not reach some.
    if let [first, others @ ..] = &verifying[..] {
        for content in others {
            verdict.find_together(
                subjects(&content.namespaces),
                1,
                Finding::new(
                    format!("the same content as in {} other namespaces", first.namespaces.len()),
                    "another content",
                )
                .impact("it is not kept up to date: the next rotation of the CA misses it")
                .fix(CHECK_PUBLISHER),
            );
        }
    }
    verdict
}

/// The command that deletes the ConfigMap in these namespaces. Where they are many, it is created again everywhere.
fn delete<'a>(namespaces: impl IntoIterator<Item = &'a String>) -> String {
    let namespaces: Vec<&str> = namespaces.into_iter().map(String::as_str).collect();
    match namespaces.as_slice() {
        [only] => format!("kubectl -n {only} delete configmap kube-root-ca.crt"),
        few if few.len() <= FEW => format!(
            "for namespace in {}; do kubectl -n $namespace delete configmap kube-root-ca.crt; done",
            few.join(" ")
        ),
        _ => "kubectl delete configmaps -A --field-selector metadata.name=kube-root-ca.crt".to_owned(),
    }
}

/// Judges that every namespace has the ConfigMap, other than those that are new or being deleted.
fn judge_presence(verdict: &mut Verdict, maps: &RootCaConfigMaps, namespaces: &Namespaces, clock: &Clock) {
    let missing: Vec<&String> = namespaces
        .0
        .iter()
        .filter(|(_, namespace)| !namespace.deleting)
        .filter(|(_, namespace)| {
            namespace.created.is_none_or(|created| clock.server.duration_since(created) > PATIENCE)
        })
        .filter(|(name, _)| maps.of_namespace(name).is_none())
        .map(|(name, _)| name)
        .collect();
    if missing.is_empty() {
        return verdict.confirm();
    }
    verdict.find_together(
        subjects(missing),
        1,
        Finding::new("ConfigMap kube-root-ca.crt in every namespace", "it is missing")
            .impact("new pods in the namespace do not start: their token volume lacks it")
            .fix(CHECK_PUBLISHER),
    );
}

/// Judges expired CAs next to valid ones.
fn judge_leftovers(verdict: &mut Verdict, content: &RootCa, certificates: &[Certificate], clock: &Clock) {
    let described: Vec<_> = certificates.iter().filter_map(|one| one.describe().ok()).collect();
    let (good, expired): (Vec<_>, Vec<_>) = described.iter().partition(|one| clock.server <= one.not_after);
    if good.is_empty() || expired.is_empty() {
        return;
    }
    verdict.find_together(
        subjects(&content.namespaces),
        1,
        Finding::new("no expired certificate next to the valid ones", format!("{} expired", expired.len()))
            .impact("it verifies nothing: a rotation of the CA was not cleaned up")
            .fix(
                "on each control-plane node, remove the expired certificate from the file of --root-ca-file in \
                 /etc/kubernetes/manifests/kube-controller-manager.yaml, and restart kube-controller-manager",
            )
            .evidence(expired.iter().map(|one| format!("{} expired at {}", one.subject, one.not_after)))
            .severity(Severity::Info),
    );
}

/// What the API servers present: the instances, or the endpoint where no instance can be reached.
fn presented<'a>(verdict: &mut Verdict, handshakes: &'a ApiServerHandshakes) -> BTreeMap<String, &'a Chain> {
    match &handshakes.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) if !instances.is_empty() && instances.values().all(is_out_of_reach) => {
            if let Ok(handshake) = &handshakes.endpoint {
                for address in instances.keys() {
                    let note = "it cannot be reached from here: the configured endpoint was verified instead";
                    verdict.note_about(Subject::address(address), note);
                }
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

/// The ConfigMaps of these namespaces.
fn subjects<'a>(namespaces: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = Subject> {
    namespaces.into_iter().map(|namespace| Subject::object("ConfigMap", namespace, "kube-root-ca.crt"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::{Authority, years};
    use crate::check::testing::notes;
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
    fn namespaces_without_it_are_found_unless_they_are_new_or_being_deleted() {
        let ca = Authority::new("kubernetes");
        let maps = contents([(&["default"], vec![ca.certificate.clone()])]);
        let mut all = namespaces(&["default", "kube-node-lease", "new", "deleting"]);
        all.0.insert("new".into(), Namespace { created: Some(now() - PATIENCE / 2), ..Namespace::default() });
        all.0.insert("deleting".into(), Namespace { deleting: true, ..Namespace::default() });
        let findings = judge(&maps, &all, &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "ConfigMap kube-node-lease/kube-root-ca.crt");
        assert_eq!((finding.subjects.len(), finding.seen.as_str()), (1, "it is missing"));
    }

    #[test]
    fn another_ca_is_found_with_its_namespaces() {
        let (ca, next) = (Authority::new("kubernetes"), Authority::new("kubernetes-2"));
        let maps = contents([(&["default", "kube-system"], vec![next.certificate])]);
        let findings =
            judge(&maps, &namespaces(&["default", "kube-system"]), &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.subjects.len(), finding.seen.as_str()), (2, "it does not verify 1 of 1"));
        assert_eq!(
            finding.evidence,
            ["the certificate of 10.77.0.11:6443: it leads to an issuer that is not trusted: CN=kubernetes"]
        );
    }

    #[test]
    fn a_namespace_with_outdated_content_is_found() {
        let (ca, next) = (Authority::new("kubernetes"), Authority::new("kubernetes-2"));
        let both = vec![ca.certificate.clone(), next.certificate];
        let maps = contents([(&["a", "b"], both), (&["c"], vec![ca.certificate.clone()])]);
        let findings = judge(&maps, &namespaces(&["a", "b", "c"]), &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].namespace.as_deref(), Some("c"));
        assert_eq!(finding.expected, "the same content as in 2 other namespaces");
    }

    #[test]
    fn an_expired_leftover_is_info() {
        let ca = Authority::new("kubernetes");
        let old = Authority::with("old", years(2010, 2020));
        let maps = contents([(&["default"], vec![ca.certificate.clone(), old.certificate])]);
        let findings = judge(&maps, &namespaces(&["default"]), &served_by(&ca), &clock()).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
        assert!(finding.evidence[0].starts_with("CN=old expired at 2020-12-31"));
    }

    #[test]
    fn a_silent_instance_is_inconclusive_and_the_endpoint_stands_for_those_out_of_reach() {
        let ca = Authority::new("kubernetes");
        let maps = contents([(&["default"], vec![ca.certificate.clone()])]);
        let leaf = ca.leaf(&["10.77.0.11"]);
        let silent = || Err(Unobserved::unreachable("10.77.0.12:6443", "refused"));
        let one = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.12:6443", silent())]);
        assert_eq!(judge(&maps, &namespaces(&["default"]), &one, &clock()).gaps().len(), 1);
        let managed = handshakes(presented(&leaf), [("10.77.0.12:6443", silent())]);
        let verdict = judge(&maps, &namespaces(&["default"]), &managed, &clock());
        assert!(verdict.saw_everything());
        assert!(notes(&verdict)[0].contains("10.77.0.12:6443"));
    }
}
