//! `keys`: acts of the authority, and the list of parties.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use sillage_proof::keys::{AuthorId, PublicKey, SigningKey};
use sillage_proof::note::VerifierKey;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::line::IssuerLine;
use sillage_rules::record::{ParsedRecord, act_message};
use sillage_rules::roles::Roles;
use sillage_rules::stream::StreamLabel;

use super::args::{KeysCommand, RegisterArgs};
use super::certificate::{self, issue};
use super::proposed::propose_or_cosign;
use super::{Context, Ended, authority, device, output, void, vouching};
use sillage_client::author::{Stream, VerifiedReceipt};
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::outbox::Source;
use sillage_client::profile::{Profile, read, spki_sha256, write_new, write_private, write_seed};
use sillage_client::session::Session;
use sillage_client::trust::rotation::Holder;
use sillage_fhir::import::patients::DEFAULT_OID;
use sillage_words::time::rfc3339;

pub async fn run(context: &Context, command: KeysCommand) -> Result<Ended, ClientError> {
    let session = async || context.session().await;
    match command {
        KeysCommand::New { out } => new_key(&out),
        KeysCommand::Register(args) => register(&session().await?, *args).await,
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

/// Reads what stands behind an option.
///
/// # Errors
/// With the option's name.
pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(option: &str, text: &str) -> Result<T, ClientError> {
    text.parse().map_err(|error| ClientError::Usage(format!("{option}: {error}")))
}

fn spki(certs: &[PathBuf]) -> Result<Vec<[u8; 32]>, ClientError> {
    certs.iter().map(|path| spki_sha256(path).map(|hash| hash.to_bytes())).collect()
}

/// Signs an act with the authority's key and records it, on a stream of its own, as acts are rare, and over its own
/// certificate, where the profile names one beside the caller's.
///
/// # Errors
/// When the profile has no authority key, or the ledger refuses the act.
pub async fn submit(session: &Session, act: &Act) -> Result<VerifiedReceipt, ClientError> {
    submit_message(session, act_message(act, now_ms())).await
}

/// The same, of the record that carries the act.
///
/// # Errors
/// As for [`submit`].
pub async fn submit_message(session: &Session, record: v1::Record) -> Result<VerifiedReceipt, ClientError> {
    submit_messages(session, vec![record]).await
}

/// The same, of several records that are recorded together or not at all.
///
/// # Errors
/// As for [`submit`].
pub async fn submit_messages(session: &Session, records: Vec<v1::Record>) -> Result<VerifiedReceipt, ClientError> {
    let parsed = records.into_iter().map(|record| {
        let record = ParsedRecord::from_message(record);
        let record = record.map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
        Ok(record.into_bytes())
    });
    submit_encoded(session, parsed.collect::<Result<Vec<_>, ClientError>>()?).await
}

/// The same, of records in their canonical bytes.
///
/// # Errors
/// As for [`submit`].
pub async fn submit_encoded(session: &Session, records: Vec<Vec<u8>>) -> Result<VerifiedReceipt, ClientError> {
    let records = propose_or_cosign(session, records)?;
    let signer = Arc::new(session.signer(session.profile.authority_signing_key()?).await?);
    let random = getrandom::u64().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    let label = StreamLabel::parse(&format!("act.{random:016x}")).expect("a label by construction");
    let mut stream = Stream::fresh(session.authority_client()?, signer, Arc::clone(&session.keys), label);
    stream.send(records, Source::Fresh).await
}

/// Prints where an act is on record, beside `what`.
pub fn print(receipt: &VerifiedReceipt, mut what: serde_json::Value) -> Result<Ended, ClientError> {
    what["index"] = json!(receipt.first_index);
    what["recorded_at"] = json!(rfc3339(receipt.time_ms));
    output::line(&what.to_string())?;
    Ok(Ended::Done)
}

async fn register(session: &Session, mut args: RegisterArgs) -> Result<Ended, ClientError> {
    let roles = vouching::roles(&args.roles)?;
    let mut parts = vouching::in_parts(&vouching::names(std::mem::take(&mut args.vouching))?).into_iter();
    if roles.contains(Roles::PATIENT) != args.patient.is_some() {
        return Err(ClientError::Usage("--role patient and --patient INS go together".to_owned()));
    }
    let first = parts.next().unwrap_or_default();
    let party = |key: PublicKey, tls_spki_sha256: Vec<[u8; 32]>| PartyRegistration {
        key,
        name: args.name.clone(),
        roles,
        tls_spki_sha256,
        quota_events_per_s: args.quota,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching: first.clone(),
    };
    let (key, tls_spki_sha256, made) = match (&args.out, &args.public_key) {
        (Some(dir), _) => {
            let sample = SigningKey::from_seed(&[0x5A; 32]).public_key();
            check_act(session, &args, party(sample, vec![[0x5A; 32]])).await?;
            let made = make_profile(&session.profile, dir, &args.name)?;
            (made.key, vec![made.spki_sha256], Some(made))
        }
        (None, Some(key)) => (parse::<PublicKey>("--public-key", key)?, spki(&args.cert)?, None),
        (None, None) => return Err(ClientError::Usage("name --public-key, or --out to make one".to_owned())),
    };
    let party = party(key, tls_spki_sha256);
    let author_id = party.author_id();
    let further: Vec<v1::Record> = parts.map(|part| vouching::adding(author_id, part)).collect();
    let mut is_on_record = false;
    let registered = match patient_of(session, &args) {
        Some(patient) => device::register(session, party, (&patient, &args.device), further, &mut is_on_record).await,
        None => register_service(session, party, further).await,
    };
    if let (Err(ClientError::Rejected(_)), false, Some(made)) = (&registered, is_on_record, &made) {
        // The ledger has surely not taken the act: neither key nor certificate is anybody's. The next try may have the folder.
        made.remove();
    }
    registered
}

async fn register_service(
    session: &Session,
    party: PartyRegistration,
    further: Vec<v1::Record>,
) -> Result<Ended, ClientError> {
    let what = json!({"name": party.name, "author_id": party.author_id(), "key_id": party.key.key_id()});
    let mut records = vec![act_message(&Act::Registered(party), now_ms())];
    records.extend(further);
    let receipt = submit_messages(session, records).await?;
    print(&receipt, what)
}

fn patient_of<'a>(session: &Session, args: &'a RegisterArgs) -> Option<device::Patient<'a>> {
    let ins = args.patient.as_deref()?;
    let oid = args.oid.as_deref().unwrap_or(DEFAULT_OID);
    Some(device::Patient { ins, oid, auth: device::auth(session, &args.device) })
}

/// Checks what the act would say, before a key or a certificate is made for it.
async fn check_act(session: &Session, args: &RegisterArgs, mut party: PartyRegistration) -> Result<(), ClientError> {
    if let Some(patient) = patient_of(session, args) {
        device::check(session, &patient).await?;
        // What stands for the patient is made when the act is sent.
        party.patient_commitment = Some(sillage_proof::hash::Hash::from_bytes([0x5A; 32]));
    }
    session.profile.authority_signing_key()?;
    let record = ParsedRecord::from_message(act_message(&Act::Registered(party), now_ms()));
    record.map(drop).map_err(|error| ClientError::rejected(error.code, error.to_string()))
}

/// What was made for a new party.
struct Made {
    key: PublicKey,
    spki_sha256: [u8; 32],
    /// Every file and, after what is in them, every folder.
    paths: Vec<PathBuf>,
}

impl Made {
    /// Takes it away again.
    fn remove(&self) {
        for path in &self.paths {
            // A folder in which somebody put something else stays.
            let _ = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        }
    }
}

/// Makes a folder that a new party can work with: keys, a certificate of the log's CA, a profile.
fn make_profile(from: &Profile, dir: &Path, name: &str) -> Result<Made, ClientError> {
    let ca_key = from.ca_key.as_deref().ok_or_else(|| {
        ClientError::Usage(
            "this profile has no `ca_key`: it cannot issue certificates, use --public-key and --cert".to_owned(),
        )
    })?;
    let text = |path: &Path| String::from_utf8(read(path)?).map_err(|error| ClientError::reading(path, error));
    let (ca_pem, ca_key_pem) = (text(&from.ca)?, text(ca_key)?);
    if dir.join("sillage.toml").exists() || dir.join("keys").exists() {
        return Err(ClientError::Usage(format!(
            "{} holds the keys of a party already: name a new folder with --out",
            dir.display()
        )));
    }
    let issued = issue(&ca_pem, &ca_key_pem, certificate::Holder::Caller { name })
        .map_err(|error| ClientError::reading(ca_key, format!("cannot issue a certificate: {error}")))?;
    let key = SigningKey::generate().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    let genesis = read(&from.genesis)?;
    let profile = profile_text(from)?;
    let issuer = from.test_issuer.as_deref().map(read).transpose()?;
    let mut made = Made { key: key.public_key(), spki_sha256: issued.spki_sha256, paths: Vec::new() };
    for folder in [dir.to_owned(), dir.join("tls"), dir.join("keys")] {
        if !folder.exists() {
            made.paths.push(folder.clone());
        }
        std::fs::create_dir_all(&folder).map_err(|error| ClientError::writing(&folder, error))?;
    }
    let written = write_profile(dir, &key, issued.key_pem.as_bytes(), issuer.as_deref(), &mut made.paths);
    let written = written.and_then(|()| {
        let files: [(&str, &[u8]); 4] = [
            ("tls/ca.pem", ca_pem.as_bytes()),
            ("tls/profile.pem", issued.cert_pem.as_bytes()),
            ("genesis.bin", &genesis),
            ("sillage.toml", profile.as_bytes()),
        ];
        for (file, bytes) in files {
            let path = dir.join(file);
            write_new(&path, bytes, 0o644)?;
            // What was there already isn't ours to remove.
            made.paths.push(path);
        }
        Ok(())
    });
    // What is in a folder goes before the folder.
    made.paths.reverse();
    if written.is_err() {
        made.remove();
    }
    written.map(|()| made)
}

/// The private files of a profile. What was written is in `paths`, also where one can't be.
fn write_profile(
    dir: &Path,
    key: &SigningKey,
    tls_key: &[u8],
    issuer: Option<&[u8]>,
    paths: &mut Vec<PathBuf>,
) -> Result<(), ClientError> {
    let (tls, seed, test) = (dir.join("tls/profile.key"), dir.join("keys/profile.key"), dir.join(TEST_ISSUER_KEY));
    write_private(&tls, tls_key)?;
    paths.push(tls);
    write_seed(&seed, key)?;
    paths.push(seed);
    if let Some(issuer) = issuer {
        write_private(&test, issuer)?;
        paths.push(test);
    }
    Ok(())
}

/// Where a folder has the key of a test log's issuer of logins.
const TEST_ISSUER_KEY: &str = "keys/test-issuer.key";

fn profile_text(from: &Profile) -> Result<String, ClientError> {
    let mut table = toml::Table::new();
    let strings = [
        ("origin", from.origin.as_str()),
        ("server_name", &from.server_name),
        ("ca", "tls/ca.pem"),
        ("cert", "tls/profile.pem"),
        ("key", "tls/profile.key"),
        ("log_vkey", &from.log_vkey),
        ("vrf_public_key", &hex::encode(from.vrf_public_key)),
        ("genesis", "genesis.bin"),
        ("author_key", "keys/profile.key"),
        ("stream", "main"),
    ];
    for (name, value) in strings {
        table.insert(name.to_owned(), value.into());
    }
    table.insert("endpoints".to_owned(), from.endpoints.clone().into());
    if from.test_issuer.is_some() {
        table.insert("test_issuer".to_owned(), TEST_ISSUER_KEY.into());
    }
    toml::to_string(&table).map_err(|error| ClientError::Usage(format!("cannot write the profile: {error}")))
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
        true => authority::rule_json(rule.as_ref()).to_string(),
        false => authority::rule_in_words(rule.as_ref()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_taken_away_again_and_nothing_else() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = temp.path().join("d");
        let key = SigningKey::from_seed(&[5; 32]);
        for with_more in [false, true] {
            let mut paths = Vec::new();
            for folder in [dir.clone(), dir.join("tls"), dir.join("keys")] {
                std::fs::create_dir_all(&folder).expect("made");
                paths.push(folder);
            }
            write_profile(&dir, &key, b"tls", Some(b"issuer"), &mut paths).expect("written");
            if with_more {
                std::fs::write(dir.join("mine.txt"), b"mine").expect("written");
            }
            paths.reverse();
            Made { key: key.public_key(), spki_sha256: [0; 32], paths }.remove();
            assert_eq!(dir.exists(), with_more);
            assert!(!dir.join("keys").exists() && !dir.join("tls").exists());
        }
        assert_eq!(std::fs::read(dir.join("mine.txt")).expect("there"), b"mine");
    }
}
