//! # The add-ons that kubeadm installs are complete and match the cluster's release
//!
//! ## Why
//! kube-proxy and CoreDNS consist of a handful of objects each. If one is missing, the add-on keeps running until its pods are
//! recreated, and then does not come back. An add-on that an upgrade missed shows only when something else breaks.
//!
//! ## Fix
//! Recreate all objects of the add-on with the cluster's own settings. The second line keeps kube-proxy's configuration; without
//! it kubeadm's defaults replace it. For CoreDNS, leave it out and use `addon coredns`:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! { echo ---; kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\.conf}'; } >> kubeadm.yaml &&
//! kubeadm init phase addon kube-proxy --config kubeadm.yaml
//! ```
//!
//! `kubeadm upgrade apply` upgrades both after the last control-plane node.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons`, `cmd/kubeadm/app/constants/constants.go` (`CoreDNSVersion` of
//! each release). Roles and bindings are part of DI-08 and DN-08. A CoreDNS that is newer than kubeadm's is
//! accepted. For a release that is not in the table, no version is expected. An add-on without any object was left out on
//! purpose.

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::corefile::Corefile;
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::fact::facts::proxy_replacements::ProxyReplacements;
use crate::fact::facts::system_accounts::SystemAccounts;
use crate::fact::facts::system_workloads::{SystemWorkloads, Workload};
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;
use crate::suites::service_network::service_proxy::replaced_entirely_by;
use crate::version::Version;

crate::check!("AD-01", "kubeadm-addons", Major, judge, blocked_by: ["CP-08"]);

const NAMESPACE: &str = "kube-system";
/// The CoreDNS of kubeadm's releases, by Kubernetes minor.
const COREDNS: [(u64, Version); 4] =
    [(34, coredns(12, 1)), (35, coredns(13, 1)), (36, coredns(14, 2)), (37, coredns(14, 6))];

const fn coredns(minor: u64, patch: u64) -> Version {
    Version { major: 1, minor, patch }
}

/// An add-on and its objects.
struct AddOn<'a> {
    /// The name of its service account and of kubeadm's phase.
    name: &'static str,
    /// Kind, name, whether it exists, and the impact if not; the first one runs its pods.
    objects: Vec<(&'static str, &'static str, bool, &'static str)>,
    workload: Option<&'a Workload>,
}

#[expect(clippy::too_many_arguments, reason = "the parameters of a check are its needs")]
fn judge(
    kubeadm: Option<&KubeadmConfig>,
    workloads: &SystemWorkloads,
    accounts: &SystemAccounts,
    proxy: Option<&KubeProxyConfig>,
    corefile: Option<&Corefile>,
    dns: Option<&ClusterDns>,
    oldest: &OldestApiServer,
    replacements: Result<&ProxyReplacements, &Unobserved>,
) -> Verdict {
    let Some(kubeadm) = kubeadm else {
        return Verdict::not_applicable("not a kubeadm cluster: ConfigMap kube-system/kubeadm-config does not exist");
    };
    let mut verdict = Verdict::new();
    let daemon_set = workloads.0.get(&ObjectRef::fixed_in(NAMESPACE, "DaemonSet", "kube-proxy"));
    let has = |account: &str| accounts.0.contains(account);
    let kube_proxy = AddOn {
        name: "kube-proxy",
        workload: daemon_set,
        objects: vec![
            ("DaemonSet", "kube-proxy", daemon_set.is_some(), "Services do not work on any node"),
            ("ServiceAccount", "kube-proxy", has("kube-proxy"), "no new kube-proxy pod can be created"),
            ("ConfigMap", "kube-proxy", proxy.is_some(), "a recreated kube-proxy pod does not start"),
        ],
    };
    let replacement = replacements.ok().and_then(replaced_entirely_by).filter(|_| daemon_set.is_none());
    if let Some(plugin) = replacement {
        // Its documentation removes the DaemonSet; the other objects may stay.
        verdict.note(format!("{plugin} replaces kube-proxy, whose DaemonSet was removed"));
    } else if let Err(why) = replacements
        && daemon_set.is_none()
        && !why.is_skip()
    {
        verdict.unseen(Subject::object("DaemonSet", NAMESPACE, "kube-proxy"), why);
    } else if judge_objects(&mut verdict, &kube_proxy)
        && let Some((workload, version)) = version(daemon_set, "kube-proxy")
    {
        judge_proxy_version(&mut verdict, workload, version, kubeadm, *oldest);
    }
    let deployment = workloads.0.get(&ObjectRef::fixed_in(NAMESPACE, "Deployment", "coredns"));
    let core_dns = AddOn {
        name: "coredns",
        workload: deployment,
        objects: vec![
            ("Deployment", "coredns", deployment.is_some(), "no cluster name resolves"),
            ("ServiceAccount", "coredns", has("coredns"), "no new CoreDNS pod can be created"),
            ("ConfigMap", "coredns", corefile.is_some(), "a recreated CoreDNS pod does not start"),
            ("Service", "kube-dns", dns.is_some(), "pods send DNS queries to an address that does not answer"),
        ],
    };
    if judge_objects(&mut verdict, &core_dns)
        && let Some((workload, version)) = version(deployment, "coredns")
    {
        judge_coredns_version(&mut verdict, workload, version, oldest.0.minor);
    }
    verdict
}

/// Judges the objects; false if the add-on does not exist at all.
fn judge_objects(verdict: &mut Verdict, add_on: &AddOn<'_>) -> bool {
    let AddOn { name, objects, workload } = add_on;
    if objects.iter().all(|(_, _, exists, _)| !exists) {
        verdict.note(format!("{name} is not installed: none of its objects exist"));
        return false;
    }
    for (kind, object, exists, impact) in objects {
        verdict.expect(Subject::object(*kind, NAMESPACE, *object), *exists, || {
            Finding::new(format!("{kind} {object} exists, as part of {name}"), "it does not exist")
                .impact(*impact)
                .fix(again(&format!("addon {name}")))
        });
    }
    if let (Some(workload), Some((kind, ..))) = (workload, objects.first()) {
        verdict.expect(Subject::object(*kind, NAMESPACE, *name), workload.service_account == *name, || {
            let account = &workload.service_account;
            Finding::new(format!("its pods run as ServiceAccount {name}"), format!("they run as {account:?}"))
                .impact("the pods do not have the permissions that kubeadm grants to the add-on")
                .fix(again(&format!("addon {name}")))
                .managed_by(workload.manager.as_ref())
                .severity(Severity::Minor)
        });
    }
    true
}

/// The workload, if there is one, with the version of a container's image.
fn version<'a>(workload: Option<&'a Workload>, container: &str) -> Option<(&'a Workload, Version)> {
    let workload = workload?;
    Some((workload, Version::of_image(workload.images.get(container)?)?))
}

fn judge_proxy_version(
    verdict: &mut Verdict,
    workload: &Workload,
    version: Version,
    kubeadm: &KubeadmConfig,
    oldest: OldestApiServer,
) {
    let subject = || Subject::object("DaemonSet", NAMESPACE, "kube-proxy");
    verdict.note(format!("kube-proxy {version}"));
    let release = kubeadm.kubernetes_version.parse().unwrap_or(oldest.0);
    verdict.expect(subject(), version.minor == release.minor, || {
        Finding::new(format!("kube-proxy 1.{}, as kubeadm deployed the cluster", release.minor), version.to_string())
            .impact("missed by an upgrade, or upgraded separately: the version skew is unsupported")
            .fix(again("addon kube-proxy"))
            .managed_by(workload.manager.as_ref())
            .same_as(&["CP-08"])
            .explains_only(&[])
            .severity(Severity::Minor)
    });
}

fn judge_coredns_version(verdict: &mut Verdict, workload: &Workload, version: Version, minor: u64) {
    let Some((_, expected)) = COREDNS.iter().find(|(of, _)| *of == minor) else {
        return verdict.note(format!(
            "CoreDNS {version}; the version that kubeadm 1.{minor} deploys is unknown to this release of seaworthy"
        ));
    };
    verdict.note(format!("CoreDNS {version}"));
    verdict.expect(Subject::object("Deployment", NAMESPACE, "coredns"), version >= *expected, || {
        Finding::new(format!("CoreDNS {expected} or later, as kubeadm 1.{minor} deploys it"), version.to_string())
            .impact("missed by an upgrade: it lacks fixes that this release relies on")
            .fix(again("addon coredns"))
            .managed_by(workload.manager.as_ref())
            .explains_only(&[])
            .severity(Severity::Minor)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::in_full;
    use crate::fact::facts::corefile::Surroundings;
    use crate::object_ref::testing::object;

    fn workload(container: &str, image: &str) -> Workload {
        Workload {
            service_account: container.into(),
            images: [(container.to_owned(), image.to_owned())].into(),
            ..Workload::default()
        }
    }

    struct Cluster {
        workloads: SystemWorkloads,
        accounts: SystemAccounts,
        proxy: Option<KubeProxyConfig>,
        corefile: Option<Corefile>,
        dns: Option<ClusterDns>,
        api: &'static str,
        replacements: ProxyReplacements,
    }

    fn cluster() -> Cluster {
        Cluster {
            workloads: SystemWorkloads(
                [
                    ("DaemonSet kube-system/kube-proxy", workload("kube-proxy", "registry.k8s.io/kube-proxy:v1.37.2")),
                    ("Deployment kube-system/coredns", workload("coredns", "registry.k8s.io/coredns/coredns:v1.14.6")),
                ]
                .map(|(name, workload)| (object(name), workload))
                .into(),
            ),
            accounts: SystemAccounts(["coredns", "kube-proxy"].map(str::to_owned).into()),
            proxy: Some(KubeProxyConfig::default()),
            corefile: Some(Corefile::read("", &Surroundings::default())),
            dns: Some(ClusterDns {
                name: "kube-dns".into(),
                addresses: Vec::new(),
                labels: [].into(),
                ports: Vec::new(),
                servers: Ok(Vec::new()),
                manager: None,
            }),
            api: "v1.37.2",
            replacements: ProxyReplacements {
                cilium: Err(Unobserved::absent("none")),
                calico: Err(Unobserved::absent("none")),
            },
        }
    }

    fn judged(change: impl FnOnce(&mut Cluster)) -> Verdict {
        let mut all = cluster();
        change(&mut all);
        let kubeadm = KubeadmConfig { kubernetes_version: all.api.into(), ..KubeadmConfig::default() };
        judge(
            Some(&kubeadm),
            &all.workloads,
            &all.accounts,
            all.proxy.as_ref(),
            all.corefile.as_ref(),
            all.dns.as_ref(),
            &OldestApiServer(all.api.parse().unwrap()),
            Ok(&all.replacements),
        )
    }

    #[test]
    fn what_kubeadm_installs_passes() {
        let verdict = judged(|_| ());
        assert_eq!((verdict.observations(), in_full(&verdict)), (11, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict), ["kube-proxy 1.37.2", "CoreDNS 1.14.6"]);
    }

    #[test]
    fn a_missing_object_is_found() {
        let verdict = judged(|all| assert!(all.accounts.0.remove("coredns")));
        assert_eq!(in_full(&verdict), ["major ServiceAccount kube-system/coredns: it does not exist"]);
        let verdict = judged(|all| all.dns = None);
        assert_eq!(in_full(&verdict), ["major Service kube-system/kube-dns: it does not exist"]);
    }

    #[test]
    fn an_add_on_that_was_left_out_is_a_note() {
        let verdict = judged(|all| {
            all.workloads.0.remove(&object("DaemonSet kube-system/kube-proxy"));
            all.accounts.0.remove("kube-proxy");
            all.proxy = None;
        });
        assert_eq!(in_full(&verdict), Vec::<String>::new());
        assert_eq!(crate::check::testing::notes(&verdict)[0], "kube-proxy is not installed: none of its objects exist");
    }

    #[test]
    fn kube_proxy_that_cilium_replaces_is_a_note() {
        let without = |setting: Option<&str>| {
            judged(|all| {
                all.workloads.0.remove(&object("DaemonSet kube-system/kube-proxy"));
                all.replacements.cilium = Ok(setting.map(str::to_owned));
            })
        };
        let verdict = without(Some("true"));
        assert_eq!(
            (
                in_full(&verdict).len(),
                crate::check::testing::notes(&verdict)[0].starts_with("Cilium replaces kube-proxy")
            ),
            (0, true)
        );
        assert_eq!(in_full(&without(Some("false"))), ["major DaemonSet kube-system/kube-proxy: it does not exist"]);
    }

    #[test]
    fn add_ons_of_another_release_are_found() {
        let verdict = judged(|all| {
            let proxy = workload("kube-proxy", "registry.k8s.io/kube-proxy:v1.36.4");
            all.workloads.0.insert(object("DaemonSet kube-system/kube-proxy"), proxy);
            let dns = workload("coredns", "registry.k8s.io/coredns/coredns:v1.14.2");
            all.workloads.0.insert(object("Deployment kube-system/coredns"), dns);
        });
        assert_eq!(
            in_full(&verdict),
            ["minor DaemonSet kube-system/kube-proxy: 1.36.4", "minor Deployment kube-system/coredns: 1.14.2"]
        );
    }

    #[test]
    fn of_an_unknown_release_nothing_is_expected() {
        let verdict = judged(|all| {
            all.api = "v1.42.0";
            let proxy = workload("kube-proxy", "registry.k8s.io/kube-proxy:v1.42.0");
            all.workloads.0.insert(object("DaemonSet kube-system/kube-proxy"), proxy);
        });
        assert_eq!(in_full(&verdict), Vec::<String>::new());
    }

    #[test]
    fn another_distribution_is_left_alone() {
        let all = cluster();
        let oldest = OldestApiServer("v1.37.2".parse().unwrap());
        let verdict =
            judge(None, &all.workloads, &all.accounts, None, None, None, &oldest, Err(&Unobserved::Interrupted));
        assert!(verdict.reason().is_some());
    }
}
