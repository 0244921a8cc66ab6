//! The resolver of the pod, from `/etc/resolv.conf`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::{Ask, whole};
use crate::ports;

/// Where it is configured.
const FILE: &str = "/etc/resolv.conf";
/// What the answer adds to a message, in bytes.
const SIZE: usize = 110;

/// The resolver of the pod: whether to look, and how it is configured.
pub struct OwnResolver;

/// How the resolver of a pod is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// The servers.
    pub nameservers: Vec<String>,
    /// The search list.
    pub search: Vec<String>,
    /// The options, as `ndots:5`.
    pub options: Vec<String>,
}

impl Resolver {
    /// The servers that it asks.
    pub fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        self.nameservers.iter().filter_map(|server| Some(SocketAddr::new(server.parse().ok()?, ports::DNS)))
    }
}

impl Ask for OwnResolver {
    type Question = bool;
    type Answer = Option<Resolver>;

    fn parts(question: &bool) -> Vec<(usize, bool)> {
        whole(question, SIZE)
    }

    async fn ask(question: &bool, _: &Asker) -> Self::Answer {
        if *question { Some(read().await) } else { None }
    }
}

/// Reads it. A pod without the file has a resolver without a configuration.
pub(super) async fn read() -> Resolver {
    let text = tokio::task::spawn_blocking(|| std::fs::read_to_string(FILE)).await;
    text.ok().and_then(Result::ok).map_or_else(Resolver::default, |text| parse(&text))
}

/// Parses `resolv.conf`: the last search list counts, as in resolv.conf(5).
pub(crate) fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let keyword = words.next();
        let words = words.map(str::to_owned);
        match keyword {
            Some("nameserver") => resolver.nameservers.extend(words.take(1)),
            Some("search") => resolver.search = words.collect(),
            Some("options") => resolver.options.extend(words),
            _ => {}
        }
    }
    resolver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_the_kubelet_writes_is_understood() {
        let resolver =
            parse("search a.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n# x\n");
        assert_eq!(resolver.nameservers, ["10.96.0.10"]);
        assert_eq!(resolver.search, ["a.svc.cluster.local", "svc.cluster.local"]);
        assert_eq!(resolver.options, ["ndots:5"]);
    }
}
