//! Whether a name in a certificate covers a name that was dialled, by the rules of Go's
//! `crypto/x509`.
//!
//! Go's rules and not another library's, because the clients of a cluster are written in Go:
//! kubectl, the kubelet, every controller.
//!
//! Source: `validHostname` and `matchHostnames` in <https://go.dev/src/crypto/x509/verify.go>.

/// Whether the DNS name `pattern` of a certificate covers `host`.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    if !is_host(host) || !is_pattern(pattern) {
        return same(pattern, host);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let (mut patterns, mut labels) = (pattern.split('.'), host.split('.'));
    let (Some(first_pattern), Some(first_label)) = (patterns.next(), labels.next()) else {
        return false;
    };
    (first_pattern == "*" || first_pattern.eq_ignore_ascii_case(first_label))
        && patterns.map(str::to_ascii_lowercase).eq(labels.map(str::to_ascii_lowercase))
}

/// What does not look like a host name matches only itself: Go keeps that for names such as `etcd
/// cluster`.
fn same(pattern: &str, host: &str) -> bool {
    !matches!(pattern, "" | ".") && pattern.eq_ignore_ascii_case(host)
}

fn is_host(name: &str) -> bool {
    is_valid(name.strip_suffix('.').unwrap_or(name), false)
}

fn is_pattern(name: &str) -> bool {
    is_valid(name, true)
}

fn is_valid(name: &str, wildcard: bool) -> bool {
    name != "*"
        && name.split('.').enumerate().all(|(at, label)| {
            (wildcard && at == 0 && label == "*")
                || (!label.is_empty()
                    && !label.starts_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
        })
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn names_match_whatever_their_case() {
        assert!(covers("kubernetes.default.svc", "kubernetes.default.svc"));
        assert!(covers("Kubernetes.Default", "kubernetes.dEFAULT"));
        assert!(!covers("kubernetes", "kubernetes.default"));
        assert!(!covers("kubernetes.default", "kubernetes"));
    }

    #[test]
    fn a_dialled_name_may_end_in_a_dot() {
        assert!(covers("a.example", "a.example."));
        assert!(!covers("a.example.", "a.example"));
    }

    #[test]
    fn one_wildcard_stands_for_exactly_the_first_label() {
        assert!(covers("*.example", "a.example"));
        assert!(!covers("*.example", "example"));
        assert!(!covers("*.example", "a.b.example"));
        assert!(!covers("a.*.example", "a.b.example"));
        assert!(!covers("a*.example", "ab.example"));
        assert!(!covers("*.*.example", "a.b.example"));
        assert!(!covers("*", "a"));
    }

    #[test]
    fn what_is_not_a_host_name_matches_only_itself() {
        assert!(covers("etcd cluster", "ETCD cluster"));
        assert!(!covers("", ""));
        assert!(!covers(".", "."));
        assert!(!covers("*.a b", "x.a b"));
    }
}
