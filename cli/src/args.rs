//! The command line, word for word: scripts rely on it.

use super::lang::{langs, of_environment};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::authority_args::{AuthorityCommand, ReinstateArgs, VoidArgs, VoidedArgs};
use super::authorize_args::AuthorizeArgs;
use super::break_glass_args::BreakGlassCommand;
use super::consent_args::ConsentCommand;
use super::device_args::DeviceArgs;
use super::doors_args::{ContestCommand, SourcesCommand};
use super::emergency_mode_args::EmergencyModeCommand;
use super::identity::IdentityCommand;
use super::keys_args::{ROLES_HELP, RolesArgs, VouchedArgs, VouchingArgs};
use super::limits_args::{EmbargoCommand, ItemsArgs, OpposeCommand, ProfessionalArgs, SecrecyCommand, SpaceCommand};
use super::member_args::MemberCommand;
use super::policy::PolicyTestArgs;
use super::policy_publish::PolicyPublishArgs;
use super::represent_args::{ActorCommand, AttendingCommand, RepresentCommand, TeamCommand};
use super::shell::{CompletionsArgs, ManArgs};

/// Records what happens to health data, shows a patient its trace, and checks both against signed checkpoints.
#[derive(Debug, Parser)]
#[command(name = "sillage", version, arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    /// Profile: endpoints, certificates, keys (`sillage-node dev` writes DIR/sillage.toml)
    #[arg(long, global = true, env = "SILLAGE_PROFILE", value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Seconds to keep trying before giving up
    #[arg(long, global = true, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub timeout: u64,
    /// Write what an authority would sign into this new file, for other authorities to sign, instead of submitting it
    #[arg(long, global = true, value_name = "FILE")]
    pub propose: Option<PathBuf>,
    /// Language of errors, remarks and texts; without it, what LC_ALL, LC_MESSAGES or LANG say
    #[arg(long, global = true, value_parser = langs(), value_name = "LANG")]
    pub lang: Option<Lang>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record events: NDJSON, one record a line
    Record(RecordArgs),
    /// Import audit events and consents of other systems
    Import(ImportArgs),
    /// Show who accessed a patient's data, newest first
    Trace(TraceArgs),
    /// Show one entry of the log
    Entry(EntryArgs),
    /// Show the newest checkpoint, after checking its signatures
    Checkpoint(CheckpointArgs),
    /// Replay the log and check everything that it says (role auditor)
    Audit(AuditArgs),
    /// Cosign checkpoints of any C2SP log, so that none of them can show two histories
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Write a patient's trace for other systems, or the log as static files
    Export(ExportArgs),
    /// Make proofs that anyone can check offline
    #[command(subcommand)]
    Prove(ProveCommand),
    /// Check proofs and checkpoints offline
    Verify(VerifyArgs),
    /// The nodes
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The author's streams
    #[command(subcommand)]
    Stream(StreamCommand),
    /// Descriptions of formats
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// The rules by which the ledger decides
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Erase the content of records; the entries and every proof stay (the profile needs `authority_key`)
    Erase(EraseArgs),
    /// Keys of parties, of the nodes and of the log: acts of the authority
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Acts that several authorities sign, and limits a day
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// Links and corrections of identities, which a second party confirms
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Ask "may this actor do this with these documents?": the answer is on record, and signed
    Authorize(AuthorizeArgs),
    /// Permissions and denials of a patient, and who can open what because of them
    #[command(subcommand)]
    Consent(Box<ConsentCommand>),
    /// Hide documents from everybody but their depositor
    Mask(ItemsArgs),
    /// Show masked documents again
    Unmask(ItemsArgs),
    /// Block a professional by name
    Block(ProfessionalArgs),
    /// Unblock a professional
    Unblock(ProfessionalArgs),
    /// Oppose the health space, emergency access, or the deposits of a source
    #[command(subcommand)]
    Oppose(OpposeCommand),
    /// The health space itself
    #[command(subcommand)]
    Space(SpaceCommand),
    /// Documents that a person explains to the patient before they are shown
    #[command(subcommand)]
    Embargo(EmbargoCommand),
    /// A minor's secrets from representatives
    #[command(subcommand)]
    Secrecy(SecrecyCommand),
    /// Representatives
    #[command(subcommand)]
    Represent(RepresentCommand),
    /// The care team
    #[command(subcommand)]
    Team(TeamCommand),
    /// The attending doctor
    #[command(subcommand)]
    Attending(AttendingCommand),
    /// Emergency access: opened, justified, closed, reviewed
    #[command(subcommand)]
    BreakGlass(BreakGlassCommand),
    /// What patients ask of this party about a line of their trace, and its answers
    #[command(subcommand)]
    Contest(ContestCommand),
    /// The systems that should record, and which of them are silent
    #[command(subcommand)]
    Sources(SourcesCommand),
    /// Actors: acts of the authority
    #[command(subcommand)]
    Actor(ActorCommand),
    /// Go on while the ledger is out of reach, and hand everything in afterwards
    #[command(subcommand)]
    EmergencyMode(EmergencyModeCommand),
    /// Print what makes a shell complete these commands
    Completions(CompletionsArgs),
    /// Write the manual pages (`cargo xtask man` does)
    #[command(hide = true)]
    Man(ManArgs),
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Run decision scenarios offline, through the code that decides in the ledger (docs/scenarios.md); exit code 1 if
    /// an outcome differs from the file
    Test(PolicyTestArgs),
    /// Publish the policy, the matrix or the catalogue: it replaces the one before (the profile needs `authority_key`)
    Publish(PolicyPublishArgs),
}

#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The events; `-` is standard input. A rerun of the same FILE goes on where it stopped: a file is known by its whole
    /// content, so put further events into a new one. `-` is always new input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Append the signed receipts to this file, one JSON line each
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
    /// Records in one batch, at most 4096
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "N")]
    pub batch: u32,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// FHIR R4 AuditEvents (IHE BALP) and Consents (IHE PCF): files, folders, Bundles, NDJSON
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub fhir: Vec<PathBuf>,
    /// Reference → INS, as JSON object or CSV `reference,ins[,oid]`
    #[arg(long, value_name = "FILE")]
    pub patient_map: Option<PathBuf>,
    /// The FHIR server of files without `fullUrl`, and of `Patient/1` in the map: an event with an id is recorded once for each
    /// server
    #[arg(long, value_name = "URL", default_value = "")]
    pub source: String,
    /// Give patients without an INS a demonstration identity made from their reference (test logs only): each line of result
    /// names it as `demo_patient`
    #[arg(long)]
    pub demo_patients: bool,
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS")]
    pub patient: String,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
    /// Only events at or after this time (RFC 3339, or a date in Paris time)
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only events before this time, or until the end of this day in Paris
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only this actor
    #[arg(long, value_name = "ID")]
    pub actor: Option<String>,
    /// Only this organisation
    #[arg(long, value_name = "ID")]
    pub organisation: Option<String>,
    /// Only this kind, such as `access.read`, or a whole group, such as `access`
    #[arg(long, value_name = "K")]
    pub kind: Option<String>,
    /// Only events on documents of this category, such as LAB
    #[arg(long, value_name = "TOKEN")]
    pub category: Option<String>,
    /// Only events on this document
    #[arg(long, value_name = "ID")]
    pub document: Option<String>,
    /// Only break-glass, or only accesses without justification
    #[arg(long, value_name = "WHAT")]
    pub only: Option<Only>,
    /// At most this many lines, 1 to 500
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: Option<u32>,
    /// Go on after a page, with the same filters
    #[arg(long, value_name = "C")]
    pub cursor: Option<String>,
    /// One JSON object a line; if there is more, the last line has the field `next_cursor`
    #[arg(long)]
    pub json: bool,
    /// Under each sentence, the identifiers of actor, structure and documents, and the service that recorded it
    #[arg(long)]
    pub details: bool,
    /// Each reading of the trace on a line of its own, instead of one line for each reader with a count
    #[arg(long)]
    pub each_reading: bool,
    /// Check that every line is in the log, under a signed checkpoint
    #[arg(long)]
    pub verify: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    BreakGlass,
    Unjustified,
}

pub use sillage_words::Lang;

#[derive(Debug, Args)]
pub struct EntryArgs {
    /// Place in the log, from 0
    pub index: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ExportArgs {
    #[command(subcommand)]
    pub command: Option<ExportCommand>,
    #[command(flatten)]
    pub patient: Option<ExportPatientArgs>,
}

#[derive(Debug, Args)]
pub struct ExportPatientArgs {
    /// INS of the patient, 15 characters: the whole trace and the directives (the reading is on record)
    #[arg(long, value_name = "INS")]
    pub patient: String,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
    /// A FHIR R4 Bundle, NDJSON as `trace --json` prints it, or CSV (docs/fhir.md)
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Where to: a new file that only its owner may read
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Fhir,
    Json,
    Csv,
}

#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Checkpoint and tiles as c2sp.org/tlog-tiles lays them out; files that are there and right are kept
    Tiles {
        /// Where to: made if it isn't there, brought up to date if it is
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Also the entries, in bundles (role auditor; each reading is on record): linkable health data
        #[arg(long)]
        entries: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ProveCommand {
    /// Prove that an entry is in the log: a c2sp.org/tlog-proof@v1 file
    Inclusion {
        /// Place in the log, from 0
        index: u64,
        /// In the log of this size; without it, of the newest checkpoint
        #[arg(long, value_name = "N")]
        size: Option<u64>,
        /// Write here instead of to standard output
        #[arg(long, value_name = "F.tlog-proof")]
        out: Option<PathBuf>,
    },
    /// Prove that a patient's trace is complete: a .sillage-trace file (docs/formats.md §10)
    Patient(ProvePatientArgs),
    /// Prove that today's keys and nodes follow from those of an older policy, and write the policy that names them
    Keys {
        /// The policy that you trust (c2sp.org/tlog-policy)
        #[arg(long, value_name = "F")]
        policy: PathBuf,
        /// Write the new policy here; everything else in it stays
        #[arg(long, value_name = "F")]
        out: PathBuf,
    },
    /// Prove that the log of one size begins with the log of a smaller one
    Consistency {
        /// The smaller size
        old: u64,
        /// The larger size
        new: u64,
    },
}

#[derive(Debug, Args)]
pub struct ProvePatientArgs {
    /// INS of the patient, 15 characters; also as --patient
    #[arg(value_name = "INS", required_unless_present = "patient")]
    pub named: Option<String>,
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS", conflicts_with = "named")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
    /// Write here; the file holds health data, only its owner may read it
    #[arg(long, value_name = "F.sillage-trace")]
    pub out: PathBuf,
    /// Only entries that came after this file
    #[arg(long, value_name = "F.sillage-trace", conflicts_with_all = ["from", "to"])]
    pub since: Option<PathBuf>,
    /// A page: from this entry on, counted from 0
    #[arg(long, value_name = "N")]
    pub from: Option<u64>,
    /// A page: up to this entry, exclusive
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Wait for a checkpoint that satisfies this policy; without it, the log's own and a majority of the nodes
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// The secret part of the trace, which representatives don't see
    #[arg(long)]
    pub secret: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

impl ProvePatientArgs {
    /// The INS, however it was given.
    pub fn ins(&self) -> &str {
        self.patient.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Patient bundles (.sillage-trace), receipts of decisions (.sillage-receipt), reports of connectors, tlog-proof files and checkpoints
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Whose signatures count (c2sp.org/tlog-policy)
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// The entry of a proof file that doesn't carry it
    #[arg(long, value_name = "FILE", conflicts_with = "leaf_hash")]
    pub entry: Option<PathBuf>,
    /// The leaf hash of a proof file that doesn't carry its entry
    #[arg(long, value_name = "HEX")]
    pub leaf_hash: Option<String>,
    /// Fail unless the cosigners that are needed signed at most this long ago: `300s`, `5m`, `1h`
    #[arg(long, value_name = "D", value_parser = super::checkpoint::parse_age)]
    pub max_age: Option<std::time::Duration>,
    /// As of this moment (RFC 3339, or a date: its midnight in Paris) instead of now: whether receipts are valid, and --max-age
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// One JSON object a file
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Whose signatures count (c2sp.org/tlog-policy); without it, the log's own and a majority of the nodes
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// Fail unless the cosigners that are needed signed at most this long ago: `300s`, `5m`, `1h`
    #[arg(long, value_name = "D", value_parser = super::checkpoint::parse_age)]
    pub max_age: Option<std::time::Duration>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// A checkpoint that you trust: the log must have its root at its size
    #[arg(long, value_name = "F")]
    pub from: Option<PathBuf>,
    /// Keep the state of the replay here, and go on from it the next time
    #[arg(long, value_name = "F")]
    pub state: Option<PathBuf>,
    /// After a clean replay, cosign the checkpoint with the profile's author key
    #[arg(long)]
    pub cosign: bool,
    /// Go on with every newer checkpoint
    #[arg(long)]
    pub follow: bool,
    /// Instead of a replay, check that each promise of this file (`record --receipts`) was kept
    #[arg(long, value_name = "F", conflicts_with_all = ["from", "state", "cosign", "follow"])]
    pub receipts: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Say whether two checkpoints are of one history; if not, show the evidence
    Compare {
        /// A checkpoint
        a: PathBuf,
        /// Another
        b: PathBuf,
        /// Whose signatures count (c2sp.org/tlog-policy); without it, those of the profile's log and its nodes
        #[arg(long, value_name = "F")]
        policy: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum WitnessCommand {
    /// Make a key and a configuration
    Init {
        /// New folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Name of the key, a URL without scheme, such as `witness.example/w1`
        #[arg(long)]
        name: String,
        /// Key of a log to cosign for, a vkey line; repeatable
        #[arg(long, value_name = "VKEY", required_unless_present = "log_policy")]
        log: Vec<String>,
        /// Cosign for the logs of this policy, and only checkpoints that reach its quorum; repeatable
        #[arg(long, value_name = "F")]
        log_policy: Vec<PathBuf>,
    },
    /// Answer `add-checkpoint` over HTTP (c2sp.org/tlog-witness)
    Serve {
        /// Its folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Address and port
        #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDR")]
        listen: std::net::SocketAddr,
    },
    /// Show the checkpoint that was cosigned last, for each log
    Status {
        /// Its folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["record", "patient", "expired"])), after_long_help = RETENTION_HELP)]
pub struct EraseArgs {
    /// The record at this place in the log
    #[arg(long, value_name = "INDEX", requires = "ground")]
    pub record: Option<u64>,
    /// All records of a patient, in both parts of the trace: INS, 15 characters
    #[arg(long, value_name = "INS", requires = "ground")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// Why, in one line, for the record: who ordered it. A ground that begins with RETENTION is refused for what is
    /// younger than three years
    #[arg(long, value_name = "G", conflicts_with = "expired")]
    pub ground: Option<String>,
    /// Records whose time of keeping is over (roles auditor and operator)
    #[arg(long, requires = "rules")]
    pub expired: bool,
    /// The rules of retention, see below
    #[arg(long, value_name = "F", requires = "expired")]
    pub rules: Option<PathBuf>,
    /// Only show what has expired
    #[arg(long, requires = "expired")]
    pub dry_run: bool,
    /// Wait until every node has destroyed the old keys, instead of within 24 hours
    #[arg(long)]
    pub now: bool,
    /// Write the erasure into this file, for other authorities to sign, instead of submitting it; of a patient, that of what is
    /// kept from representatives into another one beside it, FILE.secret
    #[arg(long, value_name = "FILE", conflicts_with_all = ["now", "dry_run"])]
    pub propose: Option<PathBuf>,
}

const RETENTION_HELP: &str = r#"Rules of retention (TOML):

  years = 10                   # where no rule says otherwise; 10 if left out, at least 3
  ground = "ten years"         # for the record; it begins with RETENTION there

  [[rule]]                     # the first rule that fits decides
  kind = "emergency"           # a kind such as access.read, or a whole group; left out: all
  source = "DMP"               # name or author id (hex) of the service that signed; left out: all
  years = 20
  ground = "twenty years, decision 17""#;

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Leader, term, commit, applied, tree size, root, per node
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add, promote, remove and replace nodes (but for `list`, the profile needs `authority_key`; to make a node's
    /// folder also `ca_key`)
    #[command(subcommand)]
    Member(MemberCommand),
    /// Hand leadership to another node
    MoveLeader {
        /// The node that is to lead
        id: u64,
    },
}

#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// Show the state of each of the author's streams
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// JSON Schema of a record line
    Record,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Register a party
    Register(Box<RegisterArgs>),
    /// Make a key: a file that only its owner may read; the public key is printed
    New {
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Tell the patient, under their secret tag, of a device; `register --later` put this off
    Tell {
        /// The file that it wrote
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// INS of the patient
        #[arg(long, value_name = "INS")]
        patient: String,
        /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
        #[arg(long, value_name = "OID")]
        oid: Option<String>,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Give a party, a node or the log a new key; the old one signs nothing from here on
    #[command(group(clap::ArgGroup::new("whose").required(true).args(["author", "node", "log"])))]
    Rotate {
        /// Author id of the party, hex
        #[arg(long, value_name = "HEX")]
        author: Option<String>,
        /// The node whose cosignatures and receipts the new key signs: name its file first as `node_key_next` in the
        /// node's configuration, and start the node anew
        #[arg(long, value_name = "ID")]
        node: Option<u64>,
        /// The log itself: name the key's file first as `log_key_next` on every node that has the log's key
        #[arg(long)]
        log: bool,
        /// The new public key, hex
        #[arg(long, value_name = "HEX")]
        public_key: String,
        /// A certificate that the party calls with from now on, PEM
        #[arg(long, value_name = "FILE", requires = "author")]
        cert: Vec<PathBuf>,
    },
    /// Give a party other roles: all of them from now on
    #[command(after_long_help = ROLES_HELP)]
    Roles(RolesArgs),
    /// Change whom a party vouches for
    Vouching(VouchingArgs),
    /// Revoke a key
    Revoke {
        /// Key id, hex
        #[arg(long, value_name = "HEX")]
        key: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// Publish an issuer whose logins prove patients' decisions; it replaces the earlier act on this issuer, and
    /// without keys withdraws it
    Issuer {
        /// A JSON object as docs/formats.md §20 says it (`sillage schema record`: act.issuer)
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Void what a key or a party signed: the records stay, and count for nothing
    Void(VoidArgs),
    /// Let the records that an act voided count again
    Reinstate(ReinstateArgs),
    /// Acts that voided records, and decisions to review because of them
    Voided(VoidedArgs),
    /// List parties, and the keys that sign for the log and its nodes
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_long_help = ROLES_HELP)]
pub struct RegisterArgs {
    /// Name of the service
    #[arg(long)]
    pub name: String,
    /// Its roles, see below; comma-separated, or named again
    #[arg(long = "role", alias = "roles", value_delimiter = ',', value_name = "ROLE")]
    pub roles: Vec<String>,
    #[command(flatten)]
    pub vouching: VouchedArgs,
    /// Its public key, hex
    #[arg(long, value_name = "HEX", required_unless_present = "out")]
    pub public_key: Option<String>,
    /// A certificate that it calls with, PEM
    #[arg(long, value_name = "FILE")]
    pub cert: Vec<PathBuf>,
    /// Make key, certificate and profile into this new folder (the profile needs `ca_key`)
    #[arg(long, value_name = "DIR", conflicts_with_all = ["public_key", "cert"])]
    pub out: Option<PathBuf>,
    /// Records a second; 0 = the log's default
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub quota: u32,
    /// Role patient: INS of the patient whose trace it may read
    #[arg(long, value_name = "INS")]
    pub patient: Option<String>,
    /// Role patient: OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    #[command(flatten)]
    pub device: DeviceArgs,
}
