//! What a probe answers, and when, where the network drops what it sends.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::topics::ask;
use crate::milliseconds::milliseconds;
use crate::probe::answer::Answers;
use crate::probe::answer::{Kind, Purpose, Record};
use crate::probe::batch::Batch;
use crate::probe::endpoint::Endpoint;
use crate::probe::fault::{Fault, Got};
use crate::probe::question::{ApiQuestion, DnsQuestion, Peer, RecordQuestion, ServiceQuestion};
use crate::probe::reached::Met;
use crate::probe::{PORT, Questions};

/// Longer than a test may take.
const LONG: Duration = Duration::from_secs(60);

/// An address at which packets to the port of probes vanish, by TCP and by UDP.
struct Silence {
    at: SocketAddr,
    _datagrams: UdpSocket,
    _listener: tokio::net::TcpListener,
    _backlog: Vec<TcpStream>,
}

impl Silence {
    /// The datagrams are never read. Of TCP, the backlog is full, so that the kernel drops whatever else comes.
    async fn at(ip: [u8; 4]) -> Self {
        let at = SocketAddr::from((ip, PORT));
        let datagrams = UdpSocket::bind(at).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(at).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut backlog = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(100), TcpStream::connect(at)).await {
            backlog.push(connected.unwrap());
        }
        Self { at, _datagrams: datagrams, _listener: listener, _backlog: backlog }
    }

    /// What a probe answers that asks everything there, and how long it takes.
    async fn asked(&self, settle: Duration, answer: Duration, deadline: Duration) -> (Answers, Duration) {
        let ip = self.at.ip();
        let record = Record { purpose: Purpose::ApiPort, kind: Kind::Srv, name: "x.y.".into() };
        let peer = |pod: &str, address: Option<IpAddr>| Peer { pod: pod.into(), host: "p.x.y.".into(), address };
        let batch = Batch { settle_ms: milliseconds(settle), ..Batch::of("x7f4k".parse().unwrap(), answer, deadline) };
        let questions = Questions {
            api: Some(ApiQuestion {
                address: self.at,
                authority: Err(Fault::Reset),
                names: Vec::new(),
                connections: 20,
                instances: [self.at].into(),
            }),
            dns: Some(DnsQuestion {
                servers: vec![self.at],
                name: "x.y.".into(),
                ipv6: false,
                udp: 20,
                tcp: 5,
                records: vec![RecordQuestion { record, awaited: None }],
            }),
            dns_metrics: vec![self.at],
            short_name: true,
            peers: vec![peer("p1", Some(ip))],
            service: Some(ServiceQuestion {
                cluster_ip: ip,
                node_port: Some(PORT),
                old: Some(self.at),
                affinity_ip: ip,
                other_family_ip: Some(ip),
                backends: 3,
                other_nodes: vec![ip],
            }),
            reached: vec![Endpoint::tcp(self.at), Endpoint::tls(self.at), Endpoint::https(self.at, "/metrics")],
            ..Questions::none(batch)
        };
        let began = Instant::now();
        (ask(&questions).await, began.elapsed())
    }
}

/// How the Services failed.
fn faults_of_services(answers: &Answers, at: SocketAddr) -> Vec<Option<Fault>> {
    let service = answers.service.as_ref().unwrap();
    let ways = [Some(&service.tcp), Some(&service.udp), Some(&service.affinity), service.other_family.as_ref()];
    assert!(ways.iter().flatten().all(|way| way.answered.is_empty()));
    let faults = ways.iter().map(|way| way.and_then(|way| way.fault.clone()));
    faults.chain([service.other_nodes[&at.ip()].clone().err()]).collect()
}

/// How every other question failed: each of them is there.
fn faults(answers: &Answers, at: SocketAddr) -> Vec<Option<Fault>> {
    let api = answers.api.as_ref().unwrap();
    let dns = &answers.dns[&at];
    let peer = &answers.peers["p1"];
    let mut faults = vec![
        api.fault.clone(),
        api.instances[&at].clone().err(),
        dns.udp.fault.clone(),
        dns.tcp.fault.clone(),
        answers.dns_metrics[&at].clone().err(),
        peer.tcp.clone().err(),
        peer.udp.clone().err(),
    ];
    let reached: Vec<(Got<Met>, Vec<Endpoint>)> = answers.reached.clone().into();
    assert_eq!(reached.iter().map(|(_, endpoints)| endpoints.len()).sum::<usize>(), 3);
    faults.extend(reached.into_iter().map(|(met, _)| met.err()));
    faults
}

#[tokio::test]
async fn a_path_that_drops_the_first_packets_takes_no_more_time_than_an_answer_or_two() {
    let silence = Silence::at([127, 77, 0, 1]).await;
    let (answers, took) = silence.asked(LONG, Duration::from_millis(400), LONG).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    for fault in faults(&answers, silence.at).into_iter().chain(faults_of_services(&answers, silence.at)) {
        assert_eq!(fault, Some(Fault::TimedOut));
    }
    // What is asked only where first packets came through was not asked.
    assert_eq!(answers.dns[&silence.at].record(Purpose::ApiPort).unwrap().got, Err(Fault::Unanswered));
    assert_eq!((&answers.peers["p1"].large, answers.peers["p1"].loss), (&None, None));
}

#[tokio::test]
async fn a_probe_answers_by_its_deadline_and_marks_what_was_not_answered() {
    let silence = Silence::at([127, 77, 0, 2]).await;
    let (answers, took) = silence.asked(Duration::from_millis(250), LONG, Duration::from_millis(500)).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    for fault in faults(&answers, silence.at) {
        assert_eq!(fault, Some(Fault::Unanswered));
    }
    assert_eq!((answers.api.as_ref().unwrap().tried, answers.dns[&silence.at].udp.asked), (0, 0));
    // The Services had all the time that new ones get.
    for fault in faults_of_services(&answers, silence.at) {
        assert_eq!(fault, Some(Fault::TimedOut));
    }
}
