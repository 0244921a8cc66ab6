//! The rules of the plugin rewrite.

use super::surroundings::is_unknown;
use super::values::{CLASSES, TYPES, Value, number, pattern};

/// How a rule compares names.
const WAYS: [&str; 5] = ["exact", "prefix", "suffix", "substring", "regex"];

/// What is refused in a rule.
pub(super) fn rule(words: &[&str]) -> Result<(), String> {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|given| given.eq_ignore_ascii_case(word));
    let words = if is(0, "continue") || is(0, "stop") { &words[1..] } else { words };
    let [kind, arguments @ ..] = words else { return Err("it names no kind of rule".into()) };
    if words.iter().any(|word| is_unknown(word)) {
        return Ok(());
    }
    match kind.to_lowercase().as_str() {
        "name" => name(arguments),
        "class" => pair(arguments, &CLASSES),
        "type" => pair(arguments, &TYPES),
        "ttl" => ttl(arguments),
        "cname" => cname(arguments),
        "rcode" => code(arguments),
        "edns0" => edns0(arguments),
        "answer" => Err("a rule about answers begins with one about names".into()),
        kind => Err(format!("it has no rules of kind {kind}")),
    }
}

fn way(word: &str) -> Result<String, String> {
    let word = word.to_lowercase();
    if WAYS.contains(&word.as_str()) { Ok(word) } else { Err(format!("{word} should be one of {}", WAYS.join(", "))) }
}

fn name(arguments: &[&str]) -> Result<(), String> {
    let (way, from, to, answers) = match arguments {
        [from, to] => ("exact".to_owned(), *from, *to, &[][..]),
        [word, from, to, answers @ ..] => (way(word)?, *from, *to, answers),
        _ => return Err("a rule about names needs two of them".into()),
    };
    match way.as_str() {
        "regex" => groups(from, to)?,
        // CoreDNS reads them as patterns, the other way round.
        "exact" => groups(to, from)?,
        _ => {}
    }
    if answers.is_empty() { Ok(()) } else { answer(answers) }
}

/// Whether a replacement uses more groups than its pattern has.
fn groups(from: &str, to: &str) -> Result<(), String> {
    let groups = pattern(from).ok_or_else(|| format!("{from} is not a regular expression"))?;
    let used = (0..=100).filter(|group| to.contains(&format!("{{{group}}}"))).count();
    if used > groups { Err(format!("{to} uses more groups than {from} has")) } else { Ok(()) }
}

fn answer(words: &[&str]) -> Result<(), String> {
    if words.len() < 2 || words[0] != "answer" {
        return Err("what follows the names should begin with `answer`".into());
    }
    let (mut auto, mut names) = (false, false);
    let mut rest = words.iter().copied().peekable();
    while rest.peek().is_some() {
        rest.next_if_eq(&"answer");
        match rest.next() {
            Some("auto") => auto = true,
            Some(kind @ ("name" | "value")) => {
                names |= kind == "name";
                let (Some(from), Some(to)) = (rest.next(), rest.next()) else {
                    return Err(format!("`answer {kind}` needs two names"));
                };
                groups(from, to)?;
            }
            _ => return Err("`answer` should be followed by auto, name or value".into()),
        }
    }
    if auto && names { Err("`answer auto` and `answer name` exclude each other".into()) } else { Ok(()) }
}

fn pair(arguments: &[&str], known: &[&str]) -> Result<(), String> {
    let is_known = |word: &&str| known.iter().any(|known| known.eq_ignore_ascii_case(word));
    match arguments {
        [_, _] => match arguments.iter().find(|word| !is_known(word)) {
            Some(word) => Err(format!("{word} does not exist in DNS")),
            None => Ok(()),
        },
        _ => Err("a rule about classes or types needs two of them".into()),
    }
}

fn ttl(arguments: &[&str]) -> Result<(), String> {
    let lifetime = match arguments {
        [_, lifetime] => lifetime,
        [word, pattern, lifetime] => {
            matches(word, pattern)?;
            lifetime
        }
        _ => return Err("a rule about lifetimes needs a name and a lifetime".into()),
    };
    let seconds = |text: &str| number(text).filter(|seconds| (0..=i64::from(u32::MAX)).contains(seconds));
    let holds = match lifetime.split_once('-') {
        None => seconds(lifetime).is_some(),
        Some(("", "")) => false,
        Some(("", most)) => seconds(most).is_some(),
        Some((least, "")) => seconds(least).is_some_and(|least| least <= 2_147_483_647),
        Some((least, most)) => seconds(least).zip(seconds(most)).is_some_and(|(least, most)| least <= most),
    };
    if holds { Ok(()) } else { Err(format!("{lifetime} is not a lifetime in seconds")) }
}

fn cname(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [_, _] => Ok(()),
        [word, pattern, _] => matches(word, pattern),
        _ => Err("a rule about CNAMEs needs two names".into()),
    }
}

fn code(arguments: &[&str]) -> Result<(), String> {
    let (old, new) = match arguments {
        [_, old, new] => (old, new),
        [word, pattern, old, new] => {
            matches(word, pattern)?;
            (old, new)
        }
        _ => return Err("a rule about codes needs a name and two codes".into()),
    };
    let is_code =
        |word: &&&str| number(word).is_some_and(|code| (0..=23).contains(&code)) || Value::Code.refusal(word).is_none();
    match [old, new].into_iter().find(|word| !is_code(word)) {
        Some(word) => Err(format!("{word} is not a response code")),
        None => Ok(()),
    }
}

fn matches(word: &str, name: &str) -> Result<(), String> {
    if way(word)? == "regex" && pattern(name).is_none() {
        return Err(format!("{name} is not a regular expression"));
    }
    Ok(())
}

fn edns0(arguments: &[&str]) -> Result<(), String> {
    let [option, action, rest @ ..] = arguments else {
        return Err("a rule about EDNS0 needs an option and an action".into());
    };
    let action = action.to_lowercase();
    let unsets = match action.as_str() {
        "append" | "replace" | "set" => false,
        "unset" => true,
        action => return Err(format!("{action} should be one of append, replace, set, unset")),
    };
    let rest = if unsets { rest } else { rest.strip_suffix(&["revert"]).unwrap_or(rest) };
    let needs = match (option.to_lowercase().as_str(), unsets) {
        ("local" | "subnet", false) => 2,
        ("local", true) => 1,
        ("nsid", _) | ("subnet", true) => 0,
        (option, _) => return Err(format!("EDNS0 has no option {option} here")),
    };
    if rest.len() == needs { Ok(()) } else { Err(format!("this rule about EDNS0 needs {needs} more words")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<String> {
        rule(&text.split(' ').collect::<Vec<_>>()).err()
    }

    #[test]
    fn rules_of_every_kind_are_read() {
        for text in [
            "name a.example b.example",
            "stop name regex (.*)\\.my\\.org {1}.svc.cluster.local answer auto",
            "continue name suffix .a .b answer name (.*)\\.b {1}.a answer value (.*) {1}",
            "type ANY HINFO",
            "class CH IN",
            "ttl regex . 30-300",
            "ttl a.example -60",
            "cname exact a.example b.example",
            "rcode example NXDOMAIN 3",
            "edns0 local set 0xffee {client_ip} revert",
            "edns0 subnet unset",
            "name {$FROM} b.example",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        for (text, cause) in [
            ("name a.example", "a rule about names needs two of them"),
            ("name glob a b", "glob should be one of exact, prefix, suffix, substring, regex"),
            ("name regex ( b", "( is not a regular expression"),
            ("name regex (.*) {1}{2}", "{1}{2} uses more groups than (.*) has"),
            ("names a b", "it has no rules of kind names"),
            ("type A AAAAA", "AAAAA does not exist in DNS"),
            ("ttl a.example 60-30", "60-30 is not a lifetime in seconds"),
            ("rcode example NXDOMAIN NONE", "NONE is not a response code"),
            ("stop", "it names no kind of rule"),
        ] {
            assert_eq!(refused(text).as_deref(), Some(cause), "{text}");
        }
    }
}
