//! etcd and an API server, which end with the value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use http::Method;
use serde_json::json;

use super::connection::Connection;
use super::pki::Pki;

/// Where the testbed keeps the programs, unless `SEAWORTHY_KUBERNETES` names another folder.
const PROGRAMS: &str = "/var/tmp/bed-cache/bin-1.37";
/// How long a component may take to be ready: the API server reads all objects first.
const PATIENCE: Duration = Duration::from_secs(300);

/// A process that ends when it is dropped.
struct Process(Child);

impl Process {
    fn start(program: &str, arguments: &[String], log: &Path) -> io::Result<Self> {
        let folder = env::var_os("SEAWORTHY_KUBERNETES").map_or_else(|| PathBuf::from(PROGRAMS), PathBuf::from);
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(folder.join(program));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map(Self).map_err(|why| {
            io::Error::new(why.kind(), format!("{program} in {}: {why}: see tests/testbed/README.md", folder.display()))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// etcd, without an API server yet.
pub(crate) struct Etcd {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Etcd {
    /// Starts it with an empty database.
    pub(crate) async fn start(folder: &Path) -> io::Result<Self> {
        let (address, peer) = (free_address(Ipv4Addr::LOCALHOST.into())?, free_address(Ipv4Addr::LOCALHOST.into())?);
        let data = folder.join("etcd").display().to_string();
        let arguments = [
            format!("--data-dir={data}"),
            format!("--listen-client-urls=http://{address}"),
            format!("--advertise-client-urls=http://{address}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster=default=http://{peer}"),
            "--unsafe-no-fsync".into(),
            "--quota-backend-bytes=8589934592".into(),
            "--max-txn-ops=1000".into(),
            "--max-request-bytes=33554432".into(),
            "--log-level=error".into(),
        ];
        let mut process = Process::start("etcd", &arguments, &folder.join("etcd.log"))?;
        ready(&mut process, &folder.join("etcd.log"), async || {
            let mut connection = Connection::plain(address).await.ok()?;
            let (status, _) = connection.send(Method::GET, "/health", Vec::new()).await.ok()?;
            (status == 200).then_some(())
        })
        .await?;
        Ok(Self { _process: process, address })
    }
}

/// An API server on this etcd.
pub(crate) struct ApiServer {
    _process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) pki: Arc<Pki>,
    pub(crate) audit: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl ApiServer {
    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(folder: &Path, pki: Arc<Pki>, address: SocketAddr, etcd: &Etcd) -> io::Result<Self> {
        let audit = folder.join("audit.log");
        let policy = folder.join("audit-policy.json");
        let rules = json!([
            { "level": "Metadata", "users": ["kubernetes-admin"], "omitStages": ["RequestReceived"] },
            { "level": "None" },
        ]);
        fs::write(&policy, json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}).to_string())?;
        let kubeconfig = folder.join("admin.conf");
        fs::write(&kubeconfig, kubeconfig_of(&pki, address))?;
        let file = |name: &str| pki.file(name).display().to_string();
        let arguments = [
            format!("--etcd-servers=http://{}", etcd.address),
            format!("--advertise-address={}", address.ip()),
            "--bind-address=0.0.0.0".into(),
            format!("--secure-port={}", address.port()),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--kubelet-client-certificate={}", file("apiserver-kubelet-client.crt")),
            format!("--kubelet-client-key={}", file("apiserver-kubelet-client.key")),
            "--kubelet-preferred-address-types=InternalIP".into(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            format!("--service-account-key-file={}", file("sa.pub")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            "--service-cluster-ip-range=10.96.0.0/12".into(),
            "--authorization-mode=Node,RBAC".into(),
            "--enable-admission-plugins=NodeRestriction".into(),
            "--enable-bootstrap-token-auth=true".into(),
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", audit.display()),
            "--audit-log-mode=blocking".into(),
            "--v=0".into(),
        ];
        let log = folder.join("kube-apiserver.log");
        let mut process = Process::start("kube-apiserver", &arguments, &log)?;
        let client = pki.of_floor();
        ready(&mut process, &log, async || {
            let mut connection = Connection::secure(address, client.clone()).await.ok()?;
            let (status, _) = connection.send(Method::GET, "/readyz", Vec::new()).await.ok()?;
            (status == 200).then_some(())
        })
        .await?;
        Ok(Self { _process: process, address, pki, audit, kubeconfig })
    }
}

fn kubeconfig_of(pki: &Pki, address: SocketAddr) -> String {
    let file = |name: &str| pki.file(name).display().to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "scale",
        "contexts": [{ "name": "scale", "context": { "cluster": "scale", "user": "admin" } }],
        "clusters": [{ "name": "scale", "cluster": {
            "server": format!("https://{address}"), "certificate-authority": file("ca.crt"),
        } }],
        "users": [{ "name": "admin", "user": {
            "client-certificate": file("admin.crt"), "client-key": file("admin.key"),
        } }],
    })
    .to_string()
}

/// Waits until a component is ready.
async fn ready(process: &mut Process, log: &Path, probe: impl AsyncFn() -> Option<()>) -> io::Result<()> {
    let began = Instant::now();
    while probe().await.is_none() {
        let ended = process.0.try_wait()?;
        if ended.is_some() || began.elapsed() > PATIENCE {
            let text = fs::read_to_string(log).unwrap_or_default();
            let end: Vec<&str> = text.lines().rev().take(10).collect();
            let state =
                ended.map_or_else(|| format!("it is not ready after {PATIENCE:?}"), |status| status.to_string());
            return Err(io::Error::other(format!("{}: {state}: {end:#?}", log.display())));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// An address of this machine with a port that is free.
pub(crate) fn free_address(ip: IpAddr) -> io::Result<SocketAddr> {
    TcpListener::bind((ip, 0))?.local_addr()
}

/// The address of this machine that an API server can publish, which is not a loopback address.
pub(crate) fn published_ip() -> io::Result<IpAddr> {
    // A datagram socket that is connected sends nothing.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.200:9")?;
    Ok(socket.local_addr()?.ip())
}
