//! The steps of a node that joins the cluster, up to its certificate.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, Distrust};
use crate::cluster::{Answered, Call, Cluster, Identity, Trust, until};
use crate::handshake::{Authority, Target};
use crate::join::cluster_info::{self, Parts, Signature};
use crate::join::request::{self, Issuance, KUBELET_CLIENT, issuance, node_request, submission};
use crate::join::token::{self, Purpose};
use crate::join::whoami::who_is_new;
use crate::join::{Applicant, LIFETIME, Minted, PATIENCE, PAUSE, WhoAmI, answer_to_newcomer, removal};
use crate::live::{Inputs, Live};
use crate::milliseconds::milliseconds;
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// The permissions that it takes.
pub(crate) const RULES: &[Rule] =
    &[token::RULE, cluster_info::RULE, Rule::cluster("certificates.k8s.io", "certificatesigningrequests", &["delete"])];

/// The ConfigMaps of kube-system that a joining node reads.
pub(crate) const CONFIG_MAPS: [&str; 3] = ["kubeadm-config", "kubelet-config", "kube-proxy"];

/// The steps of a node that joins with a new bootstrap token, in the order of `kubeadm join`. No Node is created, and
/// the token and the request are removed. Neither the token's secret nor the key is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinRehearsal {
    /// The token's id.
    pub token: String,
    /// The name of the node, which does not exist.
    pub node: String,
    /// Its first read of cluster-info, without trust.
    pub discovery: Seen<Discovery>,
    /// Its second read, with trust in the CAs from there; not tried without CAs.
    pub refetch: Option<Seen<Refetch>>,
    /// The user as whom the API server authenticates the bearer of the token.
    pub identity: Seen<WhoAmI>,
    /// The answer to the request for a node of its name.
    pub lookup: Seen<Answered>,
    /// The answers to its requests for ConfigMaps.
    pub config_maps: BTreeMap<String, Seen<Answered>>,
    /// The answer to its request for a certificate.
    pub request: Seen<Answered>,
    /// The outcome of the request; not watched if it was refused.
    pub issuance: Option<Seen<Issuance>>,
    /// How long the token's signature outlived the token, in milliseconds; none if it is still there. Not watched where
    /// there was none.
    pub withdrawal: Option<Seen<Option<u64>>>,
    /// The objects that could not be removed, and why not.
    pub left: BTreeMap<String, Unobserved>,
}

/// A read of cluster-info without trust.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Discovery {
    /// The last answer to the request without credentials.
    pub answered: Answered,
    /// Whether the token's signature is there and valid.
    pub signature: Signature,
    /// The CAs in cluster-info, or why they cannot be read.
    pub authorities: Result<Vec<Certificate>, String>,
    /// The time until the signature was there, in milliseconds.
    pub waited_ms: u64,
}

/// A read of cluster-info with trust in the CAs from there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refetch {
    /// The server.
    pub endpoint: String,
    /// Whether the server's certificate is from a CA in cluster-info.
    pub trust: Result<(), Distrust>,
    /// Whether cluster-info is identical there; not requested without trust.
    pub identical: Option<bool>,
}

/// Rehearses a join. Returns with it the credential of the node, if it got one.
pub(crate) async fn run(live: &Live) -> Seen<(JoinRehearsal, Option<Identity>)> {
    let Live { cluster, inputs: Inputs { run, .. }, .. } = live;
    let (token, node) = (Minted::new(run, Purpose::Join)?, run.name());
    token.create(live, Timestamp::now() + LIFETIME).await?;

    let discovered = discover(cluster, &token).await;
    let refetch = match &discovered {
        Ok((Discovery { authorities: Ok(authorities), .. }, text)) => Some(refetch(cluster, authorities, text).await),
        _ => None,
    };
    let bearer = token.bearer();
    let identity = who_is_new(cluster, &bearer).await;
    let lookup = answer(cluster, Call::get::<Node>(&node).by(bearer.clone())).await;
    let config_maps = join_all(CONFIG_MAPS.map(async |map| {
        let call = Call::get_in::<ConfigMap>("kube-system", map).by(bearer.clone());
        (map.to_owned(), answer(cluster, call).await)
    }))
    .await;
    let mut left = BTreeMap::new();
    let Certified { request, issuance, credential } = certify(live, &node, &bearer, &mut left).await;
    let discovery = discovered.map(|(discovery, _)| discovery);
    let withdrawal = match token.remove(live).await {
        Ok(()) if discovery.as_ref().is_ok_and(|seen| seen.signature != Signature::Missing) => {
            Some(withdrawal(cluster, token.id()).await)
        }
        Ok(()) => None,
        Err(why) => {
            left.insert(format!("the Secret of token {}", token.id()), why);
            None
        }
    };
    let rehearsal = JoinRehearsal {
        token: token.id().to_owned(),
        node,
        discovery,
        refetch,
        identity,
        lookup,
        config_maps: config_maps.into_iter().collect(),
        request,
        issuance,
        withdrawal,
        left,
    };
    Ok((rehearsal, credential))
}

async fn answer(cluster: &Cluster, call: Call) -> Seen<Answered> {
    Answered::of(&call, &answer_to_newcomer(cluster, &call).await?)
}

/// Reads cluster-info until it is signed with the token, or closed. Returns the signed text as well.
async fn discover(cluster: &Cluster, token: &Minted) -> Seen<(Discovery, String)> {
    let began = Instant::now();
    let call = cluster_info::request().by(Identity::Anonymous).trusting(Trust::Anyone);
    let look = async || -> Seen<(Discovery, String)> {
        let reply = cluster.send(&call).await?;
        let waited_ms = milliseconds(began.elapsed());
        let answered = Answered::of(&call, &reply)?;
        if answered.status != 200 {
            let authorities = Err("cluster-info was not readable".into());
            return Ok((Discovery { answered, signature: Signature::Missing, authorities, waited_ms }, String::new()));
        }
        let Parts { kubeconfig, signed, .. } = Parts::of(reply.decode(&call)?);
        let signature = signed.signature(token.id(), Some(token.secret()));
        let authorities = kubeconfig.and_then(|kubeconfig| match kubeconfig.clusters.into_iter().next() {
            Some(cluster) => cluster.authorities,
            None => Err("its kubeconfig has no cluster".into()),
        });
        Ok((Discovery { answered, signature, authorities, waited_ms }, signed.kubeconfig))
    };
    let is_over = |(seen, _): &(Discovery, String)| seen.answered.status != 200 || seen.signature != Signature::Missing;
    until(PATIENCE, PAUSE, look, |seen| seen.as_ref().map_or(true, is_over)).await
}

/// Reads cluster-info again from a server that those CAs verify.
async fn refetch(cluster: &Cluster, authorities: &[Certificate], text: &str) -> Seen<Refetch> {
    let Some(address) = cluster.endpoint() else {
        return Err(Unobserved::invalid(cluster.summary().server.clone(), "it has no host"));
    };
    let endpoint = address.to_string();
    let target = target(address, cluster.kubeconfig().config.tls_server_name.as_deref());
    let trust = cluster.handshake(&target, authorities).await?.verdict;
    if trust.is_err() {
        return Ok(Refetch { endpoint, trust, identical: None });
    }
    let call = cluster_info::request().by(Identity::Anonymous).trusting(Trust::Only(authorities.to_vec()));
    let map: ConfigMap = cluster.fetch(&call).await?;
    let identical = map.data.and_then(|mut data| data.remove("kubeconfig")).as_deref() == Some(text);
    Ok(Refetch { endpoint, trust, identical: Some(identical) })
}

/// The kubeconfig's endpoint, with the name that the kubeconfig verifies.
fn target(endpoint: Authority, tls_server_name: Option<&str>) -> Target {
    let target = Target::of(endpoint);
    Target { server_name: tls_server_name.map(str::to_owned).or(target.server_name), ..target }
}

struct Certified {
    request: Seen<Answered>,
    issuance: Option<Seen<Issuance>>,
    credential: Option<Identity>,
}

/// Requests a node's certificate, waits for it, and removes the request.
async fn certify(live: &Live, node: &str, bearer: &Identity, left: &mut BTreeMap<String, Unobserved>) -> Certified {
    let refused = |why| Certified { request: Err(why), issuance: None, credential: None };
    let applicant = match Applicant::kubelet(node) {
        Ok(applicant) => applicant,
        Err(error) => return refused(Unobserved::invalid("a new key", error)),
    };
    let Live { cluster, inputs: Inputs { run, .. }, ledger, .. } = live;
    let name = node_request(run);
    let outlying = request::remember(ledger, &name);
    let request = answer(cluster, submission(run, &name, KUBELET_CLIENT, &applicant, bearer.clone())).await;
    let submitted = request.as_ref().is_ok_and(|answered| answered.status < 300);
    let issued = if submitted { Some(issuance(cluster, &name, bearer).await) } else { None };
    if request.as_ref().is_ok_and(|answered| (400..500).contains(&answered.status)) {
        ledger.strike(&outlying);
    } else if let Err(why) = removal::withdraw(live, &outlying).await {
        left.insert(outlying.to_string(), why);
    }
    let (issuance, pem) = match issued {
        None => (None, None),
        Some(Ok((issuance, pem))) => (Some(Ok(issuance)), pem),
        Some(Err(why)) => (Some(Err(why)), None),
    };
    Certified { request, issuance, credential: pem.map(|pem| applicant.with(&pem)) }
}

/// Waits until the signature of the deleted token is removed.
async fn withdrawal(cluster: &Cluster, id: &str) -> Seen<Option<u64>> {
    let began = Instant::now();
    let look = async || -> Seen<bool> {
        let map: ConfigMap = cluster.fetch(&cluster_info::request()).await?;
        Ok(!Parts::of(map).signed.signatures.contains_key(id))
    };
    let is_gone = until(PATIENCE, PAUSE, look, |seen| !matches!(seen, Ok(false))).await?;
    Ok(is_gone.then(|| milliseconds(began.elapsed())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_verified_by_the_name_that_the_kubeconfig_gives() {
        let name = |given| target("10.77.0.100:6443".parse().unwrap(), given).server_name.unwrap();
        assert_eq!((name(None).as_str(), name(Some("n1")).as_str()), ("10.77.0.100", "n1"));
    }
}
