//! A rehearsal of a node's join, up to its certificate.

#[cfg(test)]
pub(crate) use crate::join::WhoAmI;
#[cfg(test)]
pub(crate) use crate::join::request::Condition;
pub(crate) use crate::join::request::Issuance;
pub(crate) use crate::join::token::GROUP;
pub(crate) use crate::trial::join_rehearsal::{Discovery, JoinRehearsal, Refetch};
use std::time::Duration;

use super::bootstrap_tokens::BootstrapTokens;
use super::cluster_info::ClusterInfo;
use super::kubeadm_config::KubeadmConfig;
use crate::cluster::Identity;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};
use crate::trial::join_rehearsal;

/// The rehearsal with the certificate that it was issued, for those who go on as that node.
#[derive(Debug)]
pub(crate) struct RehearsedJoin {
    pub(super) rehearsal: JoinRehearsal,
    pub(super) credential: Option<Identity>,
}

impl Observe for JoinRehearsal {
    type Needs<'a> = (&'a RehearsedJoin,);
    const NAME: &'static str = "join-rehearsal";
    const ACCESS: Access = Access::Join;

    async fn observe(_: &Live, (rehearsed,): Self::Needs<'_>) -> Seen<Self> {
        Ok(rehearsed.rehearsal.clone())
    }
}

crate::observed!(JoinRehearsal);

impl Observe for RehearsedJoin {
    // The tokens are listed first: checks judge them without the one that is created here.
    type Needs<'a> = (
        Result<&'a ClusterInfo, &'a Unobserved>,
        Result<&'a KubeadmConfig, &'a Unobserved>,
        Result<&'a BootstrapTokens, &'a Unobserved>,
    );
    const NAME: &'static str = "rehearsed-join";
    const ACCESS: Access = Access::Join;
    const RULES: &'static [Rule] = join_rehearsal::RULES;
    const DEADLINE: Duration = Duration::from_secs(120);

    async fn observe(live: &Live, (info, kubeadm, _): Self::Needs<'_>) -> Seen<Self> {
        // Nodes join a cluster of kubeadm, whether or not cluster-info is there.
        if let Err(why) = info
            && !(kubeadm.is_ok() && matches!(why, Unobserved::Absent { .. }))
        {
            return Err(why.clone());
        }
        let (rehearsal, credential) = join_rehearsal::run(live).await?;
        Ok(Self { rehearsal, credential })
    }
}

crate::held!(RehearsedJoin);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::ClientCertificate;
    use crate::join::Minted;
    use crate::join::token::Purpose;

    #[test]
    fn neither_the_key_nor_the_token_is_recorded_or_shown() {
        let run = "x7f4k".parse().unwrap();
        let token = Minted::new(&run, Purpose::Join).unwrap();
        let why = || Unobserved::unreachable(format!("GET as {}", token.bearer()), "reset");
        let rehearsal = JoinRehearsal {
            token: token.id().into(),
            node: run.name(),
            discovery: Err(why()),
            refetch: None,
            identity: Err(why()),
            lookup: Err(why()),
            config_maps: BTreeMap::new(),
            request: Err(why()),
            issuance: None,
            withdrawal: None,
            left: BTreeMap::new(),
        };
        let recorded = serde_json::to_string(&rehearsal).unwrap();
        let credential = Some(Identity::Certified(ClientCertificate::new("chain", "~key~")));
        let shown = format!("{recorded} {:?}", RehearsedJoin { rehearsal, credential });
        assert!(!shown.contains("~key~"));
        assert!(!shown.contains(std::str::from_utf8(token.secret()).unwrap()));
        assert!(shown.contains("the bearer of a token"));
    }
}
