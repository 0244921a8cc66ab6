//! Rehearsals that went well, and that did not.

use rcgen::{DnType, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

use super::*;
use crate::certificate::Distrust;
use crate::certificate::testing::Authority;
use crate::fact::access_review::testing::{allowed, denied};
use crate::fact::answered::Answered;
use crate::fact::facts::join_rehearsal::{Condition, WhoAmI};
use crate::suites::pki::testing::clock;

/// A cluster in which a rehearsal takes place.
struct Cluster {
    ca: Authority,
    may_be_approved: bool,
    rehearsal: JoinRehearsal,
}

fn answered(status: u16) -> Answered {
    Answered { status, message: if status < 300 { String::new() } else { "as answered".into() } }
}

fn issued(by: &Authority, node: &str) -> Issuance {
    let node = format!("system:node:{node}");
    let leaf = by.leaf_with(&[], &PKCS_ECDSA_P256_SHA256, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, node);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let approved = Condition { reason: "AutoApproved".into(), message: String::new() };
    Issuance {
        conditions: [("Approved".to_owned(), approved)].into(),
        certificate: Some(Ok(vec![leaf.certificate])),
        waited_ms: 200,
    }
}

impl Cluster {
    fn new() -> Self {
        let ca = Authority::new("kubernetes");
        let node = "seaworthy-x7f4k";
        let identity = WhoAmI {
            status: 201,
            user: Some("system:bootstrap:jx7f4k".into()),
            groups: vec!["system:bootstrappers".into(), GROUP.into(), "system:authenticated".into()],
            ..WhoAmI::default()
        };
        let maps = ["kubeadm-config", "kubelet-config", "kube-proxy"];
        let rehearsal = JoinRehearsal {
            token: "jx7f4k".into(),
            node: node.into(),
            discovery: Ok(Discovery {
                answered: answered(200),
                signature: Signature::Verified,
                authorities: Ok(vec![ca.certificate.clone()]),
                waited_ms: 300,
            }),
            refetch: Some(Ok(Refetch { endpoint: "10.77.0.11:6443".into(), trust: Ok(()), identical: Some(true) })),
            identity: Ok(identity),
            lookup: Ok(answered(404)),
            config_maps: maps.map(|map| (map.to_owned(), Ok(answered(200)))).into(),
            request: Ok(answered(201)),
            issuance: Some(Ok(issued(&ca, node))),
            withdrawal: Some(Ok(Some(100))),
            left: BTreeMap::new(),
        };
        Self { ca, may_be_approved: true, rehearsal }
    }

    fn judged(&self) -> Verdict {
        let question = BootstrapperAsks::NewNode.question();
        let review = if self.may_be_approved { allowed(question, "RBAC") } else { denied(question, "") };
        let reviews = BootstrapperReviews([(BootstrapperAsks::NewNode, review)].into());
        let client = AuthenticationAuthorities {
            client: Some(Ok(vec![self.ca.certificate.clone()])),
            request_header: None,
            ..AuthenticationAuthorities::default()
        };
        let trusted = TrustedAuthorities(vec![self.ca.certificate.clone()]);
        let absent = Unobserved::absent("there is no ConfigMap kube-proxy");
        judge(
            &self.rehearsal,
            &Expectations::default(),
            Ok(&trusted),
            Ok(&client),
            Ok(&reviews),
            Err(&absent),
            &clock(),
        )
    }

    /// What is found, except the certificate's long life: the tests' CA issues long ones.
    fn found(&self) -> Vec<Finding> {
        let findings = self.judged().findings(Severity::Critical);
        findings.into_iter().filter(|finding| !finding.expected.contains("ten minutes")).collect()
    }

    fn only(&self) -> Finding {
        let found = self.found();
        let [finding] = &found[..] else { panic!("{found:?}") };
        finding.clone()
    }
}

#[test]
fn a_rehearsal_that_went_well_passes() {
    let cluster = Cluster::new();
    let verdict = cluster.judged();
    assert!(cluster.found().is_empty() && verdict.saw_everything(), "{verdict:?}");
    assert_eq!(verdict.observations(), 18);
}

#[test]
fn a_missing_signature_and_a_wrong_one_differ() {
    for (signature, seen) in
        [(Signature::Missing, "no jws-kubeconfig-jx7f4k"), (Signature::Mismatch, "signature of another text")]
    {
        let mut cluster = Cluster::new();
        cluster.rehearsal.discovery.as_mut().unwrap().signature = signature;
        assert!(cluster.only().seen.contains(seen));
    }
}

#[test]
fn another_ca_fails_the_pin_and_the_trust() {
    let mut cluster = Cluster::new();
    let other: Certificate = Authority::new("kubernetes").certificate;
    cluster.rehearsal.discovery.as_mut().unwrap().authorities = Ok(vec![other]);
    let refetch = Refetch { endpoint: "10.77.0.11:6443".into(), trust: Err(Distrust::BadSignature), identical: None };
    cluster.rehearsal.refetch = Some(Ok(refetch));
    let found = cluster.found();
    assert_eq!(found.len(), 2);
    assert!(found[0].evidence.iter().all(|item| item.starts_with("pin sha256:")));
    assert_eq!(found[0].evidence.len(), 2);
}

#[test]
fn a_token_that_is_refused_is_found_once() {
    let mut cluster = Cluster::new();
    let refused = WhoAmI { status: 401, message: "Unauthorized".into(), ..WhoAmI::default() };
    cluster.rehearsal.identity = Ok(refused);
    cluster.rehearsal.lookup = Ok(answered(401));
    cluster.rehearsal.request = Ok(answered(401));
    cluster.rehearsal.issuance = None;
    assert!(cluster.only().fix.contains("--enable-bootstrap-token-auth"));
}

#[test]
fn an_instance_that_refuses_the_token_after_another_took_it_is_found() {
    let mut cluster = Cluster::new();
    cluster.rehearsal.request = Ok(answered(401));
    cluster.rehearsal.issuance = None;
    assert!(cluster.only().seen.starts_with("HTTP 401"));
}

#[test]
fn each_right_that_is_missing_is_found_by_its_step() {
    let mut cluster = Cluster::new();
    cluster.rehearsal.lookup = Ok(answered(403));
    assert_eq!(cluster.only().expected, "a new token may get nodes");

    let mut cluster = Cluster::new();
    cluster.rehearsal.config_maps.insert("kubeadm-config".into(), Ok(answered(403)));
    assert_eq!(cluster.only().subjects[0].to_string(), "ConfigMap kube-system/kubeadm-config");
    assert!(cluster.only().fix.contains("create rolebinding kubeadm:nodes-kubeadm-config"));
    cluster.rehearsal.config_maps.insert("kubelet-config".into(), Ok(answered(404)));
    cluster.rehearsal.config_maps.insert("kubeadm-config".into(), Ok(answered(200)));
    assert!(cluster.only().fix.ends_with("upload-config kubelet --config kubeadm.yaml"));

    let mut cluster = Cluster::new();
    cluster.rehearsal.request = Ok(answered(403));
    cluster.rehearsal.issuance = None;
    assert!(cluster.only().expected.contains("ask for a node's certificate"));
}

#[test]
fn a_cluster_without_kube_proxy_has_no_such_config_map() {
    let mut cluster = Cluster::new();
    cluster.rehearsal.config_maps.insert("kube-proxy".into(), Ok(answered(403)));
    assert!(cluster.found().is_empty());
}

#[test]
fn the_presence_of_kube_proxy_must_be_known() {
    let mut cluster = Cluster::new();
    cluster.rehearsal.config_maps.insert("kube-proxy".into(), Ok(answered(403)));
    let (absent, interrupted) = (Unobserved::absent("no"), Unobserved::Interrupted);
    let gaps = |kube_proxy| {
        let (rehearsal, expectations) = (&cluster.rehearsal, Expectations::default());
        judge(rehearsal, &expectations, Err(&absent), Err(&absent), Err(&absent), Err(kube_proxy), &clock())
            .gaps()
            .len()
    };
    assert_eq!(gaps(&interrupted), gaps(&absent) + 1);
}

#[test]
fn a_pending_request_names_its_cause() {
    let mut cluster = Cluster::new();
    let pending = Issuance { conditions: BTreeMap::new(), certificate: None, waited_ms: 30_000 };
    cluster.rehearsal.issuance = Some(Ok(pending));
    assert!(cluster.only().fix.contains("csrapproving"));
    assert_eq!(cluster.only().severity, Severity::Critical);
    cluster.may_be_approved = false;
    assert!(cluster.only().seen.contains("certificatesigningrequests/nodeclient"));
    assert_eq!(cluster.only().severity, Severity::Minor, "some approve every node by hand");
}

#[test]
fn an_approved_request_without_a_certificate_is_the_signers_fault() {
    let mut cluster = Cluster::new();
    let Some(Ok(issuance)) = &mut cluster.rehearsal.issuance else { panic!() };
    issuance.certificate = None;
    assert!(cluster.only().fix.contains("csrsigning"));
}

#[test]
fn a_certificate_of_another_ca_is_found() {
    let mut cluster = Cluster::new();
    cluster.rehearsal.issuance = Some(Ok(issued(&Authority::new("kubernetes"), "seaworthy-x7f4k")));
    assert!(cluster.only().fix.contains("--cluster-signing-cert-file"));
}

#[test]
fn a_removal_that_failed_is_inconclusive() {
    let mut cluster = Cluster::new();
    let refused = Unobserved::Refused { missing: "delete secrets".into(), message: "no".into() };
    cluster.rehearsal.left.insert("the Secret of token jx7f4k".into(), refused);
    assert_eq!(cluster.judged().gaps().len(), 1);
}

#[test]
fn where_nodes_join_by_a_file_cluster_info_may_be_closed() {
    let mut cluster = Cluster::new();
    cluster.rehearsal.discovery.as_mut().unwrap().answered = answered(403);
    assert_eq!(cluster.only().expected, "cluster-info is readable without credentials");
    let expectations = Expectations { discovery: Way::File, ..Expectations::default() };
    let absent = Unobserved::absent("no");
    let verdict =
        judge(&cluster.rehearsal, &expectations, Err(&absent), Err(&absent), Err(&absent), Err(&absent), &clock());
    assert!(!verdict.findings(Severity::Critical).iter().any(|finding| finding.subjects == [cluster_info()]));
}
