//! The list of topics, from which follow the questions of a probe, its answers, and how they are asked and put together.

use serde::{Deserialize, Serialize};

use super::Ask;
use super::asker::Asker;
use super::merge::Merge;
use crate::probe::batch::Batch;

/// Makes [`Questions`] and [`Answers`] with a field for each topic.
macro_rules! topics {
    ($($(#[doc = $doc:literal])+ $name:ident: $topic:ty,)+) => {
        /// The questions of one probe.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct Questions {
            /// What all topics have in common.
            #[serde(flatten)]
            pub batch: Batch,
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "is_default")]
                pub $name: <$topic as Ask>::Question,
            )+
        }

        /// The answers of one probe, small enough for termination messages.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Answers {
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "is_default")]
                pub $name: <$topic as Ask>::Answer,
            )+
        }

        impl Questions {
            /// Nothing yet.
            pub fn none(batch: Batch) -> Self {
                Self { batch, $($name: Default::default(),)+ }
            }

            /// The smallest parts that can be asked separately, each with the bytes that its answers add to a message.
            pub(in crate::probe) fn parts(&self) -> Vec<(usize, Self)> {
                let none = || Self::none(self.batch.clone());
                let mut parts = Vec::new();
                $(
                    let of_topic = <$topic>::parts(&self.$name).into_iter();
                    parts.extend(of_topic.map(|(size, $name)| (size, Self { $name, ..none() })));
                )+
                parts
            }
        }

        /// Asks everything at once.
        pub async fn ask(questions: &Questions) -> Answers {
            let asker = Asker::new(&questions.batch);
            let ($($name,)+) = tokio::join!($(Box::pin(<$topic>::ask(&questions.$name, &asker)),)+);
            Answers { $($name,)+ }
        }

        impl Merge for Questions {
            fn add(&mut self, other: Self) {
                let Self { batch: _, $($name,)+ } = other;
                $(self.$name.add($name);)+
            }
        }

        impl Merge for Answers {
            fn add(&mut self, other: Self) {
                let Self { $($name,)+ } = other;
                $(self.$name.add($name);)+
            }
        }
    };
}

topics! {
    /// The resolver of the pod.
    resolver: super::resolver::OwnResolver,
    /// The addresses of `kubernetes.default`, as the C library finds them by the search list.
    short_name: super::short_name::ShortName,
    /// The environment variables of the pod that name the API server.
    environment: super::environment::Environment,
    /// The network interfaces of the pod.
    mtu: super::interfaces::Interfaces,
    /// The pod's own token.
    token: super::token::OwnToken,
    /// The API server at its ClusterIP.
    api: super::api::Api,
    /// DNS servers, by their addresses.
    dns: super::dns::Dns,
    /// The metrics of DNS servers, by the addresses of the metrics.
    dns_metrics: super::dns_metrics::Metrics,
    /// Other probes, by pod.
    peers: super::peer::Peers,
    /// The Services in front of the probes.
    service: super::service::Services,
    /// The kubelet of the probe's node, by the addresses of the node.
    kubelet: super::kubelet::OwnKubelet,
    /// The kube-proxy of the probe's node, by the addresses of the node.
    kube_proxy: super::kube_proxy::OwnKubeProxy,
    /// Endpoints of any kind, and what was met there.
    reached: super::reach::Reach,
    /// The metadata servers of cloud instances, or why they are closed to the pod.
    metadata: super::metadata::MetadataServers,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
