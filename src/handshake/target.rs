//! Where to connect, and which server name to request.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Where to connect, and which server name to request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Where to connect.
    pub address: Authority,
    /// The name that the certificate must cover; it is sent to the server (SNI, RFC 6066, section
    /// 3) unless it is an IP literal, which that extension does not admit. Without a name none is
    /// sent and none is verified.
    pub server_name: Option<String>,
}

impl Target {
    /// As a client connects: the host is also the requested name.
    pub fn of(address: Authority) -> Self {
        let server_name = Some(address.host().to_owned());
        Self { address, server_name }
    }
}

/// A host and a port, written `host:port`, `10.96.0.1:443` or `[fd00::1]:443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Authority {
    host: String,
    port: u16,
}

impl Authority {
    /// A host, which is a DNS name or an IP address without brackets, and a port.
    ///
    /// # Errors
    /// A host that is empty or holds a character that neither a name nor an address has.
    pub fn new(host: &str, port: u16) -> Result<Self, NotAnAuthority> {
        let is_name = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if is_name || host.parse::<Ipv6Addr>().is_ok() {
            Ok(Self { host: host.to_owned(), port })
        } else {
            Err(NotAnAuthority)
        }
    }

    /// The DNS name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Authority {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl From<(IpAddr, u16)> for Authority {
    fn from(address: (IpAddr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl FromStr for Authority {
    type Err = NotAnAuthority;

    fn from_str(text: &str) -> Result<Self, NotAnAuthority> {
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAuthority)?;
        let port = port.parse().map_err(|_| NotAnAuthority)?;
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => {
                let address: Ipv6Addr = address.parse().map_err(|_| NotAnAuthority)?;
                Ok((IpAddr::from(address), port).into())
            }
            None if host.contains(':') => Err(NotAnAuthority),
            None => Self::new(host, port),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for Authority {
    type Error = NotAnAuthority;

    fn try_from(text: String) -> Result<Self, NotAnAuthority> {
        text.parse()
    }
}

impl From<Authority> for String {
    fn from(authority: Authority) -> Self {
        authority.to_string()
    }
}

/// The text is not a host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a host and a port, such as n1.example:6443, 10.96.0.1:443 or [fd00::1]:443")]
pub struct NotAnAuthority;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["n1:6443", "10.96.0.1:443", "[fd00::1]:443", "a_b.example.:1"] {
            let authority: Authority = text.parse().unwrap();
            assert_eq!(authority.to_string(), text);
        }
        let authority: Authority = "[fd00:0::1]:443".parse().unwrap();
        assert_eq!((authority.host(), authority.port()), ("fd00::1", 443));
        assert_eq!(authority, Authority::from(("fd00::1".parse::<IpAddr>().unwrap(), 443)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "n1", ":443", "n1:", "n1:65536", "fd00::1:443", "[n1]:443", "[fd00::1]", "https://n1:443", "a b:1"]
        {
            assert_eq!(text.parse::<Authority>(), Err(NotAnAuthority), "{text}");
        }
    }

    #[test]
    fn a_client_asks_for_the_host_that_it_dials() {
        let target = Target::of("[fd00::1]:443".parse().unwrap());
        assert_eq!(target.server_name.as_deref(), Some("fd00::1"));
    }
}
