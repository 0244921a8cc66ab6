//! The one place through which everything passes that leaves the program: nothing secret gets by.
//!
//! Facts are built so that they hold no secret in the first place; this is the second lock on the same door.

mod json;

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::Serialize;
use serde_json::Serializer;

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";

/// What secrets look like: private keys, JSON web tokens, bootstrap tokens and bearer headers.
static SHAPES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        // A signed token has three parts; the detached signatures of cluster-info have an empty middle and are public.
        r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
        r"|(?P<token>\b[a-z0-9]{6}\.[a-z0-9]{16}\b)",
        r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}",
        // Base64 of `-----BEGIN … PRIVATE KEY`, as kubeconfigs embed keys.
        r"|LS0tLS1CRUdJTi[A-Za-z0-9+/]*(?:UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW)[A-Za-z0-9+/=]*",
    ))
    .expect("the pattern is a constant")
});

/// How many bytes the shortest text has that one of [`SHAPES`] matches: `bearer `, and eight letters.
const SHORTEST: usize = 15;
/// The group of [`SHAPES`] that is a bootstrap token.
const BOOTSTRAP_TOKEN: &str = "token";

/// Whether what has the shape of a bootstrap token is a part of a longer DNS name, such as `node01.internalexamples.com`.
fn is_in_a_name(text: &str, Range { start, end }: Range<usize>) -> bool {
    let mut after = text[end..].chars();
    let goes_on = matches!(after.next(), Some('.' | '-')) && after.next().is_some_and(char::is_alphanumeric);
    goes_on || text[..start].ends_with(['.', '-'])
}

/// Removes secrets from what is written.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    known: Vec<String>,
}

impl Redaction {
    /// Removes whatever has the shape of a secret, and these very values.
    pub fn of(known: impl IntoIterator<Item = String>) -> Self {
        // A value of a few letters would redact ordinary words.
        Self { known: known.into_iter().filter(|secret| secret.len() >= 6).collect() }
    }

    /// Removes these values as well.
    pub fn and(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.known.extend(Self::of(more).known);
        self
    }

    /// A text without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = if text.len() < SHORTEST {
            Cow::Borrowed(text)
        } else {
            SHAPES.replace_all(text, |found: &Captures<'_>| match found.name(BOOTSTRAP_TOKEN) {
                Some(token) if is_in_a_name(text, token.range()) => token.as_str().to_owned(),
                _ => REDACTED.to_owned(),
            })
        };
        for secret in &self.known {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), REDACTED));
            }
        }
        clean
    }

    /// Writes a value as JSON, without secrets in its strings and in keys of its objects. No second copy of it is made.
    pub fn write(&self, value: &impl Serialize, to: &mut dyn Write) -> serde_json::Result<()> {
        value.serialize(&mut Serializer::with_formatter(to, json::Clean::new(self)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::prelude::{BASE64_STANDARD, Engine};
    use serde_json::json;

    use super::*;

    fn clean(text: &str) -> String {
        Redaction::default().text(text).into_owned()
    }

    #[test]
    fn what_looks_like_a_secret_does_not_get_by() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----";
        assert_eq!(clean(&format!("a {key} b")), "a [redacted] b");
        assert_eq!(clean("-----BEGIN PRIVATE KEY-----\nMHcC"), "[redacted]");
        assert_eq!(clean("token eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl!"), "token [redacted]!");
        assert_eq!(clean("use abcdef.0123456789abcdef to join"), "use [redacted] to join");
        assert_eq!(clean("Authorization: Bearer c2VjcmV0LXRva2Vu"), "Authorization: [redacted]");
    }

    #[test]
    fn an_embedded_key_is_known_at_every_offset_of_its_encoding() {
        for kind in ["", "RSA ", "EC ", "ENCRYPTED "] {
            let encoded = BASE64_STANDARD.encode(format!("-----BEGIN {kind}PRIVATE KEY-----\nMHcCAQEEIB\n"));
            assert_eq!(clean(&format!("client-key-data: {encoded}")), "client-key-data: [redacted]", "{kind}");
        }
    }

    #[test]
    fn what_is_public_stays() {
        for public in [
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "kubernetes.default.svc.cluster.local",
            "node01.internalexamples.com",
            "worker-node01.internalexamples",
            "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..vH_kT4yiol-nrAWgjfCYqvum5wsKETXe0S7OOp1VgnE",
            "sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
        ] {
            assert_eq!(clean(public), public);
        }
    }

    fn written(redaction: &Redaction, value: &impl Serialize) -> String {
        let mut written = Vec::new();
        redaction.write(value, &mut written).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn known_values_are_removed_from_any_depth() {
        let redaction = Redaction::of(["hunter2hunter2".to_owned(), "abc".to_owned()]);
        let value = json!({"a": ["x hunter2hunter2 y", {"hunter2hunter2": 1}], "b": "abc"});
        assert_eq!(written(&redaction, &value), r#"{"a":["x [redacted] y",{"[redacted]":1}],"b":"abc"}"#);
        let numbered = BTreeMap::from([(7, "a\"b\n"), (8, "")]);
        assert_eq!(written(&redaction, &numbered), r#"{"7":"a\"b\n","8":""}"#);
        let alike = json!({"abcdef.0123456789abcdef": 1, "fedcba.0123456789abcdef": 2});
        assert_eq!(written(&redaction, &alike), r#"{"[redacted]":1,"[redacted] 2":2}"#);
    }
}
