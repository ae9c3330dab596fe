//! The command line of `sillage-gateway`. It is read by hand: one command and one option need no library.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::serve;

const HELP: &str = "The web edge of a Sillage log: checkpoints and hash tiles for anyone, over HTTP

Usage: sillage-gateway serve --config <FILE>

Commands:
  serve  Serve until SIGTERM or Ctrl-C
  help   Print this message

Options:
      --config <FILE>  The gateway's configuration (TOML)
  -h, --help           Print help
  -V, --version        Print version";

/// The command that the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    /// Serve by this configuration.
    Serve(PathBuf),
    Help,
    Version,
}

/// Reads the arguments and does what they say. An error is one sentence on the standard error, and exit code 1;
/// arguments that can't be understood are exit code 2.
pub fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.is_empty() {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    }
    let config = match parse(arguments) {
        Ok(Command::Serve(config)) => config,
        Ok(Command::Help) => return say(HELP),
        Ok(Command::Version) => return say(concat!("sillage-gateway ", env!("CARGO_PKG_VERSION"))),
        Err(why) => {
            eprintln!("error: {why}\n\nFor more information, try 'sillage-gateway --help'.");
            return ExitCode::from(2);
        }
    };
    match serve::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sillage-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a result. Where standard output is closed, no one reads it: that is no failure.
fn say(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn parse(arguments: Vec<OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut is_serve = false;
    let mut config = None;
    while let Some(argument) = arguments.next() {
        match argument.to_str().unwrap_or_default() {
            "-h" | "--help" => return Ok(Command::Help),
            "-V" | "--version" => return Ok(Command::Version),
            "help" if !is_serve => return Ok(Command::Help),
            "serve" if !is_serve => is_serve = true,
            "--config" if is_serve && config.is_none() => {
                let file = arguments.next().ok_or("--config names no file: --config <FILE>")?;
                config = Some(PathBuf::from(file));
            }
            text if is_serve && config.is_none() && text.starts_with("--config=") => {
                config = text.strip_prefix("--config=").map(PathBuf::from);
            }
            "--config" => return Err("--config is an option of the command `serve`, given once".to_owned()),
            _ => return Err(format!("unexpected argument '{}'", argument.display())),
        }
    }
    match (is_serve, config) {
        (true, Some(config)) if !config.as_os_str().is_empty() => Ok(Command::Serve(config)),
        (true, _) => Err("the configuration is missing: sillage-gateway serve --config <FILE>".to_owned()),
        (false, _) => Err("a command is missing: sillage-gateway serve --config <FILE>".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn the_command_line_is_read() {
        let serve = Ok(Command::Serve("a.toml".into()));
        assert_eq!(parsed("serve --config a.toml"), serve);
        assert_eq!(parsed("serve --config=a.toml"), serve);
        for help in ["-h", "--help", "help", "serve --help", "serve --config a.toml -h"] {
            assert_eq!(parsed(help), Ok(Command::Help), "{help}");
        }
        assert_eq!(parsed("--version"), Ok(Command::Version));
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused_with_the_way_out() {
        for (line, way_out) in [
            ("serve", "--config <FILE>"),
            ("serve --config", "--config <FILE>"),
            ("serve --config=", "--config <FILE>"),
            ("--config a.toml", "`serve`"),
            ("serve --config a --config b", "once"),
            ("serve serve", "'serve'"),
            ("run", "'run'"),
        ] {
            let refused = parsed(line).expect_err(line);
            assert!(refused.contains(way_out), "{line}: {refused}");
        }
    }
}
