//! Reads an event stream back.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Event, visible};
use crate::recording::is_recording;

/// Why an event stream could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// The file cannot be read.
    #[error("{}: cannot read the events: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is not an event.
    #[error("{}:{line}: not an event of seaworthy: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What is wrong.
        cause: serde_json::Error,
    },
    /// A recording.
    #[error("{path}: it is a recording, not an event stream: `seaworthy judge {path}` judges it", path = path.display())]
    Recording {
        /// The file.
        path: PathBuf,
    },
    /// An event where another one belongs.
    #[error("{}:{line}: {cause}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What is wrong.
        cause: &'static str,
    },
    /// A file without any event.
    #[error("{}: it holds no events", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// What a file of events holds.
#[derive(Debug)]
pub struct Stream {
    /// The events.
    pub events: Vec<Event>,
    /// Whether the run ended, or was cut off.
    pub complete: bool,
}

impl Stream {
    /// Reads a file of JSON lines.
    pub fn read(path: &Path) -> Result<Self, EventsError> {
        let unreadable = |source| EventsError::File { path: path.into(), source };
        Self::parse(BufReader::new(File::open(path).map_err(unreadable)?), path)
    }

    /// Reads JSON lines; `path` is what errors call them.
    ///
    /// The last line may be half a line, as a run that was killed leaves it: the stream is then incomplete.
    pub fn parse(mut from: impl BufRead, path: &Path) -> Result<Self, EventsError> {
        let mut stream = Self { events: Vec::new(), complete: false };
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let unreadable = |source| EventsError::File { path: path.into(), source };
            if from.read_until(b'\n', &mut text).map_err(unreadable)? == 0 {
                break;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            match event(&text) {
                Ok(event) => {
                    stream.push(event).map_err(|cause| EventsError::Order { path: path.into(), line, cause })?;
                }
                Err(cause) if cause.is_eof() && !text.ends_with(b"\n") && !stream.events.is_empty() => break,
                Err(_) if is_recording(&text) => {
                    return Err(EventsError::Recording { path: path.into() });
                }
                Err(cause) => return Err(EventsError::Line { path: path.into(), line, cause }),
            }
        }
        if stream.events.is_empty() { Err(EventsError::Empty { path: path.into() }) } else { Ok(stream) }
    }

    fn push(&mut self, event: Event) -> Result<(), &'static str> {
        match (&event, self.events.is_empty()) {
            (Event::RunStarted(_), false) => return Err("a second run begins here: one file holds one run"),
            (Event::RunStarted(_), true) | (_, false) => {}
            (_, true) => return Err("the first event is not the beginning of a run"),
        }
        self.complete |= event.is_verdict();
        self.events.push(event);
        Ok(())
    }
}

/// An event, with the characters written out that hide others: a stream may be older than the program, or edited.
fn event(line: &[u8]) -> serde_json::Result<Event> {
    let event = serde_json::from_slice(line)?;
    let may_hide =
        line.iter().any(|byte| !byte.is_ascii() || *byte == 0x7f) || line.windows(2).any(|two| two == b"\\u");
    if !may_hide {
        return Ok(event);
    }
    let mut value = serde_json::from_slice(line)?;
    visible::write_out(&mut value);
    serde_json::from_slice(&serde_json::to_vec(&value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"run-started","seaworthy":"0.1.0","at":"2026-11-23T14:00:00Z","cluster":{"name":"bed","server":"https://10.77.0.11:6443","version":"v1.37.2"},"profile":"audit","gate":"minor","checks":[]}"#;
    const FACT: &str = r#"{"event":"fact-started","fact":"pods"}"#;
    const END: &str =
        r#"{"event":"run-finished","counts":{},"observations":0,"elapsed_ms":1,"requests":1,"exit_code":0}"#;

    fn parse(text: &str) -> Result<Stream, String> {
        Stream::parse(text.as_bytes(), Path::new("run.jsonl")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_stream_is_complete_when_the_run_ended() {
        let whole = parse(&format!("{START}\n{FACT}\n\n{END}\n")).unwrap();
        assert!(whole.complete && whole.events.len() == 3);
        let cut = parse(&format!("{START}\n{FACT}\n{}", &END[..30])).unwrap();
        assert!(!cut.complete && cut.events.len() == 2);
    }

    #[test]
    fn a_bad_line_is_named() {
        let bad = parse(&format!("{START}\n{{\"event\":\"fact-startled\"}}\n{END}\n")).unwrap_err();
        assert!(bad.starts_with("run.jsonl:2: not an event of seaworthy: unknown variant `fact-startled`"), "{bad}");
        let half = parse(&format!("{START}\n{}\n{END}\n", &FACT[..20])).unwrap_err();
        assert!(
            half.starts_with("run.jsonl:2: not an event"),
            "half a line in the middle does not end the stream: {half}"
        );
        assert!(parse("<html>").unwrap_err().starts_with("run.jsonl:1: "));
        assert_eq!(parse("").unwrap_err(), "run.jsonl: it holds no events");
    }

    #[test]
    fn one_file_holds_one_run() {
        assert_eq!(parse(FACT).unwrap_err(), "run.jsonl:1: the first event is not the beginning of a run");
        let twice = parse(&format!("{START}\n{END}\n{START}\n")).unwrap_err();
        assert_eq!(twice, "run.jsonl:3: a second run begins here: one file holds one run");
    }

    #[test]
    fn what_hides_or_reorders_is_written_out() {
        let fact = |name: &str| format!("{START}\n{{\"event\":\"fact-started\",\"fact\":\"{name}\"}}\n");
        for name in ["a\u{202e}b\u{9b}31m", "a\\u202eb\\u009b31m"] {
            let stream = parse(&fact(name)).unwrap();
            let Event::FactStarted { fact } = &stream.events[1] else { panic!("{:?}", stream.events) };
            assert_eq!(fact, "a\\u{202e}b\\u{9b}31m");
        }
    }
}
