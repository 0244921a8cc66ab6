use proptest::prelude::*;
use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, IsCa, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA512,
};

use super::*;
use crate::certificate::testing::{Authority, self_signed, years};

const NOW: &str = "2026-11-01T00:00:00Z";

/// The verdict on `chain` at [`NOW`].
fn verdict(chain: &[&Certificate], roots: &[&Certificate], name: Option<&str>) -> Result<(), Distrust> {
    let owned = |list: &[&Certificate]| list.iter().copied().cloned().collect::<Vec<_>>();
    verify(&owned(chain), &owned(roots), name, NOW.parse().unwrap())
}

#[test]
fn trusts_a_name_and_an_address() {
    let ca = Authority::new("kubernetes");
    let leaf = ca.leaf(&["kubernetes.default", "10.96.0.1"]).certificate;
    for name in [None, Some("kubernetes.default"), Some("10.96.0.1")] {
        assert_eq!(verdict(&[&leaf], &[&ca.certificate], name), Ok(()));
    }
}

#[test]
fn trusts_every_current_kind_of_key() {
    let ca = Authority::new("kubernetes");
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_RSA_SHA512] {
        let leaf = ca.leaf_with(&["n1"], algorithm, |_| {}).certificate;
        assert_eq!(verdict(&[&leaf], &[&ca.certificate], Some("n1")), Ok(()));
    }
}

#[test]
fn trusts_a_signature_of_p521_with_sha512() {
    let root = Authority::keyed("kubernetes", &PKCS_ECDSA_P521_SHA512);
    let leaf = root.leaf(&["n1"]).certificate;
    assert_eq!(leaf.describe().unwrap().signature_algorithm.name(), "ecdsa-with-SHA512");
    assert_eq!(verdict(&[&leaf], &[&root.certificate], Some("n1")), Ok(()));
}

#[test]
fn a_missing_name_is_listed_against_those_presented() {
    let ca = Authority::new("kubernetes");
    let leaf = ca.leaf(&["n1", "10.77.0.11"]).certificate;
    let distrust = verdict(&[&leaf], &[&ca.certificate], Some("10.96.0.1")).unwrap_err();
    assert_eq!(
        distrust,
        Distrust::NameMismatch { name: "10.96.0.1".into(), presented: vec!["n1".into(), "10.77.0.11".into()] }
    );
    assert_eq!(distrust.to_string(), "10.96.0.1 is not among its names (n1, 10.77.0.11)");
}

#[test]
fn dates_are_those_of_the_certificate() {
    let ca = Authority::new("kubernetes");
    let expired = ca.leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, years(2000, 2001)).certificate;
    assert_eq!(
        verdict(&[&expired], &[&ca.certificate], Some("n1")),
        Err(Distrust::Expired { not_after: "2001-12-31T00:00:00Z".parse().unwrap() })
    );
    let early = ca.leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, years(3000, 3001)).certificate;
    assert_eq!(
        verdict(&[&early], &[&ca.certificate], Some("n1")),
        Err(Distrust::NotYetValid { not_before: "3000-01-01T00:00:00Z".parse().unwrap() })
    );
}

#[test]
fn an_expired_root_is_the_reason_and_not_an_unknown_one() {
    let old = Authority::with("kubernetes", years(2000, 2001));
    let leaf = old.leaf(&["n1"]).certificate;
    let expired = Err(Distrust::Expired { not_after: "2001-12-31T00:00:00Z".parse().unwrap() });
    assert_eq!(verdict(&[&leaf], &[&old.certificate], Some("n1")), expired);

    // The new CA of the same name does not hide that the old one has expired.
    let new = Authority::new("kubernetes");
    assert_eq!(verdict(&[&leaf], &[&new.certificate, &old.certificate], Some("n1")), expired);
}

#[test]
fn an_expired_root_beside_the_right_one_does_no_harm() {
    let old = Authority::with("kubernetes", years(2000, 2001));
    let new = Authority::new("kubernetes");
    let leaf = new.leaf(&["n1"]).certificate;
    assert_eq!(verdict(&[&leaf], &[&old.certificate, &new.certificate], Some("n1")), Ok(()));
}

#[test]
fn a_ca_made_again_under_the_old_name_did_not_sign() {
    let leaf = Authority::new("kubernetes").leaf(&["n1"]).certificate;
    let other = Authority::new("kubernetes");
    assert_eq!(verdict(&[&leaf], &[&other.certificate], Some("n1")), Err(Distrust::BadSignature));
}

#[test]
fn the_unknown_issuer_is_the_one_where_the_chain_ends() {
    let root = Authority::new("front");
    let intermediate = root.intermediate("middle");
    let leaf = intermediate.leaf(&["n1"]).certificate;
    let stranger = Authority::new("kubernetes");

    let unknown = |issuer: &str| Err(Distrust::UnknownIssuer { issuer: issuer.into() });
    let roots = [&stranger.certificate];
    assert_eq!(verdict(&[&leaf], &roots, None), unknown("CN=middle"));
    assert_eq!(verdict(&[&leaf, &intermediate.certificate], &roots, None), unknown("CN=front"));
    assert_eq!(verdict(&[&leaf, &intermediate.certificate], &[], None), unknown("CN=front"));
    assert_eq!(verdict(&[&leaf, &intermediate.certificate], &[&root.certificate], None), Ok(()));
}

#[test]
fn a_client_certificate_is_not_for_servers() {
    let ca = Authority::new("kubernetes");
    let leaf = ca.leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(verdict(&[&leaf.certificate], &[&ca.certificate], None), Err(Distrust::NotForServerAuth));
}

#[test]
fn self_signed_certificates() {
    let leaf = self_signed(&["n1"], IsCa::NoCa).certificate;
    assert_eq!(verdict(&[&leaf], &[&leaf], Some("n1")), Ok(()));

    let ca = self_signed(&["n1"], IsCa::Ca(BasicConstraints::Unconstrained)).certificate;
    assert_eq!(verdict(&[&ca], &[&ca], Some("n1")), Err(Distrust::CaAsServer));
    assert_eq!(
        verdict(&[&ca], &[&leaf], Some("n1")),
        Err(Distrust::UnknownIssuer { issuer: "O=seaworthy,CN=kube-apiserver".into() })
    );
}

#[test]
fn a_signature_with_sha1_is_refused() {
    let old = include_str!("../description/rsa1024-sha1.pem");
    let chain = Certificate::from_pem_bundle(old).unwrap();
    let distrust = verify(&chain, &chain, None, "2027-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(distrust, Err(Distrust::RefusedSignature { algorithm: "sha1WithRSAEncryption".into() }));
}

#[test]
fn what_is_not_a_certificate_is_malformed() {
    let garbage = Certificate::from_der([0x30, 0]);
    let ca = Authority::new("kubernetes");
    for chain in [&[][..], &[&garbage][..]] {
        let distrust = verdict(chain, &[&ca.certificate], None);
        assert!(matches!(distrust, Err(Distrust::Malformed { .. })), "{distrust:?}");
    }
    // An unreadable root is passed over.
    let leaf = ca.leaf(&["n1"]).certificate;
    assert_eq!(verdict(&[&leaf], &[&garbage, &ca.certificate], None), Ok(()));
}

#[test]
fn is_recorded_with_its_data() {
    let distrust = Distrust::Expired { not_after: "2001-12-31T00:00:00Z".parse().unwrap() };
    let json = serde_json::to_string(&distrust).unwrap();
    assert_eq!(json, r#"{"kind":"expired","not_after":"2001-12-31T00:00:00Z"}"#);
    assert_eq!(serde_json::from_str::<Distrust>(&json).unwrap(), distrust);
}

proptest! {
    /// Damage never panics; and where it touches what was signed, it never passes.
    #[test]
    fn a_damaged_certificate_is_never_trusted(at in any::<prop::sample::Index>(), mask in 1u8..) {
        let ca = Authority::new("kubernetes");
        let mut der = ca.leaf(&["n1"]).certificate.der().to_vec();
        let at = at.index(der.len());
        der[at] ^= mask;
        prop_assert!(verdict(&[&Certificate::from_der(der)], &[&ca.certificate], None).is_err());
    }
}
