//! # Without logging in one gets health and version, and in a kubeadm cluster cluster-info, and nothing else
//!
//! ## Why
//! Whatever is answered without a credential is answered to everyone who reaches the port. Which APIs are installed tells
//! an attacker what to try; objects are a breach.
//!
//! ## Fix
//! An object, `/api` or `/apis` that is answered: find the binding (AA-18) by `kubectl get clusterrolebindings,rolebindings -A
//! -o wide | grep -E 'system:(anonymous|unauthenticated)'` and take the subject away. To close more than that, use an
//! AuthenticationConfiguration with `anonymous.conditions` for `/livez`, `/readyz`, `/healthz` and, where nodes join with a
//! token, `/api/v1/namespaces/kube-public/configmaps/cluster-info`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`system:public-info-viewer`),
//! `staging/src/k8s.io/apiserver/pkg/authentication/request/anonymous`; KEP-4633. 403 and 401 are both right: refused, or
//! not let in at all. Only what an API server says counts: its refusals are objects of kind Status.

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::anonymous_surface::{AnonymousAnswer, AnonymousSurface};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::seen::Unobserved;

crate::check!("AA-17", "anonymous-surface", Critical, judge);

/// What anybody may have.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/healthz", "/version"];
/// What a joining node reads. Whether it should be open is another check's question (DI-02).
const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// Public keys and no more, which some clusters open to those who verify tokens.
const ISSUER: &str = "/.well-known/openid-configuration";
/// What kubeadm lets the kubelet ask for without a credential.
const PROBED: [&str; 2] = ["/livez", "/readyz"];

fn judge(surface: &AnonymousSurface, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let mut verdict = Verdict::new();
    verdict.each(
        &surface.0,
        |path| Subject::address(path),
        |verdict, path, answer| {
            let subject = || Subject::address(path);
            let may_be_open = PUBLIC.contains(&path.as_str()) || (path == CLUSTER_INFO && kubeadm.is_some());
            if may_be_open && is_an_api_servers(answer) {
                return verdict.confirm();
            }
            match (answer.status, answer.reason.as_str()) {
                (401, "Unauthorized") | (403, "Forbidden") => verdict.confirm(),
                (200..=299, _) => verdict.find(subject(), open(path)),
                // It was allowed to ask; there is nothing there.
                (404, _) if !may_be_open => verdict.find(subject(), absent()),
                (status, _) => {
                    let cause = format!("HTTP {status}, which no API server answers to this");
                    verdict.unseen(subject(), &Unobserved::invalid(format!("GET {path} without credentials"), cause));
                }
            }
        },
    );
    let status = |path: &str| surface.0.get(path).and_then(|seen| seen.as_ref().ok()).map(|answer| answer.status);
    let closed: Vec<_> = PROBED.into_iter().filter(|path| matches!(status(path), Some(401 | 403))).collect();
    if kubeadm.is_some() {
        verdict.expect(Subject::cluster(), closed.is_empty(), || {
            Finding::new(
                "the API server answers the kubelet's probes, which carry no credential",
                closed.join(", ") + " refused",
            )
            .so("the static pod that kubeadm writes fails its probes and is restarted, unless they were changed")
            .mend("open /livez, /readyz and /healthz by anonymous.conditions of an AuthenticationConfiguration")
            .info()
        });
    }
    verdict.note(mode(surface));
    verdict
}

/// Whether an API server answers so: it does it, has nothing there, refuses, or says itself that it cannot.
fn is_an_api_servers(answer: &AnonymousAnswer) -> bool {
    match answer.status {
        // What is not healthy says so by 500 in plain text.
        200..=299 | 401 | 403 | 500 => true,
        404 | 501..=599 => !answer.reason.is_empty(),
        _ => false,
    }
}

fn open(path: &str) -> crate::check::finding::Difference {
    let finding = Finding::new("401 or 403 to a request without credentials", "200: it is answered to everyone");
    match path {
        ISSUER => finding.so("anybody learns the token issuer and where its public keys are").info(),
        "/api" | "/apis" | "/openapi/v3" | "/metrics" => {
            finding.so("anybody learns what is installed and how it is used").severity(Severity::Major)
        }
        _ => finding.so("anybody who reaches the API server reads objects"),
    }
}

fn absent() -> crate::check::finding::Difference {
    Finding::new("401 or 403 to a request without credentials", "404: it would be answered to everyone if it existed")
        .so("a right was given to those who do not log in")
        .severity(Severity::Minor)
}

/// How far those who do not log in get, in words.
fn mode(surface: &AnonymousSurface) -> String {
    let refused = |seen: &Result<AnonymousAnswer, Unobserved>| seen.as_ref().is_ok_and(|answer| answer.status == 401);
    let (off, on): (Vec<_>, Vec<_>) = surface.0.iter().partition(|(_, seen)| refused(seen));
    match (off.is_empty(), on.is_empty()) {
        (true, _) => "anonymous requests are authenticated as system:anonymous".to_owned(),
        (_, true) => "anonymous requests are turned off".to_owned(),
        _ => {
            let on: Vec<_> = on.into_iter().map(|(path, _)| path.as_str()).collect();
            format!("anonymous requests are limited to certain paths, among them {}", on.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surface(answers: &[(&str, u16, &str)]) -> AnonymousSurface {
        let answer = |(path, status, reason): &(&str, u16, &str)| {
            ((*path).to_owned(), Ok(AnonymousAnswer { status: *status, reason: (*reason).to_owned() }))
        };
        AnonymousSurface(answers.iter().map(answer).collect())
    }

    fn healthy() -> Vec<(&'static str, u16, &'static str)> {
        let mut all: Vec<_> = PUBLIC.map(|path| (path, 200, "")).into();
        all.extend(["/api", "/apis", "/metrics", ISSUER, "/api/v1/namespaces"].map(|path| (path, 403, "Forbidden")));
        all.push((CLUSTER_INFO, 200, ""));
        all
    }

    #[test]
    fn health_version_and_cluster_info_are_public() {
        let verdict = judge(&surface(&healthy()), Some(&KubeadmConfig::default()));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 11);
    }

    #[test]
    fn without_kubeadm_cluster_info_is_not_public() {
        let findings = judge(&surface(&healthy()), None).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].subjects[0].name.as_str()), (1, CLUSTER_INFO));
    }

    #[test]
    fn objects_are_critical_discovery_is_major_the_issuer_is_told() {
        let open = [("/api/v1/namespaces", 200, ""), ("/api", 200, ""), (ISSUER, 200, "")];
        let findings = judge(&surface(&open), None).findings(Severity::Critical);
        let seen: Vec<_> =
            findings.iter().map(|finding| (finding.subjects[0].name.as_str(), finding.severity)).collect();
        assert_eq!(
            seen,
            [("/api/v1/namespaces", Severity::Critical), ("/api", Severity::Major), (ISSUER, Severity::Info)]
        );
    }

    #[test]
    fn anonymous_requests_may_be_off_but_kubeadm_probes_with_them() {
        let off: Vec<_> = healthy().into_iter().map(|(path, ..)| (path, 401, "Unauthorized")).collect();
        let verdict = judge(&surface(&off), None);
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(crate::check::testing::notes(&verdict), ["anonymous requests are turned off"]);
        let findings = judge(&surface(&off), Some(&KubeadmConfig::default())).findings(Severity::Critical);
        assert_eq!((findings[0].severity, findings[0].seen.as_str()), (Severity::Info, "/livez, /readyz refused"));
    }

    #[test]
    fn anonymous_requests_may_be_limited() {
        let limited = [("/livez", 200, ""), ("/api", 401, "Unauthorized")];
        let verdict = judge(&surface(&limited), None);
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(
            crate::check::testing::notes(&verdict),
            ["anonymous requests are limited to certain paths, among them /livez"]
        );
    }

    #[test]
    fn what_no_api_server_answered_is_undecided() {
        let verdict = judge(&surface(&[("/api", 403, ""), ("/apis", 502, "")]), None);
        assert_eq!(verdict.gaps().len(), 2);
        let health = [("/livez", 502, ""), ("/readyz", 500, ""), ("/version", 503, "ServiceUnavailable")];
        assert_eq!(judge(&surface(&health), None).gaps().len(), 1, "a load balancer answers for one of them");
        let unreachable = [("/api".to_owned(), Err(Unobserved::unreachable("GET /api", "refused")))];
        assert_eq!(judge(&AnonymousSurface(unreachable.into()), None).gaps().len(), 1);
    }
}
