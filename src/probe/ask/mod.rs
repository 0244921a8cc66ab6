//! What a probe asks: one module per topic, which holds its questions, its answers, how it asks, and how much room its
//! answers take. All topics are asked at once; [`topics`] lists them.
//!
//! To add a topic, write its module and add one line to the list.

pub mod api;
pub mod asker;
pub mod dns;
pub mod dns_metrics;
pub mod environment;
pub mod greet;
mod handshake;
pub mod http;
pub mod interfaces;
pub mod kube_proxy;
pub mod kubelet;
pub mod merge;
pub mod metadata;
pub mod peer;
pub mod peer_load;
pub mod reach;
pub mod repeated;
pub mod resolver;
mod retried;
pub mod service;
pub mod short_name;
#[cfg(test)]
mod silent_paths;
pub mod terms;
pub mod token;
pub mod topics;
pub mod watch;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::asker::Asker;
use self::merge::Merge;

/// A topic that probes are asked about.
pub trait Ask {
    /// What is asked. Its default asks nothing.
    type Question: Clone + Debug + Default + PartialEq + Merge + Serialize + DeserializeOwned;
    /// What is answered. Its default answers nothing.
    type Answer: Clone + Debug + Default + PartialEq + Merge + Serialize + DeserializeOwned;

    /// The smallest parts of a question, each with the bytes that its answer adds to a packed message, as measured on real
    /// clusters, with a third more for faults. Different containers of a probe may ask them.
    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)>;

    /// Asks. It keeps to the terms of the asker: nothing is asked after the deadline of the probe, and what it cuts off is
    /// [`Unanswered`](super::fault::Fault::Unanswered).
    fn ask(question: &Self::Question, asker: &Asker) -> impl Future<Output = Self::Answer>;
}

/// The one part of a question that is asked as a whole, if it is asked.
fn whole<Q: Clone + Default + PartialEq>(question: &Q, size: usize) -> Vec<(usize, Q)> {
    if *question == Q::default() { Vec::new() } else { vec![(size, question.clone())] }
}

/// The parts of a list, each element of which may be asked by itself.
fn each<Q: Clone>(questions: &[Q], size: impl Fn(&Q) -> usize) -> Vec<(usize, Vec<Q>)> {
    questions.iter().map(|question| (size(question), vec![question.clone()])).collect()
}
