//! The command line of `sillage-gateway`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::serve;

/// The web edge of a Sillage log: checkpoints and hash tiles for anyone, over HTTP.
#[derive(Debug, Parser)]
#[command(name = "sillage-gateway", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C.
    Serve {
        /// The gateway's configuration (TOML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Reads the arguments and does what they say. What goes wrong is one sentence on the standard error, and exit code 1;
/// arguments that can't be understood are exit code 2.
pub fn run() -> ExitCode {
    let Command::Serve { config } = Cli::parse().command;
    match serve::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sillage-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
