//! The CronJob, whose pod is as restricted as Pod Security knows it.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, LocalObjectReference, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::objects::metadata;
use super::{CONFIG, RESULTS, Settings};

/// What an audit takes on a cluster of 100 nodes: a peak of 50 MiB and 0.8 s of CPU. Measured by `tests/scale`, whose README has
/// the table.
const REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "64Mi")];
/// What it takes on a cluster of 5,000 nodes: a peak of 287 MiB and 42 s of CPU within 76 s, with a third more. A run that is
/// throttled would miss its own deadlines.
const LIMITS: [(&str, &str); 2] = [("cpu", "1"), ("memory", "384Mi")];

/// The user of the image, which has no other files than the program.
const USER: i64 = 65534;
/// How late a run may begin: when the controller-manager was down at its time.
const STARTING_DEADLINE: i64 = 60 * 60;
/// How many runs of each outcome are kept, with their logs.
const KEPT_RUNS: i32 = 3;
/// How long they are kept at most: a week.
const KEPT_SECONDS: i32 = 7 * 24 * 60 * 60;

pub(super) fn cron_job(settings: &Settings) -> CronJob {
    let job = JobSpec {
        // A run that failed is not repeated: its failure is a result.
        backoff_limit: Some(0),
        active_deadline_seconds: Some(settings.deadline_seconds),
        ttl_seconds_after_finished: Some(KEPT_SECONDS),
        template: PodTemplateSpec { metadata: Some(labelled(settings)), spec: Some(pod(settings)) },
        ..JobSpec::default()
    };
    let spec = CronJobSpec {
        schedule: settings.schedule.text().to_owned(),
        time_zone: Some(settings.schedule.time_zone().to_owned()),
        concurrency_policy: Some("Forbid".into()),
        starting_deadline_seconds: Some(STARTING_DEADLINE),
        successful_jobs_history_limit: Some(KEPT_RUNS),
        failed_jobs_history_limit: Some(KEPT_RUNS),
        job_template: JobTemplateSpec { metadata: Some(labelled(settings)), spec: Some(job) },
        ..CronJobSpec::default()
    };
    CronJob { metadata: metadata(settings), spec, ..CronJob::default() }
}

/// Jobs and pods get their names from Kubernetes.
fn labelled(settings: &Settings) -> ObjectMeta {
    ObjectMeta { labels: Some(settings.labels()), ..ObjectMeta::default() }
}

fn pod(settings: &Settings) -> PodSpec {
    let secrets = settings.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    let (volumes, mounts): (Vec<_>, Vec<_>) = volumes(settings).into_iter().unzip();
    PodSpec {
        service_account_name: Some(settings.name.clone()),
        automount_service_account_token: Some(true),
        restart_policy: Some("Never".into()),
        // Addresses of Services come from DNS and the API, not from variables.
        enable_service_links: Some(false),
        image_pull_secrets: some(secrets.collect()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            // The volume of results belongs to it.
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(settings, mounts)],
        volumes: some(volumes),
        ..PodSpec::default()
    }
}

fn container(settings: &Settings, mounts: Vec<VolumeMount>) -> Container {
    Container {
        name: "seaworthy".into(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(settings.arguments.clone()),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(REQUESTS)),
            limits: Some(quantities(LIMITS)),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        volume_mounts: some(mounts),
        ..Container::default()
    }
}

/// The volumes, each with where the container sees it.
fn volumes(settings: &Settings) -> Vec<(Volume, VolumeMount)> {
    let mounted = |volume: Volume, path: String, read_only: bool| {
        let mount = VolumeMount {
            name: volume.name.clone(),
            mount_path: path,
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        };
        (volume, mount)
    };
    let mut volumes = Vec::new();
    if !settings.config.is_empty() {
        let source = ConfigMapVolumeSource { name: settings.name.clone(), ..ConfigMapVolumeSource::default() };
        let volume = Volume { name: "config".into(), config_map: Some(source), ..Volume::default() };
        volumes.push(mounted(volume, CONFIG.into(), true));
    }
    if let Some(claim) = settings.claim() {
        let source = PersistentVolumeClaimVolumeSource { claim_name: claim.into(), ..Default::default() };
        let volume = Volume { name: "results".into(), persistent_volume_claim: Some(source), ..Volume::default() };
        volumes.push(mounted(volume, RESULTS.into(), false));
    }
    for (number, secret) in settings.secrets.iter().enumerate() {
        let source = SecretVolumeSource { secret_name: Some(secret.clone()), ..SecretVolumeSource::default() };
        let volume = Volume { name: format!("secret-{number}"), secret: Some(source), ..Volume::default() };
        volumes.push(mounted(volume, format!("/secrets/{secret}"), true));
    }
    volumes
}

fn quantities(of: [(&str, &str); 2]) -> BTreeMap<String, Quantity> {
    of.map(|(resource, quantity)| (resource.to_owned(), Quantity(quantity.to_owned()))).into()
}

/// A list, unless it is empty.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
