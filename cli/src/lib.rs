//! The command line `sillage`. [`commands`] has a file for each command, [`run`] is the way in. Beside them lies what several commands
//! share: `arguments` (and how they are read), `acts` of the authority, `change` (what holds for a patient).
//!
//! Results go to standard output; errors go to standard error as one sentence with the way out. Exit codes: 0 done,
//! 1 a check failed, 2 usage, 3 unavailable, 4 rejected.

mod acts;
mod arguments;
mod certificate;
mod change;
mod check_words;
pub mod commands;
pub mod errors;
#[doc(hidden)]
pub mod fuzz;
pub mod lang;
mod output;
mod recorder;
pub mod table;
mod unknown;
pub mod usage_errors;

pub use output::harmless;

use std::path::PathBuf;
use std::time::Duration;

use commands::Cli;

use sillage_client::channel::Timeouts;
use sillage_client::error::ClientError;
use sillage_client::profile::Profile;
use sillage_client::session::Session;

/// How a command that didn't break off ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// 0.
    Done,
    /// 1: what failed was said already.
    CheckFailed,
}

/// The tools that every command needs to reach the ledger.
pub struct Context {
    profile: Option<PathBuf>,
    timeouts: Timeouts,
    /// Where what an authority would sign is written, instead of being submitted.
    propose: Option<PathBuf>,
}

impl Context {
    fn profile(&self) -> Result<Profile, ClientError> {
        let path = self.profile.as_deref().ok_or_else(|| {
            ClientError::Usage(
                "no profile: name one with --profile FILE or SILLAGE_PROFILE (`sillage-node dev --dir DIR` writes DIR/sillage.toml)".to_owned(),
            )
        })?;
        Profile::load(path)
    }

    async fn session(&self) -> Result<Session, ClientError> {
        let session = Session::open(self.profile()?, self.timeouts).await?;
        Ok(Session { propose: self.propose.clone(), ..session })
    }
}

/// Runs one command.
///
/// # Errors
/// The error that broke it off; its [`ClientError::exit_code`] is the process's.
pub async fn run(cli: Cli) -> Result<Ended, ClientError> {
    let timeouts = Timeouts { total: Duration::from_secs(cli.timeout), ..Timeouts::default() };
    let context = Context { profile: cli.profile, timeouts, propose: cli.propose };
    match commands::run(&context, cli.command).await {
        Err(ClientError::Proposed(path)) => {
            output::note(
                "have other authorities sign it (`sillage authority sign FILE`), then submit it (`sillage authority submit FILE`)",
            );
            output::line(&serde_json::json!({"proposed": path}).to_string())?;
            Ok(Ended::Done)
        }
        ended => ended,
    }
}
