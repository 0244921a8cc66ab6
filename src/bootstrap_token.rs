//! Bootstrap tokens, and the signatures by which a joining node knows that cluster-info is its cluster's.
//!
//! A token is `id.secret`. For each token ConfigMap kube-public/cluster-info holds a detached JWS (RFC 7515, appendix F)
//! over the bytes of its key `kubeconfig`: `header..signature`, HMAC-SHA256 with the secret's ASCII as key.
//!
//! Source: <https://pkg.go.dev/k8s.io/cluster-bootstrap/token/jws>.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Deserialize;

/// The prefix of the keys of cluster-info that hold a signature; the token's id follows.
pub(crate) const SIGNATURE_KEY: &str = "jws-kubeconfig-";
/// The prefix of the names of token Secrets; the token's id follows.
pub(crate) const SECRET_NAME: &str = "bootstrap-token-";
/// The most characters that a signature is expected to have; a right one has 86.
const LONGEST: usize = 1024;

/// Whether this is a token's id: six lower-case letters and digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// What the bootstrap signer writes as header.
fn header(id: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#))
}

/// Whether `detached` is what the bootstrap signer writes for this content with this token. kubeadm computes the
/// signature again and compares; this does the same, in constant time.
pub(crate) fn verifies(detached: &str, content: &[u8], id: &str, secret: &[u8]) -> bool {
    let header = header(id);
    let Some(signature) = detached.strip_prefix(&header).and_then(|rest| rest.strip_prefix("..")) else {
        return false;
    };
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(content));
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes(), &signature).is_ok()
}

/// Whether `detached` has the form of a signature by this token, and if not, why not; it is not quoted.
pub(crate) fn form(detached: &str, id: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
        kid: String,
    }

    if !is_id(id) {
        return Err("its key does not end with the id of a token".into());
    }
    if detached.len() > LONGEST {
        return Err(format!("it has {} characters", detached.len()));
    }
    let parts: Vec<&str> = detached.split('.').collect();
    let [protected, payload, signature] = parts[..] else {
        return Err(format!("it has {} parts instead of three", parts.len()));
    };
    if !payload.is_empty() {
        return Err("it carries a payload".into());
    }
    let protected = BASE64_URL_SAFE_NO_PAD.decode(protected).map_err(|_| "its header is not base64url")?;
    let Header { alg, kid } = serde_json::from_slice(&protected).map_err(|_| "its header names no alg and kid")?;
    if alg != "HS256" {
        return Err("its algorithm is not HS256".into());
    }
    if kid != id {
        return Err("it names another token than its key".into());
    }
    match BASE64_URL_SAFE_NO_PAD.decode(signature) {
        Ok(signature) if signature.len() == 32 => Ok(()),
        Ok(signature) => Err(format!("its signature has {} bytes instead of 32", signature.len())),
        Err(_) => Err("its signature is not base64url".into()),
    }
}

/// Makes the signature that the bootstrap signer would.
#[cfg(test)]
pub(crate) fn sign(content: &[u8], id: &str, secret: &[u8]) -> String {
    let header = header(id);
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(content));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{header}..{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTENT: &[u8] = b"apiVersion: v1\nkind: Config\n";
    const SIGNATURE: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..vH_kT4yiol-nrAWgjfCYqvum5wsKETXe0S7OOp1VgnE";
    const SECRET: &[u8] = b"0123456789abcdef";

    #[test]
    fn the_known_vector_verifies() {
        assert!(verifies(SIGNATURE, CONTENT, "abcdef", SECRET));
        assert_eq!(form(SIGNATURE, "abcdef"), Ok(()));
        assert_eq!(sign(CONTENT, "abcdef", SECRET), SIGNATURE);
    }

    #[test]
    fn anything_else_does_not() {
        assert!(!verifies(SIGNATURE, b"apiVersion: v1\nkind: Config", "abcdef", SECRET));
        assert!(!verifies(SIGNATURE, CONTENT, "abcdef", b"0123456789abcdee"));
        assert!(!verifies(SIGNATURE, CONTENT, "abcdeg", SECRET));
        assert!(!verifies(&SIGNATURE.replace("..", ".e30."), CONTENT, "abcdef", SECRET));
        // Another spelling of the same bytes: kubeadm compares text.
        assert!(!verifies(&SIGNATURE.replace("VgnE", "VgnF"), CONTENT, "abcdef", SECRET));
    }

    #[test]
    fn what_is_wrong_with_its_form_is_said_without_quoting_it() {
        let other = sign(CONTENT, "uvwxyz", SECRET);
        let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"abcdef"}"#) + "..";
        for (detached, why) in [
            ("", "it has 1 parts instead of three"),
            ("a.b.c", "it carries a payload"),
            ("!..c", "its header is not base64url"),
            ("e30..c", "its header names no alg and kid"),
            (&unsigned, "its algorithm is not HS256"),
            (&other, "it names another token than its key"),
            (&SIGNATURE[..SIGNATURE.len() - 3], "its signature has 30 bytes instead of 32"),
            (&"x".repeat(2000), "it has 2000 characters"),
        ] {
            assert_eq!(form(detached, "abcdef"), Err(why.to_owned()));
        }
        assert!(form(SIGNATURE, "ABC").is_err());
    }

    proptest! {
        #[test]
        fn every_content_is_verified_by_its_own_signature_only(content in any::<Vec<u8>>(), other in any::<Vec<u8>>(), secret in "[a-z0-9]{16}") {
            let detached = sign(&content, "abcdef", secret.as_bytes());
            prop_assert!(verifies(&detached, &content, "abcdef", secret.as_bytes()));
            prop_assert_eq!(form(&detached, "abcdef"), Ok(()));
            prop_assert_eq!(verifies(&detached, &other, "abcdef", secret.as_bytes()), content == other);
        }

        #[test]
        fn arbitrary_text_is_safe(detached in "[A-Za-z0-9_.=-]{0,120}|\\PC{0,60}", id in "\\PC{0,8}") {
            let _ = form(&detached, &id);
            prop_assert!(!verifies(&detached, b"content", &id, b"secret"));
        }
    }
}
