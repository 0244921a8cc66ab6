//! Where the joint report goes.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Failure;
use crate::fleet::Joint;
use crate::fleet::format::Format;
use crate::fleet::format::text::{Shown, text};
use crate::report::on_verdict::Destination;
use crate::report::{Colour, Console, OutputError, OutputFile, output_file};

/// The joint reports to write.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(super) struct OutputArgs {
    /// The format of the standard output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    output: Format,
    /// Write JUnit XML, with a test suite for each cluster
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    junit: Option<PathBuf>,
    /// Write the clusters and their causes as JSON
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    json: Option<PathBuf>,
    /// Write Markdown
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    markdown: Option<PathBuf>,
    /// Show all clusters, causes and impacts
    #[arg(short, long)]
    verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

/// The joint reports, opened before any cluster is asked.
pub(super) struct FleetReports {
    files: Vec<(Format, &'static str, PathBuf, OutputFile)>,
    output: Format,
    verbose: bool,
    color: Colour,
}

impl FleetReports {
    pub(super) fn open(args: &OutputArgs) -> Result<Self, Failure> {
        let wanted = [
            (Format::Junit, "junit", &args.junit),
            (Format::Json, "json", &args.json),
            (Format::Markdown, "markdown", &args.markdown),
        ];
        let wanted = wanted.into_iter().filter_map(|(format, name, path)| Some((format, name, path.clone()?)));
        let mut files: Vec<(Format, &'static str, PathBuf, OutputFile)> = Vec::new();
        for (format, name, path) in wanted {
            if let Some((_, other, ..)) = files.iter().find(|(_, _, taken, _)| *taken == path) {
                let path = path.display();
                return Err(Failure::Usage(format!(
                    "--{other} and --{name} are the same file, {path}: name another one"
                )));
            }
            let file = OutputFile::create(&path)?;
            files.push((format, name, path, file));
        }
        Ok(Self { files, output: args.output, verbose: args.verbose, color: args.color })
    }

    /// Writes all of them. One that cannot be written does not keep the others from being written.
    pub(super) fn write(
        self,
        joint: &Joint,
        elapsed_ms: u64,
        record_dir: Option<&Path>,
        events_dir: Option<&Path>,
    ) -> Result<(), OutputError> {
        let (mut written, mut failed) = (Vec::new(), None);
        for (format, name, path, file) in self.files {
            let Some(writer) = format.writer() else { continue };
            match Destination::write(file, |to| writer(joint, to)) {
                Ok(()) => written.push((name, path)),
                Err(why) => _ = failed.get_or_insert(why),
            }
        }
        let folders = [("recordings", record_dir), ("events", events_dir)];
        let folders = folders.into_iter().filter_map(|(name, folder)| Some((name, folder?)));
        let files: Vec<_> = written.iter().map(|(name, path)| (*name, path.as_path())).chain(folders).collect();
        let mut console = Console::stdout(self.color);
        let shown = if let Some(writer) = self.output.writer() {
            Destination::write(console, |to| writer(joint, to))
        } else {
            let shown = Shown { width: console.width(), all: self.verbose, files: &files, elapsed_ms };
            Console::write(&mut console, &text(joint, &shown))
        };
        failed.map_or(shown, Err)
    }
}
