//! The meaning of a 404 that no API has sent: the API is not served, or a proxy in between has answered.

use serde::Deserialize;

use super::{Call, Cluster, Reply};
use crate::seen::{Seen, Unobserved};

/// The part of an `APIGroupList` that names versions. All fields are required: `{}` proves nothing.
#[derive(Deserialize)]
struct Groups {
    kind: String,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// The part of an `APIResourceList` that names resources.
#[derive(Deserialize)]
struct Resources {
    kind: String,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

impl Cluster {
    /// The reply, unless it is a 404 that the requested API did not send. Only the cluster's own list of APIs shows that one
    /// is not served; of other paths, only an answer that an API server has marked.
    pub(super) async fn understood(&self, call: &Call, reply: Reply) -> Seen<Reply> {
        if !reply.is_bare_404() {
            return Ok(reply);
        }
        let bare = format!("HTTP 404 that is not a Status: {}", reply.message());
        let Some((group, version, resource)) = call.api() else {
            let of_proxy =
                || Unobserved::invalid(call.to_string(), format!("{bare} (without the Audit-Id of an API server)"));
            return if reply.has_audit_id { Ok(reply) } else { Err(of_proxy()) };
        };
        // Every API server serves v1.
        if group.is_empty() {
            return Err(Unobserved::invalid(call.to_string(), bare));
        }
        // This is part of every request and sends requests itself.
        match Box::pin(self.serves(call, group, version, resource)).await {
            Ok(false) => {
                Err(Unobserved::absent(format!("this cluster does not serve {resource} in {group}/{version}")))
            }
            Ok(true) => Err(Unobserved::invalid(call.to_string(), bare)),
            Err(refused @ Unobserved::Refused { .. }) => Err(refused),
            Err(why) => {
                let unknown = format!("{bare}; whether {group}/{version} is served is not known: {why}");
                Err(Unobserved::invalid(call.to_string(), unknown))
            }
        }
    }

    async fn serves(&self, call: &Call, group: &str, version: &str, resource: &str) -> Seen<bool> {
        let ask = |path: String| Call { instance: call.instance, ..Call::url(path) };
        let groups = ask("/apis".into());
        let Groups { kind, groups: all } = self.fetch(&groups).await?;
        expect(&groups, &kind, "APIGroupList")?;
        let of_group = all.iter().filter(|known| known.name == group).flat_map(|known| &known.versions);
        if !of_group.into_iter().any(|known| known.version == version) {
            return Ok(false);
        }
        let resources = ask(format!("/apis/{group}/{version}"));
        let Resources { kind, resources: all } = self.fetch(&resources).await?;
        expect(&resources, &kind, "APIResourceList")?;
        Ok(all.iter().any(|known| known.name == resource))
    }
}

fn expect(call: &Call, kind: &str, expected: &str) -> Seen<()> {
    if kind == expected {
        return Ok(());
    }
    Err(Unobserved::invalid(call.to_string(), format!("the answer is of kind {kind:?} instead of {expected}")))
}
