//! What keeps a run from asking, and which check reports it.

use std::collections::BTreeSet;

use crate::check::outcome::Unseen;
use crate::check::{Cause, Finding, Judged, Severity};
use crate::fact::Facts;
use crate::fact::facts::own_rights::OwnRights;
use crate::seen::Obstacle;

/// The checks of the certificate that the API server presents: the first reports one that is not accepted.
const OF_THE_CERTIFICATE: [&str; 4] = ["PK-01", "PK-03", "PK-04", "PK-14"];
/// Reports that the cluster cannot be asked.
const OF_THE_SERVER: &str = "CP-01";
/// Report what keeps an API server from answering a request that it accepts: it is not healthy, or cannot decrypt.
const OF_READS: [&str; 2] = [OF_THE_SERVER, "CP-18"];
/// Reports that kubeadm's administrators have lost their rights.
const OF_THE_ADMINISTRATORS: &str = "AA-19";

/// What keeps a run from asking its cluster, by the facts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Obstacles {
    /// What is in the way of most requests, and the reason that facts give for it.
    barred: Option<(Obstacle, String)>,
    /// Whether our own user should be an administrator, and may not do what one may do.
    lost_rights: bool,
    /// Why what is only read from the API server was not seen.
    failed_reads: BTreeSet<String>,
}

impl Obstacles {
    /// What these facts show.
    pub(crate) fn of(facts: &Facts) -> Self {
        Self {
            barred: facts.barred().map(|(obstacle, cause)| (obstacle, cause.to_owned())),
            lost_rights: facts.seen::<OwnRights>().is_ok_and(OwnRights::are_lost),
            failed_reads: facts.failed_reads().into_iter().map(ToString::to_string).collect(),
        }
    }

    /// The checks whose findings may explain that a whole fact was not seen, if it is one that is only read.
    pub(super) fn of_a_read(&self, unseen: &Unseen) -> Option<&'static [&'static str]> {
        self.failed_reads.contains(&unseen.why).then_some(&OF_READS)
    }

    /// Whether this check reports that the certificate is not accepted.
    pub(super) fn is_of_the_certificate(&self, check: &Judged) -> bool {
        matches!(self.barred, Some((Obstacle::Certificate, _))) && check.id == OF_THE_CERTIFICATE[0]
    }

    /// The finding of `first`, which reports that the certificate is not accepted, from which a finding of another check
    /// about the same server follows: one new certificate fixes both.
    pub(super) fn certificate(id: &str, finding: &Finding, first: &Judged) -> Option<Cause> {
        if first.id == id || !OF_THE_CERTIFICATE.contains(&id) {
            return None;
        }
        let same = |known: &Finding| finding.subjects.iter().all(|subject| known.subjects.contains(subject));
        let place = first.findings.iter().position(same)?;
        Some(Cause { check: first.id.clone(), finding: Some(place) })
    }

    /// The results that report what is in the way, among those with all their findings.
    pub(super) fn reported(&self, judged: &[&mut Judged], gate: Severity) -> Reported {
        let find = |id: &str| judged.iter().find(|check| check.id == id);
        let finding = |id: &str| {
            let is_own = |finding: &Finding| finding.severity >= gate && finding.cause.is_none();
            let place = find(id)?.findings.iter().position(is_own)?;
            Some(Cause { check: id.to_owned(), finding: Some(place) })
        };
        let unseen = |id: &str, why: &str| {
            let is_unseen = find(id)?.unseen.iter().any(|unseen| unseen.why == why);
            is_unseen.then(|| Cause { check: id.to_owned(), finding: None })
        };
        let barred = self.barred.as_ref().and_then(|(obstacle, why)| {
            let found = match obstacle {
                Obstacle::Certificate => OF_THE_CERTIFICATE.into_iter().find_map(finding),
                Obstacle::Cluster | Obstacle::Credential => None,
            };
            Some((why.clone(), found.or_else(|| unseen(OF_THE_SERVER, why))?))
        });
        Reported { barred, lost_rights: if self.lost_rights { finding(OF_THE_ADMINISTRATORS) } else { None } }
    }
}

/// The results that report what keeps a run from asking.
#[derive(Default)]
pub(super) struct Reported {
    /// By the reason that facts give.
    barred: Option<(String, Cause)>,
    lost_rights: Option<Cause>,
}

impl Reported {
    /// The result that reports why this was not seen.
    pub(super) fn cause(&self, unseen: &Unseen) -> Option<&Cause> {
        if unseen.missing.is_some() {
            return self.lost_rights.as_ref();
        }
        self.barred.as_ref().filter(|(why, _)| *why == unseen.why).map(|(_, cause)| cause)
    }
}
