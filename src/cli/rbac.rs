//! `seaworthy rbac`: the permissions that checks need, as manifests.

use clap::{Args, ValueEnum};

use super::choice::ChoiceArgs;
use super::connection::namespace;
use super::drill::AllowArgs;
use super::{Failure, print, say};
use crate::push::apply;
use crate::rbac::{Permissions, Subject, manifests};
use crate::rule::Impersonation;
use crate::run::profile::allowing;
use crate::run::{ExitCode, Plan};

/// Print RBAC manifests with the least privilege that the selected checks need
///
/// They contain the permissions for all observations that the profile allows. Without --namespace, this includes creating a
/// namespace for the probes of each run, if it has probes.
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
    /// The existing namespace in which probes run [default: each run creates one]
    #[arg(short, long, value_name = "NAME", value_parser = namespace, help_heading = "Permissions")]
    namespace: Option<String>,
    /// Use constrained impersonation of nodes, which permits nothing else (Kubernetes 1.36 and later)
    #[arg(long, help_heading = "Permissions")]
    constrained_impersonation: bool,
    /// Include what `seaworthy run` needs for the same --push
    #[arg(long, value_enum, value_name = "TARGET", help_heading = "Permissions")]
    push: Option<Pushed>,
    /// Bind the permissions to ServiceAccount:NAMESPACE/NAME, User:NAME or Group:NAME [default: print no bindings]
    #[arg(long = "subject", value_name = "SUBJECT", help_heading = "Permissions")]
    subjects: Vec<Subject>,
}

/// What of `--push` needs permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pushed {
    /// A ClusterReport, by server-side apply
    #[value(name = "openreports")]
    OpenReports,
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
                    "{id} needs {access} access, which the profile {name} does not allow: its permissions are left out; {} includes them",
                    allowing(access)
                ));
            }
        }
    }
    let mut rules = Plan::new(checks).rules(&profile.allow);
    match args.push {
        Some(Pushed::OpenReports) => rules.extend(apply::RULES),
        None => {}
    }
    let impersonation = if args.constrained_impersonation { Impersonation::Constrained } else { Impersonation::Legacy };
    let permissions = Permissions::new(&rules, args.namespace.as_deref(), impersonation);
    print(&manifests(&permissions, &args.subjects))?;
    Ok(ExitCode::Seaworthy)
}
