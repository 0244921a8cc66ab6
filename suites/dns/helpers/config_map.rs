//! The ConfigMap with the Corefile, in what fixes print.

use crate::check::Subject;
use crate::fact::facts::corefile::Corefile;
use crate::seen::Unobserved;

/// The ConfigMap itself.
pub(in super::super) fn subject(corefile: Result<&Corefile, &Unobserved>) -> Subject {
    Subject::object("ConfigMap", "kube-system", name(corefile))
}

/// The command that edits the Corefile, and where to make the change instead if something manages it.
pub(in super::super) fn edit(corefile: Result<&Corefile, &Unobserved>) -> String {
    let command = format!("kubectl -n kube-system edit configmap {}", name(corefile));
    match corefile.ok().and_then(|corefile| corefile.manager.as_ref()) {
        Some(manager) => manager.add_to(&command),
        None => command,
    }
}

/// The usual name where the Corefile was not seen.
fn name<'a>(corefile: Result<&'a Corefile, &Unobserved>) -> &'a str {
    corefile.map_or("coredns", |corefile| &corefile.config_map)
}
