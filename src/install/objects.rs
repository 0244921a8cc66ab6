//! The objects of an installation, in the order in which they are applied.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, PersistentVolumeClaimSpec, ServiceAccount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::cron_job::cron_job;
use super::{Object, Results, Settings, Storage};
use crate::rbac::{self, Manifest, Subject};

/// The label of a namespace that states what Pod Security does, and with which level.
const POD_SECURITY: [&str; 3] = ["enforce", "audit", "warn"];

/// The objects of an installation, in the order in which they are applied.
pub(crate) fn objects(settings: &Settings) -> Vec<Object> {
    let mut objects = Vec::new();
    if settings.makes_namespace {
        objects.push(Object::new(&namespace(settings)));
    }
    objects.push(Object::new(&account(settings)));
    objects.extend(rights(settings));
    if !settings.config.is_empty() {
        objects.push(Object::new(&config_map(settings)));
    }
    if let Results::Volume(Storage::Claim { size, class }) = &settings.results {
        objects.push(Object::new(&claim(settings, size, class.as_deref())));
    }
    objects.push(Object::new(&cron_job(settings)));
    objects
}

/// The metadata of an object in the namespace.
pub(super) fn metadata(settings: &Settings) -> ObjectMeta {
    ObjectMeta {
        name: Some(settings.name.clone()),
        namespace: Some(settings.namespace.clone()),
        labels: Some(settings.labels()),
        ..ObjectMeta::default()
    }
}

fn namespace(settings: &Settings) -> Namespace {
    let mut labels = settings.labels();
    let restricted = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    labels.extend(POD_SECURITY.map(restricted));
    let metadata = ObjectMeta { name: Some(settings.namespace.clone()), labels: Some(labels), ..ObjectMeta::default() };
    Namespace { metadata, ..Namespace::default() }
}

/// Its token is mounted where it is used, and nowhere else.
fn account(settings: &Settings) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(settings),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn rights(settings: &Settings) -> impl Iterator<Item = Object> {
    let Settings { name, namespace, .. } = settings;
    let subject = Subject::ServiceAccount { namespace: namespace.clone(), name: name.clone() };
    rbac::objects(&settings.permissions, &[subject], name, &settings.labels()).into_iter().map(|object| match object {
        Manifest::ClusterRole(object) => Object::new(&object),
        Manifest::Role(object) => Object::new(&object),
        Manifest::ClusterRoleBinding(object) => Object::new(&object),
        Manifest::RoleBinding(object) => Object::new(&object),
    })
}

fn config_map(settings: &Settings) -> ConfigMap {
    ConfigMap { metadata: metadata(settings), data: Some(settings.config.clone()), ..ConfigMap::default() }
}

fn claim(settings: &Settings, size: &str, class: Option<&str>) -> PersistentVolumeClaim {
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.into()))]);
    PersistentVolumeClaim {
        metadata: metadata(settings),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(requests),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: class.map(Into::into),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
