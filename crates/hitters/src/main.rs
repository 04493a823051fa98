//! The `hitters` command.
//!
//! It wires the rooms of the project together and owns what a person meets: the command line, errors with their place in
//! the text, progress, tables, exit codes. Data goes to standard output, talk to standard error.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answers;
mod archive;
mod batches;
mod beside;
mod cli;
mod client;
mod cluster;
mod control;
mod csv;
mod engine;
mod explain;
mod failure;
mod generate;
mod heap;
mod history;
mod inspect;
mod keys;
mod listen;
mod load;
mod orders;
mod output;
mod own_topics;
mod plugins;
mod postgres;
mod progress;
mod query;
mod replay;
mod report;
mod run;
mod serve;
mod show;
mod spill;
mod state;
mod tap;
mod top;
mod topics;
mod udf;
mod wall_clock;
mod watch;

use clap::Parser;
use cli::{Cli, Command, Sketch, Udf};
use failure::Failure;
use hitters_pipeline::Files;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut files = Files::default();
    let Err(failure) = run(&cli, &mut files) else {
        return ExitCode::SUCCESS;
    };
    match &failure {
        Failure::Faults(faults) | Failure::Job(faults) => report::print(faults, report::Severity::Error, &files),
        Failure::Run(message) | Failure::Usage(message) => {
            // Nobody is there to be told if standard error is closed.
            let _ = writeln!(std::io::stderr(), "Error: {message}");
        }
        Failure::Told(_) | Failure::Stopped | Failure::OutputClosed => {}
    }
    ExitCode::from(failure.exit_code())
}

fn run(cli: &Cli, files: &mut Files) -> Result<(), Failure> {
    match &cli.command {
        Command::Render(arguments) => {
            let pipeline = load::load(&arguments.target, files)?;
            write!(std::io::stdout().lock(), "{}", pipeline.script.masked())?;
            Ok(())
        }
        Command::Topics(arguments) => topics::run(arguments, files),
        Command::Generate(arguments) => generate::run(arguments, cli.quiet),
        Command::Serve(arguments) => serve::run(arguments, cli.quiet, files),
        Command::Query(arguments) => query::run(arguments),
        Command::Top(arguments) => top::run(arguments),
        Command::Keys(arguments) => keys::run(arguments),
        Command::Archive(arguments) => archive::run(arguments, cli.quiet, files),
        Command::Sketch(Sketch::Inspect(arguments)) => inspect::run(arguments),
        Command::Udf(Udf::Bundle(arguments)) => udf::bundle(arguments, cli.quiet),
        Command::Status(arguments) => orders::status(arguments, files),
        Command::Scale(arguments) => orders::scale(arguments, cli.quiet, files),
        Command::Stop(arguments) => orders::stop(arguments, cli.quiet, files),
        Command::Replay(arguments) => replay::replay(arguments, cli.quiet, files),
        Command::Deploy(arguments) => cluster::deploy(arguments, cli.quiet, files),
        Command::Run(arguments) => run::run(arguments, cli.quiet, files),
        Command::Check(arguments) => explain::check(arguments, files),
        Command::Explain(arguments) => explain::explain(arguments, files),
    }
}
