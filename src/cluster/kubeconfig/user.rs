//! The user of a kubeconfig, with its credential as client-go takes it.

use std::fs;

use http::HeaderValue;
use kube::config::AuthInfo;
use secrecy::{ExposeSecret, SecretString};

use super::server::Login;
use super::{readable, without_line_breaks};

/// The user as client-go reads it, or what is wrong with it, as far as that shows before a request.
pub(super) fn usable(mut user: AuthInfo) -> Result<AuthInfo, String> {
    unset_empty(&mut user);
    supported(&user)?;
    certificate(&mut user)?;
    if (user.username.is_some() || user.password.is_some()) && user.token.is_some() {
        return Err("it has both a token and a username or password: keep one of them".into());
    }
    match user.username {
        // A password without a name is not sent.
        None => user.password = None,
        Some(_) => _ = user.password.get_or_insert_with(|| SecretString::from("")),
    }
    token_file(&mut user)?;
    headers(&user)?;
    Ok(user)
}

/// The same user with the name and password from the server's URL, which take precedence over other credentials in headers.
pub(super) fn logged_in(user: AuthInfo, Login { name, password }: Login) -> AuthInfo {
    AuthInfo {
        username: Some(name),
        password: Some(password.into()),
        token: None,
        token_file: None,
        auth_provider: None,
        exec: None,
        ..user
    }
}

/// As in client-go, an empty text counts as unset.
fn unset_empty(user: &mut AuthInfo) {
    let AuthInfo { username, token_file, client_certificate, client_certificate_data, client_key, .. } = user;
    for text in [username, token_file, client_certificate, client_certificate_data, client_key] {
        text.take_if(|text| text.is_empty());
    }
    for text in [&mut user.impersonate, &mut user.impersonate_uid] {
        text.take_if(|text| text.is_empty());
    }
    for secret in [&mut user.password, &mut user.token, &mut user.client_key_data] {
        secret.take_if(|secret| secret.expose_secret().is_empty());
    }
}

fn supported(user: &AuthInfo) -> Result<(), String> {
    if let Some(provider) = &user.auth_provider {
        let has_token = provider.config.get("id-token").is_some_and(|token| !token.is_empty());
        if provider.name != "oidc" {
            let name = &provider.name;
            return Err(format!(
                "its auth-provider {name} is not supported: use exec with the credential plugin that replaced it"
            ));
        }
        if !has_token {
            return Err("its auth-provider oidc has no id-token, and seaworthy does not fetch one: log in with \
                        kubectl, or use exec with a credential plugin"
                .into());
        }
    }
    if user.exec.as_ref().is_some_and(|exec| exec.command.as_ref().is_none_or(String::is_empty)) {
        return Err("its exec names no command".into());
    }
    Ok(())
}

/// A key without a certificate is ignored, as kubectl does.
fn certificate(user: &mut AuthInfo) -> Result<(), String> {
    let has_key = user.client_key.is_some() || user.client_key_data.is_some();
    if user.client_certificate.is_none() && user.client_certificate_data.is_none() {
        (user.client_key, user.client_key_data) = (None, None);
    } else if !has_key {
        return Err("it has a client-certificate, and no client-key or client-key-data".into());
    }
    user.client_certificate_data =
        user.client_certificate_data.as_deref().map(|it| without_line_breaks(it).into_owned());
    user.client_key_data =
        user.client_key_data.as_ref().map(|key| without_line_breaks(key.expose_secret()).into_owned().into());
    let file = |path: &Option<String>, is_unused: bool| path.clone().filter(|_| !is_unused);
    readable("client-certificate", file(&user.client_certificate, user.client_certificate_data.is_some()).as_deref())?;
    readable("client-key", file(&user.client_key, user.client_key_data.is_some()).as_deref())
}

/// As in client-go, a file takes precedence over `token` and is trimmed. If there is a `token`, an empty or unreadable file
/// counts as missing.
fn token_file(user: &mut AuthInfo) -> Result<(), String> {
    let Some(path) = &user.token_file else { return Ok(()) };
    let text = match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text,
        _ if user.token.is_some() => {
            user.token_file = None;
            return Ok(());
        }
        Ok(_) => return Err(format!("its tokenFile {path} is empty")),
        Err(why) => return Err(format!("its tokenFile {path} cannot be read: {why}")),
    };
    let token = text.trim();
    in_header(&format!("tokenFile {path}"), token)?;
    if token == text {
        // The client reads it again every minute, because the kubelet replaces tokens of service accounts.
        user.token = None;
    } else {
        user.token = Some(token.to_owned().into());
        user.token_file = None;
    }
    Ok(())
}

/// Fails if something that is sent in a header cannot be.
fn headers(user: &AuthInfo) -> Result<(), String> {
    if let Some(token) = &user.token {
        in_header("token", token.expose_secret())?;
    }
    if let Some(token) = user.auth_provider.as_ref().and_then(|provider| provider.config.get("id-token")) {
        in_header("auth-provider's id-token", token)?;
    }
    let texts =
        |field, texts: Option<&Vec<String>>| texts.into_iter().flatten().try_for_each(|text| in_header(field, text));
    in_header("as", user.impersonate.as_deref().unwrap_or_default())?;
    in_header("as-uid", user.impersonate_uid.as_deref().unwrap_or_default())?;
    texts("as-groups", user.impersonate_groups.as_ref())?;
    user.impersonate_user_extra
        .iter()
        .flat_map(|extra| extra.values())
        .try_for_each(|values| texts("as-user-extra", Some(values)))
}

fn in_header(field: &str, value: &str) -> Result<(), String> {
    match unfit_for_header(value) {
        Some(what) => Err(format!("its {field} {what}, which an HTTP header cannot carry: remove it")),
        None => Ok(()),
    }
}

/// Why a text cannot be the value of an HTTP header. The text may be secret and is not quoted.
pub(in crate::cluster) fn unfit_for_header(value: &str) -> Option<&'static str> {
    let fits = |value: &str| HeaderValue::from_str(value).is_ok();
    if fits(value) {
        None
    } else if fits(value.trim_end_matches(['\r', '\n'])) {
        Some("ends with a line break")
    } else if value.contains(['\r', '\n']) {
        Some("contains a line break")
    } else {
        Some("contains a control character")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(yaml: &str) -> Result<AuthInfo, String> {
        usable(serde_saphyr::from_str(yaml).unwrap())
    }

    fn token(user: &AuthInfo) -> Option<&str> {
        user.token.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn what_no_header_can_carry_is_named_and_not_quoted() {
        for (yaml, says) in [
            ("token: |\n  secret", "its token ends with a line break, which"),
            ("token: \"secret\\r\\n\"", "its token ends with a line break, which"),
            ("token: |\n  a\n  secret", "its token contains a line break, which"),
            ("token: \"\\0secret\"", "its token contains a control character, which"),
            (
                "auth-provider: {name: oidc, config: {id-token: \"secret\\n\"}}",
                "its auth-provider's id-token ends with",
            ),
            ("{token: a, as: \"secret\\n\"}", "its as ends with"),
            ("{token: a, as-uid: \"secret\\n\"}", "its as-uid ends with"),
            ("{token: a, as-groups: [a, \"secret\\n\"]}", "its as-groups ends with"),
            ("{token: a, as-user-extra: {a: [\"secret\\n\"]}}", "its as-user-extra ends with"),
        ] {
            let why = user(yaml).unwrap_err();
            assert!(why.starts_with(says) && !why.contains("secret"), "{yaml}: {why}");
        }
        // A name and a password are encoded before they are sent.
        assert!(user("{username: \"a\\n\", password: \"b\\n\"}").is_ok());
    }

    #[test]
    fn empty_texts_are_none() {
        let read = user(
            "{token: a, username: '', password: '', client-certificate: '', client-certificate-data: '', client-key: '', \
             client-key-data: '', tokenFile: '', as: ''}",
        )
        .unwrap();
        assert_eq!(token(&read), Some("a"));
        assert!(read.username.is_none() && read.password.is_none() && read.token_file.is_none());
        assert!(read.client_certificate_data.is_none() && read.client_key_data.is_none() && read.impersonate.is_none());
    }

    #[test]
    fn a_name_without_a_password_has_an_empty_one_and_a_password_alone_is_not_sent() {
        assert_eq!(user("username: a").unwrap().password.unwrap().expose_secret(), "");
        assert!(user("password: a").unwrap().password.is_none());
        assert!(user("{username: a, token: b}").unwrap_err().contains("both a token and a username"));
    }

    #[test]
    fn a_lone_key_is_ignored_and_a_lone_certificate_is_not() {
        let read = user("{client-key-data: '-', client-key: /nowhere, token: a}").unwrap();
        assert!(read.client_key.is_none() && read.client_key_data.is_none());
        assert!(user("client-certificate-data: AA==").unwrap_err().contains("no client-key"));
    }

    #[test]
    fn line_breaks_in_base64_are_skipped() {
        let read = user("{client-certificate-data: \"A\\r\\nA=\\n=\\n\", client-key-data: \"AA=\\n=\"}").unwrap();
        assert_eq!(read.client_certificate_data.as_deref(), Some("AA=="));
        assert_eq!(read.client_key_data.unwrap().expose_secret(), "AA==");
    }

    #[test]
    fn a_token_file_is_trimmed_and_comes_before_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str, token: &str| {
            fs::write(&path, text).unwrap();
            user(&format!("{{tokenFile: {}, token: '{token}'}}", path.display()))
        };
        let of_line = read("of-file\n", "inline").unwrap();
        assert_eq!((token(&of_line), of_line.token_file.as_deref()), (Some("of-file"), None));
        let kept = read("of-file", "inline").unwrap();
        assert_eq!((token(&kept), kept.token_file.as_deref()), (None, path.to_str()));
        assert_eq!(token(&read("\n", "inline").unwrap()), Some("inline"));
        assert!(read("\n", "").unwrap_err().contains("is empty"));
        assert!(read("a\nb\n", "").unwrap_err().contains("contains a line break"));
        fs::remove_file(&path).unwrap();
        let missing = user(&format!("{{tokenFile: {}, token: inline}}", path.display())).unwrap();
        assert_eq!((token(&missing), missing.token_file.as_deref()), (Some("inline"), None));
    }
}
