//! The command line of `sillage-node`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{LimitsConfig, NodeConfig, WitnessConfig};
use crate::dev::{self, Options};
use crate::disk;
use crate::init::authorities::{AuthoritiesPlan, Founders};
use crate::init::gateway::GatewayPlan;
use crate::init::genesis::{LATE_AFTER_MS, LogTerms};
use crate::init::{self, NodePlan, Plan, authorities};
use crate::place::Said;
use crate::{pid, serve};

/// A node of a Sillage log: an append-only audit ledger that anyone can check.
#[derive(Debug, Parser)]
#[command(name = "sillage-node", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole test log on this machine: prints `ready` when it serves, Ctrl-C stops all.
    Dev(DevArgs),
    /// Make the files of a deployment: keys, certificates, genesis, a folder per node.
    Init(InitArgs),
    /// Run one node.
    Serve(ServeArgs),
    /// Let a log be founded anew by its first nodes after the data folders of all of them are gone. The records are
    /// lost.
    Found(FoundArgs),
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Folder of the log: made if it isn't there, reopened if it is.
    #[arg(long)]
    dir: PathBuf,
    /// Number of nodes, 1 or 3, each its own process. A new log has 1 if nothing is said.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["1", "3"]))]
    nodes: Option<String>,
    /// Node i serves on port N + 2(i − 1), and its peers on the next one. A new log begins at 7400.
    #[arg(long, value_name = "N")]
    base_port: Option<u16>,
    /// Name of a new log, as on the first line of its checkpoints: no space, no plus.
    #[arg(long)]
    origin: Option<String>,
    /// How many authorities a new log has. One, if nothing is said, and its key alone does everything; of several, two sign
    /// what touches many. The folder holds the keys of all of them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=16))]
    authorities: Option<u64>,
    /// Start nodes again that die. Without it, `serve --config DIR/node-<i>/node.toml` does.
    #[arg(long)]
    restart: bool,
    /// Also run the gateway (the program `sillage-gateway` beside this one) on the two ports after the nodes': plain HTTP,
    /// then mutual TLS for auditors. sillage.toml names it from then on, and the log keeps it.
    #[arg(long)]
    gateway: bool,
    /// Also run a connector (the program `sillage-connector` beside this one) on the port after the gateway's two: FHIR over HTTP on
    /// this machine. sillage.toml says from then on where (`fhir`) and with which token (`fhir_token`), and the log keeps it.
    #[arg(long)]
    connector: bool,
    /// Also run a portal (the program `sillage-portal` beside this one) on the three ports after the connector's: the patient's pages, and
    /// a login for development that lets choose a demonstration patient. sillage.toml says from then on where (`portal`), and the log
    /// keeps it.
    #[arg(long)]
    portal: bool,
    /// A witness that cosigns checkpoints (c2sp.org/tlog-witness); repeatable. They take the place of those that were
    /// named before.
    #[arg(long = "witness", value_name = "URL=VKEY", value_parser = witness)]
    witnesses: Vec<WitnessConfig>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Give up when the log doesn't serve after so many seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    wait: u64,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder for the files; what is there is never overwritten.
    #[arg(long)]
    dir: PathBuf,
    /// Name of the log, as on the first line of its checkpoints: a name you own, no space, no plus.
    #[arg(long)]
    origin: String,
    /// The nodes: id=host:clientport:peerport, separated by commas. Ids begin at 1. Three survive the loss of one, five of
    /// two; an even number survives no more than one node fewer would.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID=HOST:PORT:PORT")]
    nodes: Vec<NodePlan>,
    /// Address to listen on; without it the node's host where it is an IP address, else all addresses.
    #[arg(long)]
    listen: Option<String>,
    /// A log for test and demonstration identities.
    #[arg(long)]
    test_log: bool,
    /// Name of the authority, the party that registers all others.
    #[arg(long, default_value = "authority")]
    authority: String,
    /// The authorities: how many, each with a key that is made in a folder of its own, or files with their public keys
    /// (`sillage keys new` prints one), separated by commas, so that no key ever leaves its holder.
    #[arg(long, default_value = "2", value_name = "N|FILES")]
    authorities: Founders,
    /// How many authorities sign what touches many: two, if nothing is said. Fewer than there are: then the others can replace
    /// a key that was lost.
    #[arg(long, value_name = "M")]
    rule: Option<u32>,
    /// One authority's key alone does everything, also for whoever steals it: needed with --authorities 1 or --rule 1.
    #[arg(long)]
    one_key_suffices: bool,
    /// First patient tag that the log is for (64 hexadecimal characters).
    #[arg(long, value_parser = tag, value_name = "HEX")]
    tag_first: Option<Tag>,
    /// Last patient tag that the log is for, included.
    #[arg(long, value_parser = tag, value_name = "HEX")]
    tag_last: Option<Tag>,
    /// An access recorded later than this after it happened is flagged LATE, in milliseconds.
    #[arg(long, default_value_t = LATE_AFTER_MS, value_name = "MS")]
    late_after_ms: u64,
    /// The patient index has 2^N buckets: 23 for 70 million patients.
    #[arg(long, default_value_t = 23, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=30))]
    index_depth: u32,
    /// Events a second that an author may record, where its registration says nothing.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    quota: u32,
    /// How long the certificates are valid.
    #[arg(long, default_value_t = 10, value_name = "YEARS")]
    valid_years: u32,
    /// Also make a party with every role but the authority's and a patient's, and its profile sillage.toml. The
    /// profile names the authority's keys too: for tests, not for a machine that others use.
    #[arg(long)]
    with_profile: bool,
    /// Also make a gateway's party and folder: its host, its HTTP port and its port with mutual TLS.
    #[arg(long, value_name = "HOST:PORT:TLSPORT")]
    with_gateway: Option<GatewayPlan>,
    /// A witness that cosigns checkpoints (c2sp.org/tlog-witness); repeatable.
    #[arg(long = "witness", value_name = "URL=VKEY", value_parser = witness)]
    witnesses: Vec<WitnessConfig>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The node's configuration, as `init` or `dev` wrote it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// The reason why a folder is at another place than its node ran.
#[derive(Clone, Copy, Debug, Args)]
struct PlaceArgs {
    /// The node was moved here: its folder is at another address, or on another machine, than it noted. Only where the node
    /// runs nowhere else any more.
    #[arg(long)]
    moved: bool,
    /// A copy to look at: no witness, no peers, read only. Each reading is written into the node's own log, because
    /// nothing can be put on record.
    #[arg(long, conflicts_with = "moved")]
    isolated: bool,
}

impl From<PlaceArgs> for Said {
    fn from(PlaceArgs { moved, isolated }: PlaceArgs) -> Self {
        Self { moved, isolated }
    }
}

#[derive(Debug, Args)]
struct FoundArgs {
    /// The node's configuration, as `init` or `dev` wrote it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Forget the disk that this node ran on. Without it, the command only says what that means.
    #[arg(long)]
    forget_disk: bool,
}

#[derive(Clone, Copy, Debug)]
struct Tag([u8; 32]);

fn tag(text: &str) -> Result<Tag, String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "expected 64 hexadecimal characters".to_owned())?;
    Ok(Tag(bytes))
}

fn witness(text: &str) -> Result<WitnessConfig, String> {
    let (url, vkey) = text.split_once('=').ok_or_else(|| "expected URL=VKEY".to_owned())?;
    let witness = WitnessConfig { url: url.trim_end_matches('/').to_owned(), vkey: vkey.to_owned() };
    witness.check().map(|()| witness)
}

/// Reads the arguments and does what they say. An error is one sentence on the standard error, and exit code 1;
/// arguments that can't be understood are exit code 2.
pub fn run() -> ExitCode {
    // Every command makes keys, or reads them.
    if let Err(error) = pid::keep_memory_private() {
        eprintln!("sillage-node: can't keep the keys in memory private: {error}");
        return ExitCode::FAILURE;
    }
    if let Some(what_to_do) = pid::keep_memory_out_of_swap() {
        eprintln!("sillage-node: {what_to_do}");
    }
    let done = match Cli::parse().command {
        Command::Dev(args) => dev(args),
        Command::Init(args) => init(args),
        Command::Serve(args) => serve::run(&args.config, args.place.into()).map_err(|error| error.to_string()),
        Command::Found(args) => found(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("sillage-node: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn dev(args: DevArgs) -> Result<(), String> {
    let options = Options {
        dir: args.dir,
        nodes: args.nodes.and_then(|count| count.parse().ok()),
        base_port: args.base_port,
        origin: args.origin,
        authorities: args.authorities.map(|count| usize::try_from(count).expect("at most 16")),
        restart: args.restart,
        gateway: args.gateway,
        connector: args.connector,
        portal: args.portal,
        witnesses: args.witnesses,
        said: args.place.into(),
        wait: Duration::from_secs(args.wait),
    };
    dev::run(&options).map_err(|error| error.to_string())
}

fn init(args: InitArgs) -> Result<(), String> {
    let authorities = authorities(&args)?;
    let mut terms = LogTerms::new(&args.origin);
    (terms.test_log, terms.test_issuer) = (args.test_log, args.test_log);
    terms.tag_first = args.tag_first.map_or(terms.tag_first, |tag| tag.0);
    terms.tag_last = args.tag_last.map_or(terms.tag_last, |tag| tag.0);
    terms.late_after_ms = args.late_after_ms;
    terms.index_depth = args.index_depth;
    terms.quota_events_per_s = args.quota;
    let plan = Plan {
        dir: args.dir,
        terms,
        nodes: args.nodes,
        listen: args.listen,
        authority: args.authority,
        authorities,
        valid_years: args.valid_years,
        with_profile: args.with_profile,
        limits: LimitsConfig::default(),
        gateway: args.with_gateway,
        witnesses: args.witnesses,
    };
    init::create(&plan).map_err(|error| error.to_string())?;
    let dir = plan.dir.display();
    println!(
        "{dir}: carry each node-<id> folder to its machine, start it with `sillage-node serve --config node.toml`,"
    );
    println!("and keep {dir}/keys and {dir}/tls/ca.key where only the authority reaches them.");
    say_who_signs(&plan);
    Ok(())
}

/// The authorities as asked for. That one key suffices has to be said.
fn authorities(args: &InitArgs) -> Result<AuthoritiesPlan, String> {
    let founders = args.authorities.clone();
    let count = u32::try_from(founders.0.len()).expect("at most 16");
    // As with the authority's own key, a profile for tests names them all.
    let in_one_hand = args.test_log && args.with_profile;
    let plan = AuthoritiesPlan { needed: args.rule.unwrap_or(count.min(2)), founders, in_one_hand };
    plan.check()?;
    match plan.is_one_enough() && !args.one_key_suffices {
        false => Ok(plan),
        true => Err(
            "one authority's key alone would do everything, also for whoever steals it: found the log with several \
             (--authorities 3 --rule 2), or say that it is meant with --one-key-suffices"
                .to_owned(),
        ),
    }
}

fn say_who_signs(plan: &Plan) {
    let (dir, keys) = (plan.dir.display(), &plan.authorities.founders.0);
    let (count, needed) = (keys.len(), plan.authorities.needed);
    if keys[0].is_some() {
        println!("The first authority's key goes to {dir}/keys/authority.key.");
    }
    for number in 2..=count {
        let folder = authorities::folder(&plan.dir, number);
        println!("Carry {} to the holder of authority {number}, and leave no copy of it here.", folder.display());
        if keys[number - 1].is_some() {
            println!("Its key goes to keys/authority.key in there.");
        }
    }
    match needed {
        1 => println!("One authority's key alone does everything in this log, also for whoever steals it."),
        needed => {
            println!(
                "{needed} of {count} authorities sign what touches many (`sillage authority propose`, `sign`, `submit`)."
            );
        }
    }
    if needed > 1 && needed as usize == count {
        println!("Where one of their keys is lost, nobody can replace it: --authorities {} would allow it.", count + 1);
    }
}

fn found(args: &FoundArgs) -> Result<(), String> {
    let config = NodeConfig::load(&args.config).map_err(|error| error.to_string())?;
    let genesis = serve::read_genesis(&config.genesis).map_err(|error| error.to_string())?;
    disk::forget(&config, &args.config, &genesis, args.forget_disk).map_err(|error| error.to_string())?;
    let (id, file) = (config.id, args.config.display());
    println!("node {id} has forgotten its disk: the next start founds {} anew, once all first nodes", genesis.origin);
    println!("have met. Start it with `sillage-node serve --config {file}`.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nodes_are_read_and_refused() {
        let args = ["sillage-node", "init", "--dir", "d", "--origin", "o.example/log"];
        let nodes = "1=10.0.0.1:7400:7401,2=[fd00::2]:7400:7401";
        let cli = Cli::try_parse_from(args.iter().chain(&["--nodes", nodes])).unwrap();
        let Command::Init(init) = cli.command else { panic!("not init") };
        assert_eq!(init.nodes[1].host, "fd00::2");
        assert_eq!(init.nodes[1].peer_address(), "[fd00::2]:7401");
        for bad in ["1=host:7400", "0=host:1:2", "1=host:7400:7400", "host:1:2", "1=:1:2", "1=h:1:70000"] {
            assert!(Cli::try_parse_from(args.iter().chain(&["--nodes", bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn that_one_key_suffices_has_to_be_said() {
        let args = ["sillage-node", "init", "--dir", "d", "--origin", "o.example/log", "--nodes", "1=host:1:2"];
        let planned = |more: &[&str]| {
            let cli = Cli::try_parse_from(args.iter().chain(more)).unwrap();
            let Command::Init(init) = cli.command else { panic!("not init") };
            authorities(&init).map(|plan| (plan.founders.0.len(), plan.needed))
        };
        assert_eq!(planned(&[]), Ok((2, 2)), "two, if nothing is said");
        assert_eq!(planned(&["--authorities", "3"]), Ok((3, 2)));
        assert_eq!(planned(&["--authorities", "3", "--rule", "3"]), Ok((3, 3)));
        for alone in [&["--authorities", "1"][..], &["--rule", "1"]] {
            let why = planned(alone).unwrap_err();
            assert!(why.contains("--one-key-suffices"), "{why}");
            assert!(planned(&[alone, &["--one-key-suffices"]].concat()).is_ok());
        }
        assert!(planned(&["--rule", "3"]).unwrap_err().contains("--rule 3"), "more than there are");
    }

    #[test]
    fn only_one_or_three_nodes_are_for_development() {
        let args = ["sillage-node", "dev", "--dir", "d", "--nodes"];
        assert!(Cli::try_parse_from(args.iter().chain(&["3"])).is_ok());
        assert!(Cli::try_parse_from(args.iter().chain(&["2"])).is_err());
    }
}
