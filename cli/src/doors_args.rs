//! The arguments of `sources` and `contest`.

use std::path::PathBuf;

use clap::Subcommand;

use super::consent_args::By;
use super::lang::{langs, of_environment};
use sillage_words::Lang;

#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// Change the list of sources that should record, signed by the ledger's authority
    Publish {
        /// JSON: `listed`, a list of `{id, name_fr, name_en, structure, author_id, answers, since, silent_after_s}`, and
        /// `removed`, a list of ids. `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Which sources record, on which day each was last heard, and which are silent
    List {
        /// Only those of the list that are silent; exit code 1 where there is one
        #[arg(long)]
        silent: bool,
        /// As JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
}

#[derive(Debug, Subcommand)]
pub enum ContestCommand {
    /// The questions that go to the party of the profile, oldest first
    List {
        /// Only those that were neither answered nor closed
        #[arg(long)]
        waiting: bool,
        /// As JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
    /// Answer one
    #[command(mut_arg("actor", |arg| arg.required(true).help("Who answers: an RPPS number, or `system|id`")))]
    Answer {
        /// The number of the contest, as `contest list` shows it
        #[arg(value_name = "INDEX")]
        index: u64,
        /// The answer, in words that the patient will read
        #[arg(long)]
        text: String,
        #[command(flatten)]
        by: By,
    },
}
