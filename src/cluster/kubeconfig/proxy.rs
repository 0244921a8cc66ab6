//! The proxy between this machine and an API server: from the kubeconfig, or from the environment.

use std::env;
use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The URL in `proxy-url`, with the schemes that client-go knows. Errors do not quote its login.
pub(super) fn of_kubeconfig(text: &str) -> Result<Uri, String> {
    parsed(text).ok_or_else(|| {
        let shown = shown(text);
        format!("its proxy-url {shown:?} is not a URL that begins with http://, https:// or socks5:// and names a host")
    })
}

/// The proxy that the environment names for requests to this server, as Go reads it.
pub(super) fn of_environment(server: &Uri) -> Result<Option<Uri>, String> {
    let set = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| Some((name, env::var(name).ok().filter(|text| !text.is_empty())?)))
    };
    let names =
        if server.scheme_str() == Some("http") { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
    let Some((name, text)) = set(names) else { return Ok(None) };
    let exempt = set(["NO_PROXY", "no_proxy"]).map(|(_, list)| list).unwrap_or_default();
    let matcher = Matcher::builder().all("http://proxy.invalid").no(exempt).build();
    if is_loopback(server) || matcher.intercept(server).is_none() {
        return Ok(None);
    }
    // The environment may name a proxy only by host and port.
    let with_scheme = if text.contains("://") { text.clone() } else { format!("http://{text}") };
    let proxy = parsed(&with_scheme);
    let refused = || {
        let shown = shown(&text);
        format!("the proxy {shown:?} in {name} is not a URL that begins with http://, https:// or socks5://")
    };
    proxy.map(Some).ok_or_else(refused)
}

fn parsed(text: &str) -> Option<Uri> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let url: Uri = format!("{scheme}://{rest}").parse().ok()?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    (matches!(&*scheme, "http" | "https" | "socks5") && has_host).then_some(url)
}

/// A URL without its login.
fn shown(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, shown)| shown)
}

/// Whether the server is on this machine, where Go uses no proxy of the environment.
fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_of_client_go_are_proxies() {
        for text in ["http://p:3128", "https://p", "socks5://user:pass@[::1]:1080", "HTTP://p"] {
            assert!(of_kubeconfig(text).is_ok(), "{text}");
        }
        for text in
            ["p:3128", "socks5h://p", "ftp://p", "http://", "http://a b", "user:hunter2@p", "x://user:hunter2@p"]
        {
            let why = of_kubeconfig(text).unwrap_err();
            assert!(why.starts_with("its proxy-url \"") && !why.contains("hunter2"), "{text}: {why}");
        }
    }

    #[test]
    fn servers_on_this_machine_have_no_proxy() {
        for (server, is) in [
            ("https://localhost:1", true),
            ("https://127.0.0.2", true),
            ("https://[::1]:6443", true),
            ("https://10.0.0.1", false),
            ("https://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&server.parse().unwrap()), is, "{server}");
        }
    }
}
