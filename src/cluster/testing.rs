//! Clusters for tests.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Cluster, Kubeconfig, Settings};

/// A cluster at this URL, of which so many requests may be in flight, each for so long.
pub(crate) fn cluster(url: &str, jobs: usize, request_timeout: Duration) -> Cluster {
    Cluster::new(
        kubeconfig(url),
        Settings { jobs, max_qps: None, request_timeout, timeout: None, clusters: NonZeroUsize::MIN },
        watch::channel(false).1,
    )
}

/// A cluster at this URL, for a run that ends after this time and can be stopped.
pub(crate) fn stoppable(url: &str, timeout: Option<Duration>, cancel: watch::Receiver<bool>) -> Cluster {
    let settings = Settings {
        jobs: 4,
        max_qps: None,
        request_timeout: Duration::from_secs(5),
        timeout,
        clusters: NonZeroUsize::MIN,
    };
    Cluster::new(kubeconfig(url), settings, cancel)
}

fn kubeconfig(url: &str) -> Kubeconfig {
    Kubeconfig {
        config: kube::Config::new(url.parse().unwrap()),
        context: String::new(),
        cluster: String::new(),
        user: String::new(),
        authorities: Vec::new(),
        origin: String::new(),
    }
}

/// A server that gives these answers, the last of them again and again. After an answer that is not 200 it closes the
/// connection. Returns its URL and the request lines that came.
pub(crate) async fn answering(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let came = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answers, came) = (answers.clone(), came.clone());
            tokio::spawn(async move {
                while let Some(line) = request(&mut stream).await {
                    let place = {
                        let mut came = came.lock().unwrap_or_else(PoisonError::into_inner);
                        came.push(line);
                        (came.len() - 1).min(answers.len() - 1)
                    };
                    stream.write_all(answers[place].as_bytes()).await.unwrap();
                    if !answers[place].starts_with("HTTP/1.1 200") {
                        return;
                    }
                }
            });
        }
    });
    (url, requests)
}

/// The first line of the next request, whose body does not matter.
pub(crate) async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8_lossy(&head).lines().next().map(str::to_owned)
}

/// An answer with this status, header and body.
pub(crate) fn answer(status: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{header}content-length: {length}\r\n\r\n{body}")
}
