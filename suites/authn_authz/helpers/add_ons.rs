//! Add-ons, recognised by what their charts and manifests set, with the powers that these give.
//!
//! The knowledge is data: `add_ons.yaml`, with the source and the date of each entry. An add-on is recognised in any
//! namespace and under any release name, but a label can be forged: it never has more powers than its own manifests give.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::fact::facts::rbac::{Grant, Rbac};
use crate::holder::Holder;
use crate::manager::Manager;
use crate::object_ref::{NamespacedName, ObjectRef};

/// The labels that contain a chart's name with its version.
const CHARTS: [&str; 2] = ["helm.sh/chart", "chart"];
/// The power of a holder that may do everything.
pub(crate) const ADMINISTRATOR: &str = "administrator";
/// Where the control plane is.
const SYSTEM: &str = "kube-system";

/// All known add-ons.
static KNOWN: LazyLock<Vec<AddOn>> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("add_ons.yaml")).expect("a test reads this file"));

/// An add-on, as its chart or its manifests install it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AddOn {
    /// The name of its chart, or that of its project.
    #[serde(rename = "add-on")]
    project: String,
    /// The chart or manifest from which this was read.
    source: String,
    /// The day of that version.
    date: String,
    /// The names in its labels.
    #[serde(default)]
    marks: BTreeSet<String>,
    /// Its service accounts with powers.
    #[serde(default)]
    holders: Vec<Part>,
    /// What it grants to everyone who is authenticated.
    #[serde(default)]
    public: Vec<Public>,
}

/// A part of an add-on: a service account, with the powers that its manifests give it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Part {
    account: Pattern,
    /// Its bindings that have labels, or whose roles do.
    #[serde(default)]
    bindings: Vec<Pattern>,
    /// Its bindings without labels.
    #[serde(default)]
    unmarked: Vec<Pattern>,
    /// Its powers in the whole cluster.
    #[serde(default)]
    cluster: BTreeSet<String>,
    /// Its further powers in a namespace: its own, or another that is not of the control plane.
    #[serde(default)]
    namespace: BTreeSet<String>,
    /// Its further powers in kube-system, wherever it is installed.
    #[serde(default)]
    kube_system: BTreeSet<String>,
}

/// What an add-on grants to everyone who is authenticated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Public {
    binding: Pattern,
    /// Whether it is granted in the whole cluster, as what lies in no namespace is.
    #[serde(default)]
    cluster: bool,
    /// The rules, as evidence shows them.
    rules: Vec<Pattern>,
}

/// A name or a text in which `*` stands for anything, such as the release's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Pattern(String);

impl fmt::Display for AddOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, source, date, .. } = self;
        write!(f, "{project} ({source}, {date})")
    }
}

impl AddOn {
    /// Whether one of these names of labels is its own.
    fn is_named_by(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.marks.contains(*name))
    }

    /// A pattern without the name that the chart's templates put between release and component. It fits names that a
    /// value such as `fullnameOverride` changed.
    fn shortened(&self, pattern: &Pattern) -> Option<Pattern> {
        let rest = pattern.0.strip_prefix('*')?;
        let rest = self.marks.iter().find_map(|mark| rest.strip_prefix(mark.as_str()))?;
        Some(Pattern(format!("*{rest}")))
    }

    /// How closely a binding fits a part, if it does: a whole pattern before a shortened one, then the longest.
    fn closeness(&self, part: &Part, found: &Found<'_>) -> Option<(bool, usize)> {
        let name = &found.grant.object.name;
        let longest = |patterns: &[Pattern]| {
            patterns.iter().filter(|pattern| pattern.fits(name)).map(|pattern| (true, pattern.0.len())).max()
        };
        if self.is_named_by(&found.names) {
            let short = part.bindings.iter().filter_map(|pattern| self.shortened(pattern));
            let short = short.filter(|pattern| pattern.fits(name)).map(|pattern| (false, pattern.0.len())).max();
            return longest(&part.bindings).or(short);
        }
        let by_role = longest(&part.bindings).filter(|_| self.is_named_by(&found.role_names));
        by_role.or_else(|| longest(&part.unmarked))
    }

    /// The parts of it that hold a grant.
    fn parts<'a>(&'static self, found: &'a Found<'_>) -> impl Iterator<Item = &'static Part> + 'a {
        let fitting: Vec<_> =
            self.holders.iter().filter_map(|part| Some((self.closeness(part, found)?, part))).collect();
        let closest = fitting.iter().map(|(closeness, _)| *closeness).max();
        let all: Vec<_> =
            fitting.into_iter().filter(|(closeness, _)| Some(*closeness) == closest).map(|(_, part)| part).collect();
        // Without labels on the binding the account must have the name that the manifests give it.
        let named = !self.is_named_by(&found.names) || all.iter().any(|part| part.account.fits(&found.account.name));
        // A binding with more subjects than its manifest was changed. Nearly all add-ons fit in no part: they are not asked.
        let accounts: BTreeSet<_> = all.iter().map(|part| part.account.0.as_str()).collect();
        let is_whole = !all.is_empty() && found.accounts() <= accounts.len();
        all.into_iter().filter(move |part| is_whole && (!named || part.account.fits(&found.account.name)))
    }
}

impl Part {
    /// Whether its manifests give it a power in a namespace, or in the whole cluster.
    pub(crate) fn gives(&self, power: &str, namespace: Option<&str>, account: Option<&NamespacedName>) -> bool {
        let is_own = account.is_some_and(|account| Some(&*account.namespace) == namespace);
        let in_namespace = match namespace {
            None => false,
            Some(SYSTEM) if !is_own => self.kube_system.contains(power),
            Some(_) => self.namespace.contains(power),
        };
        in_namespace || self.cluster.contains(power) || self.cluster.contains(ADMINISTRATOR)
    }
}

impl Pattern {
    fn fits(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else { return false };
        let mut parts: Vec<_> = parts.collect();
        let Some(end) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            let Some((_, further)) = rest.split_once(part) else { return false };
            rest = further;
        }
        rest.ends_with(end)
    }
}

/// A grant to a service account.
struct Found<'a> {
    grant: &'a Grant<'a>,
    account: NamespacedName,
    /// The names in the labels of the binding.
    names: Vec<&'a str>,
    /// The names in the labels of the role.
    role_names: Vec<&'a str>,
}

impl Found<'_> {
    /// The service accounts that the binding names.
    fn accounts(&self) -> usize {
        let holders = self.grant.binding.holders.iter().map(Holder::canonical);
        holders.filter(|holder| matches!(holder, Holder::ServiceAccount(_))).collect::<BTreeSet<_>>().len()
    }
}

/// The add-ons to which a holder of a grant belongs, and their parts. Pods that name no service account, groups and
/// users do not belong to any.
pub(crate) fn recognised(rbac: &Rbac, grant: &Grant<'_>, holder: &Holder) -> Vec<(&'static AddOn, &'static Part)> {
    let Holder::ServiceAccount(account) = holder.canonical() else { return Vec::new() };
    if account.name == "default" {
        return Vec::new();
    }
    let found = Found {
        grant,
        account,
        names: names(rbac.add_on_labels(grant.object)),
        role_names: names(rbac.add_on_labels(&grant.binding.role)),
    };
    KNOWN.iter().flat_map(|add_on| add_on.parts(&found).map(move |part| (add_on, part))).collect()
}

/// The add-on whose manifests make the holder of a grant cluster administrator.
pub(crate) fn administrator(rbac: &Rbac, grant: &Grant<'_>, holder: &Holder) -> Option<&'static AddOn> {
    let mut parts = recognised(rbac, grant, holder).into_iter();
    parts.find(|(_, part)| part.cluster.contains(ADMINISTRATOR)).map(|(add_on, _)| add_on)
}

/// The add-on whose manifests grant exactly this to everyone who is authenticated, as labels of the binding or its role show.
pub(crate) fn public(rbac: &Rbac, grant: &Grant<'_>) -> Option<&'static AddOn> {
    let named: Vec<_> =
        [grant.object, &grant.binding.role].into_iter().flat_map(|object| names(rbac.add_on_labels(object))).collect();
    let covers = |public: &Public| {
        public.cluster == grant.namespace().is_none()
            && public.binding.fits(&grant.object.name)
            && grant.existing_rules().iter().all(|rule| {
                let text = rule.to_string();
                public.rules.iter().any(|known| known.fits(&text))
            })
    };
    KNOWN.iter().find(|add_on| add_on.is_named_by(&named) && add_on.public.iter().any(covers))
}

/// Whether the labels of a binding and its role name an add-on, known or not.
pub(crate) fn named_origin(rbac: &Rbac, grant: &Grant<'_>) -> bool {
    [grant.object, &grant.binding.role].iter().all(|object| by_chart(rbac.add_on_labels(object)).is_some())
}

/// What shows that a grant is part of some add-on, known or not: the labels of its chart, what manages it, or the names
/// that the kubebuilder's scaffold gives. None where a known add-on is named, whose manifests do not have this grant.
pub(crate) fn origin(rbac: &Rbac, grant: &Grant<'_>, account: &NamespacedName) -> Option<String> {
    let labels = rbac.add_on_labels(grant.object);
    let role_labels = rbac.add_on_labels(&grant.binding.role);
    let is_known = |labels| {
        let names = names(labels);
        KNOWN.iter().any(|add_on| add_on.is_named_by(&names))
    };
    if account.name == "default" || is_known(labels) || is_known(role_labels) {
        return None;
    }
    // A role alone is no origin of bindings that others made of it.
    let of_role = || by_chart(role_labels).filter(|_| grant.binding.role.name.contains(&*account.name));
    by_chart(labels)
        .or_else(of_role)
        .or_else(|| by_manager(grant.manager, rbac.manager(&grant.binding.role)))
        .or_else(|| by_scaffold(grant, account))
}

/// The chart that a role or binding names in its labels.
pub(crate) fn chart<'a>(rbac: &'a Rbac, role_or_binding: &ObjectRef) -> Option<&'a str> {
    rbac.add_on_labels(role_or_binding)?.get("helm.sh/chart").map(|chart| chart_name(chart))
}

fn by_chart(labels: Option<&BTreeMap<String, String>>) -> Option<String> {
    let labels = labels?;
    let chart = CHARTS.iter().find_map(|key| labels.get(*key)).map(|chart| format!("chart {}", chart_name(chart)));
    let name = || ["app.kubernetes.io/name", "app.kubernetes.io/part-of"].iter().find_map(|key| labels.get(*key));
    chart.or_else(|| name().map(|name| format!("the add-on {name}")))
}

/// Both the binding and the role are written by a release, or by an operator from an object of its own.
fn by_manager(binding: Option<&Manager>, role: Option<&Manager>) -> Option<String> {
    binding.filter(|binding| Some(*binding) == role).map(ToString::to_string)
}

fn by_scaffold(grant: &Grant<'_>, account: &NamespacedName) -> Option<String> {
    let name = grant.object.name.strip_suffix("-manager-rolebinding").filter(|name| !name.is_empty())?;
    let role = grant.binding.role.name.strip_prefix(name)?;
    let is_its_own = ["-manager-role", "-manager-clusterrole"].contains(&role)
        && (account.namespace.starts_with(name) || account.name.starts_with(name));
    is_its_own.then(|| format!("the operator {name}"))
}

/// The names in labels by which an add-on may be known.
fn names(labels: Option<&BTreeMap<String, String>>) -> Vec<&str> {
    let labels = labels.into_iter().flatten();
    labels.map(|(key, value)| if CHARTS.contains(&key.as_str()) { chart_name(value) } else { value }).collect()
}

/// The name in `NAME-VERSION`.
fn chart_name(label: &str) -> &str {
    let is_version = |rest: &str| {
        let rest = rest.trim_start_matches('v');
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        after.len() < rest.len() && after.starts_with('.')
    };
    let mut parts = label.match_indices('-').map(|(at, _)| label.split_at(at));
    parts.find(|(_, version)| is_version(version.trim_start_matches('-'))).map_or(label, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::rbac::PolicyRule;
    use crate::fact::facts::rbac::testing::rule;

    #[test]
    fn the_knowledge_has_sources_dates_and_powers_that_exist() {
        let powers: BTreeSet<_> = super::super::powers::ALL.iter().map(|power| power.name).collect();
        for add_on in KNOWN.iter() {
            assert!(add_on.source.starts_with("https://github.com/"), "{add_on}");
            assert!(add_on.date.parse::<jiff::civil::Date>().is_ok(), "{add_on}");
            assert!(!add_on.holders.is_empty() || !add_on.public.is_empty(), "{add_on}");
            for part in &add_on.holders {
                let all = part.cluster.iter().chain(&part.namespace).chain(&part.kube_system);
                let all: Vec<_> = all.map(String::as_str).collect();
                assert!(!all.is_empty(), "{add_on}: {part:?}");
                assert!(all.iter().all(|power| *power == ADMINISTRATOR || powers.contains(power)), "{add_on}: {all:?}");
                // A name alone must be one that no other program has by chance.
                for name in part.unmarked.iter().chain(part.bindings.iter().filter(|_| add_on.marks.is_empty())) {
                    assert!(
                        name.0.trim_matches('*').len() > 2 && !part.account.0.trim_matches('*').is_empty(),
                        "{add_on}"
                    );
                }
            }
        }
        assert!(KNOWN.len() > 100, "{}", KNOWN.len());
    }

    #[test]
    fn a_pattern_fits_what_it_leaves_open() {
        let fits = |pattern: &str, text: &str| Pattern(pattern.into()).fits(text);
        assert!(fits("*keda-operator", "keda-operator") && fits("*keda-operator", "my-keda-operator"));
        assert!(fits("istiod-*-prod-*", "istiod-clusterrole-prod-a") && fits("*", ""));
        assert!(!fits("keda-operator", "my-keda-operator") && !fits("*keda-operator", "keda-operator-2"));
        assert!(!fits("a*a", "a") && !fits("a*b*c", "acb"));
    }

    #[test]
    fn a_chart_is_named_with_its_version() {
        assert_eq!(chart_name("keda-2.20.2"), "keda");
        assert_eq!(chart_name("gpu-operator-v25.3.0-rc.1"), "gpu-operator");
        assert_eq!(chart_name("k8s-7-zip-1.2.3"), "k8s-7-zip");
        assert_eq!(chart_name("keda"), "keda");
    }

    /// The add-ons of the first holder of an operator's binding.
    fn recognised_in(rbac: &Rbac) -> BTreeSet<String> {
        let grant = rbac.grants().next().unwrap();
        recognised(rbac, &grant, &grant.binding.holders[0]).into_iter().map(|(it, _)| it.project.clone()).collect()
    }

    fn operator(binding: &str, holders: &[&str]) -> Rbac {
        Rbac::default().with_role("mon-operator", vec![rule(&["create"], "", &["pods"])]).with_binding(
            binding,
            "ClusterRole mon-operator",
            holders,
        )
    }

    const STACK: &[&str] = &["helm.sh/chart=kube-prometheus-stack-87.1.0", "app=kube-prometheus-stack-operator"];

    #[test]
    fn an_add_on_is_recognised_by_its_labels_under_any_name() {
        let account = &["ServiceAccount tools/mon-operator"][..];
        let labelled = |binding: &str, holders: &[&str]| {
            operator(binding, holders).with_labels(&format!("ClusterRoleBinding {binding}"), STACK)
        };
        assert!(
            recognised_in(&labelled("mon-operator", account)).contains("kube-prometheus-stack"),
            "fullnameOverride"
        );
        assert!(
            recognised_in(&labelled("a-kube-prometheus-stack-operator", account)).contains("kube-prometheus-stack")
        );
        assert!(recognised_in(&operator("mon-operator", account)).is_empty(), "without labels");
        let foreign = [account[0], "ServiceAccount ops/other"];
        assert!(recognised_in(&labelled("mon-operator", &foreign)).is_empty(), "another subject was added");
        for holder in ["ServiceAccount tools/default", "Group system:authenticated", "User jane"] {
            assert!(recognised_in(&labelled("mon-operator", &[holder])).is_empty(), "{holder}");
        }
    }

    #[test]
    fn a_binding_without_labels_is_not_part_of_the_add_on_whose_role_it_names() {
        let rbac = |binding, holder| operator(binding, &[holder]).with_labels("ClusterRole mon-operator", STACK);
        assert!(recognised_in(&rbac("evil", "ServiceAccount ops/evil")).is_empty());
        let own = "ServiceAccount tools/a-kube-prometheus-stack-operator";
        assert!(!recognised_in(&rbac("a-kube-prometheus-stack-operator", own)).is_empty());
    }

    #[test]
    fn a_grant_of_an_unknown_add_on_has_an_origin() {
        let account = NamespacedName::fixed("tools", "widget");
        let of = |rbac: &Rbac, account: &NamespacedName| origin(rbac, &rbac.grants().next().unwrap(), account);
        let plain = operator("widget", &["ServiceAccount tools/widget"]);
        assert_eq!(of(&plain, &account), None);
        let chart = &["helm.sh/chart=widget-1.2.3"][..];
        let of_role = plain.clone().with_labels("ClusterRole mon-operator", chart);
        assert_eq!(of(&of_role, &account), None, "a role of another account");
        assert!(of(&of_role, &NamespacedName::fixed("tools", "operator")).is_some());
        let labelled = plain.with_labels("ClusterRoleBinding widget", chart);
        assert_eq!(of(&labelled, &account).as_deref(), Some("chart widget"));
        assert_eq!(of(&labelled, &NamespacedName::fixed("tools", "default")), None);
        assert_eq!(of(&labelled.with_labels("ClusterRole mon-operator", STACK), &account), None, "a known one");
        let scaffold =
            Rbac::default().with_binding("widget-manager-rolebinding", "ClusterRole widget-manager-role", &[]);
        assert_eq!(of(&scaffold, &account).as_deref(), Some("the operator widget"));
        assert_eq!(of(&scaffold, &NamespacedName::fixed("ops", "evil")), None);
    }

    #[test]
    fn the_powers_of_a_namespace_end_there() {
        let set = |power: &str| [power.to_owned()].into();
        let part = Part {
            account: Pattern("*".into()),
            bindings: Vec::new(),
            unmarked: Vec::new(),
            cluster: set("secrets"),
            namespace: set("pods"),
            kube_system: BTreeSet::new(),
        };
        let (own, system) = (NamespacedName::fixed("tools", "a"), NamespacedName::fixed(SYSTEM, "a"));
        assert!(part.gives("secrets", None, Some(&own)) && part.gives("pods", Some("tools"), Some(&own)));
        assert!(!part.gives("pods", None, Some(&own)) && !part.gives("pods", Some(SYSTEM), Some(&own)));
        assert!(part.gives("pods", Some(SYSTEM), Some(&system)), "where it is installed");
    }

    #[test]
    fn what_an_add_on_grants_to_everyone_is_compared_rule_by_rule() {
        let proxy = |resources: &[&str]| PolicyRule {
            names: vec![
                "http:a-sealed-secrets:".into(),
                "http:a-sealed-secrets:http".into(),
                "a-sealed-secrets".into(),
            ],
            ..rule(&["create", "get"], "", resources)
        };
        let role = "tools/a-sealed-secrets-service-proxier";
        let rbac = |rules| {
            Rbac::default().with_role(role, rules).with_binding(
                role,
                "Role a-sealed-secrets-service-proxier",
                &["Group system:authenticated"],
            )
        };
        let labels = &["app.kubernetes.io/name=sealed-secrets"];
        let object = format!("RoleBinding {role}");
        let is_known = |rbac: &Rbac| public(rbac, &rbac.grants().next().unwrap()).is_some();
        assert!(is_known(&rbac(vec![proxy(&["services/proxy"])]).with_labels(&object, labels)));
        let of_role = format!("Role {role}");
        assert!(is_known(&rbac(vec![proxy(&["services/proxy"])]).with_labels(&of_role, labels)));
        assert!(!is_known(&rbac(vec![proxy(&["services/proxy"])])), "without labels");
        let wide = vec![proxy(&["services/proxy"]), rule(&["get"], "", &["secrets"])];
        assert!(!is_known(&rbac(wide).with_labels(&object, labels)), "one rule more");
        let everywhere = Rbac::default()
            .with_role("proxier", vec![proxy(&["services/proxy"])])
            .with_binding("a-sealed-secrets-service-proxier", "ClusterRole proxier", &["Group system:authenticated"])
            .with_labels("ClusterRole proxier", labels);
        assert!(!is_known(&everywhere), "in all namespaces");
    }
}
