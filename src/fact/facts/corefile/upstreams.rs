//! The servers to which a plugin forwards.

use std::net::IpAddr;

use super::occurrence::Occurrence;
use super::surroundings::{Surroundings, is_unknown};
use super::values::{host_and_port, is_domain_name};
use super::zones::Key;
use crate::version::Version;

/// The most servers that the plugin forward takes.
const MOST: usize = 15;
/// The first release that forwards to servers by name.
const NAMES: Version = Version { major: 1, minor: 14, patch: 4 };

/// What the plugin forward refuses.
pub(super) fn forward(one: &Occurrence<'_>, surroundings: &Surroundings) -> Result<(), String> {
    let servers = servers(one)?;
    for server in servers {
        if is_unknown(server) {
            continue;
        }
        let (scheme, host) = split(server);
        if host.is_empty() {
            return Err(format!("{server} names no server"));
        }
        if scheme == "https" && host.contains('/') {
            return Err(format!("{server} has a path"));
        }
        let exists = surroundings.exists(host);
        if is_address(host) || exists == Some(true) {
            if !["dns", "tls", "https"].contains(&scheme) {
                return Err(format!("it cannot forward by {scheme}"));
            }
            continue;
        }
        // A name is looked up when CoreDNS starts.
        let name = host_and_port(host).map_or(host, |(name, _)| name);
        let names = surroundings.release.is_none_or(|release| release >= NAMES);
        let may_be_name = names && !host.contains('/') && scheme != "unix" && is_domain_name(name);
        if !may_be_name && (exists == Some(false) || !host.contains('/')) {
            return Err(format!("{server} is neither an address nor a file"));
        }
    }
    if servers.len() > MOST {
        return Err(format!("it has more than {MOST} servers"));
    }
    health_check(one)?;
    let failover = one.properties.iter().filter(|(name, _)| *name == "failover").flat_map(|(_, codes)| codes);
    if failover.into_iter().any(|code| code.eq_ignore_ascii_case("NOERROR")) {
        return Err("`failover` cannot be about NOERROR".into());
    }
    Ok(())
}

/// What the plugin grpc refuses.
pub(super) fn grpc(one: &Occurrence<'_>, surroundings: &Surroundings) -> Result<(), String> {
    for server in servers(one)?.iter().filter(|server| !is_unknown(server)) {
        let (_, host) = split(server);
        if !is_address(host) && surroundings.exists(host) == Some(false) {
            return Err(format!("{server} is neither an address nor a file"));
        }
    }
    Ok(())
}

/// The servers after the zone.
fn servers<'a, 'b>(one: &'b Occurrence<'a>) -> Result<&'b [&'a str], String> {
    let [zone, servers @ ..] = &one.arguments[..] else { return Err("it names no server".into()) };
    match Key::refusal(zone).filter(|_| !is_unknown(zone)) {
        Some(cause) => Err(cause),
        None => Ok(servers),
    }
}

fn health_check(one: &Occurrence<'_>) -> Result<(), String> {
    for (_, words) in one.properties.iter().filter(|(name, _)| *name == "health_check") {
        let mut options = words.iter().skip(1);
        while let Some(option) = options.next() {
            match *option {
                "no_rec" => {}
                "domain" => {
                    if !options.next().is_some_and(|domain| is_domain_name(domain)) {
                        return Err("`domain` of `health_check` should be followed by a name".into());
                    }
                }
                option => return Err(format!("`health_check` has no option {option}")),
            }
        }
    }
    Ok(())
}

/// The scheme of a server, and what follows it.
fn split(server: &str) -> (&str, &str) {
    let known = |scheme: &&str| ["dns", "tls", "quic", "grpc", "https", "https3", "unix"].contains(scheme);
    server.split_once("://").filter(|(scheme, _)| known(scheme)).unwrap_or(("dns", server))
}

/// Whether a server is an address, perhaps with a port; it may end with an interface or a server name after `%`.
pub(super) fn is_address(server: &str) -> bool {
    let without_zone = |host: &str| host.rsplit_once('%').map_or(host, |(host, _)| host).parse::<IpAddr>().is_ok();
    match host_and_port(server) {
        Some((host, _)) => without_zone(host),
        None => without_zone(server.trim_matches(['[', ']'])),
    }
}
