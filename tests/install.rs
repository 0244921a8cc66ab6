//! What `seaworthy install` prints, and that the chart and the kustomize base are the same.
//!
//! `SNAPSHOTS=overwrite cargo test --test install` writes what is generated of these again. `scripts/install-test.sh` builds the
//! real Helm and compares with it: `HELM=FILE KUBECTL=FILE cargo test --test install -- --include-ignored`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use snapbox::{Assert, Data};

const PROGRAM: &str = env!("CARGO_BIN_EXE_seaworthy");
/// A profile that needs few permissions.
const PROFILE: &str = "about: |\n  Mine: 'x'\nallow: [read]\nselect: [PK-02]\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn seaworthy(args: &[&str]) -> Output {
    // No kubeconfig of the developer's: nothing here may reach a cluster.
    let mut command = Command::new(PROGRAM);
    command.args(args).env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere").env_remove("KUBERNETES_SERVICE_HOST");
    command.output().unwrap()
}

/// What a command printed that succeeded.
#[track_caller]
fn output(done: Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[track_caller]
fn refused(args: &[&str], says: &str) {
    let done = seaworthy(&[&["install"], args].concat());
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{err}");
    assert!(err.contains(says), "{err} does not say {says}");
    assert!(done.stdout.is_empty());
}

/// The objects that an installation with these flags consists of.
#[track_caller]
fn objects(args: &[&str]) -> Vec<Value> {
    let text = output(seaworthy(&[&["install", "--output", "json"], args].concat()));
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["kind"].as_str().unwrap()).collect()
}

fn container(objects: &[Value]) -> &Value {
    &of_kind(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

/// The documents of a text in YAML.
fn documents(text: &str) -> Vec<Value> {
    let mut bytes = text.as_bytes();
    let read: Result<Vec<Value>, _> = serde_saphyr::read(&mut bytes).collect();
    read.unwrap().into_iter().filter(|document| !document.is_null()).collect()
}

#[test]
fn yaml_and_json_are_the_same_objects() {
    let args = ["install", "--profile", "post-install", "--results", "pvc", "--report", "json"];
    assert_eq!(documents(&output(seaworthy(&args))), objects(&args[1..]));
}

/// The type leaves out what it does not know: nothing may be missing after it.
fn known<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(typed).unwrap()
}

#[test]
fn every_object_is_in_the_order_in_which_it_can_be_applied_and_of_its_kind() {
    let (_folder, profile) = file("mine.yaml", PROFILE);
    let objects = objects(&["--profile", &profile, "--results", "pvc"]);
    let before = ["Namespace", "ServiceAccount"];
    let after = ["ConfigMap", "PersistentVolumeClaim", "CronJob"];
    assert!(kinds(&objects).starts_with(&before) && kinds(&objects).ends_with(&after), "{:?}", kinds(&objects));
    for object in &objects {
        let known = match object["kind"].as_str().unwrap() {
            "Namespace" => known::<Namespace>(object),
            "ServiceAccount" => known::<ServiceAccount>(object),
            "ClusterRole" => known::<ClusterRole>(object),
            "Role" => known::<Role>(object),
            "ClusterRoleBinding" => known::<ClusterRoleBinding>(object),
            "RoleBinding" => known::<RoleBinding>(object),
            "ConfigMap" => known::<ConfigMap>(object),
            "PersistentVolumeClaim" => known::<PersistentVolumeClaim>(object),
            "CronJob" => known::<CronJob>(object),
            other => panic!("{other}"),
        };
        assert_eq!(*object, known);
        assert_eq!(object["metadata"]["labels"]["seaworthy.dev/installation"], "seaworthy", "{object}");
    }
    assert_eq!(of_kind(&objects, "ConfigMap")["data"], json!({ "mine.yaml": PROFILE }));
}

#[test]
fn the_rights_are_those_that_rbac_prints() {
    for profile in ["audit", "post-install", "ci"] {
        let installed = objects(&["--profile", profile, "--namespace", "ops", "--name", "nightly"]);
        let subject = "ServiceAccount:ops/nightly";
        let mut printed = documents(&output(seaworthy(&["rbac", "--profile", profile, "--subject", subject])));
        let mut rights: Vec<Value> = installed
            .into_iter()
            .filter(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1")
            .map(|mut object| {
                object["metadata"].as_object_mut().unwrap().remove("labels");
                object
            })
            .collect();
        for object in &mut printed {
            object["metadata"]["name"] = "nightly".into();
            if object["roleRef"].is_object() {
                object["roleRef"]["name"] = "nightly".into();
            }
        }
        assert!(rights.len() > 3);
        let key = |object: &Value| (object["kind"].to_string(), object["metadata"].to_string());
        rights.sort_by_key(key);
        printed.sort_by_key(key);
        assert_eq!(rights, printed, "{profile}");
    }
}

#[test]
fn the_cron_job_neither_overlaps_nor_repeats_and_has_no_power_over_its_node() {
    let objects = objects(&[]);
    let CronJob { spec, .. } = serde_json::from_value(of_kind(&objects, "CronJob").clone()).unwrap();
    assert_eq!((spec.schedule.as_str(), spec.time_zone.as_deref()), ("17 2 * * *", Some("UTC")));
    assert_eq!(spec.concurrency_policy.as_deref(), Some("Forbid"));
    assert_eq!(spec.starting_deadline_seconds, Some(3600));
    assert_eq!((spec.successful_jobs_history_limit, spec.failed_jobs_history_limit), (Some(3), Some(3)));
    let job = spec.job_template.spec.unwrap();
    assert_eq!((job.backoff_limit, job.active_deadline_seconds), (Some(0), Some(900)));
    assert_eq!(job.ttl_seconds_after_finished, Some(604_800));
    let pod = job.template.spec.unwrap();
    assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
    assert!(pod.volumes.is_none() && pod.host_network.is_none());
    let of_pod = pod.security_context.unwrap();
    assert_eq!((of_pod.run_as_non_root, of_pod.run_as_user), (Some(true), Some(65534)));
    assert_eq!(of_pod.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let [container] = &pod.containers[..] else { panic!("{:?}", pod.containers) };
    assert_eq!(container.args.as_deref().unwrap(), ["run", "--profile=audit", "--exit-zero"]);
    let security = container.security_context.clone().unwrap();
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
    let resources = container.resources.clone().unwrap();
    assert_eq!(resources.requests.unwrap()["memory"].0, "64Mi");
    assert_eq!(resources.limits.unwrap()["memory"].0, "384Mi");
    let labels = &of_kind(&objects, "Namespace")["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn results_go_to_a_volume_that_is_asked_for() {
    let made = objects(&["--results", "pvc", "--storage-size", "5Gi", "--storage-class", "", "--report", "junit"]);
    let claim = &of_kind(&made, "PersistentVolumeClaim")["spec"];
    assert_eq!((&claim["resources"]["requests"]["storage"], &claim["storageClassName"]), (&json!("5Gi"), &json!("")));
    let args = ["run", "--profile=audit", "--exit-zero", "--history=/results", "--report=junit=/results/latest.junit"];
    assert_eq!(container(&made)["args"], json!(args));
    assert_eq!(container(&made)["volumeMounts"], json!([{ "name": "results", "mountPath": "/results" }]));
    let existing = objects(&["--results", "pvc", "--claim", "mine"]);
    assert!(!kinds(&existing).contains(&"PersistentVolumeClaim"));
    let pod = &of_kind(&existing, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "mine");
    let default = objects(&["--results", "pvc"]);
    assert!(of_kind(&default, "PersistentVolumeClaim")["spec"].get("storageClassName").is_none());
}

#[test]
fn the_run_gets_the_checks_the_files_and_the_arguments_that_are_named() {
    let (_folder, extra) = file("sites.yaml", "a: 1\n");
    let flags = ["--select", "PK-02,DN-*", "--skip", "DN-01", "--fail-on", "major", "--run-arg=--max-qps=20"];
    let more = ["--file", &extra, "--secret", "push", "--profile", "post-install", "--image", "registry.example/s:1"];
    let objects = objects(&[&flags[..], &more, &["--no-namespace"]].concat());
    assert!(!kinds(&objects).contains(&"Namespace"));
    let args = [
        "run",
        "--profile=post-install",
        "--exit-zero",
        "--select=PK-02,DN-*",
        "--skip=DN-01",
        "--fail-on=major",
        "--probe-image=registry.example/s:1",
        "--max-qps=20",
    ];
    assert_eq!(container(&objects)["args"], json!(args));
    assert_eq!(of_kind(&objects, "ConfigMap")["data"], json!({ "sites.yaml": "a: 1\n" }));
    let mounts: Vec<_> =
        container(&objects)["volumeMounts"].as_array().unwrap().iter().map(|m| &m["mountPath"]).collect();
    assert_eq!(mounts, ["/etc/seaworthy", "/secrets/push"]);
}

#[test]
fn what_would_fail_every_night_is_refused_now() {
    refused(
        &["--run-arg=--no-such-flag"],
        "the arguments of the run, `run --profile=audit --exit-zero --no-such-flag`",
    );
    refused(&["--run-arg=--timeout=soon"], "\"soon\" is not a duration");
    refused(&["--schedule", "nightly"], "\"nightly\" is not a schedule: write five fields");
    refused(&["--time-zone", "Local"], "\"Local\" is not a time zone");
    refused(&["--name", "Seaworthy"], "is not a name");
    refused(&["--profile", "/nowhere/mine.yaml"], "/nowhere/mine.yaml: cannot read the profile");
    refused(&["--file", "/nowhere/a.yaml"], "--file /nowhere/a.yaml: it cannot be read as text");
    refused(&["--report", "junit"], "add --results pvc");
    refused(&["--claim", "mine"], "add --results pvc");
    refused(&["--results", "pvc", "--storage-size", "much"], "is not a size");
    refused(&["--force-conflicts"], "--apply");
    let (_a, first) = file("a.yaml", "");
    let (_b, second) = file("a.yaml", "");
    refused(&["--file", &first, "--file", &second], "another file has the name a.yaml");
    let (_c, odd) = file("a b.yaml", "");
    refused(&["--file", &odd], "its name cannot be a key of a ConfigMap");
}

#[test]
fn without_a_cluster_nothing_is_applied_removed_or_shown() {
    for args in [&["install", "--apply"][..], &["uninstall", "--yes"], &["status"]] {
        let done = seaworthy(args);
        let err = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(3) && err.lines().count() == 1 && done.stdout.is_empty(), "{args:?}: {err}");
    }
}

/// Findings are no failure of the run; all else still is.
#[test]
fn exit_zero_hides_findings_and_nothing_else() {
    let code = |args: &[&str]| seaworthy(args).status.code();
    assert_eq!(code(&["run", "--example"]), Some(1));
    assert_eq!(code(&["run", "--example", "--exit-zero"]), Some(0));
    assert_eq!(code(&["run", "--exit-zero"]), Some(3));
    assert_eq!(code(&["run", "--exit-zero", "--profile", "audits"]), Some(2));
}

#[test]
fn a_run_that_cannot_begin_is_in_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let done = seaworthy(&["run", "--select", "PK-02", "--history", history.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let files: Vec<_> = fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [stream] = &files[..] else { panic!("{files:?}") };
    let verdicts = output(seaworthy(&["report", stream.to_str().unwrap(), "--output", "json"]));
    let verdicts: Value = serde_json::from_str(&verdicts).unwrap();
    assert_eq!(verdicts["exit_code"], 3, "{verdicts}");
    assert!(verdicts["failed"].as_str().unwrap().contains("no kubeconfig"), "{verdicts}");
}

#[test]
fn as_a_plugin_of_kubectl_it_behaves_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-seaworthy");
    std::os::unix::fs::symlink(PROGRAM, &plugin).unwrap();
    let run = |program: &Path, args: &[&str]| output(Command::new(program).args(args).output().unwrap());
    for args in [&["--help"][..], &["run", "--help"], &["install", "--help"]] {
        let (own, of_plugin) = (run(Path::new(PROGRAM), args), run(&plugin, args));
        let usage = |text: &str| text.lines().find(|line| line.starts_with("Usage: ")).unwrap().to_owned();
        assert!(usage(&of_plugin).starts_with("Usage: kubectl seaworthy "), "{of_plugin}");
        assert_eq!(usage(&of_plugin), usage(&own).replace("seaworthy", "kubectl seaworthy"));
    }
    assert_eq!(run(&plugin, &["list", "PK-02"]), run(Path::new(PROGRAM), &["list", "PK-02"]));
    let completion = folder.path().join("kubectl_complete-seaworthy");
    std::os::unix::fs::symlink(PROGRAM, &completion).unwrap();
    assert_eq!(run(&completion, &["run", "--profile", "po"]), "post-install\n:4\n");
}

#[test]
fn the_kustomize_base_is_current() {
    let path = root().join("deploy/kustomize/seaworthy.yaml");
    Assert::new().action_env("SNAPSHOTS").eq(output(seaworthy(&["install"])), Data::read_from(&path, None).raw());
}

#[test]
fn the_permissions_of_the_chart_are_current() {
    for profile in ["audit", "post-install", "ci"] {
        let objects = objects(&["--profile", profile]);
        let roles = objects.iter().filter(|object| object["rules"].is_array());
        let permissions: Vec<Value> = roles
            .map(|role| {
                let mut place = json!({ "rules": role["rules"] });
                if let Some(namespace) = role["metadata"].get("namespace") {
                    place["namespace"] = namespace.clone();
                }
                place
            })
            .collect();
        let text = format!(
            "# Written by the program: SNAPSHOTS=overwrite cargo test --test install\n{}",
            serde_saphyr::to_string(&json!({ "permissions": permissions })).unwrap()
        );
        let path = root().join(format!("charts/seaworthy/files/{profile}.yaml"));
        Assert::new().action_env("SNAPSHOTS").eq(text, Data::read_from(&path, None).raw());
    }
}

#[test]
fn the_chart_has_the_version_of_the_program_and_its_schema_takes_its_values() {
    let read = |name: &str| fs::read_to_string(root().join("charts/seaworthy").join(name)).unwrap();
    let chart = documents(&read("Chart.yaml")).remove(0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((chart["version"].as_str(), chart["appVersion"].as_str()), (Some(version), Some(version)));
    let schema = serde_json::from_str(&read("values.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let values = documents(&read("values.yaml")).remove(0);
    schema.validate(&values).unwrap();
    for (wrong, at) in [(json!("other"), "profile"), (json!("nightly"), "schedule"), (json!(true), "unknown")] {
        let mut values = values.clone();
        values[at] = wrong;
        assert!(!schema.is_valid(&values), "{at}");
    }
}

/// The arguments that a snippet for a CI system gives to the program, with its parameters filled in.
fn arguments_in(snippet: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/ci").join(snippet)).unwrap();
    if let Some((_, rest)) = text.split_once("seaworthy run ") {
        let end = rest.find(['\'', '\n']).unwrap();
        return rest[..end].split_whitespace().map(str::to_owned).collect();
    }
    let document = documents(&text).remove(0);
    let args = ["/spec/steps/0/args", "/spec/workflowSpec/templates/0/container/args"];
    let args = args.iter().find_map(|path| document.pointer(path)).unwrap().as_array().unwrap();
    let filled = |arg: &Value| arg.as_str().unwrap().replace("$(params.profile)", "audit");
    let args: Vec<_> = args.iter().map(filled).collect();
    assert_eq!(args[0], "run");
    args[1..].to_vec()
}

#[test]
fn the_snippets_for_ci_systems_run_the_program_as_it_can_be_run() {
    for snippet in ["gitlab.yml", "Jenkinsfile", "tekton.yaml", "argo.yaml"] {
        let arguments = arguments_in(snippet);
        assert!(arguments.iter().any(|argument| argument.contains("--junit")), "{snippet}: {arguments:?}");
        // An installation refuses what `run` would refuse.
        let passed: Vec<String> = arguments
            .iter()
            .filter(|argument| !argument.starts_with("--profile"))
            .filter(|argument| *argument != "ci")
            .map(|argument| format!("--run-arg={argument}"))
            .collect();
        let passed: Vec<&str> = passed.iter().map(String::as_str).collect();
        assert!(container(&objects(&passed))["args"].as_array().unwrap().len() > 3, "{snippet}");
    }
}

fn tool(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} names no program: scripts/install-test.sh sets it"))
}

/// Objects by kind, namespace and name, without the labels of Helm.
fn comparable(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let of = |mut object: Value| {
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.retain(|key, value| key != "helm.sh/chart" && !(key.ends_with("managed-by") && value == "Helm"));
        }
        let metadata = &object["metadata"];
        (format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"]), object)
    };
    objects.into_iter().map(of).collect()
}

/// Each is the same installation, as flags of the program and as values of the chart.
fn installations(profile: &str) -> [(Vec<&str>, Vec<String>); 5] {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let pvc =
        ["--results", "pvc", "--report", "json", "--report", "junit", "--storage-class", "", "--storage-size", "2Gi"];
    [
        (vec![], vec![]),
        (
            vec!["--profile", "post-install", "--image", "r.example/s:v1"],
            values(&["profile=post-install", "image.repository=r.example/s", "image.tag=v1"]),
        ),
        (
            pvc.to_vec(),
            values(&[
                "history.enabled=true",
                "history.reports={json,junit}",
                "history.storageClass=",
                "history.size=2Gi",
            ]),
        ),
        (
            vec![
                "--profile",
                "ci",
                "--results",
                "pvc",
                "--claim",
                "mine",
                "--secret",
                "b",
                "--secret",
                "a",
                "--image-pull-secret",
                "p",
                "--run-arg=--jobs=4",
                "--schedule",
                "@weekly",
                "--time-zone",
                "Europe/Berlin",
                "--deadline",
                "30m",
            ],
            values(&[
                "profile=ci",
                "history.enabled=true",
                "history.existingClaim=mine",
                "secrets={b,a}",
                "imagePullSecrets={p}",
                "runArgs={--jobs=4}",
                "schedule=@weekly",
                "timeZone=Europe/Berlin",
                "deadlineSeconds=1800",
            ]),
        ),
        (vec!["--file", profile], vec![format!("--set-file=files.mine\\.yaml={profile}")]),
    ]
}

#[test]
#[ignore = "needs helm: scripts/install-test.sh builds it"]
fn helm_makes_what_install_prints() {
    let chart = root().join("charts/seaworthy");
    let (_folder, profile) = file("mine.yaml", PROFILE);
    let helm = |args: &[&str]| output(Command::new(tool("HELM")).args(args).arg(&chart).output().unwrap());
    let linted = helm(&["lint", "--strict"]);
    assert!(linted.contains("0 chart(s) failed"), "{linted}");
    for (flags, values) in installations(&profile) {
        let mut args = vec!["template", "seaworthy", "--namespace", "seaworthy", "--kube-version", "1.37.0"];
        args.extend(["--set", "namespace.create=true"]);
        for value in &values {
            if value.starts_with("--") { args.push(value) } else { args.extend(["--set", value]) }
        }
        let made = comparable(documents(&helm(&args)));
        let mut printed = comparable(objects(&flags));
        assert!(printed.len() > 5);
        for (object, value) in &mut printed {
            assert_eq!(made.get(object), Some(&*value), "{flags:?}: {object}");
        }
        assert_eq!(made.len(), printed.len(), "{flags:?}: {:?}", made.keys());
    }
    // Which rights a profile of one's own needs is known to the program alone: the chart gives it those of a built-in one.
    let own = format!("profileFile.content={profile}");
    let of_file = ["--set", "profileFile.name=mine.yaml", "--set-file", &own];
    let made = documents(&helm(
        &[&["template", "seaworthy", "-n", "seaworthy", "--kube-version", "1.37.0"], &of_file[..]].concat(),
    ));
    let (made, printed) = (comparable(made), comparable(objects(&["--profile", &profile])));
    for object in
        printed.keys().filter(|object| ["\"ConfigMap", "\"CronJob"].iter().any(|kind| object.starts_with(kind)))
    {
        assert_eq!(made.get(object), printed.get(object), "{object}");
    }
    let refused =
        Command::new(tool("HELM")).args(["template", "a", "--set", "profile=other"]).arg(&chart).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("values don't meet"), "{refused:?}");
}

#[test]
#[ignore = "needs kubectl: scripts/install-test.sh names it"]
fn kustomize_makes_what_install_prints() {
    let base: PathBuf = root().join("deploy/kustomize");
    let made = output(Command::new(tool("KUBECTL")).arg("kustomize").arg(base).output().unwrap());
    assert_eq!(comparable(documents(&made)), comparable(objects(&[])));
}
