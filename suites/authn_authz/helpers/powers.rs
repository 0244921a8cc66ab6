//! Rights that are worth more than they look, and what they lead to.

use crate::fact::facts::rbac::PolicyRule;

/// A right, or several together, that lead to more rights than were granted.
pub(crate) struct Power {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// The rights that it takes: each of these.
    needs: &'static [Need],
    /// Where it must be held.
    pub(crate) reach: Reach,
    /// What it leads to.
    pub(crate) yields: Yield,
    /// What its holder does, in words.
    pub(crate) deed: &'static str,
    /// What to grant instead.
    pub(crate) instead: &'static str,
}

/// One of these verbs on one of these resources.
struct Need {
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
    names: Names,
}

/// What a rule that is limited to some names is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Nothing: the objects that matter have other names.
    All,
    /// Enough if one of these is among them.
    Some(&'static [&'static str]),
    /// Enough, whatever they are.
    Any,
}

/// Where a power must be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the whole cluster.
    Cluster,
    /// In the whole cluster or in kube-system.
    System,
    /// In any namespace.
    Namespace,
}

/// What a power leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Yield {
    /// Everything.
    Administrator,
    /// Every service account of the namespace; everything, if those of the control plane are among them.
    Accounts,
    /// The service accounts of pods in the namespace; everything, if the control plane runs there.
    PodAccounts,
    /// The same without the control plane: the kubelet runs static pods from their files, whatever their mirrors state.
    ApiPodAccounts,
    /// The content of Secrets.
    Secrets,
}

/// What to grant instead of a right in the whole cluster.
pub(crate) const IN_NAMESPACES: &str = "remove the right, and grant it by RoleBindings in the namespaces that need it";
const RBAC: &str = "rbac.authorization.k8s.io";
const CHANGE: &[&str] = &["create", "update", "patch"];
/// The names of groups and roles that may do everything.
const ADMINISTRATORS: Names = Names::Some(&["system:masters", "kubeadm:cluster-admins", "cluster-admin"]);

const fn need(verbs: &'static [&'static str], group: &'static str, resources: &'static [&'static str]) -> Need {
    Need { verbs, group, resources, names: Names::All }
}

impl Need {
    const fn named(self, names: Names) -> Self {
        Self { names, ..self }
    }

    fn is_met(&self, rules: &[PolicyRule]) -> bool {
        rules.iter().any(|rule| {
            let names = match self.names {
                Names::Any => true,
                _ if rule.names.is_empty() => true,
                Names::All => false,
                Names::Some(some) => rule.names.iter().any(|name| some.contains(&name.as_str())),
            };
            names
                && self
                    .verbs
                    .iter()
                    .any(|verb| self.resources.iter().any(|resource| rule.permits(verb, self.group, resource)))
        })
    }
}

/// The needs of all powers that some rules meet, a bit for each. Of the thousands of rules that a role may have, no more
/// matters, and the rules of several roles are those of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met(u128);

impl Met {
    /// What these rules meet.
    pub(crate) fn by(rules: &[PolicyRule]) -> Self {
        let needs = ALL.iter().flat_map(|power| power.needs);
        needs.enumerate().filter(|(_, need)| need.is_met(rules)).fold(Self(0), |met, (bit, _)| Self(met.0 | 1 << bit))
    }

    /// What these meet together.
    pub(crate) fn together(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self(0), |met, other| Self(met.0 | other.0))
    }
}

impl Power {
    /// The bits of its needs.
    fn bits(&self) -> u128 {
        let before = ALL.iter().take_while(|power| !std::ptr::eq(*power, self));
        let before: usize = before.map(|power| power.needs.len()).sum();
        ((1 << self.needs.len()) - 1) << before
    }

    /// Whether rules that meet this give it.
    pub(crate) fn is_given_by(&self, met: Met) -> bool {
        met.0 & self.bits() == self.bits()
    }

    /// Whether rules that meet this contribute to it.
    pub(crate) fn rests_on(&self, met: Met) -> bool {
        met.0 & self.bits() != 0
    }
}

/// Every power, the plainest first: of several, the finding shows that one.
pub(crate) static ALL: &[Power] = &[
    Power {
        name: "escalate",
        needs: &[need(&["escalate"], RBAC, &["clusterroles"]), need(CHANGE, RBAC, &["clusterroles"])],
        reach: Reach::Cluster,
        yields: Yield::Administrator,
        deed: "writes any right into ClusterRoles (escalate)",
        instead: "remove the verb escalate, so that its holder can only write rights that it has",
    },
    Power {
        name: "bind",
        needs: &[
            need(&["bind"], RBAC, &["clusterroles"]).named(ADMINISTRATORS),
            need(CHANGE, RBAC, &["clusterrolebindings"]),
        ],
        reach: Reach::Cluster,
        yields: Yield::Administrator,
        deed: "binds cluster-admin to any subject (bind)",
        instead: "limit the verb bind with resourceNames to the roles that it needs",
    },
    Power {
        name: "impersonate",
        needs: &[need(&["impersonate"], "", &["groups", "serviceaccounts"]).named(ADMINISTRATORS)],
        reach: Reach::System,
        yields: Yield::Administrator,
        deed: "acts as a member of any group, or as any service account (impersonate)",
        instead: "limit the verb impersonate with resourceNames to the users and groups that it needs",
    },
    Power {
        name: "approve",
        needs: &[
            need(&["update", "patch"], "certificates.k8s.io", &["certificatesigningrequests/approval"]),
            need(&["approve"], "certificates.k8s.io", &["signers"])
                .named(Names::Some(&["kubernetes.io/kube-apiserver-client", "kubernetes.io/*"])),
            need(&["create"], "certificates.k8s.io", &["certificatesigningrequests"]),
        ],
        reach: Reach::Cluster,
        yields: Yield::Administrator,
        deed: "approves its own client certificate for any group except system:masters",
        instead: "limit the verb approve with resourceNames to signers other than kubernetes.io/kube-apiserver-client",
    },
    Power {
        name: "admission",
        needs: &[need(
            CHANGE,
            "admissionregistration.k8s.io",
            &["mutatingwebhookconfigurations", "mutatingadmissionpolicies"],
        )],
        reach: Reach::Cluster,
        yields: Yield::Administrator,
        deed: "changes every object when it is admitted (mutating admission)",
        instead: "limit the right with resourceNames to the configuration that it needs",
    },
    Power {
        name: "kubelets",
        needs: &[need(&["get", "create"], "", &["nodes/proxy"]).named(Names::Any)],
        reach: Reach::Cluster,
        yields: Yield::PodAccounts,
        deed: "runs commands in every pod through the kubelets (nodes/proxy, where get is enough)",
        instead: "grant nodes/metrics, nodes/stats, nodes/healthz, nodes/configz and nodes/pods instead of nodes/proxy",
    },
    Power {
        name: "tokens",
        needs: &[need(&["create"], "", &["serviceaccounts/token"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "creates tokens for any service account (serviceaccounts/token)",
        instead: "limit the right with resourceNames to the service accounts that it needs",
    },
    Power {
        name: "pods",
        needs: &[need(&["create"], "", &["pods"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "runs pods with any service account",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "pods",
        needs: &[need(CHANGE, "", &["replicationcontrollers"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "runs pods with any service account",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "pods",
        needs: &[need(CHANGE, "apps", &["deployments", "daemonsets", "statefulsets", "replicasets"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "runs pods with any service account",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "pods",
        needs: &[need(CHANGE, "batch", &["cronjobs"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "runs pods with any service account",
        instead: IN_NAMESPACES,
    },
    // The template of a Job is immutable: to change Jobs is not enough.
    Power {
        name: "pods",
        needs: &[need(&["create"], "batch", &["jobs"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "runs pods with any service account",
        instead: IN_NAMESPACES,
    },
    // Of a pod that exists the images can be changed, the service account cannot.
    Power {
        name: "images",
        needs: &[need(&["update", "patch"], "", &["pods"])],
        reach: Reach::Namespace,
        yields: Yield::ApiPodAccounts,
        deed: "runs other images in running pods (update or patch of pods)",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "commands",
        needs: &[need(&["get", "create"], "", &["pods/exec", "pods/attach"])],
        reach: Reach::Namespace,
        yields: Yield::PodAccounts,
        deed: "runs commands in pods (pods/exec)",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "commands",
        needs: &[need(&["update", "patch"], "", &["pods/ephemeralcontainers"])],
        reach: Reach::Namespace,
        yields: Yield::PodAccounts,
        deed: "runs containers in pods (pods/ephemeralcontainers)",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "token-secrets",
        needs: &[need(&["create"], "", &["secrets"]), need(&["get", "list", "watch"], "", &["secrets"])],
        reach: Reach::Namespace,
        yields: Yield::Accounts,
        deed: "creates a token for any service account as a Secret, and reads it",
        instead: IN_NAMESPACES,
    },
    Power {
        name: "secrets",
        needs: &[need(&["get", "list", "watch"], "", &["secrets"])],
        reach: Reach::System,
        yields: Yield::Secrets,
        deed: "reads the Secrets of the control plane, including bootstrap tokens",
        instead: "grant the right by a Role in the namespaces that need it, or only on the names that it needs",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::rbac::testing::rule;

    fn given(rules: &[PolicyRule]) -> Vec<&'static str> {
        let met = Met::by(rules);
        let mut names: Vec<_> = ALL.iter().filter(|power| power.is_given_by(met)).map(|power| power.name).collect();
        names.dedup();
        names
    }

    #[test]
    fn every_need_has_a_bit_of_its_own() {
        let all: Vec<u128> = ALL.iter().map(Power::bits).collect();
        let needs: usize = ALL.iter().map(|power| power.needs.len()).sum();
        assert_eq!(all.iter().fold(0, |all, bits| all | bits).count_ones() as usize, needs);
        assert_eq!(all.iter().map(|bits| bits.count_ones() as usize).sum::<usize>(), needs);
    }

    #[test]
    fn reading_nodes_through_the_proxy_runs_commands() {
        assert_eq!(given(&[rule(&["get"], "", &["nodes/proxy"])]), ["kubelets"]);
        assert!(given(&[rule(&["get"], "", &["nodes", "nodes/metrics", "nodes/stats"])]).is_empty());
        assert_eq!(
            given(&[PolicyRule { names: vec!["n1".into()], ..rule(&["get"], "", &["nodes/proxy"]) }]),
            ["kubelets"]
        );
    }

    #[test]
    fn a_right_that_is_a_power_by_itself_is_dangerous() {
        for power in ALL {
            let [only] = power.needs else { continue };
            for verb in only.verbs {
                for resource in only.resources {
                    let rule = rule(&[verb], only.group, &[resource]);
                    assert!(!crate::suites::rights::dangers(&[rule]).is_empty(), "{verb} {resource}: {}", power.deed);
                }
            }
        }
    }

    #[test]
    fn a_job_that_exists_runs_no_other_pods() {
        assert!(given(&[rule(&["update", "patch"], "batch", &["jobs"])]).is_empty());
        assert_eq!(given(&[rule(&["create"], "batch", &["jobs"])]), ["pods"]);
        assert_eq!(given(&[rule(&["patch"], "batch", &["cronjobs"])]), ["pods"]);
        for workload in ["deployments", "daemonsets", "statefulsets", "replicasets"] {
            assert_eq!(given(&[rule(&["update"], "apps", &[workload])]), ["pods"], "{workload}");
        }
    }

    #[test]
    fn a_pod_that_exists_keeps_its_service_account() {
        assert_eq!(given(&[rule(&["patch"], "", &["pods"])]), ["images"]);
        assert_eq!(given(&[rule(&["update"], "", &["pods"])]), ["images"]);
        assert_eq!(given(&[rule(&["create"], "", &["pods"])]), ["pods"]);
    }

    #[test]
    fn some_powers_take_several_rights() {
        assert!(given(&[rule(&["escalate"], RBAC, &["clusterroles"])]).is_empty());
        assert_eq!(given(&[rule(&["escalate", "update"], RBAC, &["clusterroles"])]), ["escalate"]);
        assert!(
            given(&[rule(&["create"], RBAC, &["clusterrolebindings"])]).is_empty(),
            "only rights that the holder has"
        );
        let bind = [rule(&["bind"], RBAC, &["clusterroles"]), rule(&["create"], RBAC, &["clusterrolebindings"])];
        assert_eq!(given(&bind), ["bind"]);
    }

    #[test]
    fn a_right_on_names_counts_only_where_they_matter() {
        let named = |rule: PolicyRule, name: &str| PolicyRule { names: vec![name.into()], ..rule };
        assert!(given(&[named(rule(&["get"], "", &["secrets"]), "one")]).is_empty());
        assert!(given(&[named(rule(&["impersonate"], "", &["groups"]), "developers")]).is_empty());
        assert_eq!(given(&[named(rule(&["impersonate"], "", &["groups"]), "system:masters")]), ["impersonate"]);
        let own = named(rule(&["update"], "admissionregistration.k8s.io", &["mutatingwebhookconfigurations"]), "mine");
        assert!(given(&[own]).is_empty());
    }
}
