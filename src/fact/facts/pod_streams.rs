//! Whether exec and port-forward work on all nodes, with our own probe on each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use futures_util::future::join_all;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::kubelet_logs::Came;
use super::nodes::Nodes;
use super::probe_reports::ProbeReports;
use crate::cluster::Streamed;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::probe::PORT;
use crate::probe::ask::greet;
use crate::probe::serve::Reply;
use crate::seen::{Access, Seen, Unobserved};

/// The most nodes that are tried: each takes two streams.
const MOST: usize = 20;
/// The command: it prints its name and ends.
const COMMAND: [&str; 2] = ["/seaworthy", "--version"];

/// The outcome of a command and of a forwarded port in a pod on each node, by node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PodStreams {
    /// The nodes that were tried.
    pub asked: BTreeMap<String, Seen<StreamAnswers>>,
    /// How many other nodes there are.
    pub others: usize,
}

/// Both outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAnswers {
    /// The pod.
    pub pod: String,
    /// The command.
    pub exec: Came,
    /// The forwarded port.
    pub port_forward: Came,
}

impl Observe for PodStreams {
    type Needs<'a> = (&'a Nodes, &'a ProbeReports);
    const NAME: &'static str = "pod-streams";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] =
        &[Rule::probes("", "pods/exec", &["create", "get"]), Rule::probes("", "pods/portforward", &["create", "get"])];

    async fn observe(live: &Live, (nodes, probes): Self::Needs<'_>) -> Seen<Self> {
        let asked = nodes.sample(MOST).filter_map(|(name, _)| Some((name, probes.0.get(name)?)));
        let asked = asked.map(async |(name, probe)| {
            // Nodes without a probe are reported by all checks that use probes.
            let answers = match &probe.answers {
                Ok(_) => ask(live, &probe.pod).await,
                Err(why) => Err(why.clone()),
            };
            (name.clone(), answers)
        });
        let asked: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        Ok(Self { others: probes.0.len() - asked.len(), asked })
    }
}

crate::observed!(PodStreams);

async fn ask(Live { cluster, inputs, .. }: &Live, pod: &str) -> Seen<StreamAnswers> {
    let namespace = inputs.place();
    let (exec, port_forward) = tokio::join!(
        cluster.execute(&namespace, pod, "serve", &COMMAND),
        cluster.forward(&namespace, pod, PORT, async |stream| greet::over(stream, &inputs.run).await),
    );
    let word = |printed: &String| printed.starts_with("seaworthy");
    let own = |reply: &Reply| reply.pod == pod;
    Ok(StreamAnswers { pod: pod.to_owned(), exec: came(exec, word)?, port_forward: came(port_forward, own)? })
}

fn came<T>(streamed: Seen<Streamed<T>>, is_right: impl Fn(&T) -> bool) -> Seen<Came> {
    match streamed {
        Ok(Ok(brought)) if is_right(&brought) => Ok(Came::Wanted),
        Ok(Ok(_)) => Ok(Came::Error { status: 0, message: "the answer is not from the probe".into() }),
        Ok(Err(broken)) => Ok(Came::Error { status: broken.status, message: without_ticket(&broken.message) }),
        Err(Unobserved::TimedOut { after_ms, .. }) => Ok(Came::Nothing { after_ms }),
        Err(why) => Err(why),
    }
}

/// The last part of a stream's URL at the runtime is its single-use credential.
static TICKET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(/(?:exec|portforward)/)[^"\s]+"#).expect("the pattern is a constant"));

fn without_ticket(message: &str) -> String {
    TICKET.replace_all(message, "$1…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_stream_is_not_kept() {
        let message = r#"error sending request: Post "http://127.0.0.1:42613/exec/Ve7-h6ib": dial tcp 127.0.0.1:42613"#;
        let kept = r#"error sending request: Post "http://127.0.0.1:42613/exec/…": dial tcp 127.0.0.1:42613"#;
        assert_eq!(without_ticket(message), kept);
    }
}
