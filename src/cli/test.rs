//! `seaworthy test`: checks as test cases of a test runner.

use std::ffi::OsString;
use std::panic;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::choice::ChoiceArgs;
use super::connection::{ConnectionArgs, duration};
use super::session::{ProbeArgs, Session};
use crate::check::Outcome;
use crate::event::Events;
use crate::harness::{self, Verdicts};
use crate::history::Acceptance;
use crate::run::{ExitCode, Plan, Run, SelectionError, engine};

/// Run the checks as test cases, with the arguments and output of `cargo test`
///
/// Arguments after -- are for the test runner: filters, --list, --exact, --skip, --format json, --test-threads.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy test -- --list
  seaworthy test --profile post-install -- dns::
  seaworthy test --context prod -- --exact pki::PK-02::apiserver-names
  seaworthy test -- --format json -Z unstable-options")]
pub struct TestArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    probes: ProbeArgs,
    /// How long the whole run may take
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration, help_heading = "Cluster")]
    timeout: Duration,
    /// Arguments for the test runner
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Runs the chosen checks, all in one run, as trials that each wait for their verdict.
pub async fn run(args: TestArgs) -> Result<ExitCode, Failure> {
    let (profile, checks) = args.choice.resolve()?;
    let arguments = match harness::arguments(args.args) {
        Ok(arguments) => arguments,
        Err(e) => {
            let code = if e.use_stderr() { ExitCode::Usage } else { ExitCode::Seaworthy };
            let _ = e.print();
            return Ok(code);
        }
    };
    if arguments.list {
        let (_, trials) = Verdicts::trials(&checks);
        trial(arguments, trials).await?;
        return Ok(ExitCode::Seaworthy);
    }
    let named = args.choice.filter.named();
    let chosen = harness::chosen(checks, &arguments);
    if chosen.is_empty() {
        return Err(Failure::Selection(SelectionError::Filtered));
    }
    let session = Session::open(&args.connection, args.probes, profile, None, args.timeout).await;
    let (verdicts, trials) = Verdicts::trials(&chosen);
    let plan = Plan::new(chosen);
    let started = session.started(&plan);
    let (events, receiver) = Events::channel();
    let run =
        Run { plan, source: session.source(), gate: started.gate, named, started, acceptance: Acceptance::default() };
    let judging = async {
        let (concluded, cleaned_up) = tokio::join!(engine::run(run, events.clone()), session.clean_up());
        for event in cleaned_up {
            events.send(event);
        }
        drop(events);
        concluded
    };
    let handing_out = verdicts.hand_out(receiver, &session.redaction);
    let (concluded, behind, tried) = tokio::join!(judging, handing_out, trial(arguments, trials));
    for left in behind {
        super::say(&left);
    }
    tried?;
    if concluded.judged.iter().all(|check| check.outcome == Outcome::Skip) {
        super::say("nothing was judged: every check was skipped");
    }
    Ok(concluded.exit_code)
}

/// Runs trials on their own threads, where they may wait. The printer of libtest-mimic panics if it cannot write; a closed
/// pipe is not a failure.
async fn trial(arguments: libtest_mimic::Arguments, trials: Vec<libtest_mimic::Trial>) -> Result<(), Failure> {
    panic::set_hook(Box::new(|_| {}));
    let tried = tokio::task::spawn_blocking(move || libtest_mimic::run(&arguments, trials)).await;
    let Err(stopped) = tried else { return Ok(()) };
    let message = stopped.try_into_panic().ok().and_then(|panic| panic.downcast::<String>().ok());
    match message {
        Some(message) if message.contains("BrokenPipe") => Ok(()),
        Some(message) => Err(Failure::System(format!("the outcomes cannot be written: {message}"))),
        None => Err(Failure::System("the outcomes cannot be written".into())),
    }
}
