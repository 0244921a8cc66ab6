//! What CoreDNS refuses when it sets up server blocks and plugins: it does not start with such a Corefile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::occurrence::{Occurrence, quoted};
use super::parser::{Block, place};
use super::plugins::{self, REMOVED};
use super::surroundings::{Surroundings, is_unknown};
use super::text::Token;
use super::values::{duration, number};
use super::zones::Key;
use super::{rewrite, upstreams};
use crate::version::Version;

/// The first release that compares the zones of server blocks without regard to the case of letters.
const FOLDS: Version = Version { major: 1, minor: 14, patch: 7 };

/// What a plugin's setup sees of its server block.
pub(super) struct Scene<'a> {
    pub block: &'a Block,
    pub surroundings: &'a Surroundings,
}

impl Scene<'_> {
    /// Whether the server block uses a plugin, or may use it.
    fn uses(&self, plugin: &str) -> bool {
        self.block.directives.iter().any(|(name, _)| name == plugin || name == "import" || is_unknown(name))
    }
}

/// What CoreDNS refuses, each with its place.
pub(super) fn refusals(blocks: &[Block], surroundings: &Surroundings) -> Vec<String> {
    let mut all = Vec::new();
    for block in blocks {
        let line = block.directives.first().and_then(|(_, words)| words.first()).map(place);
        let near = line.map_or_else(String::new, |line| format!(" (above {line})"));
        let refused = block.keys.iter().filter(|key| !is_unknown(key)).filter_map(|key| Key::refusal(key));
        all.extend(refused.map(|cause| format!("{cause}{near}")));
        all.extend(block_refusals(&Scene { block, surroundings }));
    }
    all.extend(conflicts(blocks, surroundings));
    all
}

fn block_refusals(scene: &Scene<'_>) -> Vec<String> {
    let mut all = Vec::new();
    // All uses of a plugin are set up as one.
    let mut words: BTreeMap<&str, Vec<Token>> = BTreeMap::new();
    for (name, tokens) in &scene.block.directives {
        words.entry(name).or_default().extend(tokens.iter().cloned());
    }
    for (name, words) in &words {
        if *name == "import" || is_unknown(name) {
            continue;
        }
        let line = words.first().map(place).unwrap_or_default();
        let release = scene.surroundings.release;
        let has =
            |plugin: &&plugins::Plugin| plugin.since.is_none_or(|since| release.is_none_or(|release| release >= since));
        let Some(plugin) = plugins::find(name).filter(has) else {
            let removed = REMOVED.iter().find(|(removed, _)| removed == name);
            all.push(match (removed, release) {
                (Some((_, since)), _) => format!("{line}: CoreDNS has not had the plugin {name} since {since}"),
                (None, Some(release)) => {
                    format!("{line}: CoreDNS {release} does not have a plugin {}", quoted(name, true))
                }
                (None, None) => format!("{line}: CoreDNS does not have a plugin {}", quoted(name, true)),
            });
            continue;
        };
        let quotes = !plugin.confidential;
        if scene.block.keys.is_empty() {
            continue;
        }
        let refused = plugin.form.read(words, quotes).and_then(|uses| {
            uses.iter().try_for_each(|one| further(name, one, scene).map_err(|cause| format!("{}: {cause}", one.place)))
        });
        if let Err(cause) = refused {
            let (place, cause) = cause.split_once(": ").unwrap_or(("", &cause));
            all.push(format!("{place}: {name}: {cause}"));
        }
    }
    for key in scene.block.keys.iter().map(|key| Key::of(key)) {
        if ["quic", "https3"].contains(&key.scheme.as_str()) && !scene.uses("tls") {
            all.push(format!("{}://{} needs the plugin tls", key.scheme, key.zone));
        }
    }
    all
}

/// What a plugin requires of a use beyond the form of its words.
fn further(plugin: &str, one: &Occurrence<'_>, scene: &Scene<'_>) -> Result<(), String> {
    match plugin {
        "acl" => one.properties.iter().try_for_each(|(action, rest)| acl(action, rest)),
        "autopath" => autopath(one, scene),
        "bind" => one.arguments.iter().try_for_each(|word| bound(word)),
        "cache" => cache(one),
        "dns64" => one.arguments.iter().try_for_each(|range| nat64(range)),
        "forward" => upstreams::forward(one, scene.surroundings),
        "geoip" => match one.arguments.first().map(|file| scene.surroundings.exists(file)) {
            Some(Some(false)) => Err("its database does not exist".into()),
            _ => Ok(()),
        },
        "grpc" => upstreams::grpc(one, scene.surroundings),
        "header" => header(one),
        "hosts" => hosts(one),
        "k8s_external" if !scene.uses("kubernetes") => Err("it needs the plugin kubernetes in the server block".into()),
        "kubernetes" => kubernetes(one, scene),
        "loadbalance" => match one.arguments[..] {
            ["weighted"] => Err("`weighted` needs a file".into()),
            ["round_robin", _] => Err("nothing may follow `round_robin`".into()),
            _ => Ok(()),
        },
        "reload" => match one.arguments.get(1).and_then(|jitter| duration(jitter)) {
            Some(jitter) if jitter != 0.0 && jitter < 1.0 => Err("the jitter should be 0 or at least 1s".into()),
            _ => Ok(()),
        },
        "rewrite" => rewrite::rule(&one.arguments),
        "secondary" if !one.has("transfer") => Err("it needs `transfer from ADDRESS`".into()),
        "template" => {
            let texts = one.properties.iter().filter(|(name, _)| ["answer", "additional", "authority"].contains(name));
            texts.flat_map(|(_, texts)| texts).try_for_each(|text| template(text))?;
            expressions(one)
        }
        "timeouts" => timeouts(one),
        "tls" => tls(one, scene),
        "transfer" => transfer(one),
        "view" => expressions(one),
        _ => Ok(()),
    }
}

fn acl(action: &str, rest: &[&str]) -> Result<(), String> {
    if !["allow", "block", "filter", "drop"].iter().any(|known| known.eq_ignore_ascii_case(action)) {
        return Err(format!("{action} should be one of allow, block, filter, drop"));
    }
    let is_section = |word: &str| ["type", "net"].iter().any(|known| known.eq_ignore_ascii_case(word));
    let mut rest = rest.iter().copied().peekable();
    while let Some(section) = rest.next() {
        if !is_section(section) {
            return Err(format!("{section} should be `type` or `net`"));
        }
        let mut empty = true;
        while let Some(word) = rest.next_if(|word| !is_section(word)) {
            empty = false;
            let range = if word.contains('/') {
                word.to_owned()
            } else {
                format!("{word}/{}", if word.contains(':') { 128 } else { 32 })
            };
            let holds = if section.eq_ignore_ascii_case("type") {
                super::values::TYPES.contains(&word)
            } else {
                super::values::range(&range).is_some()
            };
            if word == "*" {
                while rest.next_if(|word| !is_section(word)).is_some() {}
            } else if !holds && !is_unknown(word) {
                return Err(format!("{word} is not a {section}"));
            }
        }
        if empty {
            return Err(format!("nothing follows {section}"));
        }
    }
    Ok(())
}

fn autopath(one: &Occurrence<'_>, scene: &Scene<'_>) -> Result<(), String> {
    let Some(source) = one.arguments.last() else { return Ok(()) };
    match source.strip_prefix('@') {
        Some(plugin) => {
            let gives_none = !["kubernetes", "erratic"].contains(&plugin)
                && scene.block.directives.iter().any(|(name, _)| name == plugin);
            if gives_none { Err(format!("the plugin {plugin} gives it no search path")) } else { Ok(()) }
        }
        None if scene.surroundings.exists(source) == Some(false) && !is_unknown(source) => {
            Err(format!("the file {source} does not exist"))
        }
        None => Ok(()),
    }
}

/// An address or the name of an interface. Which interfaces exist is not known.
fn bound(word: &str) -> Result<(), String> {
    let is_like_address = !word.contains(|letter: char| !letter.is_ascii_hexdigit() && letter != '.' && letter != ':')
        && word.contains(['.', ':']);
    if is_like_address && word.parse::<IpAddr>().is_err() {
        return Err(format!("{word} is neither an address nor an interface"));
    }
    Ok(())
}

fn cache(one: &Occurrence<'_>) -> Result<(), String> {
    if let Some(ttl) = one.arguments.first().and_then(|word| number(word))
        && ttl <= 0
    {
        return Err(format!("it should keep answers for at least 1 s, not {ttl}"));
    }
    if one.has("serve_stale_policy") && !one.has("serve_stale") {
        return Err("`serve_stale_policy` needs `serve_stale`".into());
    }
    for (name, arguments) in &one.properties {
        match (*name, &arguments[..]) {
            ("serve_stale", [_, mode, rest @ ..]) => {
                if !["immediate", "verify"].iter().any(|known| known.eq_ignore_ascii_case(mode)) && !is_unknown(mode) {
                    return Err(format!("{mode} should be `immediate` or `verify`"));
                }
                if rest.iter().any(|word| !is_unknown(word) && duration(word).is_none_or(|seconds| seconds < 0.0)) {
                    return Err("what follows the mode of `serve_stale` should be durations".into());
                }
            }
            ("serve_stale_policy", [policy]) if !policy.eq_ignore_ascii_case("prefer_positive") => {
                return Err(format!("`serve_stale_policy` should be prefer_positive, not {policy}"));
            }
            ("prefetch", [_, _, share]) if !is_unknown(share) => {
                let share = share.strip_suffix('%').and_then(number);
                if !share.is_some_and(|share| (10..=90).contains(&share)) {
                    return Err("the share of `prefetch` should be between 10% and 90%".into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn nat64(prefix: &str) -> Result<(), String> {
    match super::values::range(prefix) {
        Some((address, length)) if address.is_ipv4() || length % 8 != 0 || !(32..=96).contains(&length) => {
            Err(format!("{prefix} is not a prefix for NAT64"))
        }
        _ => Ok(()),
    }
}

fn header(one: &Occurrence<'_>) -> Result<(), String> {
    if one.properties.is_empty() {
        return Err("it changes nothing".into());
    }
    for (selector, rest) in &one.properties {
        if !["query", "response"].iter().any(|known| known.eq_ignore_ascii_case(selector)) {
            return Err(format!("{selector} should be `query` or `response`"));
        }
        let [action, flags @ ..] = &rest[..] else { return Err("it lacks `set` or `clear`".into()) };
        let known = ["set", "clear"].iter().any(|known| known.eq_ignore_ascii_case(action));
        let flags_known =
            flags.iter().all(|flag| ["aa", "ra", "rd"].iter().any(|known| known.eq_ignore_ascii_case(flag)));
        if !known || flags.is_empty() || !flags_known {
            return Err("it should set or clear the flags aa, ra, rd".into());
        }
    }
    Ok(())
}

fn hosts(one: &Occurrence<'_>) -> Result<(), String> {
    if one.has("fallthrough_unsupported") && !one.has("fallthrough") {
        return Err("`fallthrough_unsupported` needs `fallthrough`".into());
    }
    let known = ["fallthrough", "fallthrough_unsupported", "no_reverse", "ttl", "reload"];
    let after = one.properties.iter().skip_while(|(name, _)| *name != "fallthrough");
    match after.into_iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(format!("{name} follows `fallthrough`, which should be the last line")),
        None => Ok(()),
    }
}

fn kubernetes(one: &Occurrence<'_>, scene: &Scene<'_>) -> Result<(), String> {
    let keys = || scene.block.keys.iter().map(String::as_str).collect();
    let zones: Vec<&str> = if one.arguments.is_empty() { keys() } else { one.arguments.clone() };
    let zones: Vec<String> = zones.iter().flat_map(|zone| Key::all(zone)).map(|key| key.zone).collect();
    // The tops of the reverse zones themselves count as names.
    let is_reverse = |zone: &String| zone.ends_with(".in-addr.arpa") || zone.ends_with(".ip6.arpa");
    if zones.iter().all(is_reverse) {
        return Err("it serves only reverse zones".into());
    }
    if one.has("namespaces") && one.has("namespace_labels") {
        return Err("it has both `namespaces` and `namespace_labels`".into());
    }
    if one.has("zonal") && one.has("noendpoints") {
        return Err("`zonal` needs what `noendpoints` leaves out".into());
    }
    let several = one.properties.iter().filter(|(name, _)| *name == "multicluster").flat_map(|(_, zones)| zones);
    for zone in several.filter(|zone| !is_unknown(zone)) {
        if Key::all(zone).iter().any(|key| !zones.contains(&key.zone)) && !zones.iter().any(|zone| is_unknown(zone)) {
            return Err(format!("it does not serve the zone {zone} of `multicluster`"));
        }
    }
    Ok(())
}

/// A text of Go's text/template.
fn template(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((_, after)) = after.split_once("}}") else { return Err("`{{` is not closed by `}}`".into()) };
        rest = after;
    }
    Ok(())
}

/// The expressions of a view or a template. Only their brackets and quotes are checked.
fn expressions(one: &Occurrence<'_>) -> Result<(), String> {
    let expressions = one.properties.iter().filter(|(name, _)| *name == "expr").map(|(_, words)| words.join(" "));
    for expression in expressions {
        let mut open = Vec::new();
        let mut quote = None;
        let mut letters = expression.chars();
        while let Some(letter) = letters.next() {
            match (quote, letter) {
                (Some('\'' | '"'), '\\') => {
                    let escaped = letters.next();
                    if !escaped.is_some_and(|letter| "abfnrtvxuU\\'\"01234567".contains(letter)) {
                        return Err("in a text of its expression a backslash should be written twice".into());
                    }
                }
                (Some(end), letter) if end == letter => quote = None,
                (None, '\'' | '"' | '`') => quote = Some(letter),
                (None, '(' | '[' | '{') => open.push(letter),
                (None, ')' | ']' | '}') => {
                    let opened = open.pop();
                    if !matches!((opened, letter), (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')) {
                        return Err(format!("in its expression {letter} closes nothing"));
                    }
                }
                _ => {}
            }
        }
        if quote.is_some() || !open.is_empty() {
            return Err("its expression ends too early".into());
        }
    }
    Ok(())
}

fn timeouts(one: &Occurrence<'_>) -> Result<(), String> {
    if one.properties.is_empty() {
        return Err("it sets no timeout".into());
    }
    for (name, values) in &one.properties {
        let Some(value) = values.first().filter(|value| !is_unknown(value)) else { continue };
        if *name == "maxtcpqueries" {
            if number(value).is_some_and(|number| number == 0 || number < -1) {
                return Err("`maxtcpqueries` should be -1 or at least 1".into());
            }
            continue;
        }
        // A number is one of seconds.
        let seconds = duration(value).or_else(|| duration(&format!("{value}s")));
        if !seconds.is_some_and(|seconds| (1.0..=86_400.0).contains(&seconds)) {
            return Err(format!("{value} should be a duration between 1s and 24h"));
        }
    }
    Ok(())
}

fn tls(one: &Occurrence<'_>, scene: &Scene<'_>) -> Result<(), String> {
    let least = if one.properties.is_empty() { 2 } else { 0 };
    if one.arguments.len() < least || one.arguments.len() == 1 {
        return Err("it needs a certificate and a key".into());
    }
    let missing = one.arguments.iter().any(|file| !is_unknown(file) && scene.surroundings.exists(file) == Some(false));
    if missing { Err("a file of it does not exist".into()) } else { Ok(()) }
}

fn transfer(one: &Occurrence<'_>) -> Result<(), String> {
    if !one.has("to") {
        return Err("it needs `to`".into());
    }
    let targets = one.properties.iter().filter(|(name, _)| *name == "to").flat_map(|(_, targets)| targets);
    for target in targets.filter(|target| **target != "*" && !is_unknown(target)) {
        if !upstreams::is_address(target) {
            return Err(format!("{target} should be an IP address"));
        }
    }
    Ok(())
}

/// Server blocks that would serve the same zone at the same address and port.
fn conflicts(blocks: &[Block], surroundings: &Surroundings) -> Vec<String> {
    // Before, a zone in other letters was another zone.
    let folds = surroundings.release.is_some_and(|release| release >= FOLDS);
    let zones = |key: &String| if folds { Key::all(key) } else { Key::as_written(key) };
    let mut registered: BTreeSet<(Key, &str)> = BTreeSet::new();
    // The zones that some block serves, whatever its addresses.
    let mut anywhere: BTreeSet<Key> = BTreeSet::new();
    let mut all = Vec::new();
    for block in blocks {
        let has = |plugin: &str| block.directives.iter().any(|(name, _)| name == plugin);
        let binds = block.directives.iter().filter(|(name, _)| name == "bind");
        let bound: Vec<&str> = binds.flat_map(|(_, words)| addresses(words)).collect();
        let addresses = if bound.is_empty() { vec![""] } else { bound };
        let keys = block.keys.iter().filter(|key| !is_unknown(key)).flat_map(zones);
        for (key, address) in keys.flat_map(|key| addresses.iter().map(move |address| (key.clone(), *address))) {
            let everywhere = (key.clone(), "");
            let exists = registered.contains(&(key.clone(), address));
            let overlaps = anywhere.contains(&key) && (address.is_empty() || registered.contains(&everywhere));
            // A view may share its zone with others that have the same addresses.
            if (exists && !has("view")) || (!exists && overlaps) {
                all.push(format!("{}:{} is served by two server blocks", key.zone, key.port));
            } else if !has("view") {
                anywhere.insert(key.clone());
                registered.insert((key, address));
            }
        }
    }
    all.dedup();
    all
}

/// The addresses of the plugin bind; those after `except` are in its block.
fn addresses(words: &[Token]) -> impl Iterator<Item = &str> {
    words.iter().skip(1).map(|word| word.text.as_str()).take_while(|word| *word != "{")
}
