//! `seaworthy image`: writes or uploads the image that probe pods run.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::image::{
    BillError, BillOfMaterials, DEFAULT_PROBE_IMAGE, DockerConfig, Executable, ExecutableError, Image, ImageError,
    PushError,
};

const EXAMPLES: &str = "\
Examples:
  Load the image on every node, without a registry:
    seaworthy image --output probe.tar
    ctr --namespace k8s.io images import probe.tar      (on each node)

  Upload it, with the credentials of `docker login`:
    seaworthy image --push localhost:5000/seaworthy/probe:1

  Upload it for the nodes of two architectures:
    seaworthy image --push localhost:5000/seaworthy/probe:1 \\
      --executable x86_64/seaworthy --executable aarch64/seaworthy";

/// Make the image that probe pods run, from this executable alone
///
/// The image has no base image and needs no network. The same executable always gives the same
/// image, byte for byte.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("destination").args(["output", "push"]).required(true).multiple(true))]
pub struct ImageArgs {
    /// Write the image to a tar file that container runtimes load (OCI image layout)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Upload the image to a registry, with the credentials of `docker login`
    #[arg(long, value_name = "REGISTRY/NAME:TAG")]
    pub push: Option<String>,

    /// A statically linked Linux executable for the image; repeat for other architectures
    /// [default: this one]
    #[arg(long = "executable", value_name = "FILE")]
    pub executables: Vec<PathBuf>,

    /// A bill of materials of the executables (CycloneDX, JSON), which becomes /seaworthy.cdx.json in
    /// the image
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,

    /// The name of the image in the file, and on the nodes after it is loaded
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PROBE_IMAGE)]
    pub name: String,

    /// Use plain HTTP for the registry; always used for localhost
    #[arg(long, requires = "push")]
    pub insecure_registry: bool,
}

/// Makes the image, and prints what was made and where it is.
pub async fn run(args: ImageArgs) -> Result<(), ImageCommandError> {
    report(args, &mut io::stdout()).await
}

async fn report(args: ImageArgs, out: &mut impl Write) -> Result<(), ImageCommandError> {
    let bill = args.sbom.as_deref().map(BillOfMaterials::read).transpose()?;
    let paths = if args.executables.is_empty() {
        vec![env::current_exe().map_err(ImageCommandError::ThisExecutable)?]
    } else {
        args.executables
    };
    let executables = paths.into_iter().map(Executable::open).collect::<Result<Vec<_>, _>>()?;
    let mut image = Image::new(&args.name, executables)?;
    if let Some(bill) = bill {
        image = image.with_bill(bill);
    }
    let platforms: Vec<_> =
        image.executables().iter().map(|executable| format!("linux/{}", executable.architecture())).collect();
    let platforms = platforms.join(", ");
    if let Some(file) = args.output {
        // The command may block here, as it does nothing else.
        let written = image.write_archive(&file)?;
        let (name, digest, bytes) = (image.name(), written.digest, written.bytes);
        writeln!(out, "{}: {name} for {platforms}, {bytes} bytes, {digest}", file.display())
            .map_err(ImageCommandError::Report)?;
    }
    if let Some(reference) = args.push {
        let digest = image.push(&reference, args.insecure_registry, &DockerConfig::of_user()).await?;
        writeln!(out, "{reference}: pushed for {platforms}, {digest}").map_err(ImageCommandError::Report)?;
    }
    Ok(())
}

/// Why the image was not made, or not written everywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageCommandError {
    /// The system does not report which executable is running.
    #[error("the path of the running executable is unknown: name one with --executable")]
    ThisExecutable(#[source] io::Error),
    /// An executable cannot be the program of an image.
    #[error(transparent)]
    Executable(#[from] ExecutableError),
    /// A file cannot be the bill of materials of an image.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// The image could not be made or written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image could not be uploaded.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The result could not be printed.
    #[error("cannot write to standard output")]
    Report(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        image: ImageArgs,
    }

    fn parse(args: &[&str]) -> Result<ImageArgs, ErrorKind> {
        let parsed = Command::try_parse_from([&["image"], args].concat());
        parsed.map(|command| command.image).map_err(|error| error.kind())
    }

    #[test]
    fn a_destination_is_required_and_both_are_possible() {
        assert_eq!(parse(&[]).unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse(&["-o", "probe.tar"]).unwrap().name, DEFAULT_PROBE_IMAGE);
        let both = parse(&["--output", "probe.tar", "--push", "localhost/probe:1", "--insecure-registry"]).unwrap();
        assert!(both.output.is_some() && both.push.is_some() && both.insecure_registry);
        assert_eq!(parse(&["-o", "probe.tar", "--insecure-registry"]).unwrap_err(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn executables_can_be_several() {
        let args = parse(&["-o", "probe.tar", "--executable", "a", "--executable", "b"]).unwrap();
        assert_eq!(args.executables, [PathBuf::from("a"), PathBuf::from("b")]);
    }

    #[test]
    fn help_ends_with_examples() {
        let help = Command::try_parse_from(["image", "--help"]).unwrap_err().to_string();
        assert!(help.trim_end().ends_with(EXAMPLES), "{help}");
    }

    #[tokio::test]
    async fn without_a_usable_executable_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (script, output) = (dir.path().join("script"), dir.path().join("probe.tar"));
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let args = parse(&["-o", output.to_str().unwrap(), "--executable", script.to_str().unwrap()]).unwrap();
        let mut out = Vec::new();
        assert!(matches!(report(args, &mut out).await, Err(ImageCommandError::Executable(_))));
        assert!(out.is_empty() && !output.exists());
    }

    #[tokio::test]
    async fn without_a_usable_bill_of_materials_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (bill, output) = (dir.path().join("bill"), dir.path().join("probe.tar"));
        std::fs::write(&bill, "{}").unwrap();
        let args = parse(&["-o", output.to_str().unwrap(), "--sbom", bill.to_str().unwrap()]).unwrap();
        let mut out = Vec::new();
        assert!(matches!(report(args, &mut out).await, Err(ImageCommandError::Bill(_))));
        assert!(out.is_empty() && !output.exists());
    }
}
