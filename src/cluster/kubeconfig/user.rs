//! The user of a kubeconfig, with its credential as client-go takes it.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::HeaderValue;
use jiff::Timestamp;
use kube::config::AuthInfo;
use secrecy::{ExposeSecret, SecretString};

use super::client_certificate::client_certificate;
use super::exec::exec;
use super::fields::Fields;
use super::files::{Entry, File, ReadFile};
use super::named_file;
use super::server::Login;
use crate::cluster::ClientCertificate;
use crate::jwt;

/// The user, or what is wrong with it, as far as that shows before a request. As in client-go, no credential is sent without
/// TLS.
pub(super) fn user(Entry { file, fields }: &Entry<'_>, is_tls: bool, read: ReadFile) -> Result<AuthInfo, String> {
    let token = fields.text("token")?;
    let username = fields.text("username")?;
    let password = fields.text("password")?;
    let token_file = fields.text("tokenFile")?.map(|path| file.resolve(&path));
    if (username.is_some() || password.is_some()) && token.is_some() || username.is_some() && token_file.is_some() {
        return Err("it has both a token and a username or password: keep one of them".into());
    }
    let certificate = certificate(*fields, file, is_tls, read)?;
    let plugin = fields.object("exec")?.map(|fields| exec(fields, file)).transpose()?;
    let provider = fields.object("auth-provider")?;
    if plugin.is_some() && provider.is_some() {
        return Err("it has both exec and auth-provider: remove auth-provider".into());
    }
    let mut user = impersonation(*fields)?;
    if is_tls {
        let id_token = provider.map(id_token).transpose()?;
        if let Some(certificate) = &certificate {
            user.client_certificate_data = Some(BASE64_STANDARD.encode(certificate.chain()));
            user.client_key_data = Some(BASE64_STANDARD.encode(certificate.expose_key()).into());
        }
        if let Some(name) = username {
            // A password without a name is not sent.
            (user.username, user.password) = (Some(name), Some(password.unwrap_or_default().into()));
        } else if let Some(path) = token_file {
            (user.token, user.token_file) = of_file(&path, token, read)?;
        } else if let Some(token) = token.or(id_token) {
            user.token = Some(token.into());
        } else if certificate.is_none() {
            user.exec = plugin;
        }
    }
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
        exec: None,
        ..user
    }
}

/// The client certificate with its key. As in client-go, a key without a certificate is ignored.
fn certificate(
    fields: Fields<'_>,
    file: &File,
    is_tls: bool,
    read: ReadFile,
) -> Result<Option<ClientCertificate>, String> {
    let mut found = Vec::new();
    for name in ["client-certificate", "client-key"] {
        let data_field = format!("{name}-data");
        let path = fields.text(name)?;
        let data = fields.bytes(&data_field);
        if found.is_empty() && path.is_none() && data == Ok(None) {
            return Ok(None);
        }
        found.push(match (path, data?) {
            (Some(_), Some(_)) => return Err(format!("it has both {name} and {data_field}: remove one of them")),
            (Some(path), None) => named_file(name, &file.resolve(&path), read)?,
            (None, Some(data)) => (data_field, data),
            (None, None) => {
                return Err(
                    "it has a client-certificate, and no client-key or client-key-data: add the certificate's key"
                        .into(),
                );
            }
        });
    }
    let [(certificate_field, certificate), (key_field, key)] = &*found else { return Ok(None) };
    if !is_tls {
        return Ok(None);
    }
    let [certificate_field, key_field] = [certificate_field, key_field].map(|field| format!("its {field}"));
    client_certificate((&certificate_field, certificate), (&key_field, key)).map(Some)
}

/// The token in a file, or the file itself if the client can read it again every minute, because the kubelet replaces tokens of
/// service accounts. As in client-go, a file takes precedence over `token` and is trimmed. If there is a `token`, an empty or
/// unreadable file counts as missing.
pub(super) fn of_file(
    path: &Path,
    token: Option<String>,
    read: ReadFile,
) -> Result<(Option<SecretString>, Option<String>), String> {
    let shown = path.display();
    let bytes = match read(path) {
        Ok(bytes) if !bytes.trim_ascii().is_empty() => bytes,
        _ if token.is_some() => return Ok((token.map(Into::into), None)),
        Ok(_) => return Err(format!("its tokenFile {shown} is empty")),
        Err(why) => return Err(format!("its tokenFile {shown} cannot be read: {why}")),
    };
    let text = String::from_utf8(bytes).map_err(|_| format!("its tokenFile {shown} is not text"))?;
    let token = text.trim();
    in_header(&format!("tokenFile {shown}"), token)?;
    Ok(match path.to_str() {
        Some(path) if token == text => (None, Some(path.to_owned())),
        _ => (Some(token.to_owned().into()), None),
    })
}

/// The token of an auth-provider. All but oidc were removed from kubectl.
fn id_token(provider: Fields<'_>) -> Result<String, String> {
    let name = provider.text("name")?.unwrap_or_default();
    if name != "oidc" {
        let plugin = match &*name {
            "gcp" => "gke-gcloud-auth-plugin",
            "azure" => "kubelogin",
            _ => "the credential plugin that replaced it",
        };
        return Err(format!(
            "its auth-provider {name} is not supported, as kubectl removed it: use exec with {plugin} instead"
        ));
    }
    let config = provider.object("config")?;
    let token = config.map(|config| config.text("id-token")).transpose()?.flatten();
    let token = token.ok_or(
        "its auth-provider oidc has no id-token, and seaworthy does not fetch one: log in with kubectl, or use exec with a \
         credential plugin",
    )?;
    in_header("auth-provider's id-token", &token)?;
    let expired = jwt::Parsed::read(&token).ok().and_then(|token| token.claims.expires());
    match expired.filter(|expires| *expires < Timestamp::now()) {
        Some(expired) => Err(format!(
            "its auth-provider oidc has an id-token that expired at {expired}, and seaworthy does not renew it: run any \
             kubectl command, which does, or use exec with a credential plugin"
        )),
        None => Ok(token),
    }
}

/// The identity to act as.
fn impersonation(fields: Fields<'_>) -> Result<AuthInfo, String> {
    let mut extra = Vec::new();
    if let Some(fields) = fields.object("as-user-extra")? {
        for (key, _) in fields.all() {
            extra.push((key.to_owned(), fields.texts(key)?));
        }
    }
    let user = AuthInfo {
        impersonate: fields.text("as")?,
        impersonate_uid: fields.text("as-uid")?,
        impersonate_groups: Some(fields.texts("as-groups")?).filter(|groups| !groups.is_empty()),
        impersonate_user_extra: Some(extra).filter(|extra| !extra.is_empty()).map(|extra| extra.into_iter().collect()),
        ..AuthInfo::default()
    };
    let has_more =
        user.impersonate_uid.is_some() || user.impersonate_groups.is_some() || user.impersonate_user_extra.is_some();
    if user.impersonate.is_none() && has_more {
        return Err("it has as-uid, as-groups or as-user-extra without as: add as, the user's name".into());
    }
    Ok(user)
}

/// Fails if something that is sent in a header cannot be.
fn headers(user: &AuthInfo) -> Result<(), String> {
    if let Some(token) = &user.token {
        in_header("token", token.expose_secret())?;
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
    use super::super::files::{Files, Kind};
    use super::*;

    fn user_of(yaml: &str, is_tls: bool) -> Result<AuthInfo, String> {
        let document = format!("users: [{{name: a, user: {yaml}}}]");
        let files = Files::new(vec![File::parse(Path::new("/etc/f"), document.as_bytes()).unwrap()]);
        user(&files.entry(Kind::User, "a").unwrap().unwrap(), is_tls, |path| std::fs::read(path))
    }

    fn read(yaml: &str) -> Result<AuthInfo, String> {
        user_of(yaml, true)
    }

    fn token(user: &AuthInfo) -> Option<&str> {
        user.token.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn what_no_header_can_carry_is_named_and_not_quoted() {
        for (yaml, says) in [
            ("{token: \"secret\\n\"}", "its token ends with a line break, which"),
            ("{token: \"secret\\r\\n\"}", "its token ends with a line break, which"),
            ("{token: \"a\\nsecret\"}", "its token contains a line break, which"),
            ("{token: \"\\0secret\"}", "its token contains a control character, which"),
            (
                "{auth-provider: {name: oidc, config: {id-token: \"secret\\n\"}}}",
                "its auth-provider's id-token ends with",
            ),
            ("{token: a, as: \"secret\\n\"}", "its as ends with"),
            ("{token: a, as: a, as-uid: \"secret\\n\"}", "its as-uid ends with"),
            ("{token: a, as: a, as-groups: [a, \"secret\\n\"]}", "its as-groups ends with"),
            ("{token: a, as: a, as-user-extra: {a: [\"secret\\n\"]}}", "its as-user-extra ends with"),
        ] {
            let why = read(yaml).unwrap_err();
            assert!(why.starts_with(says) && !why.contains("secret"), "{yaml}: {why}");
        }
        // A name and a password are encoded before they are sent.
        assert!(read("{username: \"a\\n\", password: \"b\\n\"}").is_ok());
    }

    #[test]
    fn the_credentials_have_an_order() {
        let plugin = "{command: p, apiVersion: client.authentication.k8s.io/v1beta1}";
        let both = read(&format!("{{token: a, exec: {plugin}}}")).unwrap();
        assert!(token(&both) == Some("a") && both.exec.is_none());
        assert!(read(&format!("{{password: a, exec: {plugin}}}")).unwrap().exec.is_some());
        let named = read(&format!("{{username: a, exec: {plugin}}}")).unwrap();
        assert!(named.exec.is_none() && named.password.unwrap().expose_secret().is_empty());
        let oidc = "auth-provider: {name: oidc, config: {id-token: b, refresh-token: null}}";
        assert_eq!(token(&read(&format!("{{token: a, {oidc}}}")).unwrap()), Some("a"));
        assert_eq!(token(&read(&format!("{{{oidc}}}")).unwrap()), Some("b"));
        assert!(read(&format!("{{exec: {plugin}, {oidc}}}")).unwrap_err().contains("remove auth-provider"));
        assert!(read("{username: a, token: b}").unwrap_err().contains("both a token and a username"));
    }

    #[test]
    fn nothing_secret_is_sent_without_tls() {
        let plain = user_of("{token: a, as: b, as-groups: [c]}", false).unwrap();
        assert!(plain.token.is_none() && plain.impersonate.as_deref() == Some("b"));
    }

    #[test]
    fn an_id_token_that_has_expired_is_not_sent() {
        // {"alg":"none"}.{"exp":1}
        let why = read("{auth-provider: {name: oidc, config: {id-token: eyJhbGciOiJub25lIn0.eyJleHAiOjF9.c2VjcmV0}}}");
        let why = why.unwrap_err();
        assert!(why.contains("expired at 1970-01-01T00:00:01Z") && !why.contains("eyJ"), "{why}");
    }

    #[test]
    fn a_lone_key_is_ignored_and_a_lone_certificate_is_not() {
        let read_key = read("{client-key-data: '-', client-key: /nowhere, token: a}").unwrap();
        assert!(read_key.client_key.is_none() && read_key.client_key_data.is_none());
        assert!(read("{client-certificate-data: AA==}").unwrap_err().contains("no client-key"));
        assert!(read("{client-certificate-data: AA==, client-certificate: a}").unwrap_err().contains("remove one"));
    }

    #[test]
    fn a_token_file_is_trimmed_and_comes_before_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let of_file = |text: &str, token: &str| {
            std::fs::write(&path, text).unwrap();
            read(&format!("{{tokenFile: {}, token: '{token}'}}", path.display()))
        };
        let of_line = of_file("of-file\n", "inline").unwrap();
        assert_eq!((token(&of_line), of_line.token_file.as_deref()), (Some("of-file"), None));
        let kept = of_file("of-file", "inline").unwrap();
        assert_eq!((token(&kept), kept.token_file.as_deref()), (None, path.to_str()));
        assert_eq!(token(&of_file("\n", "inline").unwrap()), Some("inline"));
        assert!(of_file("\n", "").unwrap_err().contains("is empty"));
        assert!(of_file("a\nb\n", "").unwrap_err().contains("contains a line break"));
        std::fs::remove_file(&path).unwrap();
        let missing = read(&format!("{{tokenFile: {}, token: inline}}", path.display())).unwrap();
        assert_eq!((token(&missing), missing.token_file.as_deref()), (Some("inline"), None));
    }
}
