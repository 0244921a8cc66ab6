//! The servers to which CoreDNS forwards.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::fact::facts::corefile::Corefile;
use crate::ports;
use crate::seen::Unobserved;

/// The address of `10.0.0.1`, `10.0.0.1:53`, `[fd00::1]:53`, `dns://…`; a file or a name has none.
pub(in super::super) fn upstream(target: &str) -> Option<SocketAddr> {
    let (scheme, rest) = target.split_once("://").unwrap_or(("dns", target));
    let rest = rest.split('%').next().unwrap_or(rest);
    let port = if scheme == "tls" { 853 } else { ports::DNS };
    let address = rest.trim_matches(['[', ']']).parse();
    rest.parse().ok().or_else(|| Some(SocketAddr::new(address.ok()?, port)))
}

/// The commands that ask each server of `forward` for a name, on the node of a CoreDNS pod: its /etc/resolv.conf is that of
/// the node.
pub(in super::super) fn ask(corefile: Result<&Corefile, &Unobserved>, name: &str) -> String {
    let blocks = corefile.ok().and_then(|corefile| corefile.blocks.as_ref().ok()).into_iter().flatten();
    let servers =
        blocks.flat_map(|block| block.plugins("forward")).flat_map(|forward| forward.arguments.iter().skip(1));
    let command = |server: &String| match upstream(server) {
        Some(at) if server.starts_with("tls://") => format!("dig +tls @{} -p {} {name}", at.ip(), at.port()),
        Some(at) if at.port() == ports::DNS => format!("dig @{} {name}", at.ip()),
        Some(at) => format!("dig @{} -p {} {name}", at.ip(), at.port()),
        None => format!("dig {name}"),
    };
    let commands: BTreeSet<String> = servers.map(command).collect();
    if commands.is_empty() { format!("dig {name}") } else { commands.into_iter().collect::<Vec<_>>().join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::corefile::testing::corefile;

    #[test]
    fn each_server_is_asked_where_it_listens() {
        let asked = |servers: &str| ask(Ok(&corefile(&format!(".:53 {{\n forward . {servers}\n}}\n"))), "example.org");
        assert_eq!(asked("/etc/resolv.conf"), "dig example.org");
        assert_eq!(asked("10.0.0.2 10.0.0.3:5353"), "dig @10.0.0.2 example.org; dig @10.0.0.3 -p 5353 example.org");
        assert_eq!(asked("tls://192.0.2.1"), "dig +tls @192.0.2.1 -p 853 example.org");
        assert_eq!(ask(Err(&Unobserved::Interrupted), "example.org"), "dig example.org");
    }
}
