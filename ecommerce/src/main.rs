//! `ecommerce`: the single binary. Each command has its own file; shared are the exit codes, the configuration, the
//! HTTP client and the output.

mod arrangement;
mod audit;
mod client;
mod completions;
mod configuration;
mod conform;
#[cfg(test)]
mod documents;
mod effects;
mod ending;
mod health;
mod help;
mod hold;
mod ids;
mod inspect;
mod list;
mod load;
mod migrate;
mod open_files;
mod operate;
mod order;
mod output;
mod restock;
mod sagas;
mod serve;
mod service_manager;
mod services;
mod signals;
mod simulate;
mod status;
mod steps;
mod up;
mod wait;
mod watch;
mod way;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use common::{
    build::{self, Build},
    console, telemetry,
};

use crate::ending::{Ended, Failure};

/// mimalloc: a saga allocates in five services at once, mostly on one thread, and frees on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time limit for writing the last messages to standard error.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// `0.1.0 (abcdef1 2026-01-02)`: version, revision and the day of its commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ECOMMERCE_BUILD"), ")");

/// The build, as the services state it.
const BUILD: Build = Build { revision: env!("ECOMMERCE_BUILD_REVISION"), date: env!("ECOMMERCE_BUILD_DATE") };

const AFTER_HELP: &str = "\
Exit codes:
    0  done
    1  the purchase or saga was refused or reverted, the service is unhealthy, a definition has an error, or an audit, \
       a simulation or a test of conformance found a violation
    2  bad usage or configuration
    3  no answer from the orchestrator or the database
    4  an error was answered, a service could not start or gave up, or a result could not be written (a full disk): a \
       file such as that of --report, or the output of a command that only reads; a command that changes something, and \
       health, keep the exit code of their work
    5  this version of the program and a database exclude each other
  130  stopped at once by a second Ctrl-C or SIGQUIT

Variables:
  ECOMMERCE__SECTION__KEY  any setting of config/default.toml, such as ECOMMERCE__SERVICES__CATALOG__PORT=9001
  ECOMMERCE_PG_BIN         folder of the PostgreSQL programs that `up` runs
  NO_COLOR                 no colours, on terminals too";

/// Purchases across five services, never left half done.
///
/// `ecommerce up` runs all services; `ecommerce order --user me --amount 9.99` makes a purchase; `ecommerce watch`
/// shows its changes. Each command has examples: `ecommerce load --help`.
///
/// A purchase is a saga of the definition `checkout`. Commands that name purchases take sagas of other definitions too.
#[derive(Parser)]
#[command(name = "ecommerce", version = VERSION, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all five services, and PostgreSQL if no database is configured, until Ctrl-C
    #[command(after_help = help::UP)]
    Up(up::Up),
    /// Run one service on an existing, migrated database
    #[command(after_help = help::SERVE)]
    Serve(serve::Serve),
    /// Create missing databases and migrate all of them
    #[command(after_help = help::MIGRATE)]
    Migrate(migrate::Migrate),
    /// Wait until the database of a service is migrated, for containers
    #[command(after_help = help::WAIT)]
    Wait(wait::Wait),
    /// Make one purchase and wait for its outcome
    #[command(after_help = help::ORDER)]
    Order(order::Order),
    /// Make many purchases at once and report the results: table, HTML report, audit
    #[command(after_help = help::LOAD)]
    Load(load::Load),
    /// Add units to the stock of one product, or of all
    #[command(after_help = help::RESTOCK)]
    Restock(restock::Restock),
    /// Show one purchase step by step
    #[command(after_help = help::STATUS)]
    Status(status::Status),
    /// Follow the changes of all purchases, or of one until it ends
    #[command(after_help = help::WATCH)]
    Watch(watch::Watch),
    /// List purchases, newest first
    #[command(after_help = help::LIST)]
    List(list::List),
    /// Turn a running purchase back: its completed steps that have a compensation are undone
    #[command(after_help = help::CANCEL)]
    Cancel(operate::Cancel),
    /// List the purchases that need attention, longest waiting first
    #[command(after_help = help::ATTENTION)]
    Attention(operate::Attention),
    /// Retry a purchase, or the whole attention list, at once
    #[command(after_help = help::RETRY)]
    Retry(operate::Retry),
    /// Record that a person settled a purchase of the attention list; this undoes nothing
    #[command(after_help = help::RESOLVE)]
    Resolve(operate::Resolve),
    /// Show the records of one purchase at the orchestrator and at each participant
    #[command(after_help = help::INSPECT)]
    Inspect(inspect::Inspect),
    /// Check that saga log, money, stock, purchases and journals agree; only reads: exit code 0 or 1
    #[command(after_help = help::AUDIT)]
    Audit(audit::Audit),
    /// Run, list and show sagas of any definition; check and put definitions
    #[command(after_help = help::SAGAS, visible_alias = "saga")]
    Sagas(sagas::Sagas),
    /// Run the engine through thousands of simulated disasters: exit code 0 or 1
    #[command(after_help = help::SIMULATE)]
    Simulate(simulate::Simulate),
    /// Test a running participant, in any language, against the protocol: exit code 0 or 1
    #[command(after_help = help::CONFORMANCE)]
    Conformance(conform::Conformance),
    /// Let no purchase begin or be recovered until `release`, such as after a restore
    #[command(after_help = help::HOLD)]
    Hold(hold::Hold),
    /// Audit the databases and, if they agree, end the hold on all purchases
    #[command(after_help = help::RELEASE)]
    Release(hold::Release),
    /// Check the health of a service: exit code 0 or 1, for containers
    #[command(after_help = help::HEALTH)]
    Health(health::Health),
    /// Print the completion script of a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    build::state(BUILD);
    if let Some(code) = completions::answer() {
        return code;
    }
    output::errors_follow(env::args_os());
    let command = match parsed() {
        Ok(command) => command,
        Err(error) if error.use_stderr() && output::errors_are_json() => {
            let text = error.to_string();
            let text = text.trim_start_matches("error: ").trim_end().to_owned();
            return stopped(&Failure::Usage(text));
        }
        Err(error) => return told(&error),
    };
    let is_service = matches!(command, Command::Up(_) | Command::Serve(_));
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(command));
            // Does not wait for work abandoned by a forced stop.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::Broken(format!("cannot start the runtime: {error}"))),
    };
    let code = match ended {
        Ok(ended) => ended.code(),
        Err(failure) => {
            if is_service && telemetry::logs_are_json() {
                tracing::error!("{failure}")
            } else {
                output::error(&failure)
            }
            failure.code()
        }
    };
    console::flush(LAST_WORDS);
    code
}

/// The command line, as it is parsed and described.
fn cli() -> clap::Command {
    help::grouped(Cli::command())
}

fn parsed() -> Result<Command, clap::Error> {
    let mut cli = cli();
    let mut matches = cli.try_get_matches_from_mut(env::args_os())?;
    let parsed = Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut cli))?;
    Ok(parsed.command)
}

/// Prints the help, the version, or what is wrong with the arguments.
fn told(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(unwritten) if !error.use_stderr() && unwritten.kind() != io::ErrorKind::BrokenPipe => {
            stopped(&Failure::Broken(format!("cannot write the output: {unwritten}")))
        }
        Ok(()) | Err(_) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX)),
    }
}

/// Reports why nothing was started.
fn stopped(failure: &Failure) -> ExitCode {
    output::error(failure);
    console::flush(LAST_WORDS);
    failure.code()
}

async fn run(command: Command) -> Result<Ended, Failure> {
    match command {
        Command::Up(up) => up.run().await,
        Command::Serve(serve) => serve.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::Wait(wait) => wait.run().await,
        Command::Order(order) => order.run().await,
        Command::Load(load) => load.run().await,
        Command::Restock(restock) => restock.run().await,
        Command::Status(status) => status.run().await,
        Command::Watch(watch) => watch.run().await,
        Command::List(list) => list.run().await,
        Command::Cancel(cancel) => cancel.run().await,
        Command::Attention(attention) => attention.run().await,
        Command::Retry(retry) => retry.run().await,
        Command::Resolve(resolve) => resolve.run().await,
        Command::Inspect(inspect) => inspect.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Sagas(sagas) => sagas.run().await,
        Command::Simulate(simulate) => match tokio::task::spawn_blocking(|| simulate.run()).await {
            Ok(ended) => ended,
            Err(error) => Err(Failure::broken("the simulation", &error)),
        },
        Command::Conformance(conformance) => conformance.run().await,
        Command::Hold(hold) => hold.run().await,
        Command::Release(release) => release.run().await,
        Command::Health(health) => health.run().await,
        Command::Completions(completions) => completions.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
    #[test]
    fn every_variable_of_a_flag_is_known_to_the_configuration() {
        fn variables(command: &clap::Command) -> Vec<String> {
            let own = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned));
            own.chain(command.get_subcommands().flat_map(variables)).collect()
        }
        let ours: Vec<_> =
            variables(&Cli::command()).into_iter().filter(|name| name.starts_with("ECOMMERCE")).collect();
        assert!(ours.len() > 20, "{ours:?}");
        for name in ours.iter().map(String::as_str).chain([completions::VARIABLE, "ECOMMERCE_PG_BIN"]) {
            assert!(common::config::PROGRAM_VARIABLES.contains(&name), "{name}");
        }
    }
}
