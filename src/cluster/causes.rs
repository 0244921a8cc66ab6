//! Why a request was not answered.

use std::error::Error;

use kube::client::AuthError;
use rustls::CertificateError;

use super::Call;
use crate::seen::Unobserved;

/// The fault of the server's certificate, if that is why a request was not sent.
pub(super) fn certificate_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    chain(error).find_map(|error| match unwrapped(error).downcast_ref() {
        Some(rustls::Error::InvalidCertificate(fault)) => Some(fault),
        _ => None,
    })
}

/// The error inside of an I/O error, which may be one itself: the source of an I/O error skips what it wraps.
fn unwrapped<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => unwrapped(wrapped),
        None => error,
    }
}

/// Whether a request was not sent because the server's certificate is trusted, but for other names.
pub(super) fn is_name_mismatch(error: &(dyn Error + 'static)) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(certificate_fault(error), Some(NotValidForName | NotValidForNameContext { .. }))
}

/// Why a request was not answered, with the causes that the top-level text hides.
pub(super) fn failure(call: &Call, error: &(dyn Error + 'static)) -> Unobserved {
    Unobserved::unreachable(call.to_string(), no_credential(error).map_or_else(|| causes(error), fault))
}

/// Whether a request was not sent because there is no credential to send it with.
pub(super) fn no_credential<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AuthError> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// How a connection broke, if that is why a request was not answered. A server that refuses connections or does not answer in
/// time is not one that lost a connection.
pub(super) fn broken_connection(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    chain(error).find_map(|error| {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
                .then_some("the connection was closed");
        }
        match error.downcast_ref::<std::io::Error>()?.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe => Some("the connection was reset"),
            UnexpectedEof => Some("the connection was closed"),
            _ => None,
        }
    })
}

/// An error and its sources, the innermost last.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Why there is no credential.
pub(super) fn fault(error: &AuthError) -> String {
    match error {
        AuthError::ReadTokenFile(why, path) => format!("its tokenFile {} cannot be read: {why}", path.display()),
        AuthError::InvalidBearerToken(_) => "its token has a character that an HTTP header cannot carry".into(),
        other => causes(other),
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

    use super::*;

    #[test]
    fn a_fault_of_the_certificate_is_found_as_it_is_and_as_an_io_error_holds_it() {
        let untrusted = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let twice = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, untrusted.clone()));
        for error in [&untrusted as &(dyn Error + 'static), &io::Error::other(untrusted.clone()), &twice] {
            assert_eq!(certificate_fault(error), Some(&CertificateError::UnknownIssuer));
            assert!(!is_name_mismatch(error));
        }
        let of_another = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        assert!(is_name_mismatch(&io::Error::other(of_another)));
        assert_eq!(certificate_fault(&io::Error::other("the certificate of the proxy: connection refused")), None);
        assert_eq!(certificate_fault(&io::Error::other(rustls::Error::HandshakeNotComplete)), None);
    }
}
