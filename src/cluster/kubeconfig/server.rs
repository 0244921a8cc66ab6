//! The URL of an API server in a kubeconfig.

use http::Uri;
use http::uri::Authority;
use percent_encoding::percent_decode_str;

/// A name and a password.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: String,
}

/// The URL of a server, without its name and password, and those two. Errors do not quote them.
///
/// As in client-go, the scheme is http if there is none.
pub(super) fn server(text: &str) -> Result<(Uri, Option<Login>), String> {
    let (place, path) = split(text);
    let quoted = text.rsplit_once('@').map_or(text, |(_, shown)| shown);
    let not_a_url = || format!("its server {quoted:?} is not a URL: write https://HOST:PORT");
    let (scheme, authority) = match place.split_once("://") {
        Some((scheme, authority)) => (scheme.to_ascii_lowercase(), authority),
        None if matches!(path, "" | "/") && !place.is_empty() => ("http".to_owned(), place),
        None => {
            let shown = quoted.trim_start_matches('/');
            return Err(format!("its server {quoted:?} is not a URL with a scheme: write https://{shown}"));
        }
    };
    let (userinfo, host) = authority.rsplit_once('@').map_or((None, authority), |(login, host)| (Some(login), host));
    let host = host.strip_suffix(':').unwrap_or(host);
    if host.is_empty() || host.starts_with(':') {
        return Err("its server names no host: write https://HOST:PORT".into());
    }
    if !matches!(&*scheme, "http" | "https") {
        return Err(format!("its server has the scheme {scheme}: write https://{host}{path}"));
    }
    let url: Uri = format!("{scheme}://{host}{path}").parse().map_err(|_| not_a_url())?;
    if let Some(port) = url.authority().and_then(unusable_port) {
        return Err(format!("its server has the port {port:?}, which is not a number from 0 to 65535"));
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let login = userinfo.map(|userinfo| {
        let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Login { name: decoded(name), password: decoded(password) }
    });
    Ok((url, login))
}

/// The scheme and place of a URL, and its path. A query or a fragment means nothing to an API server.
fn split(text: &str) -> (&str, &str) {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let start = text.find("://").map_or(0, |scheme| scheme + 3);
    text[start..].find('/').map_or((text, ""), |path| text.split_at(start + path))
}

/// The port, if it is not a valid one.
fn unusable_port(authority: &Authority) -> Option<&str> {
    let port = authority.as_str().strip_prefix(authority.host())?.strip_prefix(':')?;
    port.parse::<u16>().is_err().then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_that_kubectl_accepts_is_read() {
        for (text, url) in [
            ("https://10.77.0.11:6443", "https://10.77.0.11:6443/"),
            ("http://localhost:8001/", "http://localhost:8001/"),
            ("https://[fd00::1]:6443", "https://[fd00::1]:6443/"),
            ("https://r/k8s/c/x", "https://r/k8s/c/x"),
            ("HTTPS://API.example:6443", "https://api.example:6443/"),
            ("https://api.example:", "https://api.example/"),
            ("https://api.example/x?a=b#c", "https://api.example/x"),
            ("https://api_1.example?a", "https://api_1.example/"),
            ("127.0.0.1:6443", "http://127.0.0.1:6443/"),
            ("localhost", "http://localhost/"),
            ("localhost:6443/", "http://localhost:6443/"),
            ("[::1]:6443", "http://[::1]:6443/"),
        ] {
            let (read, login) = server(text).map_err(|why| format!("{text}: {why}")).unwrap();
            assert_eq!((read.to_string().to_lowercase(), login.is_none()), (url.to_owned(), true));
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_url() {
        for (text, url, login) in [
            ("https://admin:pa%40ss@api.example:6443/k8s", "https://api.example:6443/k8s", ("admin", "pa@ss")),
            ("https://admin@[fd00::1]", "https://[fd00::1]/", ("admin", "")),
            ("admin:pass@api.example:6443", "http://api.example:6443/", ("admin", "pass")),
        ] {
            let (read, Some(Login { name, password })) = server(text).unwrap() else { panic!("{text}") };
            assert_eq!((&*read.to_string(), (&*name, &*password)), (url, login));
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_login() {
        for (text, says) in [
            ("//api.example", "is not a URL with a scheme: write https://api.example"),
            ("api.example/k8s", "is not a URL with a scheme: write https://api.example/k8s"),
            ("/api", "is not a URL with a scheme"),
            ("https://", "names no host"),
            ("https:///api", "names no host"),
            ("https://admin:hunter2@:6443", "names no host"),
            ("https://admin:hunter2@api.example:65536", "has the port \"65536\""),
            ("https://admin:hunter2@api.example:port", ""),
            ("ftp://admin:hunter2@api.example/x", "has the scheme ftp: write https://api.example/x"),
            ("https://admin:hunter2@api example", "is not a URL: write https://HOST:PORT"),
            ("https://api.example\n", "is not a URL"),
            ("https://api.example:6443 ", "is not a URL"),
            ("https:/api.example", ""),
            ("", "is not a URL"),
        ] {
            let why = server(text).map(|(url, _)| url).unwrap_err();
            assert!(why.starts_with("its server ") && why.contains(says) && !why.contains("hunter2"), "{text}: {why}");
        }
    }
}
