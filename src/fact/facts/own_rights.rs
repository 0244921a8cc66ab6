//! What our own user may do.

use futures_util::future::try_join;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::{Call, Cluster, Identity};
use crate::fact::Observe;
use crate::join::whoami::{WhoAmI, who_am_i};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The group of the users in kubeadm's admin.conf.
pub(crate) const KUBEADM_ADMINISTRATORS: &str = "kubeadm:cluster-admins";

/// Who our own credential is to the API server, and whether it may do everything. Every user may ask both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OwnRights {
    /// Who it is.
    pub user: WhoAmI,
    /// Whether it may do everything with every resource.
    pub everything: bool,
}

impl OwnRights {
    /// Whether it is one of kubeadm's administrators, and may not do everything.
    pub(crate) fn are_lost(&self) -> bool {
        !self.everything && self.user.groups.iter().any(|group| group == KUBEADM_ADMINISTRATORS)
    }
}

impl Observe for OwnRights {
    type Needs<'a> = ();
    const NAME: &'static str = "own-rights";
    const ACCESS: Access = Access::Review;

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let (user, everything) = try_join(who_am_i(cluster, Identity::Own, None), may_do_everything(cluster)).await?;
        Ok(Self { user, everything })
    }
}

async fn may_do_everything(cluster: &Cluster) -> Seen<bool> {
    let review: SelfSubjectAccessReview = cluster
        .fetch(&Call::create::<SelfSubjectAccessReview>(json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": { "verb": "*", "group": "*", "resource": "*" } },
        })))
        .await?;
    Ok(review.status.is_some_and(|status| status.allowed))
}

crate::observed!(OwnRights);

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A user of this group.
    pub(crate) fn own_rights(group: &str, everything: bool) -> OwnRights {
        let user = WhoAmI {
            status: 201,
            user: Some("kubernetes-admin".into()),
            groups: vec![group.into(), "system:authenticated".into()],
            ..WhoAmI::default()
        };
        OwnRights { user, everything }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::own_rights;
    use super::*;

    #[test]
    fn only_administrators_lose_rights() {
        assert!(own_rights(KUBEADM_ADMINISTRATORS, false).are_lost());
        assert!(!own_rights(KUBEADM_ADMINISTRATORS, true).are_lost());
        assert!(!own_rights("developers", false).are_lost());
    }
}
