//! Whether a server still speaks TLS 1.1 or 1.0, which rustls does not.
//!
//! It sends one ClientHello that offers TLS 1.1 at most, and reads one record: a ServerHello with the version that the
//! server chose, or an alert. The handshake ends there, before any key is agreed.

use std::time::Duration;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::connect;
use super::connection::{Ending, alert_name};
use super::deadline::Deadline;
use crate::handshake::{Outdated, Target, Unreachable};

/// Record types (RFC 5246, 6.2.1).
const ALERT: u8 = 21;
/// See [`ALERT`].
const HANDSHAKE: u8 = 22;
/// Handshake types (RFC 5246, 7.4).
const CLIENT_HELLO: u8 = 1;
/// See [`CLIENT_HELLO`].
const SERVER_HELLO: u8 = 2;
/// TLS 1.0 and 1.1 on the wire.
const TLS10: [u8; 2] = [3, 1];
/// See [`TLS10`].
const TLS11: [u8; 2] = [3, 2];
/// Cipher suites of that time: ECDHE and RSA with AES or 3DES in CBC mode and SHA-1.
const CIPHER_SUITES: [u16; 8] = [0xc009, 0xc00a, 0xc013, 0xc014, 0xc012, 0x002f, 0x0035, 0x000a];

/// Dials `target` and offers it TLS 1.1 at most.
///
/// # Errors
/// If neither a ServerHello nor a refusal arrived.
pub(crate) async fn outdated(target: &Target, deadline: Duration) -> Result<Outdated, Unreachable> {
    let deadline = Deadline::after(deadline);
    let exchange = async { outdated_over(connect(&target.address).await?).await };
    deadline.limit(exchange).await.unwrap_or_else(|| Err(deadline.missed().into()))
}

/// Offers TLS 1.1 at most over this connection. The caller sets the deadline.
///
/// # Errors
/// If neither a ServerHello nor a refusal arrived.
pub(crate) async fn outdated_over<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<Outdated, Unreachable> {
    offer(&mut stream).await
}

async fn offer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Outdated, Unreachable> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| Unreachable::Other { text: "no random numbers are available".into() })?;
    stream.write_all(&client_hello(&random)).await?;
    // A record's header, and as much of its content as contains the version.
    let mut answer = [0; 11];
    let mut length = 0;
    while length < needed(&answer[..length]) {
        match stream.read(&mut answer[length..]).await {
            Ok(0) => break,
            Ok(more) => length += more,
            // A server may close the connection at once if it does not support the version.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
        }
    }
    read(&answer[..length])
}

/// How much of an answer must have arrived: an alert is short.
fn needed(answer: &[u8]) -> usize {
    if answer.first() == Some(&ALERT) { 7 } else { 11 }
}

fn read(answer: &[u8]) -> Result<Outdated, Unreachable> {
    match answer {
        [] => Ok(Outdated::Refused { alert: None }),
        [ALERT, _, _, _, _, _, alert, ..] => {
            Ok(Outdated::Refused { alert: Some(alert_name(AlertDescription::from(*alert))) })
        }
        [HANDSHAKE, _, _, _, _, SERVER_HELLO, _, _, _, 3, minor, ..] if *minor <= TLS11[1] => {
            let version = ["SSL 3.0", "TLS 1.0", "TLS 1.1"][usize::from(*minor)];
            Ok(Outdated::Accepted { version: version.into() })
        }
        other => Err(Ending::NotTls(other.to_vec()).into()),
    }
}

/// A ClientHello (RFC 4346, 7.4.1.2) with the curves that ECDHE needs (RFC 8422, 5.1).
fn client_hello(random: &[u8; 32]) -> Vec<u8> {
    // supported_groups: P-256, P-384, P-521; ec_point_formats: uncompressed.
    const EXTENSIONS: [u8; 18] = [0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 25, 0, 11, 0, 2, 1, 0];
    let mut body = Vec::from(TLS11);
    body.extend(random);
    body.push(0);
    body.extend(length16(CIPHER_SUITES.len() * 2));
    body.extend(CIPHER_SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    body.extend(length16(EXTENSIONS.len()));
    body.extend(EXTENSIONS);
    let mut handshake = vec![CLIENT_HELLO, 0];
    handshake.extend(length16(body.len()));
    handshake.extend(body);
    let mut record = vec![HANDSHAKE];
    record.extend(TLS10);
    record.extend(length16(handshake.len()));
    record.extend(handshake);
    record
}

/// A length in two bytes; the hello is far shorter than their limit.
fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;

    #[test]
    fn the_hello_says_how_long_it_is() {
        let hello = client_hello(&[7; 32]);
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
        assert_eq!(hello[9..11], TLS11);
    }

    #[test]
    fn a_server_goes_on_or_refuses() {
        let accepted = [22, 3, 2, 0, 80, 2, 0, 0, 76, 3, 2];
        assert_eq!(read(&accepted).unwrap(), Outdated::Accepted { version: "TLS 1.1".into() });
        let refused = Outdated::Refused { alert: Some("protocol_version".into()) };
        assert_eq!(read(&[21, 3, 1, 0, 2, 2, 70]).unwrap(), refused);
        assert_eq!(read(&[]).unwrap(), Outdated::Refused { alert: None });
        assert!(matches!(read(b"HTTP/1.1 40"), Err(Unreachable::NotTls { .. })));
        assert!(read(&[22, 3, 3, 0, 80, 2, 0, 0, 76, 3, 3]).is_err(), "TLS 1.2 was not offered");
    }

    #[tokio::test]
    async fn an_answer_in_pieces_is_read_whole() {
        let (mut client, mut server) = duplex(1024);
        let serving = tokio::spawn(async move {
            let mut hello = [0; 512];
            let _ = server.read(&mut hello).await;
            for byte in [21, 3, 1, 0, 2, 2, 70] {
                server.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let answer = offer(&mut client).await.unwrap();
        assert_eq!(answer, Outdated::Refused { alert: Some("protocol_version".into()) });
        serving.await.unwrap();
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..11)) {
            let _ = read(&bytes);
        }
    }
}
