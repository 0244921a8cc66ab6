//! The pod of a probe on a node, as it is sent.

use std::path::Path;

use serde_json::{Value, json};

use super::HostQuestions;
use crate::probe::object::{Mark, Placed, Work, container};
use crate::probe::question;

impl Work for HostQuestions {
    /// It has the node's network, and its containers see the directories that they are asked about, read-only. Its user is
    /// root, because keys and kubeconfigs belong to root alone, but without any capability.
    fn pod(&self, placed: &Placed<'_>, mark: &Mark<'_>) -> serde_json::Result<Value> {
        let directories = self.mounts();
        let volume =
            |path: &Path| format!("directory-{}", directories.keys().position(|known| *known == path).unwrap_or(0));
        // Of the type Directory, so that one which is not there is not made.
        let volumes: Vec<_> = directories
            .keys()
            .map(|path| json!({ "name": volume(path), "hostPath": { "path": path, "type": "Directory" } }))
            .collect();
        let mut containers = Vec::new();
        for (name, questions) in self.by_container() {
            let mounts: Vec<_> = questions
                .mounts()
                .into_iter()
                .map(|(path, seen)| {
                    // What is mounted below a directory is read-only too, where the runtime can do that.
                    let recursive = "IfPossible";
                    json!({
                        "name": volume(path),
                        "mountPath": seen,
                        "readOnly": true,
                        "recursiveReadOnly": recursive,
                    })
                })
                .collect();
            let asked = json!([{ "name": question::VARIABLE, "value": serde_json::to_string(&questions)? }]);
            containers.push(container(name, placed.image, "host", asked, json!(mounts)));
        }
        let mut pod = placed.restricted_pod(mark, &containers);
        pod["spec"]["hostNetwork"] = true.into();
        pod["spec"]["dnsPolicy"] = "Default".into();
        pod["spec"]["securityContext"] =
            json!({ "runAsUser": 0, "runAsGroup": 0, "seccompProfile": { "type": "RuntimeDefault" } });
        pod["spec"]["volumes"] = json!(volumes);
        Ok(pod)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::live::RunId;
    use crate::probe::host::question::{Directory, Excerpt};
    use crate::probe::object::Level;

    #[test]
    fn a_probe_on_a_node_may_look_and_do_nothing() {
        let run: RunId = serde_json::from_str("\"x7f4k\"").unwrap();
        let mark = Mark { run: &run, level: Level::Privileged, expires: Timestamp::UNIX_EPOCH, owner: None };
        let questions = HostQuestions {
            directories: vec![Directory { path: "/etc/kubernetes".into(), recursive: true }],
            gets: vec![Excerpt::new("http://127.0.0.1:2381/metrics", &[])],
            services: vec!["kubelet".into()],
            ..HostQuestions::default()
        };
        let placed = Placed { name: "p", node: "n1", image: "i", lifetime_seconds: 60 };
        let pod = questions.pod(&placed, &mark).unwrap();
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 60);
        assert_eq!(pod["spec"]["serviceAccountName"], "seaworthy-x7f4k-host");
        assert_eq!(pod["spec"]["volumes"][0]["hostPath"]["type"], "Directory");
        let containers = pod["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 2);
        assert_eq!(containers[0]["volumeMounts"][0]["readOnly"], true);
        assert_eq!(containers[0]["volumeMounts"].as_array().map(Vec::len), Some(1));
        assert_eq!(containers[1]["volumeMounts"].as_array().map(Vec::len), Some(1));
        assert_eq!(containers[1]["volumeMounts"][0]["mountPath"], "/control-groups");
        for container in containers {
            assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert!(container["securityContext"]["privileged"].is_null());
        }
    }
}
