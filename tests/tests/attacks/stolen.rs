//! A service's key is stolen, with its certificate. For each role, and for sets of roles that services have, the thief
//! tries every kind and every call against patients and structures that are none of the service's. What comes of it is the
//! table of `docs/threat-model.md`, row by row: the test compares.
//! To say more of a key, add a column: a function of the thief that gives a cell.

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::{Value, json};
use sillage_client::author::Signer;
use sillage_client::profile::{Profile, load_seed};
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::{AuthorId, SigningKey};
use sillage_proto::v1::*;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::{RuleChange, may_be_cosigned};
use sillage_rules::consent::name::AUTHOR_SYSTEM;
use sillage_rules::doors::sources::SourcesChange;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::node_set::NodeSetChange;
use sillage_rules::record::{act_message, new_message};
use sillage_rules::roles::Roles;
use sillage_rules::voiding::{Voiding, Whose};
use sillage_rules::vouching::Vouching;
use sillage_tests::authority::cosigned;
use sillage_tests::health::{in_s, rpps};
use sillage_tests::lines::{OID, ins, now_ms};
use sillage_tests::wire::{self, Rpc};
use sillage_tests::world::World;

use super::stolen_records::{details, heartbeat, thiefs_issuer};

const PATIENTS: usize = 100;
const FIRST: u64 = 2_000;
/// Seed of the key of a service that acts are tried against.
const VICTIM: u8 = 250;
pub const RPPS: &str = "urn:oid:1.2.250.1.71.4.2.1";
/// Who deposited what the patients have, and for which structure: none of the thief's.
pub const DEPOSITOR: &str = "10100534436";
const HOSPITAL: &str = "750712184";
/// A doctor whom the patients have in their care team and permitted by name, and their trusted person.
const THEIR_DOCTOR: u32 = 83;
const TRUSTED: &str = "urn:sillage:person|trusted";
/// What the stolen key's party may vouch for.
pub const OWN_DOCTOR: &str = "10003001234";
pub const OWN_STRUCTURE: &str = "690000120";
const OWN_ISSUER: &str = "urn:example:radiology-login";

/// Roles of the stolen key, and what another key signs with it that was stolen too.
type Stolen = (&'static str, Option<Second>);

/// Whose key was stolen beside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Second {
    /// Of another identity service.
    Identity,
    /// Of an authority.
    Authority,
}

/// What a service may have: each role alone, and what services have together. The authority's key is one of the two that the log
/// began with.
const STOLEN: [Stolen; 21] = [
    ("recorder", None),
    ("decider", None),
    ("recorder,decider", None),
    ("reviewer", None),
    ("emergency", None),
    ("emergency,decider", None),
    ("identity", None),
    ("identity,decider", None),
    ("consent-desk", None),
    // What it says opens something to other parties of its structure from here on.
    ("consent-desk,decider", None),
    ("tag", None),
    ("reader", None),
    ("patient", None),
    ("auditor", None),
    ("operator", None),
    ("login", None),
    ("portal", None),
    ("identity", Some(Second::Identity)),
    ("identity", Some(Second::Authority)),
    (AUTHORITY, None),
    // What they do holds for all: last.
    (AUTHORITY, Some(Second::Authority)),
];

/// The roles that an authority of a new log has.
const AUTHORITY: &str = "tag,operator,authority";

/// As whom the thief speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// A doctor of the party's own structure.
    Own,
    /// Another doctor, of the structure that deposited.
    OtherStructure,
    /// The patient, by a login of the party's own issuer.
    PatientOwnLogin,
    /// The patient, by a login that the party doesn't relay.
    PatientOtherLogin,
}

impl Claim {
    const ALL: [Self; 4] = [Self::Own, Self::OtherStructure, Self::PatientOwnLogin, Self::PatientOtherLogin];

    fn actor(self) -> Actor {
        let doctor = |id: &str, organisation: &str| Actor {
            system: RPPS.to_owned(),
            id: id.to_owned(),
            role: "physician".to_owned(),
            organisation: organisation.to_owned(),
            ..Actor::default()
        };
        match self {
            Self::Own => doctor(OWN_DOCTOR, OWN_STRUCTURE),
            // A name that nobody knows: the structure alone would open what it deposited.
            Self::OtherStructure => doctor(&rpps(81), HOSPITAL),
            _ => Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..Actor::default() },
        }
    }

    fn auth(self) -> Option<Authentication> {
        let by = |issuer: &str| Authentication {
            issuer: issuer.to_owned(),
            method: "app".to_owned(),
            eidas_level: "high".to_owned(),
        };
        match self {
            Self::PatientOwnLogin => Some(by(OWN_ISSUER)),
            Self::PatientOtherLogin => Some(by("urn:example:national-login")),
            _ => None,
        }
    }
}

/// A patient who is a stranger to the thief, with what proves their tags.
struct Stranger {
    open: [u8; 32],
    secret: Vec<u8>,
    pairing: TagPairing,
    document: String,
}

struct Thief<'w> {
    world: &'w World,
    name: &'static str,
    rpc: Rpc,
    /// To each node: whoever leads answers some calls alone.
    rpcs: Vec<Rpc>,
    signer: Signer,
    /// The key that was stolen beside.
    second: Option<(Second, SigningKey)>,
    strangers: &'w [Stranger],
    /// Where the thief's own patients of this key begin among the strangers: what one did isn't in another's way.
    at: usize,
}

pub fn a_stolen_key_does_what_its_role_is_for_and_no_more(world: &mut World) {
    let strangers = strangers(world);
    let mut rows = Vec::new();
    register_victim(world);
    for (number, (name, second)) in STOLEN.into_iter().enumerate() {
        let profile = steal(world, name, number);
        let second = second.map(|second| (second, second.key(world, number)));
        let thief = Thief {
            world,
            name,
            rpc: wire::rpc(&profile, 1, Some(&wire::pem_of(&profile))),
            rpcs: (1..=3).map(|node| wire::rpc(&profile, node, Some(&wire::pem_of(&profile)))).collect(),
            signer: wire::signer(&profile),
            second,
            strangers: &strangers,
            at: number * Claim::ALL.len(),
        };
        rows.push(thief.row());
        println!("{}", rows[number]);
    }
    let head = [
        "| roles of the stolen key | records as its own doctor | as another structure's | as the patient, by its own issuer's login | by another's | decisions permitted, of 100 patients | reads, of 100 patients | other calls |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ];
    let table = [&head.map(str::to_owned)[..], &rows].concat().join("\n");
    println!("{table}");
    let doc = include_str!("../../../docs/threat-model.md");
    assert!(doc.contains(&table), "docs/threat-model.md has another table than this:\n{table}");
}

/// A hundred patients with a document each, that another structure deposited, and masked in part.
fn strangers(world: &World) -> Vec<Stranger> {
    let identities: Vec<PatientIdentity> =
        (0..PATIENTS as u64).map(|n| PatientIdentity { ins: ins(FIRST + n), oid: OID.to_owned() }).collect();
    let lines: Vec<Value> = identities.iter().enumerate().map(|(n, whose)| deposit(whose, &document(n))).collect();
    world.record(&lines);
    // Broken for another reason, by another party: there is something to review.
    let glass = |(n, whose): (usize, &PatientIdentity)| {
        json!({
            "kind": "breakglass.opened", "patient": {"ins": whose.ins, "oid": OID}, "actor": doctor_line(),
            "occurred_at": in_s(0), "details": {"id": format!("theirs.{n}"), "case": "INCAPACITY", "reason": "unconscious",
                "expires": in_s(3_600), "no_position": "INDOORS"},
        })
    };
    world.record(&identities.iter().enumerate().map(glass).collect::<Vec<_>>());
    let theirs: Vec<Value> = identities.iter().flat_map(decided).collect();
    for lines in theirs.chunks(100) {
        world.record(lines);
    }
    let profile = world.profile();
    let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
    let request = ResolveTagsRequest { identities: identities.clone() };
    let tags = world.wait(rpc.resolve_tags(request)).expect("resolved").into_inner().tags;
    let tags = tags.into_iter().zip(identities).enumerate();
    tags.map(|(n, (tags, patient))| Stranger {
        open: tags.tag[..].try_into().expect("32 bytes"),
        secret: tags.secret_tag,
        pairing: TagPairing { patient: Some(patient), proof: tags.proof, secret_proof: tags.secret_proof },
        document: document(n),
    })
    .collect()
}

/// Whom the patient trusts: a person, and a doctor.
fn decided(whose: &PatientIdentity) -> Vec<Value> {
    let doctor = format!("{RPPS}|{}", rpps(THEIR_DOCTOR));
    let grantee = json!({"professional": doctor});
    let decisions = [
        (
            "representation.registered",
            json!({
                "representative": TRUSTED, "relation": "TRUSTED_PERSON", "activated": true, "powers": ["read"],
            }),
        ),
        ("careteam.joined", json!({"professional": doctor, "until": in_s(3_600)})),
        ("attending.declared", json!({"professional": doctor})),
        ("consent.directive", json!({"id": "theirs", "effect": "permit", "grantee": grantee, "actions": ["read"]})),
    ];
    let line = |(kind, details): (&str, Value)| {
        json!({
            "kind": kind, "patient": {"ins": whose.ins, "oid": OID},
            "actor": {"system": "urn:sillage:patient", "id": "self"}, "occurred_at": in_s(0), "details": details,
            "auth": {"issuer": "urn:example:idp", "method": "eid", "eidas_level": "substantial"},
        })
    };
    decisions.map(line).into()
}

fn document(n: usize) -> String {
    format!("urn:example:stolen-{n}")
}

fn doctor_line() -> Value {
    json!({"system": RPPS, "id": DEPOSITOR, "role": "physician", "organisation": HOSPITAL})
}

fn deposit(whose: &PatientIdentity, document: &str) -> Value {
    json!({
        "kind": "access.write", "patient": {"ins": whose.ins, "oid": OID}, "actor": doctor_line(),
        "items": [{"id": document, "category": "REPORT"}], "occurred_at": in_s(0), "purpose": "TREAT",
        "basis": {"kind": "legal", "ref": "L1111-15"}, "outcome": "success",
    })
}

impl Second {
    fn key(self, world: &World, number: usize) -> SigningKey {
        let file = match self {
            Self::Identity => {
                let folder = world.path(&format!("beside-{number}"));
                let out = folder.display().to_string();
                let register = ["keys", "register", "--name", "identity", "--role", "identity", "--out", &out];
                world.sillage_as(&world.authority_file(), &register).ok();
                folder.join("keys/profile.key")
            }
            Self::Authority => world.dir().join("keys/authority.key"),
        };
        load_seed(&file).expect("the key that was stolen beside")
    }

    fn words(self) -> &'static str {
        match self {
            Self::Identity => "another's `identity`",
            Self::Authority => "an `authority`'s",
        }
    }
}

/// Registers a service that acts of the authority are tried against.
fn register_victim(world: &World) {
    let public = SigningKey::from_seed(&[VICTIM; 32]).public_key().to_string();
    let register = ["keys", "register", "--name", "victim", "--role", "recorder", "--public-key", &public];
    world.sillage_as(&world.authority_file(), &register).ok();
}

/// Registers a party as a hospital's radiology has one, and hands over its folder; of an authority, the second of those with
/// which the log began.
fn steal(world: &World, roles: &str, number: usize) -> Profile {
    if roles == AUTHORITY {
        let file = world.dir().join("authority-2/authority.toml");
        return Profile::load(&file).expect("the profile of the second authority");
    }
    let folder = world.path(&format!("stolen-{number}"));
    let out = folder.display().to_string();
    let mut args = vec!["keys", "register", "--name", "radiology", "--role", roles, "--out", &out];
    args.extend(["--structure", OWN_STRUCTURE, "--actor-system", RPPS, "--issuer", OWN_ISSUER]);
    // The device of somebody who is none of the strangers.
    let own = ins(FIRST + PATIENTS as u64);
    if roles == "patient" {
        args.extend(["--patient", &own, "--oid", OID]);
    }
    world.sillage_as(&world.authority_file(), &args).ok();
    Profile::load(&folder.join("sillage.toml")).expect("the profile of the stolen key")
}

impl Thief<'_> {
    fn row(&self) -> String {
        let records = Claim::ALL.map(|claim| self.records(claim));
        let roles: Vec<String> = self.name.split(',').map(|role| format!("`{role}`")).collect();
        let cells = [&records[..], &[self.decisions(), self.reads(), self.calls()]].concat();
        let beside = self.second.as_ref().map(|(second, _)| format!(", and {} beside", second.words()));
        format!("| {}{} | {} |", roles.join(", "), beside.unwrap_or_default(), cells.join(" | "))
    }

    /// The kinds of which a record was taken, about a patient who is a stranger.
    fn records(&self, claim: Claim) -> String {
        let number = Claim::ALL.iter().position(|known| *known == claim).expect("one of them");
        let stranger = &self.strangers[self.at + number];
        // A deposit comes first: who embargoes has deposited.
        let kinds = std::iter::once(Kind::ACCESS_WRITE)
            .chain(Kind::ALL.iter().copied().filter(|kind| *kind != Kind::ACCESS_WRITE && !kind.made_by_ledger()));
        let mut taken = BTreeSet::new();
        for kind in kinds {
            // An act says nothing of an actor: it is tried once.
            if kind.is_act() && claim != Claim::Own {
                continue;
            }
            // A source has no patient who could speak for it.
            if kind == Kind::SOURCE_HEARTBEAT && !matches!(claim, Claim::Own | Claim::OtherStructure) {
                continue;
            }
            let label = format!("{}.{}.{:x}", self.at, number, kind.code());
            if self.submit(&label, &self.record(kind, claim, stranger)) {
                taken.insert(kind);
            }
        }
        in_words(&taken)
    }

    fn submit(&self, label: &str, record: &Record) -> bool {
        let signed = self.second.as_ref().filter(|_| may_be_cosigned(kind_of(record)));
        let signed = signed.map(|(_, key)| cosigned(record.clone(), self.signer.origin.as_str(), key));
        let batch = wire::sign(&self.signer, label, 1, vec![signed.as_ref().unwrap_or(record).encode_to_vec()]);
        let answer = loop {
            let request = SubmitRequest { batch: Some(batch.clone()) };
            match self.world.wait(self.rpc.clone().submit(request)) {
                // A party that may sign nothing has a small quota.
                Err(status) if wire::info(&status).code == "QUOTA_EXCEEDED" => {
                    std::thread::sleep(std::time::Duration::from_millis(250));
                }
                answer => break answer,
            }
        };
        match answer {
            Ok(_) => true,
            Err(status) => {
                let code = wire::info(&status).code;
                let rights = [
                    "NOT_ENTITLED",
                    "NOT_VOUCHED",
                    "AUTHENTICATION_MISSING",
                    "UNKNOWN_CALLER",
                    "KIND_RESERVED",
                    "SIGNATURES_MISSING",
                ];
                // Who may, and whose record fails for what it says, may.
                let of_rights = rights.contains(&code.as_str());
                assert!(
                    of_rights || ["ACT_REFUSED", "UNKNOWN_REFERENCE"].contains(&code.as_str()),
                    "{label}: {status:?}"
                );
                !of_rights && code == "ACT_REFUSED"
            }
        }
    }

    fn record(&self, kind: Kind, claim: Claim, stranger: &Stranger) -> Record {
        if kind.is_act() {
            return self.act(kind, stranger);
        }
        let tag = kind.has_patient().then_some(&stranger.open);
        let mut record = new_message(kind, tag, now_ms());
        (record.actor, record.auth) = (Some(claim.actor()), claim.auth());
        if self.name == AUTHORITY && claim == Claim::Own {
            // An authority names itself, and no other.
            let id = self.signer.author_id.to_string();
            record.actor = Some(Actor { system: AUTHOR_SYSTEM.to_owned(), id, ..Actor::default() });
        }
        record.purpose = if kind.is_access() { "TREAT".to_owned() } else { String::new() };
        let item = |id: String| vec![Item { id, category: "REPORT".to_owned(), ..Item::default() }];
        let own = format!("{}-{}", stranger.document, self.at);
        record.items = match kind {
            Kind::ITEM_MASKED | Kind::ITEM_UNMASKED | Kind::MINOR_SECRECY_SET | Kind::MINOR_SECRECY_LIFTED => {
                item(stranger.document.clone())
            }
            Kind::ACCESS_WRITE | Kind::ITEM_EMBARGOED | Kind::ITEM_RELEASED => item(own),
            _ if kind.is_access() => item(stranger.document.clone()),
            _ => Vec::new(),
        };
        if kind == Kind::SOURCE_HEARTBEAT {
            let structure = record.actor.take().map(|actor| actor.organisation).unwrap_or_default();
            record.auth = None;
            record.automated = Some(Automated { software: "connector".to_owned(), ..Automated::default() });
            record.details = heartbeat(&structure).to_string();
            return record;
        }
        let details = details(kind, &stranger.document, self.name == AUTHORITY && claim == Claim::Own);
        record.details = if details.is_null() { String::new() } else { details.to_string() };
        record
    }

    /// An act of the authority against somebody: a party that the test makes first where there must be one.
    fn act(&self, kind: Kind, stranger: &Stranger) -> Record {
        let seed = u8::try_from(100 + self.at + usize::from(kind.code() & 0xf)).expect("few");
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).public_key();
        let victim = AuthorId::of_first_key(&key(VICTIM));
        let act = match kind {
            Kind::KEY_REGISTERED => Act::Registered(PartyRegistration {
                key: key(seed),
                name: "the thief's own".to_owned(),
                roles: Roles::AUTHORITY,
                tls_spki_sha256: Vec::new(),
                quota_events_per_s: 0,
                patient_tag: None,
                patient_secret_tag: None,
                patient_commitment: None,
                vouching: Vouching::default(),
            }),
            Kind::KEY_ROTATED => Act::Rotated { author_id: victim, key: key(seed), tls_spki_sha256: Vec::new() },
            Kind::KEY_REVOKED => Act::Revoked { key_id: key(VICTIM).key_id(), reason: "mine now".to_owned() },
            Kind::ROLE_CHANGED => {
                Act::RolesChanged { author_id: victim, roles: Roles::RECORDER | Roles::AUDITOR, quota_events_per_s: 0 }
            }
            Kind::VOUCHING_CHANGED => Act::VouchingChanged {
                author_id: victim,
                added: Vouching { structures: vec![HOSPITAL.to_owned()], ..Vouching::default() },
                removed: Vouching::default(),
            },
            Kind::PAYLOAD_ERASED => {
                let act = Act::Erased { indices: Vec::new(), ground: "no ground".to_owned() };
                return sillage_rules::record::erasure_message(&act, &stranger.open, now_ms());
            }
            // Of a set that the log doesn't have: the nodes of the other stories stay. And of a node that it doesn't have: of the
            // one that leads, whichever that is, the answer is another.
            Kind::NODE_SET_CHANGED => Act::NodeSetChanged(NodeSetChange {
                epoch: 99,
                voters: vec![1, 2],
                removed: vec![9],
                ..Default::default()
            }),
            Kind::ISSUER_PUBLISHED => Act::IssuerPublished(Box::new(thiefs_issuer())),
            // Nothing that this thief or anybody signed.
            Kind::RECORDS_VOIDED => Act::RecordsVoided(Voiding::Void {
                whose: Whose::Key(key(VICTIM).key_id()),
                from: LeafIndex(1),
                until: Some(LeafIndex(2)),
                reason: "mine now".to_owned(),
            }),
            Kind::SOURCES_LISTED => {
                Act::SourcesListed(SourcesChange { listed: Vec::new(), removed: vec!["pacs".to_owned()] })
            }
            Kind::AUTHORITY_RULE => Act::AuthorityRule(RuleChange::Limit { author_id: victim, records: 7 }),
            other => panic!("{other}: say how it is tried"),
        };
        act_message(&act, now_ms())
    }

    /// Of how many patients something is permitted, by whom the thief says that it asks for.
    fn decisions(&self) -> String {
        let has = |role: &str| self.name.split(',').any(|name| name == role);
        let breaks = has("emergency") && has("decider");
        if breaks {
            self.of_every_glass(Kind::BREAKGLASS_OPENED);
        }
        if has("consent-desk") && has("decider") {
            self.say_that_all_came();
        }
        let own = Claim::Own.actor();
        let as_own = |id: &str| Actor { id: id.to_owned(), ..own.clone() };
        let (system, id) = TRUSTED.split_once('|').expect("an actor");
        let trusted = Actor { system: system.to_owned(), id: id.to_owned(), ..Actor::default() };
        let asked = [
            ("its own doctor", own.clone(), None),
            ("its own doctor's colleague", as_own(&rpps(82)), None),
            ("another structure's", Claim::OtherStructure.actor(), None),
            ("the patients' doctor", as_own(&rpps(THEIR_DOCTOR)), None),
            ("who deposited", as_own(DEPOSITOR), None),
            ("the patient, own login", Claim::PatientOwnLogin.actor(), Claim::PatientOwnLogin.auth()),
            ("the patient, another's login", Claim::PatientOtherLogin.actor(), Claim::PatientOtherLogin.auth()),
            ("the trusted person, own login", trusted, Claim::PatientOwnLogin.auth()),
        ];
        let mut permitted = Vec::new();
        for (words, actor, auth) in asked {
            // For care, and in an emergency, for which the glass of some is broken.
            let counts = ["TREAT", "BTG"].map(|purpose| {
                let parts = self.strangers.chunks(50).map(|part| self.permitted(&actor, auth.as_ref(), purpose, part));
                parts.map(Option::unwrap_or_default).sum::<usize>()
            });
            match counts {
                [0, 0] => {}
                [0, count] => permitted.push(format!("{count} ({words}, in an emergency)")),
                [count, _] => permitted.push(format!("{count} ({words})")),
            }
        }
        if breaks {
            // Or the next key of this structure would find it open.
            self.of_every_glass(Kind::BREAKGLASS_CLOSED);
        }
        if permitted.is_empty() { "none".to_owned() } else { permitted.join(", ") }
    }

    /// Of every patient: the doctor's colleague joined the care team, and they permitted the structure everything, on paper.
    fn say_that_all_came(&self) {
        let team = |stranger: &Stranger| {
            let mut record = self.record(Kind::CARETEAM_JOINED, Claim::Own, stranger);
            record.details = record.details.replace("}", r#","origin":"all"}"#);
            record.encode_to_vec()
        };
        let paper = |stranger: &Stranger| {
            let mut record = self.record(Kind::CONSENT_DIRECTIVE, Claim::PatientOwnLogin, stranger);
            record.auth = None;
            record.details = json!({
                "id": "paper", "effect": "permit", "grantee": {"organisation": OWN_STRUCTURE}, "actions": ["read"],
                "collected": {"collector": format!("{RPPS}|{OWN_DOCTOR}"), "capacity": "physician", "method": "paper",
                    "evidence_sha256": "01".repeat(32)},
            })
            .to_string();
            record.encode_to_vec()
        };
        for (label, records) in
            [("team", self.strangers.iter().map(team).collect()), ("paper", self.strangers.iter().map(paper).collect())]
        {
            let batch = wire::sign(&self.signer, label, 1, records);
            self.world.wait(self.rpc.clone().submit(SubmitRequest { batch: Some(batch) })).expect("what a desk says");
        }
    }

    fn of_every_glass(&self, kind: Kind) {
        let said = |stranger: &Stranger| {
            let mut record = self.record(kind, Claim::Own, stranger);
            record.details = record.details.replace("stolen.bg", "stolen.again");
            record.encode_to_vec()
        };
        let label = format!("glass.{:x}", kind.code());
        let batch = wire::sign(&self.signer, &label, 1, self.strangers.iter().map(said).collect());
        self.world.wait(self.rpc.clone().submit(SubmitRequest { batch: Some(batch) })).expect("an emergency each");
    }

    fn permitted(
        &self,
        actor: &Actor,
        auth: Option<&Authentication>,
        purpose: &str,
        strangers: &[Stranger],
    ) -> Option<usize> {
        let issuer = auth.map(|auth| auth.issuer.clone()).unwrap_or_default();
        let request = |stranger: &Stranger| DecisionRequest {
            version: 1,
            tag: stranger.open.to_vec(),
            secret_tag: stranger.secret.clone(),
            actor: Some(actor.clone()),
            auth: auth.cloned(),
            action: "read".to_owned(),
            purpose: purpose.to_owned(),
            items: vec![Item { id: stranger.document.clone(), category: "REPORT".to_owned(), ..Item::default() }],
            requested_at_ms: now_ms(),
            // No two are alike: another key, another claim, another patient.
            nonce: hash_of(&[
                self.name.as_bytes(),
                &self.at.to_be_bytes(),
                purpose.as_bytes(),
                actor.id.as_bytes(),
                actor.organisation.as_bytes(),
                &stranger.open,
                issuer.as_bytes(),
            ]),
            correlation: None,
            will: None,
        };
        let asked = strangers.iter().map(|stranger| (request(stranger), stranger.pairing.clone())).collect();
        let asked = wire::ask(&self.signer, asked);
        let answer = self.world.wait(self.rpc.clone().authorize(asked)).ok()?.into_inner();
        Some(answer.decisions.iter().filter(|decision| !decision.permitted.is_empty()).count())
    }

    /// Of how many patients it learns what: their tags, their trace, what decides.
    fn reads(&self) -> String {
        let mut counts = [0_usize; 5];
        for stranger in self.strangers {
            let tag = stranger.open.to_vec();
            let [mut resolve, mut read, mut rules, mut prove] = [(); 4].map(|()| self.rpc.clone());
            let identities = stranger.pairing.patient.clone().into_iter().collect();
            let trace = TraceRequest { tag: tag.clone(), ..TraceRequest::default() };
            let records = RuleRecordsRequest { tag: tag.clone(), ..RuleRecordsRequest::default() };
            let entries = PatientEntriesRequest { tag, from: 0, to: 1, count: 1 };
            let (tags, trace, records, entries) = self.world.wait(async {
                tokio::join!(
                    resolve.resolve_tags(ResolveTagsRequest { identities }),
                    read.trace(trace),
                    rules.rule_records(records),
                    prove.patient_entries(entries),
                )
            });
            if let Ok(tags) = tags {
                counts[0] += 1;
                counts[1] += usize::from(!tags.into_inner().tags[0].secret_tag.is_empty());
            }
            counts[2] += usize::from(trace.is_ok());
            counts[3] += usize::from(records.is_ok());
            counts[4] += usize::from(entries.is_ok());
        }
        let words = ["tags", "both tags", "traces", "consents", "proofs"];
        let counts = counts.into_iter().zip(words).filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{what} {count}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }

    /// The calls that are about no one patient, and are answered.
    fn calls(&self) -> String {
        let mut rpc = self.rpc.clone();
        let world = self.world;
        let entries = async |rpc: &mut Rpc| {
            let mut stream = rpc.get_entries(GetEntriesRequest { first: 0, count: 1, ..Default::default() }).await?;
            stream.get_mut().message().await
        };
        let calls = [
            ("GetEntry", world.wait(rpc.get_entry(GetEntryRequest { index: 2 })).map(drop)),
            ("GetEntries", world.wait(entries(&mut rpc)).map(drop)),
            ("ListBreakGlass", world.wait(rpc.list_break_glass(ListBreakGlassRequest::default())).map(drop)),
            ("ListParties", world.wait(rpc.list_parties(ListPartiesRequest::default())).map(drop)),
            ("ListContests", world.wait(rpc.list_contests(ListContestsRequest::default())).map(drop)),
            ("ClusterStatus", world.wait(rpc.cluster_status(ClusterStatusRequest::default())).map(drop)),
            ("Members", world.wait(rpc.members(MembersRequest::default())).map(drop)),
            ("Erasures", world.wait(rpc.erasures(ErasuresRequest::default())).map(drop)),
            // To a node that isn't there: who may is told so.
            ("MoveLeader", world.wait(rpc.move_leader(MoveLeaderRequest { id: 99 })).map(drop)),
            ("ChangeMember", self.asks_to_remove()),
        ];
        let may = |answer: &Result<(), tonic::Status>| match answer {
            Ok(()) => true,
            Err(status) => wire::info(status).code != "NOT_ENTITLED",
        };
        let answered: Vec<&str> = calls.iter().filter(|(_, answer)| may(answer)).map(|(name, _)| *name).collect();
        if answered.is_empty() { "none".to_owned() } else { answered.join(", ") }
    }
}

impl Thief<'_> {
    /// Asks every node whether each node may leave. However it is answered, all of them go on to vote: nobody signed an act.
    fn asks_to_remove(&self) -> Result<(), tonic::Status> {
        let mut said = Ok(());
        for mut rpc in self.rpcs.iter().cloned() {
            for id in 1..=3 {
                let request = ChangeMemberRequest { step: MemberStep::Remove.into(), id };
                let answer = self.world.wait(rpc.change_member(request)).map(drop);
                if answer.is_err() && said.is_ok() {
                    said = answer;
                }
            }
        }
        let members = self.world.sillage_as(&self.world.authority_file(), &["cluster", "member", "list", "--json"]);
        let members = members.ok().json();
        let voters = members["members"].as_array().expect("members").iter();
        let voters = voters.filter(|node| node["votes"] == true && node["raft"]["voter"] == true).count();
        assert_eq!(voters, 3, "{} takes a node out of the group: {members}", self.name);
        said
    }
}

fn kind_of(record: &Record) -> Kind {
    Kind::from_code(record.kind).expect("a kind")
}

fn hash_of(parts: &[&[u8]]) -> Vec<u8> {
    sillage_proof::hash::sha256(parts).as_bytes()[..16].to_vec()
}

/// Kinds, whole groups in one word.
fn in_words(kinds: &BTreeSet<Kind>) -> String {
    let mut words = Vec::new();
    for group in Group::ALL {
        let all: Vec<Kind> =
            Kind::ALL.iter().copied().filter(|kind| kind.group() == group && !kind.made_by_ledger()).collect();
        let taken: Vec<Kind> = all.iter().copied().filter(|kind| kinds.contains(kind)).collect();
        match taken.len() {
            0 => {}
            count if count == all.len() => words.push(format!("all of {}", group.token())),
            _ => words.extend(taken.iter().map(|kind| format!("`{kind}`"))),
        }
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
