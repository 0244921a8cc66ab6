//! What reads bytes of others: each entry point takes anything and must not fail.

use jiff::Timestamp;
use seaworthy::bootstrap_token;
use seaworthy::certificate::{Certificate, verify, verify_client};
use seaworthy::fact::facts::cluster_info::DiscoveryKubeconfig;
use seaworthy::jwt::{KeySet, Parsed};
use seaworthy::probe::{Answers, message};

/// An entry point, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every entry point.
pub const ALL: [Target; 6] = [
    ("certificate", certificate),
    ("pem", pem),
    ("jwt", jwt),
    ("jws", jws),
    ("kubeconfig", kubeconfig),
    ("answers", answers),
];

/// A certificate as a server presents it: described, and led to itself.
pub fn certificate(data: &[u8]) {
    let certificate = Certificate::from_der(data);
    let at = Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
    if let Ok(description) = certificate.describe() {
        let _ = description.covers("kubernetes.default.svc");
        let _ = description.covers("10.96.0.1");
    }
    let chain = [certificate];
    let _ = verify(&chain, &chain, Some("kubernetes"), at);
    let _ = verify_client(&chain, &chain, at);
}

/// A bundle of certificates, as in kube-root-ca.crt, cluster-info and issued certificates.
pub fn pem(data: &[u8]) {
    if let Ok(certificates) = Certificate::from_pem_bundle(&String::from_utf8_lossy(data)) {
        for certificate in certificates {
            let _ = certificate.describe();
        }
    }
}

/// A token of a service account in the first line, the keys of its issuer after it.
pub fn jwt(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (token, keys) = data.split_at(at);
    let token = String::from_utf8_lossy(token);
    if let (Ok(parsed), Ok(keys)) = (Parsed::read(&token), KeySet::read(keys)) {
        let _ = parsed.claims.lifetime();
        let _ = parsed.verify(&keys);
    }
}

/// A detached signature of cluster-info in the first line, what it signs after it.
pub fn jws(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (detached, content) = data.split_at(at);
    let detached = String::from_utf8_lossy(detached);
    let _ = bootstrap_token::form(&detached, "abcdef");
    let _ = bootstrap_token::verifies(&detached, content, "abcdef", b"0123456789abcdef");
}

/// The kubeconfig of cluster-info.
pub fn kubeconfig(data: &[u8]) {
    let _ = DiscoveryKubeconfig::parse(&String::from_utf8_lossy(data));
}

/// The termination message of a probe.
pub fn answers(data: &[u8]) {
    let _ = message::unpack::<Answers>(&String::from_utf8_lossy(data));
}
