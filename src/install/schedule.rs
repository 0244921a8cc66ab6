//! When a CronJob runs.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The names that fields may have instead of numbers.
const NAMES: [&str; 19] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "sun", "mon", "tue", "wed",
    "thu", "fri", "sat",
];

/// When a CronJob runs: a schedule of cron in a time zone.
#[derive(Clone)]
pub(crate) struct Schedule {
    text: String,
    time_zone: String,
    cron: Cron,
}

impl Schedule {
    /// The schedule of cron that Kubernetes takes: five fields, or a word such as `@daily`.
    pub(crate) fn new(text: &str, time_zone: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong =
            || format!("{text:?} is not a schedule: write five fields, such as '17 2 * * *' for every night at 02:17");
        // Kubernetes takes fewer forms than the parser: neither seconds, nor the last day of a month.
        if !text.starts_with('@') && (text.split_whitespace().count() != 5 || !text.split_whitespace().all(is_field)) {
            return Err(wrong());
        }
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).sloppy_ranges(true).build();
        let cron = parser.parse(text).map_err(|why| format!("{}: {why}", wrong()))?;
        if !is_zone(time_zone) {
            return Err(format!("{time_zone:?} is not a time zone: write one such as UTC or Europe/Berlin"));
        }
        Ok(Self { text: text.to_owned(), time_zone: time_zone.to_owned(), cron })
    }

    /// The schedule, as it is written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The time zone in which it is meant.
    pub(crate) fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// When it is due next. None if this machine does not know the time zone, or if it is never due.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let zone = match self.time_zone.as_str() {
            "UTC" | "Etc/UTC" => TimeZone::UTC,
            other => TimeZone::get(other).ok()?,
        };
        let next = self.cron.find_next_occurrence(&after.to_zoned(zone), false).ok()?;
        Some(next.timestamp())
    }
}

/// Whether this has the form of a field: numbers, and the names of months and days.
fn is_field(field: &str) -> bool {
    let word = |word: &str| {
        let is_name = NAMES.iter().any(|name| name.eq_ignore_ascii_case(word));
        is_name || word.bytes().all(|byte| byte.is_ascii_digit() || b"*?".contains(&byte))
    };
    !field.starts_with('/') && field.split([',', '-', '/']).all(word)
}

/// Whether this may be the name of a time zone. Kubernetes knows which there are; this machine may have no list of them.
fn is_zone(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    name != "Local" && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn next(text: &str, zone: &str, after: &str) -> String {
        Schedule::new(text, zone).unwrap().next(after.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_next_run_is_the_first_time_that_matches() {
        assert_eq!(next("17 2 * * *", "Etc/UTC", "2026-12-01T02:17:00Z"), "2026-12-02T02:17:00Z");
        assert_eq!(next("17 2 * * *", "Etc/UTC", "2026-12-01T02:16:59Z"), "2026-12-01T02:17:00Z");
        assert_eq!(next("*/15 * * * mon-fri", "UTC", "2026-12-05T10:00:00Z"), "2026-12-07T00:00:00Z");
        assert_eq!(next("5/20 * * JAN,dec ?", "UTC", "2026-12-01T00:00:00Z"), "2026-12-01T00:05:00Z");
        assert_eq!(next("@daily", "Etc/UTC", "2026-12-31T23:59:00Z"), "2027-01-01T00:00:00Z");
        // One of the two days suffices where both are given, as in crontab(5).
        assert_eq!(next("0 0 13 * 5", "Etc/UTC", "2026-12-01T00:00:00Z"), "2026-12-04T00:00:00Z");
    }

    #[test]
    fn what_is_no_schedule_of_kubernetes_is_refused() {
        for wrong in [
            "",
            "nightly",
            "17 2 * *",
            "0 17 2 * * *",
            "61 2 * * *",
            "0 0 L * *",
            "0 0 * * 5#2",
            "/5 * * * *",
            "@often",
        ] {
            let why = Schedule::new(wrong, "Etc/UTC").err().unwrap();
            assert!(why.contains("is not a schedule: write five fields"), "{why}");
        }
        for wrong in ["", "Local", "../etc/passwd", "Europe Berlin"] {
            let why = Schedule::new("@daily", wrong).err().unwrap();
            assert!(why.contains("is not a time zone"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_schedule_or_refused(text in any::<String>(), fields in "[-0-9*,/?a-z]{1,6}( [-0-9*,/?a-z]{1,6}){4}") {
            for text in [text, fields] {
                if let Ok(schedule) = Schedule::new(&text, "Etc/UTC") {
                    let after = "2026-12-01T00:00:00Z".parse().unwrap();
                    assert!(schedule.next(after).is_none_or(|next| next > after));
                }
            }
        }
    }
}
