//! The certificates that the members of etcd present.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::pods::{Pod, Pods};
use crate::fact::Observe;
use crate::handshake::{Handshake, Target};
use crate::live::Live;
use crate::ports;
use crate::seen::{Access, Seen, Unobserved};

/// The certificates that each member of etcd presents that runs as a static pod, by node; by its pod, where it cannot
/// be dialled.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EtcdHandshakes(pub BTreeMap<String, Seen<EtcdMember>>);

impl EtcdHandshakes {
    /// The members that were dialled, by node.
    pub(crate) fn dialled(&self) -> impl Iterator<Item = (&String, &EtcdMember)> {
        self.0.iter().filter_map(|(node, member)| Some((node, member.as_ref().ok()?)))
    }

    /// The members that could not be dialled, by pod, and why not.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = (&String, &Unobserved)> {
        self.0.iter().filter_map(|(pod, member)| Some((pod, member.as_ref().err()?)))
    }
}

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EtcdMember {
    /// The address of its node.
    pub address: IpAddr,
    /// The handshakes there, by port.
    pub presented: BTreeMap<u16, Seen<Handshake>>,
}

impl Observe for EtcdHandshakes {
    type Needs<'a> = (&'a Pods,);
    const NAME: &'static str = "etcd-handshakes";
    const ACCESS: Access = Access::Handshake;

    async fn observe(Live { cluster, .. }: &Live, (pods,): Self::Needs<'_>) -> Seen<Self> {
        let members: Vec<Result<(String, IpAddr), (String, Unobserved)>> = pods
            .of_namespace("kube-system")
            .filter(|pod| pod.component() == Some("etcd") && pod.host_network)
            .map(|pod| place(pod).map_err(|why| (pod.name.clone(), why)))
            .collect();
        if members.is_empty() {
            return Err(Unobserved::absent(
                "no pod of kube-system is a member of etcd: etcd is hidden, external or not used",
            ));
        }
        let dialled = members.into_iter().map(async |member| {
            let (node, address) = match member {
                Ok(placed) => placed,
                Err((pod, why)) => return (pod, Err(why)),
            };
            let presented = ports::ETCD.map(async |port| {
                let target = Target { address: SocketAddr::new(address, port).into(), server_name: None };
                (port, cluster.handshake(&target, &[]).await)
            });
            (node, Ok(EtcdMember { address, presented: join_all(presented).await.into_iter().collect() }))
        });
        Ok(Self(join_all(dialled).await.into_iter().collect()))
    }
}

/// The node of a member, and its address there.
fn place(pod: &Pod) -> Seen<(String, IpAddr)> {
    let unknown = |cause: &str| Unobserved::invalid(format!("Pod {}/{}", pod.namespace, pod.name), cause);
    let node = pod.node.as_ref().map(ToString::to_string).ok_or_else(|| unknown("it is on no node"))?;
    let address = pod.addresses.first().ok_or_else(|| unknown("it has no address"))?;
    Ok((node, address.parse().map_err(|_| unknown("its address is invalid"))?))
}

crate::observed!(EtcdHandshakes);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::pods::testing::static_pod;

    #[test]
    fn a_member_without_an_address_is_not_forgotten() {
        let (_, mut pod) = static_pod("etcd", "n1", &[]);
        pod.addresses.clear();
        let why = place(&pod).unwrap_err();
        assert_eq!(why.to_string(), "Pod kube-system/etcd-n1: it has no address");
        pod.addresses.push("10.77.0.11".into());
        assert_eq!(place(&pod), Ok(("n1".to_owned(), [10, 77, 0, 11].into())));
        let seen = EtcdHandshakes([("etcd-n1".to_owned(), Err(why))].into());
        let again: EtcdHandshakes = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        assert_eq!((again.unknown().count(), again.dialled().count()), (1, 0));
    }
}
