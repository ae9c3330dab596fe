//! A patient's own device: the act that registers it names no patient, and a sealed record under each of the patient's tags
//! tells them of it.
//!
//! The two records go in batches of their own: side by side under one signature they would say to whoever reads entries that
//! the two tags are one patient's. `--later FILE` puts the second one off to another time.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sillage_client::author::{NewRecord, TagPair, TagRequest, VerifiedReceipt, encode, prepare, tags_of};
use sillage_client::clock::now_ms;
use sillage_client::consent::who::Acting;
use sillage_client::error::ClientError;
use sillage_client::profile::{read, refuse_existing, write_new};
use sillage_client::session::Session;
use sillage_fhir::import::patients::DEFAULT_OID;
use sillage_proof::hash::Hash;
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::consent::ActorName;
use sillage_rules::device::{DeviceRegistered, DeviceSalt, commitment, half};
use sillage_rules::kind::Kind;
use sillage_rules::record::{act_message, new_message};
use sillage_rules::roles::Roles;

use crate::acts::{print, submit_encoded, submit_messages};
use crate::arguments::parse;
use crate::{Ended, output};

/// How the patient proved that they want the device, and how they are told.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "A patient's own device")]
pub struct DeviceArgs {
    /// Issuer that established the patient's identity; without it, as the profile's [auth] says
    #[arg(long, value_name = "TEXT")]
    pub login_issuer: Option<String>,
    /// By what means; without it, as the profile's [auth] says
    #[arg(long, value_name = "TEXT")]
    pub login_method: Option<String>,
    /// eIDAS level: substantial or high; without it, as the profile's [auth] says
    #[arg(long, value_name = "LEVEL", value_parser = ["substantial", "high"])]
    pub login_level: Option<String>,
    /// Don't tell under the secret tag now: write into this new file what `keys tell` sends at another time, so that nobody who
    /// reads the log sees by the time which two tags are one patient's
    #[arg(long, value_name = "FILE")]
    pub later: Option<PathBuf>,
    /// Author id of the device that this one replaces and ends (for devices whose act names the patient's tags)
    #[arg(long, value_name = "HEX")]
    pub replaces: Option<String>,
}

/// The patient whose device is registered.
pub(super) struct Patient<'a> {
    pub ins: &'a str,
    pub oid: &'a str,
    /// How the patient proved that they want it.
    pub auth: Option<v1::Authentication>,
}

/// The content of the record under the secret tag, kept until it is sent.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Later {
    device: DeviceRegistered,
}

impl Patient<'_> {
    fn request(&self, secret: bool) -> TagRequest {
        TagRequest { ins: self.ins.to_owned(), oid: self.oid.to_owned(), secret }
    }

    /// The record, with what proves that the patient wants it; its canonical bytes.
    async fn told(&self, session: &Session, device: &DeviceRegistered, secret: bool) -> Result<Vec<u8>, ClientError> {
        let patient = Acting::new(&ActorName::patient(), "", "", "");
        let record = v1::Record {
            actor: Some(patient.actor),
            auth: self.auth.clone(),
            details: serde_json::to_string(device).expect("texts alone"),
            ..new_message(Kind::DEVICE_REGISTERED, None, now_ms())
        };
        let record = NewRecord { patient: Some(self.request(secret)), record };
        let mut records = prepare(&tags_of(session), vec![record]).await?;
        Ok(records.remove(0))
    }
}

/// How the patient proved it: as the flags or the profile say. A test log's command logs in whoever is named.
pub(super) fn auth(session: &Session, args: &DeviceArgs) -> Option<v1::Authentication> {
    let defaults = session.profile.auth.clone().unwrap_or_default();
    let said = v1::Authentication {
        issuer: args.login_issuer.clone().unwrap_or(defaults.issuer),
        method: args.login_method.clone().unwrap_or(defaults.method),
        eidas_level: args.login_level.clone().unwrap_or(defaults.eidas_level),
    };
    if said == v1::Authentication::default() && session.profile.test_issuer.is_some() {
        let [issuer, method, level] = ["test", "test", "substantial"].map(str::to_owned);
        return Some(v1::Authentication { issuer, method, eidas_level: level });
    }
    (said != v1::Authentication::default()).then_some(said)
}

fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// The salts and halves of a new device's commitment: of the open tag, and of the secret one, where the device has it.
struct Halves {
    salts: [DeviceSalt; 2],
    halves: [Hash; 2],
}

impl Halves {
    fn new(tags: &TagPair) -> Result<Self, ClientError> {
        let salts = [random()?, random()?];
        let secret = match &tags.1 {
            Some(tag) => half(&salts[1], tag.as_bytes()),
            None => Hash::from_bytes(random()?),
        };
        Ok(Self { salts, halves: [half(&salts[0], tags.0.as_bytes()), secret] })
    }

    fn commitment(&self) -> Hash {
        commitment(&self.halves[0], &self.halves[1])
    }

    fn record(&self, party: &PartyRegistration, authority: &str, secret: bool) -> DeviceRegistered {
        let (own, other) = if secret { (1, 0) } else { (0, 1) };
        DeviceRegistered {
            party: party.author_id(),
            name: party.name.clone(),
            authority: authority.to_owned(),
            salt: hex::encode(self.salts[own]),
            other: self.halves[other],
        }
    }
}

/// The name of the authority that signs, as it is registered.
async fn authority_name(session: &Session) -> Result<String, ClientError> {
    let client = session.authority_client()?;
    let answer = client.call(|mut rpc| async move { rpc.get_log(v1::GetLogRequest::default()).await }).await?;
    Ok(answer.caller.map(|caller| caller.name).unwrap_or_default())
}

/// Tells whether the patient can be told at all.
///
/// # Errors
/// When the INS is none, or no node says the patient's tags.
pub(super) async fn check(session: &Session, patient: &Patient<'_>) -> Result<(), ClientError> {
    tags_of(session).both(patient.ins, patient.oid).await.map(drop)
}

/// Registers a patient's own device, and tells them under both tags. `further` are acts that go with it. `is_on_record` turns
/// true once the act is: what goes wrong after that doesn't undo it.
pub(super) async fn register(
    session: &Session,
    mut party: PartyRegistration,
    (patient, args): (&Patient<'_>, &DeviceArgs),
    further: Vec<v1::Record>,
    is_on_record: &mut bool,
) -> Result<Ended, ClientError> {
    // Before the act is on record, which can't be taken back.
    args.later.as_deref().map(refuse_existing).transpose()?;
    let tags = tags_of(session).both(patient.ins, patient.oid).await?;
    let halves = Halves::new(&tags)?;
    party.patient_commitment = Some(halves.commitment());
    let replaces = args.replaces.as_deref().map(|author| parse::<AuthorId>("--replaces", author));
    let ended = replaces.transpose()?.map(|author_id| {
        let act = Act::RolesChanged { author_id, roles: Roles::NONE, quota_events_per_s: 0 };
        act_message(&act, now_ms())
    });
    let authority = authority_name(session).await?;
    let acts = std::iter::once(act_message(&Act::Registered(party.clone()), now_ms())).chain(further).chain(ended);
    let acts: Vec<v1::Record> = acts.collect();
    let mut first = acts.iter().cloned().map(|act| encode(act, 0)).collect::<Result<Vec<_>, _>>()?;
    first.push(patient.told(session, &halves.record(&party, &authority, false), false).await?);
    let receipt = match submit_encoded(session, first).await {
        Err(ClientError::Rejected(rejection)) if rejection.message.contains(UNKNOWN_YET) => {
            output::note(
                "not every node of this log knows sealed devices yet: the act names the patient's tags, as before",
            );
            return registered_openly(session, party, &tags, acts).await;
        }
        done => done?,
    };
    *is_on_record = true;
    let secret = halves.record(&party, &authority, true);
    let told = match (&tags.1, &args.later) {
        (None, _) => None,
        (Some(_), Some(file)) => {
            let later = serde_json::to_vec(&Later { device: secret }).expect("texts alone");
            write_new(file, &later, 0o600)?;
            output::note(&format!(
                "the patient isn't told under the secret tag yet, and the device can't act there: `sillage keys tell --file {}` does it",
                file.display()
            ));
            None
        }
        (Some(_), None) => Some(tell_secret(session, patient, &secret).await?.first_index),
    };
    let what = json!({
        "name": party.name, "author_id": party.author_id(), "key_id": party.key.key_id(),
        "told": [receipt.first_index + acts.len() as u64], "told_secret": told,
    });
    print(&receipt, what)
}

/// The nodes' answer to an act that they don't all know.
const UNKNOWN_YET: &str = "the nodes don't all know";

/// The same, in a log whose nodes don't all know commitments: the act names the tags.
async fn registered_openly(
    session: &Session,
    party: PartyRegistration,
    tags: &TagPair,
    mut acts: Vec<v1::Record>,
) -> Result<Ended, ClientError> {
    let party = PartyRegistration {
        patient_commitment: None,
        patient_tag: Some(tags.0.to_bytes()),
        patient_secret_tag: tags.1.as_ref().map(|tag| tag.to_bytes()),
        ..party
    };
    let what = json!({"name": party.name, "author_id": party.author_id(), "key_id": party.key.key_id()});
    acts[0] = act_message(&Act::Registered(party), now_ms());
    print(&submit_messages(session, acts).await?, what)
}

async fn tell_secret(
    session: &Session,
    patient: &Patient<'_>,
    device: &DeviceRegistered,
) -> Result<VerifiedReceipt, ClientError> {
    let record = patient.told(session, device, true).await?;
    submit_encoded(session, vec![record]).await
}

/// `keys tell`: what was put off.
pub(super) async fn tell(
    session: &Session,
    file: &Path,
    (ins, oid): (&str, Option<&str>),
    args: &DeviceArgs,
) -> Result<Ended, ClientError> {
    let later: Later = serde_json::from_slice(&read(file)?).map_err(|error| ClientError::reading(file, error))?;
    let patient = Patient { ins, oid: oid.unwrap_or(DEFAULT_OID), auth: auth(session, args) };
    let receipt = tell_secret(session, &patient, &later.device).await?;
    print(&receipt, json!({"author_id": later.device.party}))
}
