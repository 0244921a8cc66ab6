//! What is read from the bodies of answers.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Call, place};
use crate::seen::{Seen, Unobserved};

/// What an object states about its kind. Nothing is stated by what is not an object of Kubernetes.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stated {
    kind: String,
    api_version: String,
    message: String,
}

/// The part of a list that paging needs. Its items are decoded later.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    message: String,
    metadata: ListMetadata,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ListMetadata {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

/// How far into a list its items begin at most where an API server wrote it.
const HEAD: usize = 4096;
/// How the items of a list begin, and what stands in their place where they are not read.
const ITEMS: &[u8] = b"\"items\":[";
const EMPTY: &[u8] = b"\"items\":null}";

/// A page of a list.
pub(super) struct Page {
    /// Where the next page begins; none after the last one.
    pub(super) next: Option<String>,
    /// The items in JSON; none where lists of metadata have none.
    items: Option<Bytes>,
}

/// The part of an object that names it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Name,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    namespace: Option<String>,
    name: Option<String>,
}

impl Page {
    /// The page in an answer.
    pub(super) fn read(call: &Call, body: &Bytes) -> Seen<Self> {
        if let Some((beginning, items)) = split(body) {
            let List { kind, api_version, message, metadata, .. } = beginning;
            compare(call, Stated { kind, api_version, message })?;
            return Ok(Self::new(metadata, Some(items)));
        }
        let list: List<'_> = match serde_json::from_slice(body) {
            Ok(list) => list,
            // What is not a list need not have the parts of one.
            Err(why) => return Err(expect(call, body).err().unwrap_or_else(|| invalid(call, why))),
        };
        compare(call, Stated { kind: list.kind, api_version: list.api_version, message: list.message })?;
        let items = list.items.map(|items| body.slice_ref(items.get().as_bytes()));
        if items.is_none() && !call.is_metadata_only() {
            return Err(invalid(call, "the list has no items, not even an empty array of them"));
        }
        Ok(Self::new(list.metadata, items))
    }

    fn new(metadata: ListMetadata, items: Option<Bytes>) -> Self {
        Self { next: metadata.next.filter(|token| !token.is_empty()), items }
    }

    /// The decoded items.
    pub(super) fn items<K: DeserializeOwned>(&self, call: &Call) -> Seen<Vec<K>> {
        let Some(items) = &self.items else { return Ok(Vec::new()) };
        if let Ok(items) = serde_json::from_slice(items) {
            return Ok(items);
        }
        // One by one, to survive a time that is out of range, or else to name the object.
        let items: Vec<&RawValue> = serde_json::from_slice(items).map_err(|why| invalid(call, why))?;
        items
            .into_iter()
            .enumerate()
            .map(|(i, item)| one(item.get().as_bytes(), i).map_err(|why| invalid(call, why)))
            .collect()
    }
}

/// What comes before the items of a list, and the items, which are read once more when they are decoded. None if anything
/// follows them or they come late; then all of the list has to be read.
fn split(body: &Bytes) -> Option<(List<'static>, Bytes)> {
    let text = body.trim_ascii_end();
    let head = &text[..text.len().min(HEAD)];
    let at = head.windows(ITEMS.len()).position(|window| window == ITEMS)?;
    let beginning = [&text[..at], EMPTY].concat();
    let List { kind, api_version, message, metadata, .. } = serde_json::from_slice(&beginning).ok()?;
    let items = text[at + ITEMS.len() - 1..].strip_suffix(b"}")?;
    items.ends_with(b"]").then(|| (List { kind, api_version, message, metadata, items: None }, body.slice_ref(items)))
}

/// An object of a list. The error names the object and the field.
fn one<K: DeserializeOwned>(item: &[u8], place: usize) -> Result<K, String> {
    lenient(item).map_err(|why| {
        let Name { namespace, name } = serde_json::from_slice::<Named>(item).unwrap_or_default().metadata;
        match (namespace, name) {
            (Some(namespace), Some(name)) => format!("the object {namespace}/{name}: {why}"),
            (None, Some(name)) => format!("the object {name}: {why}"),
            (_, None) => format!("the object number {}, which has no name: {why}", place + 1),
        }
    })
}

/// Decodes the object in an answer, which must be of the kind that was asked for.
pub(super) fn object<T: DeserializeOwned>(call: &Call, body: &[u8]) -> Seen<T> {
    expect(call, body)?;
    lenient(body).map_err(|why| invalid(call, why))
}

/// Whether the answer is of the kind that was asked for.
pub(super) fn expect(call: &Call, body: &[u8]) -> Seen<()> {
    if call.answer().is_none() {
        return Ok(());
    }
    let stated = serde_json::from_slice(body).map_err(|why| {
        invalid(
            call,
            if is_html(body) {
                "the answer is an HTML page".to_owned()
            } else {
                format!("the answer is not an object: {why}")
            },
        )
    })?;
    compare(call, stated)
}

/// Whether this is the page of a proxy, as for a login.
pub(super) fn is_html(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

fn compare(call: &Call, Stated { kind, api_version, message }: Stated) -> Seen<()> {
    let Some((version, expected)) = call.answer() else { return Ok(()) };
    if kind == expected && (version.is_empty() || version == api_version) {
        return Ok(());
    }
    let stated = match (kind.as_str(), api_version.as_str()) {
        ("", "") => "the answer states no kind".to_owned(),
        (kind, "") => format!("the answer is of kind {kind}"),
        (kind, version) => format!("the answer is of kind {kind} in {version}"),
    };
    let instead = if version.is_empty() { expected } else { format!("{expected} in {version}") };
    let message = if message.is_empty() { message } else { format!(": {message}") };
    Err(invalid(call, format!("{stated} instead of {instead}{message}")))
}

fn invalid(call: &Call, cause: impl ToString) -> Unobserved {
    Unobserved::invalid(call.to_string(), cause)
}

/// Decodes JSON. A time that is legal in Kubernetes but later than the last one that can be represented becomes that one: it
/// is as far in the future. Every kubelet can write such a time into its Node. The error names the field.
fn lenient<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let why = match decode(json) {
        Ok(decoded) => return Ok(decoded),
        Err(why) => why,
    };
    let Ok(mut value) = serde_json::from_slice::<Value>(json) else { return Err(why) };
    if !clamp(&mut value) {
        return Err(why);
    }
    decode(value.to_string().as_bytes())
}

fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|why| match place::path(json, place::offset(json, why.line(), why.column())) {
        path if path.is_empty() => why.to_string(),
        path => format!("{path}: {why}"),
    })
}

/// Puts the last time that can be represented in the place of later ones. Returns whether there are any.
fn clamp(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let late = text.starts_with("9999-12-3")
                && text.parse::<Timestamp>().is_err()
                && text.strip_suffix('Z').is_some_and(|civil| civil.parse::<DateTime>().is_ok());
            if late {
                *text = Timestamp::MAX.to_string();
            }
            late
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| clamp(item) | any),
        Value::Object(fields) => fields.values_mut().fold(false, |any, field| clamp(field) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
    use serde_json::json;

    use super::*;

    fn page<K: DeserializeOwned>(call: &Call, body: &Value) -> Seen<Vec<K>> {
        Page::read(call, &Bytes::from(body.to_string()))?.items(call)
    }

    fn node(name: &str, at: &str) -> Value {
        json!({
            "metadata": { "name": name },
            "status": { "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": at }] },
        })
    }

    fn nodes(items: &[Value]) -> Value {
        json!({ "kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items })
    }

    #[test]
    fn one_time_at_the_end_of_times_does_not_lose_a_list() {
        let call = Call::list::<Node>();
        let list = nodes(&[node("n1", "2026-11-22T12:00:00Z"), node("n2", "9999-12-31T23:59:59Z")]);
        let decoded: Vec<Node> = page(&call, &list).unwrap();
        let end = decoded[1].status.as_ref().unwrap().conditions.as_ref().unwrap()[0].last_transition_time.clone();
        assert_eq!((decoded.len(), end.unwrap().0), (2, Timestamp::MAX));
        let lease = json!({ "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {},
            "spec": { "renewTime": "9999-12-31T23:59:59.999999Z" } });
        let call = Call::get_in::<Lease>("kube-node-lease", "n1");
        let lease: Lease = object(&call, lease.to_string().as_bytes()).unwrap();
        assert_eq!(lease.spec.unwrap().renew_time.unwrap().0, Timestamp::MAX);
    }

    #[test]
    fn what_cannot_be_decoded_names_the_object_and_the_field() {
        let list = nodes(&[node("n1", "2026-11-22T12:00:00Z"), node("n2", "yesterday")]);
        let why = page::<Node>(&Call::list::<Node>(), &list).unwrap_err().to_string();
        assert!(
            why.starts_with("GET /api/v1/nodes: the object n2: status.conditions[0].lastTransitionTime: "),
            "{why}"
        );
    }

    #[test]
    fn a_list_is_read_in_any_order_of_its_fields() {
        let call = Call::list::<Node>();
        let read = |text: &str| -> Seen<(bool, Option<String>, usize)> {
            let body = Bytes::from(text.to_owned());
            let page = Page::read(&call, &body)?;
            let items = page.items::<Value>(&call)?.len();
            Ok((split(&body).is_some(), page.next, items))
        };
        let list = |text: &str| text.replace("KIND", r#""kind":"NodeList","apiVersion":"v1""#);
        let next = Some("x".to_owned());
        let usual = list(
            r#"{KIND,"metadata":{"continue":"x"},"items":[{},{"items":[]}]}
"#,
        );
        assert_eq!(read(&usual), Ok((true, next.clone(), 2)));
        let late = list(r#"{"items":[{},{}],KIND,"metadata":{"continue":"x"}}"#);
        assert_eq!(read(&late), Ok((false, next.clone(), 2)));
        let inside = list(r#"{KIND,"metadata":{"items":[1],"continue":"x"},"items":[{}]}"#);
        assert_eq!(read(&inside), Ok((false, next, 1)));
        for cut in [r#"{KIND,"metadata":{},"items":[{},{"a":[]}"#, r#"{KIND,"metadata":{},"items":[{},]}"#] {
            read(&list(cut)).unwrap_err();
        }
    }

    #[test]
    fn the_kind_of_an_answer_is_checked() {
        let list = |body: &Value| page::<Pod>(&Call::list::<Pod>(), body).unwrap_err().to_string();
        let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "message": "login first" });
        assert_eq!(
            list(&status),
            "GET /api/v1/pods: the answer is of kind Status in v1 instead of PodList in v1: login first"
        );
        assert_eq!(list(&json!({})), "GET /api/v1/pods: the answer states no kind instead of PodList in v1");
        assert!(list(&nodes(&[])).contains("of kind NodeList"));
        for items in [json!({}), json!({ "items": null })] {
            let mut without = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {} });
            without.as_object_mut().unwrap().extend(items.as_object().unwrap().clone());
            assert!(list(&without).contains("the list has no items"), "{without}");
        }
        let call = Call::get_in::<ConfigMap>("kube-system", "coredns");
        let map = |body: &str| object::<ConfigMap>(&call, body.as_bytes()).unwrap_err().to_string();
        assert!(map("{}").ends_with("the answer states no kind instead of ConfigMap in v1"));
        assert!(map("<html>").ends_with("the answer is an HTML page"));
        let empty = json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": null });
        assert_eq!(page::<Value>(&Call::list::<Pod>().metadata_only(), &empty), Ok(Vec::new()));
    }
}
