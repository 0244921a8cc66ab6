//! Why a request got no answer.

use super::Call;
use crate::fact::Unobserved;

/// Whether a request was not sent because the server's certificate, else trusted, is for other names.
pub(super) fn is_name_mismatch(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::{CertificateError, Error};
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error's source is that of what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = error.downcast_ref::<Error>().or_else(|| wrapped?.downcast_ref::<Error>());
        if let Some(Error::InvalidCertificate(certificate)) = tls {
            return matches!(
                certificate,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            );
        }
        next = error.source();
    }
    false
}

/// Why a request got no answer, with the causes that the top-level text hides.
pub(super) fn failure(call: &Call, error: &(dyn std::error::Error + 'static)) -> Unobserved {
    Unobserved::unreachable(call.to_string(), causes(error))
}

/// The innermost causes of an error.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if let Some(outer) = texts.last_mut()
            && outer.ends_with(&text)
        {
            outer.truncate(outer.len() - text.len());
            *outer = outer.trim_end_matches([':', ' ']).to_owned();
        }
        texts.push(text);
        next = error.source();
    }
    texts.retain(|text| {
        !text.is_empty() && text != "ServiceError" && text != "client error (Connect)" && text != "HyperError"
    });
    texts.dedup();
    texts.join(": ")
}
