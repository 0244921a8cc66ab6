//! Secrets as these projects write them, and as no one should.

use kube::config::ExecInteractiveMode;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "opaque-0815-token";

fn own() -> Kubeconfig {
    of_bytes("own", kubeconfig("https://own:6443", &json!({})).to_string().as_bytes()).unwrap()
}

fn kubeconfig(server: &str, user: &Value) -> Value {
    json!({
        "current-context": "admin@x", "contexts": [{ "name": "admin@x", "context": { "cluster": "x", "user": "admin" } }],
        "clusters": [{ "name": "x", "cluster": { "server": server } }], "users": [{ "name": "admin", "user": user }],
    })
}

fn secret(name: &str, labels: &[(&str, &str)], data: &[(&str, &[u8])]) -> Secret {
    let of = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut secret = Secret {
        type_: Some("cluster.x-k8s.io/secret".into()),
        data: Some(data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect()),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.into());
    secret.metadata.namespace = Some("fleet".into());
    secret.metadata.labels = Some(labels.iter().map(of).collect());
    secret
}

fn of_argocd(data: &[(&str, &[u8])]) -> Described {
    let secret = secret("cluster-a-1", &[("argocd.argoproj.io/secret-type", "cluster")], data);
    Writer::ArgoCd.read(secret, &own()).unwrap()
}

fn of_config(config: &Value) -> Result<Kubeconfig, String> {
    let config = config.to_string();
    let read = of_argocd(&[("name", b"prod"), ("server", b"https://a:6443/"), ("config", config.as_bytes())]);
    read.kubeconfig.map_err(|why| why.to_string())
}

fn of_cluster_api(name: &str, value: &[u8]) -> Option<Described> {
    let secret = secret(name, &[("cluster.x-k8s.io/cluster-name", "prod")], &[("value", value)]);
    Writer::ClusterApi.read(secret, &own())
}

#[test]
fn a_secret_of_cluster_api_holds_a_kubeconfig() {
    let value = kubeconfig("https://a:6443", &json!({ "token": TOKEN })).to_string();
    let read = of_cluster_api("prod-kubeconfig", value.as_bytes()).unwrap();
    assert_eq!(read.names, ["prod", "fleet/prod", "fleet/prod-kubeconfig"]);
    let kubeconfig = read.kubeconfig.unwrap();
    assert_eq!((kubeconfig.context.as_str(), kubeconfig.origin.as_str()), ("admin@x", "Secret fleet/prod-kubeconfig"));
    assert_eq!(kubeconfig.config.auth_info.token.unwrap().expose_secret(), TOKEN);
    for other in ["prod-ca", "prod-user-kubeconfig", "kubeconfig", "other-kubeconfig"] {
        assert!(of_cluster_api(other, value.as_bytes()).is_none(), "{other}");
    }
    let of_another_type = Secret { type_: Some("Opaque".into()), ..secret("prod-kubeconfig", &[], &[]) };
    assert!(Writer::ClusterApi.read(of_another_type, &own()).is_none());
}

#[test]
fn a_secret_of_argocd_says_what_a_kubeconfig_says() {
    let kubeconfig = of_config(&json!({
        "bearerToken": TOKEN, "tlsClientConfig": { "insecure": true, "serverName": "b" }, "unknown": [1],
        "proxyUrl": "http://proxy:3128", "disableCompression": true,
    }));
    let kubeconfig = kubeconfig.unwrap();
    let config = &kubeconfig.config;
    assert_eq!((kubeconfig.context.as_str(), kubeconfig.origin.as_str()), ("prod", "Secret fleet/cluster-a-1"));
    assert_eq!(config.cluster_url.to_string(), "https://a:6443/");
    assert_eq!(config.auth_info.token.as_ref().unwrap().expose_secret(), TOKEN);
    assert_eq!((config.tls_server_name.as_deref(), config.accept_invalid_certs), (Some("b"), true));
    assert!(config.proxy_url.is_some() && config.disable_compression);
    let basic =
        of_config(&json!({ "username": "a", "password": TOKEN, "tlsClientConfig": { "insecure": false } })).unwrap();
    assert_eq!(basic.config.auth_info.password.unwrap().expose_secret(), TOKEN);
}

#[test]
fn a_program_of_argocd_is_known_and_asks_no_one() {
    let exec = json!({ "command": "aws", "args": ["a"], "env": { "B": "c" }, "apiVersion": "client.authentication.k8s.io/v1" });
    let kubeconfig = of_config(&json!({ "execProviderConfig": exec, "bearerToken": TOKEN })).unwrap();
    assert_eq!(kubeconfig.plugin(), Some("aws"));
    let exec = kubeconfig.config.auth_info.exec.unwrap();
    assert_eq!((exec.args, exec.interactive_mode), (Some(vec!["a".into()]), Some(ExecInteractiveMode::Never)));
    assert!(kubeconfig.config.auth_info.token.is_none());
    let aws = of_config(&json!({ "awsAuthConfig": { "clusterName": "x", "roleARN": "arn:y" } })).unwrap();
    let exec = aws.config.auth_info.exec.unwrap();
    assert_eq!(exec.command.as_deref(), Some("argocd-k8s-auth"));
    assert_eq!(exec.args.unwrap(), ["aws", "--cluster-name", "x", "--role-arn", "arn:y"]);
}

#[test]
fn the_cluster_of_argocd_itself_is_the_management_cluster() {
    let read = of_argocd(&[("name", b"in-cluster"), ("server", b"https://kubernetes.default.svc"), ("config", b"{}")]);
    let kubeconfig = read.kubeconfig.unwrap();
    assert_eq!(kubeconfig.config.cluster_url.to_string(), "https://own:6443/");
    assert_eq!(kubeconfig.context, "in-cluster");
}

#[test]
fn a_secret_names_no_file_of_this_machine() {
    for field in ["tokenFile", "client-certificate"] {
        let value = kubeconfig("https://a:6443", &json!({ field: "/etc/hostname" })).to_string();
        let why = of_cluster_api("prod-kubeconfig", value.as_bytes()).unwrap().kubeconfig.err().unwrap().to_string();
        assert!(why.contains("a Secret may not name files of this machine"), "{why}");
    }
}

#[test]
fn an_error_names_the_secret_and_never_its_content() {
    for (data, says) in [
        (
            vec![("server", &b"https://a"[..]), ("config", b"{\"bearerToken\": {\"a\": \"opaque-0815-token\"}}")],
            "is not JSON",
        ),
        (vec![("server", b"https://a"), ("config", b"opaque-0815-token")], "is not JSON as Argo CD writes it (line 1,"),
        (
            vec![("server", b"https://a"), ("config", b"{\"tlsClientConfig\":{\"insecure\":\"opaque-0815-token\"}}")],
            "is not JSON",
        ),
        (vec![("config", b"{\"bearerToken\":\"opaque-0815-token\"}")], "it has no field server"),
        (vec![("server", b"https://admin:opaque-0815-token@:6443")], "names no host"),
        (
            vec![("server", b"https://a"), ("config", b"{\"tlsClientConfig\":{\"caData\":\"opaque-0815-token\"}}")],
            "its certificate-authority-data",
        ),
        (
            vec![("server", b"https://a"), ("config", b"{\"bearerToken\":\"opaque-0815-token\\n\"}")],
            "its token ends with a",
        ),
    ] {
        let why = of_argocd(&data).kubeconfig.err().unwrap().to_string();
        assert!(why.contains("Secret fleet/cluster-a-1") && why.contains(says) && !why.contains("0815"), "{why}");
    }
    for value in [&b"opaque-0815-token"[..], b"\xff\xfeopaque", b"users: [{name: opaque-0815-token", b"", b"{}"] {
        let why = of_cluster_api("prod-kubeconfig", value).unwrap().kubeconfig.err().unwrap().to_string();
        assert!(why.contains("Secret fleet/prod-kubeconfig") && !why.contains("0815"), "{why}");
    }
}

proptest! {
    #[test]
    fn foreign_bytes_are_an_error_or_a_kubeconfig(bytes in prop::collection::vec(any::<u8>(), 0..200), server in ".{0,40}") {
        let data = [("server", server.as_bytes()), ("name", &bytes), ("config", &bytes)];
        let read = of_argocd(&data);
        prop_assert!(read.kubeconfig.is_ok() || !read.origin.is_empty());
        let named = of_cluster_api("prod-kubeconfig", &bytes).unwrap();
        if let Err(why) = named.kubeconfig {
            prop_assert!(why.to_string().contains("Secret fleet/prod-kubeconfig"));
        }
    }

    /// A document of the right form in which any text is in any place.
    #[test]
    fn a_token_anywhere_is_never_quoted(place in 0_usize..9, prefix in "[ -~]{0,6}") {
        let token = json!(format!("{prefix}{TOKEN}"));
        let mut config = json!({ "tlsClientConfig": {}, "execProviderConfig": null });
        let fields = ["username", "password", "bearerToken", "awsAuthConfig", "execProviderConfig", "disableCompression"];
        match fields.get(place) {
            Some(field) => config[field] = token,
            None => config["tlsClientConfig"][["insecure", "caData", "keyData"][place - fields.len()]] = token,
        }
        if let Err(why) = of_config(&config) {
            prop_assert!(!why.contains("0815") && why.contains("Secret fleet/cluster-a-1"), "{}", why);
        }
    }
}
