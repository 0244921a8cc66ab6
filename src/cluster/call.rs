//! One request to the API server, in the words of RBAC.

use std::fmt;
use std::net::SocketAddr;

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, Resource};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Identity;
use crate::certificate::Certificate;

/// The characters that are encoded in a query's value: all but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One request to the API server. A constructor sets its verb, and other methods refine it.
#[derive(Clone)]
pub struct Call {
    pub(super) verb: Verb,
    pub(super) target: Target,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) accept: &'static str,
    pub(super) identity: Identity,
    pub(super) instance: Option<SocketAddr>,
    pub(super) trust: Trust,
    pub(super) new_connection: bool,
    pub(super) optional: bool,
    pub(super) object: Option<Kind>,
}

/// The certificates that are accepted from the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those issued by a CA of the kubeconfig.
    #[default]
    Kubeconfig,
    /// All, as a node does that joins the cluster. Only for requests without credentials.
    Anyone,
    /// Those issued by one of these CAs.
    Only(Vec<Certificate>),
}

/// The kind of an object, as an answer states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Empty if answers of this kind state none.
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
}

impl Kind {
    const fn of<K: Resource>() -> Self {
        Self { api_version: K::API_VERSION, kind: K::KIND }
    }
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Url(String),
    Resource {
        group: &'static str,
        version: &'static str,
        resource: &'static str,
        subresource: Option<&'static str>,
        namespace: Option<String>,
        name: Option<String>,
    },
}

/// The verb, as RBAC names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Patch,
    /// A patch that states all fields of its manager, and makes what does not exist.
    Apply,
    Delete,
    DeleteCollection,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch | Self::Apply => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    pub(super) const fn method(self) -> http::Method {
        match self {
            Self::Get | Self::List | Self::Watch => http::Method::GET,
            Self::Create => http::Method::POST,
            Self::Patch | Self::Apply => http::Method::PATCH,
            Self::Delete | Self::DeleteCollection => http::Method::DELETE,
        }
    }
}

impl Call {
    fn new(verb: Verb, target: Target) -> Self {
        Self {
            verb,
            target,
            query: Vec::new(),
            body: None,
            accept: "application/json",
            identity: Identity::Own,
            instance: None,
            trust: Trust::Kubeconfig,
            new_connection: false,
            optional: false,
            object: None,
        }
    }

    fn resource<K: Resource>(verb: Verb) -> Self {
        let target = Target::Resource {
            group: K::GROUP,
            version: K::VERSION,
            resource: K::URL_PATH_SEGMENT,
            subresource: None,
            namespace: None,
            name: None,
        };
        Self { object: Some(Kind::of::<K>()), ..Self::new(verb, target) }
    }

    /// GET of a path that is not a resource, such as `/readyz?verbose`.
    pub fn url(path: impl Into<String>) -> Self {
        Self::new(Verb::Get, Target::Url(path.into())).accepting("application/json, application/jwk-set+json")
    }

    /// GET of a cluster-scoped object.
    pub fn get<K: Resource<Scope = ClusterResourceScope>>(name: impl Into<String>) -> Self {
        Self::resource::<K>(Verb::Get).named(name)
    }

    /// GET of a namespaced object.
    pub fn get_in<K: Resource<Scope = NamespaceResourceScope>>(
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self::resource::<K>(Verb::Get).in_namespace(namespace).named(name)
    }

    /// LIST of all objects of a kind in all namespaces.
    pub fn list<K: Resource>() -> Self {
        Self::resource::<K>(Verb::List)
    }

    /// WATCH of all objects of a kind.
    pub fn watch<K: Resource>() -> Self {
        Self::resource::<K>(Verb::Watch).with("watch", "true")
    }

    /// POST of an object.
    pub fn create<K: Resource>(body: Value) -> Self {
        Self { body: Some(body), ..Self::resource::<K>(Verb::Create) }
    }

    /// PATCH of an object, as a strategic merge patch.
    pub fn patch<K: Resource>(name: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::resource::<K>(Verb::Patch) }.named(name)
    }

    /// Server-side apply of an object, by the manager of these fields.
    pub fn apply<K: Resource>(name: impl Into<String>, body: Value, manager: &'static str) -> Self {
        Self { body: Some(body), ..Self::resource::<K>(Verb::Apply) }.named(name).with("fieldManager", manager)
    }

    /// DELETE of an object.
    pub fn delete<K: Resource>(name: impl Into<String>) -> Self {
        Self::resource::<K>(Verb::Delete).named(name)
    }

    /// DELETE of all objects that a selector given by [`Call::with`] matches.
    pub fn delete_all<K: Resource>() -> Self {
        Self::resource::<K>(Verb::DeleteCollection)
    }

    /// The object's name.
    pub fn named(mut self, to: impl Into<String>) -> Self {
        if let Target::Resource { name, .. } = &mut self.target {
            *name = Some(to.into());
        }
        self
    }

    /// The namespace.
    pub fn in_namespace(mut self, to: impl Into<String>) -> Self {
        if let Target::Resource { namespace, .. } = &mut self.target {
            *namespace = Some(to.into());
        }
        self
    }

    /// The subresource, such as `eviction`.
    pub fn subresource(mut self, to: &'static str) -> Self {
        if let Target::Resource { subresource, .. } = &mut self.target {
            *subresource = Some(to);
        }
        // A subresource may answer with anything.
        Self { object: None, ..self }
    }

    /// A success is an object of this kind, if that does not follow from the resource.
    pub fn answered_by<K: Resource>(self) -> Self {
        Self { object: Some(Kind::of::<K>()), ..self }
    }

    /// The same for objects of which the program has no type. Few state no version.
    pub fn of_kind(self, api_version: &'static str, kind: &'static str) -> Self {
        Self { object: Some(Kind { api_version, kind }), ..self }
    }

    /// A query parameter.
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    /// A body, such as for a deletion with a precondition.
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Accepts an answer of these media types instead of JSON.
    pub fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    /// Nothing is persisted.
    pub fn dry_run(self) -> Self {
        self.with("dryRun", "All")
    }

    /// Sent as another user.
    pub fn by(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Sent to this API server instance instead of the configured endpoint.
    pub fn at_instance(mut self, address: SocketAddr) -> Self {
        self.instance = Some(address);
        self
    }

    /// Sent over a new connection, like the first request of a client.
    pub fn on_new_connection(self) -> Self {
        Self { new_connection: true, ..self }
    }

    /// Sent to a server with such a certificate.
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Not every API server serves this path: a plain 404 means that this one does not.
    pub fn if_served(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The answer has only the metadata of objects; the rest never leaves the server.
    pub fn metadata_only(mut self) -> Self {
        self.accept = match self.verb {
            Verb::List => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            _ => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        };
        self
    }

    /// The path and query.
    pub(super) fn path_and_query(&self) -> String {
        let mut path = match &self.target {
            Target::Url(path) => path.clone(),
            Target::Resource { group, version, resource, subresource, namespace, name } => {
                let mut path =
                    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
                for segment in [
                    namespace.as_deref().map(|n| format!("namespaces/{n}")),
                    Some((*resource).to_owned()),
                    name.clone(),
                    subresource.map(str::to_owned),
                ]
                .into_iter()
                .flatten()
                {
                    path.push('/');
                    path.push_str(&segment);
                }
                path
            }
        };
        for (i, (key, value)) in self.query.iter().enumerate() {
            path.push(if i == 0 && !path.contains('?') { '?' } else { '&' });
            path.push_str(key);
            path.push('=');
            path.extend(utf8_percent_encode(value, RESERVED));
        }
        path
    }

    /// Whether asking twice changes no more than asking once: it reads, deletes or applies, or nothing of it is persisted.
    pub(super) fn is_repeatable(&self) -> bool {
        let reads = matches!(self.verb, Verb::Get | Verb::List | Verb::Watch);
        // Every apply of the same fields has the same result.
        let applies = self.verb == Verb::Apply;
        // A name is used once in a run, and nothing else matches its labels: what is deleted twice is deleted.
        let deletes = matches!(self.verb, Verb::Delete | Verb::DeleteCollection);
        let reviews = self.verb == Verb::Create
            && matches!(&self.target, Target::Resource { resource, .. } if resource.ends_with("reviews"));
        let tries = self.query.iter().any(|(key, _)| *key == "dryRun");
        !self.new_connection && (reads || deletes || reviews || tries || applies)
    }

    /// The kind of a success, and its version unless it states none.
    pub(super) fn answer(&self) -> Option<(&'static str, String)> {
        let Kind { api_version, kind } = self.object?;
        let (api_version, kind) =
            if self.is_metadata_only() { ("meta.k8s.io/v1", "PartialObjectMetadata") } else { (api_version, kind) };
        match self.verb {
            Verb::Get | Verb::Create | Verb::Patch | Verb::Apply => Some((api_version, kind.to_owned())),
            Verb::List => Some((api_version, format!("{kind}List"))),
            Verb::Watch | Verb::Delete | Verb::DeleteCollection => None,
        }
    }

    /// Whether only the metadata of objects is asked for.
    pub(super) fn is_metadata_only(&self) -> bool {
        self.accept.contains("as=PartialObjectMetadata")
    }

    /// The group, version and resource asked for, for a request to an API.
    pub(super) fn api(&self) -> Option<(&str, &str, &str)> {
        match &self.target {
            Target::Resource { group, version, resource, .. } => Some((group, version, resource)),
            // APIs of other projects are requested by URL, and only for objects without a namespace.
            Target::Url(path) => {
                let mut parts = path.split('?').next()?.strip_prefix("/apis/")?.split('/');
                Some((parts.next()?, parts.next()?, parts.next()?))
            }
        }
    }

    /// The permission that the request needs, as an administrator grants it.
    pub fn permission(&self) -> String {
        match &self.target {
            Target::Url(path) => format!("get on {}", path.split('?').next().unwrap_or(path)),
            Target::Resource { group, resource, subresource, namespace, name, .. } => {
                let subresource = subresource.map(|subresource| format!("/{subresource}")).unwrap_or_default();
                let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                // RBAC knows an object by its name also where it is selected from a list.
                let selected = self.query.iter().find_map(|(key, value)| match *key {
                    "fieldSelector" => value.strip_prefix("metadata.name="),
                    _ => None,
                });
                let named = name.as_deref().or(selected).map(|name| format!(" named {name}")).unwrap_or_default();
                let place = match namespace {
                    Some(namespace) => format!("in namespace {namespace}"),
                    None => "in the whole cluster".into(),
                };
                format!("{} {resource}{subresource}{group}{named} {place}", self.verb.name())
            }
        }
    }
}

/// Without the body, which may hold a token's secret.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.method(), self.path_and_query())?;
        if let Some(instance) = self.instance {
            write!(f, " on {instance}")?;
        }
        match &self.identity {
            Identity::Own => Ok(()),
            other => write!(f, " as {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authorization::v1::SubjectAccessReview;
    use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};

    use super::*;

    #[test]
    fn a_call_becomes_the_path_that_the_api_server_knows() {
        let call = Call::get_in::<ConfigMap>("kube-public", "cluster-info");
        assert_eq!(call.path_and_query(), "/api/v1/namespaces/kube-public/configmaps/cluster-info");
        assert_eq!(call.permission(), "get configmaps named cluster-info in namespace kube-public");
        let call = Call::list::<Pod>().with("labelSelector", "a=b,c").with("limit", "500");
        assert_eq!(call.path_and_query(), "/api/v1/pods?labelSelector=a%3Db%2Cc&limit=500");
        assert_eq!(call.permission(), "list pods in the whole cluster");
        let call = Call::list::<ConfigMap>().with("fieldSelector", "metadata.name=kube-root-ca.crt");
        assert_eq!(call.permission(), "list configmaps named kube-root-ca.crt in the whole cluster");
        let call = Call::create::<SubjectAccessReview>(Value::Null);
        assert_eq!(call.path_and_query(), "/apis/authorization.k8s.io/v1/subjectaccessreviews");
        assert_eq!(call.permission(), "create subjectaccessreviews.authorization.k8s.io in the whole cluster");
    }

    #[test]
    fn a_call_knows_the_kind_of_its_answer() {
        assert_eq!(Call::list::<Pod>().answer(), Some(("v1", "PodList".to_owned())));
        let metadata = Call::list::<Pod>().metadata_only().answer();
        assert_eq!(metadata, Some(("meta.k8s.io/v1", "PartialObjectMetadataList".to_owned())));
        assert_eq!(Call::get_in::<Pod>("a", "b").subresource("log").answer(), None);
        assert_eq!(Call::url("/api").of_kind("", "APIVersions").answer(), Some(("", "APIVersions".to_owned())));
    }

    #[test]
    fn only_what_changes_no_more_the_second_time_is_repeatable() {
        assert!(Call::list::<Pod>().is_repeatable() && Call::url("/version").is_repeatable());
        assert!(Call::create::<SubjectAccessReview>(Value::Null).is_repeatable());
        assert!(Call::create::<Pod>(Value::Null).dry_run().is_repeatable());
        assert!(Call::delete::<Pod>("a").is_repeatable() && Call::delete_all::<Pod>().is_repeatable());
        assert!(Call::apply::<Node>("a", Value::Null, "seaworthy").is_repeatable());
        assert!(!Call::create::<Pod>(Value::Null).is_repeatable());
        assert!(!Call::patch::<Node>("a", Value::Null).is_repeatable());
        assert!(!Call::url("/readyz").on_new_connection().is_repeatable());
    }

    #[test]
    fn a_call_does_not_show_its_body() {
        let call = Call::create::<SubjectAccessReview>(serde_json::json!({"data": {"token-secret": "c2VjcmV0"}}));
        assert_eq!(format!("{call:?}"), "POST /apis/authorization.k8s.io/v1/subjectaccessreviews");
    }

    #[test]
    fn a_call_says_who_sends_it_and_where() {
        let call = Call::patch::<Node>("n2", Value::Null).dry_run().by(Identity::kubelet("n1"));
        assert_eq!(call.to_string(), "PATCH /api/v1/nodes/n2?dryRun=All as system:node:n1");
        let call = Call::url("/readyz?verbose").by(Identity::Anonymous).at_instance(([10, 77, 0, 11], 6443).into());
        assert_eq!(call.to_string(), "GET /readyz?verbose on 10.77.0.11:6443 as anonymous");
        assert_eq!(call.permission(), "get on /readyz");
    }
}
