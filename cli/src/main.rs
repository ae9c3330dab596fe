//! `sillage`, the command line. See [`sillage_cli`].

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use sillage_cli::Ended;
use sillage_cli::commands::help::parse;
use sillage_cli::errors::say;
use sillage_cli::lang::of_remarks;
use sillage_cli::usage_errors;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; everything else is a usage error.
            match usage_errors::said(&error, of_remarks()) {
                Some(text) => _ = std::io::stderr().write_all(text.as_bytes()),
                None => _ = error.print(),
            }
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    // The keys of an author, a patient or a witness are read below. Where the system refuses, nothing else is at stake.
    if let Err(error) = sillage_client::process::keep_memory_private() {
        let _ = writeln!(std::io::stderr(), "sillage: the memory of this command isn't private ({error})");
    }
    if let Some(what_to_do) = sillage_client::process::keep_memory_out_of_swap() {
        let _ = writeln!(std::io::stderr(), "sillage: {what_to_do}");
    }
    let filter = EnvFilter::try_from_env("SILLAGE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(sillage_cli::run(cli)),
        Err(error) => Err(sillage_client::ClientError::Usage(format!("cannot start: {error}"))),
    };
    match ended {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::CheckFailed) => ExitCode::from(1),
        Err(error) => {
            // Where standard error is closed, no one listens: that is no reason to panic.
            // An error may quote what came from elsewhere, a server or a file: it steers no terminal.
            let error_text = say(&error, of_remarks());
            let _ = writeln!(std::io::stderr(), "sillage: {}", sillage_cli::harmless(&error_text));
            ExitCode::from(error.exit_code())
        }
    }
}
