//! Reasons that differ only in what they are about are one reason: the same fault of a thousand nodes is one.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::check::outcome::Unseen;

/// What stands in the place of a name or an address.
const ANY: &str = "\u{2026}";

/// What belongs to each reason, in the order in which they came.
pub(super) struct Folded<'a, T> {
    places: BTreeMap<String, usize>,
    reasons: Vec<Reason<'a, T>>,
}

struct Reason<'a, T> {
    first: &'a str,
    /// Without names and addresses, once another reason differed in them.
    common: Option<String>,
    of: T,
}

impl<T> Default for Folded<'_, T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), reasons: Vec::new() }
    }
}

impl<'a, T: Default> Folded<'a, T> {
    /// What belongs to the reason of this.
    pub(super) fn entry(&mut self, unseen: &'a Unseen) -> &mut T {
        let words = anonymous(unseen);
        let place = *self.places.entry(words.clone()).or_insert(self.reasons.len());
        if place == self.reasons.len() {
            self.reasons.push(Reason { first: &unseen.why, common: None, of: T::default() });
        }
        let reason = &mut self.reasons[place];
        if reason.first != unseen.why {
            reason.common = Some(words);
        }
        &mut reason.of
    }

    /// Each reason with what belongs to it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.reasons.iter().map(|reason| (reason.common.as_deref().unwrap_or(reason.first), &reason.of))
    }
}

/// A reason without the name of its subject, and without addresses. A reason that is about nothing else keeps its addresses,
/// which are what it is about.
fn anonymous(Unseen { why, subjects, .. }: &Unseen) -> String {
    let name = match subjects.as_slice() {
        [] => return why.clone(),
        [one] => one.name.as_str(),
        _ => "",
    };
    let words = why.split_inclusive(|c: char| !(c.is_alphanumeric() || "-.:[]".contains(c)));
    let anonymous = words.map(|word| {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ']');
        let is_name = !name.is_empty() && bare == name;
        let is_address = bare.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok();
        if is_name || is_address { word.replacen(bare, ANY, 1) } else { word.to_owned() }
    });
    anonymous.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;

    fn unseen(node: &str, why: &str) -> Unseen {
        Unseen { subjects: vec![Subject::node(node)], why: why.into(), missing: None, cause: None }
    }

    #[test]
    fn the_same_cause_on_two_nodes_is_one() {
        let at = |node: &str, why: &str| anonymous(&unseen(node, why));
        assert_eq!(at("n1", "the probe on n1: no such host"), at("n2", "the probe on n2: no such host"));
        assert_ne!(at("n1", "n1 and n2 differ"), at("n2", "n1 and n2 differ"));
        assert_eq!(at("n1", "n10 is not n1-a"), "n10 is not n1-a");
        assert_eq!(at("n1", "10.77.0.11:10250 did not answer within 5 s"), "\u{2026} did not answer within 5 s");
        let v6 = "GET /healthz on [fd00::1]:10250: closed";
        assert_eq!(at("n1", v6), "GET /healthz on \u{2026}: closed");
        assert_eq!(
            anonymous(&Unseen { subjects: Vec::new(), ..unseen("n1", "10.0.0.1:6443 refused") }),
            "10.0.0.1:6443 refused"
        );
    }

    #[test]
    fn one_reason_keeps_its_words_and_many_are_shown_without_their_addresses() {
        let all: Vec<Unseen> = (1..=5000)
            .map(|i| unseen(&format!("n{i}"), &format!("10.0.{}.{}:10250 is silent", i / 250, i % 250)))
            .collect();
        let mut folded: Folded<'_, usize> = Folded::default();
        *folded.entry(&all[0]) += 1;
        assert_eq!(folded.iter().collect::<Vec<_>>(), [("10.0.0.1:10250 is silent", &1)]);
        for one in &all[1..] {
            *folded.entry(one) += 1;
        }
        assert_eq!(folded.iter().collect::<Vec<_>>(), [("\u{2026} is silent", &5000)]);
    }
}
