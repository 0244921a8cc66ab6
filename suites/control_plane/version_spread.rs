//! # The API server instances are within one minor version of each other
//!
//! ## Why
//! A control-plane node that an upgrade missed keeps answering its share of the requests with an old API. If instances are two
//! minor versions apart, one may not be able to read objects that the other writes. The supported skew of kubelets and
//! controllers counts from the oldest.
//!
//! ## Fix
//! Finish the upgrade, one minor version at a time: on each control-plane node that is behind, run `kubeadm upgrade node`,
//! then upgrade its kubelet.
//!
//! ## Source
//! <https://kubernetes.io/releases/version-skew-policy/>. One minor version apart is informational, because an
//! upgrade is in progress. Each instance is asked at its own address.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::api_server_versions::ApiServerVersions;
use crate::fact::facts::server_version::ServerVersion;
use crate::seen::Unobserved;

crate::check!("CP-02", "version-spread", Major, judge, blocked_by: ["CP-01"]);

fn judge(
    versions: &ApiServerVersions,
    answering: &ServerVersion,
    handshakes: Result<&ApiServerHandshakes, &Unobserved>,
) -> Verdict {
    compare(versions, answering, handshakes.map_or_else(|why| !why.is_skip(), ApiServerHandshakes::reached_an_instance))
}

fn compare(versions: &ApiServerVersions, answering: &ServerVersion, reached: bool) -> Verdict {
    let out_of_reach = |seen: &Result<_, _>| seen.as_ref().is_err_and(Unobserved::is_out_of_reach);
    if !reached && versions.0.values().all(out_of_reach) {
        return Verdict::not_applicable(format!(
            "{} answers at the configured URL, but none of the {} instances is reachable from here at its own address",
            answering.git,
            versions.0.len()
        ));
    }
    let seen = versions.0.values().flatten().chain([answering]);
    let newest = seen.map(|version| version.version).fold(answering.version, std::cmp::Ord::max);
    let mut verdict = Verdict::new();
    verdict.each(
        &versions.0,
        |address| Subject::address(address),
        |verdict, address, version| {
            let behind = newest.minor.saturating_sub(version.version.minor);
            let same_major = newest.major == version.version.major;
            verdict.expect(Subject::address(address), same_major && behind == 0, || {
                let finding = Finding::new(format!("version {newest}, like the newest instance"), &version.git)
                    .fix("finish the upgrade: run `kubeadm upgrade node` on the node of this instance");
                match behind {
                    1 if same_major => {
                        finding.impact("an upgrade is in progress: the supported skew counts from this version").info()
                    }
                    _ => finding.impact(format!(
                        "it is {behind} minor versions behind, and may be unable to read what the others write"
                    )),
                }
            });
        },
    );
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::seen::Seen;

    fn version(git: &str) -> ServerVersion {
        ServerVersion { git: git.into(), version: git.parse().unwrap() }
    }

    fn judged(versions: &[Seen<&str>]) -> Verdict {
        judged_where(versions, false)
    }

    fn judged_where(versions: &[Seen<&str>], reached: bool) -> Verdict {
        let each = versions
            .iter()
            .zip(11u8..)
            .map(|(seen, last)| (([10, 77, 0, last], 6443).into(), seen.clone().map(version)));
        compare(&ApiServerVersions(each.collect()), &version("v1.37.2"), reached)
    }

    #[test]
    fn instances_of_one_minor_pass() {
        let verdict = judged(&[Ok("v1.37.2"), Ok("v1.37.0+vendor.1")]);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (2, vec![]));
    }

    #[test]
    fn an_upgrade_under_way_is_a_note_and_a_forgotten_instance_is_not() {
        let findings = judged(&[Ok("v1.37.2"), Ok("v1.36.4"), Ok("v1.35.1")]).findings(Severity::Major);
        let found: Vec<_> = findings.iter().map(|f| (f.subjects[0].name.as_str(), f.severity)).collect();
        assert_eq!(found, [("10.77.0.13:6443", Severity::Major), ("10.77.0.12:6443", Severity::Info)]);
        assert_eq!(findings[0].seen, "v1.35.1");
    }

    #[test]
    fn an_instance_that_does_not_answer_is_inconclusive_unless_none_can_be_reached() {
        let silent = || Err(Unobserved::unreachable("10.77.0.12:6443", "refused"));
        assert_eq!(judged(&[Ok("v1.37.2"), silent()]).gaps().len(), 1);
        assert!(judged(&[silent()]).reason().unwrap().contains("none of the 1 instances"));
        assert_eq!(judged(&[Err(Unobserved::Interrupted)]).gaps().len(), 1);
        assert_eq!(judged_where(&[silent()], true).gaps().len(), 1, "a handshake reached it");
    }
}
