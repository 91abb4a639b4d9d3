//! `ecommerce`: the one binary. Each subcommand is a file of its own.

mod client;
mod completions;
mod health;
mod list;
mod migrate;
mod order;
mod output;
mod serve;
mod settings;
mod status;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the purchase was refused or reverted, or the service is unhealthy
  2  bad usage or configuration
  3  nobody answers at the target, or a service could not start";

/// A purchase over five services that is never half done.
#[derive(Parser)]
#[command(name = "ecommerce", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all five services and a PostgreSQL of their own, until Ctrl-C
    Up(up::Up),
    /// Runs one service, for production
    Serve(serve::Serve),
    /// Makes the databases that are missing and brings all of them up to date
    Migrate(migrate::Migrate),
    /// Buys something, and waits for the end
    Order(order::Order),
    /// Shows how one purchase stands
    Status(status::Status),
    /// Lists purchases, newest first
    List(list::List),
    /// Asks a service whether it is healthy (for containers: no curl needed)
    Health(health::Health),
    /// Prints the completions of a shell
    Completions(completions::Completions),
}

/// Why a command ended, as its exit code.
pub(crate) enum Ended {
    Done,
    Refused,
}

/// An error that is the user's to mend: exit code 2. All others are 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::from(3);
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Up(up) => up.run().await,
            Command::Serve(serve) => serve.run().await,
            Command::Migrate(migrate) => migrate.run().await,
            Command::Order(order) => order.run().await,
            Command::Status(status) => status.run().await,
            Command::List(list) => list.run().await,
            Command::Health(health) => health.run().await,
            Command::Completions(completions) => completions.run(),
        }
    });
    match ended {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Refused) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 3 })
        }
    }
}
