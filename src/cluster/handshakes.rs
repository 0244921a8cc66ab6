//! Handshakes by the same route as requests, each in its turn.

use std::net::SocketAddr;
use std::time::Duration;

use super::Cluster;
use crate::certificate::Certificate;
use crate::dial::{handshake, handshake_over, outdated, outdated_over};
use crate::handshake::{Handshake, Outdated, Target, Unreachable};
use crate::seen::{Seen, Unobserved};

impl Cluster {
    /// Dials `target` and records what it presents. The verdict of the record rests on `roots`.
    pub async fn handshake(&self, target: &Target, roots: &[Certificate]) -> Seen<Handshake> {
        self.dial(target, roots).await.map_err(|why| unseen(target, why))
    }

    /// Dials a kubelet, among the turns of kubelets.
    pub async fn handshake_with_kubelet(&self, kubelet: SocketAddr) -> Seen<Handshake> {
        let target = Target::of(kubelet.into());
        let roots = self.authorities();
        match &self.kubeconfig().config.proxy_url {
            None => {
                let turn = self.turn_of_kubelet(kubelet).await?;
                let seen = self.dial_again(|| handshake(&target, roots, turn.deadline)).await;
                let seen = seen.map_err(|why| unseen(&target, why));
                self.remember_kubelet(kubelet, &seen);
                seen
            }
            Some(_) => self.handshake(&target, roots).await,
        }
    }

    /// Dials a kubelet and offers it TLS 1.1 at most, among the turns of kubelets.
    pub async fn outdated_handshake_with_kubelet(&self, kubelet: SocketAddr) -> Seen<Outdated> {
        let target = Target { address: kubelet.into(), server_name: None };
        match &self.kubeconfig().config.proxy_url {
            None => {
                let turn = self.turn_of_kubelet(kubelet).await?;
                outdated(&target, turn.deadline).await.map_err(|why| unseen(&target, why))
            }
            Some(_) => self.outdated_handshake(&target).await,
        }
    }

    /// The same, with the full reason why nothing was presented.
    pub(super) async fn dial(&self, target: &Target, roots: &[Certificate]) -> Result<Handshake, Unreachable> {
        let turn = self.turn(&target.address).await.map_err(|why| Unreachable::Other { text: why.to_string() })?;
        let deadline = turn.deadline;
        match &self.kubeconfig().config.proxy_url {
            None => self.dial_again(|| handshake(target, roots, deadline)).await,
            Some(proxy) => self.dial_again(|| through(proxy, target, roots, deadline)).await,
        }
    }

    /// Dials `target` and offers it TLS 1.1 at most.
    pub async fn outdated_handshake(&self, target: &Target) -> Seen<Outdated> {
        let turn = self.turn(&target.address).await?;
        let deadline = turn.deadline;
        let seen = match &self.kubeconfig().config.proxy_url {
            None => outdated(target, deadline).await,
            Some(proxy) => {
                let exchange = async { outdated_over(super::proxy::connect(proxy, &target.address).await?).await };
                let missed = Err(Unreachable::TimedOut { after: deadline });
                tokio::time::timeout(deadline, exchange).await.unwrap_or(missed)
            }
        };
        seen.map_err(|why| unseen(target, why))
    }
}

/// A handshake through a proxy.
async fn through(
    proxy: &http::Uri,
    target: &Target,
    roots: &[Certificate],
    deadline: Duration,
) -> Result<Handshake, Unreachable> {
    let stream = tokio::time::timeout(deadline, super::proxy::connect(proxy, &target.address)).await;
    let stream = stream.unwrap_or(Err(Unreachable::TimedOut { after: deadline }))?;
    handshake_over(stream, target, roots, deadline).await
}

fn unseen(target: &Target, why: Unreachable) -> Unobserved {
    match why {
        Unreachable::TimedOut { after } => Unobserved::timed_out(target.address.to_string(), after),
        // A server is there and has answered.
        why @ (Unreachable::Declined { .. } | Unreachable::NotTls { .. }) => {
            Unobserved::invalid(target.address.to_string(), why)
        }
        why => Unobserved::unreachable(target.address.to_string(), why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Authority;

    #[test]
    fn a_server_that_declines_is_not_out_of_reach() {
        let target = Target { address: Authority::from(SocketAddr::from(([10, 77, 0, 13], 10250))), server_name: None };
        let seen = |why| unseen(&target, why);
        assert!(!seen(Unreachable::Declined { alert: "internal_error".into() }).is_out_of_reach());
        assert!(!seen(Unreachable::NotTls { answer: "HTTP/1.1 400 Bad Request".into() }).is_out_of_reach());
        assert!(seen(Unreachable::Refused).is_out_of_reach() && seen(Unreachable::Closed).is_out_of_reach());
    }
}
