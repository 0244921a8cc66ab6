//! Managers of objects: whatever applies an object again, so that an edit of it in place does not last.
//!
//! The marks are those of Helm (`pkg/action/validate.go`), Argo CD (`util/argo/resource_tracking.go`), Flux (the owner
//! labels of its Kustomizations and HelmReleases), the Operator Lifecycle Manager (`pkg/lib/ownerutil`, and other labels
//! in its version 1) and Rancher's wrangler, by which k3s and RKE2 apply their add-ons.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::object_ref::{NamespacedName, ObjectRef};

/// The API group of the objects of the Operator Lifecycle Manager.
const OLM: &str = "operators.coreos.com";
/// The API group of its version 1, and the prefix of its labels.
const OLM_1: &str = "olm.operatorframework.io";
/// The names under which Argo CD writes fields: by server-side apply and otherwise.
const ARGO: [&str; 2] = ["argocd-controller", "argocd-application-controller"];
/// The names under which Flux writes fields: for Kustomizations and for HelmReleases.
const FLUX: [&str; 2] = ["kustomize-controller", "helm-controller"];

/// What applies an object again, and where to change it instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// A HelmRelease of Flux.
    FluxHelmRelease(NamespacedName),
    /// A Kustomization of Flux.
    FluxKustomization(NamespacedName),
    /// An Application of Argo CD: `NAME`, or `NAMESPACE/NAME` where it is not in Argo CD's own namespace.
    ArgoApplication(String),
    /// An object from which an operator derives this one. Its kind ends with the API group.
    Owner(ObjectRef),
    /// A release of Helm.
    HelmRelease(NamespacedName),
    /// A controller that writes its fields, where no object is named from which it does.
    Controller(String),
}

impl Manager {
    /// The manager of an object, if it has one. Of several the one that has the last word: Flux, Argo CD and operators
    /// render charts, which leaves Helm's marks on the objects as well.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let marks = Marks(metadata);
        marks
            .flux("helm.toolkit.fluxcd.io")
            .map(Self::FluxHelmRelease)
            .or_else(|| marks.argo_application().map(Self::ArgoApplication))
            .or_else(|| marks.flux("kustomize.toolkit.fluxcd.io").map(Self::FluxKustomization))
            .or_else(|| marks.owner().map(Self::Owner))
            .or_else(|| marks.helm_release().map(Self::HelmRelease))
            .or_else(|| marks.controller().map(Self::Controller))
    }

    /// A fix, with where to make the change.
    pub fn add_to(&self, fix: &str) -> String {
        format!("{fix}; change it in {self}, because {}", self.undoes())
    }

    /// What becomes of an edit in place.
    fn undoes(&self) -> &'static str {
        match self {
            Self::FluxHelmRelease(_) | Self::HelmRelease(_) => "the next upgrade overwrites an edit in place",
            Self::FluxKustomization(_) => "Flux reverts an edit in place",
            Self::ArgoApplication(_) => "the next sync reverts an edit in place",
            Self::Owner(_) => "its operator reverts an edit in place",
            Self::Controller(_) => "it reverts an edit in place",
        }
    }
}

/// The place to change the object.
impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FluxHelmRelease(release) => write!(f, "Flux HelmRelease {release} (values or chart)"),
            Self::FluxKustomization(kustomization) => write!(f, "the source of Flux Kustomization {kustomization}"),
            Self::ArgoApplication(application) => write!(f, "the source of Argo CD Application {application}"),
            Self::Owner(owner) => write!(f, "{owner}"),
            Self::HelmRelease(NamespacedName { namespace, name }) => {
                write!(f, "Helm release {name} in namespace {namespace} (values or chart)")
            }
            Self::Controller(name) => write!(f, "the configuration of {name}"),
        }
    }
}

/// What managers leave on an object.
struct Marks<'a>(&'a ObjectMeta);

impl<'a> Marks<'a> {
    fn label(&self, key: &str) -> Option<&'a str> {
        self.0.labels.as_ref()?.get(key).map(String::as_str)
    }

    fn annotation(&self, key: &str) -> Option<&'a str> {
        self.0.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The object of Flux that its labels name.
    fn flux(&self, group: &str) -> Option<NamespacedName> {
        let [name, namespace] = ["name", "namespace"].map(|part| self.label(&format!("{group}/{part}")));
        named(namespace?, name?).filter(|_| !self.flux_leaves_it_alone())
    }

    /// Whether Flux must not apply the object again, by an annotation or a label.
    fn flux_leaves_it_alone(&self) -> bool {
        let is = |key: &str, value: &str| {
            [self.annotation(key), self.label(key)].into_iter().flatten().any(|has| has.eq_ignore_ascii_case(value))
        };
        is("kustomize.toolkit.fluxcd.io/reconcile", "disabled")
            || ["Ignore", "IfNotPresent"].iter().any(|value| is("kustomize.toolkit.fluxcd.io/ssa", value))
    }

    /// The Application of Argo CD that its annotation or label names.
    fn argo_application(&self) -> Option<String> {
        let tracked = self.annotation("argocd.argoproj.io/tracking-id").and_then(|id| self.tracked(id));
        // Argo CD used the second label before 3.0. Charts use it too: it names an Application only where Argo CD
        // writes the object.
        let labelled = || self.label("argocd.argoproj.io/instance");
        let usual = || {
            let is_written = self.writers().any(|writer| ARGO.contains(&writer));
            self.label("app.kubernetes.io/instance").filter(|_| is_written)
        };
        let application = tracked.or_else(labelled).or_else(usual).filter(|name| !name.is_empty())?;
        // The namespace of an Application outside of Argo CD's own: no name has an underscore.
        Some(application.replacen('_', "/", 1))
    }

    /// The Application in a tracking id, `APPLICATION:GROUP/KIND:NAMESPACE/NAME`. Operators copy annotations to what
    /// they create: an id of another object does not count. Objects without a namespace have that of the Application's
    /// destination in their id.
    fn tracked(&self, id: &'a str) -> Option<&'a str> {
        let (application, object) = id.split_once(':')?;
        let (namespace, name) = object.split_once(':')?.1.split_once('/')?;
        let is_its_own = self.0.name.as_deref() == Some(name)
            && self.0.namespace.as_ref().is_none_or(|own| own.is_empty() || own == namespace);
        Some(application).filter(|_| is_its_own)
    }

    /// The object from which an operator derives this one.
    fn owner(&self) -> Option<ObjectRef> {
        self.controller_reference().or_else(|| self.olm_owner()).or_else(|| self.wrangler_owner())
    }

    /// The owner that is the managing controller, unless a controller of Kubernetes is: its owners are edited in place.
    fn controller_reference(&self) -> Option<ObjectRef> {
        let owners = self.0.owner_references.iter().flatten();
        owners.filter(|owner| owner.controller == Some(true)).find_map(|owner| {
            let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
            of_group(group, &owner.kind, None, &owner.name)
        })
    }

    fn olm_owner(&self) -> Option<ObjectRef> {
        let classic = || {
            let [kind, namespace, name] =
                ["olm.owner.kind", "olm.owner.namespace", "olm.owner"].map(|key| self.label(key));
            of_group(OLM, kind?, Some(namespace?), name?)
        };
        let [kind, name] = ["owner-kind", "owner-name"].map(|part| self.label(&format!("{OLM_1}/{part}")));
        kind.zip(name).and_then(|(kind, name)| of_group(OLM_1, kind, None, name)).or_else(classic)
    }

    fn wrangler_owner(&self) -> Option<ObjectRef> {
        let [kind, namespace, name] = ["owner-gvk", "owner-namespace", "owner-name"]
            .map(|part| self.annotation(&format!("objectset.rio.cattle.io/{part}")));
        // As `k3s.cattle.io/v1, Kind=Addon`.
        let (version, kind) = kind?.split_once(", Kind=")?;
        of_group(version.split_once('/')?.0, kind, namespace.filter(|namespace| !namespace.is_empty()), name?)
    }

    /// The release that owns the object: Helm itself requires the label and both annotations. Charts set the label
    /// in their templates, so that it alone shows that a chart was rendered, and not what applies it.
    fn helm_release(&self) -> Option<NamespacedName> {
        let [name, namespace] =
            ["name", "namespace"].map(|part| self.annotation(&format!("meta.helm.sh/release-{part}")));
        self.label("app.kubernetes.io/managed-by").filter(|manager| *manager == "Helm")?;
        named(namespace?, name?)
    }

    /// A controller that writes the object, unless it is one of Kubernetes or a person's tool.
    fn controller(&self) -> Option<String> {
        let is_idle = self.flux_leaves_it_alone();
        let found = self.writers().find(|writer| {
            // Some operators write with one name for each of their parts: cluster-network-operator/operconfig.
            let program = writer.split('/').next().unwrap_or(writer);
            program.ends_with("-operator") || ARGO.contains(writer) || (FLUX.contains(writer) && !is_idle)
        });
        found.map(ToOwned::to_owned)
    }

    /// The managers of its fields: not of its metadata and status alone, which many write that do not apply the object.
    fn writers(&self) -> impl Iterator<Item = &'a str> {
        let entries = self.0.managed_fields.iter().flatten();
        let of_object = entries.filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty));
        let of_content = of_object.filter(|entry| {
            let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.as_object());
            fields
                .is_some_and(|fields| fields.keys().any(|field| !["f:metadata", "f:status"].contains(&field.as_str())))
        });
        of_content.filter_map(|entry| entry.manager.as_deref())
    }
}

/// A namespaced object, if these can be names.
fn named(namespace: &str, name: &str) -> Option<NamespacedName> {
    format!("{namespace}/{name}").parse().ok()
}

/// An object of an API group that is not Kubernetes' own.
fn of_group(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Option<ObjectRef> {
    if !group.contains('.') || group.ends_with(".k8s.io") {
        return None;
    }
    let path = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
    format!("{kind}.{group} {path}").parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, OwnerReference};
    use serde_json::{Value, json};

    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn marked(labels: Pairs<'_>, annotations: Pairs<'_>) -> ObjectMeta {
        let owned = |pairs: Pairs<'_>| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        ObjectMeta {
            name: Some("system:web".into()),
            namespace: Some("shop".into()),
            labels: owned(labels),
            annotations: owned(annotations),
            ..ObjectMeta::default()
        }
    }

    fn of(labels: Pairs<'_>, annotations: Pairs<'_>) -> Option<String> {
        place(&marked(labels, annotations))
    }

    fn place(metadata: &ObjectMeta) -> Option<String> {
        Manager::of(metadata).map(|manager| manager.to_string())
    }

    fn written(metadata: ObjectMeta, manager: &str, subresource: Option<&str>, fields: Value) -> ObjectMeta {
        let entry = ManagedFieldsEntry {
            manager: Some(manager.into()),
            subresource: subresource.map(str::to_owned),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        };
        ObjectMeta { managed_fields: Some(vec![entry]), ..metadata }
    }

    fn owned(api_version: &str, kind: &str, controller: Option<bool>) -> ObjectMeta {
        let owner = OwnerReference {
            api_version: api_version.into(),
            kind: kind.into(),
            name: "cluster".into(),
            controller,
            ..OwnerReference::default()
        };
        ObjectMeta { owner_references: Some(vec![owner]), ..ObjectMeta::default() }
    }

    const HELM: (&str, &str) = ("app.kubernetes.io/managed-by", "Helm");
    const RELEASE: [(&str, &str); 2] =
        [("meta.helm.sh/release-name", "monitoring"), ("meta.helm.sh/release-namespace", "ops")];

    #[test]
    fn an_object_without_marks_has_no_manager() {
        assert_eq!(Manager::of(&ObjectMeta::default()), None);
        assert_eq!(of(&[("app.kubernetes.io/instance", "web")], &[]), None);
    }

    #[test]
    fn a_release_of_helm_needs_all_of_its_marks() {
        let release = "Helm release monitoring in namespace ops (values or chart)";
        assert_eq!(of(&[HELM], &RELEASE).as_deref(), Some(release));
        assert_eq!(of(&[HELM], &[]), None, "a rendered chart");
        assert_eq!(of(&[HELM], &RELEASE[..1]), None);
        assert_eq!(of(&[("app.kubernetes.io/managed-by", "helmfile")], &RELEASE), None);
    }

    #[test]
    fn flux_comes_before_the_chart_that_it_renders() {
        let release =
            [HELM, ("helm.toolkit.fluxcd.io/name", "monitoring"), ("helm.toolkit.fluxcd.io/namespace", "ops")];
        assert_eq!(of(&release, &RELEASE).as_deref(), Some("Flux HelmRelease ops/monitoring (values or chart)"));
        let apps =
            [("kustomize.toolkit.fluxcd.io/name", "apps"), ("kustomize.toolkit.fluxcd.io/namespace", "flux-system")];
        let source = Some("the source of Flux Kustomization flux-system/apps");
        assert_eq!(of(&apps, &[]).as_deref(), source);
        for left_alone in [("reconcile", "disabled"), ("ssa", "Ignore"), ("ssa", "ifnotpresent")] {
            let (key, value) = left_alone;
            let key = format!("kustomize.toolkit.fluxcd.io/{key}");
            assert_eq!(of(&apps, &[(key.as_str(), value)]), None, "{key}={value}");
            let metadata = written(marked(&apps, &[(key.as_str(), value)]), FLUX[0], None, json!({"f:rules": {}}));
            assert_eq!(place(&metadata), None, "{key}={value}");
        }
        assert_eq!(of(&apps, &[("kustomize.toolkit.fluxcd.io/ssa", "Merge")]).as_deref(), source);
    }

    #[test]
    fn an_application_of_argo_cd_tracks_its_own_objects() {
        let tracking = |id: &str| of(&[HELM], &[("argocd.argoproj.io/tracking-id", id)]);
        let role = "rbac.authorization.k8s.io/Role";
        let source = Some("the source of Argo CD Application web");
        assert_eq!(tracking(&format!("web:{role}:shop/system:web")).as_deref(), source);
        assert_eq!(
            tracking(&format!("teams_web:{role}:shop/system:web")).as_deref(),
            Some("the source of Argo CD Application teams/web")
        );
        for other in ["web:apps/Deployment:shop/other", "web:apps/Deployment:bank/system:web", "web", ""] {
            assert_eq!(tracking(other), None, "{other}");
        }
        let id = format!("web:{role}:anywhere/system:web");
        let cluster = ObjectMeta { namespace: None, ..marked(&[], &[("argocd.argoproj.io/tracking-id", &id)]) };
        assert_eq!(place(&cluster).as_deref(), source);
        assert_eq!(of(&[("argocd.argoproj.io/instance", "web"), HELM], &RELEASE).as_deref(), source);
        let usual = marked(&[("app.kubernetes.io/instance", "web")], &[]);
        assert_eq!(place(&written(usual, ARGO[0], None, json!({"f:spec": {}}))).as_deref(), source);
    }

    #[test]
    fn an_operator_is_named_by_the_object_from_which_it_derives_this_one() {
        let network = owned("operator.openshift.io/v1", "Network", Some(true));
        assert_eq!(place(&network).as_deref(), Some("Network.operator.openshift.io cluster"));
        assert_eq!(place(&owned("operator.openshift.io/v1", "Network", None)), None);
        for of_kubernetes in ["v1", "apps/v1", "apiregistration.k8s.io/v1"] {
            assert_eq!(place(&owned(of_kubernetes, "Any", Some(true))), None, "{of_kubernetes}");
        }
        let olm = [
            ("olm.owner", "prometheus.v0.65.1"),
            ("olm.owner.kind", "ClusterServiceVersion"),
            ("olm.owner.namespace", "operators"),
        ];
        let version = "ClusterServiceVersion.operators.coreos.com operators/prometheus.v0.65.1";
        assert_eq!(of(&olm, &[]).as_deref(), Some(version));
        let olm = [
            ("olm.operatorframework.io/owner-kind", "ClusterExtension"),
            ("olm.operatorframework.io/owner-name", "argo"),
        ];
        assert_eq!(of(&olm, &[]).as_deref(), Some("ClusterExtension.olm.operatorframework.io argo"));
        let addon = [
            ("objectset.rio.cattle.io/owner-gvk", "k3s.cattle.io/v1, Kind=Addon"),
            ("objectset.rio.cattle.io/owner-name", "coredns"),
            ("objectset.rio.cattle.io/owner-namespace", "kube-system"),
        ];
        assert_eq!(of(&[], &addon).as_deref(), Some("Addon.k3s.cattle.io kube-system/coredns"));
    }

    #[test]
    fn an_operator_without_an_object_is_named_by_the_fields_that_it_writes() {
        let by =
            |manager: &str, subresource, fields| place(&written(ObjectMeta::default(), manager, subresource, fields));
        let content = || json!({"f:metadata": {"f:labels": {}}, "f:rules": {}});
        for operator in ["cluster-network-operator", "kustomize-controller", "cluster-network-operator/operconfig"] {
            let place = format!("the configuration of {operator}");
            assert_eq!(by(operator, None, content()).as_deref(), Some(place.as_str()));
        }
        for tool in
            ["kubectl-client-side-apply", "kubectl-edit", "kubeadm", "kube-controller-manager", "kube-apiserver"]
        {
            assert_eq!(by(tool, None, content()), None, "{tool}");
        }
        assert_eq!(by("x-operator", Some("status"), json!({"f:status": {}})), None);
        assert_eq!(by("x-operator", None, json!({"f:metadata": {"f:labels": {}}})), None);
    }

    #[test]
    fn the_fix_shows_where_and_why() {
        let manager = Manager::of(&marked(&[HELM], &RELEASE)).unwrap();
        assert_eq!(
            manager.add_to("kubectl delete rolebinding a"),
            "kubectl delete rolebinding a; change it in Helm release monitoring in namespace ops (values or chart), \
             because the next upgrade overwrites an edit in place"
        );
    }

    #[test]
    fn a_recorded_manager_is_read_again() {
        let name = NamespacedName::new("ops", "a");
        let all = [
            Manager::FluxHelmRelease(name.clone()),
            Manager::FluxKustomization(name.clone()),
            Manager::ArgoApplication("teams/web".into()),
            Manager::Owner("Network.operator.openshift.io cluster".parse().unwrap()),
            Manager::HelmRelease(name),
            Manager::Controller("cluster-network-operator/operconfig".into()),
        ];
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.starts_with(r#"[{"flux-helm-release":"ops/a"},"#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<Manager>>(&text).unwrap(), all);
    }
}
