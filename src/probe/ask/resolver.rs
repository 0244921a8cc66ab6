//! What the pod's resolver is told.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;

use super::terms::Terms;
use crate::probe::answer::Resolver;
use crate::probe::fault::{Fault, Got};

/// Where it is told.
const FILE: &str = "/etc/resolv.conf";
/// A name with fewer dots than a search list is for.
const SHORT_NAME: &str = "kubernetes.default";
/// How many failures count: the name is as old as the cluster. One that takes as long as an answer may counts twice.
const FAILURES: u32 = 3;
/// How long to wait before it is looked up again.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads it. A pod without the file has a resolver that is told nothing.
pub async fn read() -> Resolver {
    let text = tokio::task::spawn_blocking(|| std::fs::read_to_string(FILE)).await;
    text.ok().and_then(Result::ok).map_or_else(Resolver::default, |text| parse(&text))
}

/// The addresses of the API by its short name, as any program in the pod asks the C library, which goes through the search
/// list. A server that is busy is asked again: each name of the list takes an answer of its own.
pub async fn short_name(terms: &Terms) -> Got<BTreeSet<IpAddr>> {
    let lookup = async || match lookup_host((SHORT_NAME, 0)).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(why) => Err(Fault::Unresolved(why.to_string())),
    };
    let mut failures = 0;
    loop {
        let found = terms.answered(lookup()).await;
        let Err(fault) = &found else { return found };
        failures += if fault.is_silence() { 2 } else { 1 };
        if failures >= FAILURES || terms.is_over() {
            return found;
        }
        terms.pause(PAUSE).await;
    }
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
