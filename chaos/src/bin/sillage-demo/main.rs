//! A day at the *Espace Numérique de Santé* on a real ledger, shown to a person in under a minute: three nodes, six
//! services, a leader that dies half-way, one patient's trace, one proof, what another patient decides and who gets what
//! because of it, and a count of everything at the end.
//!
//! Read [`story`] first: it is the demonstration from top to bottom. [`feed`] sends the events, [`show`] and
//! [`consent`] run the command line that a person would.

mod consent;
mod feed;
mod show;
mod story;

use clap::Parser;
use std::process::ExitCode;

/// A day at the health space on a real ledger of three nodes: recorded, shown, verified, counted
#[derive(Debug, Parser)]
#[command(name = "sillage-demo", version)]
pub struct Args {
    /// Language of what is shown
    #[arg(long, value_enum, default_value_t = Lang::Fr)]
    pub lang: Lang,
    /// How many events happen
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..=2_000_000))]
    pub events: u64,
    /// How many people have a health space
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=200_000))]
    pub patients: u64,
    /// Seed of the day; the same seed tells the same day
    #[arg(long, default_value_t = 2026)]
    pub seed: u64,
    /// Leave the folder with the ledger, its profiles and its logs
    #[arg(long)]
    pub keep: bool,
}

/// Language of what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// French.
    Fr,
    /// English.
    En,
}

impl Lang {
    /// The one of two texts that is in this language.
    pub fn say<'a>(self, fr: &'a str, en: &'a str) -> &'a str {
        if self == Self::Fr { fr } else { en }
    }

    /// As on the command line.
    pub fn token(self) -> &'static str {
        self.say("fr", "en")
    }
}

/// Why the demonstration stopped.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    let result = runtime.block_on(async {
        tokio::select! {
            result = story::tell(&args) => result,
            () = sillage_chaos::process::stop_asked() => Err("stopped; nothing is left running".into()),
        }
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sillage-demo: {error}");
            ExitCode::FAILURE
        }
    }
}
