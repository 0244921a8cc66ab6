//! Whether kubelets can be asked from where the program runs.

use crate::seen::Unobserved;

/// Why none of them can, as from outside of a network of nodes: all are out of reach, for this first reason. Each item is
/// why one kubelet was not seen, or nothing when it was.
pub(super) fn out_of_reach(unseen: impl Iterator<Item = Option<Unobserved>>) -> Option<Unobserved> {
    let mut first = None;
    for why in unseen {
        let why = why.filter(Unobserved::is_out_of_reach)?;
        first.get_or_insert(why);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_answers_or_refuses_shows_that_they_are_within_reach() {
        let far = || Some(Unobserved::unreachable("n1", "no route to host"));
        let strange = || Some(Unobserved::invalid("n2", "HTTP 500"));
        assert_eq!(out_of_reach([far(), far()].into_iter()), far());
        assert_eq!(out_of_reach([far(), None].into_iter()), None);
        assert_eq!(out_of_reach([far(), strange()].into_iter()), None);
        assert_eq!(out_of_reach(std::iter::empty()), None);
    }
}
