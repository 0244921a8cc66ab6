//! Streams into a pod, which the API server opens through the pod's kubelet.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
#[expect(
    clippy::disallowed_types,
    reason = "streams are upgraded by kube; the call that describes each is made here"
)]
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncReadExt, DuplexStream};

use super::causes::failure;
use super::reply::{is_about_kubelet, is_our_refusal};
use super::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// How much of a command's output is read, in bytes.
const OUTPUT_LIMIT: u64 = 1024;

/// The API server's message about a stream that it did not open, or that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The status code; 0 where there is none.
    pub status: u16,
    /// The message.
    pub message: String,
}

/// What a stream carried, if it was opened.
pub(crate) type Streamed<T> = Result<T, Broken>;

impl Cluster {
    /// Runs a command in a container of a pod, and returns its standard output.
    pub async fn execute(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[&str],
    ) -> Seen<Streamed<String>> {
        let parameters = AttachParams::default().container(container).stdin(false).stdout(true).stderr(false);
        self.streamed(namespace, pod, "exec", async |pods| {
            let mut process = pods.exec(pod, command.iter().copied(), &parameters).await?;
            let (status, output) = (process.take_status(), process.stdout());
            let mut printed = Vec::new();
            if let Some(output) = output {
                // Output that cannot be read counts as not printed; the status contains the reason.
                let _ = output.take(OUTPUT_LIMIT).read_to_end(&mut printed).await;
            }
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            match status {
                Some(Status { status: Some(outcome), code, message, .. }) if outcome == "Failure" => Ok(Err(Broken {
                    status: code.and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
                    message: message.unwrap_or_default(),
                })),
                _ => Ok(Ok(String::from_utf8_lossy(&printed).into_owned())),
            }
        })
        .await
    }

    /// Forwards a port of a pod, and runs an exchange over it.
    pub async fn forward<T, E: std::fmt::Display>(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        exchange: impl AsyncFnOnce(DuplexStream) -> Result<T, E>,
    ) -> Seen<Streamed<T>> {
        self.streamed(namespace, pod, "portforward", async |pods| {
            let mut forwarder = pods.portforward(pod, &[port]).await?;
            let broken = |message: String| Broken { status: 0, message };
            let (Some(stream), Some(error)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
                return Ok(Err(broken("the port is not forwarded".into())));
            };
            let exchanged = tokio::select! {
                biased;
                // The error channel is closed without a message if there is no error.
                Some(message) = error => Err(broken(message.trim().to_owned())),
                exchanged = exchange(stream) => exchanged.map_err(|e| broken(e.to_string())),
            };
            forwarder.abort();
            Ok(exchanged)
        })
        .await
    }

    #[expect(clippy::disallowed_types, reason = "as above")]
    async fn streamed<T>(
        &self,
        namespace: &str,
        pod: &str,
        subresource: &'static str,
        stream: impl AsyncFnOnce(Api<Pod>) -> kube::Result<Streamed<T>>,
    ) -> Seen<Streamed<T>> {
        let call = Call::get_in::<Pod>(namespace, pod).subresource(subresource);
        match self.open(&call, async |client| stream(Api::namespaced(client, namespace)).await).await? {
            Ok(streamed) => Ok(streamed),
            Err(kube::Error::Api(status)) if is_our_refusal(status.code, &status.message) => {
                let missing = format!("get and create pods/{subresource} in namespace {namespace}");
                Err(Unobserved::Refused { missing, message: status.message })
            }
            Err(kube::Error::Api(status)) if status.code == 404 && status.reason == "NotFound" => {
                Err(Unobserved::absent(status.message))
            }
            Err(kube::Error::Api(status)) if is_about_kubelet(&status.message) => {
                Ok(Err(Broken { status: status.code, message: status.message }))
            }
            // The API server's own trouble shows nothing about the kubelet.
            Err(kube::Error::Api(status)) => {
                Err(Unobserved::invalid(call.to_string(), format!("HTTP {}: {}", status.code, status.message)))
            }
            Err(error) => Err(failure(&call, &error)),
        }
    }
}
