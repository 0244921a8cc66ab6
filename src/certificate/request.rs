//! Requests for certificates.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

/// A request in PEM for a certificate of this common name and organization. Its key is forgotten: nobody can use what would
/// be issued.
pub fn request(common_name: &str, organization: &str) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serialize_request(&KeyPair::generate()?)?.pem()
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    use super::*;

    #[test]
    fn a_request_names_its_subject_and_nothing_else() {
        let pem = request("system:node:n2", "system:nodes").unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        assert_eq!(parsed.certification_request_info.subject.to_string(), "O=system:nodes, CN=system:node:n2");
        assert!(parsed.requested_extensions().is_none_or(|mut all| all.next().is_none()));
    }
}
