//! # Every API server issues, publishes and accepts the same service-account tokens
//!
//! ## Why
//! Pods log in with tokens that an API server has signed. An API server with another key or another issuer signs tokens
//! that the others refuse, and refuses theirs: pods get HTTP 401 for one request in three. Outside of the cluster,
//! clouds and vaults verify the tokens with the keys that the issuer publishes: other keys lock workloads out there.
//!
//! ## Fix
//! On every control-plane node, `--service-account-issuer`, `--service-account-key-file`,
//! `--service-account-signing-key-file` and `--api-audiences` of the API server must be the same; copy `sa.key` and
//! `sa.pub` in `/etc/kubernetes/pki` from the first node. `sha256sum /etc/kubernetes/pki/sa.pub` on each node compares
//! them. During a key rotation, `--service-account-key-file` is set twice, to the new and the old key; so is
//! `--service-account-issuer`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/serviceaccount/openidmetadata.go`, `pkg/kubeapiserver/options/authentication.go`; OpenID
//! Connect Discovery 1.0; RFC 7517. The tokens live ten minutes and are those of the probes' service account, which has
//! no rights.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::instance_tokens::{InstanceToken, InstanceTokens};
use crate::fact::facts::issuer_discovery::{Issuer, IssuerDiscovery};
use crate::jwt::Key;
use crate::seen::Unobserved;

crate::check!("AA-24", "token-issuer", Major, judge, builds_on: ["AA-21"], blocked_by: ["HA-07"]);

const ISSUERS: &str = "set the same --service-account-issuer in /etc/kubernetes/manifests/kube-apiserver.yaml on every \
                       control-plane node; while it changes, set it twice on each: the new one first, then the old one";
const KEYS: &str = "compare on every control-plane node: sha256sum /etc/kubernetes/pki/sa.key \
                    /etc/kubernetes/pki/sa.pub; copy both files from a node whose tokens are accepted, or set \
                    --service-account-key-file in /etc/kubernetes/manifests/kube-apiserver.yaml twice, to the new key \
                    and the old one";

fn judge(
    discovery: &IssuerDiscovery,
    tokens: Result<&InstanceTokens, &Unobserved>,
    handshakes: Result<&ApiServerHandshakes, &Unobserved>,
) -> Verdict {
    compare(discovery, tokens, handshakes.map_or_else(|why| !why.is_skip(), ApiServerHandshakes::reached_an_instance))
}

fn compare(discovery: &IssuerDiscovery, tokens: Result<&InstanceTokens, &Unobserved>, reached: bool) -> Verdict {
    if !reached && !discovery.0.is_empty() && discovery.0.values().all(Issuer::is_out_of_reach) {
        return Verdict::not_applicable("no API server can be reached from here at its published address");
    }
    let closed: Vec<_> = discovery.0.iter().filter(|(_, issuer)| absent(&issuer.configuration)).collect();
    if !discovery.0.is_empty() && closed.len() == discovery.0.len() && tokens.is_err_and(Unobserved::is_skip) {
        return Verdict::not_applicable(
            "no API server publishes an issuer: --service-account-issuer is not an https URL, or tokens are verified \
             elsewhere",
        );
    }
    let mut verdict = Verdict::new();
    judge_discovery(&mut verdict, discovery);
    match tokens {
        Ok(InstanceTokens(tokens)) => {
            for (address, token) in tokens {
                if let Some(token) = verdict.seen(|| Subject::address(address), token) {
                    judge_token(&mut verdict, *address, token, discovery);
                }
            }
        }
        Err(why) if why.is_skip() => {
            verdict.note(format!("only the published issuers and keys were compared; no token was tried: {why}"));
        }
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

fn absent<T>(seen: &Result<T, Unobserved>) -> bool {
    matches!(seen, Err(Unobserved::Absent { .. }))
}

fn judge_discovery(verdict: &mut Verdict, discovery: &IssuerDiscovery) {
    let mut issuers: Vec<(&SocketAddr, &str)> = Vec::new();
    let mut key_sets: Vec<(&SocketAddr, BTreeSet<&Key>)> = Vec::new();
    let none_publishes = discovery.0.values().all(|issuer| absent(&issuer.configuration));
    for (address, issuer) in &discovery.0 {
        let subject = || Subject::address(address);
        if !none_publishes && let Some(configuration) = verdict.seen(subject, &issuer.configuration) {
            issuers.push((address, &configuration.issuer));
        }
        // Keys are published together with the issuer, or not at all.
        if none_publishes && absent(&issuer.keys) {
            continue;
        }
        if let Some(keys) = verdict.seen(subject, &issuer.keys) {
            verdict.expect(subject(), !keys.keys.is_empty(), || {
                Finding::new("the API server publishes the keys that verify tokens", "it publishes an empty key set")
                    .impact("clouds, vaults and other services cannot verify tokens of pods")
                    .fix(
                        "on the control-plane node at each address, set --service-account-key-file in \
                         /etc/kubernetes/manifests/kube-apiserver.yaml to /etc/kubernetes/pki/sa.pub",
                    )
            });
            key_sets.push((address, keys.keys.iter().collect()));
        }
    }
    if none_publishes {
        verdict.note("no API server publishes an issuer: --service-account-issuer is not an https URL");
    } else {
        judge_equal(
            verdict,
            &issuers,
            |issuer| format!("issuer {issuer}"),
            || {
                Finding::new("all API servers publish one issuer", "they publish several")
                    .impact("services that verify tokens by their issuer refuse some of them")
                    .fix(ISSUERS)
            },
        );
    }
    if !key_sets.is_empty() {
        judge_equal(verdict, &key_sets, key_ids, || {
            Finding::new("all API servers publish the same keys", "they publish different keys")
                .impact("one API server refuses the tokens that another one issues")
                .fix(KEYS)
        });
    }
}

/// Asserts that all instances have the same; otherwise the finding lists which has what.
fn judge_equal<T: PartialEq>(
    verdict: &mut Verdict,
    all: &[(&SocketAddr, T)],
    shown: impl Fn(&T) -> String,
    finding: impl FnOnce() -> crate::check::finding::Difference,
) {
    if all.windows(2).all(|two| two[0].1 == two[1].1) {
        return verdict.confirm();
    }
    let evidence = all.iter().map(|(address, one)| format!("{address}: {}", shown(one)));
    verdict.find_together(all.iter().map(|(address, _)| Subject::address(address)), 1, finding().evidence(evidence));
}

fn key_ids(keys: &BTreeSet<&Key>) -> String {
    let ids: Vec<_> = keys.iter().map(|key| key.kid.as_deref().unwrap_or("without an id")).collect();
    format!("keys {}", ids.join(", "))
}

fn judge_token(verdict: &mut Verdict, address: SocketAddr, token: &InstanceToken, discovery: &IssuerDiscovery) {
    let issued = token.claims.iss.as_deref().unwrap_or("no issuer");
    if let Some(configuration) = discovery.0.get(&address).and_then(|issuer| issuer.configuration.as_ref().ok()) {
        verdict.expect(Subject::address(address), configuration.issuer == issued, || {
            Finding::new(
                format!(
                    "the API server issues tokens in the name of the issuer that it publishes, {}",
                    configuration.issuer
                ),
                format!("it issues tokens of {issued}"),
            )
            .impact("services that verify tokens by their issuer refuse them")
            .fix(ISSUERS)
        });
    }
    for (at, verified) in &token.verified {
        verdict.expect(Subject::address(at), verified.is_ok(), || {
            let why = verified.as_ref().err().cloned().unwrap_or_default();
            Finding::new(format!("the published keys verify a token of {address}"), why)
                .impact("services that verify tokens by the published keys refuse them")
                .fix(KEYS)
        });
    }
    for (at, accepted) in &token.accepted {
        let Some(answer) = verdict.seen(|| Subject::address(at), accepted) else { continue };
        let is_accepted = answer.user.as_deref().is_some_and(|user| user.starts_with("system:serviceaccount:"));
        verdict.expect(Subject::address(at), is_accepted, || {
            let impact = if *at == address {
                "pods cannot log in"
            } else {
                "pods are refused by every API server except the one that issued their token"
            };
            Finding::new(format!("the API server accepts a token of {address}"), answer.words())
                .impact(impact)
                .fix(KEYS)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::instance_tokens::WhoAmI;
    use crate::fact::facts::issuer_discovery::Configuration;
    use crate::jwt::testing::Signer;
    use crate::jwt::{Claims, Header, KeySet};
    use crate::seen::Access;

    const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

    fn at(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 77, 0, n], 6443))
    }

    fn issuer(name: &str, key: &Key) -> Issuer {
        Issuer {
            configuration: Ok(Configuration { issuer: name.into(), jwks_uri: String::new() }),
            keys: Ok(KeySet { keys: vec![key.clone()] }),
        }
    }

    fn token(accepted: &[(u8, u16)], verified: Result<(), String>) -> InstanceToken {
        let who = |status| WhoAmI {
            status,
            user: (status == 201).then(|| "system:serviceaccount:seaworthy-x7f4k:seaworthy-x7f4k".to_owned()),
            ..WhoAmI::default()
        };
        InstanceToken {
            header: Header { alg: "ES256".into(), kid: Some("k".into()) },
            claims: Claims { iss: Some(ISSUER.into()), ..Claims::default() },
            verified: accepted.iter().map(|(n, _)| (at(*n), verified.clone())).collect(),
            accepted: accepted.iter().map(|(n, status)| (at(*n), Ok(who(*status)))).collect(),
        }
    }

    fn judged(discovery: &IssuerDiscovery, tokens: Result<&InstanceTokens, &Unobserved>) -> Verdict {
        compare(discovery, tokens, false)
    }

    fn not_allowed() -> Unobserved {
        Unobserved::NotAllowed { access: Access::Create, profile: "audit".into() }
    }

    #[test]
    fn equal_api_servers_pass() {
        let key = Signer::new().key("k");
        let discovery = IssuerDiscovery([(at(11), issuer(ISSUER, &key)), (at(12), issuer(ISSUER, &key))].into());
        let accepted = [(11, 201), (12, 201)];
        let tokens =
            InstanceTokens([(at(11), Ok(token(&accepted, Ok(())))), (at(12), Ok(token(&accepted, Ok(()))))].into());
        let verdict = judged(&discovery, Ok(&tokens));
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 14);
    }

    #[test]
    fn other_keys_and_other_issuers_are_found_without_a_token() {
        let (one, other) = (Signer::new().key("k"), Signer::new().key("k"));
        let discovery =
            IssuerDiscovery([(at(11), issuer(ISSUER, &one)), (at(12), issuer("https://old.example", &other))].into());
        let verdict = judged(&discovery, Err(&not_allowed()));
        let findings = verdict.findings(Severity::Major);
        assert_eq!(findings.len(), 2);
        assert_eq!(
            findings[0].evidence,
            [format!("10.77.0.11:6443: issuer {ISSUER}"), "10.77.0.12:6443: issuer https://old.example".to_owned()]
        );
        assert_eq!(findings[1].subjects.len(), 2);
        assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
    }

    #[test]
    fn a_token_that_another_instance_refuses_is_found() {
        let key = Signer::new().key("k");
        let discovery = IssuerDiscovery([(at(11), issuer(ISSUER, &key)), (at(12), issuer(ISSUER, &key))].into());
        let refused = token(&[(11, 201), (12, 401)], Ok(()));
        let findings =
            judged(&discovery, Ok(&InstanceTokens([(at(11), Ok(refused))].into()))).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "10.77.0.12:6443");
        assert!(findings[0].impact.as_ref().unwrap().contains("except the one"));
    }

    #[test]
    fn a_key_that_is_not_published_is_found() {
        let discovery = IssuerDiscovery([(at(11), issuer(ISSUER, &Signer::new().key("k")))].into());
        let unverified = token(&[(11, 201)], Err("no key has its id k".into()));
        let findings =
            judged(&discovery, Ok(&InstanceTokens([(at(11), Ok(unverified))].into()))).findings(Severity::Major);
        assert_eq!(findings[0].seen, "no key has its id k");
    }

    #[test]
    fn instances_out_of_reach_are_a_skip_and_one_of_them_is_not() {
        let silent = || Unobserved::unreachable("GET", "no route to host");
        let lost = || Issuer { configuration: Err(silent()), keys: Err(silent()) };
        let verdict = judged(&IssuerDiscovery([(at(11), lost()), (at(12), lost())].into()), Err(&not_allowed()));
        assert!(verdict.reason().is_some());
        let verdict = compare(&IssuerDiscovery([(at(11), lost())].into()), Err(&not_allowed()), true);
        assert_eq!(verdict.gaps().len(), 1, "a handshake reached it: {verdict:?}");
        let seen = issuer(ISSUER, &Signer::new().key("k"));
        let verdict = judged(&IssuerDiscovery([(at(11), seen), (at(12), lost())].into()), Err(&not_allowed()));
        assert_eq!(verdict.gaps().len(), 1);
    }

    #[test]
    fn an_issuer_that_is_not_a_url_publishes_nothing() {
        let nothing = || Unobserved::absent("this cluster does not serve it");
        let closed = Issuer { configuration: Err(nothing()), keys: Err(nothing()) };
        let discovery = IssuerDiscovery([(at(11), closed)].into());
        assert!(judged(&discovery, Err(&not_allowed())).reason().is_some());
        let token = InstanceToken { verified: BTreeMap::new(), ..token(&[(11, 201)], Ok(())) };
        let verdict = judged(&discovery, Ok(&InstanceTokens([(at(11), Ok(token))].into())));
        assert!(verdict.saw_everything() && verdict.findings(Severity::Major).is_empty(), "{verdict:?}");
        assert_eq!(verdict.observations(), 1, "its token is accepted");
    }
}
