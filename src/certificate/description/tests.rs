use proptest::{collection::vec, prelude::*, sample::Index};
use rcgen::{CustomExtension, IsCa, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, SanType};

use super::*;
use crate::certificate::testing::{Authority, self_signed, years};

/// Made by `openssl req -x509 -newkey rsa:1024 -sha1`. The expectations below are what `openssl
/// x509 -text` says of it.
const RSA1024_SHA1: &str = include_str!("rsa1024-sha1.pem");

fn rsa1024_sha1() -> Description {
    let certificates = Certificate::from_pem_bundle(RSA1024_SHA1).unwrap();
    certificates[0].describe().unwrap()
}

fn described(names: &[&str]) -> Description {
    Authority::new("kubernetes").leaf(names).certificate.describe().unwrap()
}

#[test]
fn agrees_with_openssl() {
    let key_id = "630b09daec80a43d930fe6ec1ac302bafc411dac".to_owned();
    assert_eq!(
        rsa1024_sha1(),
        Description {
            subject: "CN=old\\, server,O=second,O=system:masters".into(),
            common_name: Some("old, server".into()),
            organizations: vec!["system:masters".into(), "second".into()],
            issuer: "CN=old\\, server,O=second,O=system:masters".into(),
            serial: "2bfcd5e321d4f637aeeaa7f13e56910d0c64caaa".into(),
            not_before: "2026-11-23T14:11:57Z".parse().unwrap(),
            not_after: "2126-10-30T14:11:57Z".parse().unwrap(),
            dns_names: vec!["n1".into(), "*.nodes.example".into()],
            ip_addresses: vec!["10.96.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            other_names: vec!["RFC822Name(a@example)".into(), "URI(spiffe://x)".into()],
            is_ca: Some(false),
            key_usages: vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment],
            extended_key_usages: vec![ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::Other("1.3.6.1.4.1.1".into())],
            authority_key_id: Some(key_id.clone()),
            subject_key_id: Some(key_id),
            public_key: PublicKey::Rsa { bits: 1024 },
            signature_algorithm: rsa1024_sha1().signature_algorithm,
            spki_sha256: "sha256:9d5c6fce3e0227019bba7e2506e1fc2aa5f041e4fad1f58d80d3b9860c3a747f".into(),
            fingerprint: "sha256:895ce8d3508a65e9d88c291385402a6892a220b34ba9488c24e2a38a9253ef5b".into(),
            self_issued: true,
        }
    );
}

#[test]
fn names_the_algorithm_of_the_signature() {
    let old = rsa1024_sha1().signature_algorithm;
    assert_eq!(old.name(), "sha1WithRSAEncryption");
    assert!(old.is_sha1_or_md5());

    let new = described(&["n1"]).signature_algorithm;
    assert_eq!(new.name(), "ecdsa-with-SHA256");
    assert!(!new.is_sha1_or_md5());
}

#[test]
fn names_the_kind_of_the_key() {
    let ca = Authority::new("kubernetes");
    let key = |algorithm| {
        let leaf = ca.leaf_with(&["n1"], algorithm, |_| {});
        leaf.certificate.describe().unwrap().public_key.to_string()
    };
    assert_eq!(key(&PKCS_ECDSA_P521_SHA512), "ECDSA P-521");
    assert_eq!(key(&PKCS_ED25519), "Ed25519");
    assert_eq!(rsa1024_sha1().public_key.to_string(), "RSA 1024");
}

#[test]
fn knows_a_ca() {
    let ca = Authority::new("kubernetes").certificate.describe().unwrap();
    assert_eq!(ca.is_ca, Some(true));
    assert!(ca.self_issued);

    let leaf = described(&["n1"]);
    assert_eq!(leaf.is_ca, None);
    assert!(!leaf.self_issued);
    assert_eq!(leaf.issuer, ca.subject);
}

#[test]
fn an_address_is_looked_up_among_the_addresses_only() {
    let certificate = described(&["10.96.0.1", "fd00::1", "n1"]);
    assert!(certificate.covers("10.96.0.1"));
    assert!(certificate.covers("::ffff:10.96.0.1"));
    assert!(certificate.covers("[fd00:0::1]"));
    assert!(certificate.covers("N1"));
    assert!(!certificate.covers("10.96.0.2"));

    let mistaken = Authority::new("kubernetes").leaf_with(&[], &PKCS_ED25519, |params| {
        params.subject_alt_names = vec![SanType::DnsName("10.96.0.1".try_into().unwrap())];
    });
    assert!(!mistaken.certificate.describe().unwrap().covers("10.96.0.1"));
}

#[test]
fn the_common_name_is_not_a_name_to_dial() {
    let certificate = described(&[]);
    assert_eq!(certificate.common_name.as_deref(), Some("kube-apiserver"));
    assert!(!certificate.covers("kube-apiserver"));
    assert!(certificate.names().is_empty());
}

#[test]
fn lists_its_names_for_a_message() {
    let certificate = described(&["n1", "10.96.0.1", "kubernetes"]);
    assert_eq!(certificate.names(), ["n1", "kubernetes", "10.96.0.1"]);
}

#[test]
fn an_address_of_a_wrong_length_is_kept_apart() {
    // The text of an address where its four bytes belong, as hand-made certificates have it.
    let text = b"10.96.0.1";
    let mut names = vec![0x30, 11, 0x87, 9];
    names.extend(text);
    let leaf = Authority::new("kubernetes").leaf_with(&[], &PKCS_ED25519, |params| {
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
    });
    let certificate = leaf.certificate.describe().unwrap();
    assert_eq!(certificate.ip_addresses, [] as [IpAddr; 0]);
    assert_eq!(certificate.other_names, ["an IP address of 9 bytes"]);
    assert!(!certificate.covers("10.96.0.1"));
}

#[test]
fn an_extension_that_comes_twice_is_malformed() {
    let leaf = Authority::new("kubernetes").leaf_with(&["n1"], &PKCS_ED25519, |params| {
        let empty = vec![0x30, 0];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], empty)];
    });
    let error = leaf.certificate.describe().unwrap_err();
    assert!(error.reason.contains("uplicate"), "{error}");
}

#[test]
fn never_is_the_last_timestamp() {
    let ca = Authority::with("kubernetes", years(2020, 9999));
    assert_eq!(ca.certificate.describe().unwrap().not_after, Timestamp::MAX);
}

#[test]
fn both_ends_of_the_validity_belong_to_it() {
    let certificate = described(&["n1"]);
    let instant = jiff::SignedDuration::from_secs(1);
    assert!(certificate.is_valid_at(certificate.not_before));
    assert!(certificate.is_valid_at(certificate.not_after));
    assert!(!certificate.is_valid_at(certificate.not_before - instant));
    assert!(!certificate.is_valid_at(certificate.not_after + instant));
}

#[test]
fn what_is_not_a_certificate_is_malformed() {
    assert!(Certificate::from_der([]).describe().is_err());
    let mut longer = self_signed(&["n1"], IsCa::NoCa).certificate.der().to_vec();
    longer.push(0);
    let error = Certificate::from_der(longer).describe().unwrap_err();
    assert_eq!(error.to_string(), "not a certificate: 1 bytes follow the certificate");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(der in vec(any::<u8>(), 0..400)) {
        let _ = Certificate::from_der(der).describe();
    }

    /// Damage to a real certificate reaches deeper into the parser than noise does.
    #[test]
    fn a_damaged_certificate_never_panics(damage in vec(any::<(Index, u8)>(), 1..6)) {
        let mut der = Certificate::from_pem_bundle(RSA1024_SHA1).unwrap()[0].der().to_vec();
        for (at, byte) in damage {
            let at = at.index(der.len());
            der[at] = byte;
        }
        if let Ok(description) = Certificate::from_der(der).describe() {
            let _ = (description.covers("n1.nodes.example"), description.names());
        }
    }
}

#[test]
fn an_authority_of_the_same_name_has_not_signed() {
    let (ca, namesake) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
    let leaf = ca.leaf(&["n1"]).certificate;
    assert!(leaf.is_signed_by(&ca.certificate) && ca.certificate.is_signed_by(&ca.certificate));
    assert!(!leaf.is_signed_by(&namesake.certificate));
    assert!(!leaf.is_signed_by(&Authority::new("etcd-ca").certificate));
    assert!(!leaf.is_signed_by(&leaf) && !leaf.is_signed_by(&Certificate::from_der([])));
}
