//! How HTTP requests fail.

use std::error::Error;
use std::io;

use crate::probe::answer::Fault;

/// The innermost cause of a failed request, which the top-level text hides.
pub(super) fn http_fault(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::TimedOut;
    }
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && io.get_ref().is_none()
        {
            return Fault::from(io::Error::from(io.kind()));
        }
    }
    Fault::Other(cause.to_string())
}
