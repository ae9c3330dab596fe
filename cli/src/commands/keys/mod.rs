//! `keys`: acts of the authority, and the list of parties.

mod device;
mod register;
mod void;
mod vouching;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use sillage_client::error::ClientError;
use sillage_client::profile::{read, write_seed};
use sillage_client::session::Session;
use sillage_client::trust::rotation::Holder;
use sillage_proof::keys::{AuthorId, PublicKey, SigningKey};
use sillage_proof::note::VerifierKey;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::line::IssuerLine;
use sillage_rules::roles::Roles;

use self::device::DeviceArgs;
use self::register::{RegisterArgs, spki};
use self::void::{ReinstateArgs, VoidArgs, VoidedArgs};
use self::vouching::{ROLES_HELP, RolesArgs, VouchingArgs};
use crate::acts::proposal::{rule_in_words, rule_json};
use crate::acts::{print, submit};
use crate::arguments::parse;
use crate::{Context, Ended, output};

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

pub async fn run(context: &Context, command: KeysCommand) -> Result<Ended, ClientError> {
    let session = async || context.session().await;
    match command {
        KeysCommand::New { out } => new_key(&out),
        KeysCommand::Register(args) => register::run(&session().await?, *args).await,
        KeysCommand::Tell { file, patient, oid, device } => {
            device::tell(&session().await?, &file, (&patient, oid.as_deref()), &device).await
        }
        KeysCommand::Rotate { author: Some(author), public_key, cert, .. } => {
            let author_id = parse::<AuthorId>("--author", &author)?;
            let key = parse::<PublicKey>("--public-key", &public_key)?;
            let tls_spki_sha256 = spki(&cert)?;
            let act = Act::Rotated { author_id, key, tls_spki_sha256 };
            let receipt = submit(&session().await?, &act).await?;
            print(&receipt, json!({"author_id": author_id, "key_id": key.key_id()}))
        }
        KeysCommand::Rotate { author: None, node, public_key, .. } => {
            let key = parse::<PublicKey>("--public-key", &public_key)?;
            let (act, holder) = match node {
                Some(node_id) => (Act::NodeKeyRotated { node_id, key }, Holder::Node(node_id)),
                None => (Act::LogKeyRotated { key }, Holder::Log),
            };
            let receipt = submit(&session().await?, &act).await?;
            output::note(
                "it signs from the second checkpoint from now on, which follows the next records: until then, keep the old key's file too",
            );
            print(&receipt, json!({"holder": holder.to_string(), "public_key": key.to_string()}))
        }
        KeysCommand::Revoke { key, reason } => {
            let key_id = parse("--key", &key)?;
            let receipt = submit(&session().await?, &Act::Revoked { key_id, reason }).await?;
            print(&receipt, json!({"key_id": key_id}))
        }
        KeysCommand::Roles(args) => vouching::change_roles(&session().await?, args).await,
        KeysCommand::Vouching(args) => vouching::change(&session().await?, args).await,
        KeysCommand::Issuer { file } => publish_issuer(&session().await?, &file).await,
        KeysCommand::Void(args) => void::void(&session().await?, args).await,
        KeysCommand::Reinstate(args) => void::reinstate(&session().await?, args).await,
        KeysCommand::Voided(args) => void::voided(&session().await?, &args).await,
        KeysCommand::List { json } => list(&session().await?, json).await,
    }
}

/// Publishes an issuer of logins.
async fn publish_issuer(session: &Session, file: &Path) -> Result<Ended, ClientError> {
    let line: IssuerLine = serde_json::from_slice(&read(file)?).map_err(|error| ClientError::reading(file, error))?;
    let issuer = line.to_issuer();
    let issuer = issuer.map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
    let what = json!({"issuer": issuer.url, "keys": issuer.keys.len()});
    let receipt = submit(session, &Act::IssuerPublished(Box::new(issuer))).await?;
    print(&receipt, what)
}

/// Makes a key, and prints its public half alone.
fn new_key(out: &Path) -> Result<Ended, ClientError> {
    let key = SigningKey::generate().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    write_seed(out, &key)?;
    output::line(&key.public_key().to_string())?;
    Ok(Ended::Done)
}

async fn list(session: &Session, as_json: bool) -> Result<Ended, ClientError> {
    let to_line = |party: &v1::Party| {
        let names = Roles::from_bits(party.roles).map(|roles| roles.names().collect::<Vec<_>>()).unwrap_or_default();
        let author_id = hex::encode(&party.author_id);
        if as_json {
            let key = |(id, active): (&Vec<u8>, &bool)| json!({"key_id": hex::encode(id), "active": active});
            let keys: Vec<_> = party.key_ids.iter().zip(&party.key_active).map(key).collect();
            let shown = party.vouching.clone().unwrap_or_default();
            json!({
                "author_id": author_id, "name": party.name, "roles": names, "keys": keys,
                "quota_events_per_s": party.quota_events_per_s,
                "structures": shown.structures, "actor_systems": shown.actor_systems, "issuers": shown.issuers,
                "vouches_for": [party.structures, party.actor_systems, party.issuers],
            })
            .to_string()
        } else {
            let name = sillage_words::sentence::clean(&party.name);
            let active = party.key_ids.iter().zip(&party.key_active).filter(|(_, active)| **active);
            let keys: Vec<String> = active.map(|(id, _)| hex::encode(id)).collect();
            let keys = if keys.is_empty() { "no active key".to_owned() } else { format!("key {}", keys.join(", ")) };
            let vouches = vouching::in_words(party);
            format!("{name}: {}; {vouches}; author {author_id}; {keys}", names.join(", "))
        }
    };
    let (parties, rule) = session.parties_and_rule().await?;
    let mut lines: Vec<String> = parties.iter().map(to_line).collect();
    lines.push(match as_json {
        true => rule_json(rule.as_ref()).to_string(),
        false => rule_in_words(rule.as_ref()),
    });
    lines.extend(signing(session, as_json));
    output::lines(&lines)?;
    Ok(Ended::Done)
}

/// The keys in force of the log and its nodes, as the ledger proves them.
fn signing(session: &Session, as_json: bool) -> Vec<String> {
    let trust = session.keys.newest();
    let nodes = trust.nodes();
    let nodes = nodes.iter().map(|(id, key)| (Holder::Node(*id), *key));
    let keys = std::iter::once((Holder::Log, &trust.log)).chain(nodes);
    let to_line = |(holder, key): (Holder, &VerifierKey)| {
        let since = session.keys.since(holder);
        if as_json {
            let public_key = key.public_key().to_string();
            let holder = holder.to_string();
            json!({"holder": holder, "vkey": key.to_string(), "public_key": public_key, "since": since}).to_string()
        } else {
            format!("{holder} signs with key {}, since entry {since}", key.public_key())
        }
    };
    keys.map(to_line).collect()
}
