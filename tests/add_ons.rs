//! Installs what published charts and manifests grant, one add-on after the other, into a healthy cluster's RBAC objects.
//!
//! `tests/add_ons/manifests.yaml` has, for each add-on, its bindings with the rules that matter here and the service
//! accounts to which they give powers. In it, `zz` stands for the release and `nn` for its namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use regex::Regex;
use seaworthy::check::{Finding, Judged, Severity};
use seaworthy::event::Events;
use seaworthy::recording::Recording;
use seaworthy::run::{Observer, Plan, Source};
use seaworthy::suites;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const CHECKS: [&str; 3] = ["AA-18", "AA-19", "AA-20"];
/// What these checks need.
const FACTS: [&str; 5] = ["default-service-account-reviews", "expectations", "kubeadm-config", "pods", "rbac"];
/// How many add-ons a cluster has.
const TOGETHER: usize = 20;
/// Who have what is granted to everyone, or to every pod of a namespace.
const EVERYONE: [&str; 2] = ["Group system:authenticated", "ServiceAccount nn/default"];
const RBAC: &str = "rbac.authorization.k8s.io";

/// What an add-on's manifests grant.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AddOn {
    #[serde(rename = "add-on")]
    project: String,
    source: String,
    /// The service accounts with powers, as `NAMESPACE/NAME`.
    holders: BTreeSet<String>,
    bindings: Vec<Binding>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Binding {
    /// `NAME`, or `NAMESPACE/NAME`.
    #[serde(rename = "binding")]
    name: String,
    role: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Only where they differ.
    role_labels: Option<BTreeMap<String, String>>,
    subjects: Vec<String>,
    /// As `VERBS GROUPS RESOURCES NAMES`; none of a role of Kubernetes.
    rules: Option<Vec<String>>,
}

fn add_ons(release: &str, namespace: &str) -> Vec<AddOn> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/add_ons/manifests.yaml");
    let text = std::fs::read_to_string(path).expect("the manifests are in tests/add_ons");
    let put = |text: &str, place: &str, name: &str| {
        let place = Regex::new(&format!(r"(?-u:\b){place}(?-u:\b)")).expect("a name is a pattern");
        place.replace_all(text, name).into_owned()
    };
    serde_saphyr::from_str(&put(&put(&text, "zz", release), "nn", namespace)).expect("the manifests are add-ons")
}

impl Binding {
    fn object(&self) -> String {
        format!("{} {}", if self.name.contains('/') { "RoleBinding" } else { "ClusterRoleBinding" }, self.name)
    }

    /// The role as an object; the namespace of a Role is the binding's.
    fn role(&self) -> String {
        match (self.role.strip_prefix("Role "), self.name.split_once('/')) {
            (Some(name), Some((namespace, _))) => format!("Role {namespace}/{name}"),
            _ => self.role.clone(),
        }
    }

    fn rules(&self) -> Vec<Value> {
        let rule = |text: &String| {
            let words: Vec<_> = text.split(' ').collect();
            let list = |at: usize| -> Vec<_> {
                let all = words.get(at).map(|word| word.split(',')).into_iter().flatten();
                all.map(|one| if one == "core" { "" } else { one }).collect()
            };
            json!({"verbs": list(0), "groups": list(1), "resources": list(2), "names": list(3)})
        };
        self.rules.iter().flatten().map(rule).collect()
    }
}

impl AddOn {
    /// The names that another add-on of the same cluster must not have.
    fn names(&self) -> BTreeSet<String> {
        let objects = self.bindings.iter().flat_map(|binding| [binding.object(), binding.role()]);
        let accounts = self.bindings.iter().flat_map(|binding| binding.subjects.iter().cloned());
        let is_own = |name: &String| name != "ClusterRole cluster-admin" && !EVERYONE.contains(&name.as_str());
        objects.chain(accounts).filter(is_own).collect()
    }
}

/// Add-ons that can be installed into one cluster, together: a cluster for each would take minutes.
fn clusters(add_ons: impl IntoIterator<Item = AddOn>) -> Vec<Vec<AddOn>> {
    let mut clusters: Vec<(BTreeSet<String>, Vec<AddOn>)> = Vec::new();
    for add_on in add_ons {
        let names = add_on.names();
        let cluster = clusters.iter_mut().find(|(taken, all)| all.len() < TOGETHER && taken.is_disjoint(&names));
        match cluster {
            Some((taken, all)) => {
                taken.extend(names);
                all.push(add_on);
            }
            None => clusters.push((names, vec![add_on])),
        }
    }
    clusters.into_iter().map(|(_, all)| all).collect()
}

/// A healthy cluster, as a recording that can be changed.
#[derive(Clone)]
struct Cluster(Value);

impl Cluster {
    fn healthy() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/healthy/one-node.json.gz");
        let mut text = String::new();
        let file = File::open(path).expect("the fixture exists");
        GzDecoder::new(file).read_to_string(&mut text).expect("the fixture is compressed text");
        let mut recording: Value = serde_json::from_str(&text).expect("the fixture is JSON");
        recording["facts"].as_object_mut().expect("it has facts").retain(|name, _| FACTS.contains(&name.as_str()));
        assert_eq!(recording["facts"].as_object().map(Map::len), Some(FACTS.len()));
        Self(recording)
    }

    fn part(&mut self, path: &[&str]) -> &mut Map<String, Value> {
        let rbac = &mut self.0["facts"]["rbac"]["Ok"];
        let part = path.iter().fold(rbac, |value, key| &mut value[*key]);
        if part.is_null() {
            *part = json!({});
        }
        part.as_object_mut().expect("it is a map")
    }

    fn with(mut self, add_on: &AddOn) -> Self {
        for binding in &add_on.bindings {
            if binding.rules.is_some() {
                let rules = self.part(&["roles"]).entry(binding.role()).or_insert_with(|| json!([]));
                rules.as_array_mut().expect("rules are a list").extend(binding.rules());
            }
            self.part(&["bindings"])
                .insert(binding.object(), json!({"role": binding.role(), "holders": binding.subjects}));
            for (object, labels) in [
                (binding.object(), Some(&binding.labels)),
                (binding.role(), binding.role_labels.as_ref().or(Some(&binding.labels))),
            ] {
                let is_own = object.ends_with(&binding.object()) || binding.rules.is_some();
                if let Some(labels) = labels.filter(|labels| is_own && !labels.is_empty()) {
                    self.part(&["marks", "add_ons"]).insert(object, json!(labels));
                }
            }
        }
        self
    }

    async fn judged(&self) -> Vec<Judged> {
        self.judged_by(&CHECKS).await
    }

    async fn judged_by(&self, checks: &[&str]) -> Vec<Judged> {
        let text = serde_json::to_vec(&self.0).expect("JSON can be written");
        let recording = Recording::parse(&text, Path::new("a cluster with add-ons")).expect("it is a recording");
        let plan = Plan::new(checks.iter().map(|id| suites::check(id).expect("an id is never taken away")).collect());
        let observer = Observer::new(plan.facts.clone(), Source::Recorded(recording), Events::channel().0);
        observer.settle(plan.checks.iter().flat_map(|check| (check.needs)()).collect()).await;
        plan.checks.iter().map(|check| check.judged(&plan.facts, Severity::Minor)).collect()
    }
}

fn findings(judged: &[Judged]) -> Vec<&Finding> {
    judged.iter().flat_map(|check| &check.findings).collect()
}

fn words(findings: &[&Finding]) -> String {
    findings
        .iter()
        .map(|it| format!("{:?} {} {}", it.severity, it.seen, it.evidence.join(", ")))
        .collect::<Vec<_>>()
        .join("\n  ")
}

#[tokio::test]
async fn a_healthy_cluster_has_no_findings() {
    let judged = Cluster::healthy().judged().await;
    assert!(findings(&judged).is_empty() && judged.iter().all(|check| check.observations > 0), "{judged:?}");
}

#[tokio::test]
async fn published_add_ons_are_notes_under_any_release_and_in_any_namespace() {
    let (healthy, mut wrong) = (Cluster::healthy(), Vec::new());
    let (mut holders, mut unnoted) = (0, Vec::new());
    for (release, namespace) in [("zz", "nn"), ("prod-2", "platform"), ("main", "kube-system")] {
        let all = add_ons(release, namespace);
        assert!(all.len() > 150, "{}", all.len());
        for together in clusters(all) {
            let judged = together.iter().fold(healthy.clone(), Cluster::with).judged().await;
            let found = findings(&judged);
            if found.iter().any(|it| it.severity >= Severity::Major) {
                let projects: Vec<_> = together.iter().map(|it| format!("{} ({})", it.project, it.source)).collect();
                wrong.push(format!("{} as {release} in {namespace}: {}", projects.join(", "), words(&found)));
            }
            let notes = judged.iter().filter(|check| check.id != "AA-18").flat_map(|check| &check.notes);
            let listed: BTreeSet<_> = notes.flat_map(|note| &note.subjects).map(ToString::to_string).collect();
            for add_on in together {
                let is_missing = |holder: &&String| !listed.contains(&format!("ServiceAccount {holder}"));
                holders += add_on.holders.len();
                let missing = add_on.holders.iter().filter(is_missing);
                unnoted.extend(missing.map(|holder| format!("{}: {holder} as {release}", add_on.project)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert!(holders > 900, "{holders}");
    assert!(unnoted.is_empty(), "{} of {holders}:\n{}", unnoted.len(), unnoted.join("\n"));
}

/// An operator of a chart that is not known, with the labels that Helm gives it.
fn unknown(name: &str, rules: &[&str]) -> AddOn {
    let labels = [("helm.sh/chart", format!("{name}-1.2.3")), ("app.kubernetes.io/name", name.to_owned())];
    let holder = format!("{name}/{name}-operator");
    AddOn {
        project: name.to_owned(),
        source: String::new(),
        bindings: vec![Binding {
            name: format!("{name}-operator"),
            role: format!("ClusterRole {name}-operator"),
            labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
            role_labels: None,
            subjects: vec![format!("ServiceAccount {holder}")],
            rules: Some(rules.iter().map(|rule| (*rule).to_owned()).collect()),
        }],
        holders: [holder].into(),
    }
}

#[tokio::test]
async fn unknown_add_ons_are_one_finding_with_the_path_of_each() {
    let operators = [
        unknown("widgets", &["list core secrets", "create core pods"]),
        unknown("gadgets", &["create apps deployments"]),
        unknown("gizmos", &["create,get core secrets"]),
        unknown("monitor", &["get core nodes/proxy"]),
        unknown("injector", &["patch admissionregistration.k8s.io mutatingwebhookconfigurations"]),
    ];
    let mut cluster = operators.iter().fold(Cluster::healthy(), Cluster::with);
    let judged = cluster.judged().await;
    let [finding] = findings(&judged)[..] else { panic!("{}", words(&findings(&judged))) };
    assert_eq!(finding.severity, Severity::Major);
    for operator in &operators {
        let holder = format!("ServiceAccount {}", operator.holders.first().expect("it has one"));
        let path = finding.evidence.iter().find(|path| path.starts_with(&holder)).expect("every holder is listed");
        assert!(path.contains(" → everything; granted by ClusterRole"), "{path}");
        assert!(path.contains(&format!("(chart {})", operator.project)), "{path}");
    }
    // The entry of the profile can be pasted as it is printed, and is enough.
    let (_, entry) = finding.fix.split_once("expect: ").expect("the fix prints an entry");
    let entry = entry.split_inclusive('}').next().expect("the entry ends");
    let entry: BTreeMap<String, Vec<String>> = serde_saphyr::from_str(entry).expect("the entry is YAML");
    cluster.0["facts"]["expectations"]["Ok"]["powerful"] = json!(entry["powerful"]);
    let judged = cluster.judged().await;
    assert!(findings(&judged).is_empty(), "{}", words(&findings(&judged)));
}

/// A right more, unless the rules of an add-on contain it already.
fn more(add_on: &AddOn, holder: &str, verb: &str, resource: [&str; 2]) -> Option<AddOn> {
    let subject = format!("ServiceAccount {holder}");
    // An administrator has all of them.
    if add_on.bindings.iter().any(|it| it.subjects.contains(&subject) && it.role() == "ClusterRole cluster-admin") {
        return None;
    }
    let mut changed = add_on.clone();
    let own = changed.bindings.iter_mut().filter(|binding| binding.subjects.contains(&subject));
    let mut own: Vec<_> = own.filter(|binding| binding.rules.is_some()).collect();
    let has = own
        .iter()
        .flat_map(|binding| binding.rules.iter().flatten())
        .any(|rule| rule.contains(verb) || rule.starts_with('*'));
    let wide = own.iter_mut().find(|binding| !binding.name.contains('/')).filter(|_| !has)?;
    wide.rules.as_mut()?.push(format!("{verb},update {} {}", resource[0], resource[1]));
    Some(changed)
}

#[tokio::test]
async fn one_power_more_is_found_and_named() {
    let (healthy, mut wrong, mut tried) = (Cluster::healthy(), Vec::new(), 0);
    for (verb, resource) in [("escalate", [RBAC, "clusterroles"]), ("impersonate", ["core", "groups"])] {
        // By holder; an add-on with several is installed as often.
        let changed = add_ons("zz", "nn").into_iter().flat_map(|add_on| {
            let holders = add_on.holders.clone();
            holders.into_iter().filter_map(move |holder| {
                let changed = more(&add_on, &holder, verb, resource)?;
                Some(AddOn { holders: [holder].into(), ..changed })
            })
        });
        for together in clusters(changed) {
            let judged = together.iter().fold(healthy.clone(), Cluster::with).judged().await;
            for add_on in together {
                tried += 1;
                let subject = format!("ServiceAccount {}", add_on.holders.first().expect("it has one"));
                let is_named = |it: &Finding| {
                    let named = it.expected.contains(&subject) || it.seen.contains(&subject);
                    named && words(&[it]).contains(verb) && it.severity >= Severity::Major
                };
                if !findings(&judged).into_iter().any(is_named) {
                    wrong.push(format!("{}: {verb} of {subject}: {}", add_on.project, words(&findings(&judged))));
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_an_add_on_has_is_found_where_everyone_has_it() {
    let (healthy, mut wrong) = (Cluster::healthy(), Vec::new());
    for add_on in add_ons("zz", "nn") {
        let at = add_on.bindings.iter().position(|binding| {
            binding.rules.is_some() && binding.subjects.iter().all(|subject| subject.starts_with("ServiceAccount"))
        });
        for everyone in EVERYONE {
            let (Some(at), mut changed) = (at, add_on.clone()) else { continue };
            changed.bindings[at].subjects = vec![everyone.into()];
            let judged = healthy.clone().with(&changed).judged_by(&["AA-18"]).await;
            if !findings(&judged).into_iter().any(|it| it.severity >= Severity::Major) {
                wrong.push(format!("{} for {everyone}: {:?}", add_on.project, changed.bindings[at].rules));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
