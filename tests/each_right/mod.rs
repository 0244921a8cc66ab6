//! Runs that lack one of the permissions which `seaworthy rbac` prints: such a run names it, and passes nothing because of it.
//!
//! Each permission is granted by a role of its own to a few accounts, and is withdrawn from one of them for one run.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use libtest_mimic::Failed;
use seaworthy::check::Outcome;
use serde_json::{Value, json};

use super::bed::{Bed, output, seaworthy};
use super::{Namespace, Outcomes, Run, Verdicts, expect, kubeconfig_of, wait_for};

const PROFILE: &str = "audit";
/// Where the accounts are.
const HOME: &str = "rights";
/// The accounts that run. They do so at the same time.
const ACCOUNTS: [&str; 4] = ["auditor-a", "auditor-b", "auditor-c", "auditor-d"];
/// An account with what Kubernetes grants to every one.
const STRANGER: &str = "stranger";
/// Marks everything here.
const LABEL: &str = "seaworthy.test/rights";
const API: &str = "rbac.authorization.k8s.io/v1";

/// What a check could do without on this cluster, and why a run does not name it.
const NEEDED_ELSEWHERE: [(&str, &str); 9] = [
    ("get /flagz", "static pods show the same settings"),
    ("get nodes/configz", "a token is sent only to a kubelet whose certificate is issued by the cluster's CA"),
    ("get nodes/metrics", "a token is sent only to a kubelet whose certificate is issued by the cluster's CA"),
    ("get felixconfigurations.crd.projectcalico.org default", "only asked for where Calico runs"),
    ("list nodes.metrics.k8s.io", "only asked for where this API is served"),
    ("get configmaps cilium-config in kube-system", "only asked for where Cilium runs"),
    ("get configmaps coredns-custom in kube-system", "only asked for where CoreDNS imports it"),
    ("get configmaps rke2-coredns-rke2-coredns in kube-system", "only asked for where there is no ConfigMap coredns"),
    ("get deployments.apps coredns in kube-system", "only asked for where pods do not show who owns them"),
];

/// One permission: one verb, and one resource or URL of one name at most.
struct Permission {
    namespace: Option<String>,
    verb: String,
    group: String,
    resource: String,
    name: Option<String>,
    url: Option<String>,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, verb, group, resource, name, url } = self;
        if let Some(url) = url {
            return write!(f, "{verb} {url}");
        }
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")?;
        if let Some(name) = name {
            write!(f, " {name}")?;
        }
        namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in {namespace}"))
    }
}

impl Permission {
    /// All that manifests grant.
    fn all(manifests: &str) -> Result<Vec<Self>, Failed> {
        let words = |rule: &Value, key: &str| -> Vec<String> {
            rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut all = Vec::new();
        for manifest in manifests.split("---\n") {
            let role: Value = serde_saphyr::from_str(manifest)?;
            let namespace = role["metadata"]["namespace"].as_str().map(str::to_owned);
            for rule in role["rules"].as_array().into_iter().flatten() {
                let group = words(rule, "apiGroups").pop().unwrap_or_default();
                let names: Vec<_> = match words(rule, "resourceNames") {
                    names if names.is_empty() => vec![None],
                    names => names.into_iter().map(Some).collect(),
                };
                for verb in words(rule, "verbs") {
                    let one = |resource: &str, name: Option<&String>, url: Option<&String>| Self {
                        namespace: namespace.clone(),
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.into(),
                        name: name.cloned(),
                        url: url.cloned(),
                    };
                    let (resources, urls) = (words(rule, "resources"), words(rule, "nonResourceURLs"));
                    for resource in &resources {
                        all.extend(names.iter().map(|name| one(resource, name.as_ref(), None)));
                    }
                    all.extend(urls.iter().map(|url| one("", None, Some(url))));
                }
            }
        }
        Ok(all)
    }

    /// A role with it, and its binding to these accounts.
    fn granted(&self, role: &str, accounts: &[&str]) -> [Value; 2] {
        let mut metadata = json!({ "name": role, "labels": { LABEL: "" } });
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = namespace.as_str().into();
        }
        let mut permitted = json!({ "verbs": [self.verb] });
        if let Some(url) = &self.url {
            permitted["nonResourceURLs"] = json!([url]);
        } else {
            permitted["apiGroups"] = json!([self.group]);
            permitted["resources"] = json!([self.resource]);
        }
        if let Some(name) = &self.name {
            permitted["resourceNames"] = json!([name]);
        }
        let kind = if self.namespace.is_some() { "Role" } else { "ClusterRole" };
        let subjects = accounts.iter().map(|name| json!({ "kind": "ServiceAccount", "name": name, "namespace": HOME }));
        [
            json!({ "apiVersion": API, "kind": kind, "metadata": metadata, "rules": [permitted] }),
            json!({ "apiVersion": API, "kind": format!("{kind}Binding"), "metadata": metadata,
                "subjects": subjects.collect::<Vec<_>>(),
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role } }),
        ]
    }

    /// Whether the authorizers grant it to an account.
    fn is_granted(&self, bed: &Bed, account: &str) -> Result<bool, Failed> {
        let mut spec = json!({
            "user": format!("system:serviceaccount:{HOME}:{account}"),
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{HOME}"), "system:authenticated"],
        });
        if let Some(url) = &self.url {
            spec["nonResourceAttributes"] = json!({ "verb": self.verb, "path": url });
        } else {
            let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
            spec["resourceAttributes"] = json!({ "verb": self.verb, "group": self.group, "resource": resource,
                "subresource": subresource, "name": self.name.as_deref().unwrap_or_default(),
                "namespace": self.namespace.as_deref().unwrap_or_default() });
        }
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec });
        let reviewed = given(bed, &["create", "--raw", "/apis/authorization.k8s.io/v1/subjectaccessreviews"], &review)?;
        let reviewed: Value = serde_json::from_str(&reviewed)?;
        Ok(reviewed["status"]["allowed"].as_bool().ok_or("a review has an answer")?)
    }

    /// Whether a check states that it is missing.
    fn is_named(&self, verdicts: &Verdicts) -> bool {
        let missing = verdicts.0.iter().flat_map(|check| &check.unseen).filter_map(|unseen| unseen.missing.as_deref());
        let has = |text: &str, word: &str| text.contains(word.trim_end_matches('*'));
        missing.into_iter().any(|text| match &self.url {
            Some(url) => has(text, url),
            None => {
                has(text, &format!("{} {}", self.verb, self.resource))
                    && self.name.as_ref().is_none_or(|name| has(text, name))
            }
        })
    }
}

/// Runs kubectl with a file of this object.
fn given(bed: &Bed, arguments: &[&str], object: &Value) -> Result<String, Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("object.json");
    std::fs::write(&path, object.to_string())?;
    let mut command = Command::new(&bed.program);
    command.arg("kubectl").args(arguments).args(["-f", &path.to_string_lossy()]);
    output(command.stdin(Stdio::null()))
}

/// The roles and bindings, which are deleted when the trial ends.
struct Grants<'a>(&'a Bed);

impl Drop for Grants<'_> {
    fn drop(&mut self) {
        for (kinds, place) in [("clusterroles,clusterrolebindings", None), ("roles,rolebindings", Some("-A"))] {
            let arguments = ["delete", kinds, "-l", LABEL, "--wait=false"];
            let _ = self.0.kubectl(&arguments.into_iter().chain(place).collect::<Vec<_>>());
        }
    }
}

/// A run without one of its permissions names it, and passes nothing that a run with all of them does not.
pub(crate) fn each_printed_right(bed: &Bed) -> Outcomes {
    let permissions = Permission::all(&output(Command::new(seaworthy()).args(["rbac", "--profile", PROFILE]))?)?;
    let roles: Vec<_> = (0..permissions.len()).map(|i| format!("rights-{i}")).collect();
    let granted: Vec<_> = permissions.iter().zip(roles.iter().map(String::as_str)).collect();
    let _home = Namespace::new(bed, HOME, "")?;
    let _grants = Grants(bed);
    let account =
        |name| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": HOME } });
    let mut objects: Vec<Value> = ACCOUNTS.into_iter().chain([STRANGER]).map(account).collect();
    objects.extend(granted.iter().flat_map(|(permission, role)| permission.granted(role, &ACCOUNTS)));
    given(bed, &["create"], &json!({ "apiVersion": "v1", "kind": "List", "items": objects }))?;
    // The last of each kind: authorizers learn of bindings in the order in which these were made.
    for is_cluster_wide in [true, false] {
        let mut of_kind = permissions.iter().filter(|permission| permission.namespace.is_none() == is_cluster_wide);
        let last = of_kind.next_back().ok_or("there are permissions of both kinds")?;
        wait_for("the permissions are granted", || Ok(last.is_granted(bed, ACCOUNTS[0])?.then_some(())))?;
    }

    let before = run(bed, ACCOUNTS[0])?;
    let without = |account: &str, permission: &Permission, role: &str| -> Result<Option<Verdicts>, Failed> {
        // What Kubernetes grants to every account is never missing.
        if permission.is_granted(bed, STRANGER)? {
            return Ok(None);
        }
        let others: Vec<_> = ACCOUNTS.into_iter().filter(|other| *other != account).collect();
        let [_, less] = permission.granted(role, &others);
        given(bed, &["replace"], &less)?;
        wait_for("the permission is withdrawn", || Ok((!permission.is_granted(bed, account)?).then_some(())))?;
        let verdicts = run(bed, account);
        let [_, whole] = permission.granted(role, &ACCOUNTS);
        given(bed, &["replace"], &whole)?;
        verdicts.map(Some)
    };
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for account in ACCOUNTS {
            let (next, results, granted, without) = (&next, &results, &granted, &without);
            scope.spawn(move || {
                while let Some((permission, role)) = granted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdicts = without(account, permission, role);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((*permission, verdicts));
                }
            });
        }
    });
    let after = run(bed, ACCOUNTS[0])?;
    let (before, after) = (before.outcomes(), after.outcomes());
    let passes = |id: &str| before[id] == Outcome::Pass || after[id] == Outcome::Pass;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (permission, verdicts) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let failed = |why: Failed| format!("without {permission}: {}", why.message().unwrap_or_default());
        let Some(verdicts) = verdicts.map_err(failed)? else { continue };
        tried += 1;
        for (id, outcome) in verdicts.outcomes() {
            if outcome == Outcome::Pass && !passes(id) {
                wrong.push(format!("without {permission}: {id} passes, but is {} with it", before[id]));
            }
        }
        let is_known = NEEDED_ELSEWHERE.iter().any(|(known, _)| *known == permission.to_string());
        if permission.is_named(&verdicts) == is_known {
            wrong.push(format!("without {permission}: it is {}named", if is_known { "" } else { "not " }));
        }
    }
    expect(tried * 2 > permissions.len(), format!("{tried} of {} permissions were withdrawn", permissions.len()))?;
    expect(wrong.is_empty(), wrong.join("\n"))
}

/// What a run as this account finds.
fn run(bed: &Bed, account: &str) -> Result<Verdicts, Failed> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = kubeconfig_of(bed, HOME, account, folder.path())?;
    Run::new(&kubeconfig, PROFILE)?.ends_with(&[0, 1, 3])
}
