//! `seaworthy install`: a periodic audit in the cluster, as manifests or applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use serde_json::json;

use super::arguments::Arguments;
use super::choice::ChoiceArgs;
use super::connection::{ConnectionArgs, duration, namespace};
use super::{Failure, print, print_json};
use crate::image::DEFAULT_PROBE_IMAGE;
use crate::install::{self, Applied, CONFIG, Config, NAME, RESULTS, Results, Schedule, Settings, Storage};
use crate::rbac::Permissions;
use crate::report::Format;
use crate::rule::Impersonation;
use crate::run::{ExitCode, Plan, Profile};
use crate::seen::{Access, Unobserved};
use crate::yaml;

/// How long the name of a CronJob may be: Kubernetes appends to it.
const LONGEST_NAME: usize = 52;

/// Print, or create with --apply, a periodic audit: a CronJob with exactly the permissions that its checks need
///
/// Its pod runs `seaworthy run --exit-zero`: the Job fails only if the run itself did. The text report is the log of the pod.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  Read what would be created, then create it:
    seaworthy install --image registry.example/seaworthy:1
    seaworthy install --image registry.example/seaworthy:1 --apply
  Keep the history of all runs and the last JUnit report in a volume:
    seaworthy install --results pvc --report junit --apply
  Every Monday with probe pods, and with your own expectations:
    seaworthy install --profile mine.yaml --schedule '17 2 * * mon'
  More flags of `seaworthy run`, and files that they name:
    seaworthy install --file sites.yaml --run-arg=--max-qps=20
  How it is going, and the end of it:
    seaworthy status
    seaworthy uninstall --dry-run")]
pub struct InstallArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    results: ResultsArgs,
    /// Create it, or bring it up to date, by server-side apply [default: print the manifests]
    #[arg(long, help_heading = "Cluster")]
    apply: bool,
    /// With --apply, take over fields that another manager has set
    #[arg(long, requires = "apply", help_heading = "Cluster")]
    force_conflicts: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The format of the manifests
    #[arg(short, long, value_enum, default_value_t = ManifestFormat::Yaml, conflicts_with = "apply")]
    output: ManifestFormat,
}

/// What is installed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Installation")]
struct WhatArgs {
    /// The name of all objects; several installations in one cluster need several
    #[arg(long, default_value = NAME, value_parser = name)]
    name: String,
    /// The namespace in which it runs
    #[arg(short, long, value_name = "NAME", default_value = NAME, value_parser = namespace)]
    namespace: String,
    /// The namespace exists, and is not part of the installation
    #[arg(long)]
    no_namespace: bool,
    /// When it runs, as in crontab
    #[arg(long, value_name = "SCHEDULE", default_value = "17 2 * * *")]
    schedule: String,
    /// The time zone of the schedule; every API server knows UTC, and others if it has a list of them
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// How long a run may take until Kubernetes stops it; the run's own limit is --run-arg=--timeout=TIME
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    deadline: Duration,
    /// The image, made by `seaworthy image`; probe pods run it, too
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PROBE_IMAGE)]
    image: String,
    /// A Secret of the namespace with which nodes pull the image; repeatable
    #[arg(long = "image-pull-secret", value_name = "NAME")]
    image_pull_secrets: Vec<String>,
    /// A file for --run-arg, which the run sees in /etc/seaworthy; repeatable
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A Secret of the namespace for --run-arg, which the run sees in /secrets/NAME; repeatable
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
    /// An argument for `seaworthy run`, such as --run-arg=--max-qps=20; repeatable
    #[arg(long = "run-arg", value_name = "ARG", allow_hyphen_values = true)]
    run_args: Vec<String>,
    /// Use constrained impersonation of nodes, which permits nothing else (Kubernetes 1.36 and later)
    #[arg(long)]
    constrained_impersonation: bool,
}

/// Where results go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Results")]
struct ResultsArgs {
    /// Where results go beside the log of the pod
    #[arg(long, value_enum, default_value_t = ResultsKind::Log)]
    results: ResultsKind,
    /// Also keep the last report in this format in the volume, as /results/latest.FORMAT; repeatable
    #[arg(long = "report", value_enum, value_name = "FORMAT")]
    reports: Vec<Format>,
    /// The size of the volume
    #[arg(long, value_name = "QUANTITY", default_value = "1Gi", value_parser = quantity)]
    storage_size: String,
    /// The class of the volume; '' binds a volume without a class [default: the cluster's default class]
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,
    /// Use this existing claim of the namespace
    #[arg(long, value_name = "NAME", conflicts_with = "storage_class")]
    claim: Option<String>,
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ResultsKind {
    /// Nowhere else
    Log,
    /// A volume, with the event stream of every run in it, by date
    Pvc,
}

/// How manifests are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ManifestFormat {
    /// As YAML, for `kubectl apply -f -`
    Yaml,
    /// As a List in JSON
    Json,
}

/// Prints the manifests, or applies them.
pub async fn run(args: InstallArgs) -> Result<ExitCode, Failure> {
    let settings = settings(&args)?;
    if args.apply {
        return apply(&args, &settings).await;
    }
    let objects = install::objects(&settings);
    match args.output {
        ManifestFormat::Yaml => print(&yaml::documents(&objects))?,
        ManifestFormat::Json => print_json(&json!({ "apiVersion": "v1", "kind": "List", "items": objects }))?,
    }
    Ok(ExitCode::Seaworthy)
}

async fn apply(args: &InstallArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let cluster = args.connection.connect().await?;
    let mut unprinted = None;
    let report = |object: &install::Object, applied: Applied| {
        let what = match applied {
            Applied::Applied => "applied",
            Applied::LeftAlone => "it exists and is not of this installation: left as it is",
        };
        unprinted = unprinted.take().or(print(&format!("{}: {what}\n", object.title())).err());
    };
    install::apply(&cluster, settings, args.force_conflicts, report).await.map_err(|why| {
        let hint = match &why {
            Unobserved::Invalid { cause, .. } if cause.contains("conflict") => {
                "; --force-conflicts takes these fields over"
            }
            _ => "",
        };
        Failure::System(format!("{why}{hint}"))
    })?;
    if let Some(why) = unprinted {
        return Err(why.into());
    }
    let Settings { namespace, name, schedule, .. } = settings;
    let next = schedule.next(jiff::Timestamp::now()).map(|next| format!(" at {next}")).unwrap_or_default();
    print(&format!(
        "the next run begins{next}; to begin one now: kubectl create job -n {namespace} --from=cronjob/{name} {name}-now\n"
    ))?;
    Ok(ExitCode::Seaworthy)
}

fn settings(args: &InstallArgs) -> Result<Settings, Failure> {
    let WhatArgs { name, namespace, image, schedule, time_zone, .. } = &args.what;
    let (profile, checks) = args.choice.resolve()?;
    let plan = Plan::new(checks);
    let creates = plan.accesses().intersection(&profile.allow).any(|access| *access >= Access::Create);
    let kind = if args.what.constrained_impersonation { Impersonation::Constrained } else { Impersonation::Legacy };
    let schedule = Schedule::new(schedule, time_zone).map_err(Failure::Usage)?;
    let (config, profile_in_pod) = config(args)?;
    Ok(Settings {
        arguments: arguments(args, &profile_in_pod, creates)?,
        name: name.clone(),
        namespace: namespace.clone(),
        makes_namespace: !args.what.no_namespace,
        schedule,
        deadline_seconds: i64::try_from(args.what.deadline.as_secs()).unwrap_or(i64::MAX).max(1),
        image: image.clone(),
        pull_secrets: args.what.image_pull_secrets.clone(),
        permissions: Permissions::new(&plan.rules(&profile.allow), None, kind),
        config,
        secrets: args.what.secrets.iter().cloned().collect(),
        results: results(&args.results)?,
    })
}

fn results(args: &ResultsArgs) -> Result<Results, Failure> {
    match (args.results, &args.claim) {
        (ResultsKind::Log, None) if args.reports.is_empty() && args.storage_class.is_none() => Ok(Results::Log),
        (ResultsKind::Log, _) => {
            Err(Failure::Usage("--report, --storage-class and --claim are about a volume: add --results pvc".into()))
        }
        (ResultsKind::Pvc, Some(claim)) => Ok(Results::Volume(Storage::Existing(claim.clone()))),
        (ResultsKind::Pvc, None) => {
            Ok(Results::Volume(Storage::Claim { size: args.storage_size.clone(), class: args.storage_class.clone() }))
        }
    }
}

/// The files of the run by name, and the value of its --profile.
fn config(args: &InstallArgs) -> Result<(Config, String), Failure> {
    let mut config = Config::new();
    let mut add = |path: &Path, flag: &str| {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_key(name));
        let name = name.ok_or_else(|| {
            let path = path.display();
            Failure::Usage(format!(
                "{flag} {path}: its name cannot be a key of a ConfigMap: use letters, digits, '-', '_' and '.'"
            ))
        })?;
        let text = std::fs::read_to_string(path)
            .map_err(|why| Failure::Usage(format!("{flag} {}: it cannot be read as text: {why}", path.display())))?;
        if config.insert(name.to_owned(), text).is_some() {
            return Err(Failure::Usage(format!("{flag} {}: another file has the name {name}", path.display())));
        }
        Ok(format!("{CONFIG}/{name}"))
    };
    let profile = &args.choice.profile;
    let profile = if Profile::NAMES.contains(&profile.as_str()) {
        profile.clone()
    } else {
        add(Path::new(profile), "--profile")?
    };
    for file in &args.what.files {
        add(file, "--file")?;
    }
    Ok((config, profile))
}

/// The arguments of the program in the pod. What `seaworthy run` would refuse every night is refused now.
fn arguments(args: &InstallArgs, profile: &str, creates: bool) -> Result<Vec<String>, Failure> {
    let flag = |name: &str, value: &str| format!("--{name}={value}");
    let mut arguments = vec!["run".to_owned(), flag("profile", profile), "--exit-zero".into()];
    arguments.extend(args.choice.filter.select.iter().map(|pattern| flag("select", pattern)));
    arguments.extend(args.choice.filter.skip.iter().map(|pattern| flag("skip", pattern)));
    arguments.extend(args.choice.filter.fail_on.map(|gate| flag("fail-on", gate.name())));
    if creates {
        arguments.push(flag("probe-image", &args.what.image));
    }
    if args.results.results == ResultsKind::Pvc {
        arguments.push(flag("history", RESULTS));
        let reports = args.results.reports.iter().map(|format| format.name());
        arguments.extend(reports.map(|name| flag("report", &format!("{name}={RESULTS}/latest.{name}"))));
    }
    arguments.extend(args.what.run_args.iter().cloned());
    match Arguments::try_parse_from(std::iter::once("seaworthy").chain(arguments.iter().map(String::as_str))) {
        Ok(_) => Ok(arguments),
        Err(why) => {
            let text = why.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Err(Failure::Usage(format!("the arguments of the run, `{}`: {first}", arguments.join(" "))))
        }
    }
}

/// Parses the name of an installation.
fn name(text: &str) -> Result<String, String> {
    match namespace(text) {
        Ok(name) if name.len() <= LONGEST_NAME => Ok(name),
        _ => Err(format!("{text:?} is not a name: use at most {LONGEST_NAME} lowercase letters, digits and hyphens")),
    }
}

/// Parses a quantity of storage.
fn quantity(text: &str) -> Result<String, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_unit = ["", "Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T"].contains(&&text[number.len()..]);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_unit && is_number { Ok(text.into()) } else { Err(format!("{text:?} is not a size: write 1Gi or 500Mi")) }
}

/// Whether a ConfigMap may have this key.
fn is_key(name: &str) -> bool {
    name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_quantities_of_storage() {
        for right in ["1Gi", "500Mi", "1000", "2T"] {
            assert_eq!(quantity(right), Ok(right.to_owned()));
        }
        for wrong in ["", "Gi", "1 Gi", "-1Gi", "1.5Gi", "1gi", "much"] {
            assert!(quantity(wrong).unwrap_err().contains("is not a size"), "{wrong}");
        }
    }

    #[test]
    fn names_leave_room_for_what_kubernetes_appends() {
        assert_eq!(name(&"a".repeat(52)), Ok("a".repeat(52)));
        assert!(name(&"a".repeat(53)).unwrap_err().contains("at most 52"));
    }
}
