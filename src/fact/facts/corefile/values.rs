//! The values of plugins' arguments, as Go reads them.

use std::net::IpAddr;

use super::surroundings::is_unknown;

/// The longest pattern that CoreDNS takes.
const LONGEST_PATTERN: usize = 10_000;

/// The form of an argument.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// Anything.
    Any,
    /// A whole number within these bounds.
    Number(i64, i64),
    /// A number that is not negative.
    Rate,
    /// A duration as `5s` or `1m30s`, within these seconds.
    Duration(f64, f64),
    /// An address and a port, of which the address may be left out.
    HostAndPort,
    /// An IP address.
    Address,
    /// An IP address, perhaps with a port.
    AddressOrPort,
    /// A range of addresses.
    Range,
    /// A regular expression.
    Pattern,
    /// A type of record.
    Type,
    /// A response code of DNS.
    Code,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Any duration.
pub(super) const ANY_DURATION: Value = Value::Duration(f64::MIN, f64::MAX);
/// A duration that is not negative.
pub(super) const NOT_NEGATIVE: Value = Value::Duration(0.0, f64::MAX);
/// Any whole number.
pub(super) const ANY_NUMBER: Value = Value::Number(i64::MIN, i64::MAX);
/// A whole number that is not negative.
pub(super) const COUNT: Value = Value::Number(0, i64::MAX);
/// A whole number of 32 bits that is not negative.
pub(super) const COUNT_32: Value = Value::Number(0, 4_294_967_295);

impl Value {
    /// What the form requires, if a word does not have it. A word that contains a value that is not known has any form.
    pub(super) fn refusal(self, word: &str) -> Option<String> {
        if is_unknown(word) || self.takes(word) {
            return None;
        }
        Some(match self {
            Self::Any => return None,
            Self::Number(least, most) => match (least, most) {
                (i64::MIN, _) => "a whole number".into(),
                (least, i64::MAX) => format!("a whole number from {least}"),
                (least, most) => format!("a whole number from {least} to {most}"),
            },
            Self::Rate => "a number from 0".into(),
            Self::Duration(least, most) => match duration(word) {
                Some(seconds) if seconds < least => format!("at least {least} s"),
                Some(_) => format!("at most {most} s"),
                None => "a duration such as 5s".into(),
            },
            Self::HostAndPort => "an address with a port, such as :8080".into(),
            Self::Address => "an IP address".into(),
            Self::AddressOrPort => "an IP address, perhaps with a port".into(),
            Self::Range => "a range of addresses such as 10.0.0.0/8".into(),
            Self::Pattern => "a regular expression".into(),
            Self::Type => "a type of record such as AAAA".into(),
            Self::Code => "a response code such as NXDOMAIN".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
        })
    }

    fn takes(self, word: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Number(least, most) => number(word).is_some_and(|number| (least..=most).contains(&number)),
            Self::Rate => word.parse::<f64>().is_ok_and(|rate| rate >= 0.0),
            Self::Duration(least, most) => duration(word).is_some_and(|seconds| (least..=most).contains(&seconds)),
            Self::HostAndPort => host_and_port(word).is_some(),
            Self::Address => word.parse::<IpAddr>().is_ok(),
            Self::AddressOrPort => host_and_port(word).map_or(word, |(host, _)| host).parse::<IpAddr>().is_ok(),
            Self::Range => range(word).is_some(),
            Self::Pattern => pattern(word).is_some(),
            Self::Type => TYPES.contains(&word),
            Self::Code => CODES.iter().any(|code| code.eq_ignore_ascii_case(word)),
            Self::Word(words) => words.contains(&word),
        }
    }
}

/// The response codes of DNS.
const CODES: [&str; 21] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "NOTIMPL",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "BADSIG",
    "BADVERS",
    "BADKEY",
    "BADTIME",
    "BADMODE",
    "BADNAME",
    "BADALG",
    "BADTRUNC",
    "BADCOOKIE",
];

/// The classes of DNS.
pub(super) const CLASSES: [&str; 6] = ["IN", "CS", "CH", "HS", "NONE", "ANY"];

/// The types of records.
pub(super) const TYPES: [&str; 95] = [
    "A",
    "AAAA",
    "AFSDB",
    "AMTRELAY",
    "ANY",
    "APL",
    "ATMA",
    "AVC",
    "AXFR",
    "CAA",
    "CDNSKEY",
    "CDS",
    "CERT",
    "CNAME",
    "CSYNC",
    "DHCID",
    "DLV",
    "DNAME",
    "DNSKEY",
    "DS",
    "EID",
    "EUI48",
    "EUI64",
    "GID",
    "GPOS",
    "HINFO",
    "HIP",
    "HTTPS",
    "IPSECKEY",
    "ISDN",
    "IXFR",
    "KEY",
    "KX",
    "L32",
    "L64",
    "LOC",
    "LP",
    "MAILA",
    "MAILB",
    "MB",
    "MD",
    "MF",
    "MG",
    "MINFO",
    "MR",
    "MX",
    "NAPTR",
    "NID",
    "NIMLOC",
    "NINFO",
    "NS",
    "NSAP-PTR",
    "NSEC",
    "NSEC3",
    "NSEC3PARAM",
    "NULL",
    "NXNAME",
    "NXT",
    "None",
    "OPENPGPKEY",
    "OPT",
    "PTR",
    "PX",
    "RESINFO",
    "RKEY",
    "RP",
    "RRSIG",
    "RT",
    "Reserved",
    "SIG",
    "SMIMEA",
    "SOA",
    "SPF",
    "SRV",
    "SSHFP",
    "SVCB",
    "TA",
    "TALINK",
    "TKEY",
    "TLSA",
    "TSIG",
    "TXT",
    "UID",
    "UINFO",
    "UNSPEC",
    "URI",
    "X25",
    "ZONEMD",
    "DOA",
    "WALLET",
    "CLA",
    "IPN",
    "NSAP",
    "SINK",
    "A6",
];

/// A whole number, as `strconv.Atoi` reads it.
pub(super) fn number(word: &str) -> Option<i64> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    word.strip_prefix('+').unwrap_or(word).parse().ok().filter(|_| is_number)
}

/// A duration in seconds, as `time.ParseDuration` reads it.
pub(super) fn duration(word: &str) -> Option<f64> {
    let (sign, mut rest) = match word.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let amount: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += amount * unit;
        rest = &rest[end..];
    }
    // Nanoseconds in 63 bits.
    (seconds < 9_223_372_036.0).then_some(sign * seconds)
}

/// A host and a port, as `net.SplitHostPort` splits them; both may be empty.
pub(super) fn host_and_port(word: &str) -> Option<(&str, &str)> {
    if let Some(rest) = word.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':')?;
        return (!port.contains([':', '[', ']']) && !host.contains(['[', ']'])).then_some((host, port));
    }
    let (host, port) = word.rsplit_once(':')?;
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

/// A range of addresses, as `net.ParseCIDR` reads it.
pub(super) fn range(word: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = word.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let is_number = !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit());
    let length: u8 = length.parse().ok().filter(|_| is_number)?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// How many groups a regular expression has, if it is one.
pub(super) fn pattern(word: &str) -> Option<usize> {
    if word.len() > LONGEST_PATTERN {
        return None;
    }
    // Go's syntax has some more: classes of Unicode and quoted parts. Those are taken as they are.
    if [r"\p", r"\P", r"\Q"].iter().any(|more| word.contains(more)) {
        return Some(usize::MAX);
    }
    let read = |word: &str| regex::bytes::RegexBuilder::new(word).unicode(false).size_limit(1 << 24).build().ok();
    let read = read(word).or_else(|| read(&literal_braces(word)));
    read.map(|pattern| pattern.captures_len() - 1)
}

/// To Go a brace that begins no repetition is a letter.
fn literal_braces(word: &str) -> String {
    let mut all = String::new();
    let mut escaped = false;
    for (at, letter) in word.char_indices() {
        let repeats = || {
            let bounds = word[at + 1..].split_once('}').map_or("", |(bounds, _)| bounds);
            let (least, most) = bounds.split_once(',').unwrap_or((bounds, ""));
            let is_number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
            !least.is_empty() && is_number(least) && is_number(most)
        };
        if letter == '{' && !escaped && !repeats() {
            all.push('\\');
        }
        escaped = letter == '\\' && !escaped;
        all.push(letter);
    }
    all
}

/// Whether DNS can carry a name, as `dns.IsDomainName` decides.
pub(super) fn is_domain_name(name: &str) -> bool {
    if name == "." {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = || name.split('.');
    !name.is_empty()
        && !name.ends_with('\\')
        && name.len() <= 254
        && labels().all(|label| !label.is_empty() && label.len() <= 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (word, seconds) in [("5s", 5.0), ("1m30s", 90.0), ("0", 0.0), ("-2s", -2.0), ("1.5h", 5400.0), (".5s", 0.5)]
        {
            assert_eq!(duration(word), Some(seconds), "{word}");
        }
        for word in ["5", "", "s", "5 s", "5d", "5s1"] {
            assert_eq!(duration(word), None, "{word}");
        }
    }

    #[test]
    fn addresses_are_split_as_go_splits_them() {
        assert_eq!(host_and_port(":8080"), Some(("", "8080")));
        assert_eq!(host_and_port("[::1]:53"), Some(("::1", "53")));
        for word in ["8080", "::1", "[::1]", "a:b:c"] {
            assert_eq!(host_and_port(word), None, "{word}");
        }
    }

    #[test]
    fn patterns_are_those_of_go() {
        for (word, groups) in
            [(r"(.*)\.a\.(b|c)$", Some(2)), (r"^[\w-]{1,3}\d+$", Some(0)), ("{{a}}", Some(0)), ("(", None)]
        {
            assert_eq!(pattern(word), groups, "{word}");
        }
    }

    #[test]
    fn names_fit_into_dns() {
        assert!(is_domain_name(".") && is_domain_name("a.b.") && is_domain_name("}"));
        assert!(!is_domain_name("") && !is_domain_name("a..b") && !is_domain_name(".a") && !is_domain_name("\\"));
    }

    #[test]
    fn a_refusal_states_what_is_right_and_an_unknown_value_may_be_it() {
        assert_eq!(Value::Number(0, 3600).refusal("4000").as_deref(), Some("a whole number from 0 to 3600"));
        assert_eq!(Value::Number(0, 3600).refusal("{$TTL}"), None);
        assert_eq!(Value::Code.refusal("nxdomain"), None);
    }
}
