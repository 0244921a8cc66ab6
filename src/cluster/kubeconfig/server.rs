//! The URL of an API server in a kubeconfig.

use http::Uri;
use http::uri::Authority;
use percent_encoding::percent_decode_str;

/// A name and a password.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: String,
}

/// The URL of a server without its name and password, and those two. Errors do not quote them.
pub(super) fn server(text: &str) -> Result<(String, Option<Login>), String> {
    let quoted = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let url: Uri = text.parse().map_err(|why| format!("its server {quoted:?} is not a URL: {why}"))?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        let host = quoted.trim_start_matches('/');
        return Err(format!("its server {quoted:?} is not a URL with a scheme: write https://{host}"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(format!("its server has the scheme {scheme}: write https://{quoted}"));
    }
    if url.host().is_none_or(str::is_empty) {
        return Err("its server names no host".into());
    }
    if let Some(port) = unusable_port(authority) {
        return Err(format!("its server has the port {port:?}, which is not a number from 0 to 65535"));
    }
    let Some((userinfo, host)) = authority.as_str().rsplit_once('@') else { return Ok((text.to_owned(), None)) };
    let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let path = url.path_and_query().map_or("", |path| path.as_str());
    Ok((format!("{scheme}://{host}{path}"), Some(Login { name: decoded(name), password: decoded(password) })))
}

/// The port, if it is not a valid one.
fn unusable_port(authority: &Authority) -> Option<&str> {
    let text = authority.as_str();
    let place = text.rsplit_once('@').map_or(text, |(_, place)| place);
    let port = place.strip_prefix(authority.host())?.strip_prefix(':')?;
    (!port.is_empty() && port.parse::<u16>().is_err()).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_as_it_is() {
        for text in ["https://10.77.0.11:6443", "http://localhost:8001/", "https://[fd00::1]:6443", "https://r/k8s/c/x"]
        {
            let (url, login) = server(text).map_err(|why| format!("{text}: {why}")).unwrap();
            assert_eq!((url.as_str(), login.is_none()), (text, true));
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_url() {
        let (url, login) = server("https://admin:pa%40ss@api.example:6443/k8s").unwrap();
        let Login { name, password } = login.unwrap();
        assert_eq!((&*url, &*name, &*password), ("https://api.example:6443/k8s", "admin", "pa@ss"));
        let (url, login) = server("https://admin@[fd00::1]").unwrap();
        assert_eq!((&*url, &*login.unwrap().password), ("https://[fd00::1]/", ""));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_login() {
        for (text, says) in [
            ("127.0.0.1:6443", "write https://127.0.0.1:6443"),
            ("localhost", "write https://localhost"),
            ("localhost:6443", "write https://localhost:6443"),
            ("//api.example", "write https://api.example"),
            ("/api", "is not a URL with a scheme"),
            ("admin:hunter2@api.example:6443", "write https://api.example:6443"),
            ("https://", "is not a URL"),
            ("https:///api", "is not a URL"),
            ("https://admin:hunter2@:6443", "names no host"),
            ("https://admin:hunter2@api.example:65536", "has the port \"65536\""),
            ("https://admin:hunter2@api.example:port", ""),
            ("ftp://api.example", "has the scheme ftp"),
            ("https://admin:hunter2@api example", "is not a URL"),
            ("https://api.example\n", "is not a URL"),
            ("", "is not a URL"),
        ] {
            let why = server(text).map(|(url, _)| url).unwrap_err();
            assert!(why.starts_with("its server ") && why.contains(says) && !why.contains("hunter2"), "{text}: {why}");
        }
    }
}
