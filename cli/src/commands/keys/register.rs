//! `keys register`: a party, with its key, certificate and profile where they are made here.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::{Profile, read, spki_sha256, write_new, write_private, write_seed};
use sillage_client::session::Session;
use sillage_fhir::import::patients::DEFAULT_OID;
use sillage_proof::keys::{PublicKey, SigningKey};
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::record::{ParsedRecord, act_message};
use sillage_rules::roles::Roles;

use super::device::{self, DeviceArgs};
use super::vouching::{self, ROLES_HELP, VouchedArgs};
use crate::Ended;
use crate::acts::{print, submit_messages};
use crate::arguments::parse;
use crate::certificate::{self, issue};

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

pub(super) async fn run(session: &Session, mut args: RegisterArgs) -> Result<Ended, ClientError> {
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

/// The files that were made for a new party.
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

pub(super) fn spki(certs: &[PathBuf]) -> Result<Vec<[u8; 32]>, ClientError> {
    certs.iter().map(|path| spki_sha256(path).map(|hash| hash.to_bytes())).collect()
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
