//! A client that asks for a certificate.

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::cluster::{ClientCertificate, Identity};

/// A key that exists in memory only, and the request for a certificate of it. It is of the kind that kubelets make.
pub(crate) struct Applicant {
    key: KeyPair,
    request: String,
}

impl Applicant {
    /// Makes a key, and a request for this subject.
    pub(crate) fn new(common_name: &str, organization: Option<&str>) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate()?;
        let request = params.serialize_request(&key)?.pem()?;
        Ok(Self { key, request })
    }

    /// A kubelet that joins as this node.
    pub(crate) fn kubelet(node: &str) -> Result<Self, rcgen::Error> {
        Self::new(&format!("system:node:{node}"), Some("system:nodes"))
    }

    /// The request in PEM (PKCS #10).
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// Who the applicant is with this certificate, in PEM.
    pub(crate) fn with(&self, certificate: &str) -> Identity {
        Identity::Certified(ClientCertificate::new(certificate, self.key.serialize_pem()))
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::pem::parse_x509_pem;
    use x509_parser::prelude::FromDer;

    use super::*;

    #[test]
    fn a_kubelet_asks_for_its_own_name_only() {
        let applicant = Applicant::kubelet("n9").unwrap();
        let (_, pem) = parse_x509_pem(applicant.request().as_bytes()).unwrap();
        assert_eq!(pem.label, "CERTIFICATE REQUEST");
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        request.verify_signature().unwrap();
        let subject = &request.certification_request_info.subject;
        assert_eq!(subject.to_string(), "O=system:nodes, CN=system:node:n9");
        assert!(!request.requested_extensions().into_iter().flatten().any(|extension| {
            matches!(extension, x509_parser::extensions::ParsedExtension::SubjectAlternativeName(_))
        }));
    }

    #[test]
    fn the_key_is_not_in_the_request() {
        let applicant = Applicant::new("seaworthy:x7f4k", None).unwrap();
        assert!(!applicant.request().contains("PRIVATE KEY"));
        assert!(!format!("{:?}", applicant.with("")).contains("PRIVATE KEY"));
    }
}
