//! The ConfigMap with the Corefile, in what fixes print.

use crate::check::Subject;
use crate::fact::facts::corefile::Corefile;
use crate::seen::Unobserved;

/// The ConfigMap itself.
pub(in super::super) fn subject(corefile: Result<&Corefile, &Unobserved>) -> Subject {
    Subject::object("ConfigMap", "kube-system", name(corefile))
}

/// The command that edits the Corefile.
pub(in super::super) fn edit(corefile: Result<&Corefile, &Unobserved>) -> String {
    format!("kubectl -n kube-system edit configmap {}", name(corefile))
}

/// The command that shows the Corefile.
pub(in super::super) fn show(corefile: Result<&Corefile, &Unobserved>) -> String {
    format!("kubectl -n kube-system get configmap {} -o yaml", name(corefile))
}

/// The usual name where the Corefile was not seen.
fn name<'a>(corefile: Result<&'a Corefile, &Unobserved>) -> &'a str {
    corefile.map_or("coredns", |corefile| &corefile.config_map)
}
