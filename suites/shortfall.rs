//! How severe it is that some of many equal attempts failed.

use crate::check::Severity;

/// Of this many attempts or more, a single failure may be chance.
const MANY: u32 = 10;

/// No severity where none failed, or one of many: that happens now and then on a sound network, and clients try again.
/// From a quarter on, as when one of a few servers is down, it is as severe as no answer at all.
pub(super) fn severity(failed: u32, tried: u32) -> Option<Severity> {
    match failed {
        0 => None,
        1 if tried >= MANY => None,
        _ if failed.saturating_mul(4) >= tried => Some(Severity::Critical),
        _ => Some(Severity::Major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_chance_a_part_is_major_and_a_quarter_is_critical() {
        assert_eq!([severity(0, 20), severity(1, 20), severity(1, 10)], [None; 3]);
        assert_eq!([severity(2, 20), severity(4, 20), severity(1, 5)], [Some(Severity::Major); 3]);
        assert_eq!([severity(5, 20), severity(1, 1), severity(1, 4), severity(4, 4)], [Some(Severity::Critical); 4]);
    }
}
