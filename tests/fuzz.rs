//! A smoke run of the fuzz targets without a fuzzer: seeds, and what becomes of them when bytes are changed at random.
//!
//! It runs everywhere, in the stable toolchain, and takes some seconds; `cargo fuzz run TARGET` in `fuzz/` runs the same
//! targets guided by coverage, for as long as one likes. A run that fails prints the bytes that made it fail.

#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use seaworthy::probe::{Answers, message};

/// How long each target runs.
const SPELL: Duration = Duration::from_millis(1500);

/// A generator of numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or_default()
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut params = CertificateParams::new(vec!["kubernetes".into(), "10.96.0.1".into()]).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
    let base64url = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    match target {
        "certificate" => vec![certificate.der().to_vec()],
        "pem" => vec![certificate.pem().into_bytes()],
        "jwt" => {
            let claims = r#"{"iss":"https://kubernetes.default.svc","aud":["a"],"iat":1,"exp":2,"kubernetes.io":{"pod":{"name":"p","uid":"u"}}}"#;
            let keys = |kind: &str| {
                format!(r#"{{"keys":[{{"kty":"{kind}","kid":"k","n":"AQAB","e":"AQAB","x":"AQAB","y":"AQAB"}}]}}"#)
            };
            [("RS256", "RSA"), ("ES256", "EC")]
                .map(|(algorithm, kind)| {
                    let header = format!(r#"{{"alg":"{algorithm}","kid":"k"}}"#);
                    format!("{}.{}.AQAB\n{}", base64url(&header), base64url(claims), keys(kind)).into_bytes()
                })
                .into()
        }
        "jws" => vec![
            b"eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..vH_kT4yiol-nrAWgjfCYqvum5wsKETXe0S7OOp1VgnE\napiVersion: v1\n"
                .into(),
        ],
        "kubeconfig" => {
            let data = BASE64_STANDARD.encode(certificate.pem());
            let text = format!(
                "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {data}\n    server: https://[fd00::1]:6443\n  name: \"\"\ncontexts: []\nkind: Config\nusers:\n- {{name: a, user: {{token: b}}}}\n",
            );
            vec![text.into_bytes(), b"a: &a [x, *a]\n".into()]
        }
        "answers" => {
            vec![message::pack_within(&Answers::default(), message::MESSAGE_LIMIT).expect("a message").into_bytes()]
        }
        other => panic!("the target {other} has no seeds"),
    }
}

fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1).min(bytes.len().saturating_sub(1));
        let byte = u8::try_from(numbers.below(256)).unwrap_or_default();
        match numbers.below(6) {
            _ if bytes.is_empty() => bytes.push(byte),
            0 => bytes[at] = byte,
            1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes.insert(at, byte),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {
                let part = bytes[at..(at + numbers.below(32)).min(bytes.len())].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

#[test]
fn nothing_that_is_read_makes_us_fail() {
    for (name, target) in targets::ALL {
        let seeds = seeds(name);
        let mut numbers = Numbers(0x5ea0_0007);
        let began = Instant::now();
        let mut round = 0;
        while began.elapsed() < SPELL {
            let seed = &seeds[round % seeds.len()];
            let bytes = if round < seeds.len() { seed.clone() } else { changed(seed, &mut numbers) };
            assert!(catch_unwind(|| target(&bytes)).is_ok(), "{name} fails on {}", BASE64_STANDARD.encode(&bytes));
            round += 1;
        }
        assert!(round > 50, "{name}: only {round} rounds");
    }
}
