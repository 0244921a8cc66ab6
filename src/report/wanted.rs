//! Which reports are wanted.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};

use super::Format;

/// The reports to write.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Reports")]
pub struct Wanted {
    /// The format of the standard output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
    /// Write a report in any format of --output, such as sarif=report.sarif; repeatable. Without a file it is what the standard
    /// output shows
    #[arg(long, visible_alias = "to", value_name = "FORMAT[=FILE]")]
    pub report: Vec<Target>,
    /// Write JUnit XML: the same as --report junit=FILE
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub junit: Option<PathBuf>,
    /// Write the verdicts as JSON: the same as --report json=FILE
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub json: Option<PathBuf>,
    /// Write the event stream: the same as --report events=FILE
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub events: Option<PathBuf>,
    /// Show passed and skipped checks, notes, and how long each fact took
    #[arg(short, long)]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// A report in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFile<'a> {
    /// Its format.
    pub format: Format,
    /// The file.
    pub path: &'a Path,
    /// The flag that asks for it.
    pub flag: String,
}

impl Wanted {
    /// What the standard output shows. An error if several formats are to go there.
    pub fn standard_output(&self) -> Result<Format, String> {
        let mut shown: Vec<Format> = self.report.iter().filter(|to| to.file.is_none()).map(|to| to.format).collect();
        if self.output != Format::default() {
            shown.push(self.output);
        }
        shown.sort_unstable();
        shown.dedup();
        match *shown.as_slice() {
            [] => Ok(Format::default()),
            [format] => Ok(format),
            [one, another, ..] => Err(format!(
                "the standard output shows one format, not {one} and {another}: write one of them to a file, as in \
                 --report {one}=FILE",
                one = one.name(),
                another = another.name()
            )),
        }
    }

    /// The files to write, in the order of their flags.
    pub fn files(&self) -> impl Iterator<Item = InFile<'_>> {
        let short = [(Format::Junit, &self.junit), (Format::Json, &self.json), (Format::Events, &self.events)];
        let short = short.into_iter().filter_map(|(format, path)| {
            Some(InFile { format, path: path.as_deref()?, flag: format!("--{}", format.name()) })
        });
        let long = self.report.iter().filter_map(|to| {
            let Target { format, file } = to;
            Some(InFile { format: *format, path: file.as_deref()?, flag: format!("--report {}", format.name()) })
        });
        short.chain(long)
    }
}

/// A format, and the file that it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The format.
    pub format: Format,
    /// The file; without one, the standard output.
    pub file: Option<PathBuf>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) => (name, Some(file)),
            None => (text, None),
        };
        let format = Format::from_str(name, false).map_err(|_| {
            let all: Vec<_> = Format::value_variants().iter().map(|format| format.name()).collect();
            format!("there is no format {name:?}; the formats are {}", all.join(", "))
        })?;
        match file {
            Some("") => Err(format!("name the file, as in {name}=FILE")),
            Some("-") => Err(format!("write {name} alone for the standard output")),
            Some(_) if format == Format::Text => Err("text goes to the standard output: redirect that".into()),
            file => Ok(Self { format, file: file.map(PathBuf::from) }),
        }
    }
}

/// Parses the name of an output file.
pub fn output_file() -> ValueParser {
    let named = |path: PathBuf| match path.to_str() {
        Some("-") => Err("name a file, or /dev/stdout for the standard output"),
        _ => Ok(path),
    };
    PathBufValueParser::new().try_map(named).into()
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What the standard error shows while the run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal, otherwise a line for each suite that is done.
    Shown,
    /// Nothing: no one is waiting.
    #[default]
    Hidden,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(output: Format, report: &[&str]) -> Wanted {
        Wanted { output, report: report.iter().map(|text| text.parse().unwrap()).collect(), ..Wanted::default() }
    }

    #[test]
    fn a_report_has_a_format_and_may_have_a_file() {
        let target = |format, file: Option<&str>| Ok(Target { format, file: file.map(Into::into) });
        assert_eq!("junit=a=b.xml".parse(), target(Format::Junit, Some("a=b.xml")));
        assert_eq!("json".parse(), target(Format::Json, None));
        let refused = |text: &str| text.parse::<Target>().unwrap_err();
        assert_eq!(refused("json="), "name the file, as in json=FILE");
        assert_eq!(refused("json=-"), "write json alone for the standard output");
        assert!(refused("text=a.txt").starts_with("text goes to the standard output"));
        assert!(refused("pdf=x").starts_with("there is no format \"pdf\"; the formats are text, json, junit"));
    }

    #[test]
    fn the_standard_output_shows_one_format() {
        assert_eq!(wanted(Format::Text, &["json=a.json"]).standard_output(), Ok(Format::Text));
        assert_eq!(wanted(Format::Text, &["json"]).standard_output(), Ok(Format::Json));
        assert_eq!(wanted(Format::Json, &["json"]).standard_output(), Ok(Format::Json));
        let refused = wanted(Format::Junit, &["json"]).standard_output().unwrap_err();
        assert!(refused.contains("not json and junit"), "{refused}");
    }
}
