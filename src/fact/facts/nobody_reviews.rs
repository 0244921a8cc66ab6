//! The rights of an authenticated user without any grants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fact::access_review::{self, Question, Review, Who, review_all};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The rights of a user without any grants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NobodyReviews(pub BTreeMap<NobodyAsks, Review>);

/// A right of a user without any grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NobodyAsks {
    /// To review their own access, which every user may.
    AskAboutThemselves,
    /// To read a secret of the system.
    ReadSecret,
    /// To run a pod.
    CreatePod,
    /// To do anything to anything.
    Everything,
}

impl NobodyAsks {
    const ALL: [Self; 4] = [Self::AskAboutThemselves, Self::ReadSecret, Self::CreatePod, Self::Everything];

    fn question(self) -> Question {
        let nobody = Who::user("seaworthy:nobody", &[]);
        match self {
            Self::AskAboutThemselves => {
                nobody.may("create", "selfsubjectaccessreviews").of_group("authorization.k8s.io")
            }
            Self::ReadSecret => nobody.may("get", "secrets").in_namespace("kube-system"),
            Self::CreatePod => nobody.may("create", "pods").in_namespace("default"),
            Self::Everything => nobody.may("*", "*").of_group("*"),
        }
    }
}

impl Observe for NobodyReviews {
    type Needs<'a> = ();
    const NAME: &'static str = "nobody-reviews";
    const ACCESS: Access = Access::Review;
    const RULES: &'static [Rule] = &[access_review::RULE];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        review_all(cluster, NobodyAsks::ALL.map(|ask| (ask, ask.question()))).await.map(Self)
    }
}

crate::observed!(NobodyReviews);
