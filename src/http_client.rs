//! HTTP clients that talk to one server: they use no proxy and follow no redirect.

use std::time::Duration;

/// A client whose requests may take this long, answer included.
pub(crate) fn direct(deadline: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .timeout(deadline)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(crate::USER_AGENT)
}

/// The same for requests without anything secret, which may go to a server with any certificate.
pub(crate) fn stranger(deadline: Duration) -> reqwest::ClientBuilder {
    direct(deadline).tls_danger_accept_invalid_certs(true)
}
