//! A TLS connection over any stream. After a failure it still knows what was negotiated.
//!
//! tokio-rustls drops the connection together with a failed handshake; what a server chose before
//! it refused is part of the record. So the state machine of rustls is driven here.

use std::{io, time::Duration};

use rustls::{AlertDescription, ClientConnection, Error, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A client's side of a connection.
pub(super) struct Connection<S> {
    stream: S,
    tls: ClientConnection,
    /// The server has started to speak TLS.
    has_answered: bool,
    /// The server has sent data of an application.
    has_data: bool,
    /// The server has announced that it sends nothing more.
    has_ended: bool,
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ending {
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Stream(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// What the server sent is not TLS.
    #[error("the answer is not TLS")]
    NotTls(Vec<u8>),
    /// The server ended the connection with an alert.
    #[error("the server refused with the alert {}", alert_name(*.0))]
    Alert(AlertDescription),
    /// The server violated the protocol, or requires something that rustls lacks.
    #[error("the server's TLS cannot be processed: {0}")]
    Protocol(Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, tls: ClientConnection) -> Self {
        Self { stream, tls, has_answered: false, has_data: false, has_ended: false }
    }

    /// The state, also after the end.
    pub(super) fn tls(&self) -> &ClientConnection {
        &self.tls
    }

    /// Completes the handshake.
    pub(super) async fn complete(&mut self) -> Result<(), Ending> {
        while self.tls.is_handshaking() {
            self.send().await?;
            self.receive().await?;
        }
        self.send().await
    }

    /// Waits until the server shows that it accepts the handshake: by a session ticket, by data, or
    /// by a clean close. In TLS 1.2 it has done so by completing the handshake.
    pub(super) async fn accepted(&mut self) -> Result<(), Ending> {
        while self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && self.tls.tls13_tickets_received() == 0
            && !self.has_data
            && !self.has_ended
        {
            self.receive().await?;
        }
        Ok(())
    }

    /// Sends a close notification, if the stream still accepts it.
    pub(super) async fn close(mut self) {
        self.tls.send_close_notify();
        // The record is complete: it does not matter whether the server receives this.
        let _ = self.send().await;
    }

    async fn send(&mut self) -> Result<(), Ending> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out)?;
        }
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads what the server sends next.
    async fn receive(&mut self) -> Result<(), Ending> {
        if self.has_ended {
            return Err(Ending::Closed);
        }
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer).await?;
        let mut received = &buffer[..length];
        if received.is_empty() {
            return Err(Ending::Closed);
        }
        if !self.has_answered && !begins_a_record(received) {
            return Err(Ending::NotTls(received.to_vec()));
        }
        self.has_answered = true;

        while !received.is_empty() && !self.has_ended {
            self.tls.read_tls(&mut received)?;
            let state = self.tls.process_new_packets()?;
            self.has_data = state.plaintext_bytes_to_read() > 0;
            self.has_ended = state.peer_has_closed();
        }
        Ok(())
    }
}

/// A server's first record is of the handshake or an alert (RFC 8446, 5.1). Anything else, like the
/// `H` of an HTTP response, is another protocol.
fn begins_a_record(received: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    matches!(received, [ALERT | HANDSHAKE, ..])
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        match error {
            Error::AlertReceived(alert) => Self::Alert(alert),
            other => Self::Protocol(other),
        }
    }
}

/// The name of an alert in RFC 8446, section 6, which is what other programs log:
/// `certificate_required`.
pub(super) fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown_ca".to_owned(),
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized_name".to_owned(),
        AlertDescription::Unknown(number) => number.to_string(),
        other => snake_case(&format!("{other:?}")),
    }
}

fn snake_case(name: &str) -> String {
    name.char_indices().fold(String::new(), |mut snake, (at, character)| {
        if at > 0 && character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
        snake
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        let names = [
            (AlertDescription::CertificateRequired, "certificate_required"),
            (AlertDescription::UnrecognisedName, "unrecognized_name"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::Unknown(99), "99"),
        ];
        for (alert, name) in names {
            assert_eq!(alert_name(alert), name);
        }
    }
}
