//! `seaworthy rbac`: the permissions that checks need, as manifests.

use clap::Args;

use super::choice::ChoiceArgs;
use super::connection::namespace;
use super::drill::AllowArgs;
use super::{Failure, print, say};
use crate::fact::rule::Impersonation;
use crate::rbac::{Permissions, Subject, manifests};
use crate::run::profile::allowing;
use crate::run::{ExitCode, Plan};

/// Print the RBAC manifests that the selected checks need, and nothing more
///
/// They hold what observing takes as far as the profile allows it. Without --namespace, that includes making a namespace
/// for the probes of each run, if there are any.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy rbac --subject ServiceAccount:ops/seaworthy | kubectl apply -f -
  seaworthy rbac --profile post-install --namespace probes \\
    --subject Group:auditors
  seaworthy rbac --select 'AA-*' --constrained-impersonation
  seaworthy rbac --select 'PK-*'")]
pub struct RbacArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    allow: AllowArgs,
    /// Run probes in this existing namespace, instead of one that each run makes
    #[arg(short, long, value_name = "NAME", value_parser = namespace, help_heading = "Permissions")]
    namespace: Option<String>,
    /// Let requests be sent in a node's name by constrained impersonation, which opens nothing else (Kubernetes 1.36 and later)
    #[arg(long, help_heading = "Permissions")]
    constrained_impersonation: bool,
    /// Who gets the permissions: ServiceAccount:NAMESPACE/NAME, User:NAME or Group:NAME; without it, no bindings are printed
    #[arg(long = "subject", value_name = "SUBJECT", help_heading = "Permissions")]
    subjects: Vec<Subject>,
}

/// Prints the manifests.
pub fn run(args: RbacArgs) -> Result<ExitCode, Failure> {
    let (mut profile, checks) = args.choice.resolve()?;
    args.allow.widen(&args.choice, &mut profile)?;
    if !args.choice.filter.select.is_empty() {
        for check in &checks {
            let beyond =
                Plan::new(vec![check]).accesses().into_iter().rev().find(|access| !profile.allow.contains(access));
            if let Some(access) = beyond {
                let (id, name) = (check.id, &profile.name);
                say(&format!(
                    "{id} takes {access} access, for which the profile {name} gets no rights and does not look: {} does",
                    allowing(access)
                ));
            }
        }
    }
    let rules = Plan::new(checks).rules(&profile.allow);
    let impersonation = if args.constrained_impersonation { Impersonation::Constrained } else { Impersonation::Legacy };
    let permissions = Permissions::new(&rules, args.namespace.as_deref(), impersonation);
    print(&manifests(&permissions, &args.subjects))?;
    Ok(ExitCode::Seaworthy)
}
