//! Distinguished names as strings.

use x509_parser::{
    asn1_rs::ToDer,
    x509::{AttributeTypeAndValue, X509Name},
};

use super::der::hex;

/// The object identifiers that have a short name: those of RFC 4514, section 3.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// The name as RFC 4514 writes it: the most specific part first, as in
/// `CN=kube-apiserver-kubelet-client,O=system:masters`.
///
/// Control characters are escaped too, which the RFC allows: the string goes to terminals and logs.
pub(super) fn render(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let key = SHORT_NAMES.iter().find(|(long, _)| *long == oid).map_or(oid.as_str(), |(_, short)| short);
    match attribute.as_str() {
        Ok(value) => format!("{key}={}", escape(value)),
        // A value that is not a string that we read is written as the hex of its encoding (RFC 4514,
        // 2.4).
        Err(_) => format!("{key}=#{}", hex(&attribute.attr_value().to_der_vec().unwrap_or_default())),
    }
}

fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (at, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', character]),
            '#' if at == 0 => escaped.push_str("\\#"),
            ' ' if at == 0 || at == last => escaped.push_str("\\ "),
            _ if character.is_control() => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    escaped.push('\\');
                    escaped.push_str(&hex(&[byte]));
                }
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_the_grammar_and_a_terminal_would_read() {
        assert_eq!(escape("system:node:n1"), "system:node:n1");
        assert_eq!(escape(" a, b "), "\\ a\\, b\\ ");
        assert_eq!(escape("#1"), "\\#1");
        assert_eq!(escape("\u{1b}[2J"), "\\1b[2J");
        assert_eq!(escape("ü"), "ü");
        assert_eq!(escape(""), "");
    }
}
