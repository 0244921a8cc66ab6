//! The whole batch.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use futures_util::future::{OptionFuture, join_all};

use super::http::Strangers;
use super::terms::Terms;
use super::{api, dns, interfaces, kubelet, metadata, metrics, peer, reach, resolver, service, token};
use crate::probe::answer::largest_packet;
use crate::probe::{Answers, Questions};

/// Asks everything at once.
pub async fn ask(questions: &Questions) -> Answers {
    let terms = Terms::new(
        Duration::from_millis(questions.settle_ms),
        Duration::from_millis(questions.answer_ms),
        Duration::from_millis(questions.deadline_ms),
    );
    let (resolver, mtu) = tokio::join!(resolver::read(), interfaces::read());
    let largest = mtu.as_ref().ok().and_then(largest_packet);
    let peers = async {
        let asked = questions.peers.iter().map(|peer| peer::ask(peer, &questions.run, &resolver, largest, &terms));
        questions.peers.iter().map(|peer| peer.pod.clone()).zip(join_all(asked).await).collect::<BTreeMap<_, _>>()
    };
    let strangers = Strangers::client(&terms);
    let (api, dns, peers, service, kubelet, kube_proxy, reached, token, dns_metrics, metadata) = tokio::join!(
        OptionFuture::from(questions.api.as_ref().map(|question| api::ask(question, &terms))),
        OptionFuture::from(questions.dns.as_ref().map(|question| dns::ask(question, &resolver, &terms))),
        peers,
        OptionFuture::from(questions.service.as_ref().map(|question| service::ask(
            question,
            &questions.node_addresses,
            &questions.run,
            &terms
        ))),
        kubelet::ask_kubelets(&questions.node_addresses, &strangers, &terms),
        kubelet::ask_kube_proxies(&questions.node_addresses, &strangers, &terms),
        reach::ask(&questions.endpoints, &strangers, &terms),
        token::ask(),
        metrics::ask(questions.dns.as_ref().map_or(&[], |dns| dns.metrics.as_slice()), &strangers, &terms),
        metadata::ask(&questions.metadata, &questions.node_addresses, &strangers, &terms),
    );
    let (dns, short_name) = dns.unzip();
    let variable = |name| env::var(name).ok();
    Answers {
        environment: variable("KUBERNETES_SERVICE_HOST").zip(variable("KUBERNETES_SERVICE_PORT")),
        api,
        dns: dns.unwrap_or_default(),
        dns_metrics,
        mtu: Some(mtu),
        peers,
        service,
        kubelet,
        kube_proxy,
        reached,
        token: Some(token),
        metadata,
        short_name,
        resolver,
    }
}
