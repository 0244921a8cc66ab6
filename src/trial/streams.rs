//! A command and a forwarded port in running pods.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use futures_util::future::join_all;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::cluster::{Came, Streamed};
use crate::live::Live;
use crate::probe::PORT;
use crate::probe::ask::greet;
use crate::probe::serve::Reply;
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// The permissions that it takes.
pub(crate) const RULES: &[Rule] =
    &[Rule::probes("", "pods/exec", &["create", "get"]), Rule::probes("", "pods/portforward", &["create", "get"])];

/// The command: it prints its name and ends.
const COMMAND: [&str; 2] = ["/seaworthy", "--version"];

/// Both outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamAnswers {
    /// The pod.
    pub pod: String,
    /// The command.
    pub exec: Came,
    /// The forwarded port.
    pub port_forward: Came,
}

/// Tries both in these pods, given by node. A node without a pod keeps the reason.
pub(crate) async fn run(live: &Live, pods: BTreeMap<String, Seen<String>>) -> BTreeMap<String, Seen<StreamAnswers>> {
    let asked = pods.into_iter().map(async |(node, pod)| {
        let answers = match pod {
            Ok(pod) => ask(live, &pod).await,
            Err(why) => Err(why),
        };
        (node, answers)
    });
    join_all(asked).await.into_iter().collect()
}

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
