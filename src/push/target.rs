//! Where a verdict is sent.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It takes the verdicts as JSON.
    Webhook,
    /// The API of Alertmanager, version 2.
    Alertmanager,
    /// A Pushgateway of Prometheus.
    Pushgateway,
}

/// Where a verdict is sent. What shows it, names only its server: the path of a webhook is often its secret.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it speaks.
    pub kind: Kind,
    /// The URL without a user.
    pub url: Url,
    /// The user and password that the URL had.
    pub user: Option<User>,
}

/// A user of basic authentication.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: SecretString,
    /// The password.
    pub password: SecretString,
}

impl Target {
    /// Reads `URL`, `alertmanager+URL` or `pushgateway+URL`. What is wrong is stated without the text, which may hold a secret.
    pub fn parse(text: &SecretString) -> Result<Self, &'static str> {
        let text = text.expose_secret();
        let (kind, rest) = match text.split_once('+') {
            Some(("alertmanager", rest)) => (Kind::Alertmanager, rest),
            Some(("pushgateway", rest)) => (Kind::Pushgateway, rest),
            _ => (Kind::Webhook, text),
        };
        let mut url = Url::parse(rest)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
            .ok_or("write https://HOST/PATH, alertmanager+https://HOST or pushgateway+https://HOST")?;
        if kind != Kind::Webhook && url.query().is_some() {
            return Err("it has a query, which only the URL of a webhook may have");
        }
        url.set_fragment(None);
        let decoded = |part: &str| SecretString::from(percent_decode_str(part).decode_utf8_lossy().into_owned());
        let user = (!url.username().is_empty() || url.password().is_some())
            .then(|| User { name: decoded(url.username()), password: decoded(url.password().unwrap_or_default()) });
        // A URL with a host takes both.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { kind, url, user })
    }

    /// Whether what is sent there is read by no one in between.
    pub fn is_confidential(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        self.url.scheme() == "https"
            || host == "localhost"
            || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// The server.
    pub fn server(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Webhook => "the webhook at",
            Kind::Alertmanager => "Alertmanager at",
            Kind::Pushgateway => "the Pushgateway at",
        };
        write!(f, "{kind} {}", self.server())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Target, &'static str> {
        Target::parse(&SecretString::from(text.to_owned()))
    }

    #[test]
    fn a_target_shows_its_server_and_nothing_else() {
        let target = parse("https://jane:s%40cret@hooks.test:8443/T0/B0?key=abc#x").unwrap();
        assert_eq!(target.to_string(), "the webhook at https://hooks.test:8443");
        let user = target.user.as_ref().unwrap();
        assert_eq!((user.name.expose_secret(), user.password.expose_secret()), ("jane", "s@cret"));
        assert_eq!(target.url.as_str(), "https://hooks.test:8443/T0/B0?key=abc");
        assert!(!format!("{target:?}").contains("s@cret") && !format!("{target:?}").contains("%40"));
        assert_eq!(parse("alertmanager+http://am:9093/x").unwrap().to_string(), "Alertmanager at http://am:9093");
        assert_eq!(parse("pushgateway+http://[::1]").unwrap().to_string(), "the Pushgateway at http://[::1]");
    }

    #[test]
    fn what_is_no_target_is_refused_without_quoting_it() {
        for text in
            ["", "hooks.test", "ftp://a", "jane:secret@a", "https://", "smtp+https://a", "/dev/null", "https:a b"]
        {
            assert!(parse(text).is_err_and(|why| why.starts_with("write https://")), "{text}");
        }
        assert!(parse("pushgateway+http://a?b").is_err_and(|why| why.contains("query")));
    }

    #[test]
    fn only_tls_and_this_machine_are_confidential() {
        for (text, expected) in [
            ("https://a", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://a", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(parse(text).unwrap().is_confidential(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe_and_no_password_is_shown(text in "(alertmanager\\+)?(https?://)?\\PC{0,30}", password in "[0-9]{12}") {
            let _ = parse(&text);
            if let Ok(target) = parse(&format!("https://u:{password}@{text}")) {
                prop_assert!(!target.url.as_str().contains(&password) || text.contains(&password));
            }
        }
    }
}
