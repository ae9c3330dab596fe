//! The command line for a shell and for `man`: completions and manual pages.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sillage_client::error::ClientError;

use super::help;
use crate::Ended;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell: the script goes to standard output
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can complete commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for the pages, one for each command
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs) -> Result<Ended, ClientError> {
    use std::io::Write as _;
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "sillage", &mut script);
    let written = std::io::stdout().write_all(&script);
    written.map_err(|error| ClientError::Usage(format!("cannot write to standard output: {error}")))?;
    Ok(Ended::Done)
}

/// Writes the manual pages.
pub fn man(args: &ManArgs) -> Result<Ended, ClientError> {
    write_pages(&args.out)?;
    Ok(Ended::Done)
}

fn write_pages(dir: &Path) -> Result<(), ClientError> {
    let failed = |error: std::io::Error| ClientError::writing(dir, error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(help::command(), dir).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write_pages(dir.path()).expect("written");
        for (page, wanted) in [
            ("sillage.1", "patient"),
            ("sillage-trace.1", "\\-\\-patient"),
            ("sillage-consent-grant.1", "sillage consent grant"),
        ] {
            let text = std::fs::read_to_string(dir.path().join(page)).expect(page);
            assert!(text.contains(wanted), "{page}: {text}");
        }
    }

    #[test]
    fn every_shell_completes_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut help::command(), "sillage", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("break-glass") && script.contains("--patient") || script.contains("patient"));
        }
    }
}
