//! Where bytes of others are read, as entry points for fuzzers: `tests/fuzz.rs` and `fuzz/`.
//!
//! Each entry point takes anything and must not panic. It returns whether the bytes were understood, so that a test sees
//! that its seeds still reach what lies behind the first check of the form.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Cursor;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{join, sink};
use tokio::runtime::{Builder, Runtime};

use crate::bootstrap_token;
use crate::certificate::{Certificate, verify, verify_client};
use crate::cidr::Cidr;
use crate::cluster::{File, Files, Kubeconfig};
use crate::dial::{handshake_over, outdated_over};
use crate::event::reading::Stream;
use crate::event::{Events, RunStarted};
use crate::fact::facts::cluster_info::DiscoveryKubeconfig;
use crate::fact::facts::corefile::zones::Key;
use crate::fact::facts::corefile::{Corefile, Surroundings};
use crate::fact::facts::kubelet_configuration::KubeletConfiguration;
use crate::handshake::{Authority, Target};
use crate::history::Acceptance;
use crate::image::elf::Elf;
use crate::jwt::{KeySet, Parsed};
use crate::probe::ask::resolver;
use crate::probe::endpoint::Endpoint;
use crate::probe::host::{HostAnswers, disk, units};
use crate::probe::{Answers, message};
use crate::prometheus::{Line, Sample};
use crate::recording::Recording;
use crate::run::{Plan, Run, Source, engine};
use crate::suites;
use crate::version::Version;
use crate::yaml;

/// An entry point, by its name. It returns whether it understood the bytes.
pub type FuzzTarget = (&'static str, fn(&[u8]) -> bool);

/// Every entry point.
pub const TARGETS: &[FuzzTarget] = &[
    ("answers", answers),
    ("certificate", certificate),
    ("corefile", corefile),
    ("disk", disk),
    ("elf", elf),
    ("events", events),
    ("host_answers", host_answers),
    ("judge", judge),
    ("jws", jws),
    ("jwt", jwt),
    ("kubeconfig", kubeconfig),
    ("kubelet_configuration", kubelet_configuration),
    ("outdated_tls", outdated_tls),
    ("pem", pem),
    ("prometheus", prometheus),
    ("recording", recording),
    ("resolv_conf", resolv_conf),
    ("systemd_unit", systemd_unit),
    ("tls", tls),
    ("words", words),
];

/// How long a server that answers from memory may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A certificate as a server presents it: described, and verified against itself.
pub fn certificate(data: &[u8]) -> bool {
    let certificate = Certificate::from_der(data);
    let at = Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
    let description = certificate.describe();
    if let Ok(description) = &description {
        let _ = description.covers("kubernetes.default.svc");
        let _ = description.covers("10.96.0.1");
    }
    let chain = [certificate];
    let _ = verify(&chain, &chain, Some("kubernetes"), at);
    let _ = verify_client(&chain, &chain, at);
    description.is_ok()
}

/// A bundle of certificates, as in kube-root-ca.crt, cluster-info and issued certificates.
pub fn pem(data: &[u8]) -> bool {
    let certificates = Certificate::from_pem_bundle(&text(data));
    certificates.is_ok_and(|certificates| certificates.iter().all(|certificate| certificate.describe().is_ok()))
}

/// A token of a service account in the first line, the keys of its issuer after it.
pub fn jwt(data: &[u8]) -> bool {
    let (token, keys) = lines(data);
    let token = text(token);
    let (Ok(parsed), Ok(keys)) = (Parsed::read(&token), KeySet::read(keys)) else { return false };
    let _ = parsed.claims.lifetime();
    let _ = parsed.verify(&keys);
    true
}

/// A detached signature of cluster-info in the first line, what it signs after it.
pub fn jws(data: &[u8]) -> bool {
    let (detached, content) = lines(data);
    let detached = text(detached);
    let _ = bootstrap_token::verifies(&detached, content, "abcdef", b"0123456789abcdef");
    bootstrap_token::form(&detached, "abcdef").is_ok()
}

/// The kubeconfig in cluster-info, and that of an administrator. No file that it names is read.
pub fn kubeconfig(data: &[u8]) -> bool {
    let missing = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let parsed = File::parse(Path::new("config"), data);
    let of_administrator = parsed.and_then(|file| Kubeconfig::of(&Files::new(vec![file]), None, missing));
    DiscoveryKubeconfig::parse(&text(data)).is_ok() | of_administrator.is_ok()
}

/// The termination message of a probe.
pub fn answers(data: &[u8]) -> bool {
    message::unpack::<Answers>(&text(data)).is_ok()
}

/// The termination message of a privileged probe.
pub fn host_answers(data: &[u8]) -> bool {
    message::unpack::<HostAnswers>(&text(data)).is_ok()
}

/// A Corefile, with the zones that it serves and what CoreDNS refuses in it. Files that it imports from its own
/// directory hold the same text.
pub fn corefile(data: &[u8]) -> bool {
    let text = text(data);
    let files = [("itself".to_owned(), text.to_string())].into();
    let surroundings = Surroundings {
        directory: "/etc/coredns".into(),
        variables: [("A".to_owned(), "a.example".to_owned())].into(),
        directories: [("/etc/coredns".to_owned(), files)].into(),
        complete: true,
        ..Surroundings::default()
    };
    let Ok(blocks) = Corefile::read(&text, &surroundings).blocks else { return false };
    for block in &blocks {
        let _ = block.cluster_domain();
        for key in &block.keys {
            let _ = Key::of(key);
        }
    }
    !blocks.is_empty()
}

/// The metrics of a server, in the text format of Prometheus.
pub fn prometheus(data: &[u8]) -> bool {
    let mut understood = false;
    for line in text(data).lines() {
        if let Some(line) = Line::read(line) {
            let _ = Sample::from(line).label("le").parse::<f64>();
            understood = true;
        }
    }
    understood
}

/// A kubelet's configuration, as /configz and ConfigMaps hold it.
pub fn kubelet_configuration(data: &[u8]) -> bool {
    let Ok(object) = yaml::first_document::<Value>(&text(data)) else { return false };
    KubeletConfiguration::new(object).text("authentication.x509.clientCAFile").is_some()
}

/// A file of certificates and one that is a kubeconfig, as they lie on a node's disk.
pub fn disk(data: &[u8]) -> bool {
    disk::certificates(data).is_ok() | disk::kubeconfig(&text(data)).is_ok()
}

/// The file of a unit of systemd.
pub fn systemd_unit(data: &[u8]) -> bool {
    let text = text(data);
    let started = ["kubelet.service", "docker.socket"].map(|unit| units::started(&text, unit));
    started.iter().any(|names| !names.is_empty())
}

/// A pod's resolver.
pub fn resolv_conf(data: &[u8]) -> bool {
    !resolver::parse(&text(data)).nameservers.is_empty()
}

/// An executable for the image of probes.
pub fn elf(data: &[u8]) -> bool {
    Elf::read(&mut Cursor::new(data)).is_ok()
}

/// What the server sends in a handshake.
pub fn tls(data: &[u8]) -> bool {
    let Ok(server) = "192.0.2.1:6443".parse::<Authority>() else { return false };
    runtime().block_on(handshake_over(join(data, sink()), &Target::of(server), &[], DEADLINE)).is_ok()
}

/// What the server sends to a client that speaks TLS 1.1 at most.
pub fn outdated_tls(data: &[u8]) -> bool {
    runtime().block_on(outdated_over(join(data, sink()))).is_ok()
}

/// An event stream.
pub fn events(data: &[u8]) -> bool {
    Stream::parse(data, Path::new("events.jsonl")).is_ok()
}

/// A recording.
pub fn recording(data: &[u8]) -> bool {
    Recording::parse(data, Path::new("recording.json")).is_ok()
}

/// A recording, judged by every check: facts are read back from it and derived from each other.
///
/// # Panics
/// If a check panics, which a run would show as an error of that check.
pub fn judge(data: &[u8]) -> bool {
    let Ok(recording) = Recording::parse(data, Path::new("recording.json")) else { return false };
    let started = RunStarted {
        seaworthy: recording.seaworthy.clone(),
        at: recording.header.at,
        cluster: recording.header.cluster.clone(),
        profile: recording.header.profile.clone(),
        gate: recording.header.gate,
        checks: Vec::new(),
        namespace: None,
        failed: None,
        recording: None,
    };
    let gate = recording.header.gate;
    let plan = Plan::new(suites::checks().collect());
    let run = Run {
        plan,
        source: Source::Recorded(recording),
        gate,
        named: BTreeSet::new(),
        started,
        acceptance: Acceptance::default(),
    };
    let conclusion = runtime().block_on(engine::run(run, Events::channel().0));
    for judged in &conclusion.judged {
        for unseen in judged.unseen.iter().map(|unseen| &unseen.why).chain(&judged.reason) {
            assert!(!unseen.contains("panicked"), "{}: {unseen}", judged.id);
        }
    }
    true
}

/// Addresses, ranges and versions, as objects and answers hold them. What is understood is written as it is read.
///
/// # Panics
/// If it is not.
pub fn words(data: &[u8]) -> bool {
    let text = text(data);
    let _ = Version::of_image(&text);
    let understood = [
        is_read_as_written::<Authority>(&text),
        is_read_as_written::<Cidr>(&text),
        is_read_as_written::<Endpoint>(&text),
        is_read_as_written::<Version>(&text),
    ];
    understood.contains(&true)
}

fn is_read_as_written<T: FromStr + Display>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    let written = value.to_string();
    let again = written.parse::<T>().map(|again| again.to_string());
    assert_eq!(again.ok().as_deref(), Some(written.as_str()), "{text:?} is written {written:?}");
    true
}

fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}

/// The first line, and what follows it.
fn lines(data: &[u8]) -> (&[u8], &[u8]) {
    data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime of one thread can be made")
}
