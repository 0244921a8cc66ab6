//! # Anonymous requests get only health, version and, with kubeadm, cluster-info
//!
//! ## Why
//! Whatever the API server answers without a credential, it answers to everyone who reaches the port. Which APIs are
//! installed shows an attacker what to try; objects are a breach.
//!
//! ## Fix
//! An object, `/api` or `/apis` is answered: find the binding (AA-18) with `kubectl get
//! clusterrolebindings,rolebindings -A -o wide | grep -E 'system:(anonymous|unauthenticated)'` and remove the subject.
//! To close more than that, use an AuthenticationConfiguration with `anonymous.conditions` for `/livez`, `/readyz`,
//! `/healthz` and, where nodes join with a token, `/api/v1/namespaces/kube-public/configmaps/cluster-info`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`system:public-info-viewer`),
//! `staging/src/k8s.io/apiserver/pkg/authentication/request/anonymous`; KEP-4633. Both 403 and 401 pass: denied, or not
//! authenticated at all. Only answers of an API server count: its refusals are objects of kind Status.

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::anonymous_surface::{AnonymousAnswer, AnonymousSurface};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::seen::Unobserved;

crate::check!("AA-17", "anonymous-surface", Critical, judge, builds_on: ["AA-03", "AA-18", "CP-08"]);

/// The paths that may be open to everyone.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/healthz", "/version"];
/// What a joining node reads. Whether it should be open is another check's question (DI-02).
const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// Public keys only, which some clusters open to those who verify tokens.
const ISSUER: &str = "/.well-known/openid-configuration";
/// What the kubelet's probes request without a credential in kubeadm's static pods.
const PROBED: [&str; 2] = ["/livez", "/readyz"];
const EXPECTED: &str = "a request without credentials is refused with 401 or 403";

fn judge(surface: &AnonymousSurface, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let mut verdict = Verdict::new();
    verdict.each(
        &surface.0,
        |path| url_path(path),
        |verdict, path, answer| {
            let subject = || url_path(path);
            let may_be_open = PUBLIC.contains(&path.as_str()) || (path == CLUSTER_INFO && kubeadm.is_some());
            if may_be_open && is_an_api_servers(answer) {
                return verdict.confirm();
            }
            match (answer.status, answer.reason.as_str()) {
                (401, "Unauthorized") | (403, "Forbidden") => verdict.confirm(),
                (200..=299, _) => verdict.find(subject(), open(path)),
                // The request was authorized; the object does not exist.
                (404, _) if !may_be_open => verdict.find(subject(), absent()),
                (status, _) => {
                    let cause = format!("HTTP {status}, which an API server does not answer to this");
                    verdict.unseen(subject(), &Unobserved::invalid(format!("GET {path} without credentials"), cause));
                }
            }
        },
    );
    if kubeadm.is_some() {
        judge_probes(&mut verdict, surface);
    }
    judge_mode(&mut verdict, surface);
    verdict
}

fn url_path(path: &str) -> Subject {
    Subject::cluster_object("URL path", path)
}

fn judge_probes(verdict: &mut Verdict, surface: &AnonymousSurface) {
    let status = |path: &str| surface.0.get(path).and_then(|seen| seen.as_ref().ok()).map(|answer| answer.status);
    let closed: Vec<_> = PROBED.into_iter().filter(|path| matches!(status(path), Some(401 | 403))).collect();
    if closed.is_empty() {
        return verdict.confirm();
    }
    let finding = Finding::new(
        "the API server answers the kubelet's probes, which carry no credential",
        "it refuses them with 401 or 403",
    )
    .impact("the static pod that kubeadm writes fails its probes and is restarted, unless its probes were changed")
    .fix(
        "on each control-plane node, open /livez, /readyz and /healthz under anonymous.conditions of the API server's \
         AuthenticationConfiguration; without such a file, remove --anonymous-auth=false from \
         /etc/kubernetes/manifests/kube-apiserver.yaml",
    )
    .info();
    verdict.find_together(closed.into_iter().map(url_path), 1, finding);
}

/// Whether the answer is one that an API server gives: the content, a refusal, or its own error.
fn is_an_api_servers(answer: &AnonymousAnswer) -> bool {
    match answer.status {
        // An unhealthy server answers 500 in plain text.
        200..=299 | 401 | 403 | 500 => true,
        404 | 501..=599 => !answer.reason.is_empty(),
        _ => false,
    }
}

/// How to take a right away from anonymous clients.
const UNBIND: &str = "find the binding: kubectl get clusterrolebindings,rolebindings -A -o wide | grep -E \
                      'system:(anonymous|unauthenticated)', and remove that subject from it with kubectl edit";

fn open(path: &str) -> Difference {
    let finding = Finding::new(EXPECTED, "returns the content (HTTP 200)").fix(UNBIND);
    match path {
        ISSUER => finding.impact("anyone learns the token issuer and where its public keys are").info(),
        "/api" | "/apis" | "/openapi/v3" | "/metrics" => {
            finding.impact("anyone learns what is installed and how it is used").severity(Severity::Major)
        }
        _ => finding.impact("anyone who reaches the API server reads objects"),
    }
}

fn absent() -> Difference {
    Finding::new(EXPECTED, "returns 404, so the request was authorized")
        .impact("anonymous clients have a right that Kubernetes does not grant")
        .fix(UNBIND)
        .severity(Severity::Minor)
}

/// Notes which anonymous requests are authenticated.
fn judge_mode(verdict: &mut Verdict, surface: &AnonymousSurface) {
    let refused = |seen: &Result<AnonymousAnswer, Unobserved>| seen.as_ref().is_ok_and(|answer| answer.status == 401);
    let (off, on): (Vec<_>, Vec<_>) = surface.0.iter().partition(|(_, seen)| refused(seen));
    match (off.is_empty(), on.is_empty()) {
        (true, _) => verdict.note("anonymous requests are authenticated as system:anonymous"),
        (_, true) => verdict.note("anonymous requests are turned off"),
        _ => {
            for (path, _) in on {
                verdict.note_about(url_path(path), "anonymous requests are limited to certain paths");
            }
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
    fn objects_are_critical_discovery_is_major_the_issuer_is_information() {
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
        assert_eq!(findings[0].subjects.len(), 2);
        assert_eq!(
            (findings[0].severity, findings[0].seen.as_str()),
            (Severity::Info, "it refuses them with 401 or 403")
        );
    }

    #[test]
    fn anonymous_requests_may_be_limited() {
        let limited = [("/livez", 200, ""), ("/api", 401, "Unauthorized")];
        let verdict = judge(&surface(&limited), None);
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(
            crate::check::testing::notes(&verdict),
            ["URL path /livez: anonymous requests are limited to certain paths"]
        );
    }

    #[test]
    fn answers_of_something_else_are_inconclusive() {
        let verdict = judge(&surface(&[("/api", 403, ""), ("/apis", 502, "")]), None);
        assert_eq!(verdict.gaps().len(), 2);
        let health = [("/livez", 502, ""), ("/readyz", 500, ""), ("/version", 503, "ServiceUnavailable")];
        assert_eq!(judge(&surface(&health), None).gaps().len(), 1, "a load balancer answers for one of them");
        let unreachable = [("/api".to_owned(), Err(Unobserved::unreachable("GET /api", "refused")))];
        assert_eq!(judge(&AnonymousSurface(unreachable.into()), None).gaps().len(), 1);
    }
}
