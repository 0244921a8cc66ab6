//! # One storage class is the default, and its driver is on every node that should have it
//!
//! ## Why
//! With two default classes a claim without a class gets the newest, wherever that leads; kubectl shows only one of them
//! as the default. A node on which the driver's registrar runs but did not register mounts no volume.
//!
//! ## Fix
//! `kubectl get storageclass -o yaml | grep -B20 is-default-class` shows all defaults; take the annotation from all but
//! one: `kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class-`. For a driver that is missing:
//! `kubectl get csinode NODE -o yaml`, and the log of the container node-driver-registrar of the pod that is named.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass>; kubernetes/kubernetes
//! `plugin/pkg/admission/storage/storageclass/setdefault`; <https://kubernetes-csi.github.io/docs/node-driver-registrar.html>

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::storage::Storage;

crate::check!("AD-04", "storage-defaults", Minor, judge);

/// What the image of the container is called that registers a driver with the kubelet.
const REGISTRAR: &str = "node-driver-registrar";

fn judge(storage: &Storage, pods: &Pods, nodes: &Nodes) -> Verdict {
    let registrars: Vec<&Pod> = pods.0.values().filter(|pod| runs_registrar(pod)).collect();
    if storage.classes.is_empty() && registrars.is_empty() {
        return Verdict::not_applicable("there is no StorageClass, and no pod registers a driver of volumes");
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
            let path = format!("{}/{}", pod.namespace, pod.name);
            Finding::new(
                format!("the driver that {path} registers, in CSINode {node}"),
                format!("{drivers} drivers are registered with the kubelet, by {wanted} pods"),
            )
            .so("no volume of the driver is mounted on this node")
            .mend(format!("kubectl -n {} logs {} --all-containers", pod.namespace, pod.name))
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
            let known = names(storage.classes.keys());
            verdict.note(format!("no StorageClass is the default: a claim must name one of {known}"));
        }
        count => {
            // Of classes that are as old, the first by name wins.
            defaults.sort_by_key(|(name, class)| (std::cmp::Reverse(class.created), *name));
            let all = names(defaults.iter().map(|(name, _)| *name));
            let others = names(defaults.iter().skip(1).map(|(name, _)| *name));
            verdict.find(
                Subject::cluster_object("StorageClasses", &all),
                Finding::new("one default StorageClass", format!("{count} are the default: {all}"))
                    .so(format!("claims without a class get {}, the newest", defaults[0].0))
                    .mend(format!(
                        "kubectl annotate storageclass {} storageclass.kubernetes.io/is-default-class-",
                        others.replace(", ", " ")
                    )),
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
    use crate::object_ref::testing::named;

    fn storage(classes: &[(&str, bool, &str)]) -> Storage {
        let class = |is_default: bool, created: &str| StorageClass {
            provisioner: "csi.example".into(),
            is_default,
            created: Some(format!("2026-11-22T{created}:00Z").parse().unwrap()),
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
            ["no StorageClass is the default: a claim must name one of a"]
        );
        assert!(judged(&[]).reason().is_some());
    }

    #[test]
    fn of_two_defaults_the_newest_wins() {
        let classes = [("old", true, "10:00"), ("new", true, "11:00")];
        let findings = judge(&storage(&classes), &Pods::default(), &nodes()).findings(Severity::Minor);
        assert_eq!(findings[0].impact.as_deref(), Some("claims without a class get new, the newest"));
        assert_eq!(
            findings[0].fix.as_str(),
            "kubectl annotate storageclass old storageclass.kubernetes.io/is-default-class-"
        );
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
        assert_eq!(findings[0].subjects[0], Subject::node("n1"));
        storage.drivers.insert("n1".into(), vec!["csi.example".into()]);
        assert!(judge(&storage, &pods, &nodes()).findings(Severity::Minor).is_empty());
    }
}
