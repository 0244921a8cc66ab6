use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use anstream::ColorChoice;

use super::*;
use crate::report::testing;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(events: &[Event], choice: ColorChoice, width: usize, wanted: &Wanted) -> String {
    let shared = Shared::default();
    let mut text = Text::new(Console::new(Box::new(shared.clone()), choice, width), wanted);
    for event in events {
        text.event(event).unwrap();
    }
    Box::new(text).finish().unwrap();
    let bytes = shared.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn plain(width: usize, wanted: &Wanted) -> String {
    shown(&testing::events(), ColorChoice::Never, width, wanted)
}

#[test]
fn what_is_wrong_comes_first() {
    let wanted = Wanted { junit: Some("report.xml".into()), ..Wanted::default() };
    insta::assert_snapshot!(plain(100, &wanted));
}

#[test]
fn a_narrow_terminal_is_wide_enough() {
    insta::assert_snapshot!(plain(50, &Wanted::default()));
}

#[test]
fn verbose_shows_passes_skips_and_facts() {
    insta::assert_snapshot!(plain(120, &Wanted { verbose: true, ..Wanted::default() }));
}

#[test]
fn a_stream_that_was_cut_off_is_not_a_result() {
    let events = testing::events();
    let shown = shown(&events[..6], ColorChoice::Never, 100, &Wanted::default());
    assert!(shown.contains("ERROR  not judged"), "{shown}");
    assert!(shown.ends_with("cut off: 2 of 10 checks were judged\n"), "{shown}");
}

#[test]
fn colours_say_nothing_that_the_words_do_not() {
    let coloured = shown(&testing::events(), ColorChoice::AlwaysAnsi, 100, &Wanted::default());
    assert!(coloured.contains('\u{1b}'));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain(100, &Wanted::default()));
}

#[test]
fn nothing_that_a_cluster_says_controls_the_terminal() {
    let mut events = testing::events();
    for event in &mut events {
        if let Event::CheckJudged { check, .. } = event {
            check.title.push_str("\u{1b}]0;owned\u{7}");
            for finding in &mut check.findings {
                finding.seen.push_str("\u{1b}[2J\r");
                finding.subjects[0].name.push('\u{9b}');
            }
        }
    }
    let shown = shown(&events, ColorChoice::Never, 100, &Wanted { verbose: true, ..Wanted::default() });
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}

#[test]
fn no_line_is_wider_than_the_terminal_if_its_words_are_not() {
    for width in [50, 72, 100, 200] {
        let shown = plain(width, &Wanted { verbose: true, ..Wanted::default() });
        let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} > {width}: {shown}");
    }
}
