//! How to take a power away from a holder.

use std::collections::BTreeSet;

use super::add_ons::chart;
use super::path::Path;
use super::power_paths::{Graph, Held};
use super::powers::{IN_NAMESPACES, Power};
use crate::fact::facts::rbac::{CLUSTER_ROLE, Grant};
use crate::object_ref::ObjectRef;
use crate::suites::rights::object;

/// The ClusterRoles for users, which API servers write, and those aggregated into them: a right that is removed from
/// one is removed for everyone, and comes back.
const FOR_USERS: [&str; 4] = ["admin", "edit", "view", "cluster-admin"];
const PARTS_OF_THEM: &str = "system:aggregate-to-";

/// How to take the first step of a holder's path away, grant by grant.
pub(crate) fn fixes(graph: &Graph<'_>, path: &Path, held: &Held<'_>) -> BTreeSet<String> {
    held.grants.iter().map(|grant| managed_fix(graph, path, grant, held.power)).collect()
}

/// How to reduce this grant, and where to, if something manages what is changed.
fn managed_fix(graph: &Graph<'_>, path: &Path, grant: &Grant<'_>, power: &Power) -> String {
    let (changed, fix) = fix(graph, path, grant, power);
    match graph.rbac.manager(&changed) {
        Some(manager) => manager.add_to(&fix),
        None => match chart(graph.rbac, &changed) {
            Some(chart) => {
                format!(
                    "{fix}; change it in chart {chart} or its values, because the next upgrade overwrites an edit in place"
                )
            }
            None => fix,
        },
    }
}

/// How to reduce this grant: by its role, or by its binding where the role belongs to everyone; and which it changes.
fn fix(graph: &Graph<'_>, path: &Path, grant: &Grant<'_>, power: &Power) -> (ObjectRef, String) {
    let (namespace, role) = (grant.namespace(), &grant.binding.role);
    let source = graph.source(grant, power).map(|source| ObjectRef::cluster(CLUSTER_ROLE, source.to_owned()));
    let changed = source.as_ref().unwrap_or(role);
    let is_for_users = changed.kind == CLUSTER_ROLE
        && (FOR_USERS.contains(&changed.name.as_ref()) || changed.name.starts_with(PARTS_OF_THEM));
    let apart = path.account().filter(|_| namespace.is_some());
    let apart = apart
        .map(|account| format!("move ServiceAccount {account} to a namespace of its own, or "))
        .unwrap_or_default();
    let binding = object(grant.object);
    let fix = match (is_for_users, namespace) {
        (true, Some(_)) => format!("{apart}remove the subject from the binding: kubectl edit {binding}"),
        (true, None) => format!(
            "bind {role} to the subject by RoleBindings in the namespaces that need it, then remove the subject from \
             this binding: kubectl edit {binding}"
        ),
        (false, namespace) => {
            let less = match namespace {
                // It is granted in one namespace already.
                Some(_) if power.instead == IN_NAMESPACES => "remove the right",
                _ => power.instead,
            };
            format!("{apart}{less}: kubectl edit {}", object(changed))
        }
    };
    let edited = if is_for_users { grant.object } else { changed };
    (edited.clone(), fix)
}
