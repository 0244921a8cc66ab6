//! Why a request got no answer.

use std::error::Error;

use kube::client::AuthError;
use rustls::CertificateError;

use super::Call;
use crate::redaction::Redaction;
use crate::seen::Unobserved;

/// The most that is told of what a credential plugin says on its standard error, in characters. The end tells most.
const SAID_LIMIT: usize = 400;

/// What is wrong with the server's certificate, if that is why a request was not sent.
pub(super) fn certificate_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    chain(error).find_map(|error| {
        // An I/O error's source is that of what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match error.downcast_ref().or_else(|| wrapped?.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(fault)) => Some(fault),
            _ => None,
        }
    })
}

/// Whether a request was not sent because the server's certificate, else trusted, is for other names.
pub(super) fn is_name_mismatch(error: &(dyn Error + 'static)) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(certificate_fault(error), Some(NotValidForName | NotValidForNameContext { .. }))
}

/// Why a request got no answer, with the causes that the top-level text hides.
pub(super) fn failure(call: &Call, error: &(dyn Error + 'static)) -> Unobserved {
    Unobserved::unreachable(call.to_string(), no_credential(error).map_or_else(|| causes(error), fault))
}

/// Whether a request was not sent because there is no credential to send it with.
pub(super) fn no_credential<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AuthError> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error and its sources, the innermost last.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Why there is no credential. The error's own texts quote what a plugin printed, which is one, and its environment.
pub(super) fn fault(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the credential plugin ended with {}{}", out.status, said(&out.stderr, &out.stdout))
        }
        AuthError::AuthExecStart(why) => format!("the credential plugin cannot be started: {why}"),
        AuthError::AuthExecParse(_) => "what the credential plugin printed is no ExecCredential".into(),
        AuthError::ExecPluginFailed => "the ExecCredential that the credential plugin printed has no status".into(),
        AuthError::MalformedTokenExpirationDate(_) => {
            "the credential's expirationTimestamp is no time as RFC 3339 writes it".into()
        }
        AuthError::ParseTokenKey(_) => "what the credential plugin printed is not JSON".into(),
        AuthError::MissingCommand => "its exec names no command".into(),
        AuthError::ReadTokenFile(why, path) => format!("its tokenFile {} cannot be read: {why}", path.display()),
        AuthError::InvalidBearerToken(_) => "its token has characters, such as a line's end, that no header may".into(),
        AuthError::InvalidBasicAuth(_) => "its username or password has characters that no header may".into(),
        other => causes(other),
    }
}

/// The last line that a plugin says on its standard error, without any word that it printed as well.
fn said(error: &[u8], printed: &[u8]) -> String {
    let printed = String::from_utf8_lossy(printed);
    let words = printed.split(|c: char| c.is_whitespace() || "\"',:{}[]".contains(c));
    let text = String::from_utf8_lossy(error);
    let last = text.trim().lines().last().unwrap_or_default();
    let text = Redaction::of(words.map(str::to_owned)).text(last).into_owned();
    match text.chars().count().checked_sub(SAID_LIMIT) {
        Some(more) if more > 0 => format!(": \u{2026}{}", text.chars().skip(more).collect::<String>()),
        _ if text.is_empty() => String::new(),
        _ => format!(": {text}"),
    }
}

/// The innermost causes of an error.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in chain(error) {
        let text = error.to_string();
        if let Some(outer) = texts.last_mut()
            && outer.ends_with(&text)
        {
            outer.truncate(outer.len() - text.len());
            *outer = outer.trim_end_matches([':', ' ']).to_owned();
        }
        texts.push(text);
    }
    texts.retain(|text| {
        !text.is_empty() && text != "ServiceError" && text != "client error (Connect)" && text != "HyperError"
    });
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use super::*;

    #[test]
    fn a_fault_of_the_certificate_is_found_as_it_is_and_as_an_io_error_holds_it() {
        let untrusted = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for error in [&untrusted as &(dyn Error + 'static), &io::Error::other(untrusted.clone())] {
            assert_eq!(certificate_fault(error), Some(&CertificateError::UnknownIssuer));
            assert!(!is_name_mismatch(error));
        }
        let of_another = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        assert!(is_name_mismatch(&io::Error::other(of_another)));
        assert_eq!(certificate_fault(&io::Error::other("the certificate of the proxy: connection refused")), None);
        assert_eq!(certificate_fault(&io::Error::other(rustls::Error::HandshakeNotComplete)), None);
    }

    #[test]
    fn what_a_plugin_printed_is_never_told() {
        let out = Output {
            status: ExitStatus::from_raw(256),
            stdout: br#"{"status": {"token": "opaque-0815"}}"#.to_vec(),
            stderr: format!("{}login first: opaque-0815\n", "x".repeat(SAID_LIMIT)).into_bytes(),
        };
        let error = AuthError::AuthExecRun { cmd: "SECRET=1 plugin".into(), out: Box::new(out) };
        let told = fault(&error);
        assert!(told.starts_with("the credential plugin ended with exit status: 1: \u{2026}x"), "{told}");
        assert!(told.ends_with("login first: [redacted]") && !told.contains("SECRET"), "{told}");
        let failed = failure(&Call::url("/version"), &kube::Error::Service(Box::new(error)));
        assert!(failed.to_string().ends_with("login first: [redacted]"), "{failed}");
    }
}
