//! JSON web tokens of service accounts, and the keys that verify them.
//!
//! Source: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (algorithms); OpenID Connect Discovery 1.0.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most characters of a token that are read; one of a service account has about 1,200.
const LONGEST: usize = 16 << 10;
/// The most bytes of a key set that are read.
const LARGEST: usize = 256 << 10;

/// The header of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The algorithm, as `RS256`.
    pub alg: String,
    /// The key's id.
    #[serde(default)]
    pub kid: Option<String>,
}

/// The claims of a service account's token. None of them is secret; the signature is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    #[serde(default)]
    pub iss: Option<String>,
    /// For whom it is meant.
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// When it was issued, in seconds since 1970.
    #[serde(default)]
    pub iat: Option<i64>,
    /// When it expires.
    #[serde(default)]
    pub exp: Option<i64>,
    /// Its id.
    #[serde(default)]
    pub jti: Option<String>,
    /// What it is bound to.
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Option<Bound>,
}

/// What a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Named>,
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Named>,
}

/// An object that a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl Claims {
    /// How long it lives, in seconds.
    pub fn lifetime(&self) -> Option<i64> {
        self.exp?.checked_sub(self.iat?)
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.exp?).ok()
    }
}

/// `aud` is one text or a list of them.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// A token taken apart. What is wrong with one is said without quoting it.
pub(crate) struct Parsed<'a> {
    /// The header.
    pub header: Header,
    /// The claims.
    pub claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parsed<'a> {
    /// Takes a token in its compact form apart.
    pub(crate) fn read(token: &'a str) -> Result<Self, String> {
        if token.len() > LONGEST {
            return Err(format!("it has {} characters", token.len()));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("it has one part instead of three")?;
        let (header, claims) = signed.split_once('.').ok_or("it has two parts instead of three")?;
        let decode = |part: &str, name: &str| {
            BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("its {name} is not base64url"))
        };
        Ok(Self {
            header: serde_json::from_slice(&decode(header, "header")?).map_err(|_| "its header names no alg")?,
            claims: serde_json::from_slice(&decode(claims, "payload")?).map_err(|_| "its payload holds no claims")?,
            signed,
            signature: decode(signature, "signature")?,
        })
    }

    /// Whether one of the keys made its signature, and if not, why not.
    pub(crate) fn verify(&self, keys: &KeySet) -> Result<(), String> {
        let kid = self.header.kid.as_deref().unwrap_or_default();
        let named: Vec<_> = keys.keys.iter().filter(|key| key.kid.as_deref().unwrap_or_default() == kid).collect();
        if named.is_empty() {
            return Err(format!("no key has its id {kid}"));
        }
        let mut why = String::new();
        for key in named {
            match key.verify(&self.header.alg, self.signed.as_bytes(), &self.signature) {
                Ok(()) => return Ok(()),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }
}

/// The keys that verify tokens (JWKS). They are public.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeySet {
    /// The keys.
    pub keys: Vec<Key>,
}

/// A public key (JWK).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The kind: `RSA` or `EC`.
    pub kty: String,
    /// The id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The modulus of an RSA key, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent of an RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// The first coordinate of an EC key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The second coordinate of an EC key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

impl KeySet {
    /// Reads a key set.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LARGEST {
            return Err(format!("it has {} bytes", bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(|error| format!("it is not a key set: {error}"))
    }
}

impl Key {
    fn verify(&self, alg: &str, signed: &[u8], signature: &[u8]) -> Result<(), String> {
        let part = |part: &Option<String>| {
            let text = part.as_ref().ok_or("the key of its id is incomplete")?;
            BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| "the key of its id is not base64url")
        };
        let rsa = |parameters: &'static RsaParameters| -> Result<bool, String> {
            let key = RsaPublicKeyComponents { n: part(&self.n)?, e: part(&self.e)? };
            Ok(key.verify(parameters, signed, signature).is_ok())
        };
        let point = || -> Result<Vec<u8>, String> { Ok([vec![4], part(&self.x)?, part(&self.y)?].concat()) };
        let verified = match (self.kty.as_str(), alg) {
            ("RSA", "RS256") => rsa(&RSA_PKCS1_2048_8192_SHA256)?,
            ("RSA", "RS384") => rsa(&RSA_PKCS1_2048_8192_SHA384)?,
            ("RSA", "RS512") => rsa(&RSA_PKCS1_2048_8192_SHA512)?,
            ("EC", "ES256") => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()?).verify(signed, signature).is_ok()
            }
            ("EC", "ES384") => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()?).verify(signed, signature).is_ok()
            }
            ("EC", "ES512") => {
                UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point()?).verify(signed, signature).is_ok()
            }
            (kind, _) => {
                let short = |text: &str| text.chars().take(20).collect::<String>();
                return Err(format!("its algorithm {} does not go with a key of kind {}", short(alg), short(kind)));
            }
        };
        if verified { Ok(()) } else { Err("the key of its id did not make its signature".into()) }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    /// A key that signs tokens.
    pub(crate) struct Signer(EcdsaKeyPair);

    impl Signer {
        pub(crate) fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        /// The key that verifies, under this id.
        pub(crate) fn key(&self, kid: &str) -> Key {
            let point = self.0.public_key().as_ref();
            Key {
                kty: "EC".into(),
                kid: Some(kid.into()),
                alg: Some("ES256".into()),
                x: Some(BASE64_URL_SAFE_NO_PAD.encode(&point[1..33])),
                y: Some(BASE64_URL_SAFE_NO_PAD.encode(&point[33..])),
                ..Key::default()
            }
        }

        /// A token with these claims, in JSON.
        pub(crate) fn sign(&self, kid: &str, claims: &str) -> String {
            let header = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
            let signed = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::Signer;
    use super::*;

    const CLAIMS: &str = r#"{"iss":"https://kubernetes.default.svc","aud":["a","b"],"iat":100,"exp":700,"jti":"u",
        "kubernetes.io":{"namespace":"ns","pod":{"name":"p","uid":"1"},"node":{"name":"n1","uid":"2"}}}"#;

    #[test]
    fn a_token_is_taken_apart_and_verified() {
        let signer = Signer::new();
        let token = signer.sign("k1", CLAIMS);
        let parsed = Parsed::read(&token).unwrap();
        assert_eq!(parsed.claims.lifetime(), Some(600));
        assert_eq!(parsed.claims.kubernetes.clone().unwrap().node.unwrap().name, "n1");
        let keys = KeySet { keys: vec![signer.key("k0"), signer.key("k1")] };
        assert_eq!(parsed.verify(&keys), Ok(()));
        let others = KeySet { keys: vec![Signer::new().key("k1")] };
        assert_eq!(parsed.verify(&others), Err("the key of its id did not make its signature".into()));
        assert_eq!(parsed.verify(&KeySet::default()), Err("no key has its id k1".into()));
    }

    #[test]
    fn an_algorithm_that_is_not_a_signature_is_refused() {
        let signer = Signer::new();
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#);
        let token = format!("{header}.{}.", BASE64_URL_SAFE_NO_PAD.encode(CLAIMS));
        let parsed = Parsed::read(&token).unwrap();
        let keys = KeySet { keys: vec![signer.key("k1")] };
        assert_eq!(parsed.verify(&keys), Err("its algorithm none does not go with a key of kind EC".into()));
    }

    #[test]
    fn an_audience_is_one_or_many() {
        let claims: Claims = serde_json::from_str(r#"{"aud":"a"}"#).unwrap();
        assert_eq!(claims.aud, ["a"]);
        assert_eq!(claims.lifetime(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe_and_not_quoted(token in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,60}") {
            if let Ok(parsed) = Parsed::read(&token) {
                let _ = parsed.verify(&KeySet { keys: vec![Signer::new().key("")] });
            }
        }

        #[test]
        fn arbitrary_key_sets_are_safe(bytes in any::<Vec<u8>>()) {
            let _ = KeySet::read(&bytes);
        }
    }
}
