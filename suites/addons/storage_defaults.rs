//! # At most one StorageClass is the default, and every node has registered its volume drivers
//!
//! ## Why
//! With two default classes, a claim without a class gets the newest one, which may not be the one you meant. A node whose
//! driver registrar runs but did not register the driver cannot mount its volumes.
//!
//! ## Fix
//! `kubectl get storageclass` marks the defaults. Remove the annotation from all but one: `kubectl annotate storageclass NAME
//! storageclass.kubernetes.io/is-default-class-`. For a missing driver, read `kubectl get csinode NODE -o yaml` and the log of
//! the container node-driver-registrar of the pod that is named.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass>; kubernetes/kubernetes
//! `plugin/pkg/admission/storage/storageclass/setdefault`; <https://kubernetes-csi.github.io/docs/node-driver-registrar.html>

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::storage::Storage;

crate::check!("AD-04", "storage-defaults", Minor, judge);

/// Part of the image name of containers that register a driver with the kubelet.
const REGISTRAR: &str = "node-driver-registrar";

fn judge(storage: &Storage, pods: &Pods, nodes: &Nodes) -> Verdict {
    let registrars: Vec<&Pod> = pods.0.values().filter(|pod| runs_registrar(pod)).collect();
    if storage.classes.is_empty() && registrars.is_empty() {
        return Verdict::not_applicable("there is no StorageClass, and no pod registers a volume driver");
    }
    let mut verdict = Verdict::new();
    judge_default(&mut verdict, storage);
    for pod in &registrars {
        let Some(node) = pod.node.as_deref().filter(|node| nodes.0.get(*node).is_some_and(Node::is_ready)) else {
            continue;
        };
        let drivers = storage.drivers.get(node).map(Vec::len).unwrap_or_default();
        let wanted = registrars.iter().filter(|other| other.node.as_deref() == Some(node)).count();
        verdict.expect(Subject::node(node), drivers >= wanted, || {
            let Pod { namespace, name, .. } = pod;
            Finding::new(
                format!("CSINode {node} lists the driver that pod {namespace}/{name} registers"),
                format!("{wanted} pods on the node register drivers, and the kubelet has registered {drivers}"),
            )
            .impact("the node cannot mount volumes of the missing driver")
            .fix(format!("read the log: kubectl -n {namespace} logs {name} --all-containers"))
        });
    }
    verdict
}

fn judge_default(verdict: &mut Verdict, storage: &Storage) {
    let mut defaults: Vec<_> = storage.classes.iter().filter(|(_, class)| class.is_default).collect();
    match defaults.len() {
        1 => verdict.confirm(),
        0 => {
            verdict.confirm();
            for name in storage.classes.keys() {
                let note = "is not the default, as no StorageClass is: claims must name a class";
                verdict.note_about(Subject::cluster_object("StorageClass", name), note);
            }
        }
        count => {
            // Of classes that are as old, the first by name wins.
            defaults.sort_by_key(|(name, class)| (std::cmp::Reverse(class.created), *name));
            let newest = defaults[0].0;
            let others: Vec<&str> = defaults[1..].iter().map(|(name, _)| name.as_str()).collect();
            let managers: BTreeSet<_> = defaults[1..].iter().filter_map(|(_, class)| class.manager.as_ref()).collect();
            let finding = Finding::new("one default StorageClass", format!("{count} StorageClasses are the default"))
                .impact(format!("claims without a class get {newest}, the newest of them"))
                .fix(format!(
                    "to keep {newest}: kubectl annotate storageclass {} storageclass.kubernetes.io/is-default-class-",
                    others.join(" ")
                ));
            verdict.find_together(
                defaults.iter().map(|(name, _)| Subject::cluster_object("StorageClass", *name)),
                1,
                managers.into_iter().fold(finding, |finding, manager| finding.managed_by(Some(manager))),
            );
        }
    }
}

fn runs_registrar(pod: &Pod) -> bool {
    pod.phase == "Running"
        && !pod.deleting
        && pod.containers.iter().any(|container| container.image.contains(REGISTRAR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Condition;
    use crate::fact::facts::pods::Container;
    use crate::fact::facts::storage::StorageClass;
    use crate::manager::Manager;
    use crate::object_ref::testing::named;

    fn storage(classes: &[(&str, bool, &str)]) -> Storage {
        let class = |is_default: bool, created: &str| StorageClass {
            provisioner: "csi.example".into(),
            is_default,
            created: Some(format!("2026-11-22T{created}:00Z").parse().unwrap()),
            manager: None,
        };
        let classes = classes.iter().map(|(name, default, created)| ((*name).to_owned(), class(*default, created)));
        Storage { classes: classes.collect(), drivers: [].into() }
    }

    fn nodes() -> Nodes {
        let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
        Nodes([("n1".to_owned(), Node { conditions: [("Ready".to_owned(), ready)].into(), ..Node::default() })].into())
    }

    #[test]
    fn one_default_or_none_passes() {
        let judged = |classes: &[_]| judge(&storage(classes), &Pods::default(), &nodes());
        assert!(judged(&[("a", true, "10:00"), ("b", false, "11:00")]).findings(Severity::Minor).is_empty());
        assert_eq!(
            crate::check::testing::notes(&judged(&[("a", false, "10:00")])),
            ["StorageClass a: is not the default, as no StorageClass is: claims must name a class"]
        );
        assert!(judged(&[]).reason().is_some());
    }

    #[test]
    fn of_two_defaults_the_newest_wins() {
        let classes = [("old", true, "10:00"), ("new", true, "11:00")];
        let findings = judge(&storage(&classes), &Pods::default(), &nodes()).findings(Severity::Minor);
        assert_eq!(findings[0].impact.as_deref(), Some("claims without a class get new, the newest of them"));
        assert_eq!(
            findings[0].fix.as_str(),
            "to keep new: kubectl annotate storageclass old storageclass.kubernetes.io/is-default-class-"
        );
    }

    #[test]
    fn the_fix_shows_what_manages_the_classes_that_it_changes() {
        let mut storage = storage(&[("old", true, "10:00"), ("new", true, "11:00")]);
        let fix = |storage: &Storage| {
            let findings = judge(storage, &Pods::default(), &nodes()).findings(Severity::Minor);
            findings[0].fix.clone()
        };
        storage.classes.get_mut("new").unwrap().manager = Some(Manager::ArgoApplication("storage".into()));
        assert!(!fix(&storage).contains("change it in"), "the fix leaves it as it is");
        let addon = "Addon.k3s.cattle.io kube-system/local-storage".parse().unwrap();
        storage.classes.get_mut("old").unwrap().manager = Some(Manager::Owner(addon));
        let advice = "is-default-class-; change it in Addon.k3s.cattle.io kube-system/local-storage, because its \
                      operator reverts an edit in place";
        assert!(fix(&storage).ends_with(advice), "{}", fix(&storage));
    }

    #[test]
    fn a_driver_that_did_not_register_is_found() {
        let registrar = Container {
            image: "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.15.0".into(),
            ..Container::default()
        };
        let pod = Pod {
            namespace: "storage".into(),
            name: "driver-x".into(),
            node: Some("n1".into()),
            phase: "Running".into(),
            containers: vec![registrar],
            ..Pod::default()
        };
        let pods = Pods([(named("storage/driver-x"), pod)].into());
        let mut storage = storage(&[("a", true, "10:00")]);
        let findings = judge(&storage, &pods, &nodes()).findings(Severity::Minor);
        assert_eq!(findings[0].subjects, [Subject::node("n1")]);
        storage.drivers.insert("n1".into(), vec!["csi.example".into()]);
        assert!(judge(&storage, &pods, &nodes()).findings(Severity::Minor).is_empty());
    }
}
