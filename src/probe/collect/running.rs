//! Waits for pods to run, with one watch: those of trials, which answer while they run and not by their end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use tokio::io::AsyncBufReadExt;

use super::pod::ContainerStatus;
use super::{KUBELET, PAUSE, change, overdue, state, stuck};
use crate::cluster::{Call, Cluster};
use crate::live::RunId;
use crate::probe::object::RUN;
use crate::seen::{Seen, Unobserved};

/// Waits until the containers of all these pods run, and returns the addresses of the pods.
pub async fn running(
    cluster: &Cluster,
    namespace: &str,
    run: &RunId,
    pods: &[String],
    patience: Duration,
) -> Seen<BTreeMap<String, IpAddr>> {
    let mut addresses: BTreeMap<&str, Seen<IpAddr>> = BTreeMap::new();
    let deadline = cluster.deadline(patience);
    let end = Instant::now() + deadline;
    let call = Call::watch::<Pod>().in_namespace(namespace).with("labelSelector", format!("{RUN}={run}"));
    for pod in pods {
        addresses.insert(pod, Err(overdue("", deadline)));
    }
    let watched = async {
        loop {
            match watch_starts(cluster, &call, &mut addresses, deadline).await {
                Ok(Some(stuck)) => return Err(stuck),
                Ok(None) if addresses.values().all(Result::is_ok) => return Ok(()),
                Err(why @ Unobserved::Refused { .. }) => return Err(why),
                Err(why) if Instant::now() + PAUSE >= end => return Err(why),
                // The server ended the watch, or it broke: the next one reports what happened meanwhile.
                Ok(None) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    if let Ok(done) = tokio::time::timeout(deadline, watched).await {
        done?;
    }
    addresses.into_iter().map(|(pod, address)| Ok((pod.to_owned(), address?))).collect()
}

/// Watches pods until all of them run or the watch ends. Returns why one of them will not start, if one will not.
async fn watch_starts(
    cluster: &Cluster,
    call: &Call,
    addresses: &mut BTreeMap<&str, Seen<IpAddr>>,
    deadline: Duration,
) -> Seen<Option<Unobserved>> {
    let mut lines = cluster.stream(call).await?.lines();
    while addresses.values().any(Result::is_err) {
        let line = lines.next_line().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))?;
        let change = line.map(|line| change(call, &line)).transpose()?.flatten();
        let Some((pod, _)) = change else { return Ok(None) };
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(address) = addresses.get_mut(name.as_str()) else { continue };
        let containers = || pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        if let Some(stuck) = containers().find_map(stuck) {
            return Ok(Some(Unobserved::invalid(format!("the pod {name}"), stuck)));
        }
        let starting = |one: &ContainerStatus| one.state.as_ref().is_none_or(|state| state.running.is_none());
        let given = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse().ok());
        *address = match given {
            Some(given) if containers().next().is_some() && !containers().any(starting) => Ok(given),
            _ => Err(Unobserved::unreachable(
                KUBELET,
                format!("the pod {name} did not get beyond {} within {} s", state(&pod), deadline.as_secs()),
            )),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{answer, answering, cluster};

    #[tokio::test]
    async fn a_watch_that_ends_is_begun_again() {
        let event = |name: &str, running: &str| {
            let status =
                format!(r#"{{"podIP":"10.244.0.9","containerStatuses":[{{"name":"watch","state":{{{running}}}}}]}}"#);
            let status = status.replace(
                r#""name":"watch","#,
                r#""name":"watch","image":"","imageID":"","ready":true,"restartCount":0,"#,
            );
            format!(r#"{{"type":"ADDED","object":{{"metadata":{{"name":"{name}"}},"status":{status}}}}}{}"#, "\n")
        };
        let (starting, runs) = (event("a", r#""waiting":{}"#), event("a", r#""running":{}"#));
        let (url, requests) = answering(vec![
            answer("200 OK", "", &starting),
            answer("200 OK", "", &starting[..40]),
            answer("200 OK", "", &runs),
        ])
        .await;
        let cluster = cluster(&url, 1, Duration::from_secs(20));
        let run = "x7f4k".parse().unwrap();
        let seen =
            running(&cluster, "seaworthy-x7f4k", &run, &["a".to_owned()], Duration::from_secs(20)).await.unwrap();
        assert_eq!((seen["a"].to_string().as_str(), requests.lock().unwrap().len()), ("10.244.0.9", 3));
    }
}
