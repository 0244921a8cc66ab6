//! What a target gets.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use reqwest::{Method, Url};

use super::alerts;
use super::target::{Kind, Target};
use crate::report::{Format, Gathered};

/// A request that carries a verdict.
#[derive(Clone, Debug)]
pub struct Message {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// The verdict of this run for this target.
    pub fn new(target: &Target, run: &Gathered) -> Self {
        let url = target.url.clone();
        match target.kind {
            Kind::Webhook => {
                Self { method: Method::POST, url, content_type: "application/json", body: report(Format::Json, run) }
            }
            Kind::Alertmanager => Self {
                method: Method::POST,
                url: below(url, &["api", "v2", "alerts"]),
                content_type: "application/json",
                body: alerts::of(run),
            },
            // PUT replaces the whole group: what an earlier run had found does not stay beside what this one has.
            Kind::Pushgateway => Self {
                method: Method::PUT,
                url: below(url, &["metrics", "job", "seaworthy", "cluster@base64", &cluster(run)]),
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: report(Format::OpenMetrics, run),
            },
        }
    }
}

/// A report as it is in its file.
fn report(format: Format, run: &Gathered) -> Vec<u8> {
    let mut body = Vec::new();
    let write = format.writer().expect("the formats that are sent are written as a whole");
    write(run, &mut body).expect("memory takes everything");
    body
}

/// The cluster's name, which may have slashes, as a Pushgateway takes it.
fn cluster(run: &Gathered) -> String {
    let name = run.started.as_ref().map_or("", |started| started.cluster.name.as_str());
    if name.is_empty() { "=".into() } else { BASE64_URL_SAFE_NO_PAD.encode(name) }
}

fn below(mut url: Url, path: &[&str]) -> Url {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::event::{Event, RunStarted};
    use crate::report::testing::events;

    fn run(cluster: &str) -> Gathered {
        let mut run = Gathered::default();
        for mut event in events() {
            if let Event::RunStarted(RunStarted { cluster: summary, .. }) = &mut event {
                summary.name = cluster.into();
            }
            run.event(&event);
        }
        run
    }

    fn url(target: &str, cluster: &str) -> String {
        let target = Target::parse(&SecretString::from(target.to_owned())).unwrap();
        Message::new(&target, &run(cluster)).url.to_string()
    }

    #[test]
    fn each_target_is_asked_at_the_path_of_its_api() {
        assert_eq!(url("https://a/hook?k=v", "bed"), "https://a/hook?k=v");
        assert_eq!(url("alertmanager+http://a/prefix/", "bed"), "http://a/prefix/api/v2/alerts");
        assert_eq!(url("pushgateway+http://a", "bed"), "http://a/metrics/job/seaworthy/cluster@base64/YmVk");
        assert_eq!(url("pushgateway+http://a", "a/b ?"), "http://a/metrics/job/seaworthy/cluster@base64/YS9iID8");
        assert_eq!(url("pushgateway+http://a", ""), "http://a/metrics/job/seaworthy/cluster@base64/=");
    }
}
