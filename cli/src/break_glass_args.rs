//! The command line of break-glass.

use super::lang::{langs, of_environment};
use clap::{Args, Subcommand};

use super::consent_args::{By, ChangeArgs, How};
use sillage_words::Lang;

/// Only health professionals break the glass, and they answer for it by name.
const ACTOR_HELP: &str = "The health professional: an RPPS number, or `system|id`";
const PROFESSION_HELP: &str = "Profession, a token such as physician: it says whether this case is theirs to open";

#[derive(Debug, Subcommand)]
pub enum BreakGlassCommand {
    /// Open one: a health professional, for a time, with a reason
    Open(OpenArgs),
    /// Say afterwards why it was needed
    #[command(mut_arg("actor", |arg| arg.required(true).help(ACTOR_HELP)))]
    Justify {
        /// Its id
        #[arg(value_name = "BREAKGLASS")]
        id: String,
        /// Why, in words that the patient will read
        #[arg(long)]
        text: String,
        #[command(flatten)]
        of: MaybeWhose,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        how: How,
    },
    /// Close it before it expires
    #[command(mut_arg("actor", |arg| arg.required(true).help(ACTOR_HELP)))]
    Close {
        /// Its id
        #[arg(value_name = "BREAKGLASS")]
        id: String,
        #[command(flatten)]
        of: MaybeWhose,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        how: How,
    },
    /// Say whether it was right; the party that opened it can't
    Review {
        /// Its id
        #[arg(value_name = "BREAKGLASS")]
        id: String,
        /// JUSTIFIED or NOT_JUSTIFIED
        #[arg(long, value_name = "VERDICT", value_parser = ["JUSTIFIED", "NOT_JUSTIFIED"])]
        verdict: String,
        /// Why, in words that the patient will read
        #[arg(long)]
        text: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// The register of emergency accesses (roles auditor and reader)
    List {
        /// Only those that are open
        #[arg(long)]
        open: bool,
        /// Only those whose justification is overdue
        #[arg(long)]
        overdue: bool,
        #[command(flatten)]
        only: ListFilter,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
}

/// Which rows of the register.
#[derive(Debug, Clone, Default, Args)]
#[command(group(clap::ArgGroup::new("reviewed_or_not").args(["reviewed", "not_reviewed"])))]
pub struct ListFilter {
    /// Only those that were open at this time or later (RFC 3339, or a date: from its midnight in Paris)
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only those that were opened before this time (RFC 3339, or a date, which is included)
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only those that nobody has justified, whether that is due yet or not
    #[arg(long)]
    pub not_justified: bool,
    /// Only those that were reviewed
    #[arg(long)]
    pub reviewed: bool,
    /// Only those that nobody has reviewed
    #[arg(long)]
    pub not_reviewed: bool,
    /// Only those that a review found so: JUSTIFIED or NOT_JUSTIFIED
    #[arg(long, value_name = "VERDICT", value_parser = ["JUSTIFIED", "NOT_JUSTIFIED"])]
    pub verdict: Option<String>,
    #[command(flatten)]
    pub of: MaybeWhose,
}

/// Whose data; none where the patient isn't identified yet.
#[derive(Debug, Clone, Default, Args)]
pub struct MaybeWhose {
    /// INS of the patient, 15 characters; without it, the patient isn't identified yet
    #[arg(long, value_name = "INS")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("place").required(true).args(["position", "no_position"])),
    mut_arg("actor", |arg| arg.required(true).help(ACTOR_HELP)),
    mut_arg("actor_profession", |arg| arg.required(true).help(PROFESSION_HELP))
)]
pub struct OpenArgs {
    #[command(flatten)]
    pub of: MaybeWhose,
    /// INCAPACITY (the patient can't express a will), SAMU (a call is regulated), FIRE (the fire brigade)
    #[arg(long, value_name = "CASE")]
    pub case: String,
    /// Why, in a word or two
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Why, in more words
    #[arg(long)]
    pub text: Option<String>,
    /// Until this time, or for this long: `30m`, `4h`
    #[arg(long, value_name = "T|D")]
    pub expires: String,
    /// How the patient was found: INS, TRAITS, NONE, or another token
    #[arg(long, default_value = "INS", value_name = "TOKEN")]
    pub search: String,
    /// Where: latitude, longitude, radius in metres, source (GPS, NETWORK, SITE)
    #[arg(long, value_name = "LAT,LON,M,SOURCE", allow_hyphen_values = true)]
    pub position: Option<String>,
    /// When the position was measured; without it, now
    #[arg(long, value_name = "T", requires = "position")]
    pub position_at: Option<String>,
    /// Why the place is unknown: REFUSED, UNAVAILABLE, INDOORS, or another token
    #[arg(long, value_name = "TOKEN")]
    pub no_position: Option<String>,
    /// Id of the break-glass that was opened before the patient was identified
    #[arg(long, value_name = "BREAKGLASS")]
    pub continues: Option<String>,
    /// Id; without it, one is made
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    #[command(flatten)]
    pub by: By,
    #[command(flatten)]
    pub how: How,
}
